"""A normal variable kept inside ±bound and rescaled to variance 1: Flax's default at bound 2."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray
from scipy.special import erf, wofz

from widthwise import _checks
from widthwise.model.laws import _gauss
from widthwise.model.laws.law import Law, _central_moment, plain


@dataclass(frozen=True)
class TruncatedGaussian(Law):
    """W = Z/s, Z standard normal given |Z| < b, s² its variance (s = 0.8796… for b = 2).

    With x = b²/2, E[Z^{2k} | |Z| < b] = b^{2k} S_k/S_0, S_k = Σ_j x^j/((k+½)(k+3/2)…(k+½+j)),
    a sum of positive terms (DLMF 8.7.1), here to 100 digits. With the Faddeeva function w,
    E e^{itZ} = (e^{−t²/2} − Re[e^{−b²/2−ibt} w(i(b + it)/√2)])/erf(b/√2), absolute error 1e-16/b.
    Its quadrature is the Gauss rule of the truncated weight.

    Args:
        bound: b, above 0, in standard deviations of the normal law before truncation.

    Raises:
        ValueError: ``bound`` is not a finite number above 0.
    """

    bound: float | int = 2.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "bound", _checks.positive(self.bound, "bound"))

    @property
    def name(self) -> str:
        return f"truncated_gaussian({plain(self.bound)})"

    @property
    def symmetric(self) -> bool:
        return True

    @property
    def support(self) -> tuple[float, float]:
        return (-self.bound / self._deviation, self.bound / self._deviation)

    @property
    def _variance(self) -> Fraction:
        return _central_moment(self, 2)

    @property
    def _deviation(self) -> float:
        return math.sqrt(self._variance)

    def _moment(self, order: int) -> Fraction:
        if order % 2:
            return Fraction(0)
        k, b = order // 2, Fraction(self.bound)
        if b**2 > 4 * order + 1500:  # what lies beyond b is below 1e-300 of the moment
            return Fraction(math.prod(range(1, order, 2)))
        return b**order * _incomplete(b**2, k) / _incomplete(b**2, 0)

    def _characteristic(self, t: np.ndarray) -> np.ndarray:
        b, t = self.bound, t / self._deviation
        # e^{-b²/2} may underflow, and a large b leaves the second term without effect
        edge = np.exp(-(b**2) / 2 - 1j * b * t) * wofz((-t + 1j * b) / math.sqrt(2))
        return (np.exp(-(t**2) / 2) - edge.real) / erf(b / math.sqrt(2))

    def _density(self, z: np.ndarray) -> np.ndarray:
        b, s = self.bound, self._deviation
        mass = math.sqrt(2 * math.pi) * erf(b / math.sqrt(2))
        return np.where(np.abs(s * z) <= b, s * np.exp(-((s * z) ** 2) / 2) / mass, 0.0)

    def _quadrature(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        edge = min(self.bound, 38.0)
        x, w = _gauss.legendre(300 + 2 * count)
        nodes, weights = _gauss.of_atoms(
            edge * x, w * np.exp(-((edge * x) ** 2) / 2), count, symmetric=True
        )
        return nodes / self._deviation, weights

    def _sample(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        z = jax.random.truncated_normal(key, -self.bound, self.bound, shape, dtype)
        return z / self._deviation


def _incomplete(b2: Fraction, k: int) -> Fraction:
    """S_k(b²/2) in fixed-point arithmetic with 400 binary digits."""
    p, q = b2.numerator, b2.denominator
    term = (2 << 400) // (2 * k + 1)
    total, j = 0, 0
    while term:
        total, j = total + term, j + 1
        term = term * p // (q * (2 * k + 2 * j + 1))
    return Fraction(total, 1 << 400)
