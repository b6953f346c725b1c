"""What a study found, in words and as one table.

:func:`sentences` is the verdict: findings, then advice, then caveats, in words a newcomer can read,
each number rounded to its error. :func:`figures` is the table of every number behind it. Both read
a :class:`~widthwise.experiments.comparison.Comparison` and compute nothing but

    z = (measured − theory) / √(standard error² + theory error²),                    (1)
    n = n₁ · (D(n₁) / (tolerance · σ))^{1/p},    D ∝ n^{−p},  σ the GP's std,        (2)

(2) being the width the fitted law asks for, from the widest networks n₁ that are measured about as
precisely as any.

"Cannot be told from 0" means: within two standard errors of 0. "Agree" means: within two standard
errors of each other.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from widthwise.experiments.comparison import AtWidth, Comparison, Measured, Slope

TOLERANCE = 0.01
"""The advice is for this deviation, as a share of the output's standard deviation."""

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_FAR = 30
"""An extrapolation in n by more than this factor is called one."""


def sentences(comparison: Comparison) -> tuple[str, ...]:
    """The verdict in words: findings, advice, caveats.

    Args:
        comparison: a computed study.

    Returns:
        One statement per entry, plain text.
    """
    return (*findings(comparison), *advice(comparison), *caveats(comparison))


def findings(comparison: Comparison) -> tuple[str, ...]:
    """What was measured at the largest width, what theory says, and the fitted powers of n."""
    widest = comparison.widths[-1]
    return (
        _distance(comparison, widest),
        _training(comparison, widest),
        *_power(
            "The fourth cumulant κ₄ of the output (0 for a Gaussian; it measures how much heavier"
            " or lighter the tails are)",
            comparison.fourth_cumulant_slope,
        ),
        *_power("The deviation from the linear flow", comparison.deviation_slope),
    )


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


def caveats(comparison: Comparison) -> tuple[str, ...]:
    """What the reader must know before trusting the findings; empty if there is nothing."""
    return (
        *_slope_caveats("κ₄", comparison.fourth_cumulant_slope),
        *_slope_caveats("the deviation from the linear flow", comparison.deviation_slope),
        *_missing(comparison),
        *_unresolved(comparison),
        *_numerical(comparison),
        *_negative_density(comparison),
        *_singular(comparison),
    )


def figures(comparison: Comparison) -> list[dict]:
    """Every measured number with its standard error, and theory's where there is one.

    Returns:
        Rows with the keys ``quantity``, ``width`` (``None`` for a fitted power), ``measured``,
        ``standard_error``, ``theory``, ``theory_error`` and ``z_score``, equation (1). A theory
        without an error estimate counts as exact in z. What does not exist is ``None``.
    """
    rows = []
    at = f"at {point_name(comparison, comparison.point)}"
    for w in comparison.widths:
        theory, distance = w.fourth_cumulant_theory, w.distance_to_gp_theory
        rows += [
            _row(f"fourth cumulant κ₄ of the initial output {at}", w, w.fourth_cumulant, theory),
            _row(
                f"Wasserstein-1 distance of the initial output's law {at} from the GP",
                w,
                w.distance_to_gp,
                None if distance is None else Measured(float(distance), math.nan),
            ),
        ]
        if w.distance_to_corrected is not None:
            rows.append(
                _row(
                    f"Wasserstein-1 distance of the initial output's law {at} from the corrected"
                    " law",
                    w,
                    w.distance_to_corrected,
                    None,
                )
            )
        rows.append(
            _row(
                "largest root-mean-square deviation from the linear flow during training",
                w,
                w.largest_deviation,
                w.largest_deviation_theory,
            )
        )
    for name, slope in (
        ("fitted power of n of κ₄", comparison.fourth_cumulant_slope),
        ("fitted power of n of the deviation", comparison.deviation_slope),
    ):
        if slope is not None:
            measured = Measured(slope.value, slope.error)
            rows.append(_row(name, None, measured, Measured(slope.theory, math.nan)))
    return rows


# ---------------------------------------------------------------------------------- numbers


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


def power(exponent: float) -> str:
    """An exponent theory gives, as a fraction where it is one: −1, −1/2, −3/2."""
    fraction = Fraction(exponent).limit_denominator(12)
    text = str(fraction) if abs(fraction - exponent) < 1e-9 else number(exponent)
    return text.replace("-", "−")


def point_name(comparison: Comparison, point: int) -> str:
    """What a row among all points is called: "training point 2", "test point 0"."""
    train = len(comparison.dataset.x_train)
    return f"training point {point}" if point < train else f"test point {point - train}"


