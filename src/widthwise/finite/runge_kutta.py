"""One explicit Runge–Kutta step of gradient flow: order 8 if φ is smooth, order 4 otherwise.

    k_s = v(θ + h Σ_j a_{sj} k_j),      θ ← θ + h Σ_s b_s k_s.

Order 8 has the 12 stages of Dormand and Prince (Hairer, Nørsett and Wanner, *Solving Ordinary
Differential Equations I*, 1993, II.10); order 4 is Kutta's. Across a kink of the activation the
flow is not smooth, and a high order gains nothing.

Where layers are much wider than the number of train points, Kutta's step moves them between its
stages as products of the previous stage's errors and features (see :mod:`.gradient`), and writes
their weights once.
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

from widthwise.finite.gradient import Factors, NegativeGradient
from widthwise.model.architecture import MLP, Parameters

Scheme: TypeAlias = Literal["dormand_prince_8", "kutta_4", "kutta_4_products"]

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
    weights = max((a * b for a, b in pairwise(widths)), default=0)
    if weights > _OUT_OF_CACHE and train < min(widths):
        return "kutta_4_products"
    return "kutta_4" if net.activation.kinks else "dormand_prince_8"


def first_step(scheme: Scheme) -> float:
    """The first step to try, in units of 1/λ_max: its error is about 1e-6 where λ_max is 10."""
    return 2.0 if scheme == "dormand_prince_8" else 0.5


def advance(
    scheme: Scheme, velocity: Callable[[PyTree], PyTree], parameters: PyTree, size: jax.Array
) -> PyTree:
    """The parameters one step of this size later."""
    if scheme == "kutta_4_products":
        assert isinstance(velocity, NegativeGradient)
        return _kutta_products(velocity, parameters, size)
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


def _kutta_products(velocity: NegativeGradient, parameters: Parameters, size) -> Parameters:
    reach = jnp.asarray([0.0, 0.5, 0.5, 1.0], size.dtype)
    here = velocity.factors(parameters)

    def stage(previous: list[Factors], fraction):
        k = velocity.factors(velocity.displaced(parameters, [size * fraction], [previous]))
        return k, k

    later = jax.lax.scan(stage, here, reach[1:])[1]
    stages = [here, *(jax.tree.map(lambda k, s=s: k[s], later) for s in range(3))]
    return velocity.moved(parameters, [size * float(b) for b in _KUTTA_WEIGHTS], stages)
