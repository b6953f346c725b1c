"""The velocity of the hierarchy δ₁, δ₂, δ₃, and what is seen of it."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float, PyTree

from widthwise.finite.ntk.function import Function
from widthwise.training.shadow.taylor import Curve, coefficients


class Seen(NamedTuple):
    """What is recorded of the hierarchy at one moment.

    Args:
        coefficients: c₁, c₂, c₃ on all points (3, points, outputs).
        movement: ‖δ₁‖, ‖δ₁ + δ₂‖, ‖δ₁ + δ₂ + δ₃‖.
        remainder: outputs of the network at θ₀ + δ₁ + δ₂ + δ₃ minus f₀ + c₁ + c₂ + c₃.
    """

    coefficients: Float[jax.Array, "3 points outputs"]
    movement: Float[jax.Array, "3"]
    remainder: Float[jax.Array, "points outputs"]


class Hierarchy(eqx.Module):
    """(δ₁, δ₂, δ₃) ↦ their velocities along gradient flow.

    Args:
        function: f(θ, x).
        base: θ₀.
        x: all points, train first.
        y: labels of the train points.
    """

    function: Function
    base: PyTree
    x: jax.Array
    y: Float[jax.Array, "train outputs"]

    @property
    def start(self) -> Curve:
        """Nothing has moved."""
        zero = jax.tree.map(jnp.zeros_like, self.base)
        return zero, zero, zero

    def __call__(self, curve: Curve) -> Curve:
        train = self.x[: len(self.y)]

        def along(curve: Curve):
            value, c = coefficients(lambda p: self.function(p, train), self.base, curve)
            return c, value

        (c1, c2, c3), back, f0 = jax.vjp(along, curve, has_aux=True)
        ((third, second, first),) = back((c3, c2, f0 + c1 - self.y))
        return tuple(jax.tree.map(jnp.negative, part) for part in (first, second, third))

    def observe(self, curve: Curve) -> Seen:
        """Coefficients on all points, the movement of the parameters, and the remainder."""
        value, c = coefficients(lambda p: self.function(p, self.x), self.base, curve)
        moved = jax.tree.map(lambda *parts: jnp.cumsum(jnp.stack(parts), 0), *curve)
        there = jax.tree.map(lambda p, m: p + m[-1], self.base, moved)
        squares = [jnp.sum(m**2, tuple(range(1, m.ndim))) for m in jax.tree.leaves(moved)]
        return Seen(
            jnp.stack(c),
            jnp.sqrt(sum(squares)),
            self.function(there, self.x) - (value + sum(c)),
        )

    def after(self, curve: Curve) -> PyTree:
        """θ₀ + δ₁ + δ₂ + δ₃."""
        return jax.tree.map(lambda p, *parts: p + sum(parts), self.base, *curve)
