"""The page: header, verdict, sections, footer, and the file they are written to."""

import os
from html import escape
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from widthwise.experiments.comparison import Comparison
from widthwise.show import figures as draw
from widthwise.show import verdict
from widthwise.show.report.certificates import certificates
from widthwise.show.report.computed import computed
from widthwise.show.report.html import asset, data_script, items
from widthwise.show.report.initialization import initialization
from widthwise.show.report.plots import plot_data
from widthwise.show.report.reproduction import again, citation, methods
from widthwise.show.report.table import table
from widthwise.show.report.training import training

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
    plots: list[go.Figure] = []
    body = "\n".join(
        (
            _header(comparison),
            "<main>",
            _verdict(comparison),
            _navigation(),
            computed(comparison),
            initialization(comparison, plots),
            training(comparison, plots),
            certificates(comparison),
            table(comparison),
            methods(comparison),
            again(comparison),
            citation(),
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
<title>{escape(comparison.spec.title)} · widthwise report</title>
<link rel="icon" href="{ICON}">
<style>{asset("page.css")}</style>
</head>
<body>
{body}
{data_script("widthwise-figures", verdict.figures(comparison))}
{data_script("plot-config", draw.CONFIG)}
{plot_data(plots)}
<script>{get_plotlyjs()}</script>
<script>{asset("page.js")}</script>
</body>
</html>
"""


def _header(comparison: Comparison) -> str:
    return f"""<header>
<p class="kind">widthwise report: finite networks against infinite-width theory</p>
<h1>{escape(comparison.spec.title)}</h1>
</header>"""


def _verdict(comparison: Comparison) -> str:
    parts = [items(verdict.findings(comparison))]
    if advice := verdict.advice(comparison):
        parts += ["<h3>How wide is wide enough?</h3>", items(advice)]
    if caveats := verdict.caveats(comparison):
        parts += ["<h3>Before you rely on this</h3>", items(caveats, "caveats")]
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
        ("certificates", "Proof of convergence"),
        ("figures", "All figures"),
        ("methods", "Methods"),
        ("again", "Compute it again"),
        ("citation", "Citation"),
    )
    links = "".join(f'<li><a href="#{id}">{text}</a></li>' for id, text in places)
    return f'<nav aria-label="Sections"><ul>{links}</ul></nav>'


def _footer(comparison: Comparison) -> str:
    version = comparison.versions.get("widthwise", "")
    return (
        f"<footer><p>Written by widthwise {escape(version)}. This page is one file; it works"
        " offline and sends nothing anywhere.</p></footer>"
    )
