"""Random signs: κ_r = 2^r (2^r − 1) B_r / r, the coefficients of log cosh."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from widthwise.model.laws.law import Law


@dataclass(frozen=True)
class Rademacher(Law):
    """+1 or −1 with probability 1/2 each: μ_{2k} = 1, E e^{itW} = cos t."""

    @property
    def name(self) -> str:
        return "rademacher"

    @property
    def symmetric(self) -> bool:
        return True

    @property
    def discrete(self) -> bool:
        return True

    @property
    def support(self) -> tuple[float, float]:
        return (-1.0, 1.0)

    def _moment(self, order: int) -> Fraction:
        return Fraction(1 - order % 2)

    def _characteristic(self, t: np.ndarray) -> np.ndarray:
        return np.cos(t)

    def _quadrature(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        return np.array([-1.0, 1.0]), np.array([0.5, 0.5])

    def _sample(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        return jax.random.rademacher(key, shape, dtype)
