"""From cumulants to Hermite coefficients: the exponential of a series in ε over polynomials in t.

With Λ(t) = Σ_{j≥1} ε^j Λ_j(t), Λ_j a polynomial of degree j + 2 (McCullagh 1987, ch. 5), the
coefficients of C(t) = exp Λ(t) = Σ_k ε^k C_k(t) follow from ε ∂C/∂ε = (ε ∂Λ/∂ε) C,

    C_0 = 1,        k C_k = Σ_{j=1}^{k} j Λ_j C_{k−j},        deg C_k ≤ 3k.

Polynomials in D variables are rows over :func:`~widthwise.algebra.hermite.multi_indices`; a column
is a power of ε. To first order an error δκ_α of a cumulant moves C by C δκ_α t^α / α!, which also
holds for α of the limiting covariance: with it the degree is at most 3P + 2.
"""

from functools import lru_cache
from itertools import combinations_with_replacement
from math import comb, factorial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from widthwise import _checks as checks
from widthwise.algebra.hermite import multi_indices

_MOST_INDICES = 100_000
_NUMBERS_AT_ONCE = 4_000_000


class Expansion(NamedTuple):
    """Σ_α c_α t^α truncated after ε^P, and how far every coefficient may be off.

    Args:
        indices: the multi-indices α.
        coefficients: c_α by power of ε.
        errors: first-order effect of the errors of the cumulants.
    """

    indices: Int[np.ndarray, "indices dimension"]
    coefficients: Float[np.ndarray, "indices orders_plus_1"]
    errors: Float[np.ndarray, "indices orders_plus_1"]

    def at(self, width: float, order: int) -> Float[np.ndarray, " indices"]:
        """Σ_{k ≤ order} n^{-k/2} c_α^{(k)}."""
        return self.coefficients[:, : order + 1] @ width ** (-0.5 * np.arange(order + 1))


def expansion(
    cumulants: Float[np.ndarray, "indices orders_plus_1"],
    errors: Float[np.ndarray, "indices orders_plus_1"],
    dimension: int,
) -> Expansion:
    """The coefficients c_α of exp Λ(t), |α| ≤ 3P + 2, from cumulants over |α| ≤ P + 2.

    Args:
        cumulants: κ_α by power of ε; the order-0 part of |α| = 2 is the limiting covariance.
        errors: of the cumulants.
        dimension: D.
    """
    P = cumulants.shape[1] - 1
    degree = 3 * P + 2
    require_feasible(dimension, P)
    low, high = multi_indices(dimension, P + 2), multi_indices(dimension, degree)
    scale = np.array([[1 / np.prod([float(factorial(a)) for a in alpha])] for alpha in low])
    exponent, size = cumulants * scale, low.sum(1)
    places = _Places(high, degree)
    c = np.zeros((len(high), P + 1))
    c[0, 0] = 1.0
    for k in range(1, P + 1):
        for j in range(1, k + 1):
            terms = np.flatnonzero((exponent[:, j] != 0) & (size >= 1) & (size <= j + 2))
            c[:, k] += places.product(low, terms, exponent[:, j] * j / k, c[:, k - j])
    spread = np.zeros_like(c)
    for k in range(P + 1):
        for j in range(k + 1):
            terms = np.flatnonzero((errors[:, j] != 0) & (size >= 1) & (size <= j + 2))
            spread[:, k] += places.product(low, terms, errors[:, j] * scale[:, 0], abs(c[:, k - j]))
    return Expansion(high, c, spread)


def require_feasible(dimension: int, order: int) -> None:
    """Raise where a joint law has more Hermite coefficients than can be handled."""
    count = comb(dimension + 3 * order + 2, dimension)
    if count > _MOST_INDICES:
        raise ValueError(
            f"a joint law of {dimension} variables to order {order} has {count} Hermite "
            f"coefficients, more than {_MOST_INDICES}; take fewer variables, projections of them, "
            "or a lower order"
        )


