"""The findings: what the widest networks did, what theory says, fitted powers of n, proofs."""

from widthwise.experiments.comparison import AtWidth, Comparison, Slope
from widthwise.show.verdict.proofs import proofs
from widthwise.show.verdict.shift import last_shift
from widthwise.show.verdict.significance import resolved, z_score
from widthwise.show.verdict.wording import (
    integer,
    percent,
    point_name,
    power,
    rounded_like,
    said,
    time_unit,
    with_error,
)


def findings(comparison: Comparison) -> tuple[str, ...]:
    """What was measured at the largest width, what theory says, and the fitted powers of n."""
    widest = comparison.widths[-1]
    return (
        _distance(comparison, widest),
        _training(comparison, widest),
        *_mean(comparison, comparison.widths[0]),
        *_power(
            "The fourth cumulant κ₄ of the output (0 for a Gaussian; it measures how much heavier"
            " or lighter the tails are)",
            comparison.fourth_cumulant_slope,
        ),
        *_power("The deviation from the linear flow", comparison.deviation_slope),
        *proofs(comparison),
    )


def _distance(comparison: Comparison, w: AtWidth) -> str:
    measured = w.distance_to_gp
    share = percent(measured.value / comparison.output_std)
    text = (
        f"At width {integer(w.width)} the law of the untrained output at"
        f" {point_name(comparison, comparison.point)} is within {said(measured)} of the Gaussian"
        f" process, which is {share} of the output's standard deviation (Wasserstein-1 distance:"
        " how far probability must be moved on average)"
    )
    lost = "cannot be told from 0 with this many networks"
    if not resolved(measured):
        text += f"; this {lost}"
    corrected = w.distance_to_corrected
    if corrected is not None:
        text += (
            f". The prediction corrected for finite width is within {said(corrected)} of the"
            " sampled networks"
        )
        if not resolved(corrected):
            text += f", which {lost}"
    return f"{text}."


def _training(comparison: Comparison, w: AtWidth) -> str:
    last, measured = comparison.times[-1], w.largest_deviation
    share = percent(measured.value / comparison.output_std)
    moment = f"{integer(int(last))} steps" if time_unit(comparison) == "steps" else f"t = {last:g}"
    text = (
        f"During training up to {moment} the outputs of networks of width {integer(w.width)} stay"
        f" within {said(measured)} (root mean square over networks and points; {share} of the"
        " initial output's standard deviation) of the linear flow, which is how infinitely wide"
        " networks train"
    )
    if w.largest_deviation_theory is not None:
        theory = w.largest_deviation_theory
        text += f"; first-order theory predicts {rounded_like(theory, measured)}"
        distance = z_score(measured, theory)
        if distance is not None and abs(distance) > 3 and measured.error > 0:
            off = percent(abs(measured.value / theory.value - 1)) if theory.value else "100 %"
            text += (
                f", {off} off, which is more than sampling noise: orders beyond the first still"
                " matter at this width, or one of the two is wrong"
            )
    return f"{text}."


def _mean(comparison: Comparison, w: AtWidth) -> tuple[str, ...]:
    measured, theory = last_shift(comparison, w)
    if theory is None:
        return ()
    text = (
        f"Averaged over networks of width {integer(w.width)}, the trained output at"
        f" {point_name(comparison, comparison.point)} ends {said(measured)} away from its mean at"
        f" infinite width; the training law through 1/n says {rounded_like(theory, measured)}"
    )
    distance = z_score(measured, theory)
    if distance is not None and abs(distance) > 3:
        text += ": orders beyond 1/n still matter at this width, or one of the two is wrong"
    return (f"{text}.",)


def _power(what: str, slope: Slope | None) -> tuple[str, ...]:
    if slope is None:
        return ()
    verdict = "they agree" if slope.agrees else "they do not agree within two standard errors"
    return (
        f"{what} goes like n^{with_error(slope.value, slope.error, bracket=True)}, where n is the"
        f" width; theory says n^({power(slope.theory)}): {verdict}.",
    )
