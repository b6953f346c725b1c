r"""Rates in the width from measured distances.

Over the widths people use log n and log log n are almost collinear (correlation of the fitted p and
q above 0.99), and the factor 1 + c n^{-1/2} of the next order bends the curve as much as a power of
log n does. So a power q of log n is never fitted. Instead:

* p is fitted with c free, q = 0;
* stated pairs (p, q) are tested: χ² with the constant and c free, the next order being smaller
  than the first at the smallest width;
* against a two-term prediction the ratio must tend to 1, which tests exponent and constant at once
  and has no free parameter but the size of its 1/n correction;
* an upper bound n^{-1/2} (log n)^{1+δ} is tested by whether the scaled values grow.

All are weighted least squares in log distance.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares
from scipy.stats import chi2 as chi_squared

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.algebra.power_law import fit_slope
from widthwise.measure.rates.value import Boundedness, Hypothesis, RateFit, RatioTest

_STATED = ((0.5, 0.0), (0.5, 0.5), (0.5, 1.0), (1.0, 0.0), (1.0, 1.0))
_CORRECTED = 4
_CLEAR = 2.0
_LARGEST = 0.95  # of the next order, relative to the first, at the smallest width


def fit_rate(
    widths: ArrayLike,
    values: ArrayLike,
    errors: ArrayLike,
    *,
    predicted: ArrayLike | None = None,
    hypotheses: Sequence[tuple[float, float]] = _STATED,
    delta: float = 0.1,
) -> RateFit:
    """How distances fall with the width: n^{−p} with an honest error, and tests of stated laws.

    Args:
        widths: n, at least three different ones.
        values: the distance at every width, above 0.
        errors: their standard errors, above 0. Exact values have none: give the accuracy at which a
            law is to be told from its next orders, such as 0.01 · values.
        predicted: distances that :func:`predicted_distance` gives (through two orders); then
            measured/predicted → 1 is tested.
        hypotheses: pairs (p, q) of laws n^{−p} (log n)^q to test.
        delta: δ > 0 of the upper bound n^{−1/2} (log n)^{1+δ}.

    Returns:
        :class:`RateFit`; ``str()`` says it all.

    Raises:
        ValueError: for shapes that differ, values or errors that are not positive, or fewer than
            three widths whose values stand out of their errors.

    Source:
        Weighted least squares; the laws n^{−1/2} (log n)^{1+δ} are those of Carvalho et al.,
        arXiv:2304.03385 (2023).

    Example:
        >>> import numpy as np, widthwise as ww
        >>> n = 2.0 ** np.arange(4, 12)
        >>> fit = ww.fit_rate(n, 0.3 / n * (1 + 0.5 / n**0.5), 0.003 / n)
        >>> abs(fit.power - 1) < 2 * fit.error, [h.power for h in fit.hypotheses if not h.rejected]
        (True, [1.0])
    """
    n, y, sigma, expected = _checked(widths, values, errors, predicted)
    clear = y > _CLEAR * sigma
    notes = []
    if not clear.all():
        left = ", ".join(f"{w:g}" for w in n[~clear])
        notes.append(f"left out, within two standard errors of 0: the values at widths {left}")
    if clear.sum() < 3:
        raise ValueError(
            f"a rate needs three widths at which the value is above twice its error, got "
            f"{clear.sum()} of {len(n)}; take more samples or smaller widths"
        )
    n, y, sigma = n[clear], y[clear], sigma[clear] / y[clear]
    corrected = len(n) >= _CORRECTED
    slope = fit_slope(n, y, sigma * y, np.nan, next_order=0.5)
    plain, plain_error = _line(np.log(n), np.log(y), sigma)
    power, error = (-plain, plain_error) if slope is None else (-slope.value, slope.error)
    if not corrected:
        notes.append("with three widths the next order is not fitted: the exponent is biased by it")
    tests = tuple(_hypothesis(n, y, sigma, float(p), float(q)) for p, q in hypotheses)
    open_logs = [h for h in tests if h.log_power and not h.rejected]
    if open_logs:
        notes.append(
            "laws with a power of log n that are not rejected are not confirmed: the next order in "
            "n^(-1/2) bends the curve as they do"
        )
    ratio = None if expected is None else _ratio(n, y / expected[clear], sigma)
    bounded = _bounded(n, y, sigma, checks.positive(delta, "delta"))
    return RateFit(
        float(power),
        float(error),
        float(-plain),
        float(plain_error),
        tests,
        ratio,
        bounded,
        len(n),
        tuple(notes),
    )


def _checked(widths, values, errors, predicted):
    n, y, sigma = (
        checks.numbers(a, name)
        for a, name in ((widths, "widths"), (values, "values"), (errors, "errors"))
    )
    expected = None if predicted is None else checks.numbers(predicted, "predicted")
    shapes = {a.shape for a in (n, y, sigma, expected) if a is not None}
    if len(shapes) != 1 or n.ndim != 1:
        raise ValueError(
            "widths, values, errors and predicted must be lists of the same length, got shapes "
            f"{[np.shape(a) for a in (widths, values, errors, predicted) if a is not None]}"
        )
    for a, name in ((y, "values"), (sigma, "errors"), (expected, "predicted")):
        if a is not None and not (a > 0).all():
            raise ValueError(f"{name} must be above 0, got {a.min():g}")
    if (n < 2).any() or len(np.unique(n)) < len(n):
        raise ValueError(f"widths must be different and at least 2, got {widths!r}")
    order = np.argsort(n)
    return n[order], y[order], sigma[order], None if expected is None else expected[order]


def _line(x: np.ndarray, y: np.ndarray, sigma: np.ndarray) -> tuple[float, float]:
    """The slope of y against x and its standard error."""
    centre = np.average(x, weights=sigma**-2)
    size = ((x - centre) ** 2 / sigma**2).sum()
    return float(((x - centre) * y / sigma**2).sum() / size), float(size**-0.5)


def _residual(
    n: np.ndarray, logs: np.ndarray, sigma: np.ndarray, power: float
) -> tuple[float, int]:
    """χ² of log C + log(1 + c (n₀/n)^power) against logs, and its degrees of freedom."""
    extra = len(n) >= _CORRECTED
    w = sigma**-2.0
    scale = (n.min() / n) ** power

    def residuals(c: Float[np.ndarray, " one"]) -> np.ndarray:
        bend = np.log(np.maximum(1 + c[0] * scale, 1e-9)) if extra else 0.0
        left = logs - bend
        return (left - np.average(left, weights=w)) / sigma

    fit = least_squares(residuals, [0.0], bounds=(-_LARGEST, _LARGEST)) if extra else None
    found = residuals(fit.x if fit is not None else np.zeros(1))
    return float(found @ found), len(n) - 1 - int(extra)


def _hypothesis(n, y, sigma, p: float, q: float) -> Hypothesis:
    chi2, degrees = _residual(n, np.log(y) + p * np.log(n) - q * np.log(np.log(n)), sigma, 0.5)
    return Hypothesis(p, q, chi2, degrees, float(chi_squared.sf(chi2, degrees)))


def _ratio(n: np.ndarray, ratio: np.ndarray, sigma: np.ndarray) -> RatioTest:
    """Fit r + b/n; and b/n about r = 1."""
    off = sigma * ratio
    A = np.stack([np.ones(len(n)), n.min() / n], 1) / off[:, None]
    covariance = np.linalg.inv(A.T @ A)
    limit = float((covariance @ A.T @ (ratio / off))[0])
    b = A[:, 1]
    left = (ratio - 1) / off
    rest = left - b * (b @ left) / (b @ b)
    chi2, degrees = float(rest @ rest), len(n) - 1
    probability = float(chi_squared.sf(chi2, degrees))
    return RatioTest(limit, float(np.sqrt(covariance[0, 0])), chi2, degrees, probability)


def _bounded(n: np.ndarray, y: np.ndarray, sigma: np.ndarray, delta: float) -> Boundedness:
    scaled = y * np.sqrt(n) / np.log(n) ** (1 + delta)
    slope, error = _line(np.log(n), np.log(scaled), sigma)
    tops = scaled * (1 + 2 * sigma)
    i = int(tops.argmax())
    return Boundedness(delta, float(tops[i]), float(n[i]), slope, error)
