"""Inputs and targets in the units of the network, by the train points alone, and in words."""

from collections.abc import Sequence

import numpy as np

from widthwise.experiments.data.table import Table, chosen_classes, listed
from widthwise.experiments.spec import DataSpec


def scaled_inputs(
    table: Table, train: np.ndarray, test: np.ndarray
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
            f"({listed(left_out, 4)})"
        )
    return train, test, words


def scaled_targets(
    table: Table, data: DataSpec, train: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray, str]:
    if table.labels is not None:
        return _class_targets(table.labels, chosen_classes(table, data), train, test)
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
            f"{count} outputs, one per class ({listed(classes)}): 1 − 1/{count} for the class of "
            f"a point, −1/{count} for the others"
        )
    return y[train], y[test], words
