"""During training: outputs, their deviation from the linear flow, and the kernel's spectrum."""

from html import escape

import numpy as np
import plotly.graph_objects as go

from widthwise.experiments.comparison import AtWidth, Comparison
from widthwise.show import figures as draw
from widthwise.show.report import over_widths
from widthwise.show.report.html import capital, section
from widthwise.show.report.plots import LIMIT, NETWORKS, Panel, figure
from widthwise.show.verdict import number, point_name, power, time_unit


def training(comparison: Comparison, plots: list[go.Figure]) -> str:
    """The section "During training"."""
    trajectories = _trajectories(comparison, plots)
    pair = _deviation_by_width(comparison, plots) + _deviation_in_time(comparison, plots)
    rest = _mean_shift(comparison, plots) + _spectrum(comparison, plots)
    return section(
        "training", "During training", f'{trajectories}<div class="pair">{pair}</div>{rest}'
    )


def decay(comparison: Comparison) -> str:
    """What training multiplies the error along an eigenvector of Θ by."""
    if time_unit(comparison) == "steps":
        return "(1 − ηλ)<sup>k</sup> after k steps of size η"
    return "e<sup>−λt</sup> at time t"


def _trajectories(comparison: Comparison, plots: list[go.Figure]) -> str:
    ends = {w.width: w.outputs for w in (comparison.widths[0], comparison.widths[-1])}
    panels = [_trajectory(comparison, point, ends) for point in _shown_points(comparison)]
    choice = "".join(
        f'<label><input type="radio" name="shown-width" value="{n}"{" checked" if not i else ""}>'
        f" n = {n}</label>"
        for i, n in enumerate(ends)
    )
    component = " (first component)" if comparison.gp_mean.shape[-1] > 1 else ""
    return figure(
        "Outputs while they train",
        panels,
        plots,
        f"""<p>Outputs{component} of {len(comparison.widths[0].outputs)} real networks
        {NETWORKS}, each from its own random start, and what infinitely wide
        networks do {LIMIT}: at every moment a Gaussian process whose mean
        and standard deviation σ are known in closed form. On training points both run to the label
        (dotted); on test points the spread that remains is the ensemble's uncertainty.</p>
        <p>The band (mean ± 2σ) is the law's own width, not an error of its computation; about 95 %
        of very wide networks lie within it at any moment.</p>""",
        before=f"<fieldset><legend>Real networks of width</legend>{choice}</fieldset>"
        '<p class="key"><span class="mean">GP mean</span><span class="band">GP mean ± 2σ</span>'
        '<span class="lines">real networks</span><span class="label">label</span></p>',
        switched=True,
    )


def _trajectory(comparison: Comparison, point: int, networks: dict[int, np.ndarray]) -> Panel:
    name = point_name(comparison, point)
    labels = np.concatenate([comparison.dataset.y_train, comparison.dataset.y_test])[:, 0]
    plot = draw.trajectory(
        _times(comparison),
        comparison.gp_mean[:, point, 0],
        comparison.gp_std[:, point],
        {n: outputs[:, :, point, 0] for n, outputs in networks.items()},
        float(labels[point]),
        time_title=_time_title(comparison),
    )
    plot.update_layout(showlegend=False)  # one key stands above all of them
    return Panel(
        plot,
        f"Output at {name} during training: mean and two-sigma band of the Gaussian process"
        " and trajectories of real networks.",
        capital(name),
    )


def _shown_points(comparison: Comparison) -> list[int]:
    """Up to two train and two test points, the watched one among them."""
    train, total = len(comparison.dataset.x_train), comparison.gp_mean.shape[1]

    def watched_first(point: int) -> bool:
        return point != comparison.point

    groups = range(train), range(train, total)
    return sorted(p for group in groups for p in sorted(group, key=watched_first)[:2])


def _deviation_by_width(comparison: Comparison, plots: list[go.Figure]) -> str:
    widths = over_widths.widths(comparison)
    deviation, error = over_widths.measured(comparison, lambda w: w.largest_deviation)
    theory = over_widths.predicted(comparison, lambda w: w.largest_deviation_theory)
    slope, exponent = over_widths.fitted(comparison.deviation_slope, otherwise=-0.5)
    return figure(
        "Deviation from the linear flow, by width",
        [
            Panel(
                draw.deviation(widths, deviation, error, theory, slope=slope, exponent=exponent),
                "Largest deviation of trained outputs from the linear flow against width, with"
                " error bars and predicted line, logarithmic.",
            )
        ],
        plots,
        f"""<p>Infinitely wide networks train linearly. A real network with the same initial outputs
        departs from that line; shown is the root mean square of the departure over networks and
        points, at the time when it is largest. Theory says it falls like
        n<sup>{power(exponent)}</sup>{
            "" if theory is None else "; the dashed line is its first-order prediction"
        }.</p>
        <p>Error bars: one standard error over the independent networks.</p>""",
    )


