r"""The three one-neuron averages that are odd in the readout weight a: all proportional to E a³.

    T̄(x;β,γ) = E T = E a³ · k_xβ { k_xγ ⟨ψ''_x ψ'_β ψ'_γ⟩ + k_βγ ⟨ψ'_x ψ''_β ψ'_γ⟩ },
    N(y;x,β) = E h_y κ_xβ = E a³ · k_xβ ⟨ψ_y ψ'_x ψ'_β⟩,
    M(y;β,γ) = E h_y h_β h_γ = E a³ · ⟨ψ_y ψ_β ψ_γ⟩,

⟨·⟩ over the preactivations; x, y are any points, β, γ train points (ψ = σ_w φ of the readout, k the
kernel of the first layer). T̄ is the mean drift of the tangent kernel, which symmetric laws do not
have. All other averages of the law through 1/n are even in a.

Three indices fit in memory for hundreds of points, and products of two such tensors are matrix
products. The averages are over sampled neurons; a product of two averages over the *same* neurons
would be biased, so products always take independent ones (:mod:`.skewed`).
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise.training.neurons.problem import Problem


class OddTensors(NamedTuple):
    """T̄, N and M, train indices in the eigenbasis of Θ, test rows as they are."""

    drift: Float[np.ndarray, "points train train"]
    kernel: Float[np.ndarray, "points points train"]
    outputs: Float[np.ndarray, "points train train"]


def odd_tensors(
    of: Problem,
    sources: Float[np.ndarray, "points sources"],
    draws: Iterable[tuple[Float[np.ndarray, "nodes sources"], Float[np.ndarray, " nodes"]]],
    dtype: np.dtype,
) -> OddTensors:
    """The tensors averaged over weighted neurons: z = sources · s, draws of (s, weights)."""
    sums = None
    for s, weights in draws:
        sums = _accumulate(
            sums,
            jnp.asarray(s),
            jnp.asarray(sources),
            jnp.asarray(weights),
            train=of.train,
            derivatives=of.derivatives[:3],
            dtype=dtype,
        )
    if sums is None:
        raise ValueError("an average over neurons needs at least one of them, got none")
    curved, bent, kernel, outputs = (np.asarray(v) for v in sums)
    m, p, cube = of.train, of.points, of.third_moment * of.scale**3
    k = of.first_kernel.astype(dtype)
    drift = curved.reshape(p, m, m) * k[:, None, :m] + bent.reshape(p, m, m) * k[:m, :m]
    return OddTensors(
        _rotated(of, cube * k[:, :m, None] * drift),
        _rotated(of, cube * k[:, :m] * kernel.reshape(p, p, m)),
        _rotated(of, cube * outputs.reshape(p, m, m)),
    )


@partial(jax.jit, static_argnames=("train", "derivatives", "dtype"))
def _accumulate(
    sums, s, sources, weights, *, train: int, derivatives: tuple[Callable, ...], dtype: np.dtype
):
    z = s @ sources.T
    d0, d1, d2 = (f(z).astype(dtype) for f in derivatives)
    t0, t1, t2 = d0[:, :train], d1[:, :train], d2[:, :train]
    w = weights.astype(dtype)[:, None]

    def triple(first: jax.Array, second: jax.Array, third: jax.Array) -> jax.Array:
        products = (second[:, :, None] * third[:, None, :]).reshape(len(z), -1)
        return (w * first).T @ products

    found = (triple(d2, t1, t1), triple(d1, t2, t1), triple(d0, d1, t1), triple(d0, t0, t0))
    return found if sums is None else jax.tree.map(jnp.add, sums, found)


def _rotated(of: Problem, tensor: np.ndarray) -> np.ndarray:
    """Every index into the eigenbasis of the train points; test entries stay."""
    for axis in range(3):
        turned = of.rotate(np.moveaxis(tensor, axis, -1))
        tensor = np.moveaxis(turned, -1, axis)
    return np.ascontiguousarray(tensor)
