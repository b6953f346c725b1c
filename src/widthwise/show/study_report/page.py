"""The page of a study: what was asked, how far it is, figures, numbers, and how to go on."""

import os
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from widthwise.show.plain import plain
from widthwise.show.report.document import document, written
from widthwise.show.report.html import capital, duration, items, section
from widthwise.show.report.plots import Panel, figure
from widthwise.show.report.reproduction import citation
from widthwise.show.study_report.curves import DRAWN, Curve, curves
from widthwise.show.study_report.figure import drawn
from widthwise.show.verdict import number, with_error

if TYPE_CHECKING:
    from widthwise.experiments.studies import Status
    from widthwise.experiments.study import Study

_ROWS = 400  # of one table


def write_study_report(study: "Study", path: str | os.PathLike) -> Path:
    """Write the report of a study to one self-contained HTML file, whole or not at all.

    Args:
        study: one that was run, at least in part.
        path: where to write; folders that do not exist are made.

    Returns:
        The path written.
    """
    return written(render(study), path)


def render(study: "Study") -> str:
    """The report of a study as one HTML page."""
    plots: list[go.Figure] = []
    state, axes = study.status(), tuple(axis.dimension for axis in study.spec.axes)
    results = study.results()
    sections, rows = [], []
    for quantity in results.children:
        content = []
        for what in DRAWN[quantity]:
            found = curves(results, quantity, what, axes)
            if found is None:
                continue
            along, shown, count = found
            rows += _rows(quantity, what.title, along, shown)
            plot = drawn(along, shown, what.title, logarithmic=what.logarithmic)
            caption = _caption(along, shown, count, what.logarithmic)
            content.append(figure(capital(what.title), [Panel(plot, what.title)], plots, caption))
        if note := results[quantity].attrs.get("no_result"):
            content.append(items([f"No result: {note}"], "caveats"))
        name = quantity.replace("_", " ")
        sections.append(section(quantity, capital(name), "".join(content) or _NOTHING))
    body = "\n".join(
        (
            f'<header><p class="kind">widthwise study</p><h1>{escape(study.spec.title)}</h1>'
            "</header><main>",
            _state(study, state),
            _navigation(list(results.children)),
            *sections,
            _table(rows),
            _again(study),
            citation(),
            "</main><footer><p>This page is one file; it works offline and sends nothing anywhere."
            "</p></footer>",
        )
    )
    return document(f"{study.spec.title} · widthwise study", body, plain(rows), plots)


def _readable(value: float, error: float) -> str:
    """A number and its error; where it is known to more than six digits, the six."""
    return number(value, 6) if error < 1e-6 * abs(value) else with_error(value, error)


_NOTHING = "<p>Nothing of this is computed yet.</p>"


def _state(study: "Study", state: "Status") -> str:
    texts = [
        f"{state.done} of {state.jobs} jobs are done"
        + ("." if state.complete else f"; go on with: widthwise resume {study.directory}")
    ]
    texts += [
        f"{part.quantity.replace('_', ' ')}: {part.done} of {part.jobs} jobs, "
        f"{duration(part.seconds)}"
        for part in state.parts
    ]
    lines = [f"{axis.dimension}: {len(axis)} values" for axis in study.spec.axes] or [
        "one grid point"
    ]
    caveats = [f"{q}: {points} grid points have no result: {r}" for q, r, points in state.refused]
    caveats += [
        f"{part.quantity}: {part.diverged} diverged networks are left out"
        for part in state.parts
        if part.diverged
    ]
    content = items(texts) + "<h3>Axes of the grid</h3>" + items(lines)
    if caveats:
        content += "<h3>What is missing</h3>" + items(caveats, "caveats")
    return (
        '<section class="verdict" aria-labelledby="verdict"><h2 id="verdict">What was asked</h2>'
        f"{content}</section>"
    )


def _navigation(quantities: list[str]) -> str:
    places = [(name, capital(name.replace("_", " "))) for name in quantities]
    places += [("figures", "All numbers drawn"), ("again", "Compute it again")]
    links = "".join(f'<li><a href="#{id}">{text}</a></li>' for id, text in places)
    return f'<nav aria-label="Sections"><ul>{links}</ul></nav>'


def _caption(along: str, shown: list[Curve], count: int, logarithmic: bool) -> str:
    words = ["One curve per combination of the study's axes; bars are one error."]
    if logarithmic:
        words.append("Absolute values on a logarithmic axis.")
    if any((curve.theory == curve.theory).any() for curve in shown):
        words.append("Dashed: theory.")
    if count > len(shown):
        words.append(f"{count - len(shown)} more curves are in the results and not drawn.")
    if along == "width":
        fits = [(curve.name, slope) for curve in shown if (slope := curve.slope) is not None]
        words += [
            f"{escape(name)}: n<sup>{_readable(slope.value, slope.error)}</sup>."
            for name, slope in fits
        ]
    return " ".join(words)


def _rows(quantity: str, title: str, along: str, shown: list[Curve]) -> list[dict]:
    return [
        {
            "quantity": quantity,
            "what": title,
            "curve": curve.name,
            along: x,
            "x": x,
            "value": float(y),
            "error": float(error),
            "theory": float(theory),
        }
        for curve in shown
        if len(curve.x) <= 40
        for x, y, error, theory in zip(
            curve.x.tolist(), curve.y, curve.error, curve.theory, strict=True
        )
    ]


def _table(rows: list[dict]) -> str:
    lines = "".join(
        f'<tr><th scope="row">{escape(row["quantity"].replace("_", " "))}</th>'
        f"<td>{escape(row['curve'])}</td><td>{escape(str(row['x']))}</td>"
        f"<td>{_readable(row['value'], row['error'])}</td>"
        f"<td>{number(row['theory'], 4) if row['theory'] == row['theory'] else '–'}</td></tr>"
        for row in rows[:_ROWS]
    )
    more = f"<p>{len(rows) - _ROWS} more rows are in the JSON.</p>" if len(rows) > _ROWS else ""
    return section(
        "figures",
        "All numbers drawn",
        f"""<div class="scroll" tabindex="0" role="region" aria-label="Table of all numbers drawn">
        <table id="figures-table"><caption>± is the error, left out where
        it is below the digits shown or not known.</caption>
        <thead><tr><th scope="col">Quantity</th><th scope="col">Curve</th><th scope="col">At</th>
        <th scope="col">Value</th><th scope="col">Theory</th></tr></thead><tbody>{lines}</tbody>
        </table></div>{more}<p>Programs find these rows as JSON in the element
        <code>script#widthwise-figures</code> of this page, and everything else by
        <code>widthwise export</code>.</p>""",
    )


def _again(study: "Study") -> str:
    came_from = study.provenance[-1] if study.provenance else {}
    versions = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(version)}</td></tr>'
        for name, version in came_from.items()
    )
    changes = "".join(f"<p><strong>{escape(line)}.</strong></p>" for line in study.software_changes)
    return section(
        "again",
        "Compute it again",
        f"""{changes}
        <p>Save this specification (hash <code>{escape(study.spec.hash)}</code>) as study.toml
        and run <code>widthwise run study.toml --output DIRECTORY</code>:</p>
        <pre><code>{escape(study.spec.to_toml())}</code></pre>
        <table class="small"><caption>What computed it last ({len(study.provenance)} entries in
        all)</caption><thead><tr><th scope="col">Name</th><th scope="col">Value</th></tr></thead>
        <tbody>{versions}</tbody></table>""",
    )
