"""A figure of curves: real networks with error bars, theory dashed, one shade per curve."""

import re

import numpy as np
import plotly.graph_objects as go

from widthwise.show.figures.style import TEMPLATE, log_axis, shades
from widthwise.show.study_report.curves import Curve

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star")
_X_TITLES = {"width": "width n (neurons per hidden layer)", "time": "time t, or steps", "u": "u"}


def drawn(along: str, found: list[Curve], title: str, *, logarithmic: bool) -> go.Figure:
    """The curves against one axis.

    Args:
        along: the axis.
        found: the curves.
        title: of the vertical axis.
        logarithmic: draw sizes on a logarithmic axis, negative curves by their absolute value.
    """
    figure, colors = go.Figure(), shades(len(found))
    seen: list[np.ndarray] = []
    dashed = any(np.isfinite(curve.theory).any() for curve in found)
    for i, (curve, color) in enumerate(zip(found, colors, strict=True)):
        y, error, theory = curve.y, curve.error, curve.theory
        if logarithmic:
            y, theory = np.abs(y), np.abs(theory)
        shown = np.isfinite(y) & ((y > 0) | (not logarithmic))
        bars = {"type": "data", "array": error[shown], "color": color, "thickness": 1.3, "width": 3}
        figure.add_scatter(
            x=curve.x[shown],
            y=y[shown],
            mode="lines" if len(y) > 40 else "lines+markers",
            line={"color": color, "width": 1.5},
            marker={"color": color, "size": 8, "symbol": _SYMBOLS[i % len(_SYMBOLS)]},
            error_y=bars if np.isfinite(error[shown]).any() else None,
            name=curve.name,
            hovertemplate=f"{curve.name}<br>%{{x}}: %{{y:.4g}}<extra></extra>",
        )
        seen += [y[shown]]
        if np.isfinite(theory).any():
            figure.add_scatter(
                x=curve.x,
                y=np.where(theory > 0, theory, np.nan) if logarithmic else theory,
                mode="lines",
                line={"color": color, "width": 2, "dash": "dash"},
                name=f"{curve.name}, theory",
                showlegend=i == 0,
                hovertemplate=f"{curve.name}, theory<br>%{{x}}: %{{y:.4g}}<extra></extra>",
            )
            seen.append(theory[np.isfinite(theory) & (theory > 0)])
    figure.update_layout(template=TEMPLATE, showlegend=len(found) > 1 or dashed)
    figure.update_xaxes(title_text=_X_TITLES.get(along, along))
    x = np.concatenate([curve.x for curve in found])
    if along == "width" and np.issubdtype(x.dtype, np.number):
        ticks = np.unique(x)
        figure.update_xaxes(
            type="log", tickmode="array", tickvals=ticks, ticktext=[f"{t:g}" for t in ticks]
        )
    values = np.concatenate(seen) if seen else np.ones(1)
    values = values[np.isfinite(values) & (values > 0)]
    if logarithmic and len(values):
        figure.update_yaxes(**log_axis(values.min() / 1.35, values.max() * 1.35))
    figure.update_yaxes(title_text=re.split(r" over |, ", title)[0])
    return figure