def time_unit(comparison: Comparison) -> str:
    """How the study counts training: ``"t"`` (gradient flow) or ``"steps"``."""
    return "steps" if comparison.spec.study.method == "descent" else "t"


# ---------------------------------------------------------------------------------- findings


def _distance(comparison: Comparison, w: AtWidth) -> str:
    measured = w.distance_to_gp
    share = _percent(measured.value / comparison.output_std)
    text = (
        f"At width {_integer(w.width)} the law of the untrained output at"
        f" {point_name(comparison, comparison.point)} is within {_with(measured)} of the Gaussian"
        f" process, which is {share} of the output's standard deviation (Wasserstein-1 distance:"
        " how far probability must be moved on average)"
    )
    lost = "cannot be told from 0 with this many networks"
    if not _resolved(measured):
        text += f"; this {lost}"
    corrected = w.distance_to_corrected
    if corrected is not None:
        text += (
            f". The prediction corrected for finite width is within {_with(corrected)} of the"
            " sampled networks"
        )
        if not _resolved(corrected):
            text += f", which {lost}"
    return f"{text}."


def _training(comparison: Comparison, w: AtWidth) -> str:
    last, measured = comparison.times[-1], w.largest_deviation
    share = _percent(measured.value / comparison.output_std)
    moment = f"{_integer(int(last))} steps" if time_unit(comparison) == "steps" else f"t = {last:g}"
    text = (
        f"During training up to {moment} the outputs of networks of width {_integer(w.width)} stay"
        f" within {_with(measured)} (root mean square over networks and points; {share} of the"
        " initial output's standard deviation) of the linear flow, which is how infinitely wide"
        " networks train"
    )
    if w.largest_deviation_theory is not None:
        theory = w.largest_deviation_theory
        text += f"; first-order theory predicts {_rounded_like(theory, measured)}"
        distance = _z(measured, theory)
        if distance is not None and abs(distance) > 3 and measured.error > 0:
            off = _percent(abs(measured.value / theory.value - 1)) if theory.value else "100 %"
            text += (
                f", {off} off, which is more than sampling noise: orders beyond the first still"
                " matter at this width, or one of the two is wrong"
            )
    return f"{text}."


def _power(what: str, slope: Slope | None) -> tuple[str, ...]:
    if slope is None:
        return ()
    verdict = "they agree" if slope.agrees else "they do not agree within two standard errors"
    return (
        f"{what} goes like n^{with_error(slope.value, slope.error, bracket=True)}, where n is the"
        f" width; theory says n^({power(slope.theory)}): {verdict}.",
    )


# ---------------------------------------------------------------------------------- advice


class _Needed(NamedTuple):
    width: float
    low: float
    high: float


def _sharpest(
    comparison: Comparison, get: Callable[[AtWidth], Measured]
) -> tuple[int, Measured] | None:
    """The widest networks measured about as precisely as any, relative to the value."""
    found = [(w.width, get(w)) for w in comparison.widths if _resolved(get(w))]
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
    elif _resolved(a.distance_to_gp):
        values = a.distance_to_gp.value, b.distance_to_gp.value
    else:
        return None
    p = math.log(values[0] / values[1]) / math.log(b.width / a.width)
    return p if p > 0 else None


def _width_for(target: float, width: int, at: Measured, p: float, p_error: float) -> _Needed:
    """Equation (2) and its interval of two standard errors."""
    ratio = math.log(at.value / target)
    exponent = ratio / p
    error = math.hypot(at.error / at.value, exponent * p_error) / p
    return _Needed(*(width * math.exp(exponent + k * error) for k in (0, -2, 2)))


def _asks(needed: _Needed, comparison: Comparison) -> str:
    smallest, largest = comparison.widths[0].width, comparison.widths[-1].width
    if needed.high <= smallest:
        return f"the smallest width tried, {_integer(smallest)}, is already enough"
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


# ---------------------------------------------------------------------------------- caveats


def _slope_caveats(what: str, slope: Slope | None) -> tuple[str, ...]:
    if slope is None:
        return (
            f"No power of n was fitted for {what}: too few widths at which it can be told from 0.",
        )
    if slope.agrees:
        return ()
    off = abs(slope.value - slope.theory) / slope.error if slope.error > 0 else math.inf
    return (
        f"The fitted power of n for {what} is {number(off, 2)} standard errors away from theory's"
        f" {power(slope.theory)} (with theory's power imposed, χ² = {number(slope.chi2)} on"
        f" {slope.degrees} degrees of freedom). Either the widths are too small for the leading"
        " power to show, or the errors are underestimated, or theory and simulation disagree: add"
        " larger widths to find out.",
    )


