"""Points drawn from a file, kept beside the results: these are read when the file is not there."""

import io
import json
from pathlib import Path

import numpy as np

from widthwise.experiments.data.dataset import Dataset, content_hash

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def written(dataset: Dataset) -> bytes:
    """A data set as the bytes of an NPZ file."""
    words = {"name": dataset.name, "about": dataset.description, "hash": dataset.hash}
    arrays = {name: getattr(dataset, name) for name in _ARRAYS}
    file = io.BytesIO()
    np.savez(file, words=np.array(json.dumps(words)), **arrays)
    return file.getvalue()


def read(path: Path) -> Dataset:
    """The data set in a file; bit for bit what was written.

    Raises:
        ValueError: if the file is not what was written.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            words = json.loads(str(file["words"]))
            arrays = {name: file[name] for name in _ARRAYS}
        if content_hash(*arrays.values()) != words["hash"]:
            raise ValueError("its numbers have another hash")
    except Exception as error:  # whatever zip and NPZ readers raise
        raise ValueError(
            f"{path} is damaged ({error}); delete it: the points are then drawn from the data file "
            "of the study again"
        ) from error
    return Dataset(
        **arrays,
        name=words["name"],
        feature_count=arrays["x_train"].shape[1],
        description=tuple(words["about"]),
        hash=words["hash"],
    )
