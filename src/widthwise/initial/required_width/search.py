r"""The smallest width from which on a deviation is at most a tolerance.

A deviation d(n) need not fall steadily: where two orders cancel it dips, and then rises again. What
is wanted is

    n* = min {n : d(n') ≤ tolerance for all n' ≥ n}.

A decreasing bound B ≥ d, here the sum of the sizes of all terms, gives a width from which on
nothing can exceed the tolerance; the search goes down from there. Nothing depends on how large n*
is.
"""

import math
from collections.abc import Callable

MOST = 10**15
"""The largest width considered."""

OfWidth = Callable[[int], float]
_STEP = 2**0.25


def smallest_width(deviation: OfWidth, bound: OfWidth, tolerance: float) -> int | float:
    """n*, an integer, or ``inf`` if it is larger than :data:`MOST`.

    Args:
        deviation: d(n).
        bound: B(n) ≥ d(n), decreasing in n.
        tolerance: positive.
    """
    if bound(1) <= tolerance:
        return 1
    if bound(MOST) > tolerance:
        if deviation(MOST) > tolerance:
            return math.inf
        good = MOST
    else:
        good = _crossing(bound, 1, MOST, tolerance)
    while good > 1:
        lower = min(good - 1, int(good / _STEP))
        if deviation(lower) > tolerance:
            return _crossing(deviation, lower, good, tolerance)
        good = lower
    return 1


def _crossing(function: OfWidth, bad: int, good: int, tolerance: float) -> int:
    """An integer where the function has fallen to the tolerance, the one before being above it."""
    above, below = function(bad) - tolerance, function(good) - tolerance
    while good - bad > 1:
        if good > _STEP * bad:
            middle = math.isqrt(bad * good)
        else:
            middle = bad + round((good - bad) * above / (above - below))
        guess = min(max(middle, bad + 1), good - 1)
        for n in (guess, guess - 1 if function(guess) <= tolerance else guess + 1):
            excess = function(n) - tolerance
            if bad < n < good and excess > 0:
                bad, above = n, excess
            elif bad < n < good:
                good, below = n, excess
    return good
