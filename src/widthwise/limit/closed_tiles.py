"""The kernel recursion of a closed form on a block of pairs of points, with as little to compute.

Of a layer's kernels only rounding is an error, and by Cauchy and Schwarz that of two points is at
most the geometric mean of their own,

    |δK(x, x')| ≤ √(η(x) η(x')),     η' = σ_w² (4ε E φ² + E φ'² η),

so that it costs a number per point, not per pair; likewise that of Θ where φ is smooth, with
|δ E φ'φ'| ≤ 2ε + E φ''² (η + 2εK) of a point (Price's theorem). Where φ' is
discontinuous, G = E φ'φ' is a function of the angle of two inputs, which keeps

    δK/√det K     of its digits, at most √(2δ) where δ = δK/√(K₁₁K₂₂),

and the error of Θ goes through the layers pair by pair. An optimization barrier makes XLA evaluate
an angle once for all that is made of it, instead of once for each.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from widthwise.limit.closed_forms import by_angle, expectations, right_angle
from widthwise.limit.points import Block, Layer, Points
from widthwise.model.activations import Activation

_once = jax.lax.optimization_barrier


class OwnErrors(NamedTuple):
    """Errors of the kernels of every point with itself.

    Args:
        nngp: η of K at the input of every hidden layer (layers, points).
        nngp_last: of the output's K (points,).
        ntk_last: of the output's Θ.
    """

    nngp: jax.Array
    nngp_last: jax.Array
    ntk_last: jax.Array


def smooth(
    activation: Activation,
    above: Layer,
    start: tuple[jax.Array, jax.Array],
    same: jax.Array,
    rows: Points,
    columns: Points,
) -> Block:
    """Both kernels of a smooth activation; their errors are products of :func:`own_errors`.

    Args:
        activation: φ, with a closed form and without kinks.
        above: σ_b², σ_w² and rates of the layers above the first (layers,).
        start: K¹ and Θ¹ (rows, columns).
        same: which points are equal.
        rows: the first points.
        columns: the second points.
    """

    def layer(kernels, given):
        scale, a, b = given
        nngp, ntk = kernels
        K = jnp.where(same, jnp.broadcast_to(a[:, None], same.shape), nngp)
        F, G = _once(expectations(activation, a[:, None], K, b))
        ntk = scale.bias_rate * scale.bias + scale.weight * (scale.weight_rate * F + G * ntk)
        return (scale.bias + scale.weight * F, ntk), None

    given = (above, rows.variance, columns.variance)
    return Block(*jax.lax.scan(layer, start, given)[0], None)


def kinked(
    activation: Activation,
    first: Layer,
    above: Layer,
    start: tuple[jax.Array, jax.Array],
    same: jax.Array,
    rows: Points,
    columns: Points,
) -> Block:
    """Both kernels, and their error, of p z + q |z|; arguments as in :func:`smooth`."""
    unit = jnp.finfo(start[0].dtype).eps
    sides, last = zip(*(_side(first, above, points) for points in (rows, columns)), strict=True)

    def layer(state, given):
        scale, a, b = given
        nngp, ntk, ntk_error = state
        K = jnp.where(same, jnp.broadcast_to(a.variance[:, None], same.shape), nngp)
        root, angle = right_angle(a.variance[:, None], K, b.variance)
        F, G = by_angle(activation, K, root, angle)
        lost = a.moved[:, None] * b.moved / jnp.maximum(root, a.floor[:, None] * b.floor)
        G_error = 2 * unit * a.steepest[:, None] * b.steepest + jnp.where(same, 0.0, lost)
        gain = a.slope[:, None] * b.slope
        return (
            scale.bias + scale.weight * F,
            scale.bias_rate * scale.bias + scale.weight * (scale.weight_rate * F + G * ntk),
            scale.weight_rate * a.above[:, None] * b.above
            + scale.weight * (gain * ntk_error + jnp.abs(ntk) * G_error),
        ), None

    ntk_error = jnp.sqrt(sides[0].nngp[0])[:, None] * jnp.sqrt(sides[1].nngp[0])
    state = (*start, ntk_error)
    nngp, ntk, error = jax.lax.scan(layer, state, (above, *sides))[0]
    return Block(nngp, ntk, jnp.maximum(error, last[0][:, None] * last[1]))


class _Side(NamedTuple):
    """Numbers of single points whose products belong to pairs, of every layer (layers, points)."""

    variance: jax.Array
    slope: jax.Array
    nngp: jax.Array
    moved: jax.Array
    floor: jax.Array
    steepest: jax.Array
    above: jax.Array


def _side(first: Layer, above: Layer, points: Points) -> tuple[_Side, jax.Array]:
    """A point's share of the errors, and the root of its error of the output's K."""
    unit, least = jnp.finfo(points.norm.dtype).eps, jnp.finfo(points.norm.dtype).tiny ** 0.5
    own = own_errors(first, above, points)
    a, eta = points.variance, own.nngp
    moved = eta + unit * a  # what K is off by, and the rounding of the determinant
    floor = jnp.sqrt(jnp.sqrt(2 * moved / jnp.where(a > 0, a, 1.0)) * a)
    root_above = jnp.sqrt(jnp.concatenate([eta[1:], own.nngp_last[None]]))
    return _once(
        (
            _Side(
                a,
                points.slope,
                eta,
                jnp.sqrt(moved),
                jnp.maximum(floor, least),
                jnp.maximum(points.slope, 1.0),
                root_above,
            ),
            root_above[-1],
        )
    )


def own_errors(first: Layer, above: Layer, points: Points) -> OwnErrors:
    """The errors of the diagonal, from which those of pairs follow."""
    unit = jnp.finfo(points.norm.dtype).eps
    own = points.variance[0]
    start = unit * max(1.0, len(points.inputs) ** 0.5 / 2) * own
    ntk = first.bias_rate * first.bias + first.weight_rate * (own - first.bias)

    def layer(carried, given):
        nngp_error, ntk_error, ntk = carried
        scale, variance, norm, slope, curvature = given
        above = scale.weight * (4 * unit * norm**2 + slope**2 * nngp_error)
        slope_error = 2 * unit * jnp.maximum(slope, 1.0) ** 2
        slope_error = slope_error + curvature**2 * (nngp_error + 2 * unit * variance)
        ntk_error = scale.weight_rate * above + scale.weight * (
            slope**2 * ntk_error + jnp.abs(ntk) * slope_error
        )
        own = scale.weight_rate * norm**2 + slope**2 * ntk
        ntk = scale.bias_rate * scale.bias + scale.weight * own
        return (above, ntk_error, ntk), nngp_error

    given = (above, points.variance, points.norm, points.slope, points.curvature)
    (nngp_error, ntk_error, _), below = jax.lax.scan(layer, (start, start, ntk), given)
    return OwnErrors(below, nngp_error, ntk_error)


def root_error(first: Layer, above: Layer, points: Points) -> jax.Array:
    """The e (points,) with an error of at most e(x) e(x') for a smooth closed form."""
    own = own_errors(first, above, points)
    return jnp.sqrt(jnp.maximum(own.nngp_last, own.ntk_last))
