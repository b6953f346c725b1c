"""One study as one HTML file that works offline, prints, and reads aloud.

:func:`write_report` writes it: the verdict in words, what was computed, the figures with captions,
every number with its error, the methods in brief, and how to compute all of it again. The page
holds everything it needs (plotly.js once, styles, data) and its content security policy forbids it
to ask for anything else. A program reads the table from ``<script id="widthwise-figures">``.
"""

import json
import os
import re
from collections.abc import Callable, Iterable
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from widthwise.experiments.comparison import AtWidth, Comparison, Measured
from widthwise.show import figures as draw
from widthwise.show import verdict
from widthwise.show.cite import PAPER, PAPER_IN_WORDS
from widthwise.show.verdict import number, point_name, time_unit, with_error

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath "
    "d='M1 13C5 13 5 3 8 3s3 10 7 10' fill='none' stroke='%2300856a' stroke-width='2'/%3E%3C/svg%3E"
)


def write_report(comparison: Comparison, path: str | os.PathLike) -> Path:
    """Write the report of a study to one self-contained HTML file.

    The file appears whole or not at all: it is written beside ``path`` and then renamed.

    Args:
        comparison: a computed study.
        path: where to write; folders that do not exist are made.

    Returns:
        The path written.
    """
    path = Path(path)
    page = render(comparison)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(page, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def render(comparison: Comparison) -> str:
    """The report of a study as one HTML page."""
    title = escape(comparison.spec.title)
    plots = _Plots()
    body = "\n".join(
        (
            _header(comparison),
            "<main>",
            _verdict(comparison),
            _navigation(),
            _computed(comparison),
            _initialization(comparison, plots),
            _training(comparison, plots),
            _table(comparison),
            _methods(comparison),
            _again(comparison),
            _citation(),
            "</main>",
            _footer(comparison),
        )
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="widthwise">
<title>{title} · widthwise report</title>
<link rel="icon" href="{ICON}">
<style>{_asset("report.css")}</style>
</head>
<body>
{body}
<script type="application/json" id="widthwise-figures">{_json(verdict.figures(comparison))}</script>
<script type="application/json" id="plot-config">{_json(draw.CONFIG)}</script>
{plots.data()}
<script>{get_plotlyjs()}</script>
<script>{_asset("report.js")}</script>
</body>
</html>
"""


# ---------------------------------------------------------------------------------- sections


def _header(comparison: Comparison) -> str:
    return f"""<header>
<p class="kind">widthwise report: finite networks against infinite-width theory</p>
<h1>{escape(comparison.spec.title)}</h1>
</header>"""


def _verdict(comparison: Comparison) -> str:
    parts = [_items(verdict.findings(comparison))]
    if advice := verdict.advice(comparison):
        parts += ["<h3>How wide is wide enough?</h3>", _items(advice)]
    if caveats := verdict.caveats(comparison):
        parts += ["<h3>Before you rely on this</h3>", _items(caveats, "caveats")]
    return (
        '<section class="verdict" aria-labelledby="verdict"><h2 id="verdict">Verdict</h2>'
        + "\n".join(parts)
        + "</section>"
    )


def _navigation() -> str:
    places = (
        ("computed", "What was computed"),
        ("initialization", "At initialization"),
        ("training", "During training"),
        ("figures", "All figures"),
        ("methods", "Methods"),
        ("again", "Compute it again"),
        ("citation", "Citation"),
    )
    links = "".join(f'<li><a href="#{id}">{text}</a></li>' for id, text in places)
    return f'<nav aria-label="Sections"><ul>{links}</ul></nav>'


def _computed(comparison: Comparison) -> str:
    data, spec = comparison.dataset, comparison.spec
    rows = [
        (
            "Data",
            f"<p><strong>{escape(data.name)}</strong></p>"
            + _items(map(_sentence, data.description)),
        ),
        ("Study", _items(map(_sentence, spec.describe()))),
        ("Network", _formula(comparison.gp_mean.shape[-1])),
        (
            "Training",
            "All parameters are trained together on all train points, with the loss"
            f" ½ Σ (f(x) − y)<sup>2</sup>; {len(comparison.times)} moments of it are recorded.",
        ),
        ("Real networks", _ensembles(comparison.widths)),
    ]
    return _section("computed", "What was computed", _definitions(rows))


def _initialization(comparison: Comparison, plots: "_Plots") -> str:
    widths = np.array([w.width for w in comparison.widths])
    where = escape(point_name(comparison, comparison.point))
    theory = _theories(comparison, lambda w: w.fourth_cumulant_theory)
    gp_theory = np.array([_or_nan(w.distance_to_gp_theory) for w in comparison.widths])
    slope = comparison.fourth_cumulant_slope
    sampled = {w.width: w.initial_outputs for w in comparison.widths}
    order = {w.width: w.corrected_order for w in comparison.widths}
    panels = [
        (
            f"Width n = {d.width}",
            f"Density of the output at width {d.width}: Gaussian process, corrected theory and a"
            " histogram of real networks; below, their difference from the Gaussian.",
            draw.density(
                d.z,
                d.gaussian,
                d.corrected,
                sampled[d.width],
                width=d.width,
                conditional=None
                if d.measured is None or d.measured_error is None
                else (d.measured, d.measured_error),
            ),
        )
        for d in comparison.densities
    ]
    corrected = any(d.corrected is not None for d in comparison.densities)
    orders = sorted({str(order[d.width]) for d in comparison.densities if d.corrected is not None})
    law = _figure(
        "The law of one untrained output",
        panels,
        plots,
        f"""<p>The output of an untrained network at {where}, over the random choice of its
        parameters. An infinitely wide network gives a Gaussian {_key("limit", "(grey-blue)")};
        {_counts(comparison)} real networks give the bars {_key("networks", "(teal)")}.
        The lower panels show the same with the Gaussian subtracted, at a scale of their own.</p>
        <p>"""
        + (
            f"""Theory corrected for finite width {_key("corrected", "(orange, dashed)")}, an
            Edgeworth series of order {" and ".join(orders)} in n<sup>−1/2</sup>, predicts that
            difference from the initialization alone, without any network. """
            if corrected
            else "No corrected law is available for this network. "
        )
        + _difference_of_densities(comparison)
        + "</p>",
    )
    to_gp, to_gp_error = _pairs(comparison, lambda w: w.distance_to_gp)
    to_corrected, to_corrected_error = _pairs(comparison, lambda w: w.distance_to_corrected)
    distances = _figure(
        "How far the law is from Gaussian",
        [
            (
                "",
                "Wasserstein-1 distance of the output's law from the Gaussian process and from"
                " corrected theory, against width, logarithmic.",
                draw.distance(
                    widths,
                    to_gp,
                    to_gp_error,
                    gp_theory if np.isfinite(gp_theory).any() else None,
                    to_corrected if np.isfinite(to_corrected).any() else None,
                    to_corrected_error,
                ),
            )
        ],
        plots,
        f"""<p>The Wasserstein-1 distance between two laws is the mean distance by which probability
        must be moved to turn one into the other, in units of the output (whose standard deviation
        is {number(comparison.output_std)}). Filled points: real networks to the Gaussian process{
            "; the dashed line is what corrected theory says this distance is"
            if np.isfinite(gp_theory).any()
            else ""
        }.{
            " Open points: what is left between real networks and corrected theory; where theory is"
            " right this is sampling noise."
            if np.isfinite(to_corrected).any()
            else ""
        }</p>
        <p>Error bars: one standard error, by a bootstrap over batches of networks.
        An arrow marks an upper limit (value + 2 standard errors) where the distance cannot be told
        from 0.</p>""",
    )
    k4, k4_error = _pairs(comparison, lambda w: w.fourth_cumulant)
    cumulant = _figure(
        "The fourth cumulant falls as the width grows",
        [
            (
                "",
                "Fourth cumulant of the output against width, with error bars and predicted line,"
                " logarithmic.",
                draw.fourth_cumulant(
                    widths,
                    k4,
                    k4_error,
                    theory,
                    slope=None if slope is None else (slope.value, slope.error),
                    exponent=-1.0 if slope is None else slope.theory,
                ),
            )
        ],
        plots,
        f"""<p>κ<sub>4</sub> = E z<sup>4</sup> − 3 (E z<sup>2</sup>)<sup>2</sup> of the output z at
        {where} is 0 for a Gaussian, so it measures directly what infinite-width theory leaves out.
        Theory says it falls like n<sup>{
            verdict.power(-1.0 if slope is None else slope.theory)
        }</sup>{" and predicts the dashed line" if theory is not None else ""}{
            "; the legend gives the power fitted to the points" if slope is not None else ""
        }.</p>
        <p>Error bars: one standard error of the conditional-variance estimator (see
        <a href="#methods">Methods</a>) over the independent networks.</p>""",
    )
    return _section(
        "initialization",
        "At initialization",
        law + f'<div class="pair">{distances}{cumulant}</div>',
    )


def _training(comparison: Comparison, plots: "_Plots") -> str:
    widths = np.array([w.width for w in comparison.widths])
    labels = np.concatenate([comparison.dataset.y_train, comparison.dataset.y_test])[:, 0]
    times = np.asarray(comparison.times, float)
    title = "gradient descent steps" if time_unit(comparison) == "steps" else "training time t"
    slope = comparison.deviation_slope
    shown = (widths[0], widths[-1]) if len(widths) > 1 else (widths[0],)
    ends = {w.width: w for w in comparison.widths if w.width in shown}
    panels: list[tuple[str, str, go.Figure]] = []
    for point in _shown_points(comparison):
        name = point_name(comparison, point)
        panels.append(
            (
                name[0].upper() + name[1:],
                f"Output at {name} during training: mean and two-sigma band of the Gaussian process"
                " and trajectories of real networks.",
                draw.trajectory(
                    times,
                    comparison.gp_mean[:, point, 0],
                    comparison.gp_std[:, point],
                    {n: w.outputs[:, :, point, 0] for n, w in ends.items()},
                    float(labels[point]),
                    shown=int(shown[0]),
                    time_title=title,
                ),
            )
        )
    for _, _, panel in panels:
        panel.update_layout(showlegend=False)  # one key stands above all of them
    choice = "".join(
        f'<label><input type="radio" name="shown-width" value="{n}"{" checked" if not i else ""}>'
        f" n = {n}</label>"
        for i, n in enumerate(shown)
    )
    component = " (first component)" if comparison.gp_mean.shape[-1] > 1 else ""
    trajectories = _figure(
        "Outputs while they train",
        panels,
        plots,
        f"""<p>Outputs{component} of {len(next(iter(ends.values())).outputs)} real networks
        {_key("networks", "(teal)")}, each from its own random start, and what infinitely wide
        networks do {_key("limit", "(grey-blue)")}: at every moment a Gaussian process whose mean
        and standard deviation σ are known in closed form. On training points both run to the label
        (dotted); on test points the spread that remains is the ensemble's uncertainty.</p>
        <p>The band (mean ± 2σ) is the law's own width, not an error of its computation; about 95 %
        of very wide networks lie within it at any moment.</p>""",
        before=f"<fieldset><legend>Real networks of width</legend>{choice}</fieldset>"
        '<p class="key"><span class="mean">GP mean</span><span class="band">GP mean ± 2σ</span>'
        '<span class="lines">real networks</span><span class="label">label</span></p>',
        switched=True,
    )
    deviation, error = _pairs(comparison, lambda w: w.largest_deviation)
    theory = _theories(comparison, lambda w: w.largest_deviation_theory)
    against_width = _figure(
        "Deviation from the linear flow, by width",
        [
            (
                "",
                "Largest deviation of trained outputs from the linear flow against width, with"
                " error bars and predicted line, logarithmic.",
                draw.deviation(
                    widths,
                    deviation,
                    error,
                    theory,
                    slope=None if slope is None else (slope.value, slope.error),
                    exponent=-0.5 if slope is None else slope.theory,
                ),
            )
        ],
        plots,
        f"""<p>Infinitely wide networks train linearly. A real network with the same initial outputs
        departs from that line; shown is the root mean square of the departure over networks and
        points, at the time when it is largest. Theory says it falls like
        n<sup>{verdict.power(-0.5 if slope is None else slope.theory)}</sup>{
            "; the dashed line is its first-order prediction" if theory is not None else ""
        }.</p>
        <p>Error bars: one standard error over the independent networks.</p>""",
    )
    measured, half, predicted = _in_time(comparison)
    against_time = _figure(
        "Deviation from the linear flow, in time",
        [
            (
                "",
                "Root mean square deviation from the linear flow against training time for every"
                " width, with first-order prediction.",
                draw.deviation_in_time(times, widths, measured, half, predicted, time_title=title),
            )
        ],
        plots,
        f"""<p>The same deviation at every moment, one line per width (darker is wider){
            "; dashed: its first-order prediction" if predicted is not None else ""
        }. It starts at 0, since both start from the same outputs.</p>
        <p>Bands: two standard errors, as if the errors at the different points were fully
        correlated, which is the cautious choice.</p>""",
    )
    eigenvalues = np.asarray(comparison.kernel_eigenvalues)
    zero = int((eigenvalues <= 0).sum())
    spectrum = _figure(
        "Spectrum of the kernel that drives training",
        [
            (
                "",
                "Eigenvalues of the neural tangent kernel, logarithmic.",
                draw.spectrum(eigenvalues),
            )
        ],
        plots,
        f"""<p>Eigenvalues λ of the infinite-width neural tangent kernel Θ on the training points.
        The error along an eigenvector is multiplied by {_decay(comparison)}, so small eigenvalues
        are what training learns last and where finite-width corrections are largest.
        {f"{zero} eigenvalues that are 0 to rounding are not drawn." if zero else ""}</p>
        <p>Entries of the kernel are computed to about {number(comparison.kernel_error, 1)}.</p>""",
        kind="beside",
    )
    return _section(
        "training",
        "During training",
        trajectories + f'<div class="pair">{against_width}{against_time}</div>' + spectrum,
    )


def _table(comparison: Comparison) -> str:
    groups: dict[str, list[dict]] = {}
    for row in verdict.figures(comparison):
        groups.setdefault(row["quantity"], []).append(row)
    bodies = []
    for quantity, rows in groups.items():
        lines = "".join(
            f'<tr><th scope="row">{row["width"] or "all widths"}</th>'
            f"<td>{_cell(row['measured'], row['standard_error'])}</td>"
            f"<td>{_theory_cell(row)}</td>"
            f"<td>{'–' if row['z_score'] is None else _signed(row['z_score'])}</td></tr>"
            for row in rows
        )
        head = f'<tr><th scope="rowgroup" colspan="4">{escape(_capital(quantity))}</th></tr>'
        bodies.append(f"<tbody>{head}{lines}</tbody>")
    return _section(
        "figures",
        "All figures with their errors",
        f"""<div class="scroll" tabindex="0" role="region" aria-label="Table of all figures">
        <table id="figures-table"><caption>± is one standard error; z = (measured −
        theory) in standard errors. Theory stands without ± where its own error is far below the
        measurement's. It is a truncated series: a large |z| that shrinks as the width grows is the
        next order becoming visible, not a failure.</caption>
        <thead><tr><th scope="col">Width n</th><th scope="col">Measured</th>
        <th scope="col">Theory</th><th scope="col">z</th></tr></thead>
        {"".join(bodies)}</table></div>
        <p>Programs find these rows as JSON in the element
        <code>script#widthwise-figures</code> of this page.</p>""",
    )


def _methods(comparison: Comparison) -> str:
    text = Template(_asset("report_methods.html"))
    fits = [
        f"{name}: χ² = {number(slope.chi2, 2)} on {slope.degrees} degrees of freedom"
        for name, slope in (
            ("κ<sub>4</sub>", comparison.fourth_cumulant_slope),
            ("deviation", comparison.deviation_slope),
        )
        if slope is not None
    ]
    words = f"With theory's power imposed, {'; '.join(fits)}." if fits else ""
    content = text.substitute(decay=_decay(comparison), fits=words)
    return _section("methods", "Methods in brief", content)


def _again(comparison: Comparison) -> str:
    spec, data = comparison.spec, comparison.dataset
    versions = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(version)}</td></tr>'
        for name, version in comparison.versions.items()
    )
    return _section(
        "again",
        "Compute it again",
        f"""<p>This study took {_duration(comparison.seconds)}. This command makes it again:</p>
        <pre><code>{escape(comparison.command)}</code></pre>
        <p>with this specification (hash <code>{escape(spec.hash)}</code>):</p>
        <pre><code>{escape(_toml(spec.model_dump(mode="json", exclude_none=True)))}</code></pre>
        <p>Hash of the data: <code>{escape(data.hash)}</code></p>
        <table class="small"><caption>Software that computed it</caption>
        <thead><tr><th scope="col">Package</th><th scope="col">Version</th></tr></thead>
        <tbody>{versions}</tbody></table>""",
    )