def _deviation_in_time(comparison: Comparison, plots: list[go.Figure]) -> str:
    widths, times = over_widths.widths(comparison), _times(comparison)
    measured, error, theory = _over_all_points(comparison)
    title = _time_title(comparison)
    return figure(
        "Deviation from the linear flow, in time",
        [
            Panel(
                draw.deviation_in_time(times, widths, measured, error, theory, time_title=title),
                "Root mean square deviation from the linear flow against training time for every"
                " width, with first-order prediction.",
            )
        ],
        plots,
        f"""<p>The same deviation at every moment, one line per width (darker is wider){
            "" if theory is None else "; dashed: its first-order prediction"
        }. It starts at 0, since both start from the same outputs.</p>
        <p>Bands: two standard errors, as if the errors at the different points were fully
        correlated, which is the cautious choice.</p>""",
    )


def _mean_shift(comparison: Comparison, plots: list[go.Figure]) -> str:
    shown = _some_widths(comparison)
    output = (slice(None), comparison.point, 0)
    missing = np.full(len(comparison.times), np.nan)
    theory = over_widths.some(
        np.array([missing if (s := w.mean_shift_theory) is None else s[output] for w in shown])
    )
    name = point_name(comparison, comparison.point)
    return figure(
        f"Shift of the mean by finite width, at {name}",
        [
            Panel(
                draw.mean_shift(
                    _times(comparison),
                    np.array([w.width for w in shown]),
                    np.array([w.mean_shift[output] for w in shown]),
                    np.array([w.mean_shift_error[output] for w in shown]),
                    theory,
                    time_title=_time_title(comparison),
                ),
                "Mean output of real networks less its infinite-width mean against training time,"
                " one line per width, with the predicted shift.",
            )
        ],
        plots,
        f"""<p>What an average over many networks of one width settles on is not what infinitely
        wide networks settle on. Shown is the mean output over networks less the GP's mean, one line
        per width (darker is wider){_shift_theory(comparison, theory is not None)}</p>
        <p>Bands: two standard errors over the networks. The linear flow from each network's own
        start is subtracted before averaging: its mean is the GP's, and what is left scatters
        less.</p>""",
        kind="beside",
    )


def _some_widths(comparison: Comparison) -> list[AtWidth]:
    """The smallest, a middle and the largest width: bands of all of them would hide each other."""
    places = sorted({0, (len(comparison.widths) - 1) // 2, len(comparison.widths) - 1})
    return [comparison.widths[i] for i in places]


def _shift_theory(comparison: Comparison, known: bool) -> str:
    note = escape(comparison.training_law)
    if not known:
        return f". There is no prediction of it here: {note}."
    return f"; dashed: the training law through 1/n ({note})."


def _over_all_points(comparison: Comparison) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Deviation over all points: measured, error (correlated) and predicted, (widths, times)."""
    deviation = np.array([w.deviation for w in comparison.widths])
    error = np.array([w.deviation_error for w in comparison.widths])
    missing = np.full(deviation.shape[1:], np.nan)
    theory = np.array(
        [missing if (d := w.deviation_theory) is None else d for w in comparison.widths]
    )
    measured = _rms(deviation)
    error = (deviation * error).mean(2) / np.maximum(measured, 1e-300)
    return measured, error, over_widths.some(_rms(theory))


def _rms(deviation: np.ndarray) -> np.ndarray:
    return np.sqrt((deviation**2).mean(2))


def _spectrum(comparison: Comparison, plots: list[go.Figure]) -> str:
    eigenvalues = np.asarray(comparison.kernel_eigenvalues)
    zero = int((eigenvalues <= 0).sum())
    return figure(
        "Spectrum of the kernel that drives training",
        [
            Panel(
                draw.spectrum(eigenvalues), "Eigenvalues of the neural tangent kernel, logarithmic."
            )
        ],
        plots,
        f"""<p>Eigenvalues λ of the infinite-width neural tangent kernel Θ on the training points.
        The error along an eigenvector is multiplied by {decay(comparison)}, so small eigenvalues
        are what training learns last and where finite-width corrections are largest.
        {f"{zero} eigenvalues that are 0 to rounding are not drawn." if zero else ""}</p>
        <p>Entries of the kernel are computed to about {number(comparison.kernel_error, 1)}.</p>""",
        kind="beside",
    )


def _times(comparison: Comparison) -> np.ndarray:
    return np.asarray(comparison.times, float)


def _time_title(comparison: Comparison) -> str:
    return "gradient descent steps" if time_unit(comparison) == "steps" else "training time t"
