"""k-statistics: the unbiased estimators of (joint) cumulants that are symmetric in the samples.

With power sums S_B = Σ_j Π_{i∈B} x_{j,i} over the samples j, and σ running over the set partitions
of the r variables,

    k = Σ_σ c(σ) Π_{B∈σ} S_B.

A cumulant is Σ_π (−1)^{b−1} (b−1)! Π_{B∈π} E x_B over partitions π into b blocks; each product of
moments is estimated without bias by the mean over b *different* samples, which Möbius inversion
turns into power sums. Hence c(σ) depends on the sizes of the blocks alone:

    c = L[ Π_{B∈σ} Σ_k S2(|B|, k) (−1)^{k−1} (k−1)! t^k ],      L[t^b] = (−1)^{b−1} (b−1)!/(N)_b,

S2 Stirling's numbers of the second kind, (N)_b = N (N − 1) ⋯ (N − b + 1) (Fisher 1930; McCullagh,
*Tensor Methods in Statistics*, 1987, chapter 4).
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from widthwise.algebra.partitions import set_partitions

Key = tuple[int, ...]
MOST = 6  # order of the cumulants


def k_statistic(indices: Key, count: np.ndarray | float, power_sum: Callable[[Key], np.ndarray]):
    """The joint k-statistic of some variables.

    Args:
        indices: the variables, such as (0, 0, 1).
        count: the number of samples N.
        power_sum: sorted tuple B of variables ↦ S_B.
    """
    total = 0.0
    for blocks in set_partitions(len(indices)):
        product = coefficient(tuple(sorted(map(len, blocks))), count)
        for block in blocks:
            product = product * power_sum(tuple(sorted(indices[i] for i in block)))
        total = total + product
    return total


def coefficient(sizes: Key, count):
    """c(σ) of a partition with these block sizes."""
    total, falling = 0.0, 1.0
    polynomial = _polynomial(sizes)
    for b in range(1, len(polynomial)):
        falling = falling * (count - b + 1)
        total = total + (-1) ** (b - 1) * math.factorial(b - 1) * polynomial[b] / falling
    return total


@lru_cache
def _polynomial(sizes: Key) -> tuple[int, ...]:
    """Coefficients of t^0, t^1, … of the product over blocks."""
    product = [1]
    for size in sizes:
        factor = [0] + [
            _stirling(size, k) * (-1) ** (k - 1) * math.factorial(k - 1) for k in range(1, size + 1)
        ]
        longer = [0] * (len(product) + size)
        for i, a in enumerate(product):
            for j, b in enumerate(factor):
                longer[i + j] += a * b
        product = longer
    return tuple(product)


@lru_cache
def _stirling(n: int, k: int) -> int:
    if n == k:
        return 1
    return 0 if k in (0, n + 1) else k * _stirling(n - 1, k) + _stirling(n - 1, k - 1)
