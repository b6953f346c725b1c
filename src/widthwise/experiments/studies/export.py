"""Results as files that other programs read: netCDF, CSV or Parquet, one or more per quantity."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

Format: TypeAlias = Literal["netcdf", "csv", "parquet"]
FORMATS: tuple[str, ...] = get_args(Format)


def export(results: "xr.DataTree", directory: Path, format: str) -> tuple[Path, ...]:
    """Write results; every file appears whole or not at all.

    netCDF has one file per quantity. CSV and Parquet have one table for all variables that share
    their dimensions: ``ensemble-width-time-point.csv``.

    Args:
        results: of a study.
        directory: where to; made if it is not there.
        format: ``"netcdf"``, ``"csv"`` or ``"parquet"``.

    Returns:
        The files written.

    Raises:
        ValueError: for another format, or one whose library is not installed, or if the directory
            is a file.
    """
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    if format == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ValueError(
            "format 'parquet' is written by pyarrow, which is not installed; install it with "
            "pip install pyarrow, or take 'netcdf' or 'csv'"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(
            f"{directory} cannot be a folder, as a file stands there; name another output"
        ) from error
    written = []
    for name, node in results.children.items():
        found = node.to_dataset()
        if not found.data_vars:
            continue
        if format == "netcdf":
            written.append(_whole(directory / f"{name}.nc", _netcdf(found)))
            continue
        for title, frame in _tables(name, found):
            file = directory / f"{title}.{format}"
            data = frame.to_csv(index=False).encode() if format == "csv" else _parquet(frame)
            written.append(_whole(file, data))
    return tuple(written)


def _netcdf(found: "xr.Dataset") -> bytes:
    """As netCDF 3, which every reader knows and scipy writes; truth values as 0 and 1."""
    plain = found.copy()
    for name in found.variables:
        values = found[name]
        if values.dtype.kind == "b":
            plain[name] = values.astype("int8")
        elif values.dtype.kind in "iu" and values.dtype.itemsize > 4:
            small = bool((abs(values) < 2**31).all())
            plain[name] = values.astype("int32" if small else "float64")
    return bytes(plain.to_netcdf(engine="scipy", format="NETCDF3_64BIT"))


def _tables(name: str, found: "xr.Dataset") -> "Iterator[tuple[str, pd.DataFrame]]":
    groups: dict[tuple[str, ...], list[str]] = {}
    for variable, values in found.data_vars.items():
        groups.setdefault(tuple(map(str, values.dims)), []).append(str(variable))
    for dims, variables in groups.items():
        chosen = found[variables]
        title = "-".join((name, *dims))
        if dims:
            yield title, chosen.to_dataframe(dim_order=list(dims)).reset_index()
        else:
            yield title, chosen.expand_dims(row=[0]).to_dataframe().reset_index(drop=True)


def _parquet(frame: "pd.DataFrame") -> bytes:
    return frame.to_parquet(index=False)


def _whole(path: Path, data: bytes) -> Path:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
