"""Points from an NPZ file: the array x, and the array of targets."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from widthwise.experiments.data.table import Table, listed
from widthwise.experiments.spec import Points


def read_npz(data: Points, path: Path) -> Table:
    """The points of one file, whose target ``data.target`` may name."""
    target = "y" if data.target is None else data.target
    x, y = _array(path, "x"), _array(path, target)
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
    _check_finite(path, x, features)
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
        _check_finite(path, numbers, tuple(f"{target}[{j}]" for j in range(numbers.shape[1])))
    return Table(
        name=str(data.path),
        about=f"{data.path}: {len(x)} points of {x.shape[1]} features; target: array {target!r} "
        f"({kind})",
        x=x,
        y=numbers,
        labels=labels,
        features=features,
        row=lambda i: f"row {i}",
    )


def _array(path: Path, name: str) -> np.ndarray:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            if name not in file.files:
                raise ValueError(
                    f"{path} has no array {name!r}; its arrays are {listed(file.files)}; save x "
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


def _check_finite(path: Path, values: np.ndarray, names: Sequence[str]) -> None:
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        i, j = (int(k) for k in bad[0])
        raise ValueError(
            f"{path}: row {i}, {names[j]} is {values[i, j]}, which is not finite ({len(bad)} such "
            "entries); remove these rows or fill in numbers"
        )
