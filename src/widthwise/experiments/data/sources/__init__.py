"""Where points come from: a named set, a CSV file or an NPZ file, one way to read in one file."""

from pathlib import Path

from widthwise.experiments.data.sources.from_csv import read_csv
from widthwise.experiments.data.sources.from_npz import read_npz
from widthwise.experiments.data.sources.named import named_set
from widthwise.experiments.data.table import Table
from widthwise.experiments.spec import DataSpec


def table_of(data: DataSpec, base_folder: Path) -> Table:
    """The table that a spec names; a relative path starts at ``base_folder``."""
    return named_set(data.name) if data.name else _file(data, base_folder)


def _file(data: DataSpec, base_folder: Path) -> Table:
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
        return read_npz(data, path) if path.suffix.lower() == ".npz" else read_csv(data, path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
