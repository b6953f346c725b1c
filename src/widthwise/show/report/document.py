"""The file of a page: one HTML document, written whole or not at all."""

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from widthwise.show import figures as draw
from widthwise.show.report.html import asset, data_script
from widthwise.show.report.plots import plot_data

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath "
    "d='M1 13C5 13 5 3 8 3s3 10 7 10' fill='none' stroke='%2300856a' stroke-width='2'/%3E%3C/svg%3E"
)


def document(title: str, body: str, figures: object, plots: Sequence[go.Figure]) -> str:
    """A whole page that needs no network.

    Args:
        title: plain text of the window.
        body: HTML.
        figures: the numbers of the page, for programs that read it.
        plots: the plots that ``body`` has places for.
    """
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="widthwise">
<title>{escape(title)}</title>
<link rel="icon" href="{ICON}">
<style>{asset("page.css")}</style>
</head>
<body>
{body}
{data_script("widthwise-figures", figures)}
{data_script("plot-config", draw.CONFIG)}
{plot_data(plots)}
<script>{get_plotlyjs()}</script>
<script>{asset("page.js")}</script>
</body>
</html>
"""


def written(page: str, path: str | os.PathLike) -> Path:
    """Write a page beside ``path``, then rename it; folders that do not exist are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(page, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
