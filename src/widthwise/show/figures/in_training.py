"""Training: outputs and their deviation in time, and the kernel that sets the pace."""

import math

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float, Int

from widthwise.show.figures.style import (
    CORRECTED,
    LABEL,
    LIMIT,
    NETWORKS,
    TEMPLATE,
    band,
    log_axis,
    shades,
    transparent,
)
from widthwise.show.verdict import number


def deviation_in_time(
    times: Float[np.ndarray, " times"],
    widths: Int[np.ndarray, " widths"],
    measured: Float[np.ndarray, "widths times"],
    error: Float[np.ndarray, "widths times"],
    theory: Float[np.ndarray, "widths times"] | None,
    *,
    time_title: str = "training time t",
) -> go.Figure:
    """Root mean square deviation from the linear flow against training time, for every width.

    Args:
        times: moments of training.
        widths: n, increasing.
        measured: deviation of real networks.
        error: its standard error, drawn as a band of two of them.
        theory: first-order prediction, rows of ``nan`` where missing, or ``None``.
        time_title: what the times are.
    """
    figure = _widths_in_time(times, widths, measured, error, theory)
    figure.update_xaxes(title_text=time_title)
    figure.update_yaxes(title_text="RMS deviation of an output", rangemode="tozero")
    return figure


def mean_shift(
    times: Float[np.ndarray, " times"],
    widths: Int[np.ndarray, " widths"],
    measured: Float[np.ndarray, "widths times"],
    error: Float[np.ndarray, "widths times"],
    theory: Float[np.ndarray, "widths times"] | None,
    *,
    time_title: str = "training time t",
) -> go.Figure:
    """Mean of one output over networks less its infinite-width mean, for every width.

    Args:
        times: moments of training.
        widths: n, increasing.
        measured: shift of real networks.
        error: its standard error, drawn as a band of two of them.
        theory: the shift the training law gives, rows of ``nan`` where missing, or ``None``.
        time_title: what the times are.
    """
    figure = _widths_in_time(times, widths, measured, error, theory)
    figure.update_xaxes(title_text=time_title)
    figure.update_yaxes(title_text="shift of the mean output", zeroline=True)
    return figure


def _widths_in_time(times, widths, measured, error, theory) -> go.Figure:
    """One line with a band of two standard errors per width, theory dashed."""
    figure = go.Figure()
    for width, mean, half, color in zip(
        widths, measured, 2 * error, shades(len(widths)), strict=True
    ):
        for trace in band(times, mean, half, color, name=f"n = {width}"):
            figure.add_trace(trace.update(legendgroup=str(width)))
        figure.data[-1].showlegend = True
    if theory is not None:
        known = np.isfinite(theory).any(axis=1)
        for width, line in zip(widths[known], theory[known], strict=True):
            figure.add_scatter(
                x=times,
                y=line,
                mode="lines",
                line={"color": CORRECTED, "width": 1.5, "dash": "dash"},
                name="theory",
                legendgroup="theory",
                showlegend=bool(width == widths[known][0]),
                hovertemplate=f"n = {width}<br>%{{x:.3g}}: %{{y:.3g}}<extra>theory</extra>",
            )
    figure.update_layout(template=TEMPLATE)
    return figure


def trajectory(
    times: Float[np.ndarray, " times"],
    gp_mean: Float[np.ndarray, " times"],
    gp_std: Float[np.ndarray, " times"],
    networks: dict[int, Float[np.ndarray, "members times"]],
    label: float | None = None,
    *,
    shown: int | None = None,
    time_title: str = "training time t",
) -> go.Figure:
    """The output at one point during training: the Gaussian process and real networks.

    Args:
        times: moments of training.
        gp_mean: mean of the time-dependent Gaussian process.
        gp_std: its standard deviation.
        networks: width → outputs of a few real networks.
        label: the label of the point, if it has one.
        shown: the width visible at first (default: the first); the traces of a width carry it as
            their ``meta``, so that a page can switch between widths.
        time_title: what the times are.
    """
    shown = next(iter(networks)) if shown is None else shown
    figure = go.Figure()
    figure.add_scatter(
        x=np.concatenate([times, times[::-1]]),
        y=np.concatenate([gp_mean + 2 * gp_std, (gp_mean - 2 * gp_std)[::-1]]),
        fill="toself",
        fillcolor=transparent(LIMIT, 0.18),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        name="GP ± 2σ",
    )
    for width, outputs in networks.items():
        gap = np.full((len(outputs), 1), np.nan)
        figure.add_scatter(
            x=np.tile(np.append(times, np.nan), len(outputs)),
            y=np.hstack([outputs, gap]).ravel(),
            mode="lines",
            line={"color": NETWORKS, "width": 1},
            opacity=0.6,
            hoverinfo="skip",
            name=f"networks, n = {width}",
            meta=int(width),
            visible=bool(width == shown),
        )
    figure.add_scatter(
        x=times,
        y=gp_mean,
        mode="lines",
        line={"color": LIMIT, "width": 2.5},
        name="GP mean",
        customdata=2 * gp_std,
        hovertemplate="%{x:.3g}: %{y:.3g} ± %{customdata:.3g}<extra>GP ± 2σ</extra>",
    )
    if label is not None:
        figure.add_scatter(
            x=times[[0, -1]],
            y=np.full(2, label),
            mode="lines",
            line={"color": LABEL, "width": 1.5, "dash": "dot"},
            name="label",
            hovertemplate=f"label {number(label)}<extra></extra>",
        )
    figure.update_layout(template=TEMPLATE, height=320)
    figure.update_xaxes(title_text=time_title)
    figure.update_yaxes(title_text="output")
    return figure


def spectrum(eigenvalues: Float[np.ndarray, " train"]) -> go.Figure:
    """Eigenvalues of the limit kernel Θ on the train points, largest first, logarithmic.

    Args:
        eigenvalues: of Θ_∞; those that are 0 are left out.
    """
    values = np.sort(eigenvalues[eigenvalues > 0])[::-1]
    index = np.arange(1, len(values) + 1)
    figure = go.Figure()
    figure.add_scatter(
        x=index,
        y=values,
        mode="markers+lines" if len(values) <= 60 else "lines",
        marker={"color": LIMIT, "size": 7},
        line={"color": LIMIT, "width": 1},
        name="eigenvalues",
        showlegend=False,
        customdata=1 / values,
        hovertemplate="eigenvalue %{x}: %{y:.4g}<br>time scale %{customdata:.3g}<extra></extra>",
    )
    figure.update_layout(template=TEMPLATE, height=320)
    figure.update_xaxes(title_text="number of the eigenvalue", tickformat="d")
    if len(values):
        figure.update_yaxes(**log_axis(values[-1] / 1.3, values[0] * 1.3))
        whole = _whole_ticks(len(values))
        figure.update_xaxes(range=[0.5, len(values) + 0.5], tickmode="array", tickvals=whole)
    figure.update_yaxes(title_text="eigenvalue of Θ")
    return figure


def _whole_ticks(count: int) -> list[int]:
    step = max(1, math.ceil(count / 8))
    return list(range(1, count + 1, step))
