"""What was computed: data, study, network, training, and how many real networks."""

from collections.abc import Iterable
from html import escape

from widthwise.experiments.comparison import AtWidth, Comparison
from widthwise.show.report.html import capital, duration, items, section
from widthwise.show.verdict.wording import thousands


def computed(comparison: Comparison) -> str:
    """The section "What was computed"."""
    data, spec = comparison.dataset, comparison.spec
    about = items(map(_sentence, data.description))
    rows = (
        ("Data", f"<p><strong>{escape(data.name)}</strong></p>{about}"),
        ("Study", items(map(_sentence, spec.describe()))),
        ("Network", _formula(comparison.gp_mean.shape[-1])),
        (
            "Training",
            "All parameters are trained together on all train points, with the loss"
            f" ½ Σ (f(x) − y)<sup>2</sup>; {len(comparison.times)} moments of it are recorded.",
        ),
        ("Real networks", _ensembles(comparison.widths)),
    )
    definitions = "".join(f"<dt>{term}</dt><dd>{text}</dd>" for term, text in rows)
    return section("computed", "What was computed", f"<dl>{definitions}</dl>")


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
        f'<tr><th scope="row">{w.width}</th><td>{thousands(w.initial_members)}</td>'
        f"<td>{thousands(w.members)}</td><td>{duration(w.seconds)}</td></tr>"
        for w in widths
    )
    return f"""<table class="small"><caption>How many, and how long it took</caption>
    <thead><tr><th scope="col">Width n</th><th scope="col">Untrained</th>
    <th scope="col">Trained</th><th scope="col">Time</th></tr></thead>
    <tbody>{rows}</tbody></table>"""


def _sentence(text: str) -> str:
    """With a capital and a full stop, but n stays the width n."""
    return (capital(text) if text[1:2].isalpha() else text).rstrip(".") + "."
