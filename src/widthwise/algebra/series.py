"""Truncated asymptotic series in ε = n^{-1/2}.

A :class:`Series` holds the coefficients c_0 … c_P of Σ_k c_k n^{-k/2}. Such a series is asymptotic:
at a given width it improves up to an optimal order and then deteriorates. The rule used here stops
before the smallest nonzero term; that term estimates the remainder (Dingle 1973; checked on exact
laws in the tests). A coefficient within its numerical error counts as zero.

Series add, multiply and compose; the result is truncated at the lowest order of its parts, and the
errors of the coefficients propagate to first order, added in absolute value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.algebra.resummation import Resummation, pade

_LARGE = 0.5  # of the value: a remainder to warn of
_FEW_DIGITS = 1e-6


class Diagnosis(NamedTuple):
    """What speaks against the sum of a series at one width; ``str()`` says it in sentences.

    Args:
        value: the sum to ``order``.
        order: the last order summed.
        optimal_order: the order before the smallest term.
        remainder: the estimated error of the sum to the optimal order.
        numerical_error: what the errors of the coefficients do to ``value``.
        warnings: sentences, none if all is well.
    """

    value: float
    order: int
    optimal_order: int
    remainder: float
    numerical_error: float
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.warnings) or "nothing speaks against this sum"


class Truncation(NamedTuple):
    """A series summed to its optimal order at one width.

    Args:
        value: the sum.
        error: estimated remainder, plus the numerical error of the terms summed.
        order: the last order summed.
    """

    value: float
    error: float
    order: int


def product(
    a: Float[np.ndarray, "orders *shape"], b: Float[np.ndarray, "orders *shape"]
) -> Float[np.ndarray, "orders *shape"]:
    """Coefficients of the product of truncated series: Σ_j a_j b_{k−j}, elementwise in the rest."""
    if a.ndim == b.ndim == 1:
        return np.convolve(a, b)[: len(a)]
    result = np.zeros(np.broadcast_shapes(a.shape, b.shape))
    for j, term in enumerate(a):
        if term.any():
            result[j:] += term * b[: len(b) - j]
    return result


def shifted(a: Float[np.ndarray, "orders *shape"], powers: int) -> np.ndarray:
    """Coefficients of ε^powers · a, truncated at the order of a."""
    result = np.zeros_like(a)
    result[powers:] = a[: max(len(a) - powers, 0)]
    return result


@dataclass(frozen=True, eq=False, init=False)
class Series:
    """Σ_{k≤P} coefficients[k] · n^{-k/2}.

    Args:
        coefficients: c_0 … c_P.
        error: numerical uncertainty of every coefficient (quadrature or Monte Carlo).
        exact: whether the truncated series is the whole value, with no remainder.

    Example:
        >>> from widthwise.algebra.series import Series
        >>> Series([0.0, 0.0, 18.0, 0.0, 36.0]).at(width=10)
        2.16
    """

    coefficients: Float[np.ndarray, " orders"]
    error: Float[np.ndarray, " orders"]
    exact: bool

    def __init__(
        self, coefficients: ArrayLike, error: ArrayLike | None = None, *, exact: bool = False
    ):
        c = np.array(coefficients, dtype=float)
        e = np.zeros_like(c) if error is None else np.array(error, dtype=float)
        if c.ndim != 1 or not len(c) or e.shape != c.shape:
            raise ValueError(
                "a series takes a list of coefficients and as many errors, got shapes "
                f"{c.shape} and {e.shape}"
            )
        if not np.isfinite(c).all() or np.isnan(e).any():
            raise ValueError(f"the coefficients of a series must be finite, got {c} +- {e}")
        object.__setattr__(self, "coefficients", c)
        object.__setattr__(self, "error", e)
        object.__setattr__(self, "exact", exact)

    @property
    def order(self) -> int:
        """P, the highest power of n^{-1/2} kept."""
        return len(self.coefficients) - 1

    def terms(self, width: float) -> Float[np.ndarray, " orders"]:
        """The terms c_k n^{-k/2} at width n."""
        return self.coefficients * self._powers(width)

    def at(self, width: float, order: int | None = None) -> float:
        """The sum of the terms up to ``order`` (all by default) at width n."""
        last = self.order if order is None else checks.order(order)
        if last > self.order:
            raise ValueError(f"order {last} was asked of a series computed to order {self.order}")
        return float(self.terms(width)[: last + 1].sum())

    def optimal_order(self, width: float) -> int:
        """The order just before the smallest nonzero term, or the last one while terms still fall.

        Where all later terms exceed the leading one the series has nothing to add to it.
        """
        sizes, present = self._sizes(width)
        if self.exact or len(present) < 2:
            return self.order
        smallest = present[np.argmin(sizes[present])]
        if smallest == present[-1]:
            return self.order
        return int(present[1] if smallest == present[0] else smallest) - 1

    def remainder(self, width: float) -> float:
        """Estimated error of :meth:`at` with :meth:`optimal_order`: the smallest term.

        It is 0 for an exact series, and infinite for one that ends before its first term.
        """
        if self.exact:
            return 0.0
        sizes, present = self._sizes(width)
        if not len(present):
            return float("inf")
        return float(sizes[present[1:]].min() if len(present) > 1 else sizes[present].sum())

    def optimal(self, width: float) -> Truncation:
        """The sum to the optimal order at width n, with its error estimate.

        Example:
            >>> from widthwise.algebra.series import Series
            >>> Series([1.0, 0.0, 2.0, 0.0, -60.0]).optimal(width=100)
            Truncation(value=1.014, error=0.006, order=4)
        """
        order = self.optimal_order(width)
        numerical = np.abs(self.error[: order + 1]) @ self._powers(width)[: order + 1]
        error = self.remainder(width) + float(numerical)
        return Truncation(self.at(width, order), error, order)

    def diagnose(self, width: float, order: int | None = None) -> Diagnosis:
        """Whether the sum to ``order`` (all terms by default) can be believed at width n.

        Example:
            >>> from widthwise.algebra.series import Series
            >>> print(Series([1.0, 0.0, 2.0, 0.0, -600.0]).diagnose(width=16))
            at width 16 the terms grow after order 1: the sum to order 4 is worse; use order=1
        """
        last, best = self.order if order is None else order, self.optimal_order(width)
        value, remainder = self.at(width, last), self.remainder(width)
        terms, errors = np.abs(self.terms(width)), np.abs(self.error) * self._powers(width)
        numerical = float(errors[: last + 1].sum())
        warnings = []
        if np.isinf(remainder):
            warnings.append(
                f"no term up to n^({-self.order}/2) is known to differ from 0; take a higher order"
            )
        if last > best and np.any(terms[best + 1 : last + 1] > errors[best + 1 : last + 1]):
            warnings.append(
                f"at width {width:g} the terms grow after order {best}: the sum to order {last} is "
                f"worse; use order={best}"
            )
        if np.isfinite(remainder) and remainder > _LARGE * abs(self.at(width, best)):
            warnings.append(
                f"width {width:g} is small for this series: what it leaves out may be "
                f"{remainder:.1e}, against a value of {self.at(width, best):.1e}"
            )
        unclear = np.flatnonzero(errors[: last + 1] > max(remainder, _FEW_DIGITS * abs(value)))
        for k in unclear[:1]:
            warnings.append(
                f"the coefficient of n^({-k}/2), {self.coefficients[k]:.6g}, is known to "
                f"{self.error[k]:.0e} only: inputs that are nearly parallel, or too many at once"
            )
        return Diagnosis(value, last, best, remainder, numerical, tuple(warnings))

    def pade(self, width: float) -> Resummation:
        """The series resummed at width n by a Padé approximant, which says whether it is safe.

        Example:
            >>> from widthwise.algebra.series import Series
            >>> Series([1.0, 0.0, -1.0, 0.0, 2.0, 0.0, -6.0, 0.0, 24.0]).pade(width=4).safe
            True
        """
        if self.exact:
            return Resummation(self.at(width), 0.0, True, "")
        return pade(self.coefficients, self.error, float(checks.width(width)) ** -0.5)

    def shift(self, powers: int) -> "Series":
        """n^{-powers/2} times the series, truncated at the same order."""
        k = checks.order(powers, "powers")
        lost = bool(np.any(self.coefficients[max(self.order + 1 - k, 0) :])) if k else False
        exact = self.exact and not lost
        return Series(shifted(self.coefficients, k), shifted(self.error, k), exact=exact)

    def __add__(self, other: "Series | float") -> "Series":
        a, b = self._matched(other)
        exact = a.exact and b.exact
        return Series(a.coefficients + b.coefficients, a.error + b.error, exact=exact)

    def __mul__(self, other: "Series | float") -> "Series":
        a, b = self._matched(other)
        error = product(np.abs(a.coefficients), b.error) + product(a.error, np.abs(b.coefficients))
        degrees = [int(np.flatnonzero(s.coefficients).max(initial=0)) for s in (a, b)]
        exact = a.exact and b.exact and sum(degrees) <= a.order
        return Series(product(a.coefficients, b.coefficients), error, exact=exact)

    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self) -> "Series":
        return self * -1.0

    def __sub__(self, other: "Series | float") -> "Series":
        return self + (-1.0) * other

    def __rsub__(self, other: float) -> "Series":
        return -self + other

    def compose(self, derivatives: Sequence[float]) -> "Series":
        """f(series) for a smooth f, by its Taylor expansion at the leading coefficient c_0.

        Args:
            derivatives: f(c_0), f'(c_0), f''(c_0), …, at least order + 1 of them.
        """
        if len(derivatives) <= self.order:
            raise ValueError(
                f"composing a series of order {self.order} takes f and its derivatives up to "
                f"order {self.order} at the leading coefficient, got {len(derivatives)} numbers"
            )
        rest = self + -float(self.coefficients[0])
        result = Series(np.zeros(self.order + 1))
        for k in range(self.order, -1, -1):
            result = result * rest * (1.0 / (k + 1)) + float(derivatives[k])
        return Series(result.coefficients, result.error)

    def _matched(self, other: "Series | float") -> "tuple[Series, Series]":
        """Both as series of the lower of the two orders; a number is an exact series."""
        if not isinstance(other, Series):
            number = np.zeros(self.order + 1)
            number[0] = other
            return self, Series(number, exact=True)
        order = min(self.order, other.order)
        return self._cut(order), other._cut(order)

    def _cut(self, order: int) -> "Series":
        if order == self.order:
            return self
        exact = self.exact and not np.any(self.coefficients[order + 1 :])
        return Series(self.coefficients[: order + 1], self.error[: order + 1], exact=exact)

    def _powers(self, width: float) -> np.ndarray:
        return float(checks.width(width)) ** (-0.5 * np.arange(self.order + 1))

    def _sizes(self, width: float) -> tuple[np.ndarray, np.ndarray]:
        """Sizes of the terms, and which of them are not zero within their numerical error."""
        known = np.abs(self.coefficients) > self.error
        return np.abs(self.terms(width)), np.flatnonzero(known & (self.coefficients != 0))

    def __repr__(self) -> str:
        terms = " ".join(f"{c:+.8g}·n^({-k}/2)" for k, c in enumerate(self.coefficients) if c)
        return f"Series({terms or '0'})"
