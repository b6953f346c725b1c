"""Which networks are proven to reach zero loss, and what the proofs bound."""

from html import escape

from widthwise.certify import Certificate
from widthwise.certify.outward import down, up
from widthwise.experiments.certificates import CertificateAtWidth
from widthwise.experiments.comparison import Comparison
from widthwise.show.report.html import capital, section
from widthwise.show.verdict import number
from widthwise.show.verdict.wording import integer, thousands

_HEADS = (
    "Width n",
    "Proof",
    "Step η",
    "From step",
    "Fall per step",
    "Movement",
    "Kernel change",
)


def certificates(comparison: Comparison) -> str:
    """The section "Proof of convergence"."""
    found = comparison.certificates
    content = _INTRODUCTION + (_table(found) if _worth(found) else _absent(found))
    return section("certificates", "Proof of convergence", content + _OUTRO)


def _worth(found: tuple[CertificateAtWidth, ...]) -> bool:
    return any(at.certificate.holds for at in found)


def _table(found: tuple[CertificateAtWidth, ...]) -> str:
    heads = "".join(f'<th scope="col">{head}</th>' for head in _HEADS)
    rows = "".join(
        f'<tr><th scope="row">{integer(at.width)}</th>{_cells(at.certificate)}</tr>' for at in found
    )
    return f"""<p>From the step named on, every step of size η makes the residual (the vector of
    outputs less labels on the training points) smaller by at least the fall per step; the
    parameters stay within the movement of the random start (Euclidean norm), and the tangent kernel
    within the kernel change of its first value (spectral norm).</p>
    <div class="scroll" tabindex="0" role="region" aria-label="Table of certificates">
    <table><caption>One network per width, drawn with the study's seed</caption>
    <thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>{_reasons(found)}"""


def _cells(made: Certificate) -> str:
    if not made.holds:
        return "<td>not found</td>" + "<td>–</td>" * (len(_HEADS) - 2)
    texts = (
        "holds" if made.from_start else "holds for the computed step",
        _number(made.step),
        thousands(int(made.since)),
        "–" if made.rate is None else f"{number(float(down(100 * made.rate, 2)), 2)} %",
        _at_most(made.movement),
        _at_most(made.ntk_change),
    )
    return "".join(f"<td>{text}</td>" for text in texts)


def _number(value: float | None) -> str:
    return "–" if value is None else number(value)


def _at_most(value: float | None) -> str:
    """An upper bound, rounded up."""
    return "–" if value is None else number(float(up(value, 3)))


def _reasons(found: tuple[CertificateAtWidth, ...]) -> str:
    missing = [at for at in found if not at.certificate.holds]
    lines = "".join(
        f"<li>Width {integer(at.width)}: {escape(at.certificate.reason)}.</li>" for at in missing
    )
    if not lines:
        return ""
    return (
        "<p>A proof that was not found says nothing about training, only that the theorems do not"
        f" reach this network:</p><ul>{lines}</ul>"
    )


def _absent(found: tuple[CertificateAtWidth, ...]) -> str:
    if not found:
        return (
            "<p>None was looked for in this report: the tangent kernel is so ill-conditioned on"
            " these points, or the networks are so large, that it would take long. <code>widthwise"
            " certify</code> with the specification below does look for one.</p>"
        )
    reason = escape(capital(found[-1].certificate.reason))
    return (
        f"<p>No proof was found for any width. {reason}. This"
        " says nothing about training, only that the theorems do not reach these networks.</p>"
    )


_INTRODUCTION = """<p>Simulations show what happened. A certificate shows what must happen: for one
network drawn at random it checks, number by number, the hypotheses of a theorem which says that
gradient descent reaches zero loss on the training points. The theorem bounds how fast the residual
falls from some step on, and how far the network can be from its start at the end.</p>"""

_OUTRO = """<p>"Holds" is about exact gradient descent from the random start: how far rounding can
have taken the computed steps before "From step" from it is bounded, and part of the proof. "Holds
for the computed step" is about exact descent from the network as it was computed at that step;
rounding may have taken it away from exact descent from the start. The command
<code>widthwise certify</code> prints the theorem with all hypotheses, and certifies gradient flow
and other widths.</p>"""
