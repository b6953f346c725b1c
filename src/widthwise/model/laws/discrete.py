"""Finitely many atoms, whatever the user needs: ternary weights, a quantized grid, a sample."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from widthwise.model.laws.law import Law


@dataclass(frozen=True)
class Discrete(Law):
    """W = (X − E X)/√Var X, where X takes ``values[i]`` with probability ``probabilities[i]``.

    Moments are exact for the floats given; E e^{itW} = Σ_i p_i e^{itw_i}. Its quadrature is its
    atoms.

    Args:
        values: at least two different finite numbers, with any mean and variance.
        probabilities: as many numbers of at least 0, with sum 1 (within 1e-9; then normalized).

    Raises:
        ValueError: lengths differ, a number is not finite, a probability is negative, the sum is
            not 1, or only one atom has positive probability.
    """

    values: Sequence[float | int] | np.ndarray
    probabilities: Sequence[float | int] | np.ndarray

    def __post_init__(self) -> None:
        values, probabilities = (
            _numbers(self.values, "values"),
            _numbers(self.probabilities, "probabilities"),
        )
        if len(values) != len(probabilities):
            raise ValueError(
                f"values and probabilities must be equally long, got {len(values)} values "
                f"and {len(probabilities)} probabilities"
            )
        if min(probabilities, default=0.0) < 0:
            raise ValueError(
                f"probabilities must be at least 0, got {min(probabilities)!r}; "
                "remove that atom or correct its probability"
            )
        total = math.fsum(probabilities)
        if abs(total - 1) > 1e-9:
            raise ValueError(
                f"probabilities must sum to 1 within 1e-9, got the sum {total!r}; divide them by it"
            )
        atoms = {v for v, p in zip(values, probabilities, strict=True) if p > 0}
        if len(atoms) < 2:
            raise ValueError(
                f"a law of variance 1 needs at least two different values of positive probability, "
                f"got {sorted(atoms)}"
            )
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "probabilities", probabilities)

    @property
    def name(self) -> str:
        return f"discrete({len(self._exact)} atoms)"

    @property
    def symmetric(self) -> bool:
        w, p = self._atoms
        return bool(np.abs(w + w[::-1]).max() < 1e-12 and np.abs(p - p[::-1]).max() < 1e-12)

    @property
    def discrete(self) -> bool:
        return True

    @property
    def support(self) -> tuple[float, float]:
        w, _ = self._atoms
        return (float(w[0]), float(w[-1]))

    @functools.cached_property
    def _exact(self) -> dict[Fraction, Fraction]:
        """Centred atoms, ascending, with their probabilities; equal values are merged."""
        total = sum(map(Fraction, self.probabilities), Fraction(0))
        merged: dict[Fraction, Fraction] = {}
        for value, p in sorted(zip(self.values, self.probabilities, strict=True)):
            if p > 0:
                x = Fraction(value)
                merged[x] = merged.get(x, Fraction(0)) + Fraction(p) / total
        mean = sum((x * p for x, p in merged.items()), Fraction(0))
        return {x - mean: p for x, p in merged.items()}

    @functools.cached_property
    def _variance(self) -> Fraction:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._moment(2)

    @functools.cached_property
    def _atoms(self) -> tuple[np.ndarray, np.ndarray]:
        deviation = _root(self._variance)
        w = np.array([float(x / deviation) for x in self._exact])
        return w, np.array([float(p) for p in self._exact.values()])

    def _moment(self, order: int) -> Fraction:
        return sum((p * x**order for x, p in self._exact.items()), Fraction(0))

    def _characteristic(self, t: np.ndarray) -> np.ndarray:
        w, p = self._atoms
        total = np.zeros(t.shape, complex)
        for atom, probability in zip(w, p, strict=True):
            total += probability * np.exp(1j * t * atom)
        return total

    def _quadrature(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        return self._atoms

    def _sample(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        w, p = self._atoms
        return jax.random.choice(key, jnp.asarray(w, dtype), shape, p=jnp.asarray(p, dtype))


def _numbers(given: Any, name: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(x) for x in given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a sequence of real numbers, got {given!r}") from error
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{name} must be finite, got {given!r}; remove what is not")
    return numbers


def _root(v: Fraction) -> Fraction:
    """√v to 50 digits: one rounding per standardized atom, however small or large the values."""
    digits = 10**50
    return Fraction(math.isqrt(v.numerator * v.denominator * digits**2), v.denominator * digits)
