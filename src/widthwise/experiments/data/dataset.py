"""The data of one study, and the way there: read, draw, scale, check."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from widthwise.experiments.data.draw import draw
from widthwise.experiments.data.scale import scaled_inputs, scaled_targets
from widthwise.experiments.data.sources import table_of
from widthwise.experiments.data.table import Table, as_classes
from widthwise.experiments.spec import DataSpec, StudyData


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


def load(data: DataSpec | StudyData, seed: int, base_folder: str | Path = ".") -> Dataset:
    """The points a spec asks for.

    Args:
        data: the section ``[data]`` of a spec, or of a study over a grid.
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
        >>> from widthwise.experiments.spec import DataSpec, StudyData
        >>> load(DataSpec(name="diabetes", train=8), seed=0).x_train.shape
        (8, 9)
    """
    table = table_of(data, Path(base_folder))
    if data.classes is not None and table.labels is None:
        table = as_classes(table)
    train, test, drawn = draw(table, data, seed)
    x_train, x_test = table.x[train], table.x[test]
    x_train, x_test, scaling = scaled_inputs(table, x_train, x_test, data.scaling)
    y_train, y_test, target = scaled_targets(table, data, train, test)
    twins = _twins(table, train, x_train, y_train)
    return Dataset(
        name=table.name,
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        feature_count=x_train.shape[1],
        description=(table.about, drawn, scaling, target, *twins),
        hash=content_hash(x_train, y_train, x_test, y_test),
    )


def _twins(table: Table, train: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[str, ...]:
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


def content_hash(*arrays: np.ndarray) -> str:
    """12 hexadecimal digits that name the content of arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}".encode())
        digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    return digest.hexdigest()[:12]
