"""The uniform law on ±√3, PyTorch's default: κ_r = B_r (2√3)^r / r with Bernoulli numbers B_r."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from widthwise.model.laws import _gauss
from widthwise.model.laws.law import Law

_EDGE = math.sqrt(3)


@dataclass(frozen=True)
class Uniform(Law):
    """The uniform law on [−√3, √3]: μ_{2k} = 3^k/(2k + 1), E e^{itW} = sin(√3 t)/(√3 t).

    Its quadrature is the Gauss–Legendre rule.
    """

    @property
    def name(self) -> str:
        return "uniform"

    @property
    def symmetric(self) -> bool:
        return True

    @property
    def support(self) -> tuple[float, float]:
        return (-_EDGE, _EDGE)

    def _moment(self, order: int) -> Fraction:
        return Fraction(0 if order % 2 else 3 ** (order // 2), order + 1)

    def _characteristic(self, t: np.ndarray) -> np.ndarray:
        return np.sinc(_EDGE * t / math.pi)

    def _density(self, z: np.ndarray) -> np.ndarray:
        return np.where(np.abs(z) <= _EDGE, 0.5 / _EDGE, 0.0)

    def _quadrature(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        x, w = _gauss.legendre(count)
        return _EDGE * x, w

    def _sample(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, minval=-_EDGE, maxval=_EDGE)
