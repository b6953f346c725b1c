"""Limit kernels larger than memory, block by block into a zarr group that survives a kill.

The group holds the arrays ``nngp``, ``ntk`` and ``error``, (points, points2), in chunks of one
block, and ``done``, one number per block, which is set after the block's chunks are written. A run
that finds a group of the same network, points and settings (their digest is among its attributes)
continues where it stopped, and ends with the same numbers, bit for bit; every block is a function
of the inputs alone. Of a symmetric matrix one half is computed.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from widthwise import _checks as checks
from widthwise._version import __version__
from widthwise._vocabulary import ArrayLike
from widthwise.limit import grid, pairs
from widthwise.limit.kernels import Precision
from widthwise.limit.points import Block
from widthwise.model.architecture import MLP

_UNIT = 128
_PARTS = ("nngp", "ntk", "error")


@dataclass(frozen=True, eq=False)
class StoredKernels:
    """Kernels on disk: zarr arrays (points, points2), read in part by slices such as ``ntk[:100]``.

    Args:
        nngp: the NNGP kernel.
        ntk: the NTK.
        error: estimated absolute error of either, in float32.
    """

    nngp: Any
    ntk: Any
    error: Any


def store_limit_kernels(
    net: MLP,
    x: ArrayLike,
    path: str | Path,
    x2: ArrayLike | None = None,
    *,
    block: int = 2048,
    tolerance: float | None = None,
    precision: Precision = "float64",
    devices: Sequence[jax.Device] | None = None,  # pyright: ignore[reportInvalidTypeForm]
    progress: Callable[[int, int], object] | None = None,
) -> StoredKernels:
    """Write the limit kernels to disk, one block after the other; called again, it resumes.

    Memory is that of a few blocks, whatever the number of points. Needs zarr
    (``pip install 'widthwise[cluster]'``).

    Args:
        net: the architecture.
        x: data (points, inputs).
        path: folder of the zarr group; made if it does not exist.
        x2: second data set (points2, inputs); ``None`` means ``x``.
        block: points per side of a block, a multiple of 128.
        tolerance: as in :func:`limit_kernels`.
        precision: of the stored kernels.
        devices: as in :func:`limit_kernels`.
        progress: called with (blocks done, blocks in all) after every block.

    Returns:
        :class:`StoredKernels`, open for reading.

    Raises:
        ValueError: for bad input, or a group at ``path`` that holds something else.
        ImportError: if zarr is missing.

    Example:
        >>> import jax, tempfile; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net = ww.MLP(depth=2, activation="relu", weight_std=2**0.5)
        >>> x = jax.random.normal(jax.random.key(0), (300, 4))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ww.store_limit_kernels(net, x, folder + "/kernels.zarr", block=128).ntk.shape
        (300, 300)
    """
    checks.require_x64()
    if checks.positive_integer(block, "block") % _UNIT:
        raise ValueError(f"block must be a multiple of {_UNIT}, got {block}")
    if precision not in ("float64", "float32"):
        raise ValueError(f"precision must be 'float64' or 'float32', got {precision!r}")
    if tolerance is not None:
        tolerance = checks.positive(tolerance, "tolerance")
    x = checks.points(x)
    net = net.at_width(np.inf, x.shape[1])
    if x2 is not None:
        x2 = checks.points(x2, "x2")
        checks.same_inputs(x, x2)
    shape = (len(x), len(x if x2 is None else x2))
    digest = _digest(net, x, x2, block, tolerance, precision)
    arrays, done = _opened(Path(path), shape, block, precision, digest)
    symmetric = x2 is None
    high, wide = done.shape
    blocks = [(i, j) for i in range(high) for j in range(i if symmetric else 0, wide)]
    state = done[:]
    left = [place for place in blocks if not state[place]]
    compute = _computer(net, x, x2, tolerance, precision, devices) if left else None
    for number, (i, j) in enumerate(left, len(blocks) - len(left) + 1):
        rows, columns = (
            slice(k * block, min((k + 1) * block, n)) for k, n in zip((i, j), shape, strict=True)
        )
        made = compute(rows, columns)  # pyright: ignore[reportOptionalCall]
        for name, values in zip(_PARTS, made, strict=True):
            values = _upwards(values) if name == "error" else values
            arrays[name][rows, columns] = values
            if symmetric and i != j:
                arrays[name][columns, rows] = np.ascontiguousarray(values.T)
        done[i, j] = 1
        if progress is not None:
            progress(number, len(blocks))
    return StoredKernels(*(arrays[name] for name in _PARTS))


def _computer(net, x, x2, tolerance, precision, devices) -> Callable[[slice, slice], Block]:
    if grid.applies(net):
        prepared = grid.prepare(net, x, x2, tolerance, np.dtype(precision), devices)
        return lambda rows, columns: grid.rectangle(prepared, rows, columns)

    def by_pairs(rows: slice, columns: slice) -> Block:
        others = x if x2 is None else x2
        if x2 is None and rows == columns:
            made = pairs.square(net, x[rows], tolerance, "auto")
        else:
            made = pairs.rectangle(net, x[rows], others[columns], tolerance, "auto")
        return grid.rounded(made, np.dtype(precision))

    return by_pairs


def _upwards(error: np.ndarray) -> np.ndarray:
    """The error in float32, not below what it was."""
    short = error.astype(np.float32)
    return np.where(short < error, np.nextafter(short, np.float32(np.inf)), short)


def _opened(
    path: Path, shape: tuple[int, int], block: int, precision: str, digest: str
) -> tuple[dict[str, Any], Any]:
    try:
        import zarr
        from zarr.errors import GroupNotFoundError
    except ImportError as error:
        raise ImportError(
            "store_limit_kernels needs zarr: pip install 'widthwise[cluster]'"
        ) from error
    if path.exists() and any(path.iterdir()):
        group, found = None, None
        try:
            group = zarr.open_group(path, mode="r+")
            found = group.attrs.get("digest")
        except (FileNotFoundError, GroupNotFoundError, ValueError):
            pass
        if group is not None and found == digest:
            return {name: group[name] for name in _PARTS}, group["done"]
        if found is not None or not (path / "unfinished").exists():
            raise ValueError(
                f"{str(path)!r} holds something else than the kernels of this network, points "
                "and settings; give another path, or remove it"
            )
    path.mkdir(parents=True, exist_ok=True)
    (path / "unfinished").touch()
    group = zarr.open_group(path, mode="a")
    chunks = tuple(min(block, n) for n in shape)
    types = {"nngp": precision, "ntk": precision, "error": "float32"}
    arrays = {
        name: group.create_array(
            name, shape=shape, chunks=chunks, dtype=kind, compressors=None, overwrite=True
        )
        for name, kind in types.items()
    }
    counts = tuple(-(-n // block) for n in shape)
    done = group.create_array("done", shape=counts, chunks=(1, 1), dtype="uint8", overwrite=True)
    group.attrs["digest"] = digest
    (path / "unfinished").unlink()
    return arrays, done


def _digest(net: MLP, x, x2, block, tolerance, precision) -> str:
    """What the numbers depend on; a function counts by its values."""
    probe = np.asarray(net.activation(jnp.linspace(-4.0, 4.0, 257)))
    facts = (
        __version__,
        net.depth,
        net.activation.name,
        net.activation.kinks,
        *(net.weight_std, net.bias_std, net.ratios, net.parametrization),
        *(repr(law) for law in (net.weight_law[0], *net.bias_law)),
        *(block, tolerance, precision),
    )
    hasher = hashlib.sha256(repr(facts).encode())
    for array in (probe, x, *(() if x2 is None else (x2,))):
        hasher.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return hasher.hexdigest()
