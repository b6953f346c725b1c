"""Kernels of every point with itself, layer by layer, and what the recursion keeps of a point.

On the diagonal the recursion closes in the variances a_l = K^l(x, x):

    a_{l+1} = σ_b² + σ_w² E φ(√a_l u)²,     Θ^{l+1} = r_b σ_b² + r_w σ_w² E φ² + σ_w² E φ'² Θ^l,

u ~ N(0, 1), so that it costs as many one-dimensional expectations as there are points. They come
from the closed form, or with the Hermite coefficients of :mod:`.hermite_series`.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from widthwise.limit import hermite_series as hermite
from widthwise.limit.closed_forms import closed_form, expectations
from widthwise.limit.hermite_series import Series, Squares
from widthwise.limit.tiles import Block, Points, Scales
from widthwise.model.activations import Activation
from widthwise.model.architecture import MLP

_MOST_NUMBERS = 2**26
_ROUNDING = 4e-16


def scales(net: MLP) -> Scales:
    """The squares of σ_b and σ_w, and the learning-rate factors, layer by layer."""
    rates = net.limit_learning_rates()
    columns = (
        [s**2 for s in net.bias_std],
        [s**2 for s in net.weight_std],
        [rate.bias for rate in rates],
        [rate.weight for rate in rates],
    )
    return Scales(*(jnp.stack([jnp.asarray(v, float) for v in column]) for column in columns))


@partial(jax.jit, static_argnums=0)
def squares(activation: Activation, variance: jax.Array) -> Squares:
    """E φ² and E φ'² in closed form."""
    return Squares(*expectations(activation, variance, variance, variance))


class Chain(NamedTuple):
    """The diagonal through all layers.

    Args:
        variance: a_l of every hidden layer (layers, points).
        norm: √E φ².
        slope: √E φ'².
        kernels: of the output (points,).
    """

    variance: jax.Array
    norm: jax.Array
    slope: jax.Array
    kernels: Block


class _Link(NamedTuple):
    nngp: jax.Array
    ntk: jax.Array
    nngp_error: jax.Array
    ntk_error: jax.Array


def first_link(scale: Scales, own: jax.Array) -> _Link:
    """The first layer's kernels, from x·x/d."""
    bias, weight = scale.bias[0], scale.weight[0] * own
    nngp = bias + weight
    rounding = _ROUNDING * nngp
    return _Link(
        nngp, scale.bias_rate[0] * bias + scale.weight_rate[0] * weight, rounding, rounding
    )


def next_link(scale: Scales, layer: int, link: _Link, own: Squares, relative: jax.Array) -> _Link:
    """One layer of the recursion; ``relative`` is the error of the squares."""
    bias, weight = scale.bias[layer], scale.weight[layer]
    rate = scale.weight_rate[layer]
    error = weight * (relative * own.value + own.slope * link.nngp_error)
    return _Link(
        bias + weight * own.value,
        scale.bias_rate[layer] * bias + weight * (rate * own.value + own.slope * link.ntk),
        error,
        rate * error + weight * own.slope * (link.ntk_error + relative * link.ntk),
    )


def chain(net: MLP, own: np.ndarray, tolerance: float) -> tuple[Chain, int]:
    """The diagonal, and the fewest Hermite orders whose rule meets the tolerance (0: none needed).

    Args:
        net: the network, all of whose preactivations are Gaussian.
        own: x·x/d of every point (points,).
        tolerance: relative error allowed to the squares.
    """
    scale = scales(net)
    link = first_link(scale, jnp.asarray(own))
    variances, layer_squares = [], []
    least = 0 if closed_form(net.activation) is not None else hermite.ORDERS[0]
    for layer in range(net.depth):
        variances.append(link.nngp)
        if not least:
            own_squares = squares(net.activation, link.nngp)
            relative = jnp.full_like(link.nngp, _ROUNDING)
        else:
            series, own_squares = hermite.tabulate(net.activation, least, link.nngp)
            while not bool(jnp.all(series.error <= tolerance)) and least < hermite.ORDERS[-1]:
                least = hermite.ORDERS[hermite.ORDERS.index(least) + 1]
                series, own_squares = hermite.tabulate(net.activation, least, link.nngp)
            met = series.error <= tolerance
            relative = jnp.where(met, series.error, jnp.inf) + _ROUNDING
        layer_squares.append(own_squares)
        link = next_link(scale, layer + 1, link, own_squares, relative)
    value, slope = (jnp.stack(v) for v in zip(*layer_squares, strict=True))
    kernels = Block(link.nngp, link.ntk, jnp.maximum(link.nngp_error, link.ntk_error))
    made = Chain(jnp.stack(variances), jnp.sqrt(value), jnp.sqrt(slope), kernels)
    return made, least


def coefficients(activation: Activation, variance: jax.Array, orders: int) -> Series | None:
    """The Hermite series of every layer, stacked; ``None`` where they would fill the memory.

    Args:
        activation: φ, smooth.
        variance: of every layer and point (layers, points).
        orders: one of :data:`hermite_series.ORDERS`.
    """
    if 2 * orders * variance.size > _MOST_NUMBERS and orders > hermite.ORDERS[1]:
        return None
    layers = [hermite.tabulate(activation, orders, a)[0] for a in variance]
    return jax.tree.map(lambda *s: jnp.stack(s), *layers)


def only(net: MLP, x: np.ndarray, tolerance: float) -> Block | None:
    """The kernels of every point with itself (points,), or ``None`` where φ grows too fast."""
    own = np.einsum("ai,ai->a", x, x) / x.shape[1]
    kernels = chain(net, own, tolerance)[0].kernels
    if not bool(jnp.isfinite(kernels.error).all()):
        return None
    return Block(*(np.asarray(k) for k in kernels))


def points(x: np.ndarray, identity: np.ndarray, made: Chain) -> Points:
    """The tables of the block recursion, without Hermite series."""
    return Points(
        jnp.asarray(x.T / x.shape[1] ** 0.5),
        jnp.asarray(identity, jnp.int32),
        made.variance,
        made.norm,
        made.slope,
        None,
    )


def in_precision(tree, dtype: np.dtype):
    """All floating-point arrays of a tree in one precision."""
    return jax.tree.map(
        lambda t: t.astype(dtype) if jnp.issubdtype(t.dtype, jnp.floating) else t, tree
    )
