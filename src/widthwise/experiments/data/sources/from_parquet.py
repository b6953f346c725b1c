"""Points from a Parquet file, where pyarrow is installed: one column the target, as in CSV."""

from pathlib import Path

from widthwise.experiments.data.sources.from_csv import from_lines
from widthwise.experiments.data.table import Table
from widthwise.experiments.spec import Points


def read_parquet(data: Points, path: Path) -> Table:
    """The points of one file, whose target ``data.target`` may name."""
    try:
        from pyarrow import parquet  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError(
            f'data.path = "{data.path}": Parquet files are read by pyarrow, which is not '
            "installed; install it with pip install pyarrow, or save the data as CSV or NPZ"
        ) from error
    try:
        columns = parquet.read_table(path).to_pydict()
    except OSError:
        raise
    except Exception as error:
        raise ValueError(
            f"{path} is not a Parquet file ({str(error).splitlines()[0]}); write it with pyarrow "
            "or pandas"
        ) from error
    header = [str(name) for name in columns]
    rows = list(zip(*columns.values(), strict=True))
    if not rows:
        raise ValueError(f"{path} holds no rows; a study needs points")
    lines = [
        (i, ["" if cell is None else _cell(cell) for cell in row]) for i, row in enumerate(rows)
    ]
    return from_lines(data, path, lines, header, lambda line: f"row {line}")


def _cell(value: object) -> str:
    """A number so that it reads back as the same number."""
    return repr(float(value)) if isinstance(value, float) else str(value).strip()
