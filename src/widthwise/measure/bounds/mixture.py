r"""Gaussian readouts at any depth: the mean distance of the conditional Gaussian from the limit.

Given the last hidden layer the outputs are N(0, K_n), K_n = σ_w² φφᵀ/n_L + σ_b² 11ᵀ, so that

    d_BL(A f, N(0, AKAᵀ)) ≤ E min(2, Bures(A K_n Aᵀ, A K Aᵀ)),
    Bures²(P, Q) = tr P + tr Q − 2 tr(Q^{1/2} P Q^{1/2})^{1/2} = W₂(N(0, P), N(0, Q))².

One number per network, computed from its initialization alone and averaged over drawn networks.
"""

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise.model.architecture import MLP

_NUMBERS = 4_000_000  # of weights drawn at once


def bures(
    P: Float[np.ndarray, "*stack k k"], Q: Float[np.ndarray, "*times k k"]
) -> Float[np.ndarray, "*both"]:
    """Bures(P, Q), the W₂ distance of two centred Gaussians; stacks broadcast."""
    values, vectors = np.linalg.eigh(Q)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    middle = np.linalg.eigvalsh(root @ P @ root)
    traces = np.trace(P, axis1=-2, axis2=-1) + np.trace(Q, axis1=-2, axis2=-1)
    square = traces - 2 * np.sqrt(np.maximum(middle, 0.0)).sum(-1)
    return np.asarray(np.sqrt(np.maximum(square, 0.0)))


def conditional_kernels(
    net: MLP, width: int, x: Float[np.ndarray, "points inputs"], members: int, key: jax.Array
) -> Float[np.ndarray, "members points points"]:
    """K_n of members 0, 1, … of an ensemble drawn from a key.

    Args:
        net: the architecture, its biases constant.
        width: n.
        x: data.
        members: how many networks.
        key: JAX random key; member i is drawn from fold_in(key, i), as by ``simulate``.
    """
    fan = (x.shape[1], *net.widths(width), net.outputs)
    weights = sum(a * b for a, b in pairwise(fan))
    block = int(np.clip(_NUMBERS // weights, 1, 256))
    starts = range(0, members, block)
    points = jnp.asarray(x)
    parts = [
        np.asarray(_kernels(net, width, key, points, jnp.arange(i, i + block))) for i in starts
    ]
    return np.concatenate(parts)[:members]


@eqx.filter_jit
def _kernels(net: MLP, width: int, key: jax.Array, x: jax.Array, members: jax.Array) -> jax.Array:
    return jax.vmap(lambda i: _kernel(net, width, jax.random.fold_in(key, i), x))(members)


def _kernel(net: MLP, width: int, key: jax.Array, x: jax.Array) -> jax.Array:
    h, L = x, net.depth
    for l, layer in enumerate(net.init(key, width, x.shape[1])[:L]):
        h = net.weight_std[l] / np.sqrt(layer.weight.shape[-1]) * (h @ layer.weight.T)
        if layer.bias is not None:
            h = h + net.bias_std[l] * layer.bias
        h = net.activation(h)
    kernel = net.weight_std[L] ** 2 / h.shape[1] * (h @ h.T)
    return kernel + net.bias_std[L] ** 2 if net.has_bias(L) else kernel
