r"""The law of the linear flow of networks of width n, as a curve: what the paired estimator adds to.

v · f⁽⁰⁾_t − v · c_t = w · F with w = A_tᵀ v, so that its law is that of a projection at
initialization. For one hidden layer it is known (:func:`widthwise.exact_law`); otherwise, and where
the quadrature of many inputs is not good enough, it is estimated from networks that are not
trained, by Rao–Blackwell or the Stein estimator, with much less noise than the paired part.
"""

import jax
import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from widthwise.initial.exact import exact_law
from widthwise.measure.estimators.curve import GRID, Curve
from widthwise.measure.estimators.initial import initial_curve
from widthwise.measure.estimators.means import Cumulants
from widthwise.model.architecture import MLP

_GOOD = 1e-9  # of the exact law, at once
_MOST_EXACT = 2  # input dimensions and points up to which the exact law is cheap


def linear_curve(
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
) -> tuple[Curve, str]:
    """The curve of w · F/σ and, in words, where it comes from.

    Args:
        net: the architecture.
        width: n.
        x: all points (points, inputs).
        directions: w.
        std: σ.
        component: which output.
        key: JAX random key of untrained networks.
        members: how many, where they are needed.
        method: ``"rao_blackwell"``, ``"stein"`` or ``"raw"``, for them.
        cumulants: of the network.
    """
    inputs = x.shape[1] + net.has_bias(0)
    if net.depth == 1 and min(inputs, len(x)) <= _MOST_EXACT:
        rows = tuple(range(len(x)))
        laws = [exact_law(net, x, width, rows, w, component) for w in directions]
        value = np.stack(
            [law.cdf(s * GRID) - ndtr(GRID) for law, s in zip(laws, std, strict=True)]
        )
        errors = np.array([law.error for law in laws])
        if errors.max() < _GOOD:
            none = np.zeros((0, *value.shape))
            return Curve(std, value, none, errors), "exact law of the linear flow"
    curve = initial_curve(
        net, width, x, directions, std, component, key, members, method, cumulants
    )
    return curve, f"linear flow by {method}, {members} untrained networks"
