"""Which rows of a table become train and test points: drawn without replacement, by the seed."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from widthwise.experiments.data.table import Table, chosen_classes
from widthwise.experiments.spec import Points

_Drawn: TypeAlias = tuple[np.ndarray, np.ndarray, str]


def draw(table: Table, data: Points, seed: int) -> _Drawn:
    """Rows of the train points, rows of the test points, and how they were drawn, in words."""
    drawn = _at_random if table.labels is None else _class_after_class
    return drawn(table, data, seed)


def _at_random(table: Table, data: Points, seed: int) -> _Drawn:
    _enough(table, data, len(table.x))
    order = np.random.default_rng(seed).permutation(len(table.x))
    drawn = f"{data.train} train and {data.test} test points drawn without replacement, seed {seed}"
    return order[: data.train], order[data.train : data.train + data.test], drawn


def _class_after_class(table: Table, data: Points, seed: int) -> _Drawn:
    """One class after the other in turn, until there are enough points."""
    assert table.labels is not None
    classes = chosen_classes(table, data)
    if len(classes) < 2:
        raise ValueError(
            f"{table.name} has the one class {classes[0]!r}; there is nothing to tell apart: give "
            "points of at least two classes"
        )
    if data.train < len(classes):
        raise ValueError(
            f"data.train = {data.train} is fewer than the {len(classes)} classes of {table.name}; "
            f"every class needs a train point: take train = {len(classes)} or more, or list fewer "
            "classes in data.classes"
        )
    rng = np.random.default_rng(seed)
    piles = [rng.permutation(np.flatnonzero(table.labels == name)).tolist() for name in classes]
    kept = " in these classes" if data.classes is not None else ""
    _enough(table, data, sum(map(len, piles)), kept)
    train, test = _in_turn(piles, data.train), _in_turn(piles, data.test)
    drawn = (
        f"{data.train} train points ({_counts(table.labels[train], classes)}) and {data.test} test "
        f"points ({_counts(table.labels[test], classes)}) drawn without replacement, seed {seed}"
    )
    return train, test, drawn


def _enough(table: Table, data: Points, available: int, kept: str = "") -> None:
    if data.train + data.test > available:
        raise ValueError(
            f"data.train = {data.train} and data.test = {data.test} ask for "
            f"{data.train + data.test} points, but {table.name} has {available}{kept}; ask for "
            "fewer"
        )


def _counts(labels: np.ndarray, classes: Sequence[str]) -> str:
    counts = [int((labels == name).sum()) for name in classes]
    if len(set(counts)) == 1:
        return f"{counts[0]} of every class"
    return ", ".join(f"{count} of {name}" for count, name in zip(counts, classes, strict=True))


def _in_turn(piles: list[list[int]], count: int) -> np.ndarray:
    rows: list[int] = []
    while len(rows) < count:
        rows += [pile.pop() for pile in [p for p in piles if p][: count - len(rows)]]
    return np.array(rows, dtype=int)
