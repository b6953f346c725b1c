"""A study over a grid: read from a file or a mapping, checked as a whole, named by its content."""

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr, ValidationError
from pydantic_core import PydanticUndefined

from widthwise.experiments.spec import toml
from widthwise.experiments.spec.errors import Problem, SpecError
from widthwise.experiments.spec.relations import broken_relations
from widthwise.experiments.spec.study.axes import Axis, parse
from widthwise.experiments.spec.study.point import GridPoint
from widthwise.experiments.spec.study.relations import OF_A_POINT, OF_THE_STUDY
from widthwise.experiments.spec.study.sections import (
    POINT_SECTIONS,
    STUDY_SECTIONS,
    BudgetSpec,
    ExecutorSpec,
)
from widthwise.experiments.spec.wrong_fields import wrong_fields

_TOP = ("seed", *POINT_SECTIONS)


class StudySpec(GridPoint):
    """A study; made by :meth:`from_toml`. As a :class:`GridPoint` it is the first one of its grid.

    Example:
        >>> from widthwise.experiments.spec import StudySpec
        >>> spec = StudySpec.from_mapping({
        ...     "data": {"name": "iris"}, "compute": {"quantities": ["limit_kernels"]},
        ...     "grid": {"width": [64, 128], "weight_law": ["gaussian", "uniform"]}})
        >>> [axis.dimension for axis in spec.axes], len(list(spec.points()))
        (['width', 'law'], 4)
    """

    budget: BudgetSpec = Field(default_factory=BudgetSpec, description="a table [budget]")
    executor: ExecutorSpec = Field(default_factory=ExecutorSpec, description="a table [executor]")
    grid: dict[str, tuple[Any, ...]] = Field(default_factory=dict, description="a table [grid]")
    zip: dict[str, tuple[Any, ...]] = Field(default_factory=dict, description="a table [zip]")
    title: str = Field(default="A study", description="a text in quotes")

    _raw: dict[str, Any] = PrivateAttr(default_factory=dict)
    _axes: tuple[Axis, ...] = PrivateAttr(default=())

    @property
    def axes(self) -> tuple[Axis, ...]:
        """What varies: the fields of [grid], each an axis, and those of [zip], one together."""
        return self._axes

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits that name the content; title and executor are not part of it."""
        content = {k: v for k, v in self._filled().items() if k not in ("title", "executor")}
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def points(self) -> Iterator[tuple[tuple[int, ...], GridPoint]]:
        """Every grid point with its place on the axes."""
        for place in itertools.product(*(range(len(axis)) for axis in self.axes)):
            yield place, self.at(place)

    def at(self, place: tuple[int, ...]) -> GridPoint:
        """The grid point at a place on the axes."""
        merged = _at(self._raw, self.axes, place)
        return GridPoint.model_validate({k: v for k, v in merged.items() if k in _TOP})

    def with_paths(self, base_folder: str | Path) -> "StudySpec":
        """The same study with absolute paths of its data files."""
        raw = {k: dict(v) if isinstance(v, Mapping) else v for k, v in self._raw.items()}

        def absolute(path: str) -> str:
            return str((Path(base_folder) / path).resolve())

        if "path" in raw.get("data", {}):
            raw["data"]["path"] = absolute(raw["data"]["path"])
        for source in ("grid", "zip"):
            table = dict(raw.get(source, {}))
            if isinstance(table.get("data"), Mapping):
                table["data"] = dict(table["data"])
            for inner in (table, table.get("data", {})):
                for key in ("path", "data.path"):
                    if key in inner:
                        inner[key] = [absolute(p) for p in inner[key]]
            if table:
                raw[source] = table
        return StudySpec.from_mapping(raw)

    @classmethod
    def from_toml(cls, path: str | Path) -> "StudySpec":
        """The study a TOML file describes.

        Raises:
            SpecError: the file cannot be read, or fields are wrong: all of them at once.
        """
        path = Path(path)
        mapping = toml.read(path)
        if "study" in mapping and "compute" not in mapping:
            remedy = f"this is a study in one report; use: widthwise report {path}"
            raise SpecError(str(path), [Problem("", None, remedy)])
        return cls.from_mapping(mapping, source=str(path))

    @classmethod
    def from_text(cls, text: str, source: str = "spec") -> "StudySpec":
        """The study a TOML text describes; raises as :meth:`from_toml`."""
        return cls.from_mapping(toml.parse(text, source), source=source)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], source: str = "spec") -> "StudySpec":
        """The study a mapping describes, laid out like the TOML file.

        Raises:
            SpecError: fields are wrong: all of them at once.
        """
        raw = dict(mapping)
        axes, problems = parse(raw)
        problems += _given_twice(raw, axes)
        if not problems:
            problems += _wrong_values(raw, axes)
        first = {k: v for k, v in raw.items() if k not in ("grid", "zip")}
        if not problems:
            first = {**_at(first, axes, (0,) * len(axes)), **_columns(axes)}
        spec = None
        try:
            spec = cls.model_validate(first)
        except ValidationError as error:
            problems += wrong_fields(error, first, cls, STUDY_SECTIONS)
        wrong = {problem.path for problem in problems}
        problems += broken_relations(first, wrong, OF_THE_STUDY, STUDY_SECTIONS)
        if not {p for p in wrong if p.startswith(("grid", "zip"))}:
            problems += _broken_points(raw, axes, wrong)
        if spec is None or problems:
            unique = list(dict.fromkeys(problems))
            raise SpecError(source, sorted(unique, key=_section_order))
        spec._raw, spec._axes = raw, axes
        return spec

    def to_toml(self) -> str:
        """The study as a TOML file, every default written out."""
        return toml.document(self._filled())

    def _filled(self) -> dict[str, Any]:
        """As the file writes it, with defaults; what varies stands in [grid] or [zip] alone."""
        first, varied = self.plain(), {f for axis in self.axes for f in axis.fields}
        filled: dict[str, Any] = {"title": self.title}
        if "seed" not in varied:
            filled["seed"] = self.seed
        for section, model in STUDY_SECTIONS.items():
            given, table = self._raw.get(section, {}), {}
            for name, field in model.model_fields.items():
                path = f"{section}.{name}"
                if path in varied or (path == "training.times" and "training.method" in varied):
                    continue
                default = field.default
                if default is PydanticUndefined:
                    default = first[section][name]
                if given.get(name, default) is not None:
                    table[name] = given.get(name, default)
            filled[section] = table
        return filled | _columns(self.axes)


def _columns(axes: tuple[Axis, ...]) -> dict[str, dict[str, tuple]]:
    found: dict[str, dict[str, tuple]] = {}
    for axis in axes:
        for i, path in enumerate(axis.fields):
            found.setdefault(axis.source, {})[path] = tuple(row[i] for row in axis.values)
    return found


def _at(raw: Mapping[str, Any], axes: tuple[Axis, ...], place: tuple[int, ...]) -> dict[str, Any]:
    """The file as it would be written for one grid point."""
    merged = {k: dict(v) if isinstance(v, Mapping) else v for k, v in raw.items()}
    for axis, i in zip(axes, place, strict=True):
        for path, value in zip(axis.fields, axis.values[i], strict=True):
            section, _, name = path.rpartition(".")
            if not section:
                merged[name] = value
            elif isinstance(merged.setdefault(section, {}), dict):
                merged[section][name] = value
    return merged


def _given_twice(raw: Mapping[str, Any], axes: tuple[Axis, ...]) -> list[Problem]:
    """Fields that vary and have one value besides."""
    problems = []
    for axis in axes:
        for key, path in zip(axis.keys, axis.fields, strict=True):
            section, _, name = path.rpartition(".")
            table = raw.get(section, {}) if section else raw
            if isinstance(table, Mapping) and name in table:
                remedy = f"varies in {axis.source}.{key}; remove one of the two lines"
                problems.append(Problem(path, toml.shown(table[name]), remedy))
    return problems


def _wrong_values(raw: dict[str, Any], axes: tuple[Axis, ...]) -> list[Problem]:
    """Values on an axis that their field does not accept, one at a time."""
    problems, start = [], (0,) * len(axes)
    for a, axis in enumerate(axes):
        for i in range(len(axis)):
            merged = _at(raw, axes, (*start[:a], i, *start[a + 1 :]))
            point = {k: v for k, v in merged.items() if k in _TOP}
            try:
                GridPoint.model_validate(point)
            except ValidationError as error:
                found = wrong_fields(error, point, GridPoint, POINT_SECTIONS)
                moved = [_in_axis(p, axis, i) for p in found if _bare(p.path) in axis.fields]
                problems += moved
    return problems


def _broken_points(raw: dict[str, Any], axes: tuple[Axis, ...], wrong: set[str]) -> list[Problem]:
    """Relations that some grid point breaks, each said once where the file can be changed."""
    found: dict[Problem, None] = {}
    for place in itertools.product(*(range(len(axis)) for axis in axes)):
        merged = _at(raw, axes, place)
        for problem in broken_relations(merged, wrong, OF_A_POINT, POINT_SECTIONS):
            for axis, i in zip(axes, place, strict=True):
                if _bare(problem.path) in axis.fields:
                    problem = _in_axis(problem, axis, i)
            found[problem] = None
        if len(found) > 20:
            break
    return list(found)


def _bare(path: str) -> str:
    return path.partition("[")[0]


def _in_axis(problem: Problem, axis: Axis, i: int) -> Problem:
    key = axis.keys[axis.fields.index(_bare(problem.path))]
    inside = problem.path[len(_bare(problem.path)) :]
    return Problem(f"{axis.source}.{key}[{i}]{inside}", problem.received, problem.remedy)


def _section_order(problem: Problem) -> int:
    order = [*STUDY_SECTIONS, "grid", "zip"]
    section = re.split(r"[.\[]", problem.path)[0]
    return order.index(section) if section in order else -1
