"""Numbers in words without a claim beyond them: upper bounds are printed up, lower bounds down.

The decimal printed is the nearest one of so many digits on the safe side of the float: what it says
follows from what was proven. The comparison of a hypothesis that holds gets as many digits as the
decimals need to compare like the numbers; seventeen tell every two floats apart.
"""

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

_ALL = 17  # significant digits that identify a float


def up(value: float, digits: int = 6) -> str:
    """The smallest decimal of so many significant digits that is at least ``value``.

    Example:
        >>> from widthwise.certify.outward import down, up
        >>> up(0.1234561), down(0.1234569), up(0.5)
        ('0.123457', '0.123456', '0.5')
    """
    return _rounded(value, digits, ROUND_CEILING)


def down(value: float, digits: int = 6) -> str:
    """The largest decimal of so many significant digits that is at most ``value``."""
    return _rounded(value, digits, ROUND_FLOOR)


def below(small: float, large: float, *, strict: bool, digits: int = 6) -> tuple[str, str]:
    """Both sides of small < large, or ≤: the first up, the second down, and still compared so.

    Where the comparison is false, so is that of the decimals.
    """
    if not (small < large if strict else small <= large):
        return up(small, digits), down(large, digits)
    for count in range(digits, _ALL + 1):
        left, right = up(small, count), down(large, count)
        if Decimal(left) < Decimal(right) or (not strict and Decimal(left) == Decimal(right)):
            return left, right
    return repr(float(small)), repr(float(large))


def _rounded(value: float, digits: int, rounding: str) -> str:
    value = float(value)
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    rounded = Context(prec=digits, rounding=rounding).create_decimal(Decimal(value)).normalize()
    exponent = rounded.adjusted()
    if -5 < exponent < max(digits, 6):
        return f"{rounded:f}"
    mantissa = rounded.scaleb(-exponent, Context(prec=digits)).normalize()
    return f"{mantissa:f}e{exponent:+03d}"
