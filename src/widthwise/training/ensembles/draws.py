r"""Networks at initialization, kept as far as the controls see them: F, Θ_n and the last features.

Member i draws from fold_in(key, i), as in :func:`widthwise.simulate`, so that the statistics of
trained members are drawn again rather than stored. Given the hidden layers, an untrained network
may be read by several independent readouts, which cost far less than the layers below them.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise._vocabulary import Array
from widthwise.finite.ntk.layerwise import layerwise
from widthwise.model.architecture import MLP, Layer

_READOUTS = 2**20  # folded into a member's key; its parameters come from the key itself


class Drawn(NamedTuple):
    """Of networks drawn at initialization: outputs, kernels, and last hidden features.

    Args:
        outputs: F (networks, readouts, rows).
        ntk: Θ_n (networks, readouts, rows, train rows).
        features: φ of the last hidden layer (networks, points, width).
    """

    outputs: Float[np.ndarray, "networks readouts rows"]
    ntk: Float[np.ndarray, "networks readouts rows train"]
    features: Float[np.ndarray, "networks points width"]


def drawn(
    net: MLP,
    width: int,
    x: np.ndarray,
    train: int,
    key: jax.Array,
    members: int,
    *,
    readouts: int = 0,
    first: int = 0,
    memory: float = 3e8,
    each: int = 0,
) -> Iterator[Drawn]:
    """Blocks of networks.

    Args:
        net: the architecture.
        width: n.
        x: all points (points, inputs), train points first.
        train: how many of them are train points.
        key: JAX random key.
        members: how many networks.
        readouts: independent readouts of every network; 0 keeps its own, as trained members have.
        first: number of the first member.
        memory: bytes a block may take.
        each: numbers that are made of every network besides.
    """
    fan = (x.shape[1], *net.widths(width), net.outputs)
    copies = max(readouts, 1)
    parameters = sum(a * b + b for a, b in pairwise(fan))
    numbers = 4 * parameters + copies * (4 * fan[-2] + 6 * len(x) * sum(fan)) + each
    size = int(np.clip(memory // (8 * numbers), 1, min(members, 256)))
    points = jnp.asarray(x)
    for begin in range(0, members, size):
        block = jnp.arange(first + begin, first + begin + size)
        parts = _block(net, width, points, train, key, block, readouts)
        yield Drawn(*(np.asarray(part)[: members - begin] for part in parts))


@eqx.filter_jit
def _block(net: MLP, width: int, x: Array, train: int, key, members, readouts: int):
    """Θ_n and F with rows flattened point by point."""
    sized = net.at_width(width, x.shape[1])
    single = net.outputs == 1

    def kernel(parameters) -> jax.Array:
        found = layerwise(net, parameters, x, x[:train], width, "mean" if single else "full")
        if single:
            return jnp.asarray(found)
        rows, columns = len(x) * net.outputs, train * net.outputs
        return jnp.transpose(found, (0, 2, 1, 3)).reshape(rows, columns)

    def one(member):
        own = jax.random.fold_in(key, member)
        *hidden, last = net.init(own, width, x.shape[1])
        features = sized.activation(sized.apply(tuple(hidden), x))

        def read(layer: Layer):
            f = sized.weight_std[-1] / np.sqrt(features.shape[-1]) * features @ layer.weight.T
            if layer.bias is not None:
                f = f + sized.bias_std[-1] * layer.bias
            return f.reshape(-1), kernel((*hidden, layer))

        if not readouts:
            f, theta = read(last)
            return f[None], theta[None], features
        weights, biases = jax.random.split(jax.random.fold_in(own, _READOUTS))
        shape = (readouts, *last.weight.shape)
        W = net.weight_law[-1].sample(weights, shape)
        b = net.bias_law[-1].sample(biases, shape[:2])
        bias = None if last.bias is None else b
        axes = (Layer(0, None if bias is None else 0),)  # pyright: ignore[reportArgumentType]
        f, theta = jax.vmap(read, in_axes=axes)(Layer(W, bias))
        return f, theta, features

    return jax.vmap(one)(members)
