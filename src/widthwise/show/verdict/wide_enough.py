"""The advice: how wide is wide enough.

    n = n₁ · (D(n₁) / (tolerance · σ))^{1/p},    D ∝ n^{−p},  σ the GP's standard deviation,     (1)

is the width a fitted law of the deviation D asks for, from the widest networks n₁ that are measured
about as precisely as any.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from widthwise.experiments.comparison import AtWidth, Comparison, Measured
from widthwise.show.verdict.significance import resolved
from widthwise.show.verdict.wording import integer, number

TOLERANCE = 0.01
"""The advice is for this deviation, as a share of the output's standard deviation."""

_FAR = 30
"""An extrapolation in n by more than this factor is called one."""


def advice(comparison: Comparison) -> tuple[str, ...]:
    """What width the fitted laws ask for."""
    target = TOLERANCE * comparison.output_std
    slope = comparison.deviation_slope
    asked = []
    best, p = _sharpest(comparison, lambda w: w.distance_to_gp), _distance_exponent(comparison)
    if best is not None and p is not None:
        needed = _width_for(target, *best, p, 0.0)
        asked.append(
            ("the law of the output at initialization within", "of the Gaussian process", needed)
        )
    best = _sharpest(comparison, lambda w: w.largest_deviation)
    if best is not None and slope is not None:
        fitted, error = (slope.theory, 0.0) if slope.agrees else (slope.value, slope.error)
        if fitted < 0:
            needed = _width_for(target, *best, -fitted, error)
            asked.append(("the outputs during training within", "of the linear flow", needed))
    return tuple(
        f"To keep {what} {100 * TOLERANCE:g} % of the output's standard deviation"
        f" ({number(comparison.output_std)}) {of_what}, {_asks(needed, comparison)}."
        for what, of_what, needed in asked
    )


def _sharpest(
    comparison: Comparison, get: Callable[[AtWidth], Measured]
) -> tuple[int, Measured] | None:
    """The widest networks measured about as precisely as any, relative to the value."""
    found = [(w.width, get(w)) for w in comparison.widths if resolved(get(w))]
    if not found:
        return None
    least = min(m.error / abs(m.value) for _, m in found)
    return max(
        (item for item in found if item[1].error / abs(item[1].value) <= 1.5 * least),
        key=lambda item: item[0],
    )


def _distance_exponent(comparison: Comparison) -> float | None:
    """The power p of W₁ ∝ n^{−p} between the two largest widths: predicted, else measured."""
    if len(comparison.widths) < 2:
        return None
    a, b = comparison.widths[-2:]
    if a.distance_to_gp_theory and b.distance_to_gp_theory:
        values = a.distance_to_gp_theory, b.distance_to_gp_theory
    elif resolved(a.distance_to_gp):
        values = a.distance_to_gp.value, b.distance_to_gp.value
    else:
        return None
    p = math.log(values[0] / values[1]) / math.log(b.width / a.width)
    return p if p > 0 else None


class _Needed(NamedTuple):
    width: float
    low: float
    high: float


def _width_for(target: float, width: int, at: Measured, p: float, p_error: float) -> _Needed:
    """Equation (1) and its interval of two standard errors."""
    ratio = math.log(at.value / target)
    exponent = ratio / p
    error = math.hypot(at.error / at.value, exponent * p_error) / p
    return _Needed(*(width * math.exp(exponent + k * error) for k in (0, -2, 2)))


def _asks(needed: _Needed, comparison: Comparison) -> str:
    smallest, largest = comparison.widths[0].width, comparison.widths[-1].width
    if needed.high <= smallest:
        return f"the smallest width tried, {integer(smallest)}, is already enough"
    low, about, high = (_two_digits(v) for v in (needed.low, needed.width, needed.high))
    text = f"the fitted law asks for a width of about {about}"
    if low != high:
        text += f" (95 % interval {low} to {high})"
    if needed.width > _FAR * largest:
        text += (
            f", {round(needed.width / largest)} times the largest width tried, so read it as an"
            " extrapolation"
        )
    return text


def _two_digits(width: float) -> str:
    if width >= 1e7:
        return number(width, 2)
    exponent = max(math.floor(math.log10(width)) - 1, 0)
    return integer(math.ceil(width / 10**exponent) * 10**exponent)
