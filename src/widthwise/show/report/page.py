"""The page: header, verdict, sections, footer, and the file they are written to."""

import os
from html import escape
from pathlib import Path

import plotly.graph_objects as go

from widthwise.experiments.comparison import Comparison
from widthwise.show import verdict
from widthwise.show.report.certificates import certificates
from widthwise.show.report.computed import computed
from widthwise.show.report.document import document, written
from widthwise.show.report.html import items
from widthwise.show.report.initialization import initialization
from widthwise.show.report.reproduction import again, citation, methods
from widthwise.show.report.table import table
from widthwise.show.report.training import training


def write_report(comparison: Comparison, path: str | os.PathLike) -> Path:
    """Write the report of a study to one self-contained HTML file.

    The file appears whole or not at all: it is written beside ``path`` and then renamed.

    Args:
        comparison: a computed study.
        path: where to write; folders that do not exist are made.

    Returns:
        The path written.
    """
    return written(render(comparison), path)


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
    return document(
        f"{comparison.spec.title} · widthwise report", body, verdict.figures(comparison), plots
    )


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
