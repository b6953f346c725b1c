"""What all figures share: colors, layout, error bars, bands and logarithmic axes."""

import math

import numpy as np
import plotly.graph_objects as go

from widthwise.show.verdict import number

LIMIT = "#4c6a92"
CORRECTED = "#d55e00"
NETWORKS = "#00856a"
LABEL = "#1a1a1a"
NARROW, WIDE = "#8fd6c0", "#00332a"
"""Shades of the networks' teal from narrow to wide networks."""

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
HEIGHT = 420

CONFIG = {
    "responsive": True,
    "displayModeBar": False,
    "displaylogo": False,
    "plotlyServerURL": "",
    "showTips": False,
}
"""How plotly shows them: no tool bar over the legend, no link to a service, no pop-up hints."""

_AXIS = {
    "showline": True,
    "linecolor": "#9aa4b2",
    "linewidth": 1,
    "ticks": "outside",
    "ticklen": 4,
    "tickcolor": "#9aa4b2",
    "gridcolor": "#e8ebf0",
    "zeroline": False,
    "automargin": True,
    "title": {"standoff": 10},
}

TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 13, "color": "#1f2933"},
        "colorway": [LIMIT, CORRECTED, NETWORKS, LABEL],
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "margin": {"l": 64, "r": 16, "t": 16, "b": 52},
        "height": HEIGHT,
        "dragmode": False,
        "hovermode": "closest",
        "hoverlabel": {"font": {"family": FONT, "size": 12}, "bgcolor": "white"},
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "font": {"size": 12},
            "bgcolor": "rgba(0,0,0,0)",
        },
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "separators": ".\u202f",
    }
)


def error_bars(error: np.ndarray) -> dict:
    """Bars of one standard error on the markers of real networks."""
    return {"type": "data", "array": error, "color": NETWORKS, "thickness": 1.3, "width": 3}


def band(
    x: np.ndarray, y: np.ndarray, half: np.ndarray, color: str, *, name: str
) -> tuple[go.Scatter, go.Scatter]:
    """A measured line and, below it, the band y ± half; neither has a legend entry yet."""
    area = go.Scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([y + half, (y - half)[::-1]]),
        fill="toself",
        fillcolor=transparent(color, 0.25),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
    )
    line = go.Scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": color, "width": 2},
        name=name,
        showlegend=False,
        hovertemplate=f"{name}<br>%{{x:.3g}}: %{{y:.3g}}<extra>real networks</extra>",
    )
    return area, line


def transparent(color: str, alpha: float) -> str:
    """The color, let through."""
    red, green, blue = _rgb(color)
    return f"rgba({red},{green},{blue},{alpha})"


def shades(count: int) -> list[str]:
    """One color per width, darker as the networks get wider."""
    ends = np.array([_rgb(NARROW), _rgb(WIDE)])
    mixes = np.linspace(0, 1, count)[:, None] if count > 1 else np.array([[0.5]])
    mixed = np.rint((1 - mixes) * ends[0] + mixes * ends[1]).astype(int)
    return ["#" + "".join(f"{c:02x}" for c in row) for row in mixed]


def _rgb(color: str) -> tuple[int, int, int]:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue


_TICKS = ((1.0, (1, 2, 3, 4, 5, 7)), (2.2, (1, 2, 5)), (3.5, (1, 3)), (math.inf, (1,)))
"""Digits that are marked on a logarithmic axis of less than so many decades."""


def log_axis(low: float, high: float) -> dict:
    """A logarithmic axis with ticks at few digits times powers of ten, or at powers alone."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    span = math.log10(high / low)
    steps = next(s for most, s in _TICKS if span < most)
    ticks = [s * 10.0**d for d in decades for s in steps if low <= s * 10.0**d <= high]
    every = max(1, math.ceil(len(ticks) / 9))
    ticks = ticks[::every]
    return {
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        "tickmode": "array",
        "tickvals": ticks,
        "ticktext": [number(t, 1) for t in ticks],
    }
