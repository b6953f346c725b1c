r"""The distance that no width removes: an output bias of a law that is not Gaussian.

With such a bias b the limit is N(0, σ² − σ_b²) convolved with the law of σ_b b,

    F(x) = E Φ((x − σ_b b)/√(σ² − σ_b²)),

not Gaussian at all. Its distance from N(0, σ²) is what is left as n → ∞.
"""

import numpy as np
from scipy.special import ndtr

from widthwise.algebra.gaussian import Estimate
from widthwise.model.laws import Law

_NODES = (96, 192)
_GRID = np.linspace(-12.0, 12.0, 9601)


def distance_of_the_limit(law: Law, bias: float, std: float, metric: str) -> Estimate:
    """The distance of F from N(0, σ²), in units of σ for ``"wasserstein"``.

    Args:
        law: of the output bias b.
        bias: σ_b times the factor by which the projection multiplies it.
        std: σ, above σ_b.
        metric: ``"wasserstein"`` or ``"kolmogorov"``.
    """
    share = abs(bias) / std
    coarse, fine = (_difference(law, bias / std, share, nodes) for nodes in _NODES)
    found = []
    for difference in (coarse, fine):
        size = np.abs(difference)
        found.append(np.trapezoid(size, _GRID) if metric == "wasserstein" else size.max())
    return Estimate(np.asarray(found[1]), np.asarray(abs(found[1] - found[0]) + 1e-6 * found[1]))


def _difference(law: Law, shift: float, share: float, count: int) -> np.ndarray:
    """F − Φ on the grid, in units of σ."""
    nodes, weights = law.quadrature(count)
    width = np.sqrt(max(1 - share**2, 0.0))
    total = -ndtr(_GRID)
    for b, w in zip(nodes, weights, strict=True):
        total = total + w * ndtr((_GRID - shift * b) / max(width, 1e-12))
    return total
