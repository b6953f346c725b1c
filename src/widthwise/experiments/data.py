"""The data of a study: a few train and test points, drawn from a named set or from a file.

From ``[data]`` and the seed to a :class:`Dataset`, in this order: read a table of points; keep the
chosen classes; draw train and test points without replacement (for classes: one class after the
other in turn, so that they are as balanced as the table allows); scale inputs and targets by the
train points alone. What was decided on the way stands in words in ``Dataset.description``.

Targets: a regression has labels of mean 0 and variance 1; two classes have one output, −1 or +1;
C > 2 classes have C outputs, 1 − 1/C for the class of a point and −1/C for the others.
"""

import csv
import hashlib
import math
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.experiments.spec import DataSpec


@dataclass(frozen=True, eq=False)
class Dataset:
    """Train and test points of a study, ready for a network.

    Args:
        name: of the set, or the file as the spec names it.
        x_train: inputs of the train points.
        y_train: their targets.
        x_test: inputs of the test points.
        y_test: their targets, scaled as ``y_train``.
        feature_count: coordinates of a point, after constant ones were left out.
        description: the choices made, in words, one sentence each.
        hash: 12 hexadecimal digits that name the content of the four arrays.
    """

    name: str
    x_train: Float[np.ndarray, "train inputs"]
    y_train: Float[np.ndarray, "train outputs"]
    x_test: Float[np.ndarray, "test inputs"]
    y_test: Float[np.ndarray, "test outputs"]
    feature_count: int
    description: tuple[str, ...]
    hash: str

    @property
    def outputs(self) -> int:
        """Outputs the network needs."""
        return self.y_train.shape[1]


def load(data: DataSpec, seed: int, base_folder: str | Path = ".") -> Dataset:
    """The points a spec asks for.

    Args:
        data: the section ``[data]`` of a spec.
        seed: decides which points are drawn.
        base_folder: where a relative ``path`` starts: the folder of the TOML file.

    Returns:
        The :class:`Dataset`.

    Raises:
        ValueError: the data cannot be read, or cannot be learned: non-finite numbers, too few
            points, an unknown class, one class only, a constant target, or equal inputs with
            different targets.

    Example:
        >>> from widthwise.experiments.data import load
        >>> from widthwise.experiments.spec import DataSpec
        >>> load(DataSpec(name="diabetes", train=8), seed=0).x_train.shape
        (8, 10)
    """
    table = _named(data.name) if data.name else _file(data, Path(base_folder))
    if data.classes is not None and table.labels is None:
        table = _as_classes(table)
    if table.labels is None:
        train, test, drawn = _draw(table, data, seed)
    else:
        train, test, drawn = _draw_by_class(table, data, seed)
    x_train, x_test = table.x[train], table.x[test]
    scaling = "inputs as they are, not scaled"
    if data.standardize:
        x_train, x_test, scaling = _scaled_inputs(table, x_train, x_test)
    y_train, y_test, target = _targets(table, data, train, test)
    twins = _twins(table, train, x_train, y_train)
    return Dataset(
        name=table.name,
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        feature_count=x_train.shape[1],
        description=(table.about, drawn, scaling, target, *twins),
        hash=_hash(x_train, y_train, x_test, y_test),
    )


# A table of points, and where it comes from. ------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Table:
    """Points before any choice: targets are numbers ``y`` or the ``labels`` of classes."""

    name: str
    about: str
    x: Float[np.ndarray, "rows inputs"]
    y: Float[np.ndarray, "rows outputs"] | None
    labels: np.ndarray | None
    features: tuple[str, ...]
    row: Callable[[int], str]


_TARGETS = {
    "digits": "the digit",
    "diabetes": "progression of the disease after one year",
    "breast_cancer": "malignant or benign",
    "wine": "the grower",
}


