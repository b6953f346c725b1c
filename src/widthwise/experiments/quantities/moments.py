"""Streaming moments of a block of networks, and how those of several blocks merge.

A network's number under the key decides its group, number mod 32, whatever block it is in: the
merged power sums are those of all networks at once, up to the rounding of one more addition.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from widthwise._vocabulary import ArrayLike
from widthwise.experiments.quantities.quantity import Arrays
from widthwise.finite.estimators import PowerSums

GROUPS = 32


def sums(
    name: str,
    samples: Float[np.ndarray, "members *rest variables"],
    pivot: ArrayLike,
    order: int,
    first: int,
) -> Arrays:
    """Power sums of a block whose first network has number ``first``, as arrays to store."""
    pivot = np.broadcast_to(np.asarray(pivot, float), np.shape(samples)[1:])
    found = PowerSums.empty(pivot, order, GROUPS).update(samples)
    turned = {
        "counts": np.roll(found.counts, first % GROUPS),
        "sums": np.roll(found.sums, first % GROUPS, axis=0),
    }
    return {f"{name}.{key}": value for key, value in (found.arrays() | turned).items()}


def merged(name: str, blocks: Sequence[Arrays]) -> PowerSums:
    """The power sums of all blocks, added in their order."""
    total: PowerSums | None = None
    for block in blocks:
        part = PowerSums.from_arrays({k: block[f"{name}.{k}"] for k in _PARTS})
        total = part if total is None else total.merge(part)
    if total is None:
        raise ValueError("no block to merge; compute one first")
    return total


_PARTS = ("order", "pivot", "counts", "sums")


def root(mean_square: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """√ of a mean square and its standard error."""
    value = np.sqrt(np.maximum(mean_square, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return value, np.where(value > 0, error / (2 * value), 0.0)
