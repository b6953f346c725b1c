"""The methods in brief, how to compute all of it again, and what to cite."""

from html import escape
from string import Template

from widthwise.experiments.comparison import Comparison
from widthwise.show.cite import PAPER, PAPER_IN_WORDS
from widthwise.show.report.html import asset, duration, section
from widthwise.show.report.training import decay
from widthwise.show.verdict import number


def methods(comparison: Comparison) -> str:
    """The section "Methods in brief"."""
    fits = [
        f"{name}: χ² = {number(slope.chi2, 2)} on {slope.degrees} degrees of freedom"
        for name, slope in (
            ("κ<sub>4</sub>", comparison.fourth_cumulant_slope),
            ("deviation", comparison.deviation_slope),
        )
        if slope is not None
    ]
    words = f"With theory's power imposed, {'; '.join(fits)}." if fits else ""
    text = Template(asset("methods.html")).substitute(decay=decay(comparison), fits=words)
    return section("methods", "Methods in brief", text)


def again(comparison: Comparison) -> str:
    """The section "Compute it again"."""
    spec, data = comparison.spec, comparison.dataset
    versions = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(version)}</td></tr>'
        for name, version in comparison.versions.items()
    )
    return section(
        "again",
        "Compute it again",
        f"""<p>This study took {duration(comparison.seconds)}. This command makes it again:</p>
        <pre><code>{escape(comparison.command)}</code></pre>
        <p>with this specification (hash <code>{escape(spec.hash)}</code>):</p>
        <pre><code>{escape(spec.to_toml())}</code></pre>
        <p>Hash of the data: <code>{escape(data.hash)}</code></p>
        <table class="small"><caption>Software that computed it</caption>
        <thead><tr><th scope="col">Package</th><th scope="col">Version</th></tr></thead>
        <tbody>{versions}</tbody></table>""",
    )


def citation() -> str:
    """The section "Citation"."""
    return section(
        "citation",
        "Citation",
        f"""<p>The mathematics is that of {escape(PAPER_IN_WORDS)} If you use these figures, please
        cite the paper (<a href="https://arxiv.org/abs/2304.03385">arXiv:2304.03385</a>) and
        widthwise; <code>widthwise cite</code> prints both entries.</p>
        <pre><code>{escape(PAPER)}</code></pre>""",
    )
