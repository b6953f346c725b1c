"""Kernels in square blocks of points, so that only one block's gradients are in memory at once.

A block of rows is prepared once, the blocks of columns beside it in turn; of a symmetric kernel
only the blocks on and above the diagonal are computed and the others are their transposes. The
last block is filled up with copies of the last point, so that one shape is compiled.
"""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from widthwise.finite.ntk.entries import Components, transposed

Prepare: TypeAlias = Callable[[PyTree], PyTree]
Combine: TypeAlias = Callable[[PyTree, PyTree], jax.Array]


def in_blocks(
    combine: Combine,
    data: tuple[PyTree, PyTree | None],
    size: int,
    components: Components,
    prepare: tuple[Prepare, Prepare] | None = None,
) -> jax.Array:
    """``combine(prepare(data), prepare(data2))`` over all pairs of blocks of points.

    Args:
        combine: the kernel of two prepared blocks.
        data: two trees of arrays with a leading axis of points; ``None`` for the second makes the
            kernel symmetric.
        size: points of a block.
        components: form of the entries.
        prepare: what is done once for a block of rows, and for a block of columns.
    """
    rows, columns = (lambda block: block,) * 2 if prepare is None else prepare
    symmetric = data[1] is None
    x, x2 = data[0], data[0] if data[1] is None else data[1]
    counts = _points(x), _points(x2)
    if max(counts) <= size:
        left = rows(x)
        return combine(left, left if symmetric and rows is columns else columns(x2))
    sizes = min(size, counts[0]), min(size, counts[1])
    number = -(-counts[0] // sizes[0]), -(-counts[1] // sizes[1])
    x, x2 = _filled(x, number[0] * sizes[0]), _filled(x2, number[1] * sizes[1])
    entry = jax.eval_shape(
        lambda a, b: combine(rows(a), columns(b)), _block(x, 0, 1), _block(x2, 0, 1)
    )
    shape = (number[0] * sizes[0], number[1] * sizes[1], *entry.shape[2:])

    def one_row(i, theta):
        left = rows(_block(x, i, sizes[0]))

        def one_column(j, theta):
            block = combine(left, columns(_block(x2, j, sizes[1])))
            corner = jnp.zeros(len(shape), int)
            at = corner.at[0].set(i * sizes[0]).at[1].set(j * sizes[1])
            theta = jax.lax.dynamic_update_slice(theta, block, tuple(at))
            if not symmetric:
                return theta
            mirror = corner.at[0].set(j * sizes[1]).at[1].set(i * sizes[0])
            return jax.lax.cond(
                i == j,
                lambda: theta,
                lambda: jax.lax.dynamic_update_slice(
                    theta, transposed(block, components), tuple(mirror)
                ),
            )

        return jax.lax.fori_loop(i if symmetric else 0, number[1], one_column, theta)

    theta = jax.lax.fori_loop(0, number[0], one_row, jnp.zeros(shape, entry.dtype))
    return theta[: counts[0], : counts[1]]


def _points(tree: PyTree) -> int:
    return len(jax.tree.leaves(tree)[0])


def _filled(tree: PyTree, count: int) -> PyTree:
    index = jnp.minimum(jnp.arange(count), _points(tree) - 1)
    return tree if count == _points(tree) else jax.tree.map(lambda leaf: leaf[index], tree)


def _block(tree: PyTree, number, size: int) -> PyTree:
    return jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, number * size, size), tree)
