"""Streaming moments of a block of networks, and how those of several blocks merge.

A network's number under the key decides its group, number mod 32, whatever block it is in: the
merged power sums are those of all networks at once, up to the rounding of one more addition.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from widthwise._vocabulary import ArrayLike
from widthwise.experiments.quantities.coverage import NotCovered
from widthwise.experiments.quantities.quantity import Arrays
from widthwise.finite.estimators import PowerSums

GROUPS = 32


def sums(
    name: str,
    samples: Float[np.ndarray, "members *rest variables"],
    pivot: ArrayLike,
    order: int,
    first: int,
    lost: Bool[np.ndarray, " members"] | None = None,
) -> Arrays:
    """Power sums of a block whose first network has number ``first``, as arrays to store.

    Args:
        name: of these sums.
        samples: of the networks.
        pivot: about which powers are taken.
        order: of the cumulants wanted.
        first: number of the first network.
        lost: which networks are left out; they count for nothing, the others as ever.
    """
    pivot = np.broadcast_to(np.asarray(pivot, float), np.shape(samples)[1:])
    left_out = np.zeros(GROUPS)
    if lost is not None and lost.any():
        samples = np.array(samples)
        samples[lost] = pivot  # adds zeros
        np.add.at(left_out, (first + np.flatnonzero(lost)) % GROUPS, 1)
    found = PowerSums.empty(pivot, order, GROUPS).update(samples)
    turned = {
        "counts": np.roll(found.counts, first % GROUPS) - left_out,
        "sums": np.roll(found.sums, first % GROUPS, axis=0),
    }
    return {f"{name}.{key}": value for key, value in (found.arrays() | turned).items()}


def merged(name: str, blocks: Sequence[Arrays]) -> PowerSums:
    """The power sums of all blocks, added in their order.

    Raises:
        NotCovered: for too few networks for standard errors.
    """
    total: PowerSums | None = None
    for block in blocks:
        part = PowerSums.from_arrays({k: block[f"{name}.{k}"] for k in _PARTS})
        total = part if total is None else total.merge(part)
    if total is None:
        raise ValueError("no block to merge; compute one first")
    filled = total.counts[total.counts > 0]
    if len(filled) < 2 or total.count - filled.max() < total.order:
        raise NotCovered(
            f"cumulants to order {total.order} and their errors need more networks than "
            f"{total.count}"
        )
    return total


def diverged(blocks: Sequence[Arrays]) -> tuple[tuple[()], int]:
    """How many networks of some blocks diverged, as a variable of a result."""
    return (), sum(int(block["diverged"]) for block in blocks)


_PARTS = ("order", "pivot", "counts", "sums")


def root(mean_square: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """√ of a mean square and its standard error."""
    value = np.sqrt(np.maximum(mean_square, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return value, np.where(value > 0, error / (2 * value), 0.0)
