r"""The leading term of W₂ between the joint law of several outputs and its Gaussian limit.

If the density is γ_K (1 + ε^k h + …) with h = Σ_α c_α He_α in the whitened eigenbasis of K, whose
eigenvalues are λ_i, then

    lim ε^{-k} W₂ = ‖h‖_{Ḣ^{-1}(γ_K)} = (Σ_α c_α² α! / Σ_i (α_i/λ_i))^{1/2},

because the Ornstein–Uhlenbeck operator −Δ + x·K^{-1}∇ has the eigenvalue Σ α_i/λ_i at He_α. With
the third cumulants alone this is A₃, with the fourth A₄; all of order ε^k counts here, mean and
covariance too. Eigenvalues that vanish are directions in which nothing varies; they are left out.
"""

import math

import numpy as np

from widthwise.initial.edgeworth.expansion import expansion
from widthwise.measure.predicted.source import Table

_SINGULAR = 1e-10
_NOTHING = 1e-12


def leading(table: Table) -> tuple[int | None, float, float, int]:
    """The first order k that adds something, the constant, its error, and directions left out."""
    values, vectors = np.linalg.eigh(table.covariance)
    kept = values > _SINGULAR * values[-1]
    lam = values[kept]
    matrix = vectors[:, kept].T / np.sqrt(lam)[:, None]
    cumulants, errors = table.along(matrix)
    k = table.kept
    rows = math.comb(len(lam) + k + 2, k + 2)  # multi-indices stand in order of their degree
    expanded = expansion(cumulants[:rows, : k + 1], errors[:rows, : k + 1], len(lam))
    indices = expanded.indices
    factorials = np.array([math.prod(math.factorial(a) for a in alpha) for alpha in indices])
    rates = indices @ (1 / lam)
    weights = np.where(rates > 0, factorials / np.where(rates > 0, rates, 1.0), 0.0)
    sizes = np.sqrt(weights @ expanded.coefficients**2)
    off = np.sqrt(weights @ expanded.errors**2)
    for order in range(1, k + 1):
        if sizes[order] > max(_NOTHING * np.sqrt(lam[-1]), 2 * off[order]):
            return order, float(sizes[order]), float(off[order]), int((~kept).sum())
    return None, 0.0, float(off.max()), int((~kept).sum())
