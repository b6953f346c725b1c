"""Set partitions, and the exchange of moments and cumulants.

For random variables X_1..X_p with joint moments μ(S) = E ∏_{i∈S} X_i, the joint cumulant is

    κ(X_1..X_p) = Σ_{π ⊢ {1..p}} (−1)^{|π|−1} (|π|−1)! ∏_{B∈π} μ(B),

the sum over set partitions π of {1..p} with blocks B (McCullagh, *Tensor Methods in Statistics*,
§2.3), and conversely μ = Σ_π ∏_{B∈π} κ(B). Both are exact.
"""

import itertools
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


@lru_cache(maxsize=1024)
def multiset_partitions(counts: tuple[int, ...]) -> tuple[tuple[tuple[Block, ...], int], ...]:
    """The partitions of a multiset into parts, and how many set partitions each stands for.

    Of positions that hold value v counts[v] times, a set partition has blocks; what matters of a
    block is how often it holds each value. Parts come in decreasing order.

    Args:
        counts: how often each value appears.

    Example:
        >>> from widthwise.algebra.partitions import multiset_partitions
        >>> multiset_partitions((2,))  # {a, a}: together or apart
        ((((2,),), 1), (((1,), (1,)), 1))
    """
    every = math.prod(map(math.factorial, counts))

    def ways(parts: tuple[Block, ...]) -> int:
        inner = math.prod(math.factorial(c) for part in parts for c in part)
        same = math.prod(math.factorial(parts.count(part)) for part in set(parts))
        return every // (inner * same)

    def parts_of(rest: Block, largest: Block) -> "list[tuple[Block, ...]]":
        if not any(rest):
            return [()]
        found = []
        for part in itertools.product(*(range(c, -1, -1) for c in rest)):
            if any(part) and part <= largest:
                left = tuple(c - k for c, k in zip(rest, part, strict=True))
                found += [(part, *others) for others in parts_of(left, part)]
        return found

    return tuple((parts, ways(parts)) for parts in parts_of(counts, counts))


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
