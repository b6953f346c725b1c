"""Truncated asymptotic series in ε = n^{-1/2}.

A :class:`Series` holds the coefficients c_0 … c_P of Σ_k c_k n^{-k/2}. Such a series is asymptotic:
at a given width it improves up to an optimal order and then deteriorates. The rule used here stops
before the smallest nonzero term; that term estimates the remainder (Dingle 1973; checked on exact
laws in the tests).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike


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
        object.__setattr__(self, "coefficients", c)
        object.__setattr__(self, "error", np.zeros_like(c) if error is None else np.array(error))
        object.__setattr__(self, "exact", exact)

    @property
    def order(self) -> int:
        """P, the highest power of n^{-1/2} kept."""
        return len(self.coefficients) - 1

    def terms(self, width: float) -> Float[np.ndarray, " orders"]:
        """The terms c_k n^{-k/2} at width n."""
        return self.coefficients * float(checks.width(width)) ** (-0.5 * np.arange(self.order + 1))

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
        sizes = np.abs(self.terms(width))
        present = np.flatnonzero(sizes)
        if self.exact or len(present) < 2:
            return self.order
        smallest = present[np.argmin(sizes[present])]
        if smallest == present[-1]:
            return self.order
        return int(present[1] if smallest == present[0] else smallest) - 1

    def remainder(self, width: float) -> float:
        """Estimated error of :meth:`at` with :meth:`optimal_order`: the smallest term, or 0."""
        if self.exact:
            return 0.0
        sizes = np.abs(self.terms(width))
        present = np.flatnonzero(sizes)
        return float(sizes[present[1:]].min() if len(present) > 1 else sizes[present].sum())

    def __repr__(self) -> str:
        terms = " ".join(f"{c:+.8g}·n^({-k}/2)" for k, c in enumerate(self.coefficients) if c)
        return f"Series({terms or '0'})"
