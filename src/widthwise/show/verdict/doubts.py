"""The caveats: what a reader must know before trusting the findings."""

import math

import numpy as np

from widthwise.experiments.comparison import Comparison, Slope
from widthwise.show.verdict.significance import resolved
from widthwise.show.verdict.wording import integer, listed, number, power, said


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
            ("the shift of the mean", lambda w: w.mean_shift_theory),
        )
        if any(get(w) is None for w in comparison.widths)
    ]
    if not found:
        return ()
    return (
        f"This version has no finite-width prediction of {listed(found)} for this network (at some"
        " or all widths): there the measured numbers stand alone.",
    )


def _unresolved(comparison: Comparison) -> tuple[str, ...]:
    notes = []
    for what, get in (
        ("κ₄", lambda w: w.fourth_cumulant),
        ("the distance from the Gaussian process", lambda w: w.distance_to_gp),
        ("the deviation from the linear flow", lambda w: w.largest_deviation),
    ):
        lost = [w for w in comparison.widths if not resolved(get(w))]
        if lost:
            plural = "s" if len(lost) > 1 else ""
            notes.append(
                f"At width{plural} {listed([integer(w.width) for w in lost])}, {what} cannot be"
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
            f" {integer(worst.width)} is {number(worst.integration_error, 2)}, against a deviation"
            f" of {said(worst.largest_deviation)}. Use a smaller tolerance or step."
        )
    if comparison.kernel_error > 1e-3 * comparison.output_std**2:
        notes.append(
            f"The entries of the infinite-width kernels carry an error of"
            f" {number(comparison.kernel_error, 2)}, more than 0.1 % of the output's variance."
        )
    return tuple(notes)


def _negative_density(comparison: Comparison) -> tuple[str, ...]:
    return tuple(
        f"At width {integer(d.width)} the corrected density falls below 0, to"
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
