"""The axes of a study: fields that take several values, each alone ([grid]) or together ([zip]).

A field is named as it stands in its section, ``width`` or ``network.width``; the short name will
do, because no two sections share one (but for ``seed``: that of the networks is ``seed``, that of
the data ``data.seed``). Every combination of the axes is a grid point.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from widthwise.experiments.spec.errors import Problem
from widthwise.experiments.spec.study.sections import POINT_SECTIONS
from widthwise.experiments.spec.toml import inline, shown
from widthwise.model import laws

MOST_POINTS = 20_000
_FIXED = ("compute.quantities",)
_DIMENSIONS = {
    "network.weight_law": "law",
    "network.bias_law": "bias_law",
    "data.name": "data",
    "data.path": "data",
    "data.seed": "data_seed",
    "compute.points": "followed_points",
    "training.times": "schedule",
}
_PATHS = {
    **{f: f"{s}.{f}" for s, model in POINT_SECTIONS.items() for f in model.model_fields},
    "seed": "seed",
}


@dataclass(frozen=True)
class Axis:
    """Fields (by their paths) that vary together, and where the file says so.

    Args:
        source: "grid" or "zip".
        keys: the fields as the file names them.
        fields: their paths, "network.width".
        values: for every place on the axis, one value per field, as the file writes them.
    """

    source: str
    keys: tuple[str, ...]
    fields: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]

    @property
    def dimension(self) -> str:
        """The name of the axis in results."""
        for i, field in enumerate(self.fields):
            column = [label(field, row[i]) for row in self.values]
            if len(set(column)) == len(column):
                return dimension(field)
        return "case"

    def __len__(self) -> int:
        return len(self.values)


def dimension(field: str) -> str:
    """How results call a field."""
    return _DIMENSIONS.get(field, field.rpartition(".")[2])


def label(field: str, value: Any) -> Any:
    """A value of a field as results show it: a number or a text."""
    if field.endswith("_law"):
        each = value if isinstance(value, list | tuple) else [value]
        return "/".join(laws.get(law).name for law in each)
    return value if isinstance(value, bool | int | float | str) else inline(value)


def parse(raw: Mapping[str, Any]) -> tuple[tuple[Axis, ...], list[Problem]]:
    """The axes of a file, and what is wrong with them by themselves."""
    problems: list[Problem] = []
    columns: dict[str, tuple[str, str, tuple]] = {}
    for source in ("grid", "zip"):
        for key, value in _flat(source, raw.get(source, {}), problems):
            place = f"{source}.{key}"
            field = _field(key)
            if field is None or field in _FIXED:
                problems.append(Problem(place, shown(value), _unknown(key)))
            elif not isinstance(value, list) or not value:
                remedy = "accepted: a list of at least one value of this field, such as "
                problems.append(Problem(place, shown(value), remedy + "width = [64, 128]"))
            elif (twice := _repeated(value)) is not None and source == "grid":
                remedy = f"names the value {shown(twice)} twice; name each value once"
                problems.append(Problem(place, shown(value), remedy))
            elif field in columns:
                other = f"{columns[field][0]}.{columns[field][1]}"
                remedy = f"varies already in {other}; remove one of them"
                problems.append(Problem(place, shown(value), remedy))
            else:
                columns[field] = (source, key, tuple(value))
    axes = [
        Axis(source, (key,), (field,), tuple((v,) for v in values))
        for field, (source, key, values) in columns.items()
        if source == "grid"
    ]
    zipped = {f: (key, values) for f, (s, key, values) in columns.items() if s == "zip"}
    lengths = {key: len(values) for key, values in zipped.values()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{key} has {n}" for key, n in lengths.items())
        remedy = f"lists that vary together must be of one length, but {said}; complete them"
        problems.append(Problem("zip", shown(raw["zip"]), remedy))
    elif zipped:
        keys, fields = tuple(k for k, _ in zipped.values()), tuple(zipped)
        rows = tuple(zip(*(values for _, values in zipped.values()), strict=True))
        axes.append(Axis("zip", keys, fields, rows))
    if not problems and (count := _product(axes)) > MOST_POINTS:
        remedy = f"makes {count} grid points; accepted: at most {MOST_POINTS}: split the study"
        problems.append(Problem("grid", shown(raw.get("grid", {})), remedy))
    return tuple(axes), problems


def _flat(source: str, table: Any, problems: list[Problem]) -> Iterator[tuple[str, Any]]:
    if not isinstance(table, Mapping):
        remedy = f"accepted: a table [{source}] with lines such as width = [64, 128]"
        problems.append(Problem(source, shown(table), remedy))
        return
    for key, value in table.items():
        if key in POINT_SECTIONS and isinstance(value, Mapping):
            yield from ((f"{key}.{name}", inner) for name, inner in value.items())
        else:
            yield key, value


def _field(key: str) -> str | None:
    section, _, name = key.partition(".")
    if name:
        known = section in POINT_SECTIONS and name in POINT_SECTIONS[section].model_fields
        return key if known else None
    return _PATHS.get(key)


def _unknown(key: str) -> str:
    known = [k for k, path in _PATHS.items() if path not in _FIXED]
    close = difflib.get_close_matches(key.rpartition(".")[2], known, n=1)
    guess = f"did you mean {close[0]}? " if close else ""
    return f"no field that can vary; {guess}fields are {', '.join(known)}"


def _repeated(values: list) -> Any:
    seen: set[str] = set()
    for value in values:
        text = inline(value)
        if text in seen:
            return value
        seen.add(text)
    return None


def _product(axes: list[Axis]) -> int:
    count = 1
    for axis in axes:
        count *= len(axis)
    return count
