"""Θ v without Θ: a vector through Jᵀ at one set of points, then through J at another,

    (Θ v)_k(x) = Σ_{x', k'} Θ_{kk'}(x, x') v_{k'}(x') = ∂_θ f_k(x) · u,
             u = Σ_{x', k'} v_{k'}(x') ∂_θ f_{k'}(x'),

one backward and one forward pass: as cheap as a few evaluations, whatever the number of points,
outputs and parameters.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Float, PyTree

from widthwise import _checks as checks
from widthwise._vocabulary import Array, ArrayLike
from widthwise.finite.ntk.analysis import analyse
from widthwise.finite.ntk.coupling import refuse_coupled
from widthwise.finite.ntk.function import Function
from widthwise.finite.ntk.layerwise import MEMORY
from widthwise.finite.ntk.perceptron import subject_of
from widthwise.model.architecture import MLP


def ntk_vector_product(
    apply: MLP | Callable,
    parameters: PyTree,
    x: ArrayLike,
    v: ArrayLike,
    x2: ArrayLike | None = None,
    *,
    width: int | None = None,
    memory: float = MEMORY,
) -> Float[Array, "*vectors points outputs"]:
    """The product of the full empirical NTK with a vector, the kernel never formed.

    (Θ v)_k(x_a) = Σ_b Σ_k' Θ_{kk'}(x_a, x2_b) v_{b k'}.

    Args:
        apply: an :class:`MLP` or any function ``apply(parameters, x) -> (points, outputs)``.
        parameters: what ``apply`` takes.
        x: data (points, ...).
        v: (points2, outputs), or a stack of such; (points2,) for one output.
        x2: the data that v belongs to; ``None`` means ``x``.
        width: as in :func:`empirical_ntk`.
        memory: bytes that intermediate results may take, about.

    Returns:
        Θ v of shape (points, outputs), with the leading axes of v.

    Raises:
        ValueError: as :func:`empirical_ntk`, and for a v of another shape.

    Source: Novak, Sohl-Dickstein & Schoenholz, ICML 2022, §3.2.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net = ww.MLP(depth=1, activation="erf", outputs=2)
        >>> parameters = net.init(jax.random.key(0), width=8, inputs=1)
        >>> ww.ntk_vector_product(net, parameters, [[1.0]], [[1.0, 0.0]]).shape
        (1, 2)
    """
    checks.require_x64()
    memory = checks.positive(memory, "memory")
    case = subject_of(apply, parameters, x, x2, width)
    analysis = analyse(case)
    other = case.x if case.x2 is None else case.x2
    vectors = _vectors(v, len(other), analysis.outputs)
    stack = int(np.prod(vectors.shape[:-2], dtype=int))
    block = memory / (analysis.activations * max(stack, 1))
    result = _product(case.function, case.trained, case.x, other, vectors, max(1, int(block)))
    return refuse_coupled(case, bool(analysis.lower), result)


def _vectors(v: ArrayLike, points: int, outputs: int) -> jax.Array:
    array = v if isinstance(v, Tracer) else jnp.asarray(checks.numbers(v, "v"))
    if array.ndim == 1 and outputs == 1:
        array = array[:, None]
    if array.ndim < 2 or array.shape[-2:] != (points, outputs):
        raise ValueError(
            f"v must have shape ({points}, {outputs}), one row per point and one column per "
            f"output, or be a stack of such, got shape {np.shape(v)}"
        )
    return array


@eqx.filter_jit
def _product(
    function: Function, trained: PyTree, x: jax.Array, x2: jax.Array, v: jax.Array, block: int
) -> jax.Array:
    flat = v.reshape(-1, *v.shape[-2:])

    def backward(total, piece):
        points, cotangents = piece
        _, pullback = jax.vjp(lambda p: function(p, points), trained)
        moved = jax.vmap(lambda c: pullback(c)[0], in_axes=1)(cotangents)
        return jax.tree.map(jnp.add, total, moved), None

    def forward(points):
        _, moved_by = jax.linearize(lambda p: function(p, points), trained)
        return jax.vmap(moved_by, out_axes=1)(direction)

    start = jax.tree.map(lambda leaf: jnp.zeros((len(flat), *leaf.shape), leaf.dtype), trained)
    pieces = _pieces(x2, block), _pieces(flat.swapaxes(0, 1), block, zeros=True)
    direction, _ = jax.lax.scan(backward, start, pieces)
    result = jax.lax.map(forward, _pieces(x, block))
    result = result.reshape(-1, *result.shape[2:])[: len(x)]
    return result.swapaxes(0, 1).reshape(*v.shape[:-2], len(x), v.shape[-1])


def _pieces(array: jax.Array, block: int, zeros: bool = False) -> jax.Array:
    """Blocks of the leading axis, the last filled up with its last entry, or with zeros."""
    size = min(block, len(array))
    count = -(-len(array) // size)
    missing = ((0, count * size - len(array)), *((0, 0),) * (array.ndim - 1))
    filled = jnp.pad(array, missing) if zeros else jnp.pad(array, missing, mode="edge")
    return filled.reshape(count, size, *array.shape[1:])
