"""Gauss rules from three-term recurrences.

Orthonormal polynomials of a law obey β_{k+1} p_{k+1}(x) = (x − α_k) p_k(x) − β_k p_{k−1}(x).
The n nodes are the eigenvalues of the symmetric tridiagonal (α, β) matrix (Golub and Welsch 1969);
the weights are the Christoffel numbers 1/Σ_k p_k(x_i)², which stay relatively accurate where
squared eigenvector entries sink into rounding. The rule is exact for polynomials of degree 2n − 1.
"""

import numpy as np
from scipy.linalg import eigh_tridiagonal, eigvalsh_tridiagonal


def rule(alpha: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights from the n diagonal entries α and the n − 1 off-diagonal entries β."""
    x = np.asarray(eigvalsh_tridiagonal(alpha, beta) if len(alpha) > 1 else alpha, np.float64)
    if not np.any(alpha):  # a symmetric law has symmetric nodes, to the last bit
        x = (x - x[::-1]) / 2
    before, now, total = np.zeros_like(x), np.ones_like(x), np.ones_like(x)
    with np.errstate(over="ignore", invalid="ignore"):  # an overflow is a node without weight
        for k, b in enumerate(beta):
            previous = beta[k - 1] if k else 0.0
            before, now = now, ((x - alpha[k]) * now - previous * before) / b
            total = total + now**2
        weights = np.where(np.isfinite(total), 1 / total, 0.0)
    return x, weights / weights.sum()


def legendre(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The rule of the uniform law on [−1, 1]."""
    k = np.arange(1.0, count)
    return rule(np.zeros(count), k / np.sqrt(4 * k**2 - 1))


def laguerre(count: int, alpha: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """The rule of the density x^α e^{−x} / Γ(α + 1) on x > 0."""
    k = np.arange(count)
    return rule(2.0 * k + 1 + alpha, np.sqrt(k[1:] * (k[1:] + alpha)))


def of_atoms(
    nodes: np.ndarray, weights: np.ndarray, count: int, symmetric: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The rule of a finely discretized law: Lanczos (1950) with full reorthogonalization."""
    count = min(count, len(nodes))
    q = np.sqrt(weights / weights.sum())
    basis, alpha, beta = np.zeros((count, len(q))), np.zeros(count), np.zeros(count - 1)
    for k in range(count):
        basis[k] = q
        step = nodes * q
        if not symmetric:
            alpha[k] = q @ step
        if k == count - 1:
            break
        for _ in range(2):  # "twice is enough" (Parlett and Kahan)
            step = step - basis[: k + 1].T @ (basis[: k + 1] @ step)
        beta[k] = np.linalg.norm(step)
        q = step / beta[k]
    if count == 1:
        return alpha, np.ones(1)
    x, vectors = map(np.asarray, eigh_tridiagonal(alpha, beta))
    # an isolated atom has a decaying p_k, where the recurrence of ``rule`` would amplify rounding
    weights = vectors[0] ** 2
    if symmetric:
        x, weights = (x - x[::-1]) / 2, (weights + weights[::-1]) / 2
    return x, np.where(weights < 1e-30, 0.0, weights)
