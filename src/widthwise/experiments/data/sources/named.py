"""The named sets, which come with scikit-learn."""

from typing import Any

import numpy as np

from widthwise.experiments.data.table import Table

_TARGETS = {
    "digits": "the digit",
    "diabetes": "progression of the disease after one year",
    "breast_cancer": "malignant or benign",
    "wine": "the grower",
}


def named_set(name: str) -> Table:
    """The points of one named set."""
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
        f"target: {_TARGETS[name]} ({kind})",
        x=x,
        y=np.asarray(bunch.target, dtype=np.float64)[:, None] if regression else None,
        labels=labels,
        features=tuple(map(str, bunch.feature_names)),
        row=lambda i: f"point {i}",
    )
