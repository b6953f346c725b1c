"""Set partitions, and the exchange of moments and cumulants.

For random variables X_1..X_p with joint moments μ(S) = E ∏_{i∈S} X_i, the joint cumulant is

    κ(X_1..X_p) = Σ_{π ⊢ {1..p}} (−1)^{|π|−1} (|π|−1)! ∏_{B∈π} μ(B),

the sum over set partitions π of {1..p} with blocks B (McCullagh, *Tensor Methods in Statistics*,
§2.3), and conversely μ = Σ_π ∏_{B∈π} κ(B). Both are exact.
"""

import math
from collections.abc import Callable
from functools import cache, lru_cache
from typing import TypeAlias, TypeVar

Block: TypeAlias = tuple[int, ...]
Partition: TypeAlias = tuple[Block, ...]
Value = TypeVar("Value")


@cache
def set_partitions(size: int) -> tuple[Partition, ...]:
    """All set partitions of {0..size−1}; there are Bell(size) of them."""
    if size == 0:
        return ((),)
    last = size - 1
    partitions = []
    for smaller in set_partitions(last):
        partitions.append((*smaller, (last,)))
        partitions.extend(
            (*smaller[:i], (*block, last), *smaller[i + 1 :]) for i, block in enumerate(smaller)
        )
    return tuple(partitions)


def mobius(blocks: int) -> int:
    """(−1)^{b−1} (b−1)!, the weight of a partition into b blocks in a cumulant."""
    return (-1) ** (blocks - 1) * math.factorial(blocks - 1)


def joint_cumulant(moment: Callable[[Block], float], size: int) -> float:
    """Joint cumulant of ``size`` variables from their joint moments.

    Args:
        moment: the joint moment of a block of positions, μ(B).
        size: the number of variables.
    """
    moment = lru_cache(maxsize=None)(moment)
    return math.fsum(
        mobius(len(partition)) * math.prod(moment(block) for block in partition)
        for partition in set_partitions(size)
    )
