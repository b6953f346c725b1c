"""Quantities that fall like a power of the width n, on logarithmic axes."""

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float, Int

from widthwise.show.figures.style import CORRECTED, NETWORKS, TEMPLATE, error_bars, log_axis
from widthwise.show.verdict import power, with_error


def fourth_cumulant(
    widths: Int[np.ndarray, " widths"],
    measured: Float[np.ndarray, " widths"],
    error: Float[np.ndarray, " widths"],
    theory: Float[np.ndarray, " widths"] | None,
    *,
    slope: tuple[float, float] | None = None,
    exponent: float = -1.0,
) -> go.Figure:
    """|κ₄| of one output against the width n, on logarithmic axes.

    Args:
        widths: n.
        measured: κ₄ of real networks.
        error: its standard error.
        theory: predicted κ₄, ``nan`` at widths without one, or ``None``.
        slope: fitted power of n and its standard error.
        exponent: the power theory gives, drawn as a guide where there is no prediction.
    """
    signs = np.sign(measured[np.abs(measured) > 2 * error])
    sign = -1.0 if len(signs) and signs.sum() < 0 else 1.0
    title = "fourth cumulant κ₄" if sign > 0 else "|κ₄|, the fourth cumulant (κ₄ is negative)"
    return _power_law(
        widths,
        [("real networks", sign * measured, error, "circle")],
        None if theory is None else sign * theory,
        slope=slope,
        exponent=exponent,
        y_title=title,
    )


def deviation(
    widths: Int[np.ndarray, " widths"],
    measured: Float[np.ndarray, " widths"],
    error: Float[np.ndarray, " widths"],
    theory: Float[np.ndarray, " widths"] | None,
    *,
    slope: tuple[float, float] | None = None,
    exponent: float = -0.5,
) -> go.Figure:
    """The largest deviation from the linear flow against the width n, on logarithmic axes.

    Args:
        widths: n.
        measured: largest root mean square deviation of real networks.
        error: its standard error.
        theory: its first-order prediction, ``nan`` at widths without one, or ``None``.
        slope: fitted power of n and its standard error.
        exponent: the power theory gives, drawn as a guide where there is no prediction.
    """
    return _power_law(
        widths,
        [("real networks", measured, error, "circle")],
        theory,
        slope=slope,
        exponent=exponent,
        y_title="largest RMS deviation of an output",
    )


def distance(
    widths: Int[np.ndarray, " widths"],
    to_gp: Float[np.ndarray, " widths"],
    to_gp_error: Float[np.ndarray, " widths"],
    theory: Float[np.ndarray, " widths"] | None,
    to_corrected: Float[np.ndarray, " widths"] | None = None,
    to_corrected_error: Float[np.ndarray, " widths"] | None = None,
    *,
    exponent: float = -1.0,
) -> go.Figure:
    """Wasserstein-1 distance of one output's law from the GP and from the corrected law.

    Args:
        widths: n.
        to_gp: measured distance from the Gaussian process.
        to_gp_error: its standard error.
        theory: the corrected law's own distance from the Gaussian process, or ``None``.
        to_corrected: measured distance from the corrected law, ``nan`` where missing, or ``None``.
        to_corrected_error: its standard error.
        exponent: the power of n drawn as a guide where there is no prediction.
    """
    measured = [("real networks to Gaussian process", to_gp, to_gp_error, "circle")]
    if to_corrected is not None and to_corrected_error is not None:
        measured.append(
            ("real networks to corrected theory", to_corrected, to_corrected_error, "diamond-open")
        )
    return _power_law(
        widths,
        measured,
        theory,
        exponent=exponent,
        y_title="Wasserstein-1 distance",
        theory_name="corrected theory to Gaussian process",
    )


_Series = tuple[str, np.ndarray, np.ndarray, str]
"""Name, values, standard errors and marker of one measured quantity."""


