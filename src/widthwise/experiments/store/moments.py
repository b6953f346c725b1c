"""Power sums of very many networks from the blocks that hold a part of them each.

A block stores :meth:`PowerSums.arrays` of its members, not the members; merging is addition, done
in the order of the names given, so the result is the same bit for bit whoever computed the blocks.
"""

from collections.abc import Iterable

from widthwise.experiments.store.store import Store
from widthwise.finite.estimators import PowerSums


def merged_moments(store: Store, names: Iterable[str], prefix: str = "") -> PowerSums:
    """The power sums of all members of some blocks; one block is in memory at a time.

    Args:
        store: where the blocks are.
        names: of the blocks, in the order of merging.
        prefix: of the arrays' names, if a block holds several sets of power sums.

    Raises:
        ValueError: for no names, or blocks of different orders or pivots.
        KeyError: if a block has no such arrays.
    """
    total = None
    for name in names:
        arrays = store.read(name)
        part = PowerSums.from_arrays(
            {key: arrays[prefix + key] for key in ("order", "pivot", "counts", "sums")}
        )
        total = part if total is None else total.merge(part)
    if total is None:
        raise ValueError("names must hold at least one block, got none")
    return total