def _named(name: str) -> _Table:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ValueError(
            f'data.name = "{name}" comes with scikit-learn, which is not installed; install it '
            "with pip install 'widthwise[sklearn]', or give data.path = a CSV or NPZ file"
        ) from error
    options = {"scaled": False} if name == "diabetes" else {}
    bunch: Any = getattr(datasets, f"load_{name}")(**options)
    regression = name == "diabetes"
    labels = None if regression else np.array([str(bunch.target_names[c]) for c in bunch.target])
    x = np.asarray(bunch.data, dtype=np.float64)
    kind = "regression" if regression else f"{len(bunch.target_names)} classes"
    return _Table(
        name=name,
        about=f"{name} (from scikit-learn): {len(x)} points of {x.shape[1]} features; "
        f"target: {_TARGETS[name]} ({kind})",
        x=x,
        y=np.asarray(bunch.target, dtype=np.float64)[:, None] if regression else None,
        labels=labels,
        features=tuple(map(str, bunch.feature_names)),
        row=lambda i: f"point {i}",
    )


def _file(data: DataSpec, base_folder: Path) -> _Table:
    if data.path is None:
        raise ValueError("[data] names no data: give name or path")
    path = base_folder / data.path
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise ValueError(
            f'data.path = "{data.path}": {path} {what}; a relative path starts at the folder of '
            "the TOML file"
        )
    try:
        return _npz(data, path) if path.suffix.lower() == ".npz" else _csv(data, path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error


def _csv(data: DataSpec, path: Path) -> _Table:
    lines, header = _csv_lines(path)
    target = header[-1] if data.target is None else data.target
    if target not in header:
        raise ValueError(
            f'data.target = "{target}": {path} has no such column; its columns are '
            f"{_listed(header)}"
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
    y, labels = _csv_target(path, target, cells, data.classes is not None)
    kind = "regression" if labels is None else f"{len(set(labels))} classes"
    return _Table(
        name=str(data.path),
        about=f"{data.path}: {len(x)} points of {len(features)} features; target: column "
        f"{target!r} ({kind})",
        x=np.array(x, dtype=np.float64),
        y=y,
        labels=labels,
        features=tuple(features),
        row=lambda i: f"line {lines[i][0]}",
    )


def _csv_lines(path: Path) -> tuple[list[tuple[int, list[str]]], list[str]]:
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
    if any(_is_number(cell) for cell in header):
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


def _csv_target(
    path: Path, target: str, cells: Sequence[tuple[int, str]], as_classes: bool
) -> tuple[np.ndarray | None, np.ndarray | None]:
    empty = next((line for line, cell in cells if not cell), None)
    if empty is not None:
        raise ValueError(f"{path}, line {empty}: column {target!r} (the target) is empty; fill it")
    words = [(line, cell) for line, cell in cells if not _is_number(cell)]
    if not words and not as_classes:
        return np.array([[_number(path, line, target, cell)] for line, cell in cells]), None
    if words and len(words) < len(cells) and not as_classes:
        raise ValueError(
            f"{path}, line {words[0][0]}: column {target!r} (the target) holds the word "
            f"{words[0][1]!r} among numbers; correct it, or list the classes to keep in "
            "data.classes"
        )
    return None, np.array([_canonical(cell) for _, cell in cells])


def _npz(data: DataSpec, path: Path) -> _Table:
    target = "y" if data.target is None else data.target
    x, y = _npz_array(path, "x"), _npz_array(path, target)
    if x.ndim != 2 or x.dtype.kind not in "buif" or 0 in x.shape:
        raise ValueError(
            f"{path}: array 'x' must hold real numbers in shape (points, features), got "
            f"{x.dtype} in shape {x.shape}" + ("; save x.reshape(-1, 1)" if x.ndim == 1 else "")
        )
    if not 1 <= y.ndim <= 2 or len(y) != len(x) or 0 in y.shape or y.dtype.kind not in "buifSU":
        raise ValueError(
            f"{path}: array {target!r} must hold one number or one class per point, {len(x)} of "
            f"them, got {y.dtype} in shape {y.shape}"
        )
    x = x.astype(np.float64)
    features = tuple(f"feature {j}" for j in range(x.shape[1]))
    _finite(path, x, features)
    if y.ndim == 1 and y.dtype.kind in "bSU":
        kind, numbers = f"{len(np.unique(y))} classes", None
        labels = np.array([v.decode() if isinstance(v, bytes) else str(v) for v in y.tolist()])
    elif y.dtype.kind in "bSU":
        raise ValueError(
            f"{path}: array {target!r} must hold one class per point, got shape {y.shape}; save it "
            "in shape (points,)"
        )
    else:
        kind, labels = "regression", None
        numbers = y.astype(np.float64).reshape(len(x), -1)
        _finite(path, numbers, tuple(f"{target}[{j}]" for j in range(numbers.shape[1])))
    return _Table(
        name=str(data.path),
        about=f"{data.path}: {len(x)} points of {x.shape[1]} features; target: array {target!r} "
        f"({kind})",
        x=x,
        y=numbers,
        labels=labels,
        features=features,
        row=lambda i: f"row {i}",
    )


def _npz_array(path: Path, name: str) -> np.ndarray:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            if name not in file.files:
                raise ValueError(
                    f"{path} has no array {name!r}; its arrays are {_listed(file.files)}; save x "
                    "and y, or name the array to predict in data.target"
                )
            return file[name]
    except (zipfile.BadZipFile, EOFError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} is not an NPZ file; write it with numpy.savez") from error
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise ValueError(
            f"{path} holds Python objects, or is not an NPZ file; save arrays of numbers or texts "
            "with numpy.savez"
        ) from error


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _number(path: Path, line: int, column: str, cell: str) -> float:
    if not _is_number(cell):
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


def _finite(path: Path, values: np.ndarray, names: Sequence[str]) -> None:
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        i, j = (int(k) for k in bad[0])
        raise ValueError(
            f"{path}: row {i}, {names[j]} is {values[i, j]}, which is not finite ({len(bad)} such "
            "entries); remove these rows or fill in numbers"
        )


# Choosing points. ---------------------------------------------------------------------------------


def _as_classes(table: _Table) -> _Table:
    """A table whose numbers are names of classes, because the spec lists classes."""
    if table.y is None or table.y.shape[1] != 1:
        raise ValueError(f"data.classes needs one class per point, but {table.name} has more")
    labels = np.array([_canonical(v) for v in table.y[:, 0]])
    about = table.about.replace("(regression)", f"({len(set(labels))} classes)")
    return _Table(table.name, about, table.x, None, labels, table.features, table.row)


def _canonical(value: object) -> str:
    """The name of a class: 3, 3.0 and "3" are the same one."""
    text = str(value).strip()
    if _is_number(text) and float(text).is_integer():
        return str(int(float(text)))
    return text


def _classes(table: _Table, data: DataSpec) -> list[str]:
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
        name = _canonical(given)
        if name not in there and name not in by_index:
            raise ValueError(
                f"data.classes: {table.name} has no class {given!r}; its classes are "
                f"{_listed(there)}"
            )
        chosen.append(name if name in there else by_index[name])
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"data.classes names a class twice: {', '.join(chosen)}")
    return chosen


def _class_order(name: str) -> tuple[float, str]:
    return (float(name), "") if _is_number(name) else (math.inf, name)


def _enough(table: _Table, data: DataSpec, available: int, kept: str = "") -> None:
    if data.train + data.test > available:
        raise ValueError(
            f"data.train = {data.train} and data.test = {data.test} ask for "
            f"{data.train + data.test} points, but {table.name} has {available}{kept}; ask for "
            "fewer"
        )


def _draw(table: _Table, data: DataSpec, seed: int) -> tuple[np.ndarray, np.ndarray, str]:
    _enough(table, data, len(table.x))
    order = np.random.default_rng(seed).permutation(len(table.x))
    drawn = f"{data.train} train and {data.test} test points drawn without replacement, seed {seed}"
    return order[: data.train], order[data.train : data.train + data.test], drawn


def _draw_by_class(table: _Table, data: DataSpec, seed: int) -> tuple[np.ndarray, np.ndarray, str]:
    """One class after the other in turn, until there are enough points."""
    assert table.labels is not None
    classes = _classes(table, data)
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


# Scaling. -----------------------------------------------------------------------------------------


def _scaled_inputs(
    table: _Table, train: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray, str]:
    varies = np.ptp(train, axis=0) > 0
    if not varies.any():
        raise ValueError(
            f"{table.name}: every feature is constant on the {len(train)} train points drawn, so "
            "inputs cannot be scaled; take more train points, another seed, or standardize = false"
        )
    train, test = train[:, varies], test[:, varies]
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = train.mean(axis=0), train.std(axis=0)
        train, test = (train - mean) / std, (test - mean) / std
    if not (np.isfinite(train).all() and np.isfinite(test).all()):
        raise ValueError(
            f"{table.name}: a feature is too large or too small to be scaled in float64; change "
            "its unit"
        )
    words = "inputs scaled to mean 0 and variance 1 per feature on the train points"
    left_out = [name for name, kept in zip(table.features, varies, strict=True) if not kept]
    if left_out:
        words += (
            f"; left out, constant there: {len(left_out)} of {len(varies)} features "
            f"({_listed(left_out, 4)})"
        )
    return train, test, words


def _targets(
    table: _Table, data: DataSpec, train: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray, str]:
    if table.labels is not None:
        return _class_targets(table.labels, _classes(table, data), train, test)
    assert table.y is not None
    y_train, y_test = table.y[train], table.y[test]
    if not (np.ptp(y_train, axis=0) > 0).all():
        raise ValueError(
            f"{table.name}: the target is the same number ({y_train[0, 0]:g}) at all {len(train)} "
            "train points; there is nothing to learn: take more train points or another seed, or "
            "check data.target"
        )
    mean, std = y_train.mean(axis=0), y_train.std(axis=0)
    scale = ", ".join(f"{m:.4g} and {s:.4g}" for m, s in zip(mean, std, strict=True))
    words = (
        "targets scaled to mean 0 and variance 1 on the train points (mean and standard deviation "
        f"were {scale})"
    )
    return (y_train - mean) / std, (y_test - mean) / std, words


def _class_targets(
    labels: np.ndarray, classes: Sequence[str], train: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray, str]:
    if len(classes) == 2:
        y = np.where(labels == classes[1], 1.0, -1.0)[:, None]
        words = f"one output: −1 for {classes[0]}, +1 for {classes[1]}"
    else:
        count = len(classes)
        y = (labels[:, None] == np.array(classes)) - 1 / count
        words = (
            f"{count} outputs, one per class ({_listed(classes)}): 1 − 1/{count} for the class of "
            f"a point, −1/{count} for the others"
        )
    return y[train], y[test], words


def _twins(table: _Table, train: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[str, ...]:
    """Refuses equal inputs with different targets; says where equal inputs have equal ones."""
    first: dict[bytes, int] = {}
    equal = []
    for i, point in enumerate(x):
        j = first.setdefault((point + 0.0).tobytes(), i)
        if j == i:
            continue
        pair = f"train points {j} and {i} ({table.row(train[j])} and {table.row(train[i])})"
        if not np.array_equal(y[i], y[j]):
            raise ValueError(
                f"{table.name}: {pair} have the same inputs but different targets; no network can "
                "give one input two outputs, so training cannot reach zero loss: remove one of "
                "them from the data, or choose another seed"
            )
        equal.append(pair)
    if not equal:
        return ()
    return (f"{equal[0]} are equal, so the tangent kernel is singular",)


def _listed(names: Sequence[str], most: int = 12) -> str:
    words = [str(name) for name in names]
    return ", ".join(words[:most]) + (", ..." if len(words) > most else "")


def _hash(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}".encode())
        digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    return digest.hexdigest()[:12]
