r"""Projections of networks at initialization, with what their hidden layers say of them.

Given the hidden layers, v · f = σ_w N^{-1/2} Σ_k a_k g_k + σ_b (Σ v) b with g = v · φ, so that

    s² = σ_w² N^{-1} Σ g_k² + σ_b² (Σ v)²           its conditional variance,
    τ  = σ_w² N^{-1} Σ τ_a(a_k) g_k² + σ_b² (Σ v)²   its Stein kernel (Gaussian output bias),

all in units of the variance σ² of v · f in the limit. Member i draws from fold_in(key, i), as in
:func:`widthwise.simulate`.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise.measure.stein_kernel import stein_kernel
from widthwise.model.architecture import MLP


class Projections(NamedTuple):
    """Of a block of members: v · f/σ, s²/σ² and τ/σ², each (directions, members)."""

    outputs: Float[np.ndarray, "directions members"]
    variance: Float[np.ndarray, "directions members"]
    kernel: Float[np.ndarray, "directions members"]


def projections(
    net: MLP,
    width: int,
    x: np.ndarray,
    directions: Float[np.ndarray, "directions points"],
    std: Float[np.ndarray, " directions"],
    component: int,
    key: jax.Array,
    begin: int,
    end: int,
    *,
    memory: float = 2e8,
) -> Iterator[Projections]:
    """Members begin … end − 1, in blocks.

    Args:
        net: the architecture.
        width: n.
        x: all points (points, inputs).
        directions: v.
        std: σ of every direction.
        component: which output.
        key: JAX random key.
        begin: the first member.
        end: one more than the last.
        memory: bytes a block may take.
    """
    fan = (x.shape[1], *net.widths(width), net.outputs)
    numbers = sum(a * b + b for a, b in pairwise(fan)) + 3 * len(x) * sum(fan)
    size = int(np.clip(memory // (8 * numbers), 1, 4096))
    size = min(size, 1 << max(end - begin - 1, 0).bit_length())
    scaled = jnp.asarray(directions / std[:, None])
    for first in range(begin, end, size):
        block = jnp.arange(first, first + size)
        parts = _block(net, width, jnp.asarray(x), scaled, component, key, block)
        yield Projections(*(np.asarray(part)[: end - first].T for part in parts))


@eqx.filter_jit
def _block(net: MLP, width: int, x, v, component: int, key, members):
    sized = net.at_width(width, x.shape[1])
    kernel = stein_kernel(net.weight_law[-1])
    shared = 0.0
    if net.has_bias(net.depth):
        shared = sized.bias_std[-1] * v.sum(1)

    def one(member):
        *hidden, last = net.init(jax.random.fold_in(key, member), width, x.shape[1])
        features = sized.activation(sized.apply(tuple(hidden), x))
        g = sized.weight_std[-1] / np.sqrt(features.shape[-1]) * v @ features
        a = last.weight[component]
        f = g @ a
        if last.bias is not None:
            f = f + shared * last.bias[component]
        square, own = g**2, jnp.square(shared)
        tau = square @ (jnp.full_like(a, jnp.nan) if kernel is None else kernel(a))
        return f, square.sum(1) + own, tau + own

    return jax.vmap(one)(members)
