r"""The second moment of the Stein kernel of a law on the line.

The kernel τ is that of :mod:`widthwise.measure.stein_kernel`, with E τ = 1 for variance 1. What the
bounds need is E τ² ≥ 1, equal only for the Gaussian:

    Gaussian 1,  uniform 6/5,  gamma(k) 1 + 1/k (exponential 2),  Laplace 5/4,
    Student t: τ = (ν − 2 + a²)/(ν − 1), so ((ν − 2)² + 2(ν − 2) + μ₄)/(ν − 1)².

Other laws by Gauss–Legendre panels: ∫ S²/p with S(a) = ∫_a^∞ y p = −∫_{−∞}^a y p, summed from the
nearer end. Atoms, and gaps in which p = 0, leave no Stein kernel of finite second moment. What the
tails beyond the panels add is bounded (:mod:`.law_moment`); where they carry too much, as those of
a scipy law with hardly more than four moments, there is no number.
"""

import functools
import math
from itertools import pairwise

import numpy as np
from numpy.polynomial import legendre

from widthwise.limit.first_layer.rules import panel_edges
from widthwise.measure.bounds.law_moment import beyond
from widthwise.model.laws import Exponential, Gamma, Gaussian, Laplace, Law, StudentT, Uniform

_NODES = 16
_PIECES = (8, 16)
_FARTHER = 4
_TAIL = 1e-280
_TOLERANCE = 1e-4


@functools.lru_cache(maxsize=64)
def kernel_second_moment(law: Law) -> tuple[float, str]:
    """E τ² from above, and why it is infinite if it is.

    Args:
        law: of the weights, standardized.

    Returns:
        The number and "", or infinity and a sentence.
    """
    if law.discrete:
        return math.inf, f"the law {law.name} has atoms and therefore no Stein kernel"
    if law.highest_moment < 4:
        return math.inf, (
            f"the Stein kernel of {law.name} has no second moment: it needs the fourth moment of "
            f"the law, whose moments exist up to order {law.highest_moment:g}"
        )
    match law:
        case Gaussian():
            return 1.0, ""
        case Uniform():
            return 1.2, ""
        case Exponential():
            return 2.0, ""
        case Gamma(shape=shape):
            return 1 + 1 / float(shape), ""
        case Laplace():
            return 1.25, ""
        case StudentT(df=df):
            nu = float(df)
            return ((nu - 2) ** 2 + 2 * (nu - 2) + law.moment(4)) / (nu - 1) ** 2, ""
    coarse, fine = (_by_panels(law, pieces) for pieces in _PIECES)
    if math.isinf(fine):
        return math.inf, f"the tails of {law.name} are too heavy for ∫ S²/p to be summed"
    error = abs(fine - coarse)
    if not math.isfinite(fine) or error > _TOLERANCE * fine:
        return math.inf, (
            f"the density of {law.name} vanishes inside its support, or is too rough: ∫ S²/p did "
            "not converge, so it has no Stein kernel known here"
        )
    return fine + error, ""


def _by_panels(law: Law, pieces: int) -> float:
    panels = panel_edges(law)
    far = 2.0 ** np.arange(1, _FARTHER + 1)  # for S alone, which integrates the tail
    left, right = (panels[i] * far if math.isinf(law.support[i]) else [] for i in (0, -1))
    finer = [np.linspace(a, b, pieces + 1) for a, b in pairwise(panels)]
    edges = np.unique(np.concatenate([*finer, [0.0], left, right]))
    edges = edges[(edges >= law.support[0]) & (edges <= law.support[1])]
    x, w = legendre.leggauss(_NODES)
    half = np.diff(edges) / 2
    z = edges[:-1, None] + half[:, None] * (1 + x)
    p = np.asarray(law.density(z))
    parts = half[:, None] * ((z * p) @ integration(_NODES).T)  # ∫_{left}^{z} y p
    whole = half * ((z * p) @ w)
    above = np.cumsum(whole[::-1])[::-1]  # ∫_{left}^{∞}
    below = np.append(0.0, np.cumsum(whole)[:-1])  # ∫_{−∞}^{left}
    S = np.where(z > 0, above[:, None] - parts, -(below[:, None] + parts))
    S = np.maximum(S, 0.0)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        integrand = np.where(S > _TAIL, S / np.maximum(p, 0.0) * S, 0.0)
    carried = (half[:, None] * w * integrand).sum(1)
    ends = np.searchsorted(edges, panels)
    whole = np.array([carried[a:b].sum() for a, b in pairwise(ends)])
    return float(whole.sum() + beyond(law, whole))


@functools.lru_cache(maxsize=2)
def integration(count: int) -> np.ndarray:
    """The matrix from values at Gauss–Legendre nodes to integrals from −1 to each node."""
    x, _ = legendre.leggauss(count)
    columns = [legendre.legval(x, legendre.legint(unit, lbnd=-1)) for unit in np.eye(count)]
    return np.array(columns).T @ np.linalg.inv(legendre.legvander(x, count - 1))
