"""The standardized gamma law, whose skewness 2/√k is free: κ_r = (r − 1)! k^{1−r/2}."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray
from scipy.special import gammaln, xlogy

from widthwise import _checks
from widthwise.model.laws import _gauss
from widthwise.model.laws.law import Law, plain


@dataclass(frozen=True)
class Gamma(Law):
    """W = (X − k)/√k, X with density x^{k−1}e^{−x}/Γ(k), x > 0: skewness 2/√k.

    E e^{itW} = e^{−i√k t}(1 − it/√k)^{−k}. Its quadrature is the generalized Gauss–Laguerre rule.

    Args:
        shape: k, above 0; k = 1 is the exponential law, k → ∞ the Gaussian.

    Raises:
        ValueError: ``shape`` is not a finite number above 0.
    """

    shape: float | int

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", _checks.positive(self.shape, "shape"))

    @property
    def name(self) -> str:
        return f"gamma({plain(self.shape)})"

    @property
    def symmetric(self) -> bool:
        return False

    @property
    def support(self) -> tuple[float, float]:
        return (-math.sqrt(self.shape), math.inf)

    @property
    def _variance(self) -> Fraction:
        return Fraction(self.shape)

    def _moment(self, order: int) -> Fraction:
        """m_{r+1} = r (m_r + k m_{r−1}), from the density's differential equation."""
        k, before, now = Fraction(self.shape), Fraction(0), Fraction(1)
        for r in range(order):
            before, now = now, r * (now + k * before)
        return now

    def _characteristic(self, t: np.ndarray) -> np.ndarray:
        k, u = self.shape, t / math.sqrt(self.shape)
        return np.exp(-k / 2 * np.log1p(u**2) + 1j * k * (np.arctan(u) - u))

    def _density(self, z: np.ndarray) -> np.ndarray:
        k = self.shape
        x = k + math.sqrt(k) * z
        with np.errstate(divide="ignore"):  # infinite at x = 0 for k < 1, as it should be
            inside = np.maximum(x, 0)
            logarithm = xlogy(k - 1, inside) - inside - gammaln(k) + math.log(k) / 2
        return np.where(x >= 0, np.exp(logarithm), 0.0)

    def _quadrature(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        x, w = _gauss.laguerre(count, self.shape - 1)
        return (x - self.shape) / math.sqrt(self.shape), w

    def _sample(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        x = jax.random.gamma(key, self.shape, shape, dtype)
        return (x - self.shape) / math.sqrt(self.shape)
