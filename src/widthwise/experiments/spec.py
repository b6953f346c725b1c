"""A study as a value: what to compute, on which data, read from a TOML file.

A :class:`Spec` has three sections, ``[data]``, ``[network]`` and ``[study]``. It is frozen, every
default is filled in, and equal studies have equal content hashes, whatever the order of lines.

A file is checked as a whole and every wrong field is reported at once (:class:`SpecError`), in two
passes: each field by itself (the types below), then the relations between fields
(``_RELATIONS``), of which those are asked whose fields are right by themselves.
"""

import difflib
import hashlib
import itertools
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
)

from widthwise.model import activations, laws
from widthwise.model.architecture import MLP
from widthwise.model.laws import Law

NAMED_SETS = ("digits", "diabetes", "breast_cancer", "wine")


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a spec: where, what was received (as text, or ``None``), what to do."""

    path: str
    received: str | None
    remedy: str

    def __str__(self) -> str:
        head = self.path if self.received is None else f"{self.path} = {self.received}"
        return f"  {head}\n      {self.remedy}" if head else f"  {self.remedy}"


class SpecError(ValueError):
    """Everything that is wrong with a spec, as a readable list.

    Args:
        source: the file, or what stands in its place.
        problems: all of them, in the order of the file's sections.
    """

    def __init__(self, source: str, problems: Sequence[Problem]):
        self.source, self.problems = source, tuple(problems)
        count = f"{len(self.problems)} things" if len(self.problems) > 1 else "one thing"
        super().__init__("\n".join([f"{source}: {count} to correct", *map(str, self.problems)]))


# Fields. ------------------------------------------------------------------------------------------


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _per_layer(value: object, info: Any) -> object:
    """One value stands for depth + 1 of them; ``info`` (ValidationInfo) holds the fields before."""
    if isinstance(value, list | tuple):
        return tuple(value)
    return (value,) * (info.data.get("depth", 0) + 1)


def _per_hidden_layer(value: object, info: Any) -> object:
    return (1.0,) * info.data.get("depth", 1) if value is None else _tuple(value)


def _increasing(values: tuple) -> tuple:
    for i, (a, b) in enumerate(itertools.pairwise(values)):
        if not a < b:
            raise ValueError(f"must increase, but entry [{i + 1}] = {b} comes after [{i}] = {a}")
    return values


def _some_positive(times: tuple[float, ...]) -> tuple[float, ...]:
    if not times[-1] > 0:
        raise ValueError("needs a time above 0: at time 0 nothing has been trained")
    return times


def _distinct(classes: tuple) -> tuple:
    if len(set(classes)) < len(classes):
        raise ValueError("names a class twice; name each class once")
    return classes


def _known_activation(name: str) -> str:
    try:
        activations.get(name)
    except ValueError as error:
        raise ValueError(str(error).partition(", or pass any function")[0]) from None
    return name.strip()


def _known_law(law: object) -> Law:
    try:
        return laws.get(law)
    except ValueError as error:
        text = str(error).partition("; a frozen scipy")[0]
        raise ValueError(re.sub(r"'(\w+)': ", r"\1 = ", text)) from None  # as TOML writes it


def _readable_file(path: str) -> str:
    if Path(path).suffix.lower() not in (".csv", ".npz"):
        raise ValueError("must end in .csv or .npz; save the data in one of these formats")
    return path


def _law_as_mapping(law: Law) -> dict[str, Any]:
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(law).__name__).lower()
    return {"name": name, **{f.name: getattr(law, f.name) for f in fields(law)}}  # pyright: ignore[reportArgumentType]


def _default_times(data: dict[str, Any]) -> tuple[float, ...]:
    return (0.0, 10.0, 100.0) if data.get("method") == "descent" else (0.0, 0.5, 1.0, 2.0)


def _default_title(data: dict[str, Any]) -> str:
    if not ("data" in data and "network" in data):
        return ""
    source, network = data["data"], data["network"]
    return f"{source.name or source.path}: {network.activation}, depth {network.depth}"


_LawField: TypeAlias = Annotated[
    Law, BeforeValidator(_known_law), PlainSerializer(_law_as_mapping, when_used="json")
]


class _Section(BaseModel):
    """Frozen; unknown fields are errors; "32" is not 32, and true is not 1."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        arbitrary_types_allowed=True,
    )


