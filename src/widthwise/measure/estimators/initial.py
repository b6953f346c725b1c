"""Curves at initialization: members drawn in blocks, added up by one of the three estimators."""

from types import ModuleType

import jax
import numpy as np
from jaxtyping import Float

from widthwise.measure.estimators import means, rao_blackwell, raw, stein
from widthwise.measure.estimators.curve import GRID, Curve
from widthwise.measure.estimators.drawn import projections
from widthwise.measure.estimators.means import Cumulants
from widthwise.measure.estimators.sums import BATCHES, Means, Sums
from widthwise.measure.stein_kernel import stein_kernel
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian

_ESTIMATORS: dict[str, ModuleType] = {"raw": raw, "stein": stein, "rao_blackwell": rao_blackwell}


def suited(net: MLP) -> tuple[str, ...]:
    """The estimators at initialization that a network allows, the best one first."""
    law = net.weight_law[-1]
    found = ("raw",)
    if stein_kernel(law) is not None:
        found = ("stein", *found)
    if isinstance(law, Gaussian):
        found = ("rao_blackwell", *found)
    return found


def batch_ends(members: int) -> np.ndarray:
    """Where the batches of members begin and end, (batches + 1,)."""
    return np.linspace(0, members, BATCHES + 1).round().astype(int)


def initial_curve(
    net: MLP,
    width: int,
    x: np.ndarray,
    directions: Float[np.ndarray, "directions points"],
    std: Float[np.ndarray, " directions"],
    component: int,
    key: jax.Array,
    members: int,
    method: str,
    cumulants: Cumulants,
) -> Curve:
    """F_n − Φ of v · f/σ from members at initialization.

    Args:
        net: the architecture.
        width: n.
        x: all points (points, inputs).
        directions: v.
        std: σ.
        component: which output.
        key: JAX random key; member i draws from fold_in(key, i).
        members: how many.
        method: ``"raw"``, ``"stein"`` or ``"rao_blackwell"``.
        cumulants: of the network, which give the means of the controls.
    """
    estimator = _ESTIMATORS[method]
    sums = Sums(len(directions), estimator.CONTROLS, len(GRID))
    ends = batch_ends(members)
    for batch in range(BATCHES):
        begin, end = int(ends[batch]), int(ends[batch + 1])
        for block in projections(net, width, x, directions, std, component, key, begin, end):
            estimator.add(sums, batch, block)
    known = Means(np.zeros((len(directions), 0)), np.zeros((len(directions), 0)))
    if method != "raw":
        kappa = cumulants.standardized(directions, std, width)
        of = means.stein_means if method == "stein" else means.variance_means
        known = Means(*of(*kappa))
    value, noise = sums.estimate(known)
    return Curve(std, value, noise, np.zeros(len(directions)))
