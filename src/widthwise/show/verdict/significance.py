"""What a measurement can tell.

    z = (measured − theory) / √(standard error² + theory error²)                  (1)

"Cannot be told from 0" means: within two standard errors of 0. "Agree" means: within two standard
errors of each other.
"""

import math

from widthwise.experiments.comparison import Measured


def z_score(measured: Measured, theory: Measured) -> float | None:
    """Equation (1); ``None`` without a finite error above 0. A theory without error is exact."""
    error = math.hypot(measured.error, theory.error if math.isfinite(theory.error) else 0.0)
    if not (math.isfinite(error) and error > 0):
        return None
    return finite((measured.value - theory.value) / error)


def resolved(measured: Measured) -> bool:
    """Whether it can be told from 0."""
    return math.isfinite(measured.value) and abs(measured.value) > 2 * measured.error


def finite(value: float) -> float | None:
    """The value, or ``None`` where JSON has no number for it."""
    return float(value) if math.isfinite(value) else None
