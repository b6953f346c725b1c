"""The kernel recursion on a block of pairs of points, fused into one compiled pass.

All a block needs of single points is in :class:`Points`: inputs, and per hidden layer the variance
K_aa, the norms √E φ² and √E φ'² and, for an activation without closed form, Hermite coefficients
(:mod:`.hermite_series`). A layer then maps the block's K, Θ and their errors to the next layer's:

    K' = σ_b² + σ_w² F(K),     Θ' = r_b σ_b² + r_w σ_w² F(K) + σ_w² G(K) Θ,

F = E φφ, G = E φ'φ'. Errors follow with |∂F/∂K₁₂| = |G| ≤ √(E φ'(z₁)² E φ'(z₂)²); where φ' jumps, G
is a function of the angle of two inputs, and an error of K counts over the angle's sine.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from widthwise.limit import closed_tiles
from widthwise.limit import hermite_series as hermite
from widthwise.limit.closed_forms import expectations, root_determinant
from widthwise.limit.mehler import pair_sums
from widthwise.limit.points import Block, Layer, Points, Scales
from widthwise.model.activations import Activation

JUMPS = ("step", "sign")


class State(NamedTuple):
    """A layer's kernels and their errors (rows, columns)."""

    nngp: jax.Array
    ntk: jax.Array
    nngp_error: jax.Array
    ntk_error: jax.Array


class Moments(NamedTuple):
    """F = E φφ and G = E φ'φ' with their errors, and √(E φ'(z₁)² E φ'(z₂)²)."""

    value: jax.Array
    slope: jax.Array
    value_error: jax.Array
    slope_error: jax.Array
    gain: jax.Array


def block(
    activation: Activation,
    scales: Scales,
    rows: Points,
    columns: Points,
    tolerance: float | jax.Array,
) -> Block:
    """Both kernels of a network between two sets of points.

    Args:
        activation: φ, with a closed form, or smooth and with ``series`` in the points.
        scales: of all layers.
        rows: the first points.
        columns: the second points.
        tolerance: error allowed to a layer's series, relative to its norms; 0 where the dtype of
            the points is all the accuracy that is wanted.
    """
    same = rows.identity[:, None] == columns.identity
    first = Layer(*(s[0] for s in scales))
    start = first_state(first, rows.inputs.T, columns.inputs, rows.variance[0], columns.variance[0])

    above = Layer(*(s[1:] for s in scales))
    if rows.series is None and activation.name not in JUMPS:
        given = (above, (start.nngp, start.ntk), same, rows, columns)
        if activation.kinks:
            return closed_tiles.kinked(activation, first, *given)
        return closed_tiles.smooth(activation, *given)
    tables = tuple((p.variance, p.norm, p.slope, p.curvature, p.series) for p in (rows, columns))

    def layer(state: State, given):
        scale, a, b = given
        if a[-1] is None:
            moments = closed_moments(activation, state, same, a[:4], b[:4])
        else:
            moments = _series_moments(activation, state, same, a, b, tolerance)
        return next_state(scale, state, moments), None

    last, _ = jax.lax.scan(layer, start, (above, *tables))
    return Block(last.nngp, last.ntk, jnp.maximum(last.nngp_error, last.ntk_error))


def first_state(scale: Layer, x: jax.Array, x2: jax.Array, a: jax.Array, b: jax.Array) -> State:
    """The first layer: x (rows, inputs) and x2 (inputs, columns) over √d, variances a and b."""
    gram = x @ x2
    unit = jnp.finfo(gram.dtype).eps
    rounding = unit * max(1.0, len(x2) ** 0.5 / 2) * jnp.sqrt(a[:, None] * b)
    return State(
        scale.bias + scale.weight * gram,
        scale.bias_rate * scale.bias + scale.weight_rate * scale.weight * gram,
        rounding,
        rounding,
    )


def next_state(scale: Layer, state: State, moments: Moments) -> State:
    """K', Θ' and their errors."""
    F, G, F_error, G_error, gain = moments
    nngp_error = scale.weight * (F_error + gain * state.nngp_error)
    return State(
        scale.bias + scale.weight * F,
        scale.bias_rate * scale.bias + scale.weight * (scale.weight_rate * F + G * state.ntk),
        nngp_error,
        scale.weight_rate * nngp_error
        + scale.weight * (gain * state.ntk_error + jnp.abs(state.ntk) * G_error),
    )