class DataSpec(_Section):
    """Which points to train and test on. The descriptions of the fields are their documentation."""

    name: Literal["digits", "diabetes", "breast_cancer", "wine"] | None = Field(
        default=None, description="one of digits, diabetes, breast_cancer, wine"
    )
    path: Annotated[str, AfterValidator(_readable_file)] | None = Field(
        default=None,
        description='a CSV or NPZ file, seen from the folder of this file: "points.csv"',
    )
    target: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="the CSV column, or the NPZ array, to predict (default: the last column, or y)",
    )
    classes: (
        Annotated[
            tuple[int | str, ...],
            BeforeValidator(_tuple),
            Field(min_length=2),
            AfterValidator(_distinct),
        ]
        | None
    ) = Field(default=None, description="at least two different classes to keep, such as [3, 8]")
    train: int = Field(default=16, ge=2, description="a whole number of train points, at least 2")
    test: int = Field(default=4, ge=1, description="a whole number of test points, at least 1")
    standardize: bool = Field(
        default=True, description="true (inputs scaled to mean 0 and variance 1) or false"
    )


_Laws: TypeAlias = Annotated[tuple[_LawField, ...], BeforeValidator(_per_layer)]


class NetworkSpec(_Section):
    """The network, but for the number of its outputs, which the data decides."""

    depth: int = Field(
        default=1, ge=1, le=1000, description="a whole number of hidden layers, from 1 to 1000"
    )
    activation: Annotated[str, AfterValidator(_known_activation)] = Field(
        default="relu", description='the name of an activation, such as "tanh"'
    )
    weight_std: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...], BeforeValidator(_per_layer)
    ] = Field(
        default=1.0,  # pyright: ignore[reportArgumentType]
        validate_default=True,
        description="a number above 0, or a list of depth + 1 of them",
    )
    bias_std: Annotated[tuple[Annotated[float, Field(ge=0)], ...], BeforeValidator(_per_layer)] = (
        Field(
            default=0.0,  # pyright: ignore[reportArgumentType]
            validate_default=True,
            description="a number of at least 0, or a list of depth + 1 of them",
        )
    )
    weight_law: _Laws = Field(
        default="gaussian",  # pyright: ignore[reportArgumentType]
        validate_default=True,
        description='the name of a law, {name = "student_t", df = 9}, or a list of depth + 1 laws',
    )
    bias_law: _Laws = Field(
        default="gaussian",  # pyright: ignore[reportArgumentType]
        validate_default=True,
        description='the name of a law, {name = "student_t", df = 9}, or a list of depth + 1 laws',
    )
    ratios: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...], BeforeValidator(_per_hidden_layer)
    ] = Field(
        default=None,  # pyright: ignore[reportArgumentType]
        validate_default=True,
        description="a list of numbers above 0, one per hidden layer: its width over n",
    )
    parametrization: Literal["ntk", "standard"] = Field(
        default="ntk", description='"ntk" or "standard"'
    )

    def __call__(self, outputs: int) -> MLP:
        """The network with this many outputs."""
        return MLP(outputs=outputs, **{f: getattr(self, f) for f in type(self).model_fields})


class StudySpec(_Section):
    """What to simulate and to compare."""

    widths: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...],
        BeforeValidator(_tuple),
        Field(min_length=1),
        AfterValidator(_increasing),
    ] = Field(
        default=(32, 64, 128, 256),
        description="increasing whole numbers of at least 1, such as [32, 64, 128, 256]",
    )
    members: int = Field(
        default=200, ge=2, description="a whole number of networks to train per width, at least 2"
    )
    initial_members: int = Field(
        default=4000,
        ge=4,
        description="a whole number of networks to sample at initialization per width, at least 4",
    )
    method: Literal["flow", "descent"] = Field(
        default="flow", description='"flow" (gradient flow) or "descent" (gradient descent)'
    )
    step: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description='a number above 0; only for method = "descent"'
    )
    times: Annotated[
        tuple[Annotated[float, Field(ge=0)], ...],
        BeforeValidator(_tuple),
        Field(min_length=1),
        AfterValidator(_increasing),
        AfterValidator(_some_positive),
    ] = Field(
        default_factory=_default_times,
        description="increasing numbers of at least 0: times of gradient flow, such as "
        "[0, 0.5, 1, 2], or numbers of steps of gradient descent, such as [0, 10, 100]",
    )
    tolerance: float = Field(
        default=1e-4, gt=0, lt=1, description="a number between 0 and 1, for the time integration"
    )
    point: int = Field(
        default=0, ge=0, description="an index among the test points; the first one is 0"
    )
    order: int = Field(
        default=4,
        ge=0,
        le=10,
        description="a whole number from 0 to 10, the highest power of n^(-1/2)",
    )


