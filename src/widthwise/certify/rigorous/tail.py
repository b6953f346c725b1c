r"""Theorem 1 from where a tube ends: α S - ½ L(S) S² ≥ |r|, L(S) S < α for all members.

S is found in float64; what is returned was checked in intervals.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from widthwise.certify.certificate import Hypothesis
from widthwise.certify.evaluation import SAFE
from widthwise.certify.posterior.path import shortest_path
from widthwise.certify.rigorous.intervals import (
    Interval,
    at_most,
    below,
    ceiling,
    exact,
    floor,
    lower,
    upper,
)


class Tail(NamedTuple):
    """A bound of the length of the path that is left.

    Args:
        length: S.
        change: L(S) S from above.
        rate: (α - L(S) S)² from below.
        condition: that 2 L(S)|r| is below α², which α S - ½ L(S) S² ≥ |r| implies.
    """

    length: Interval
    change: Interval
    rate: float
    condition: Hypothesis


def tail(alpha: Interval, size: Interval, lipschitz: Callable[[Interval], Interval]) -> Tail | None:
    """The shortest path found, or none.

    Args:
        alpha: lower bound of σ_min(J) where the path begins.
        size: upper bound of |r| there.
        lipschitz: radius to Lipschitz constant of J.
    """
    found = shortest_path(lower(alpha), upper(size), lambda S: upper(lipschitz(exact(S))))
    if not np.isfinite(found.length):
        return None
    alpha, S = floor(alpha), exact(found.length * SAFE)
    L = ceiling(lipschitz(S))
    reach, change = alpha * S - L * S**2 / 2, ceiling(L * S)
    condition = Hypothesis("2 L |r_T| below σ²", upper(2 * L * size), "<", lower(alpha**2))
    if not (at_most(size, reach) and below(change, alpha) and condition.holds):
        return None
    return Tail(S, change, max(lower((alpha - change) ** 2), 0.0), condition)
