"""Points from a CSV file: a header line, one point per line, one column the target."""

import csv
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from widthwise.experiments.data.table import Table, class_name, is_number, listed
from widthwise.experiments.spec import Points


def read_csv(data: Points, path: Path) -> Table:
    """The points of one file, whose target ``data.target`` may name."""
    return from_lines(data, path, *_lines(path), lambda line: f"line {line}")


def from_lines(
    data: Points,
    path: Path,
    lines: Sequence[tuple[int, list[str]]],
    header: list[str],
    row: Callable[[int], str],
) -> Table:
    """The points in numbered lines of cells under a header; ``row`` says where a line stands."""
    target = header[-1] if data.target is None else data.target
    if target not in header:
        raise ValueError(
            f'data.target = "{target}": {path} has no such column; its columns are {listed(header)}'
        )
    column = header.index(target)
    features = [name for name in header if name != target]
    if not features:
        raise ValueError(
            f"{path} has the one column {target!r} and no inputs; separate columns by commas, one "
            "of them the target"
        )
    x = [
        [_number(path, line, name, cell) for name, cell in zip(header, cells, strict=True)
         if name != target]
        for line, cells in lines
    ]  # fmt: skip
    cells = [(line, row[column]) for line, row in lines]
    y, labels = _target(path, target, cells, data.classes is not None)
    kind = "regression" if labels is None else f"{len(set(labels))} classes"
    return Table(
        name=str(data.path),
        about=f"{data.path}: {len(x)} points of {len(features)} features; target: column "
        f"{target!r} ({kind})",
        x=np.array(x, dtype=np.float64),
        y=y,
        labels=labels,
        features=tuple(features),
        row=lambda i: row(lines[i][0]),
    )


def _lines(path: Path) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """Rows with their line numbers, and the header."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    except csv.Error as error:
        raise ValueError(f"{path} is not a CSV file: {error}; check its quotes") from error
    if len(rows) < 2:
        raise ValueError(f"{path} needs a header line and at least one line of numbers below it")
    (first, header), *lines = rows
    if any(is_number(cell) for cell in header):
        raise ValueError(
            f"{path}, line {first}: the first line must name the columns, but it reads "
            f"{', '.join(header[:4])}; add a header line such as "
            f"{','.join(f'x{i}' for i in range(1, min(len(header), 4)))},y"
        )
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        raise ValueError(
            f"{path}, line {first}: columns must be separated by commas, but the header reads "
            f"{header[0]!r}"
        )
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ValueError(f"{path}, line {first}: two columns are called {twice[0]!r}; rename one")
    for line, cells in lines:
        if len(cells) != len(header):
            raise ValueError(
                f"{path}, line {line}: {len(cells)} cells, but the header names {len(header)} "
                "columns; complete or remove that line"
            )
    return lines, header


def _target(
    path: Path, target: str, cells: Sequence[tuple[int, str]], as_classes: bool
) -> tuple[np.ndarray | None, np.ndarray | None]:
    empty = next((line for line, cell in cells if not cell), None)
    if empty is not None:
        raise ValueError(f"{path}, line {empty}: column {target!r} (the target) is empty; fill it")
    words = [(line, cell) for line, cell in cells if not is_number(cell)]
    if not words and not as_classes:
        return np.array([[_number(path, line, target, cell)] for line, cell in cells]), None
    if words and len(words) < len(cells) and not as_classes:
        raise ValueError(
            f"{path}, line {words[0][0]}: column {target!r} (the target) holds the word "
            f"{words[0][1]!r} among numbers; correct it, or list the classes to keep in "
            "data.classes"
        )
    return None, np.array([class_name(cell) for _, cell in cells])


def _number(path: Path, line: int, column: str, cell: str) -> float:
    if not is_number(cell):
        what = repr(cell) if cell else "an empty cell"
        raise ValueError(
            f"{path}, line {line}: column {column!r} holds {what}, which is not a number; correct "
            "it, or remove the line or the column"
        )
    value = float(cell)
    if not math.isfinite(value):
        raise ValueError(
            f"{path}, line {line}: column {column!r} holds {cell!r}, which is not finite; remove "
            "that line or fill in a number"
        )
    return value
