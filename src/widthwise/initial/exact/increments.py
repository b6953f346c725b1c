"""E e^{itW} − 1 of one weight, with its relative accuracy kept where t is small.

A sum of n neurons sees each weight at t ~ n^{−1/2}, where E e^{itW} − 1 ≈ −t²/2 drowns in the
rounding of the 1. There the moment series

    E e^{itW} − 1 = Σ_{r=2}^{R} μ_r (it)^r / r!

is used, for |t| so small that its last term is below rounding; a law without enough moments keeps
the difference.
"""

import math
from functools import lru_cache

import numpy as np

from widthwise.limit.first_layer import fourier
from widthwise.model.laws import Law, ScipyLaw

_HIGHEST = 24
_LARGEST_ARGUMENT = 0.3
_ROUNDING = 1e-17
_SCIPY_ERROR = 4e-12


@lru_cache(maxsize=64)
def _series(law: Law) -> tuple[np.ndarray, float]:
    """Coefficients μ_r/r! for r = 0 … R, and the largest |t| they serve."""
    values = [0.0, 0.0]
    for r in range(2, int(min(law.highest_moment, _HIGHEST)) + 1):
        try:
            values.append(law.moment(r) / math.factorial(r))
        except (OverflowError, ValueError):
            break
    coefficients = np.array(values)
    last = len(coefficients) - 2
    if last < 6:
        return coefficients, 0.0
    size = np.abs(coefficients[-2:]).max()
    reach = (_ROUNDING / size) ** (1 / (last - 2)) if size else _LARGEST_ARGUMENT
    return coefficients, min(reach, _LARGEST_ARGUMENT)


def increment(law: Law, t: np.ndarray) -> np.ndarray:
    """E e^{itW} − 1 for real t, real where the law is symmetric."""
    coefficients, reach = _series(law)
    flat = np.ascontiguousarray(t, dtype=float).ravel()
    value = fourier.factor(law, flat, float(np.abs(flat).max(initial=0.0))) - 1
    small = np.abs(flat) < reach
    if small.any():
        value[small] = _by_moments(coefficients, flat[small], law.symmetric)
    return value.reshape(np.shape(t))


def _by_moments(coefficients: np.ndarray, t: np.ndarray, symmetric: bool) -> np.ndarray:
    signs = np.array([1, 1, -1, -1])[np.arange(len(coefficients)) % 4] * coefficients
    even = np.polynomial.polynomial.polyval(t * t, signs[::2])
    if symmetric:
        return even
    return even + 1j * t * np.polynomial.polynomial.polyval(t * t, signs[1::2])


def noise(law: Law) -> float:
    """What a value of the characteristic function errs by, beyond rounding."""
    return _SCIPY_ERROR if isinstance(law, ScipyLaw) and not law.discrete else 0.0
