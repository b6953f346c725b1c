"""The table of every measured number, its error and its theory."""

import math

from widthwise.experiments.comparison import AtWidth, Comparison, Measured
from widthwise.show.verdict.shift import last_shift
from widthwise.show.verdict.significance import finite, z_score
from widthwise.show.verdict.wording import point_name


def figures(comparison: Comparison) -> list[dict]:
    """Every measured number with its standard error, and theory's where there is one.

    Returns:
        Rows with the keys ``quantity``, ``width`` (``None`` for a fitted power), ``measured``,
        ``standard_error``, ``theory``, ``theory_error`` and ``z_score``. A theory without an error
        estimate counts as exact in z. What does not exist is ``None``.
    """
    rows = []
    at = f"at {point_name(comparison, comparison.point)}"
    law = f"Wasserstein-1 distance of the initial output's law {at}"
    for w in comparison.widths:
        theory, distance = w.fourth_cumulant_theory, w.distance_to_gp_theory
        if distance is not None:
            distance = Measured(float(distance), math.nan)
        rows += [
            _row(f"fourth cumulant κ₄ of the initial output {at}", w, w.fourth_cumulant, theory),
            _row(f"{law} from the GP", w, w.distance_to_gp, distance),
        ]
        if w.distance_to_corrected is not None:
            name = f"{law} from the corrected law"
            rows.append(_row(name, w, w.distance_to_corrected, None))
        name = "largest root-mean-square deviation from the linear flow during training"
        rows.append(_row(name, w, w.largest_deviation, w.largest_deviation_theory))
        rows.append(_row(f"shift of the mean {at} after training", w, *last_shift(comparison, w)))
    for name, slope in (
        ("fitted power of n of κ₄", comparison.fourth_cumulant_slope),
        ("fitted power of n of the deviation", comparison.deviation_slope),
    ):
        if slope is not None:
            measured = Measured(slope.value, slope.error)
            rows.append(_row(name, None, measured, Measured(slope.theory, math.nan)))
    return rows


def _row(quantity: str, w: AtWidth | None, measured: Measured, theory: Measured | None) -> dict:
    return {
        "quantity": quantity,
        "width": None if w is None else w.width,
        "measured": finite(measured.value),
        "standard_error": finite(measured.error),
        "theory": None if theory is None else finite(theory.value),
        "theory_error": None if theory is None else finite(theory.error),
        "z_score": None if theory is None else z_score(measured, theory),
    }