class Spec(_Section):
    """A study: data, network, and what to compute; made by :meth:`from_toml`.

    ``spec.network(outputs=1)`` is the network itself.

    Example:
        >>> from widthwise.experiments.spec import Spec
        >>> spec = Spec.from_mapping({"data": {"name": "diabetes"}})
        >>> spec.title, spec.study.widths
        ('diabetes: relu, depth 1', (32, 64, 128, 256))
    """

    seed: int = Field(
        default=0,
        ge=0,
        lt=2**32,
        description="a whole number from 0 to 4294967295; it decides every draw",
    )
    data: DataSpec = Field(
        description='a table [data] with name = "diabetes" (or digits, breast_cancer, wine), or '
        "with path = a CSV or NPZ file"
    )
    network: NetworkSpec = Field(
        default_factory=NetworkSpec,  # pyright: ignore[reportArgumentType]
        description="a table [network]",
    )
    study: StudySpec = Field(default_factory=StudySpec, description="a table [study]")
    title: str = Field(default_factory=_default_title, description="a text in quotes")

    @property
    def hash(self) -> str:
        """12 hexadecimal digits that name the content; the title is not part of it."""
        content = self.model_dump(mode="json", exclude={"title"})
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def describe(self) -> tuple[str, ...]:
        """The network and the study in words, one sentence each."""
        n, s = self.network, self.study
        layers = "1 hidden layer" if n.depth == 1 else f"{n.depth} hidden layers"
        laws_ = f"{_said(law.name for law in n.weight_law)} weights"
        if any(n.bias_std):
            laws_ += f", {_said(law.name for law in n.bias_law)} biases"
        network = (
            f"{layers}, {n.activation}, weight_std {_said(n.weight_std)}, "
            f"bias_std {_said(n.bias_std)}, {laws_}, {n.parametrization} parametrization"
        )
        if set(n.ratios) != {1.0}:
            network += f", hidden widths n times {', '.join(f'{r:g}' for r in n.ratios)}"
        times = f"{len(s.times)} times up to t = {s.times[-1]:g}"
        method = f"gradient flow, {times}, tolerance {s.tolerance:g}"
        if s.method == "descent":
            method = f"gradient descent, step {s.step:g}, up to {s.times[-1]:g} steps"
        return (
            network,
            f"n = {', '.join(map(str, s.widths))}: {s.initial_members} networks sampled and "
            f"{s.members} trained at each; {method}",
            f"corrections through n^(-{s.order / 2:g}), shown for test point {s.point}; "
            f"seed {self.seed}",
        )

    @classmethod
    def from_toml(cls, path: str | Path) -> "Spec":
        """The study a TOML file describes.

        Raises:
            SpecError: the file cannot be read, or fields are wrong: all of them at once.
        """
        path = Path(path)
        return cls.from_mapping(_read(path), source=str(path))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], source: str = "spec") -> "Spec":
        """The study a mapping describes, laid out like the TOML file.

        Raises:
            SpecError: fields are wrong: all of them at once.
        """
        raw = dict(mapping)
        spec, problems = None, []
        try:
            spec = cls.model_validate(raw)
        except ValidationError as error:
            problems = _problems(error, raw)
        read = _Reader(raw, {problem.path for problem in problems})
        for relation in _RELATIONS:
            with suppress(_WrongByItself):
                problems.extend(relation(read))
        if spec is None or problems:
            raise SpecError(source, sorted(problems, key=_section_order))
        return spec


def _said(values: Iterator[Any] | Sequence[Any]) -> str:
    """One value per layer, said once if all agree."""
    words = [v if isinstance(v, str) else f"{v:g}" for v in values]
    return words[0] if len(set(words)) == 1 else "/".join(words)


# Reading a file. ----------------------------------------------------------------------------------


