"""All figures with their errors, as a table to read."""

from html import escape

from widthwise.experiments.comparison import Comparison
from widthwise.show import verdict
from widthwise.show.report.html import capital, section
from widthwise.show.verdict import number, power, with_error


def table(comparison: Comparison) -> str:
    """The section "All figures with their errors"."""
    groups: dict[str, list[dict]] = {}
    for row in verdict.figures(comparison):
        groups.setdefault(row["quantity"], []).append(row)
    bodies = "".join(
        f'<tbody><tr><th scope="rowgroup" colspan="4">{escape(capital(quantity))}</th></tr>'
        f"{''.join(map(_line, rows))}</tbody>"
        for quantity, rows in groups.items()
    )
    return section(
        "figures",
        "All figures with their errors",
        f"""<div class="scroll" tabindex="0" role="region" aria-label="Table of all figures">
        <table id="figures-table"><caption>± is one standard error; z = (measured −
        theory) in standard errors. Theory stands without ± where its own error is far below the
        measurement's. It is a truncated series: a large |z| that shrinks as the width grows is the
        next order becoming visible, not a failure.</caption>
        <thead><tr><th scope="col">Width n</th><th scope="col">Measured</th>
        <th scope="col">Theory</th><th scope="col">z</th></tr></thead>
        {bodies}</table></div>
        <p>Programs find these rows as JSON in the element
        <code>script#widthwise-figures</code> of this page.</p>""",
    )


def _line(row: dict) -> str:
    z = "–" if row["z_score"] is None else f"{row['z_score']:+.1f}".replace("-", "−")
    return (
        f'<tr><th scope="row">{row["width"] or "all widths"}</th>'
        f"<td>{_cell(row['measured'], row['standard_error'])}</td>"
        f"<td>{_theory_cell(row)}</td>"
        f"<td>{z}</td></tr>"
    )


def _cell(value: float | None, error: float | None) -> str:
    if value is None:
        return "–"
    return with_error(value, error) if error else number(value, 4)


def _theory_cell(row: dict) -> str:
    """Theory with its error, or without where that would not show beside the measurement."""
    value, error, noise = row["theory"], row["theory_error"], row["standard_error"]
    if value is not None and row["width"] is None:
        return power(value)
    if value is not None and noise and (error or 0.0) < 0.05 * noise:
        return with_error(value, 0.1 * noise, plain=True)
    return _cell(value, error)