def last_order(order: int | None, highest: int) -> int:
    """The last order to sum, all by default."""
    last = highest if order is None else checks.order(order)
    if last > highest:
        raise ValueError(f"order {last} was asked of a series computed to order {highest}")
    return last


class _Places:
    """Where a sum of two multi-indices stands in the list of all."""

    def __init__(self, indices: np.ndarray, degree: int):
        self.base = (degree + 1) ** np.arange(indices.shape[1])
        self.codes = indices @ self.base
        self.sorter = np.argsort(self.codes)
        self.sorted = self.codes[self.sorter]

    def of(self, codes: np.ndarray) -> np.ndarray:
        return self.sorter[np.searchsorted(self.sorted, codes)]

    def product(self, low, terms, a, b) -> np.ndarray:
        """Coefficients of (Σ_terms a_α t^α)(Σ b_β t^β)."""
        total, others = np.zeros(len(b)), np.flatnonzero(b)
        step = max(1, _NUMBERS_AT_ONCE // max(len(others), 1))
        for start in range(0, len(terms), step):
            chosen = terms[start : start + step]
            place = self.of((low[chosen] @ self.base)[:, None] + self.codes[others])
            weights = np.outer(a[chosen], b[others])
            total += np.bincount(place.ravel(), weights.ravel(), minlength=len(b))
        return total


def projected(
    cumulants: Float[np.ndarray, "indices orders_plus_1"], matrix: Float[np.ndarray, "k dimension"]
) -> Float[np.ndarray, "indices_k orders_plus_1"]:
    """The joint cumulants of matrix · z from those of z, both over |α| ≤ P + 2."""
    k, dimension = matrix.shape
    P = cumulants.shape[1] - 1
    parts = [np.zeros((1, P + 1))]
    for r in range(1, P + 3):
        tensor = cumulants[_places_of_tensor(dimension, r, P + 2)]
        tensor = tensor.reshape(*(dimension,) * r, P + 1)
        for _ in range(r):
            tensor = np.tensordot(matrix, tensor, (1, r - 1))
        chosen = np.array(list(combinations_with_replacement(range(k), r)))
        parts.append(tensor[tuple(chosen.T)])
    return np.concatenate(parts)


@lru_cache(maxsize=64)
def _places_of_tensor(dimension: int, r: int, degree: int) -> np.ndarray:
    """Where the entries of a symmetric tensor with r indices stand in `multi_indices`."""
    entries = np.indices((dimension,) * r).reshape(r, -1)
    counts = np.stack([(entries == a).sum(0) for a in range(dimension)], 1)
    places = _Places(multi_indices(dimension, degree), degree)
    return places.of(counts @ places.base)


def hermite_sum(
    u: Float[np.ndarray, "nodes dimension"],
    indices: Int[np.ndarray, "indices dimension"],
    coefficients: Float[np.ndarray, "indices k"],
) -> Float[np.ndarray, "nodes k"]:
    """Σ_α c_α ∏_i He_{α_i}(u_i) for several sets of coefficients."""
    present = np.any(coefficients != 0, axis=1)
    indices, c = indices[present], coefficients[present]
    result = np.empty((len(u), c.shape[1]))
    step = max(1, _NUMBERS_AT_ONCE // max(len(indices), 1))
    for start in range(0, len(u), step):
        part = u[start : start + step]
        basis = np.ones((len(part), len(indices)))
        for i in range(indices.shape[1]):
            basis *= hermite_table(part[:, i], int(indices.max(initial=0)))[:, indices[:, i]]
        result[start : start + step] = basis @ c
    return result


def hermite_table(u: Float[np.ndarray, " nodes"], degree: int) -> np.ndarray:
    """He_0(u) … He_degree(u) on a new last axis."""
    table = np.ones((*u.shape, degree + 1))
    if degree:
        table[..., 1] = u
    for k in range(1, degree):
        table[..., k + 1] = u * table[..., k] - k * table[..., k - 1]
    return table
