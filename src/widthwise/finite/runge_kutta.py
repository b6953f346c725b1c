"""One explicit Runge–Kutta step of gradient flow: order 8 if φ is smooth, order 4 otherwise.

    k_s = v(θ + h Σ_j a_{sj} k_j),      θ ← θ + h Σ_s b_s k_s.

Order 8 has the 12 stages of Dormand and Prince (Hairer, Nørsett and Wanner, *Solving Ordinary
Differential Equations I*, 1993, II.10); order 4 is Kutta's. Across a kink of the activation the
flow is not smooth, and a high order gains nothing.

Where layers are much wider than the number of train points, a step moves them between its stages as
products of errors and features (see :mod:`.displacement`), and writes their weights once: of all
stages before, a product of rank 12 m, or in Kutta's step of the previous stage alone, of rank m.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree
from scipy.integrate import DOP853

from widthwise.finite.displacement import Origin
from widthwise.finite.gradient import NegativeGradient
from widthwise.model.architecture import MLP, Parameters

Scheme: TypeAlias = Literal[
    "dormand_prince_8", "dormand_prince_8_products", "kutta_4", "kutta_4_products"
]

_OUT_OF_CACHE = 2**17  # weights of a layer
_KUTTA = np.array([[0, 0, 0, 0], [0.5, 0, 0, 0], [0, 0.5, 0, 0], [0, 0, 1, 0]])
_KUTTA_WEIGHTS = np.array([1, 2, 2, 1]) / 6
_DORMAND_PRINCE = DOP853.A[: DOP853.n_stages, : DOP853.n_stages]
_TABLEAUS = {
    "dormand_prince_8": (_DORMAND_PRINCE, DOP853.B),
    "kutta_4": (_KUTTA, _KUTTA_WEIGHTS),
}


def scheme_for(net: MLP, width: int, train: int) -> Scheme:
    """The scheme for a network of width n on so many train points."""
    widths = net.widths(width)
    narrowest, weights = min(widths), max((a * b for a, b in pairwise(widths)), default=0)
    large, smooth = weights > _OUT_OF_CACHE, not net.activation.kinks
    rank = len(DOP853.B) * train
    if smooth and rank < (narrowest / 8 if large else 2 * narrowest):
        return "dormand_prince_8_products"
    if train < (narrowest if large else narrowest / 4) and (large or not smooth):
        return "kutta_4_products"
    return "dormand_prince_8" if smooth else "kutta_4"


def first_step(scheme: Scheme) -> float:
    """The first step to try, in units of 1/λ_max: its error is about 1e-6 where λ_max is 10."""
    return 2.0 if scheme.startswith("dormand_prince_8") else 0.5


def advance(
    scheme: Scheme, velocity: Callable[[PyTree], PyTree], parameters: PyTree, size: jax.Array
) -> PyTree:
    """The parameters one step of this size later."""
    if scheme == "kutta_4_products":
        assert isinstance(velocity, NegativeGradient)
        return _kutta_products(velocity, parameters, size)
    if scheme == "dormand_prince_8_products":
        assert isinstance(velocity, NegativeGradient)
        return _by_products(_DORMAND_PRINCE, DOP853.B, velocity, parameters, size)
    matrix, weights = _TABLEAUS[scheme]
    return _by_tableau(matrix, weights, velocity, parameters, size)


def _by_tableau(matrix, weights, velocity, parameters: PyTree, size) -> PyTree:
    """The stages in a loop and the parameters in one vector: little to compile."""
    start, unravel = ravel_pytree(parameters)
    reach = size * jnp.asarray(matrix, start.dtype)

    def stage(s, slopes):
        k, _ = ravel_pytree(velocity(unravel(start + reach[s] @ slopes)))
        return slopes.at[s].set(k)

    empty = jnp.zeros((len(weights), len(start)), start.dtype)
    slopes = jax.lax.fori_loop(0, len(weights), stage, empty)
    return unravel(start + size * jnp.asarray(weights, start.dtype) @ slopes)


def _by_products(matrix, weights, velocity: NegativeGradient, parameters: Parameters, size):
    """The stages in a loop, each a move from the first along the gradients of those before it."""
    origin = Origin.at(velocity, parameters, len(weights))
    reach = size * jnp.asarray(matrix, size.dtype)

    def store(moves, s, k):
        return jax.tree.map(lambda all, k: _stored(all, k, s), moves, k)

    def stage(s, moves):
        return store(moves, s, origin.gradient_after(reach[s], moves))

    first = origin.gradient()
    empty = jax.tree.map(lambda k: jnp.zeros((len(weights), *k.shape), k.dtype), first)
    moves = jax.lax.fori_loop(1, len(weights), stage, store(empty, 0, first))
    return origin.moved(size * jnp.asarray(weights, size.dtype), moves)


@jax.custom_batching.custom_vmap
def _stored(stack: jax.Array, value: jax.Array, place) -> jax.Array:
    """The stack with this value at this place; also for many members a write in place."""
    return jax.lax.dynamic_update_index_in_dim(stack, value, place, 0)


@_stored.def_vmap
def _stored_of_all(size, batched, stack, value, place):
    def full(values, is_batched):
        return values if is_batched else jnp.broadcast_to(values, (size, *values.shape))

    stack, value = full(stack, batched[0]), full(value, batched[1])
    return jax.lax.dynamic_update_index_in_dim(stack, value, place, 1), True


def _kutta_products(velocity: NegativeGradient, parameters: Parameters, size) -> Parameters:
    """Each stage is a move along the gradient of the one before it alone."""
    origin = Origin.at(velocity, parameters, 1)
    first = origin.gradient()

    def stage(previous, fraction):
        alone = jax.tree.map(lambda k: k[None], previous)
        k = origin.gradient_after((size * fraction)[None], alone)
        return k, k

    later = jax.lax.scan(stage, first, jnp.asarray([0.5, 0.5, 1.0], size.dtype))[1]
    moves = jax.tree.map(lambda k, ks: jnp.concatenate([k[None], ks]), first, later)
    return origin.moved(size * jnp.asarray(_KUTTA_WEIGHTS, size.dtype), moves)
