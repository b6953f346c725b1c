"""The kernel of a perceptron layer by layer, without the derivative by any weight.

One forward pass gives h^l and φ'(z^l), one backward pass per output component

    g^L_k = σ_w/√n_L · W^{L+1}_k ⊙ φ'(z^L),      g^l_k = σ_w/√n_l · (g^{l+1}_k W^{l+1}) ⊙ φ'(z^l),

and Θ is the sum over layers of the Gram matrix of h^{l−1} times that of g^l. Averaged over
components, the Gram matrix of g^L needs no component at all:
Σ_k ⟨g^L_k(x), g^L_k(x')⟩ = σ_w²/n_L Σ_i (Σ_k W_{ki}²) φ'(z_i(x)) φ'(z_i(x')).
"""

from functools import partial
from itertools import pairwise
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise._vocabulary import Array
from widthwise.finite.ntk.blocks import in_blocks
from widthwise.finite.ntk.entries import Components, identity, inner, numbers, over_points
from widthwise.model.architecture import MLP, Parameters, Rates

MEMORY = 5e8  # bytes
_TILE = 256  # points; a larger Gram matrix of one block is made of tiles, the upper half of them
_CACHE = 150_000  # numbers per array of activations that stay in cache


class Features(NamedTuple):
    """What one layer contributes for each point: its input, and the gradient by its output.

    Args:
        h: (points, n_{l−1}).
        g: (points, outputs, n_l); ``None`` for the readout, whose gradient is the identity.
        g2: what stands on the other side of the Gram matrix.
    """

    h: jax.Array
    g: jax.Array | None
    g2: jax.Array | None


def mlp_ntk(
    net: MLP, parameters: Parameters, x: Array, x2: Array, width: int
) -> Float[Array, "points points2"]:
    """The kernel of one network of width n, averaged over components; ``x2 is x`` is cheaper."""
    return layerwise(net, parameters, x, None if x2 is x else x2, width)


@eqx.filter_jit
def layerwise(
    net: MLP,
    parameters: Parameters,
    x: Array,
    x2: Array | None,
    width: int,
    components: Components = "mean",
    memory: float = MEMORY,
) -> Float[Array, "..."]:
    """The kernel of one network, or of every network of a stack of parameters."""
    dtype = jax.tree.leaves(parameters)[0].dtype
    x = jnp.asarray(x, dtype)
    x2 = None if x2 is None else jnp.asarray(x2, dtype)
    points = max(len(x), 0 if x2 is None else len(x2))
    sizes = (x.shape[1], *net.widths(width), net.outputs)
    numbers_of_a_point = 2 * sum(h + net.outputs * g for h, g in pairwise(sizes))
    block = int(np.clip(memory / (2 * dtype.itemsize * numbers_of_a_point), 1, points))
    sized = net.at_width(width, x.shape[1])
    combine = partial(_combine, sized, net.learning_rates(width, x.shape[1]), components)

    def one(parameters: Parameters) -> jax.Array:
        def prepare(x: jax.Array) -> tuple[Features, ...]:
            return _features(sized, parameters, x, components)

        def kernel(left, right):
            return in_blocks(combine, (left, None if right is left else right), _TILE, components)

        return in_blocks(kernel, (x, x2), block, components, (prepare, prepare))

    if parameters[0].weight.ndim == 2:
        return one(parameters)
    members = len(parameters[0].weight)
    result = points**2 * numbers(components, net.outputs)
    taken = dtype.itemsize * (4 * result + 2 * block * numbers_of_a_point)
    batch = min(memory / taken, _CACHE / (block * max(sizes)))
    return jax.lax.map(one, parameters, batch_size=int(np.clip(batch, 1, members)))


def _features(
    net: MLP, parameters: Parameters, x: jax.Array, components: Components
) -> tuple[Features, ...]:
    """Every layer's features, the first layer's first."""
    h, activations, slopes = x, [x], []
    for l, (weight, bias) in enumerate(parameters[:-1]):
        z = jnp.asarray(net.weight_std[l] / h.shape[1] ** 0.5, x.dtype) * (h @ weight.T)
        if bias is not None:
            z = z + jnp.asarray(net.bias_std[l], x.dtype) * bias
        h, slope = net.activation.value_and_slope(z)
        activations.append(h)
        slopes.append(slope)
    layers = [Features(h, None, None)]
    scaled = jnp.asarray(net.weight_std[-1] / h.shape[1] ** 0.5, x.dtype) * parameters[-1].weight
    g = scaled * slopes[-1][:, None]
    if components == "mean" and net.outputs > 1:
        mean_square = (scaled**2).mean(0)
        sides = (slopes[-1] * mean_square)[:, None], slopes[-1][:, None]
    else:
        sides = g, g
    layers.append(Features(activations[-2], *sides))
    for l in range(net.depth - 1, 0, -1):
        weight = parameters[l].weight
        back = g.reshape(len(x) * net.outputs, -1) @ weight
        scale = jnp.asarray(net.weight_std[l] / weight.shape[1] ** 0.5, x.dtype)
        g = back.reshape(len(x), net.outputs, -1) * (scale * slopes[l - 1])[:, None]
        layers.append(Features(activations[l - 1], g, g))
    return tuple(layers[::-1])


def _combine(
    net: MLP,
    rates: tuple[Rates, ...],
    components: Components,
    left: tuple[Features, ...],
    right: tuple[Features, ...],
) -> jax.Array:
    """Σ over layers of the products of two Gram matrices."""
    total = jnp.zeros((), left[0].h.dtype)
    for l, (a, b) in enumerate(zip(left, right, strict=True)):
        scale = rates[l].weight * net.weight_std[l] ** 2 / a.h.shape[1]
        gram = jnp.asarray(scale, a.h.dtype) * (a.h @ b.h.T)
        if net.has_bias(l):
            gram = gram + jnp.asarray(rates[l].bias * net.bias_std[l] ** 2, gram.dtype)
        if a.g is None or b.g2 is None:
            gradients = identity(components, net.outputs).astype(gram.dtype)
        else:
            gradients = inner(a.g, b.g2, components)
        total = total + over_points(gram, components) * gradients
    return total
