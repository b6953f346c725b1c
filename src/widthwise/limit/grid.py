"""Limit kernels of large data sets, square blocks at a time.

:func:`prepare` computes what belongs to single points (:mod:`.diagonal`); :func:`rectangle` then
computes any part of the kernel matrix by the recursion of :mod:`.tiles`, on as many devices as are
given: each takes blocks of its own. In memory are the result and a few blocks. On the diagonal the
upper halves are mirrored. Pairs whose Hermite series misses the tolerance (a steep activation at
nearly parallel inputs) go one by one to the quadrature of :mod:`.pairs`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from widthwise.algebra.gaussian import TOLERANCE
from widthwise.limit import closed_tiles, diagonal, pairs, tiles
from widthwise.limit import hermite_series as hermite
from widthwise.limit.closed_forms import closed_form
from widthwise.limit.hermite_series import ORDERS, Series
from widthwise.limit.layer import has_gaussian_bias
from widthwise.limit.points import Block, Layer, Points, Scales
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian

_SIDES = (8, 16, 32, 64, 128)
_BLOCKS_AT_ONCE = 16
_FIRST_PAIRS = 64


def applies(net: MLP) -> bool:
    """Whether all preactivations are Gaussian and φ is smooth or has a closed form."""
    gaussian = isinstance(net.weight_law[0], Gaussian) and all(
        has_gaussian_bias(net, layer) for layer in range(net.depth)
    )
    return gaussian and (closed_form(net.activation) is not None or net.activation.smooth)


class Side(NamedTuple):
    """The rows or the columns of a kernel matrix.

    Args:
        x: the points.
        place: where they are in the tables: start and stop, whole blocks.
        kernels: of every point with itself.
    """

    x: np.ndarray
    place: slice
    kernels: Block


@dataclass(frozen=True, eq=False)
class Grid:
    """A kernel matrix that can be computed part by part; see :func:`prepare`.

    Args:
        net: the network.
        rows: the rows.
        columns: the columns, the same object where they are the same points.
        points: what the recursion needs of all of them but Hermite series.
        series: the Hermite series of the coarsest rule that suffices, where they are known.
        orders: numbers of Hermite orders to try, in turn; (0,) for a closed form.
        tolerance: error allowed in each layer.
        size: points per side of a block.
        dtype: the precision of the recursion.
        devices: where it runs.
    """

    net: MLP
    rows: Side
    columns: Side
    points: Points
    series: Series | None
    orders: tuple[int, ...]
    tolerance: float
    size: int
    dtype: np.dtype
    devices: tuple[jax.Device, ...]  # pyright: ignore[reportInvalidTypeForm]

    @property
    def square(self) -> bool:
        """Whether rows and columns are the same points."""
        return self.rows is self.columns

    @cached_property
    def scales(self) -> Scales:
        """σ_b², σ_w² and learning rates where the blocks are computed."""
        return _placed(diagonal.in_precision(diagonal.scales(self.net), self.dtype), self.devices)

    def tables(self, orders: int) -> tuple[Points, Points] | None:
        """The tables of rows and columns with so many orders; ``None`` if they are too large."""
        if orders not in self._made:
            self._made[orders] = self._tables(orders)
        return self._made[orders]

    @cached_property
    def point_errors(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Of rows and columns, the numbers whose products are the errors; ``None`` if not such."""
        if self.orders != (0,) or self.net.activation.kinks:
            return None
        tables = self.tables(0)
        assert tables is not None
        rows, columns = (_root_error(self.scales, side) for side in tables)
        return np.asarray(rows), np.asarray(columns)

    @cached_property
    def _made(self) -> dict[int, tuple[Points, Points] | None]:
        return {}

    def _tables(self, orders: int) -> tuple[Points, Points] | None:
        every = self.points
        if orders:
            activation = self.net.activation
            series = None if self.series is None else hermite.cut(activation, self.series, orders)
            if series is None:
                series = diagonal.coefficients(activation, every.variance, orders)
            if series is None:
                return None
            every = every._replace(series=series)
        every = diagonal.in_precision(every, self.dtype)
        rows = _placed(jax.tree.map(lambda t: t[..., self.rows.place], every), self.devices)
        if self.square:
            return rows, rows
        columns = jax.tree.map(lambda t: t[..., self.columns.place], every)
        return rows, _placed(columns, self.devices)


