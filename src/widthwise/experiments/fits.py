"""Fits of measured power laws in the width, with honest uncertainty.

The model is A n^s (1 + c/n): leaving the next order c free costs precision but removes the bias a
plain power law has at widths people use. With fewer than four widths c is set to 0.
"""

import warnings

import numpy as np
from jaxtyping import Float
from scipy.optimize import OptimizeWarning, curve_fit

from widthwise.experiments.comparison import Slope

_CORRECTED = 4  # widths from which the factor (1 + c/n) is fitted


def fit_slope(
    widths: Float[np.ndarray, " widths"],
    values: Float[np.ndarray, " widths"],
    errors: Float[np.ndarray, " widths"],
    theory: float,
) -> Slope | None:
    """Fit A n^s (1 + c/n) to positive values, and test the exponent ``theory``.

    Returns:
        :class:`Slope`, or ``None`` when fewer than two values stand out of their errors, or these
        do not determine the slope.
    """
    clear = (values > 2 * errors) & (values > 0)
    n, y, sigma = widths[clear], values[clear], errors[clear]
    if len(n) < 2:
        return None
    sigma = np.maximum(sigma / y, 1e-12)
    scale = n.min()

    def model(n, amplitude, slope, *correction):
        c = np.maximum(1 + (correction[0] if correction else 0.0) * scale / n, 1e-9)
        return amplitude + slope * np.log(n) + np.log(c)

    extra = [0.0] if len(n) >= _CORRECTED else []
    line = np.polyfit(np.log(n), np.log(y), 1, w=1 / sigma)
    fitted, covariance = _least_squares(model, n, y, sigma, [line[1], line[0], *extra])

    def fixed(n, amplitude, *correction):
        return model(n, amplitude, theory, *correction)

    level = np.average(np.log(y) - theory * np.log(n), weights=sigma**-2)
    held, _ = _least_squares(fixed, n, y, sigma, [level, *extra])
    error = float(np.sqrt(covariance[1, 1]))
    if not np.isfinite(error):
        return None
    chi2 = float((((np.log(y) - fixed(n, *held)) / sigma) ** 2).sum())
    return Slope(float(fitted[1]), error, theory, chi2, len(n) - 1 - len(extra))


def _least_squares(model, n, y, sigma, start) -> tuple[np.ndarray, np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)  # an infinite covariance is looked for
        return curve_fit(
            model, n, np.log(y), p0=start, sigma=sigma, absolute_sigma=True, maxfev=20000
        )
