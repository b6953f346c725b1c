"""The centred exponential law, the standard example of a skewed one: κ_r = (r − 1)!."""

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
class Exponential(Law):
    """W = X − 1, X with density e^{−x}, x > 0: skewness +2, E e^{itW} = e^{−it}/(1 − it).

    μ_r is the number of derangements of r things. Its quadrature is the Gauss–Laguerre rule.
    """

    @property
    def name(self) -> str:
        return "exponential"

    @property
    def symmetric(self) -> bool:
        return False

    @property
    def support(self) -> tuple[float, float]:
        return (-1.0, math.inf)

    def _moment(self, order: int) -> Fraction:
        derangements = 1
        for r in range(1, order + 1):
            derangements = r * derangements + (-1) ** r
        return Fraction(derangements)

    def _characteristic(self, t: np.ndarray) -> np.ndarray:
        return np.exp(-1j * t) / (1 - 1j * t)

    def _density(self, z: np.ndarray) -> np.ndarray:
        return np.where(z >= -1, np.exp(-1 - np.maximum(z, -1)), 0.0)

    def _quadrature(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        x, w = _gauss.laguerre(count)
        return x - 1, w

    def _sample(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        return jax.random.exponential(key, shape, dtype) - 1