def prepare(
    net: MLP,
    x: np.ndarray,
    x2: np.ndarray | None = None,
    tolerance: float | None = None,
    dtype: type | np.dtype = float,
    devices: Sequence[jax.Device] | None = None,  # pyright: ignore[reportInvalidTypeForm]
) -> Grid:
    """Everything that belongs to single points, for rows ``x`` and columns ``x2`` (or ``x``)."""
    tolerance = tolerance or TOLERANCE
    devices = tuple(jax.devices() if devices is None else devices)
    if not devices:
        raise ValueError("devices must be one or more JAX devices, such as jax.devices(), got none")
    sets = [x] if x2 is None else [x, x2]
    size = next((s for s in _SIDES if s >= max(map(len, sets))), _SIDES[-1])
    filled = [_filled(points, size) for points in sets]
    every = np.concatenate(filled) if len(filled) > 1 else filled[0]
    ids: dict[bytes, int] = {}
    identity = np.array([ids.setdefault(row.tobytes(), len(ids)) for row in every + 0.0])
    own = np.einsum("ai,ai->a", every, every) / every.shape[1]
    chain, least = diagonal.chain(net, own, tolerance)
    if not least:
        diagonal.check_range(chain.variance, np.dtype(dtype))
    sides, start = [], 0
    for points, padded in zip(sets, filled, strict=True):
        kernels = Block(*(np.array(k[start : start + len(points)]) for k in chain.kernels))
        doubtful = np.flatnonzero(~np.isfinite(kernels.error))
        if least and len(doubtful):
            again = pairs.itself(net, points[doubtful], tolerance)
            for values, better in zip(kernels, again, strict=True):
                values[doubtful] = better
        sides.append(Side(points, slice(start, start + len(padded)), kernels))
        start += len(padded)
    return Grid(
        net,
        sides[0],
        sides[-1],
        diagonal.points(every, identity, chain),
        chain.series,
        _orders(least, chain.series),
        tolerance,
        size,
        np.dtype(dtype),
        devices,
    )


def _orders(least: int, series: Series | None) -> tuple[int, ...]:
    """Orders to try: few terms of a fine rule do for most pairs, and make for small tables."""
    if not least:
        return (0,)
    return tuple(n for n in ORDERS if n >= least or series is not None)


