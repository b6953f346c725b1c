"""The standard normal law: κ_r = 0 for r ≥ 3."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from widthwise.model.laws import _gauss
from widthwise.model.laws.law import Law


@dataclass(frozen=True)
class Gaussian(Law):
    """The standard normal law: density e^{−z²/2}/√(2π), μ_{2k} = (2k − 1)!!, E e^{itW} = e^{−t²/2}.

    Its quadrature is the Gauss–Hermite rule.
    """

    @property
    def name(self) -> str:
        return "gaussian"

    @property
    def symmetric(self) -> bool:
        return True

    @property
    def support(self) -> tuple[float, float]:
        return (-math.inf, math.inf)

    def _moment(self, order: int) -> Fraction:
        return Fraction(0 if order % 2 else math.prod(range(1, order, 2)))

    def _characteristic(self, t: np.ndarray) -> np.ndarray:
        return np.exp(-(t**2) / 2)

    def _density(self, z: np.ndarray) -> np.ndarray:
        return np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)

    def _quadrature(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        return _gauss.rule(np.zeros(count), np.sqrt(np.arange(1.0, count)))

    def _sample(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        return jax.random.normal(key, shape, dtype)
