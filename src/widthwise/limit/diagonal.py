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
from jax.core import Tracer

from widthwise._vocabulary import Array
from widthwise.limit import hermite_series as hermite
from widthwise.limit.closed_forms import closed_form, curvature, expectations
from widthwise.limit.hermite_series import Series, Squares
from widthwise.limit.points import Block, Points, Scales
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
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(columns)):
        return Scales(*(jnp.stack([jnp.asarray(v, float) for v in c]) for c in columns))
    return Scales(*(jnp.asarray(np.array(c, float)) for c in columns))


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
        curvature: √E φ''².
        kernels: of the output (points,).
        series: Hermite series of all layers, where all have the same number of orders.
    """

    variance: jax.Array
    norm: jax.Array
    slope: jax.Array
    curvature: jax.Array
    kernels: Block
    series: Series | None


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
    if closed_form(net.activation) is not None:
        return _closed_chain(net.activation, scales(net), jnp.asarray(own)), 0
    scale = scales(net)
    link = first_link(scale, jnp.asarray(own))
    links, curvatures, tables, least = [], [], [], hermite.ORDERS[0]
    for layer in range(net.depth):
        series, own_squares = hermite.tabulate(net.activation, least, link.nngp)
        while not bool(jnp.all(series.error <= tolerance)) and least < hermite.ORDERS[-1]:
            least = hermite.ORDERS[hermite.ORDERS.index(least) + 1]
            series, own_squares = hermite.tabulate(net.activation, least, link.nngp)
        met = series.error <= tolerance
        relative = jnp.where(met, series.error, jnp.inf) + _ROUNDING
        links.append((link, own_squares))
        curvatures.append(hermite.curvature(net.activation, series, link.nngp))
        tables = [*tables, series] if _fits(least, net.depth * len(own)) else []
        link = next_link(scale, layer + 1, link, own_squares, relative)
    chain = _chained(links, curvatures, link)
    if len({len(series.value) for series in tables}) == 1 and len(tables) == net.depth:
        chain = chain._replace(series=jax.tree.map(lambda *s: jnp.stack(s), *tables))
    return chain, least


def _fits(orders: int, points: int) -> bool:
    return 2 * orders * points <= _MOST_NUMBERS or orders <= hermite.ORDERS[1]


@partial(jax.jit, static_argnums=0)
def _closed_chain(activation: Activation, scale: Scales, own: jax.Array) -> Chain:
    link, links, curvatures = first_link(scale, own), [], []
    for layer in range(1, len(scale.bias)):
        own_squares = squares(activation, link.nngp)
        links.append((link, own_squares))
        curvatures.append(curvature(activation, link.nngp))
        link = next_link(scale, layer, link, own_squares, jnp.full_like(link.nngp, _ROUNDING))
    return _chained(links, curvatures, link)


def _chained(links: list[tuple[_Link, Squares]], curvatures: list[jax.Array], last: _Link) -> Chain:
    variance = jnp.stack([link.nngp for link, _ in links])
    norm, slope = (jnp.sqrt(jnp.stack(v)) for v in zip(*(own for _, own in links), strict=True))
    kernels = Block(last.nngp, last.ntk, jnp.maximum(last.nngp_error, last.ntk_error))
    return Chain(variance, norm, slope, jnp.sqrt(jnp.stack(curvatures)), kernels, None)


def coefficients(activation: Activation, variance: jax.Array, orders: int) -> Series | None:
    """The Hermite series of every layer, stacked; ``None`` where they would fill the memory.

    Args:
        activation: φ, smooth.
        variance: of every layer and point (layers, points).
        orders: one of :data:`hermite_series.ORDERS`.
    """
    if not _fits(orders, variance.size):
        return None
    layers = [hermite.tabulate(activation, orders, a)[0] for a in variance]
    return jax.tree.map(lambda *s: jnp.stack(s), *layers)


def only(net: MLP, x: np.ndarray, tolerance: float) -> Block | None:
    """The kernels of every point with itself (points,), or ``None`` where φ grows too fast."""
    own = np.einsum("ai,ai->a", x, x) / x.shape[1]
    made, least = chain(net, own, tolerance)
    if not least:
        check_range(made.variance, np.dtype(float))
    kernels = made.kernels
    if not bool(jnp.isfinite(kernels.error).all()):
        return None
    return Block(*(np.asarray(k) for k in kernels))


def check_range(variance: Array, dtype: np.dtype) -> None:
    """Refuse variances whose squares a closed form cannot represent in a precision."""
    largest = 1e150 if dtype == np.float64 else 1e15
    values = np.asarray(variance)
    inside = (values == 0) | ((values <= largest) & (values >= 1 / largest))
    if not inside.all():
        worst = values[~inside].flat[0]
        remedy = "" if dtype == np.float64 else "precision='float64', or "
        raise ValueError(
            f"a hidden layer has preactivations of variance {worst:.1e}, whose square is outside "
            f"the range of {dtype}; use {remedy}inputs and weights of another scale"
        )


def points(x: np.ndarray, identity: np.ndarray, made: Chain) -> Points:
    """The tables of the block recursion, without Hermite series."""
    return Points(
        jnp.asarray(x.T / x.shape[1] ** 0.5),
        jnp.asarray(identity, jnp.int32),
        made.variance,
        made.norm,
        made.slope,
        made.curvature,
        None,
    )


def in_precision(tree, dtype: np.dtype):
    """All floating-point arrays of a tree in one precision."""
    return jax.tree.map(
        lambda t: t.astype(dtype) if jnp.issubdtype(t.dtype, jnp.floating) else t, tree
    )