def _read(path: Path) -> dict[str, Any]:
    def failure(remedy: str) -> SpecError:
        return SpecError(str(path), [Problem("", None, remedy)])

    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise failure(f"there is no such file, seen from {Path.cwd()}; check the name") from None
    except IsADirectoryError:
        raise failure("this is a folder; name the TOML file in it") from None
    except OSError as error:
        raise failure(f"the file cannot be read: {error.strerror or error}") from None
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise failure(f"line {line} is not UTF-8 text; save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise failure(_toml_remedy(str(error), content.decode("utf-8-sig"))) from None


def _toml_remedy(message: str, text: str) -> str:
    reason, _, place = message.partition(" (at ")
    found = re.match(r"line (\d+)", place)
    lines = text.splitlines()
    number = int(found[1]) if found else len(lines)
    shown = lines[number - 1].strip() if 0 < number <= len(lines) else ""
    reason = reason[:1].lower() + reason[1:]
    return (
        f"line {number} is not TOML ({reason}): {shown}\n"
        '      write fields as name = value, texts in "quotes", lists as [1, 2], sections as '
        "[study]"
    )


# Saying what is wrong. ----------------------------------------------------------------------------


def _problems(error: ValidationError, raw: Mapping[str, Any]) -> list[Problem]:
    """Pydantic's errors, one per place in the file."""
    found: dict[str, Problem] = {}
    for e in error.errors(include_url=False):
        path, value = _locate(e["loc"], raw)
        if path not in found and e["type"] != "default_factory_not_called":
            found[path] = Problem(path, *_received_and_remedy(e, path, value))
    return list(found.values())


_ABSENT = object()


def _locate(loc: tuple[int | str, ...], raw: Any) -> tuple[str, Any]:
    """Where in the file an error is, and the value there.

    Pydantic's location goes on inside a value that one field expanded (one number for all layers)
    or through branches of a union: the file ends earlier.
    """
    path, value = "", raw
    for level, key in enumerate(loc):
        if level < 2 and isinstance(value, Mapping):
            path = f"{path}.{key}" if path else str(key)
            if key not in value:
                return path, _ABSENT
            value = value[key]
        elif isinstance(value, list | tuple) and isinstance(key, int) and key < len(value):
            path, value = f"{path}[{key}]", value[key]
        else:
            break
    return path, value


def _received_and_remedy(e: Any, path: str, value: Any) -> tuple[str | None, str]:
    received = None if value is _ABSENT else _toml(value)
    if e["type"] == "extra_forbidden":
        return received, _unknown_field(*map(str, e["loc"][:2]))
    accepted = _field(path).description
    if e["type"] == "missing":
        return received, f"is missing; add {accepted}"
    if e["type"] == "value_error":
        return received, str(e["ctx"]["error"])
    return received, f"accepted: {accepted}"


def _sections() -> dict[str, type[_Section]]:
    return {"data": DataSpec, "network": NetworkSpec, "study": StudySpec}


def _field(path: str) -> Any:
    section, _, name = re.sub(r"\[\d+\]", "", path).partition(".")
    return _sections()[section].model_fields[name] if name else Spec.model_fields[section]


def _unknown_field(first: str, second: str | None = None) -> str:
    section, name = ("", first) if second is None else (first, second)
    known = list((_sections()[section] if section else Spec).model_fields)
    elsewhere = [
        s for s, model in _sections().items() if s != section and name in model.model_fields
    ]
    place = f"[{section}]" if section else "the top of the file"
    if elsewhere:
        return f"does not belong to {place} but to [{elsewhere[0]}]; move it there"
    if section and name in Spec.model_fields:
        return f"does not belong to {place} but to the top of the file; move it there"
    close = difflib.get_close_matches(name, known, n=1)
    guess = f"did you mean {close[0]}? " if close else ""
    return f"unknown field; {guess}{place} takes {', '.join(known)}"


def _toml(value: Any) -> str:
    """A value as it stands in the file, shortened."""
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
    elif isinstance(value, Mapping):
        text = "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + "}"
    elif isinstance(value, list | tuple):
        text = "[" + ", ".join(map(_toml, value)) + "]"
    else:
        text = str(value)
    return text if len(text) <= 72 else text[:69] + "..."


def _section_order(problem: Problem) -> int:
    order = list(_sections())
    section = re.split(r"[.\[]", problem.path)[0]
    return order.index(section) if section in order else -1


# Relations between fields. ------------------------------------------------------------------------


class _WrongByItself(Exception):
    """A relation reads a field that is already reported."""


@dataclass(frozen=True)
class _Reader:
    """Fields of the file, with their defaults, as the file writes them."""

    raw: Mapping[str, Any]
    wrong: set[str]

    def __call__(self, path: str) -> Any:
        section, name = path.split(".")
        if any(p == section or re.split(r"\[", p)[0] == path for p in self.wrong):
            raise _WrongByItself
        field = _sections()[section].model_fields[name]
        return self.raw.get(section, {}).get(name, field.default)

    def __contains__(self, path: str) -> bool:
        section, name = path.split(".")
        return name in self.raw.get(section, {})

    def last(self, path: str) -> tuple[str, Any]:
        """Path and value of the last layer of a field per layer."""
        value = self(path)
        if not isinstance(value, list | tuple):
            return path, value
        if not value:
            raise _WrongByItself
        return f"{path}[{len(value) - 1}]", value[-1]


