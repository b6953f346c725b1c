"""Figures on the page: panels under one heading and one caption, colors named in words."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import plotly.graph_objects as go

from widthwise.show import figures as draw
from widthwise.show.report.html import json_script


class Panel(NamedTuple):
    """One plot: what is drawn, its description for who does not see it, and its heading."""

    plot: go.Figure
    description: str
    heading: str = ""


def figure(
    title: str,
    panels: Sequence[Panel],
    plots: list[go.Figure],
    caption: str,
    *,
    before: str = "",
    switched: bool = False,
    kind: str = "stacked",
) -> str:
    """One or more panels under one caption; their plots join the ``plots`` of the page."""
    drawn = []
    for plot, description, heading in panels:
        plots.append(plot)
        height = plot.layout.height or draw.HEIGHT  # pyright: ignore[reportAttributeAccessIssue]
        head = f"<h4>{escape(heading)}</h4>" if heading else ""
        mark = " data-switched" if switched else ""
        drawn.append(
            f'<div>{head}<div class="plot" id="plot-{len(plots)}" role="img"'
            f' aria-label="{escape(description)}" style="height:{height}px"{mark}></div></div>'
        )
    grid = "panels" if len(panels) > 1 else "single"
    return (
        f'<figure class="{kind}"><h3>{title}</h3>{before}<div class="{grid}">{"".join(drawn)}</div>'
        "<noscript><p>Drawing needs JavaScript; the numbers are in the table below.</p></noscript>"
        f'<figcaption>{caption}<button type="button" class="save">Save as SVG</button></figcaption>'
        "</figure>"
    )


def plot_data(plots: Sequence[go.Figure]) -> str:
    """The plots of the page, which its script draws."""
    return "\n".join(
        json_script(f"plot-{i}-data", str(plot.to_json())) for i, plot in enumerate(plots, 1)
    )


LIMIT = '<span class="limit">(grey-blue)</span>'
CORRECTED = '<span class="corrected">(orange, dashed)</span>'
NETWORKS = '<span class="networks">(teal)</span>'
