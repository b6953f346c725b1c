r"""The law of the linear flow at width n, as a curve: what the paired estimator adds to.

v · f⁽⁰⁾_t − v · c_t = w · F with w = A_tᵀ v, so that its law is that of a projection at
initialization. For one hidden layer it is known (:func:`widthwise.exact_law`). For deep networks,
and for Gaussian readouts where many inputs make the exact law expensive, it is estimated from
networks that are not trained, with much less noise than the paired part has.
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

_GOOD = 1e-4  # error of the exact law
_CHEAP = 2  # dimensions of the preactivations up to which it is cheap


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
    cheap = min(x.shape[1] + net.has_bias(0), len(x)) <= _CHEAP
    if net.depth == 1 and (cheap or method != "rao_blackwell"):
        rows = tuple(range(len(x)))
        laws = [exact_law(net, x, width, rows, w, component) for w in directions]
        value = np.stack([law.cdf(s * GRID) - ndtr(GRID) for law, s in zip(laws, std, strict=True)])
        errors = np.array([law.error for law in laws])
        if errors.max() < _GOOD:
            none = np.zeros((0, *value.shape))
            return Curve(std, value, none, errors), "exact law of the linear flow"
    curve = initial_curve(
        net, width, x, directions, std, component, key, members, method, cumulants
    )
    return curve, f"linear flow by {method}, {members} untrained networks"
