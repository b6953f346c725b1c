"""What the recursion of a kernel on a block of pairs starts from, and what it ends with."""

from typing import Any, NamedTuple

import jax

from widthwise.limit import hermite_series as hermite


class Scales(NamedTuple):
    """σ_b², σ_w² and the learning-rate factors r_b, r_w of every layer (layers,), output last."""

    bias: jax.Array
    weight: jax.Array
    bias_rate: jax.Array
    weight_rate: jax.Array


class Points(NamedTuple):
    """What the recursion knows of single points; the last axis is the points.

    Args:
        inputs: x/√d, (inputs, points).
        identity: equal for equal inputs (points,).
        variance: K_aa of every hidden layer (layers, points).
        norm: √E φ².
        slope: √E φ'².
        curvature: √E φ''², what an error of K₁₂ moves E φ'φ' by; 0 where φ has kinks.
        series: Hermite coefficients of every layer, or ``None`` for a closed form.
    """

    inputs: jax.Array
    identity: jax.Array
    variance: jax.Array
    norm: jax.Array
    slope: jax.Array
    curvature: jax.Array
    series: hermite.Series | None

    def part(self, start: jax.Array, size: int) -> "Points":
        """Points start … start + size − 1."""
        return jax.tree.map(lambda t: jax.lax.dynamic_slice_in_dim(t, start, size, -1), self)


class Block(NamedTuple):
    """NNGP, NTK and the error of either (rows, columns); infinite where the tolerance is missed.

    While blocks are computed the error is ``None`` where it is a product of numbers of points.
    """

    nngp: Any
    ntk: Any
    error: Any


class Layer(NamedTuple):
    """One layer's σ_b², σ_w², r_b and r_w."""

    bias: jax.Array
    weight: jax.Array
    bias_rate: jax.Array
    weight_rate: jax.Array
