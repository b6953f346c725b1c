r"""Verified bounds of the extreme eigenvalues of symmetric float64 matrices.

From below: if the Cholesky factorization of A - sI, with its pivots as intervals, ends with every
pivot above 0, then A - sI is positive definite and λ_min(A) > s. s starts at the computed λ_min
less a few units of rounding; where these units matter s is found by bisection, so that eigenvalues
far below the resolution of float64 solvers (Hilbert matrices) are bounded too.

From above, and from below for large matrices: if LAPACK's Cholesky factorization of B, m × m, runs
to its end in float64, then

    λ_min(B) ≥ -γ_{m+1}/(1 - γ_{m+1}) tr B

(S. M. Rump, BIT 46 (2006) 433, after Higham, Accuracy and Stability of Numerical Algorithms,
Theorem 10.5), which bounds λ_max(A) for B = sI - A.
"""

import numpy as np
from jaxtyping import Float

from widthwise.certify.rigorous.intervals import below, context, exact, upper

UNIT = 2.0**-53
_TINY = 1e-290  # far above what underflow can add
_LARGE = 120  # rows from which float64 factorizations are tried first
_HALVINGS = 30
_TRIALS = 200  # of ever larger shifts, until no bound is given
_ACCURATE = 1e-6  # bisect where rounding is above this part of λ_min


def smallest_eigenvalue(matrix: Float[np.ndarray, "rows rows"]) -> float:
    """A verified lower bound of λ_min; minus infinity where none is found."""
    step = (len(matrix) + 4) * UNIT * float(np.abs(matrix).sum(1).max()) + _TINY
    computed = float(np.linalg.eigvalsh(matrix)[0])
    if len(matrix) > _LARGE:
        quick = -largest_eigenvalue(-matrix)
        if quick > 0 and computed - quick < 1e-3 * computed:
            return quick
    for _ in range(_TRIALS):
        if positive_definite(matrix, computed - step):
            break
        step *= 8
    else:
        return -np.inf
    low, high = computed - step, computed + step
    if step < _ACCURATE * computed:
        return low
    for _ in range(_HALVINGS if len(matrix) <= _LARGE else 0):
        middle = (low + high) / 2
        low, high = (middle, high) if positive_definite(matrix, middle) else (low, middle)
    return low


def largest_eigenvalue(matrix: Float[np.ndarray, "rows rows"]) -> float:
    """A verified upper bound of λ_max; infinite where none is found."""
    count, iv = len(matrix), context()
    size = float(np.abs(matrix).sum(1).max())
    step = (count + 4) * UNIT * size + _TINY
    shift = float(np.linalg.eigvalsh(matrix)[-1]) + step
    for _ in range(_TRIALS):
        shifted = -matrix
        shifted[np.diag_indices(count)] += shift
        try:
            np.linalg.cholesky(shifted)
            break
        except np.linalg.LinAlgError:
            step *= 2
            shift += step
    else:
        return np.inf
    gamma = exact((count + 1) * UNIT) / (1 - exact((count + 1) * UNIT))
    trace = sum((exact(value) for value in np.diag(shifted)), iv.mpf(0))
    rounded = exact(UNIT) * exact(float(np.abs(np.diag(shifted)).max()))
    return upper(exact(shift) + gamma / (1 - gamma) * trace + rounded + exact(_TINY))


def positive_definite(matrix: Float[np.ndarray, "rows rows"], shift: float) -> bool:
    """Whether ``matrix - shift I`` is positive definite, if interval pivots can tell."""
    iv, s, zero = context(), exact(shift), exact(0.0)
    rows: list[list] = []
    for i in range(len(matrix)):
        row: list = []
        for j in range(i):
            total = exact(matrix[i, j])
            for a, b in zip(row, rows[j], strict=False):
                total -= a * b
            row.append(total / rows[j][j])
        pivot = exact(matrix[i, i]) - s
        for a in row:
            pivot -= a**2
        if not below(zero, pivot):
            return False
        rows.append([*row, iv.sqrt(pivot)])
    return True
