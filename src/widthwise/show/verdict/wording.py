"""How prose writes numbers, each rounded to its error, and names the parts of a study."""

import math
from fractions import Fraction

from widthwise.experiments.comparison import Comparison, Measured

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, digits: int = 3) -> str:
    """A number to so many significant digits, as prose writes it: 0.0123, 1.2·10⁻⁵, −3."""
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "not a number")
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if -4 <= exponent < 5:
        return f"{value:.{max(digits - 1 - exponent, 0)}f}".replace("-", "−")
    mantissa = f"{value / 10.0**exponent:.{digits - 1}f}".replace("-", "−")
    return f"{mantissa}·10{str(exponent).translate(_SUPERSCRIPTS)}"


def with_error(value: float, error: float, *, bracket: bool = False, plain: bool = False) -> str:
    """A number and its error, both rounded to the error: 0.0123 ± 0.0004, (1.2 ± 0.3)·10⁻⁵.

    The error keeps one digit, two if it begins with 1. An error of 0 or one that is not finite is
    not written. ``bracket`` sets the whole in parentheses, as an exponent wants it; ``plain``
    rounds to the error without writing it.
    """
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return number(value, 4)
    digits = 2 if float(f"{error:.1e}".partition("e")[0]) < 1.95 else 1
    last = math.floor(math.log10(float(f"{error:.{digits - 1}e}"))) - digits + 1
    size = math.floor(math.log10(max(abs(value), error)))
    if -4 <= size < 5:
        places = max(-last, 0)
        # an error above 10 rounds the units too
        value, error = (round(v, -last) for v in (value, error))
        text, times = f"{value:.{places}f}".replace("-", "−"), ""
        noise = f" ± {error:.{places}f}"
    else:
        places = max(size - last, 0)
        text = f"{value / 10.0**size:.{places}f}".replace("-", "−")
        noise = f" ± {error / 10.0**size:.{places}f}"
        times = f"·10{str(size).translate(_SUPERSCRIPTS)}"
    if plain:
        return text + times
    return f"({text}{noise}){times}" if bracket or times else text + noise


def said(measured: Measured) -> str:
    """A measurement, by :func:`with_error`."""
    return with_error(measured.value, measured.error)


def rounded_like(theory: Measured, measured: Measured) -> str:
    """Theory to the digits of the measurement beside it, or to its own if those are fewer."""
    error = max(measured.error, theory.error if math.isfinite(theory.error) else 0.0)
    return with_error(theory.value, error, plain=True)


def power(exponent: float) -> str:
    """An exponent theory gives, as a fraction where it is one: −1, −1/2, −3/2."""
    fraction = Fraction(exponent).limit_denominator(12)
    text = str(fraction) if abs(fraction - exponent) < 1e-9 else number(exponent)
    return text.replace("-", "−")


def percent(share: float) -> str:
    """A share of 1 in percent."""
    return f"{number(100 * share, 2 if abs(share) >= 1e-3 else 1)} %"


def integer(n: int) -> str:
    """A width: in groups of three digits from five digits on."""
    return thousands(n) if n >= 10_000 else str(n)


def thousands(count: int) -> str:
    """A whole number in groups of three digits."""
    return f"{count:,}".replace(",", "\u202f")


def listed(items: list[str]) -> str:
    """One, two and three."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def point_name(comparison: Comparison, point: int) -> str:
    """What a row among all points is called: "training point 2", "test point 0"."""
    train = len(comparison.dataset.x_train)
    return f"training point {point}" if point < train else f"test point {point - train}"


def time_unit(comparison: Comparison) -> str:
    """How the study counts training: ``"t"`` (gradient flow) or ``"steps"``."""
    return "steps" if comparison.spec.study.method == "descent" else "t"