def _power_law(
    widths: np.ndarray,
    series: Sequence[_Series],
    theory: np.ndarray | None,
    *,
    y_title: str,
    exponent: float,
    slope: tuple[float, float] | None = None,
    theory_name: str = "theory",
) -> go.Figure:
    """Quantities against n on logarithmic axes.

    A value within two standard errors of 0 has no place on a logarithmic axis: an arrow marks the
    upper limit value + 2 standard errors.
    """
    figure = go.Figure()
    drawn: list[np.ndarray] = []
    known = np.isfinite(theory) & (theory > 0) if theory is not None else np.zeros(0, bool)
    if theory is not None and known.any():
        figure.add_scatter(
            x=widths[known],
            y=theory[known],
            mode="lines",
            line={"color": CORRECTED, "width": 2, "dash": "dash"},
            name=theory_name,
            hovertemplate="n = %{x}: %{y:.4g}<extra>theory</extra>",
        )
        drawn.append(theory[known])
    elif (guide := _guide(widths, *series[0][1:3], exponent)) is not None:
        figure.add_scatter(
            x=widths,
            y=guide,
            mode="lines",
            line={"color": "#6b7785", "width": 1.5, "dash": "dot"},
            name=f"guide to the eye: n<sup>{power(exponent)}</sup>",
            hoverinfo="skip",
        )
    limits: list[tuple[np.ndarray, np.ndarray]] = []
    for name, values, errors, symbol in series:
        there = np.isfinite(values) & np.isfinite(errors)
        resolved = there & (values > 2 * errors)
        if slope is not None:
            name = f"{name}: fitted power {with_error(*slope)}"
        figure.add_scatter(
            x=widths[resolved],
            y=values[resolved],
            mode="markers",
            marker={"color": NETWORKS, "size": 9, "symbol": symbol, "line": {"width": 1.5}},
            error_y=error_bars(errors[resolved]),
            name=name,
            customdata=errors[resolved],
            hovertemplate="n = %{x}: %{y:.4g} ± %{customdata:.2g}<extra>real networks</extra>",
        )
        drawn += [values[resolved], (values + errors)[resolved], (values - errors)[resolved]]
        limits.append(((lost := there & ~resolved), (values + 2 * errors)))
        drawn.append(limits[-1][1][lost])
    if any(lost.any() for lost, _ in limits):
        upper = np.concatenate([top[lost] for lost, top in limits])
        figure.add_scatter(
            x=np.concatenate([widths[lost] for lost, _ in limits]),
            y=np.where(upper > 0, upper, np.nan),
            mode="markers",
            marker={"color": NETWORKS, "size": 11, "symbol": "arrow-down-open"},
            name="upper limit (not distinguishable from 0)",
            hovertemplate="n = %{x}: below %{y:.3g}<extra>upper limit</extra>",
        )
    values = np.concatenate(drawn) if drawn else np.ones(1)
    values = values[np.isfinite(values) & (values > 0)]
    figure.update_layout(template=TEMPLATE)
    figure.update_xaxes(
        title_text="width n (neurons per hidden layer)",
        type="log",
        tickmode="array",
        tickvals=widths,
        ticktext=[str(w) for w in widths],
        range=[math.log10(widths[0] / 1.25), math.log10(widths[-1] * 1.25)],
    )
    if len(values):
        figure.update_yaxes(**log_axis(values.min() / 1.35, values.max() * 1.35))
    figure.update_yaxes(title_text=y_title)
    return figure


def _guide(
    widths: np.ndarray, values: np.ndarray, errors: np.ndarray, exponent: float
) -> np.ndarray | None:
    """n^exponent through the measured points, weighted by their relative errors."""
    use = np.isfinite(values) & (values > 2 * errors)
    if not use.any():
        return None
    weight = (values[use] / np.maximum(errors[use], 1e-3 * values[use])) ** 2
    shift = np.average(np.log(values[use]) - exponent * np.log(widths[use]), weights=weight)
    return np.exp(shift) * widths.astype(float) ** exponent
