r"""How far a distribution function Φ + δ is from Φ, where δ is a Hermite perturbation.

    δ(u) = −φ(u) q(u),    q = Σ_j q_j He_j,                                                     (1)

φ the standard normal density, is what a correction to a standard Gaussian looks like (an Edgeworth
series has j = r − 1). Both distances are exact once the roots are known, because φ He_j has the
antiderivative −φ He_{j−1} (Φ for j = 0) and the derivative −φ He_{j+1}:

    W₁ = ∫ |δ| du = Σ_i |G(b_{i+1}) − G(b_i)|,    G = q_0 Φ − φ Σ_{j≥1} q_j He_{j−1},           (2)
    KS = sup |δ|   = max_i |δ(s_i)|,

b_i the roots of q and s_i those of Σ_j q_j He_{j+1}. Points too many among the b_i or s_i change
nothing, so the real parts of all roots serve: a double root that rounding has split into a complex
pair is still met. W₁ is the Wasserstein-1 distance where Φ + δ is a distribution function, and the
natural continuation where it is not.

The roots are eigenvalues of the comrade pencil of the normalized polynomials He_j/√j!, which is
backward stable in that basis (Good 1961; Nakatsukasa and Noferini 2016): a leading coefficient that
is all but zero sends its roots to infinity and leaves the others alone.
"""

import numpy as np
import scipy.linalg
from jaxtyping import Float
from numpy.polynomial import hermite_e
from scipy.special import gammaln, ndtr

Weights = Float[np.ndarray, " degrees"]
_FAR = 38.0  # φ underflows beyond
_DENSITY = (2 * np.pi) ** -0.5
_CRAMER = 1.0865 * _DENSITY  # |φ He_j| ≤ 1.0865 φ(0) √j! (Cramér's inequality)


def wasserstein(weights: Weights) -> float:
    """The integral of |δ| for the coefficients q_j, by equation (2)."""
    edges = np.concatenate([[-_FAR], _real_parts(weights), [_FAR]])
    integral = weights[0] * ndtr(edges)
    if len(weights) > 1:
        integral = integral - _density(edges) * hermite_e.hermeval(edges, weights[1:])
    return float(np.abs(np.diff(integral)).sum())


def kolmogorov(weights: Weights) -> float:
    """The largest |δ| for the coefficients q_j."""
    extrema = _real_parts(np.concatenate([[0.0], weights]))
    if not len(extrema):
        return 0.0
    return float(np.abs(_density(extrema) * hermite_e.hermeval(extrema, weights)).max())


def wasserstein_bound(sizes: Weights) -> float:
    """A bound on :func:`wasserstein` for all |q_j| ≤ sizes_j: ∫ φ |He_j| ≤ √j!."""
    return float(sizes @ _roots_of_factorials(len(sizes)))


def kolmogorov_bound(sizes: Weights) -> float:
    """A bound on :func:`kolmogorov` for all |q_j| ≤ sizes_j."""
    return _CRAMER * wasserstein_bound(sizes)


def _real_parts(weights: Weights) -> np.ndarray:
    """Real parts of the roots of Σ_j weights_j He_j, in order, those far outside left out."""
    normalized = weights * _roots_of_factorials(len(weights))
    present = np.flatnonzero(normalized)
    if not len(present) or present[-1] == 0:
        return np.zeros(0)
    d = int(present[-1])
    a = normalized[: d + 1] / np.abs(normalized).max()
    steps = np.sqrt(np.arange(1.0, d))
    left, right = np.diag(steps, 1) + np.diag(steps, -1), np.eye(d)
    right[-1, -1] = a[d]
    left[-1] *= a[d]
    left[-1] -= np.sqrt(d) * a[:d]
    alpha, beta = np.asarray(scipy.linalg.eigvals(left, right, homogeneous_eigvals=True))
    near = np.abs(alpha) < _FAR * np.abs(beta)
    return np.sort((alpha[near] / beta[near]).real)


def _density(u: np.ndarray) -> np.ndarray:
    return _DENSITY * np.exp(-np.square(u) / 2)


def _roots_of_factorials(count: int) -> np.ndarray:
    return np.exp(gammaln(np.arange(count) + 1.0) / 2)
