"""Canonical names of tensors over jet channels: directions relabelled, symmetric slots permuted."""

from functools import lru_cache
from itertools import permutations

from widthwise.training.blocks.deep.observables import Type

Slots = tuple[int, ...]

_PAIR_PAIR: tuple[Slots, ...] = tuple(
    (*first, *second)
    for one, two in (((0, 1), (2, 3)), ((2, 3), (0, 1)))
    for first in permutations(one)
    for second in permutations(two)
)


@lru_cache(maxsize=4096)
def canonical(types: tuple[Type, ...], *, pairs: bool = False) -> tuple[tuple[Type, ...], Slots]:
    """The name a tensor is kept under, and the axes that bring the kept one to the one asked for.

    Args:
        types: of the channels, slot by slot.
        pairs: whether the tensor is a covariance of two pairs, symmetric within the pairs and
            under their exchange; else it is symmetric in all slots.
    """
    directions = sorted({c for S in types for c in S})
    symmetries = _PAIR_PAIR if pairs else tuple(permutations(range(len(types))))
    candidates = []
    for labels in permutations(range(1, len(directions) + 1)):
        name = dict(zip(directions, labels, strict=True))
        relabelled = [tuple(sorted(name[c] for c in S)) for S in types]
        candidates += [(tuple(relabelled[i] for i in order), order) for order in symmetries]
    name, order = min(candidates)
    return name, tuple(order.index(slot) for slot in range(len(order)))
