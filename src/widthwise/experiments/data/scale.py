"""Inputs and targets in the units of the network, by the train points alone, and in words."""

from collections.abc import Sequence

import numpy as np

from widthwise.experiments.data.table import Table, chosen_classes, listed
from widthwise.experiments.spec import DataSpec, StudyData
from widthwise.experiments.spec.sections import Labels, Scaling

_Scaled = tuple[np.ndarray, np.ndarray, str]


def scaled_inputs(table: Table, train: np.ndarray, test: np.ndarray, scaling: Scaling) -> _Scaled:
    """Train and test inputs in the units asked for, and what was done, in words."""
    if scaling == "none":
        return train, test, "inputs as they are, not scaled"
    if scaling == "unit_norm":
        return _unit_norm(table, train, test)
    centre, spread, words = _CENTRED[scaling]
    varies = np.ptp(train, axis=0) > 0
    if not varies.any():
        raise ValueError(
            f"{table.name}: every feature is constant on the {len(train)} train points drawn, so "
            "inputs cannot be scaled; take more train points, another seed, or inputs not scaled"
        )
    train, test = train[:, varies], test[:, varies]
    with np.errstate(over="ignore", invalid="ignore"):
        middle, size = centre(train), spread(train)
        train, test = (train - middle) / size, (test - middle) / size
    if not (np.isfinite(train).all() and np.isfinite(test).all()):
        raise ValueError(
            f"{table.name}: a feature is too large or too small to be scaled in float64; change "
            "its unit"
        )
    left_out = [name for name, kept in zip(table.features, varies, strict=True) if not kept]
    if left_out:
        words += (
            f"; left out, constant there: {len(left_out)} of {len(varies)} features "
            f"({listed(left_out, 4)})"
        )
    return train, test, words


_CENTRED = {
    "standard": (
        lambda x: x.mean(axis=0),
        lambda x: x.std(axis=0),
        "inputs scaled to mean 0 and variance 1 per feature on the train points",
    ),
    "range": (
        lambda x: (x.min(axis=0) + x.max(axis=0)) / 2,
        lambda x: (x.max(axis=0) - x.min(axis=0)) / 2,
        "inputs scaled to lie between -1 and 1 per feature on the train points",
    ),
}


def _unit_norm(table: Table, train: np.ndarray, test: np.ndarray) -> _Scaled:
    sizes = [np.linalg.norm(x, axis=1, keepdims=True) for x in (train, test)]
    if not all((size > 0).all() and np.isfinite(size).all() for size in sizes):
        raise ValueError(
            f"{table.name}: a point has all inputs 0 (or too large), so it cannot be scaled to "
            'unit norm; take scaling = "standard" or "none"'
        )
    root = np.sqrt(train.shape[1])
    words = "every point scaled to length √inputs"
    return train / sizes[0] * root, test / sizes[1] * root, words


def scaled_targets(
    table: Table, data: DataSpec | StudyData, train: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray, str]:
    if table.labels is not None:
        return _class_targets(table.labels, chosen_classes(table, data), train, test, data.labels)
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
    labels: np.ndarray,
    classes: Sequence[str],
    train: np.ndarray,
    test: np.ndarray,
    coding: Labels,
) -> _Scaled:
    count = len(classes)
    if count == 2 and coding != "one_hot":
        y = np.where(labels == classes[1], 1.0, -1.0)[:, None]
        return y[train], y[test], f"one output: −1 for {classes[0]}, +1 for {classes[1]}"
    mine = labels[:, None] == np.array(classes)
    y, values = {
        "centred": (mine - 1 / count, f"1 − 1/{count} for the class of a point, −1/{count}"),
        "one_hot": (mine * 1.0, "1 for the class of a point, 0"),
        "signs": (np.where(mine, 1.0, -1.0), "+1 for the class of a point, −1"),
    }[coding]
    words = f"{count} outputs, one per class ({listed(classes)}): {values} for the others"
    return y[train], y[test], words
