"""At initialization: the law of one output, its distance from Gaussian, its fourth cumulant."""

from html import escape

import numpy as np
import plotly.graph_objects as go

from widthwise.experiments.comparison import Comparison, Density
from widthwise.show import figures as draw
from widthwise.show.report import over_widths
from widthwise.show.report.html import section
from widthwise.show.report.plots import CORRECTED, LIMIT, NETWORKS, Panel, figure
from widthwise.show.verdict import number, point_name, power
from widthwise.show.verdict.wording import thousands


def initialization(comparison: Comparison, plots: list[go.Figure]) -> str:
    """The section "At initialization"."""
    law = _law(comparison, plots)
    pair = _distances(comparison, plots) + _cumulant(comparison, plots)
    return section("initialization", "At initialization", f'{law}<div class="pair">{pair}</div>')


def _law(comparison: Comparison, plots: list[go.Figure]) -> str:
    at = {w.width: w for w in comparison.widths}
    shown = [at[d.width] for d in comparison.densities]
    counts = " and ".join(thousands(c) for c in sorted({w.initial_members for w in shown}))
    orders = sorted({str(at[d.width].corrected_order) for d in _corrected(comparison)})
    theory = "No corrected law is available for this network. "
    if orders:
        theory = f"""Theory corrected for finite width {CORRECTED}, an
            Edgeworth series of order {" and ".join(orders)} in n<sup>−1/2</sup>, predicts that
            difference from the initialization alone, without any network. """
    return figure(
        "The law of one untrained output",
        [_density(d, w.initial_outputs) for d, w in zip(comparison.densities, shown, strict=True)],
        plots,
        f"""<p>The output of an untrained network at {_point(comparison)}, over the random choice of
        its parameters. An infinitely wide network gives a Gaussian {LIMIT};
        {counts} real networks give the bars {NETWORKS}.
        The lower panels show the same with the Gaussian subtracted, at a scale of their own.</p>
        <p>{theory}{_noise(comparison)}</p>""",
    )


def _density(d: Density, samples: np.ndarray) -> Panel:
    conditional = None
    if d.measured is not None and d.measured_error is not None:
        conditional = d.measured, d.measured_error
    return Panel(
        draw.density(d.z, d.gaussian, d.corrected, samples, width=d.width, conditional=conditional),
        f"Density of the output at width {d.width}: Gaussian process, corrected theory and a"
        " histogram of real networks; below, their difference from the Gaussian.",
        f"Width n = {d.width}",
    )


def _noise(comparison: Comparison) -> str:
    """What the error bars are, and where they hide the predicted difference."""
    if all(d.measured is not None for d in comparison.densities):
        return (
            "The bars' error bars are one binomial standard error. The band below is far less"
            " noisy: given its hidden layers each network's output is Gaussian, and these densities"
            " are averaged instead of counting outputs; it is two standard errors wide on either"
            " side."
        )
    bins = (
        "Error bars: one binomial standard error of the share of networks that fall into the bin."
    )
    sampled = {w.width: w.initial_outputs for w in comparison.widths}
    lost = [
        f"n = {d.width}"
        for d in _corrected(comparison)
        if np.abs(d.corrected - d.gaussian).max()
        < draw.bin_error(d.z, d.gaussian, sampled[d.width])
    ]
    if not lost:
        return bins
    return (
        f"{bins} At {' and '.join(lost)} the predicted difference is smaller than the noise of a"
        " bin; the two figures below resolve it, with estimators that are far less noisy."
    )


def _distances(comparison: Comparison, plots: list[go.Figure]) -> str:
    widths = over_widths.widths(comparison)
    to_gp, to_gp_error = over_widths.measured(comparison, lambda w: w.distance_to_gp)
    theory = over_widths.some(np.array([w.distance_to_gp_theory for w in comparison.widths], float))
    left, left_error = over_widths.measured(comparison, lambda w: w.distance_to_corrected)
    left = over_widths.some(left)
    line = "; the dashed line is what corrected theory says this distance is"
    open_points = (
        " Open points: what is left between real networks and corrected theory; where theory is"
        " right this is sampling noise."
    )
    return figure(
        "How far the law is from Gaussian",
        [
            Panel(
                draw.distance(widths, to_gp, to_gp_error, theory, left, left_error),
                "Wasserstein-1 distance of the output's law from the Gaussian process and from"
                " corrected theory, against width, logarithmic.",
            )
        ],
        plots,
        f"""<p>The Wasserstein-1 distance between two laws is the mean distance by which probability
        must be moved to turn one into the other, in units of the output (whose standard deviation
        is {number(comparison.output_std)}). Filled points: real networks to the Gaussian process{
            "" if theory is None else line
        }.{"" if left is None else open_points}</p>
        <p>Error bars: one standard error, by a bootstrap over batches of networks.
        An arrow marks an upper limit (value + 2 standard errors) where the distance cannot be told
        from 0.</p>""",
    )


def _cumulant(comparison: Comparison, plots: list[go.Figure]) -> str:
    widths = over_widths.widths(comparison)
    k4, error = over_widths.measured(comparison, lambda w: w.fourth_cumulant)
    theory = over_widths.predicted(comparison, lambda w: w.fourth_cumulant_theory)
    slope, exponent = over_widths.fitted(comparison.fourth_cumulant_slope, otherwise=-1.0)
    return figure(
        "The fourth cumulant falls as the width grows",
        [
            Panel(
                draw.fourth_cumulant(widths, k4, error, theory, slope=slope, exponent=exponent),
                "Fourth cumulant of the output against width, with error bars and predicted line,"
                " logarithmic.",
            )
        ],
        plots,
        f"""<p>κ<sub>4</sub> = E z<sup>4</sup> − 3 (E z<sup>2</sup>)<sup>2</sup> of the output z at
        {_point(comparison)} is 0 for a Gaussian, so it measures directly what infinite-width theory
        leaves out. Theory says it falls like n<sup>{power(exponent)}</sup>{
            "" if theory is None else " and predicts the dashed line"
        }{"" if slope is None else "; the legend gives the power fitted to the points"}.</p>
        <p>Error bars: one standard error of the conditional-variance estimator (see
        <a href="#methods">Methods</a>) over the independent networks.</p>""",
    )


def _corrected(comparison: Comparison) -> list[Density]:
    return [d for d in comparison.densities if d.corrected is not None]


def _point(comparison: Comparison) -> str:
    return escape(point_name(comparison, comparison.point))
