"""Networks sampled at initialization, kept only as far as the estimators need them."""

from functools import partial
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.finite.estimators import ConditionalMoments
from widthwise.model.architecture import MLP


def sample_initial(
    net: MLP, width: int, x: ArrayLike, members: int, key: jax.Array, *, memory: float = 3e8
) -> ConditionalMoments:
    """Sample networks of width n and record their output and last layer's moments at one point.

    Args:
        net: the architecture.
        width: n.
        x: one point, (inputs,).
        members: how many networks; member i draws from fold_in(key, i).
        key: JAX random key.
        memory: bytes a block of networks may take.

    Returns:
        :class:`ConditionalMoments` of the first output component.
    """
    checks.require_x64()
    checks.key(key)
    point = np.asarray(checks.points([x] if np.ndim(x) == 1 else x))
    n, count = checks.width(width), checks.positive_integer(members, "members")
    fan = (point.shape[1], *net.widths(n), net.outputs)
    numbers = 3 * sum(a * b for a, b in pairwise(fan))
    size = int(np.clip(memory // (8 * numbers), 1, count))
    blocks = [
        _block(net, n, jnp.asarray(point), key, jnp.arange(start, start + size))
        for start in range(0, count, size)
    ]
    return ConditionalMoments(
        *(np.concatenate(parts)[:count] for parts in zip(*blocks, strict=True))
    )


@eqx.filter_jit
def _block(net: MLP, n: int, point: jax.Array, key: jax.Array, members: jax.Array):
    return jax.vmap(partial(_one, net, n, point, key))(members)


def _one(net: MLP, n: int, point: jax.Array, key: jax.Array, member: jax.Array):
    parameters = net.init(jax.random.fold_in(key, member), n, point.shape[1])
    h = net.activation(net.apply(parameters[:-1], point))[0]
    return jnp.mean(h**2), jnp.mean(h**4), net.apply(parameters, point)[0, 0]
