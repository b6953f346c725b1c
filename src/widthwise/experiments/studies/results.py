"""The results of a study as an xarray.DataTree: one labelled data set per quantity.

Every axis of the study of which a quantity reads a field is a dimension of its data set, named by
the field: width, depth, law, activation, seed …; a [zip] is one dimension, with every zipped field
as a coordinate of it. The quantity's own dimensions follow: time, point, cumulant, member ….
A grid point that has no result yet, or for which there is none, is not a number; ``attrs`` say why.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from widthwise.experiments.quantities import NotCovered, refusal
from widthwise.experiments.quantities.quantity import Arrays, Result
from widthwise.experiments.quantities.setting import setting
from widthwise.experiments.spec import Axis
from widthwise.experiments.spec.study.axes import dimension, label
from widthwise.experiments.store import Store
from widthwise.experiments.studies.aligned import aligned
from widthwise.experiments.studies.asked import Asked, job

if TYPE_CHECKING:
    import xarray as xr

_INSTALL = (
    "results are labelled by xarray, which is not installed; install it with "
    "pip install 'widthwise[cluster]'"
)


def tree(asked: Sequence[Asked], store: Store, attributes: dict[str, str]) -> "xr.DataTree":
    """All results that a store holds.

    Args:
        asked: what the study asks.
        store: where its blocks are.
        attributes: of the tree: title, hash of the spec.

    Raises:
        ImportError: without xarray.
    """
    try:
        import xarray as xr
    except ImportError as error:
        raise ImportError(_INSTALL) from error
    done = store.done()
    sets = {each.quantity.name: _data_set(each, store, done) for each in asked}
    root = xr.Dataset(attrs=attributes)
    return xr.DataTree.from_dict({"/": root, **{f"/{name}": found for name, found in sets.items()}})


class _Blocks(Sequence[Arrays]):
    """Blocks of one request, read when they are looked at, so that many need little memory."""

    def __init__(self, store: Store, names: Sequence[str]):
        self.store, self.names = store, tuple(names)

    @overload
    def __getitem__(self, index: int) -> Arrays: ...
    @overload
    def __getitem__(self, index: slice) -> "_Blocks": ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return _Blocks(self.store, self.names[index])
        return self.store.read(self.names[index])

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Arrays]:
        return map(self.store.read, self.names)


def _data_set(asked: Asked, store: Store, done: set[str]) -> "xr.Dataset":
    import xarray as xr

    found: dict[tuple[int, ...], xr.Dataset] = {}
    notes: dict[str, list[str]] = {}
    merged: dict[str, xr.Dataset] = {}
    for place, request in asked.requests.items():
        if request.hash not in merged:
            names = [job(request, block).name for block in range(asked.blocks[place])]
            there = [name for name in names if name in done]
            if not there:
                continue
            blocks = _Blocks(store, there)
            reason = next(filter(None, map(refusal, blocks)), None)
            try:
                if reason is None:
                    merged[request.hash] = _labelled(asked.quantity.merge(setting(request), blocks))
            except NotCovered as error:  # too few networks so far for standard errors
                reason = str(error)
            if reason is not None:
                notes.setdefault(reason, []).append(_named(asked.axes, place))
                continue
        found[place] = merged[request.hash]
    whole = _stacked(found, asked.axes) if found else xr.Dataset(coords=_coordinates(asked.axes))
    whole.attrs["quantity"] = asked.quantity.name
    if notes:
        whole.attrs["no_result"] = "; ".join(
            f"{reason} ({', '.join(places[:4])}{', …' if len(places) > 4 else ''})"
            for reason, places in notes.items()
        )
    return whole


def _labelled(result: Result) -> "xr.Dataset":
    import xarray as xr

    variables = {
        name: (axes, np.asarray(v), {"note": result.notes[name]} if name in result.notes else {})
        for name, (axes, v) in result.variables.items()
    }
    return xr.Dataset(variables, coords={k: (k, v) for k, v in result.coordinates.items()})


def _stacked(found: "dict[tuple[int, ...], xr.Dataset]", axes: tuple[Axis, ...]) -> "xr.Dataset":
    """One data set, the axes of the study before those of the quantity."""
    import xarray as xr

    found = dict(zip(found, aligned(list(found.values())), strict=True))
    blank = _blank(next(iter(found.values())))
    places = itertools.product(*(range(len(axis)) for axis in axes))
    level = {place: found.get(place, blank) for place in places}
    for k in range(len(axes) - 1, -1, -1):
        above = {}
        for place in dict.fromkeys(p[:k] for p in level):
            parts = [level[(*place, i)] for i in range(len(axes[k]))]
            above[place] = xr.concat(
                parts,
                dim=axes[k].dimension,
                data_vars="all",
                coords="minimal",
                compat="override",
                join="exact",
            )
        level = above
    return level[()].assign_coords(_coordinates(axes))


def _blank(like: "xr.Dataset") -> "xr.Dataset":
    import xarray as xr

    return xr.Dataset(
        {n: (v.dims, np.full(v.shape, np.nan), v.attrs) for n, v in like.data_vars.items()},
        coords=like.coords,
    )


def _coordinates(axes: tuple[Axis, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for axis in axes:
        if axis.dimension == "case":
            found["case"] = ("case", np.arange(len(axis)))
        for i, field in enumerate(axis.fields):
            values = [label(field, row[i]) for row in axis.values]
            if len({type(v) for v in values}) > 1 and any(isinstance(v, str) for v in values):
                values = [str(v) for v in values]
            found[dimension(field)] = (axis.dimension, values)
    return found


def _named(axes: tuple[Axis, ...], place: tuple[int, ...]) -> str:
    words = [
        f"{dimension(field)} = {label(field, axis.values[i][k])}"
        for axis, i in zip(axes, place, strict=True)
        for k, field in enumerate(axis.fields)
    ]
    return ", ".join(words) or "all grid points"
