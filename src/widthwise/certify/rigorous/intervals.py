"""Intervals with outward rounding, and the floats that bound them.

mpmath's interval numbers at 113 bits: every operation returns an interval that contains all exact
results. Going back to float64 an end moves outward by one unit in the last place. Intervals are
compared by :func:`below` and :func:`at_most`, which hold for all members or not at all.
"""

import importlib
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

Interval: TypeAlias = Any
"""A number of :func:`context`."""

_BITS = 113


@lru_cache(maxsize=1)
def context() -> Any:
    """Mpmath's interval numbers, with a precision of their own.

    Raises:
        ValueError: where mpmath is not installed, with what to do.
    """
    try:
        module = importlib.import_module("mpmath.ctx_iv")
    except ModuleNotFoundError as error:
        raise ValueError(
            "arithmetic='interval' needs mpmath, which is not installed; install it with "
            "pip install 'widthwise[interval]', or take arithmetic='margins'"
        ) from error
    made = module.MPIntervalContext()
    made.prec = _BITS
    return made


def exact(value: float) -> Interval:
    """The interval of one float64."""
    return context().mpf(float(value))


def lower(interval: Interval) -> float:
    """A float64 at or below every number of the interval."""
    return math.nextafter(float(interval.a), -math.inf)


def upper(interval: Interval) -> float:
    """A float64 at or above every number of the interval."""
    return math.nextafter(float(interval.b), math.inf)


def below(x: Interval, y: Interval) -> bool:
    """Whether every number of x is less than every number of y."""
    return bool(x.b < y.a)


def at_most(x: Interval, y: Interval) -> bool:
    """Whether no number of x is greater than any number of y."""
    return bool(x.b <= y.a)


def root(interval: Interval) -> Interval:
    """The square root of the nonnegative part."""
    iv = context()
    return iv.sqrt(iv.mpf([max(interval.a, 0), max(interval.b, 0)]))


def norm(values: Float[np.ndarray, "..."]) -> Interval:
    """The Euclidean (Frobenius) norm of float64 numbers."""
    number = context().mpf
    return length([number(value) for value in values.ravel().tolist()])


def length(vector: Sequence[Interval]) -> Interval:
    """The Euclidean norm of intervals."""
    return root(sum((value**2 for value in vector), exact(0.0)))


def times(matrix: Float[np.ndarray, "rows columns"], vector: Sequence[Interval]) -> list[Interval]:
    """The product of a float64 matrix and a vector of intervals."""
    number, zero = context().mpf, exact(0.0)
    return [
        sum((number(a) * b for a, b in zip(row, vector, strict=True)), zero)
        for row in matrix.tolist()
    ]


def ceiling(interval: Interval) -> Interval:
    """The float64 of :func:`upper`, exactly: an upper bound to compute with."""
    return exact(upper(interval))


def floor(interval: Interval) -> Interval:
    """The float64 of :func:`lower`, exactly: a lower bound to compute with."""
    return exact(lower(interval))


def least(*bounds: Interval) -> Interval:
    """The smallest of several upper bounds."""
    return min(map(ceiling, bounds), key=upper)


def most(*bounds: Interval) -> Interval:
    """The largest of several upper bounds."""
    return max(map(ceiling, bounds), key=upper)


def gamma(terms: int) -> Interval:
    """γ_n = nu/(1 - nu)."""
    made = exact(terms) * exact(2.0**-53)
    return made / (1 - made)
