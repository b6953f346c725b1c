"""The shift of the mean output by finite width, at the watched point after training."""

from widthwise.experiments.comparison import AtWidth, Comparison, Measured


def last_shift(comparison: Comparison, w: AtWidth) -> tuple[Measured, Measured | None]:
    """Ensemble mean less the GP's mean at the last time: measured, and as the law predicts it."""
    end = -1, comparison.point, 0
    measured = Measured(float(w.mean_shift[end]), float(w.mean_shift_error[end]))
    theory, error = w.mean_shift_theory, w.mean_shift_theory_error
    if theory is None or error is None:
        return measured, None
    return measured, Measured(float(theory[end]), float(error[end]))
