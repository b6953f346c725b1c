"""Fits of measured power laws in the width, with honest uncertainty.

The model is A n^s (1 + c n^{−q}), q = 1 unless the theory says otherwise: leaving the next order c
free costs precision but removes the bias a plain power law has at widths people use. With fewer
than four widths c is set to 0.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.stats import chi2 as chi_squared

_CORRECTED = 4  # widths from which the factor (1 + c n^{−q}) is fitted
_EVALUATIONS = 2000  # of the model in one fit; data a power law fits take fewer than 100
_UNLIKELY = 1e-3  # χ² of theory's power less likely than this is a disagreement


@dataclass(frozen=True)
class Slope:
    """A fitted power law: measured value ∝ n^slope.

    Args:
        value: fitted exponent of n, with the factor (1 + c/n) of the next order left free where
            the theory does not supply it.
        error: its standard error.
        theory: the exponent the theory gives (−1, −1/2, …).
        chi2: χ² of the data against theory's exponent with a free constant (and free c).
        degrees: degrees of freedom of that χ².
    """

    value: float
    error: float
    theory: float
    chi2: float
    degrees: int

    @property
    def agrees(self) -> bool:
        """Whether theory is within two standard errors of the fit, with a χ² that allows it."""
        likely = self.degrees < 1 or chi_squared.sf(self.chi2, self.degrees) > _UNLIKELY
        return abs(self.value - self.theory) <= 2 * self.error and bool(likely)


def fit_slope(
    widths: Float[np.ndarray, " widths"],
    values: Float[np.ndarray, " widths"],
    errors: Float[np.ndarray, " widths"],
    theory: float,
    next_order: float = 1.0,
) -> Slope | None:
    """Fit A n^s (1 + c n^{−q}) to positive values, and test the exponent ``theory``.

    Args:
        widths: n.
        values: what was measured at every width, with standard ``errors``.
        errors: those.
        theory: the exponent to test; ``nan`` if there is none, and χ² is then ``nan`` too.
        next_order: q, the power of 1/n of the next order.

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
        c = np.maximum(1 + (correction[0] if correction else 0.0) * (scale / n) ** next_order, 1e-9)
        return amplitude + slope * np.log(n) + np.log(c)

    extra = [0.0] if len(n) >= _CORRECTED else []
    line = np.polyfit(np.log(n), np.log(y), 1, w=1 / sigma)
    found = _least_squares(model, n, y, sigma, [line[1], line[0], *extra])
    if found is None:
        return None
    fitted, covariance = found
    error = float(np.sqrt(covariance[1, 1]))
    if not np.isfinite(error):
        return None
    degrees = len(n) - 1 - len(extra)
    if np.isnan(theory):
        return Slope(float(fitted[1]), error, theory, np.nan, degrees)

    def fixed(n, amplitude, *correction):
        return model(n, amplitude, theory, *correction)

    level = np.average(np.log(y) - theory * np.log(n), weights=sigma**-2)
    held = _least_squares(fixed, n, y, sigma, [level, *extra])
    if held is None:
        return None
    chi2 = float((((np.log(y) - fixed(n, *held[0])) / sigma) ** 2).sum())
    return Slope(float(fitted[1]), error, theory, chi2, degrees)


def _least_squares(model, n, y, sigma, start) -> tuple[np.ndarray, np.ndarray] | None:
    """Fitted parameters and their covariance, or ``None`` where no minimum is found."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)  # an infinite covariance is looked for
        try:
            return curve_fit(
                model, n, np.log(y), p0=start, sigma=sigma, absolute_sigma=True, maxfev=_EVALUATIONS
            )
        except RuntimeError:
            return None
