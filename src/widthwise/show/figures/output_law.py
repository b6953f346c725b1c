"""The law of one output of untrained networks, and what differs from the Gaussian process."""

import math

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from widthwise.show.figures.style import CORRECTED, LIMIT, NETWORKS, TEMPLATE, band, error_bars
from widthwise.show.verdict.wording import thousands


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
    networks = f"{thousands(len(samples))} real networks"
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
            error_y=error_bars(error),
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
        for trace in band(z, difference, half, NETWORKS, name=networks):
            figure.add_trace(trace.update(legendgroup="networks"), row=2, col=1)
    figure.update_layout(template=TEMPLATE, height=500, bargap=0)
    figure.update_xaxes(range=[centre[0] - step / 2, centre[-1] + step / 2])
    figure.update_xaxes(title_text="output z of an untrained network", row=2, col=1)
    figure.update_yaxes(title_text="probability density", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(title_text="… minus Gaussian", exponentformat="power", row=2, col=1)
    return figure


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
