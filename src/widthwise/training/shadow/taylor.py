"""Taylor coefficients of a function of parameters along a polynomial curve of parameters.

For θ(s) = θ₀ + sδ₁ + s²δ₂ + s³δ₃ the coefficients c₁, c₂, c₃ of s ↦ f(θ(s)), exactly, by
differentiating three times with respect to s.
"""

from collections.abc import Callable
from typing import TypeAlias

import jax
from jaxtyping import PyTree

Curve: TypeAlias = tuple[PyTree, PyTree, PyTree]


def coefficients(
    function: Callable[[PyTree], jax.Array], base: PyTree, curve: Curve
) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array]]:
    """f(θ₀), and (c₁, c₂, c₃) along θ₀ + sδ₁ + s²δ₂ + s³δ₃.

    Args:
        function: of a tree like ``base``, three times differentiable by JAX.
        base: θ₀.
        curve: (δ₁, δ₂, δ₃), trees like ``base``.
    """

    def at(s):
        return function(
            jax.tree.map(lambda p, a, b, c: p + s * (a + s * (b + s * c)), base, *curve)
        )

    def first(s):
        return jax.jvp(at, (s,), (1.0,))

    def second(s):
        (value, c1), (_, double_c2) = jax.jvp(first, (s,), (1.0,))
        return value, c1, double_c2

    (value, c1, double_c2), (_, _, sixfold_c3) = jax.jvp(second, (0.0,), (1.0,))
    return value, (c1, double_c2 / 2, sixfold_c3 / 6)
