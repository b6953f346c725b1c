"""A table of points before any choice, and the names of its classes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from widthwise.experiments.spec import Points


@dataclass(frozen=True, eq=False)
class Table:
    """Targets are numbers ``y`` or the ``labels`` of classes; ``row`` says where a point stands."""

    name: str
    about: str
    x: Float[np.ndarray, "rows inputs"]
    y: Float[np.ndarray, "rows outputs"] | None
    labels: np.ndarray | None
    features: tuple[str, ...]
    row: Callable[[int], str]


def as_classes(table: Table) -> Table:
    """The same table, its numbers read as names of classes because the spec lists classes."""
    if table.y is None or table.y.shape[1] != 1:
        raise ValueError(f"data.classes needs one class per point, but {table.name} has more")
    labels = np.array([class_name(v) for v in table.y[:, 0]])
    about = table.about.replace("(regression)", f"({len(set(labels))} classes)")
    return replace(table, about=about, y=None, labels=labels)


def chosen_classes(table: Table, data: Points) -> list[str]:
    """The classes to keep, in the order of the outputs."""
    assert table.labels is not None
    there = sorted(set(table.labels.tolist()), key=_class_order)
    if table.name == "breast_cancer":
        there = ["malignant", "benign"]
    if data.classes is None:
        return there
    by_index = {str(i): name for i, name in enumerate(there)} if data.name else {}
    chosen = []
    for given in data.classes:
        name = class_name(given)
        if name not in there and name not in by_index:
            raise ValueError(
                f"data.classes: {table.name} has no class {given!r}; its classes are "
                f"{listed(there)}"
            )
        chosen.append(name if name in there else by_index[name])
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"data.classes names a class twice: {', '.join(chosen)}")
    return chosen


def class_name(value: object) -> str:
    """The name of a class: 3, 3.0 and "3" are the same one."""
    text = str(value).strip()
    if is_number(text) and float(text).is_integer():
        return str(int(float(text)))
    return text


def _class_order(name: str) -> tuple[float, str]:
    return (float(name), "") if is_number(name) else (math.inf, name)


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def listed(names: Sequence[str], most: int = 12) -> str:
    """The first few names, in words."""
    words = [str(name) for name in names]
    return ", ".join(words[:most]) + (", ..." if len(words) > most else "")