def _citation() -> str:
    return _section(
        "citation",
        "Citation",
        f"""<p>The mathematics is that of {escape(PAPER_IN_WORDS)} If you use these figures, please
        cite the paper (<a href="https://arxiv.org/abs/2304.03385">arXiv:2304.03385</a>) and
        widthwise; <code>widthwise cite</code> prints both entries.</p>
        <pre><code>{escape(PAPER)}</code></pre>""",
    )


def _footer(comparison: Comparison) -> str:
    version = comparison.versions.get("widthwise", "")
    return (
        f"<footer><p>Written by widthwise {escape(version)}. This page is one file; it works"
        " offline and sends nothing anywhere.</p></footer>"
    )


# ---------------------------------------------------------------------------------- figures


class _Plots:
    """The figures of one page, numbered in the order in which they appear."""

    def __init__(self):
        self._figures: list[go.Figure] = []

    def add(self, figure: go.Figure) -> str:
        self._figures.append(figure)
        return f"plot-{len(self._figures)}"

    def data(self) -> str:
        return "\n".join(
            f'<script type="application/json" id="plot-{i}-data">'
            f"{_inert(str(figure.to_json()))}</script>"
            for i, figure in enumerate(self._figures, 1)
        )


def _figure(
    title: str,
    panels: list[tuple[str, str, go.Figure]],
    plots: _Plots,
    caption: str,
    *,
    before: str = "",
    switched: bool = False,
    kind: str = "stacked",
) -> str:
    """A figure of one or more panels (heading, description read aloud, plot) under one caption."""
    drawn = []
    for heading, description, figure in panels:
        id = plots.add(figure)
        height = figure.layout.height or draw.HEIGHT
        head = f"<h4>{escape(heading)}</h4>" if heading else ""
        mark = " data-switched" if switched else ""
        drawn.append(
            f'<div>{head}<div class="plot" id="{id}" role="img" aria-label="{escape(description)}"'
            f' style="height:{height}px"{mark}></div></div>'
        )
    grid = "panels" if len(panels) > 1 else "single"
    return (
        f'<figure class="{kind}"><h3>{title}</h3>{before}<div class="{grid}">{"".join(drawn)}</div>'
        "<noscript><p>Drawing needs JavaScript; the numbers are in the table below.</p></noscript>"
        f'<figcaption>{caption}<button type="button" class="save">Save as SVG</button></figcaption>'
        "</figure>"
    )


