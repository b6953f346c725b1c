"""A study as the arrays over widths that figures take."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from widthwise.experiments.comparison import AtWidth, Comparison, Measured, Slope

_Get = Callable[[AtWidth], Measured | None]


def widths(comparison: Comparison) -> Int[np.ndarray, " widths"]:
    """n, increasing."""
    return np.array([w.width for w in comparison.widths])


def measured(
    comparison: Comparison, get: _Get
) -> tuple[Float[np.ndarray, " widths"], Float[np.ndarray, " widths"]]:
    """Values and their standard errors, nan where there are none."""
    found = [get(w) or Measured(np.nan, np.nan) for w in comparison.widths]
    return np.array([m.value for m in found]), np.array([m.error for m in found])


def predicted(comparison: Comparison, get: _Get) -> Float[np.ndarray, " widths"] | None:
    """Values, nan where there are none, or ``None`` where there is none at all."""
    return some(measured(comparison, get)[0])


def some(values: np.ndarray) -> np.ndarray | None:
    """The values, or ``None`` if they are all nan."""
    return values if np.isfinite(values).any() else None


def fitted(slope: Slope | None, otherwise: float) -> tuple[tuple[float, float] | None, float]:
    """A fitted power with its error, if there is one, and the power theory gives."""
    return (None, otherwise) if slope is None else ((slope.value, slope.error), slope.theory)