def _one_source(read: _Reader) -> Iterator[Problem]:
    name, path = read("data.name"), read("data.path")
    if name is None and path is None:
        yield Problem(
            "data",
            None,
            f"says no data: add name = one of {', '.join(NAMED_SETS)}, or path = a CSV or NPZ file",
        )
    if name is not None and path is not None:
        yield Problem(
            "data.path", _toml(path), f"name = {_toml(name)} is given too; keep one of them"
        )


def _target_of_a_file(read: _Reader) -> Iterator[Problem]:
    name, target = read("data.name"), read("data.target")
    if name is not None and target is not None:
        yield Problem(
            "data.target",
            _toml(target),
            f"the set {name} has a target of its own; remove this line",
        )


def _classes_of_classification(read: _Reader) -> Iterator[Problem]:
    classes = read("data.classes")
    if classes is None:
        return
    if read("data.name") == "diabetes":
        yield Problem(
            "data.classes",
            _toml(classes),
            "diabetes is a regression and has no classes; remove this",
        )
    elif len(classes) > read("data.train"):
        yield Problem(
            "data.train",
            _toml(read("data.train")),
            f"is fewer than the {len(classes)} classes; every class needs a train point",
        )


def _one_value_per_layer(name: str, extra: int) -> Callable[["_Reader"], Iterator[Problem]]:
    def relation(read: _Reader) -> Iterator[Problem]:
        values, depth = read(f"network.{name}"), read("network.depth")
        if isinstance(values, list | tuple) and len(values) != depth + extra:
            count = "depth + 1" if extra else "depth"
            yield Problem(
                f"network.{name}",
                _toml(values),
                f"has {len(values)} entries; accepted: {count} = {depth + extra} of them"
                + (", or one value for all" if extra else ""),
            )

    return relation


def _step_of_descent(read: _Reader) -> Iterator[Problem]:
    method, step = read("study.method"), read("study.step")
    if method == "descent" and step is None:
        yield Problem(
            "study.step", None, 'is missing; method = "descent" needs a step, such as step = 0.1'
        )
    if method == "flow" and step is not None:
        yield Problem(
            "study.step",
            _toml(step),
            'gradient flow has no step; remove this line, or write method = "descent"',
        )


def _whole_steps(read: _Reader) -> Iterator[Problem]:
    if read("study.method") != "descent" or "study.times" not in read:
        return
    for i, time in enumerate(read("study.times")):
        if time != round(time):
            yield Problem(
                f"study.times[{i}]",
                _toml(time),
                'with method = "descent" times are whole numbers of steps, such as [0, 10, 100]',
            )


def _point_exists(read: _Reader) -> Iterator[Problem]:
    point, test = read("study.point"), read("data.test")
    if point >= test:
        yield Problem(
            "study.point",
            _toml(point),
            f"there is no such test point: data.test = {test}, accepted: 0 to {test - 1}",
        )


def _moments_exist(read: _Reader) -> Iterator[Problem]:
    order, (path, value) = read("study.order"), read.last("network.weight_law")
    law = laws.get(value)
    highest = law.highest_moment
    if order + 2 > highest:
        lower = int(highest) - 2
        yield Problem(
            path,
            _toml(value),
            f"order = {order} needs moments up to {order + 2} of the last layer's weights, but "
            f"{law.name} has them up to {highest:g}; take order = {lower} or lower in [study], or "
            "a law with lighter tails",
        )


def _gaussian_limit(read: _Reader) -> Iterator[Problem]:
    (path, value), (_, std) = read.last("network.bias_law"), read.last("network.bias_std")
    if std != 0 and laws.get(value).name != "gaussian":
        listed = read("network.bias_law")
        before = listed[:-1] if isinstance(listed, list) else [listed] * read("network.depth")
        yield Problem(
            path,
            _toml(value),
            "the last layer's bias does not shrink as n grows, so the outputs have no Gaussian "
            f"limit to compare with; write bias_law = {_toml([*before, 'gaussian'])}, or make the "
            "last entry of bias_std 0",
        )


_RELATIONS: tuple[Callable[[_Reader], Iterator[Problem]], ...] = (
    _one_source,
    _target_of_a_file,
    _classes_of_classification,
    *(_one_value_per_layer(f, 1) for f in ("weight_std", "bias_std", "weight_law", "bias_law")),
    _one_value_per_layer("ratios", 0),
    _step_of_descent,
    _whole_steps,
    _point_exists,
    _moments_exist,
    _gaussian_limit,
)
