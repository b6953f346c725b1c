"""The figures the report and the explorer share: plain arrays in, a plotly figure out.

One meaning, one color, in every figure (distinguishable with any color vision, and by line style):

==============  ============  ===========================================================
grey-blue       solid         the infinite-width limit: Gaussian process, linear flow
orange          dashed        theory corrected for finite width
teal            markers       real networks, with error bars of one standard error
black           dotted        labels
==============  ============  ===========================================================

Figures carry no title: the page around them has headings. They adapt to the width of their
container and never ask for anything from the network; formulas are Unicode and <sup>, not LaTeX.
"""

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float, Int
from plotly.subplots import make_subplots

from widthwise.show.verdict import number, power, with_error

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


def density(
    z: Float[np.ndarray, " grid"],
    gaussian: Float[np.ndarray, " grid"],
    corrected: Float[np.ndarray, " grid"] | None,
    samples: Float[np.ndarray, " members"],
    *,
    width: int,
    conditional: tuple[Float[np.ndarray, " grid"], Float[np.ndarray, " grid"]] | None = None,
) -> go.Figure:
    """The law of one output at width n, and below it what differs from the Gaussian process.

    Args:
        z: values of the output.
        gaussian: density of the Gaussian process there.
        corrected: density corrected for finite width, or ``None``.
        samples: outputs of real networks.
        width: n.
        conditional: density of the real networks and its standard error, averaged over their
            laws given the hidden layers. It is far less noisy than the bins of a histogram and
            takes their place in the difference.
    """
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.55, 0.45], vertical_spacing=0.07
    )
    centre, height, error, expected = _histogram(z, gaussian, samples)
    step = centre[1] - centre[0]
    networks = f"{len(samples):,} real networks".replace(",", "\u202f")
    figure.add_bar(
        x=centre,
        y=height,
        width=step,
        marker={"color": NETWORKS, "opacity": 0.3, "line": {"width": 0}},
        name=networks,
        legendgroup="networks",
        customdata=error,
        hovertemplate="z ≈ %{x:.3g}<br>density %{y:.4f} ± %{customdata:.4f}<extra></extra>",
        row=1,
        col=1,
    )
    figure.add_scatter(
        x=z,
        y=gaussian,
        mode="lines",
        line={"color": LIMIT, "width": 2},
        name="Gaussian process (n = ∞)",
        legendgroup="limit",
        hovertemplate="z = %{x:.3g}<br>density %{y:.4f}<extra>Gaussian process</extra>",
        row=1,
        col=1,
    )
    figure.add_scatter(
        x=z[[0, -1]],
        y=np.zeros(2),
        mode="lines",
        line={"color": LIMIT, "width": 2},
        legendgroup="limit",
        showlegend=False,
        hoverinfo="skip",
        row=2,
        col=1,
    )
    if corrected is not None:
        for row, y in ((1, corrected), (2, corrected - gaussian)):
            figure.add_scatter(
                x=z,
                y=y,
                mode="lines",
                line={"color": CORRECTED, "width": 2, "dash": "dash"},
                name=f"corrected theory (n = {width})",
                legendgroup="corrected",
                showlegend=row == 1,
                hovertemplate="z = %{x:.3g}<br>%{y:.4f}<extra>corrected theory</extra>",
                row=row,
                col=1,
            )
    if conditional is None:
        figure.add_scatter(
            x=centre,
            y=height - expected,
            mode="markers",
            marker={"color": NETWORKS, "size": 5},
            error_y=_bars(error),
            name=networks,
            legendgroup="networks",
            showlegend=False,
            customdata=error,
            hovertemplate="z ≈ %{x:.3g}<br>difference %{y:.4f} ± %{customdata:.4f}"
            "<extra>real networks</extra>",
            row=2,
            col=1,
        )
    else:
        difference, half = conditional[0] - gaussian, 2 * conditional[1]
        for trace in _band(z, difference, half, NETWORKS, name=networks):
            figure.add_trace(trace.update(legendgroup="networks"), row=2, col=1)
    figure.update_layout(template=TEMPLATE, height=500, bargap=0)
    figure.update_xaxes(range=[centre[0] - step / 2, centre[-1] + step / 2])
    figure.update_xaxes(title_text="output z of an untrained network", row=2, col=1)
    figure.update_yaxes(title_text="probability density", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(title_text="… minus Gaussian", exponentformat="power", row=2, col=1)
    return figure


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
    figure = go.Figure()
    for width, mean, half, color in zip(
        widths, measured, 2 * error, _shades(len(widths)), strict=True
    ):
        for trace in _band(times, mean, half, color, name=f"n = {width}"):
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
    figure.update_xaxes(title_text=time_title)
    figure.update_yaxes(title_text="RMS deviation of an output", rangemode="tozero")
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
        fillcolor=_transparent(LIMIT, 0.18),
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
        figure.update_yaxes(**_log_axis(values[-1] / 1.3, values[0] * 1.3))
        whole = _whole_ticks(len(values))
        figure.update_xaxes(range=[0.5, len(values) + 0.5], tickmode="array", tickvals=whole)
    figure.update_yaxes(title_text="eigenvalue of Θ")
    return figure


# ---------------------------------------------------------------------------------- power laws

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
            error_y=_bars(errors[resolved]),
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
        figure.update_yaxes(**_log_axis(values.min() / 1.35, values.max() * 1.35))
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


# ---------------------------------------------------------------------------------- helpers


def bin_error(
    z: Float[np.ndarray, " grid"],
    gaussian: Float[np.ndarray, " grid"],
    samples: Float[np.ndarray, " members"],
) -> float:
    """The largest standard error of a bar of :func:`density`."""
    return float(_histogram(z, gaussian, samples)[2].max())


def _histogram(
    z: np.ndarray, gaussian: np.ndarray, samples: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Bin centres, heights, their binomial standard errors, and the GP's average in each bin."""
    cdf = np.concatenate([[0], np.cumsum(np.diff(z) * (gaussian[1:] + gaussian[:-1]) / 2)])
    mean = np.sum(z * gaussian) / np.sum(gaussian)
    std = math.sqrt(np.sum((z - mean) ** 2 * gaussian) / np.sum(gaussian))
    low, high = max(z[0], mean - 3.6 * std), min(z[-1], mean + 3.6 * std)
    bins = min(36, max(12, round(1.1 * len(samples) ** (1 / 3))))
    count, edges = np.histogram(samples, bins=bins, range=(low, high))
    step = edges[1] - edges[0]
    p = np.diff(np.interp(edges, z, cdf)) / cdf[-1]
    share = count / len(samples)
    # an empty bin has an error too: that of the probability expected there
    error = np.sqrt(np.maximum(share * (1 - share), p * (1 - p)) / len(samples))
    return (edges[1:] + edges[:-1]) / 2, share / step, error / step, p / step


def _band(
    x: np.ndarray, y: np.ndarray, half: np.ndarray, color: str, *, name: str
) -> tuple[go.Scatter, go.Scatter]:
    """A measured line and, below it, the band y ± half; neither has a legend entry yet."""
    band = go.Scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([y + half, (y - half)[::-1]]),
        fill="toself",
        fillcolor=_transparent(color, 0.25),
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
    return band, line


def _bars(error: np.ndarray) -> dict:
    return {"type": "data", "array": error, "color": NETWORKS, "thickness": 1.3, "width": 3}


_TICKS = ((1.0, (1, 2, 3, 4, 5, 7)), (2.2, (1, 2, 5)), (3.5, (1, 3)), (math.inf, (1,)))
"""Digits that are marked on a logarithmic axis of less than so many decades."""


def _log_axis(low: float, high: float) -> dict:
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


def _whole_ticks(count: int) -> list[int]:
    step = max(1, math.ceil(count / 8))
    return list(range(1, count + 1, step))


def _shades(count: int) -> list[str]:
    ends = np.array([_rgb(NARROW), _rgb(WIDE)])
    mixes = np.linspace(0, 1, count)[:, None] if count > 1 else np.array([[0.5]])
    mixed = np.rint((1 - mixes) * ends[0] + mixes * ends[1]).astype(int)
    return ["#" + "".join(f"{c:02x}" for c in row) for row in mixed]


def _rgb(color: str) -> tuple[int, int, int]:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue


def _transparent(color: str, alpha: float) -> str:
    red, green, blue = _rgb(color)
    return f"rgba({red},{green},{blue},{alpha})"
