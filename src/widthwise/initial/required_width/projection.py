"""One linear projection Σ_a v_a f(x_a) of an output component, and its cumulants."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import factorial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from widthwise.algebra.series import Series
from widthwise.initial.cumulants import OutputCumulants


class Tables(NamedTuple):
    """Coefficients of κ_r in powers of n^{-1/2} and their errors: row r, column k."""

    value: Float[np.ndarray, "degrees orders"]
    error: Float[np.ndarray, "degrees orders"]


@dataclass(frozen=True, eq=False)
class Projection:
    """A linear projection of one output component.

    Args:
        cumulants: of the outputs.
        rows: the points that occur.
        direction: v, one number per row, none of them 0.
    """

    cumulants: OutputCumulants
    rows: tuple[int, ...]
    direction: tuple[float, ...]

    def cumulant(self, r: int) -> Series:
        """κ_r of the projection: the joint cumulants of the outputs, contracted with v."""
        v, total, exact = self.direction, np.zeros((2, self.cumulants.order + 1)), True
        for chosen in combinations_with_replacement(range(len(v)), r):
            counts = np.bincount(chosen, minlength=len(v))
            powers = [a**c / factorial(c) for a, c in zip(v, counts.tolist(), strict=True)]
            weight = factorial(r) * np.prod(powers)
            series = self.cumulants.cumulant([self.rows[i] for i in chosen])
            total += weight * series.coefficients, abs(weight) * series.error
            exact = exact and series.exact
        return Series(*total, exact=exact)

    def tables(self, highest: int) -> Tables:
        """All cumulants up to κ_highest; those of orders 0 and 1 are 0."""
        found = [self.cumulant(r) for r in range(2, highest + 1)]
        none = np.zeros((2, self.cumulants.order + 1))
        values = np.concatenate([none, [s.coefficients for s in found]])
        errors = np.concatenate([none, [s.error for s in found]])
        return Tables(values, errors)

    def __str__(self) -> str:
        if len(self.rows) == 1:
            return f"point {self.rows[0]}"
        shown = [f"{v:+.3g}·f({row})" for v, row in zip(self.direction, self.rows, strict=True)]
        return " ".join(shown[:4]) + (" …" if len(shown) > 4 else "")


def projections(
    cumulants: OutputCumulants, directions: Sequence[Sequence[float]] | np.ndarray
) -> tuple[Projection, ...]:
    """One :class:`Projection` per row of ``directions`` (directions, points)."""
    found = []
    for v in np.asarray(directions):
        rows = np.flatnonzero(v)
        found.append(Projection(cumulants, tuple(rows.tolist()), tuple(v[rows].tolist())))
    return tuple(found)