def closed_moments(
    activation: Activation, state: State, same: jax.Array, row: tuple, column: tuple
) -> Moments:
    """By the closed form; rows and columns: variance, √E φ², √E φ'² and √E φ''², each (points,)."""
    (a, norm, slope, curve), (b, norm2, slope2, curve2) = row, column
    a = jnp.broadcast_to(a[:, None], same.shape)
    unit = jnp.finfo(a.dtype).eps
    K = jnp.where(same, a, state.nngp)
    F, G = jax.lax.optimization_barrier(expectations(activation, a, K, b))
    F_error = 2 * unit * (norm[:, None] * norm2 + jnp.abs(F))
    G_error = 2 * unit * jnp.maximum(jnp.abs(G), 1.0)
    G_error = G_error + curve[:, None] * curve2 * (state.nngp_error + 2 * unit * jnp.abs(K))
    if activation.kinks:
        angle = _angle_error(a, K, b, state.nngp_error, same)
        G_error = G_error + angle
        if activation.name in JUMPS:
            F_error = F_error + angle
    return Moments(F, G, F_error, G_error, slope[:, None] * slope2)


def _series_moments(activation, state: State, same, row, column, tolerance) -> Moments:
    (a, norm, slope, curve, series), (b, norm2, slope2, curve2, series2) = row, column
    rho = correlation(a, state.nngp, b, same)
    sums = pair_sums(hermite.symmetry(activation), series, series2, rho, tolerance / 10)
    F = jnp.where(same, norm[:, None] ** 2, sums.value)
    G = jnp.where(same, slope[:, None] ** 2, sums.slope)
    size, gain = norm[:, None] * norm2, slope[:, None] * slope2
    alone = series.error[:, None] + series2.error
    relative = relative_error(jnp.where(same, alone, sums.error), tolerance)
    inherited = curve[:, None] * curve2 * state.nngp_error
    return Moments(F, G, relative * size, relative * gain + inherited, gain)


def correlation(a: jax.Array, K: jax.Array, b: jax.Array, same: jax.Array) -> jax.Array:
    """ρ within ±1; 0 for equal inputs, which are computed apart, and where a variance is 0."""
    spread = jnp.sqrt(a[:, None] * b)
    rho = jnp.clip(K / jnp.where(spread > 0, spread, 1.0), -1.0, 1.0)
    return jnp.where(same | (spread == 0), 0.0, rho)


def relative_error(error: jax.Array, tolerance: float | jax.Array) -> jax.Array:
    """A series' relative error with rounding; infinite where the tolerance is missed."""
    return jnp.where(error <= tolerance, error, jnp.inf) + 8 * jnp.finfo(error.dtype).eps


def _angle_error(a, K, b, error, same) -> jax.Array:
    """Error of the angle of two inputs from that of K: δ/sin, at most √(2δ), δ relative."""
    size = jnp.sqrt(a * b)
    safe = jnp.where(size > 0, size, 1.0)
    relative = error / safe + jnp.finfo(error.dtype).eps
    sine = root_determinant(a, K, b) / safe
    return jnp.where(same | (size == 0), 0.0, relative / jnp.maximum(sine, jnp.sqrt(2 * relative)))


@partial(jax.jit, static_argnames=("activation", "size"))
def blocks(
    activation: Activation,
    scales: Scales,
    rows: Points,
    columns: Points,
    places: jax.Array,
    count: jax.Array,
    tolerance: jax.Array,
    *,
    size: int,
) -> Block:
    """The first ``count`` of a list of square blocks, each array (blocks, size, size).

    Args:
        activation: as in :func:`block`, as are the next three.
        scales: of all layers.
        rows: all rows, a multiple of ``size``.
        columns: all columns, likewise.
        places: row and column of every block, in units of ``size`` (blocks, 2).
        count: how many of them to compute.
        tolerance: as in :func:`block`.
        size: points per side of a block.
    """

    def at(place: jax.Array) -> Block:
        parts = rows.part(place[0] * size, size), columns.part(place[1] * size, size)
        return block(activation, scales, *parts, tolerance)

    def one(i, out):
        return jax.tree.map(lambda whole, values: whole.at[i].set(values), out, at(places[i]))

    made = jax.eval_shape(at, places[0])
    out = jax.tree.map(lambda t: jnp.zeros((len(places), *t.shape), t.dtype), made)
    return jax.lax.fori_loop(0, count, one, out)
