"""What the certificates of a study prove, in a sentence or two."""

from widthwise.experiments.comparison import Comparison
from widthwise.show.verdict.wording import integer, listed


def proofs(comparison: Comparison) -> tuple[str, ...]:
    """What was proven about one network per width; empty if no proof was tried."""
    found = comparison.certificates
    held = [at.width for at in found if at.certificate.holds]
    missing = [at.width for at in found if not at.certificate.holds]
    said = []
    if held:
        each = "one network of width" if len(held) == 1 else "one network each of width"
        said.append(
            f"Proven, not only observed: for {each} {listed([integer(n) for n in held])}, drawn at"
            " random, gradient descent brings the loss on the training points to zero. The proof"
            " is about these very networks, and its hypotheses were checked with bounds of the"
            " rounding errors."
        )
    if missing and held:
        said.append(
            f"For the network of width {listed([integer(n) for n in missing])} no such proof was"
            " found; that does not say that its training fails."
        )
    return tuple(said)