def _shown_points(comparison: Comparison) -> list[int]:
    """Up to two train and two test points, the watched one among them."""
    train = len(comparison.dataset.x_train)
    total = comparison.gp_mean.shape[1]
    chosen = comparison.point
    groups = []
    for group in (range(train), range(train, total)):
        first = [chosen] if chosen in group else []
        groups += [*first, *(p for p in group if p != chosen)][:2]
    return sorted(groups)


def _pairs(
    comparison: Comparison, get: Callable[[AtWidth], Measured | None]
) -> tuple[np.ndarray, np.ndarray]:
    """Values and errors over the widths, nan where there is none."""
    found = [get(w) or Measured(np.nan, np.nan) for w in comparison.widths]
    return np.array([m.value for m in found]), np.array([m.error for m in found])


def _theories(
    comparison: Comparison, get: Callable[[AtWidth], Measured | None]
) -> np.ndarray | None:
    values, _ = _pairs(comparison, get)
    return values if np.isfinite(values).any() else None


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _in_time(comparison: Comparison) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Deviation over all points: measured, error (correlated) and predicted, (widths, times)."""
    measured = np.array([_rms(w.deviation) for w in comparison.widths])
    error = np.array(
        [
            (w.deviation * w.deviation_error).mean(1) / np.maximum(_rms(w.deviation), 1e-300)
            for w in comparison.widths
        ]
    )
    if all(w.deviation_theory is None for w in comparison.widths):
        return measured, error, None
    missing = np.full(measured.shape[1], np.nan)
    theory = [
        missing if w.deviation_theory is None else _rms(w.deviation_theory)
        for w in comparison.widths
    ]
    return measured, error, np.array(theory)


def _rms(deviation: np.ndarray) -> np.ndarray:
    return np.sqrt((deviation**2).mean(1))


# ---------------------------------------------------------------------------------- words


def _formula(outputs: int) -> str:
    return f"""<p class="formula">z<sup>1</sup> = σ<sub>b</sub> b<sup>1</sup> + σ<sub>w</sub>
    W<sup>1</sup> x / √d, &emsp; z<sup>l+1</sup> = σ<sub>b</sub> b<sup>l+1</sup> + σ<sub>w</sub>
    W<sup>l+1</sup> φ(z<sup>l</sup>) / √n<sub>l</sub></p>
    <p>x is a data point with d coordinates, φ the activation, n<sub>l</sub> the width of hidden
    layer l, and the last z the {"output" if outputs == 1 else f"vector of {outputs} outputs"}. The
    entries of W and b are drawn independently with mean 0 and variance 1; σ<sub>w</sub>
    (weight_std) and σ<sub>b</sub> (bias_std) set their scale.</p>"""


def _ensembles(widths: Iterable[AtWidth]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{w.width}</th><td>{_thousands(w.initial_members)}</td>'
        f"<td>{_thousands(w.members)}</td><td>{_duration(w.seconds)}</td></tr>"
        for w in widths
    )
    return f"""<table class="small"><caption>How many, and how long it took</caption>
    <thead><tr><th scope="col">Width n</th><th scope="col">Untrained</th>
    <th scope="col">Trained</th><th scope="col">Time</th></tr></thead>
    <tbody>{rows}</tbody></table>"""


def _counts(comparison: Comparison) -> str:
    shown = {d.width for d in comparison.densities}
    counts = {w.initial_members for w in comparison.widths if w.width in shown}
    return " and ".join(_thousands(c) for c in sorted(counts))


def _difference_of_densities(comparison: Comparison) -> str:
    bins = (
        "Error bars: one binomial standard error of the share of networks that fall into the bin."
    )
    if any(d.measured is None for d in comparison.densities):
        return bins + _lost_in_noise(comparison)
    return (
        "The bars' error bars are one binomial standard error. The band below is far less noisy: "
        "given its hidden layers each network's output is Gaussian, and these densities are "
        "averaged instead of counting outputs; it is two standard errors wide on either side."
    )


def _lost_in_noise(comparison: Comparison) -> str:
    sampled = {w.width: w.initial_outputs for w in comparison.widths}
    lost = [
        f"n = {d.width}"
        for d in comparison.densities
        if d.corrected is not None
        and np.abs(d.corrected - d.gaussian).max()
        < draw.bin_error(d.z, d.gaussian, sampled[d.width])
    ]
    if not lost:
        return ""
    return (
        f" At {' and '.join(lost)} the predicted difference is smaller than the noise of a bin; the"
        " two figures below resolve it, with estimators that are far less noisy."
    )


def _decay(comparison: Comparison) -> str:
    if time_unit(comparison) == "steps":
        return "(1 − ηλ)<sup>k</sup> after k steps of size η"
    return "e<sup>−λt</sup> at time t"


# ---------------------------------------------------------------------------------- helpers


def _asset(name: str) -> str:
    return resources.files("widthwise.show").joinpath(name).read_text(encoding="utf-8")


def _section(id: str, title: str, content: str) -> str:
    return f'<section aria-labelledby="{id}"><h2 id="{id}">{title}</h2>{content}</section>'


def _definitions(rows: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{term}</dt><dd>{text}</dd>" for term, text in rows) + "</dl>"


def _items(texts: Iterable[str], kind: str = "") -> str:
    items = "".join(f"<li>{_exponents(escape(text))}</li>" for text in texts)
    return f'<ul class="{kind}">{items}</ul>' if kind else f"<ul>{items}</ul>"


def _key(kind: str, text: str) -> str:
    return f'<span class="{kind}">{text}</span>'


def _cell(value: float | None, error: float | None) -> str:
    if value is None:
        return "–"
    return with_error(value, error) if error else number(value, 4)


def _theory_cell(row: dict) -> str:
    """Theory with its error, or without where that would not show beside the measurement."""
    value, error, noise = row["theory"], row["theory_error"], row["standard_error"]
    if value is not None and row["width"] is None:
        return verdict.power(value)
    if value is not None and noise and (error or 0.0) < 0.05 * noise:
        return with_error(value, 0.1 * noise, plain=True)
    return _cell(value, error)


def _signed(z: float) -> str:
    return f"{z:+.1f}".replace("-", "−")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _sentence(text: str) -> str:
    """With a capital and a full stop, but n stays the width n."""
    return (_capital(text) if text[1:2].isalpha() else text).rstrip(".") + "."


def _thousands(count: int) -> str:
    return f"{count:,}".replace(",", "\u202f")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{number(seconds, 2)} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _toml(value: object) -> str:
    """A specification (nested mappings of plain values) as TOML."""
    assert isinstance(value, dict)
    tables = {name: v for name, v in value.items() if isinstance(v, dict)}
    lines = [f"{name} = {_inline(v)}" for name, v in value.items() if name not in tables]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {_inline(v)}" for key, v in table.items())]
    return "\n".join(lines)


def _inline(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_inline(v)}" for key, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _json(value: object) -> str:
    return _inert(json.dumps(value, ensure_ascii=False, allow_nan=False))


def _inert(text: str) -> str:
    """JSON that no HTML parser can leave: "<" occurs only within strings and may be escaped."""
    return text.replace("<", "\\u003c")


def _exponents(text: str) -> str:
    """n^(…) set as a superscript (the parentheses are the power's own)."""
    return re.sub(r"n\^\(([^)]*)\)", lambda m: f"n<sup>{m[1].replace('-', '−')}</sup>", text)
