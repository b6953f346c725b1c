"""The named sets: those that come with scikit-learn, and with mlxtend as an extra."""

from collections.abc import Callable
from typing import Any

import numpy as np

from widthwise.experiments.data.table import Table

_SKLEARN = {
    "digits": "the digit",
    "diabetes": "progression of the disease after one year",
    "breast_cancer": "malignant or benign",
    "wine": "the grower",
    "iris": "the species",
}
_MLXTEND = {
    "mnist": ("mnist_data", "the digit", False),
    "boston": ("boston_housing_data", "median value of the homes", True),
    "autompg": ("autompg_data", "miles per gallon", True),
}
PACKAGED = (*_SKLEARN, *_MLXTEND)


def named_set(name: str) -> Table:
    """The points of one named set."""
    return _from_mlxtend(name) if name in _MLXTEND else _from_sklearn(name)


def _from_sklearn(name: str) -> Table:
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
    return Table(
        name=name,
        about=f"{name} (from scikit-learn): {len(x)} points of {x.shape[1]} features; "
        f"target: {_SKLEARN[name]} ({kind})",
        x=x,
        y=np.asarray(bunch.target, dtype=np.float64)[:, None] if regression else None,
        labels=labels,
        features=tuple(map(str, bunch.feature_names)),
        row=lambda i: f"point {i}",
    )


def _from_mlxtend(name: str) -> Table:
    function, target, regression = _MLXTEND[name]
    try:
        from mlxtend import data
    except ImportError as error:
        raise ValueError(
            f'data.name = "{name}" comes with mlxtend, which is not installed; install it with '
            "pip install 'widthwise[data]', or take a set of scikit-learn, such as digits"
        ) from error
    read: Callable[[], tuple[Any, Any]] = getattr(data, function)
    given, values = read()
    x, y = np.asarray(given, dtype=np.float64), np.asarray(values)
    whole = np.isfinite(x).all(1)
    x, y = x[whole], y[whole]
    labels = None if regression else np.array([str(int(c)) for c in y])
    kind = "regression" if labels is None else f"{len(set(labels))} classes"
    return Table(
        name=name,
        about=f"{name} (from mlxtend): {len(x)} points of {x.shape[1]} features; target: {target} "
        f"({kind})",
        x=x,
        y=np.asarray(y, dtype=np.float64)[:, None] if regression else None,
        labels=labels,
        features=tuple(f"feature {j}" for j in range(x.shape[1])),
        row=lambda i: f"point {i}",
    )