def _missing(comparison: Comparison) -> tuple[str, ...]:
    found = [
        what
        for what, get in (
            ("the fourth cumulant", lambda w: w.fourth_cumulant_theory),
            ("the law of the output", lambda w: w.distance_to_gp_theory),
            ("the deviation from the linear flow", lambda w: w.largest_deviation_theory),
        )
        if any(get(w) is None for w in comparison.widths)
    ]
    if not found:
        return ()
    return (
        f"This version has no finite-width prediction of {_listed(found)} for this network (at some"
        " or all widths): there the measured numbers stand alone.",
    )


def _unresolved(comparison: Comparison) -> tuple[str, ...]:
    notes = []
    for what, get in (
        ("κ₄", lambda w: w.fourth_cumulant),
        ("the distance from the Gaussian process", lambda w: w.distance_to_gp),
        ("the deviation from the linear flow", lambda w: w.largest_deviation),
    ):
        lost = [w for w in comparison.widths if not _resolved(get(w))]
        if lost:
            plural = "s" if len(lost) > 1 else ""
            notes.append(
                f"At width{plural} {_listed([_integer(w.width) for w in lost])}, {what} cannot be"
                " told from 0 with this many networks: its standard error is as large as the value."
            )
    return tuple(notes)


def _numerical(comparison: Comparison) -> tuple[str, ...]:
    notes = []
    coarse = [
        w
        for w in comparison.widths
        if w.integration_error > 0.5 * w.largest_deviation.error > 0
        or w.integration_error > 0.05 * abs(w.largest_deviation.value)
    ]
    if coarse:
        worst = max(coarse, key=lambda w: w.integration_error)
        notes.append(
            f"The time integration is not exact enough to ignore: its estimated error at width"
            f" {_integer(worst.width)} is {number(worst.integration_error, 2)}, against a deviation"
            f" of {_with(worst.largest_deviation)}. Use a smaller tolerance or step."
        )
    if comparison.kernel_error > 1e-3 * comparison.output_std**2:
        notes.append(
            f"The entries of the infinite-width kernels carry an error of"
            f" {number(comparison.kernel_error, 2)}, more than 0.1 % of the output's variance."
        )
    return tuple(notes)


def _negative_density(comparison: Comparison) -> tuple[str, ...]:
    return tuple(
        f"At width {_integer(d.width)} the corrected density falls below 0, to"
        f" {number(float(np.min(d.corrected)), 2)}: a truncated series need not be a probability"
        " law, and this width is too small to use it there."
        for d in comparison.densities
        if d.corrected is not None and np.min(d.corrected) < -1e-12 * np.max(d.gaussian)
    )


def _singular(comparison: Comparison) -> tuple[str, ...]:
    zero = int(np.sum(np.asarray(comparison.kernel_eigenvalues) <= 0))
    if not zero:
        return ()
    total = len(comparison.kernel_eigenvalues)
    return (
        f"{zero} of the {total} eigenvalues of the neural tangent kernel Θ on the training points"
        " are 0 to rounding: along those directions an infinitely wide network does not train.",
    )


# ---------------------------------------------------------------------------------- helpers


def _row(quantity: str, w: AtWidth | None, measured: Measured, theory: Measured | None) -> dict:
    return {
        "quantity": quantity,
        "width": None if w is None else w.width,
        "measured": _finite(measured.value),
        "standard_error": _finite(measured.error),
        "theory": None if theory is None else _finite(theory.value),
        "theory_error": None if theory is None else _finite(theory.error),
        "z_score": None if theory is None else _z(measured, theory),
    }


def _z(measured: Measured, theory: Measured) -> float | None:
    error = math.hypot(measured.error, theory.error if math.isfinite(theory.error) else 0.0)
    if not (math.isfinite(error) and error > 0):
        return None
    return _finite((measured.value - theory.value) / error)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _resolved(measured: Measured) -> bool:
    return math.isfinite(measured.value) and abs(measured.value) > 2 * measured.error


def _with(measured: Measured) -> str:
    return with_error(measured.value, measured.error)


def _rounded_like(theory: Measured, measured: Measured) -> str:
    """Theory to the digits of the measurement beside it, or to its own if those are fewer."""
    error = max(measured.error, theory.error if math.isfinite(theory.error) else 0.0)
    return with_error(theory.value, error, plain=True)


def _percent(share: float) -> str:
    return f"{number(100 * share, 2 if abs(share) >= 1e-3 else 1)} %"


def _integer(n: int) -> str:
    return f"{n:,}".replace(",", "\u202f") if n >= 10_000 else str(n)


def _two_digits(width: float) -> str:
    if width >= 1e7:
        return number(width, 2)
    exponent = max(math.floor(math.log10(width)) - 1, 0)
    return _integer(math.ceil(width / 10**exponent) * 10**exponent)


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
