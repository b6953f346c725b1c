"""Where points come from: named and generated sets, CSV, NPZ and Parquet files, one in one file."""

from pathlib import Path

from widthwise.experiments.data.sources.from_csv import read_csv
from widthwise.experiments.data.sources.from_npz import read_npz
from widthwise.experiments.data.sources.from_parquet import read_parquet
from widthwise.experiments.data.sources.generated import GENERATED, generated_set
from widthwise.experiments.data.sources.named import named_set
from widthwise.experiments.data.table import Table
from widthwise.experiments.spec import DataSpec, StudyData

_READERS = {".csv": read_csv, ".npz": read_npz, ".parquet": read_parquet}


def table_of(data: DataSpec | StudyData, base_folder: Path) -> Table:
    """The table that a spec names; a relative path starts at ``base_folder``."""
    if isinstance(data, StudyData) and data.name in GENERATED:
        return generated_set(data.name, data.train + data.test, **data.generator)
    return named_set(data.name) if data.name else _file(data, base_folder)


def _file(data: DataSpec | StudyData, base_folder: Path) -> Table:
    if data.path is None:
        raise ValueError("[data] names no data: give name or path")
    path = base_folder / data.path
    try:
        there = path.is_file()
    except (OSError, ValueError):
        there = False
    if not there:
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise ValueError(
            f'data.path = "{data.path}": {path} {what}; a relative path starts at the folder of '
            "the TOML file"
        )
    try:
        return _READERS[path.suffix.lower()](data, path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
