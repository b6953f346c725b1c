"""Data sets of several grid points brought to the same inner axes, in the order of their labels.

Grid points may have other inner labels: more train points, other times, other followed points. All
get the union of the labels: numbers in increasing order, points as everywhere else, train 0, train
1, … train 10, … test 0. What a grid point does not have is not a number.
"""

import re
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

_FIRST = {"train": 0, "test": 1}


def aligned(sets: "Sequence[xr.Dataset]") -> "list[xr.Dataset]":
    """The same data sets, all with the same variables and the same labels of every inner axis.

    Args:
        sets: of grid points, at least one.
    """
    import xarray as xr

    labels = {dim: _union([s[dim].values for s in sets if dim in s.coords]) for dim in _dims(sets)}
    known: dict[Hashable, xr.DataArray] = {}
    for each in sets:
        for name, values in each.data_vars.items():
            known.setdefault(name, values)
    made = []
    for each in sets:
        whole = each.reindex({dim: label for dim, label in labels.items() if dim in each.coords})
        for name, like in known.items():
            if name not in whole:
                shape = [len(labels[dim]) for dim in like.dims]
                whole[name] = (like.dims, np.full(shape, np.nan), like.attrs)
        missing = {dim: label for dim, label in labels.items() if dim not in whole.coords}
        made.append(whole.assign_coords(missing)[list(known)])
    return made


def in_order(label: Any) -> tuple:
    """The place of a label: numbers by size, words one by one, those of points train before test.

    Example:
        >>> from widthwise.experiments.studies.aligned import in_order
        >>> sorted(["test 0", "train 10", "train 2"], key=in_order)
        ['train 2', 'train 10', 'test 0']
    """
    if not isinstance(label, str):
        return (label,)
    words = re.split(r"\s+", label)
    numbered = [
        (0, int(word), "") if word.isdigit() else (1, _FIRST.get(word, 2), word) for word in words
    ]
    return (len(words), numbered)


def _dims(sets: "Sequence[xr.Dataset]") -> list[Hashable]:
    return list(dict.fromkeys(dim for each in sets for dim in each.coords))


def _union(labels: list[np.ndarray]) -> list:
    if all(np.array_equal(label, labels[0]) for label in labels):
        return labels[0].tolist()
    return sorted(dict.fromkeys(v for each in labels for v in each.tolist()), key=in_order)
