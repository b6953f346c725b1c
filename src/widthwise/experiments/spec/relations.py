"""Relations between fields: what fields that are right by themselves must also satisfy together.

A relation reads fields and yields what is wrong. One that meets a field already reported says
nothing more.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from widthwise.experiments.spec.errors import Problem
from widthwise.experiments.spec.sections import NAMED_SETS, SECTIONS, Section
from widthwise.experiments.spec.toml import shown
from widthwise.model import laws


def broken_relations(
    raw: Mapping[str, Any],
    wrong: set[str],
    relations: "Sequence[Relation] | None" = None,
    sections: Mapping[str, type[Section]] = SECTIONS,
) -> list[Problem]:
    """What is wrong with the file beyond its ``wrong`` fields (paths), relation by relation."""
    problems = []
    for relation in RELATIONS if relations is None else relations:
        with suppress(_WrongByItself):
            problems.extend(relation(Reader(raw, wrong, sections)))
    return problems


class _WrongByItself(Exception):
    """A relation reads a field that is already reported."""


@dataclass(frozen=True)
class Reader:
    """Fields of the file, with their defaults, as the file writes them."""

    raw: Mapping[str, Any]
    wrong: set[str]
    sections: Mapping[str, type[Section]] = field(default_factory=lambda: SECTIONS)

    def __call__(self, path: str) -> Any:
        section, name = path.split(".")
        if any(p.partition("[")[0] in (section, path) for p in self.wrong):
            raise _WrongByItself
        default = self.sections[section].model_fields[name].default
        return self.raw.get(section, {}).get(name, default)

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


def _one_source(read: Reader) -> Iterator[Problem]:
    name, path = read("data.name"), read("data.path")
    if name is None and path is None:
        yield Problem(
            "data",
            None,
            f"says no data: add name = one of {', '.join(NAMED_SETS)}, or path = a CSV or NPZ file",
        )
    if name is not None and path is not None:
        yield Problem(
            "data.path", shown(path), f"name = {shown(name)} is given too; keep one of them"
        )


def target_of_a_file(read: Reader) -> Iterator[Problem]:
    name, target = read("data.name"), read("data.target")
    if name is not None and target is not None:
        yield Problem(
            "data.target",
            shown(target),
            f"the set {name} has a target of its own; remove this line",
        )


def classes_of_classification(read: Reader) -> Iterator[Problem]:
    classes = read("data.classes")
    if classes is None:
        return
    if read("data.name") == "diabetes":
        yield Problem(
            "data.classes",
            shown(classes),
            "diabetes is a regression and has no classes; remove this",
        )
    elif len(classes) > read("data.train"):
        yield Problem(
            "data.train",
            shown(read("data.train")),
            f"is fewer than the {len(classes)} classes; every class needs a train point",
        )


def _one_value_per_layer(name: str, extra: int) -> Callable[[Reader], Iterator[Problem]]:
    def relation(read: Reader) -> Iterator[Problem]:
        values, depth = read(f"network.{name}"), read("network.depth")
        if isinstance(values, list | tuple) and len(values) != depth + extra:
            count = "depth + 1" if extra else "depth"
            yield Problem(
                f"network.{name}",
                shown(values),
                f"has {len(values)} entries; accepted: {count} = {depth + extra} of them"
                + (", or one value for all" if extra else ""),
            )

    return relation


def step_of_descent(read: Reader, section: str = "study") -> Iterator[Problem]:
    """Gradient descent has a step, gradient flow has none."""
    method, step = read(f"{section}.method"), read(f"{section}.step")
    if method == "descent" and step is None:
        yield Problem(
            f"{section}.step",
            None,
            'is missing; method = "descent" needs a step, such as step = 0.1',
        )
    if method == "flow" and step is not None:
        yield Problem(
            f"{section}.step",
            shown(step),
            'gradient flow has no step; remove this line, or write method = "descent"',
        )


def whole_steps(read: Reader, section: str = "study") -> Iterator[Problem]:
    """The times of gradient descent are numbers of steps."""
    if read(f"{section}.method") != "descent" or f"{section}.times" not in read:
        return
    for i, time in enumerate(read(f"{section}.times")):
        if time != round(time):
            yield Problem(
                f"{section}.times[{i}]",
                shown(time),
                'with method = "descent" times are whole numbers of steps, such as [0, 10, 100]',
            )


def _point_exists(read: Reader) -> Iterator[Problem]:
    point, test = read("study.point"), read("data.test")
    if point >= test:
        yield Problem(
            "study.point",
            shown(point),
            f"there is no such test point: data.test = {test}, accepted: 0 to {test - 1}",
        )


def _moments_exist(read: Reader) -> Iterator[Problem]:
    order, (path, value) = read("study.order"), read.last("network.weight_law")
    law = laws.get(value)
    highest = law.highest_moment
    if order + 2 > highest:
        lower = int(highest) - 2
        yield Problem(
            path,
            shown(value),
            f"order = {order} needs moments up to {order + 2} of the last layer's weights, but "
            f"{law.name} has them up to {highest:g}; take order = {lower} or lower in [study], or "
            "a law with lighter tails",
        )


def _gaussian_limit(read: Reader) -> Iterator[Problem]:
    (path, value), (_, std) = read.last("network.bias_law"), read.last("network.bias_std")
    if std != 0 and laws.get(value).name != "gaussian":
        listed = read("network.bias_law")
        before = listed[:-1] if isinstance(listed, list) else [listed] * read("network.depth")
        yield Problem(
            path,
            shown(value),
            "the last layer's bias does not shrink as n grows, so the outputs have no Gaussian "
            f"limit to compare with; write bias_law = {shown([*before, 'gaussian'])}, or make the "
            "last entry of bias_std 0",
        )


Relation: TypeAlias = Callable[[Reader], Iterator[Problem]]
"""What fields must satisfy together."""

OF_DATA: tuple[Relation, ...] = (target_of_a_file, classes_of_classification)
OF_LAYERS: tuple[Relation, ...] = (
    *(_one_value_per_layer(f, 1) for f in ("weight_std", "bias_std", "weight_law", "bias_law")),
    _one_value_per_layer("ratios", 0),
)
RELATIONS: tuple[Relation, ...] = (
    _one_source,
    *OF_DATA,
    *OF_LAYERS,
    step_of_descent,
    whole_steps,
    _point_exists,
    _moments_exist,
    _gaussian_limit,
)