def _filled(x: np.ndarray, size: int) -> np.ndarray:
    """Whole blocks of points, and few different numbers of them; the last point is repeated."""
    blocks = -(-len(x) // size)
    step = max(1, 1 << max(blocks.bit_length() - 3, 0))
    count = -(-blocks // step) * step * size
    return np.concatenate([x, np.broadcast_to(x[-1], (count - len(x), x.shape[1]))])


def _placed(tree, devices: tuple[jax.Device, ...]):  # pyright: ignore[reportInvalidTypeForm]
    target = devices[0] if len(devices) == 1 else NamedSharding(_mesh(devices), PartitionSpec())
    return jax.device_put(tree, target)


def rectangle(grid: Grid, rows: slice, columns: slice) -> Block:
    """NNGP, NTK and error of some rows and columns.

    Args:
        grid: from :func:`prepare`.
        rows: start (a multiple of the grid's block size) and stop.
        columns: likewise; of a square grid either the same points as the rows, or none of them.

    Raises:
        QuadratureError: where the tolerance is missed.
    """
    mirrored = grid.square and rows == columns
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    result = Block(*(np.empty(shape, grid.dtype) for _ in range(3)))
    high, wide = (-(-n // grid.size) for n in shape)
    places = [(i, j) for i in range(high) for j in range(i if mirrored else 0, wide)]
    origin = np.array([rows.start, columns.start]) // grid.size
    for orders in grid.orders:
        tables = grid.tables(orders)
        if tables is None:
            break
        places = list(_fill(grid, tables, result, places, origin, mirrored))
        if not places or not orders:
            break
    if places and grid.orders != (0,):
        _requadrature(grid, result, rows, columns, mirrored)
    if grid.point_errors is not None:
        across, down = grid.point_errors
        np.multiply.outer(across[rows], down[columns], out=result.error)
    if mirrored:
        for matrix, own in zip(result, rounded(grid.rows.kernels, grid.dtype), strict=True):
            np.fill_diagonal(matrix, own[rows])
    return result


def rounded(made: Block, dtype: np.dtype) -> Block:
    """Kernels in a precision, with what rounding adds to their error."""
    if all(values.dtype == dtype for values in made):
        return made
    size = np.finfo(dtype).eps * np.maximum(np.abs(made.nngp), np.abs(made.ntk))
    values = (made.nngp, made.ntk, made.error + size)
    return Block(*(np.asarray(v, dtype) for v in values))


def _fill(grid: Grid, tables, result: Block, places: list, origin, mirrored: bool):
    """Compute the blocks at ``places``, and yield those where a pair misses the tolerance."""
    at_once = _BLOCKS_AT_ONCE * len(grid.devices)
    for start in range(0, len(places), at_once):
        some = places[start : start + at_once]
        made = _computed(grid, tables, np.array(some) + origin)
        for (i, j), block in zip(some, made, strict=True):
            _put(result, block, i * grid.size, j * grid.size, mirrored)
            if grid.orders != (0,) and not np.isfinite(block.error).all():
                yield i, j


@jax.jit
def _root_error(scales: Scales, points: Points) -> jax.Array:
    first, above = (Layer(*(s[part] for s in scales)) for part in (0, slice(1, None)))
    return closed_tiles.root_error(first, above, points)


def _computed(grid: Grid, tables: tuple[Points, Points], places: np.ndarray) -> list[Block]:
    """Blocks of (size, size) at places in units of the block size."""
    devices = len(grid.devices)
    parts = np.array_split(places, devices)
    room = 1 << (len(parts[0]) - 1).bit_length()
    lists, counts = np.zeros((devices, room, 2), np.int32), np.zeros(devices, np.int32)
    for d, part in enumerate(parts):
        lists[d, : len(part)], counts[d] = part, len(part)
    run = _program(grid.net.activation, grid.size, grid.devices)
    made = jax.tree.map(np.asarray, run(grid.scales, *tables, lists, counts, grid.tolerance))
    chosen = [(d, k) for d, count in enumerate(counts) for k in range(count)]
    return [jax.tree.map(lambda values, at=at: values[at], made) for at in chosen]


@lru_cache(maxsize=64)
def _program(activation, size: int, devices: tuple[jax.Device, ...]):  # pyright: ignore[reportInvalidTypeForm]
    def one_device(scales, rows, columns, places, counts, tolerance):
        blocks = partial(tiles.blocks, activation, size=size)
        made = blocks(scales, rows, columns, places[0], counts[0], tolerance)
        return jax.tree.map(lambda values: values[None], made)

    if len(devices) == 1:
        return jax.jit(one_device)
    whole, split = PartitionSpec(), PartitionSpec("devices")
    specs = (whole, whole, whole, split, split, whole)
    shared = jax.shard_map(
        one_device, mesh=_mesh(devices), in_specs=specs, out_specs=split, check_vma=False
    )
    return jax.jit(shared)


@lru_cache(maxsize=16)
def _mesh(devices: tuple[jax.Device, ...]) -> Mesh:  # pyright: ignore[reportInvalidTypeForm]
    return Mesh(np.array(devices), ("devices",))


def _put(result: Block, block: Block, row: int, column: int, mirrored: bool) -> None:
    high, wide = (
        min(len(block.nngp), n - at) for n, at in zip(result.nngp.shape, (row, column), strict=True)
    )
    for matrix, values in zip(result, block, strict=True):
        if values is None:
            continue
        values = values[:high, :wide]
        if mirrored and row == column:
            values = np.triu(values) + np.triu(values, 1).T
        matrix[row : row + high, column : column + wide] = values
        if mirrored and row != column:
            matrix[column : column + wide, row : row + high] = values.T


def _requadrature(grid: Grid, result: Block, rows: slice, columns: slice, mirrored: bool) -> None:
    """Compute anew, by quadrature, the pairs whose series missed the tolerance."""
    missed = ~np.isfinite(result.error)
    if mirrored:
        missed = np.triu(missed, 1)
    first, second = np.nonzero(missed)
    x, x2 = grid.rows.x[rows], grid.columns.x[columns]
    portions = [slice(0, _FIRST_PAIRS), slice(_FIRST_PAIRS, None)]
    for some in portions if len(first) else ():
        i, j = first[some], second[some]
        made = pairs.listed(grid.net, x, x2, i, j, grid.tolerance)
        for matrix, values in zip(result, rounded(made, grid.dtype), strict=True):
            matrix[i, j] = values
            if mirrored:
                matrix[j, i] = values
