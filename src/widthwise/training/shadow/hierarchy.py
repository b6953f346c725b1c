"""The velocity of the hierarchy δ₁, δ₂, δ₃, and what is seen of it."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float, PyTree

from widthwise.finite.ntk.function import Function
from widthwise.training.shadow.taylor import Curve, Terms, expand


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
    """The hierarchy of one network and its data, along gradient flow.

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

    def velocity(self) -> Callable[[Curve], Curve]:
        """(δ₁, δ₂, δ₃) ↦ their velocities."""
        train = self.x[: len(self.y)]
        expansion = expand(lambda p: self.function(p, train), self.base)

        def velocity(curve: Curve) -> Curve:
            (c1, c2, c3), back = jax.vjp(expansion.along, curve)
            ((third, second, first),) = back((c3, c2, expansion.value + c1 - self.y))
            return tuple(jax.tree.map(jnp.negative, part) for part in (first, second, third))

        return velocity

    def observer(self) -> Callable[[Curve], Seen]:
        """(δ₁, δ₂, δ₃) ↦ coefficients on all points, movement, and the remainder."""
        expansion = expand(lambda p: self.function(p, self.x), self.base)

        def observe(curve: Curve) -> Seen:
            c: Terms = expansion.along(curve)
            moved = jax.tree.map(lambda *parts: jnp.cumsum(jnp.stack(parts), 0), *curve)
            squares = [jnp.sum(m**2, tuple(range(1, m.ndim))) for m in jax.tree.leaves(moved)]
            there = self.function(self.after(curve), self.x)
            return Seen(jnp.stack(c), jnp.sqrt(sum(squares)), there - (expansion.value + sum(c)))

        return observe

    def after(self, curve: Curve) -> PyTree:
        """θ₀ + δ₁ + δ₂ + δ₃."""
        return jax.tree.map(lambda p, *parts: p + sum(parts), self.base, *curve)
