"""How far the law of networks is from the Gaussian process: against the width, and in training."""

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float, Int

from widthwise.show.figures.style import CORRECTED, TEMPLATE, log_axis, shades

_SYMBOLS = ("circle", "diamond", "square", "x", "cross", "star", "hexagon", "pentagon")


def distance_in_width(
    widths: Int[np.ndarray, " widths"],
    times: Float[np.ndarray, " times"],
    predicted: Float[np.ndarray, "times widths"] | None,
    measured: Float[np.ndarray, "times widths"] | None = None,
    error: Float[np.ndarray, "times widths"] | None = None,
    certified: Float[np.ndarray, "times widths"] | None = None,
    lower: Float[np.ndarray, "times widths"] | None = None,
    *,
    distance: str = "Wasserstein-1 distance",
) -> go.Figure:
    """A distance from the time-dependent Gaussian process against n, for several times.

    Args:
        widths: n, increasing.
        times: t; ``inf`` is allowed.
        predicted: by the series, ``nan`` where missing, or ``None``.
        measured: on real networks, ``nan`` where missing, or ``None``.
        error: its standard error.
        certified: a proven upper bound, ``nan`` where missing, or ``None``.
        lower: a lower bound, likewise.
        distance: what the distance is called.
    """
    figure = _figure(
        widths.astype(float),
        [f"t = {_moment(t)}" for t in times],
        (predicted, measured, error, certified, lower),
        "n = %{x}",
    )
    figure.update_xaxes(
        title_text="width n (neurons per hidden layer)",
        type="log",
        tickmode="array",
        tickvals=widths,
        ticktext=[str(w) for w in widths],
        range=[math.log10(widths[0] / 1.25), math.log10(widths[-1] * 1.8)],
    )
    figure.update_yaxes(title_text=distance)
    return figure


def distance_in_time(
    times: Float[np.ndarray, " times"],
    widths: Int[np.ndarray, " widths"],
    predicted: Float[np.ndarray, "widths times"] | None,
    measured: Float[np.ndarray, "widths times"] | None = None,
    error: Float[np.ndarray, "widths times"] | None = None,
    certified: Float[np.ndarray, "widths times"] | None = None,
    lower: Float[np.ndarray, "widths times"] | None = None,
    *,
    distance: str = "Wasserstein-1 distance",
) -> go.Figure:
    """A distance from the time-dependent Gaussian process in training, for several widths.

    Args:
        times: t, increasing, drawn at equal steps so that 0 and ``inf`` have a place.
        widths: n, increasing.
        predicted: by the series, ``nan`` where missing, or ``None``.
        measured: on real networks, ``nan`` where missing, or ``None``.
        error: its standard error.
        certified: a proven upper bound, ``nan`` where missing, or ``None``.
        lower: a lower bound, likewise.
        distance: what the distance is called.
    """
    places = np.arange(len(times), dtype=float)
    figure = _figure(
        places,
        [f"n = {w}" for w in widths],
        (predicted, measured, error, certified, lower),
        "%{text}",
        [f"t = {_moment(t)}" for t in times],
    )
    figure.update_xaxes(
        title_text="training time t (at equal steps)",
        tickmode="array",
        tickvals=places,
        ticktext=[_moment(t) for t in times],
        range=[-0.3, len(times) - 0.3],
    )
    figure.update_yaxes(title_text=distance)
    return figure


def _moment(t: float) -> str:
    return "∞" if math.isinf(t) else f"{t:g}"


def _figure(
    x: np.ndarray,
    names: Sequence[str],
    found: Sequence[np.ndarray | None],
    where: str,
    text: Sequence[str] | None = None,
) -> go.Figure:
    """One curve per name: bounds, prediction and measurement."""
    predicted, measured, error, certified, lower = found
    figure, drawn = go.Figure(), []
    words = None if text is None else np.asarray(text)
    kinds: set[str] = set()

    def add(values: np.ndarray | None, row: int, kind: str, hover: str, **style) -> None:
        if values is None:
            return
        there = np.isfinite(values[row]) & (values[row] > 0)
        if not there.any():
            return
        shown = {"legendgroup": kind, "name": kind, "showlegend": kind not in kinds} | style
        kinds.add(kind)
        figure.add_scatter(
            x=x[there],
            y=values[row][there],
            text=None if words is None else words[there],
            hovertemplate=f"{names[row]}, {where}: %{{y:.3g}}<extra>{hover}</extra>",
            **shown,
        )
        drawn.append(values[row][there])

    for row, (name, color) in enumerate(zip(names, shades(len(names)), strict=True)):
        symbol = _SYMBOLS[row % len(_SYMBOLS)]
        line = {"color": color, "width": 1.2}
        down = {"color": color, "size": 7, "symbol": "triangle-down"}
        up = down | {"symbol": "triangle-up-open"}
        add(certified, row, "certified upper bound", "bound", mode="lines+markers",
            line=line, marker=down)  # fmt: skip
        add(lower, row, "lower bound", "bound", mode="lines+markers",
            line=line | {"dash": "dot"}, marker=up)  # fmt: skip
        add(predicted, row, "prediction", "prediction", mode="lines",
            line={"color": CORRECTED, "width": 2, "dash": "dash"})  # fmt: skip
        if measured is None:
            continue
        marker = {"color": color, "size": 9, "symbol": symbol, "line": {"width": 1}}
        bars = None
        if error is not None:
            there = np.isfinite(measured[row]) & (measured[row] > 0)
            bars = {"type": "data", "array": error[row][there], "color": color, "width": 3}
            drawn.append(np.maximum(measured[row] - error[row], measured[row] / 3)[there])
        add(measured, row, f"networks, {name}", "real networks", mode="markers",
            marker=marker, error_y=bars)  # fmt: skip
    figure.update_layout(template=TEMPLATE)
    if predicted is not None:
        _label_ends(figure, x, predicted, names)
    values = np.concatenate(drawn) if drawn else np.ones(1)
    values = values[np.isfinite(values) & (values > 0)]
    figure.update_yaxes(**log_axis(values.min() / 1.35, values.max() * 1.35))
    return figure


def _label_ends(figure: go.Figure, x: np.ndarray, values: np.ndarray, names) -> None:
    """Which dashed line is which."""
    for row, name in enumerate(names):
        there = np.flatnonzero(np.isfinite(values[row]) & (values[row] > 0))
        if len(there):
            figure.add_scatter(
                x=x[there[-1:]],
                y=values[row][there[-1:]],
                mode="text",
                text=[name],
                textposition="middle right",
                textfont={"size": 11, "color": CORRECTED},
                showlegend=False,
                hoverinfo="skip",
            )
