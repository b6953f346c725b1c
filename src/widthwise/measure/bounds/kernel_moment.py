r"""The second moment of the Stein kernel of a law on the line.

The kernel τ is that of :mod:`widthwise.measure.stein_kernel`, with E τ = 1 for variance 1. What the
bounds need is E τ² ≥ 1, equal only for the Gaussian:

    Gaussian 1,  uniform 6/5,  gamma(k) 1 + 1/k (exponential 2),  Laplace 5/4,
    Student t: τ = (ν − 2 + a²)/(ν − 1), so ((ν − 2)² + 2(ν − 2) + μ₄)/(ν − 1)².

Other laws by Gauss–Legendre panels: ∫ S²/p with S(a) = ∫_a^∞ y p = −∫_{−∞}^a y p, summed from the
nearer end. Atoms, and gaps in which p = 0, leave no Stein kernel of finite second moment.
"""

import functools
import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.polynomial import legendre

from widthwise.limit.first_layer.rules import panel_edges
from widthwise.model.laws import Exponential, Gamma, Gaussian, Laplace, Law, StudentT, Uniform

_NODES = 16
_PIECES = (8, 16)
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
    error = abs(fine - coarse)
    if not math.isfinite(fine) or error > _TOLERANCE * fine:
        return math.inf, (
            f"the density of {law.name} vanishes inside its support, or is too rough: ∫ S²/p did "
            "not converge, so it has no Stein kernel known here"
        )
    return fine + error, ""


def _by_panels(law: Law, pieces: int) -> float:
    edges = panel_edges(law)
    finer = [np.linspace(a, b, pieces + 1) for a, b in pairwise(edges)]
    edges = np.unique(np.concatenate([*finer, [0.0]]))
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
    return float((half[:, None] * w * integrand).sum())


def law_expectation(law: Law, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """E function(a), smooth but for a kink at 0, for a function (nodes,) → (nodes, ...)."""
    if law.discrete:
        nodes, weights = law.quadrature(1)
        return np.tensordot(weights, function(nodes), 1)
    edges = panel_edges(law)
    inside = [[0.0]] if edges[0] < 0 < edges[-1] else []
    edges = np.unique(np.concatenate([edges, *inside]))
    x, w = legendre.leggauss(40)
    half = np.diff(edges)[:, None] / 2
    z = (edges[:-1, None] + half * (1 + x)).ravel()
    return np.tensordot((half * w).ravel() * law.density(z), function(z), 1)


@functools.lru_cache(maxsize=2)
def integration(count: int) -> np.ndarray:
    """The matrix from values at Gauss–Legendre nodes to integrals from −1 to each node."""
    x, _ = legendre.leggauss(count)
    columns = [legendre.legval(x, legendre.legint(unit, lbnd=-1)) for unit in np.eye(count)]
    return np.array(columns).T @ np.linalg.inv(legendre.legvander(x, count - 1))
