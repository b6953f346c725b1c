"""The two-sided exponential law: κ_{2k} = 2 (2k − 1)! / 2^k."""

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
class Laplace(Law):
    """Density e^{−√2|z|}/√2: μ_{2k} = (2k)!/2^k, E e^{itW} = 1/(1 + t²/2).

    Its quadrature is a Gauss–Laguerre rule on each half-line, so a kink at 0 does no harm: it is
    exact for |z|^p as for z^p, p < count.
    """

    @property
    def name(self) -> str:
        return "laplace"

    @property
    def symmetric(self) -> bool:
        return True

    @property
    def support(self) -> tuple[float, float]:
        return (-math.inf, math.inf)

    def _moment(self, order: int) -> Fraction:
        return Fraction(0 if order % 2 else math.factorial(order), 2 ** (order // 2))

    def _characteristic(self, t: np.ndarray) -> np.ndarray:
        return 1 / (1 + t**2 / 2)

    def _density(self, z: np.ndarray) -> np.ndarray:
        return np.exp(-math.sqrt(2) * np.abs(z)) / math.sqrt(2)

    def _quadrature(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        x, w = _gauss.laguerre((count + 1) // 2)
        right = x / math.sqrt(2)
        return np.concatenate([-right[::-1], right]), np.concatenate([w[::-1], w]) / 2

    def _sample(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        return jax.random.laplace(key, shape, dtype) / math.sqrt(2)
