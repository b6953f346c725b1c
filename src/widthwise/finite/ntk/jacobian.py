"""The kernel of any function from its Jacobian: rows ∂f_k(x)/∂θ of blocks of points.

Two ways to use a row of x': multiply it with the rows of x (Jacobian contraction), or push it
forward through the linearization of f at x (NTK-vector products), θ ↦ ∂_θ f(x) · row.
"""

from functools import reduce

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from widthwise.finite.ntk.blocks import in_blocks
from widthwise.finite.ntk.cost import Plan
from widthwise.finite.ntk.entries import Components, inner
from widthwise.finite.ntk.function import Function


def rows(function: Function, trained: PyTree, x: jax.Array, one_by_one: bool) -> PyTree:
    """∂f/∂θ at every point: the tree of parameters with axes (points, outputs) in front.

    The filter gradients of a batch of single points are grouped convolutions, slow on a CPU: there
    points are taken one by one.
    """

    def row(point: jax.Array) -> PyTree:
        return jax.jacrev(lambda p: function.at_point(p, point))(trained)

    return jax.lax.map(row, x) if one_by_one else jax.vmap(row)(x)


def contract(J: PyTree, J2: PyTree, components: Components) -> jax.Array:
    """Sum over parameters of the products of two blocks of rows."""
    pairs = zip(jax.tree.leaves(J), jax.tree.leaves(J2), strict=True)
    products = (inner(_flat(a), _flat(b), components) for a, b in pairs if a.size)
    return reduce(jnp.add, products)


def _flat(leaf: jax.Array) -> jax.Array:
    return leaf.reshape(*leaf.shape[:2], -1)


def push(
    function: Function, trained: PyTree, x: jax.Array, J2: PyTree, components: Components
) -> jax.Array:
    """What the rows of x' move the outputs at x by."""
    _, moved_by = jax.linearize(lambda p: function(p, x), trained)
    moved = jax.vmap(jax.vmap(moved_by))(J2)
    if components == "full":
        return moved.transpose(2, 0, 3, 1)
    diagonal = jnp.einsum("bkak->abk", moved)
    return diagonal if components == "diagonal" else diagonal.mean(2)


@eqx.filter_jit
def kernel(
    function: Function,
    trained: PyTree,
    x: jax.Array,
    x2: jax.Array | None,
    components: Components,
    plan: Plan,
) -> jax.Array:
    """The kernel by the way and in the blocks of a plan."""

    def jacobian(points: jax.Array) -> PyTree:
        return rows(function, trained, points, plan.one_by_one)

    def contracted(J: PyTree, J2: PyTree) -> jax.Array:
        return contract(J, J2, components)

    def pushed(points: jax.Array, J2: PyTree) -> jax.Array:
        return push(function, trained, points, J2, components)

    if plan.method == "jacobian":
        return in_blocks(contracted, (x, x2), plan.block, components, (jacobian, jacobian))
    return in_blocks(pushed, (x, x2), plan.block, components, (lambda points: points, jacobian))
