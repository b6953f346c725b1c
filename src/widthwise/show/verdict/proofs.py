"""What the certificates of a study prove, in a sentence or two."""

from widthwise.experiments.comparison import Comparison
from widthwise.show.verdict.wording import integer, listed


def proofs(comparison: Comparison) -> tuple[str, ...]:
    """What was proven about one network per width; empty if no proof was tried."""
    found = comparison.certificates
    held = [at.width for at in found if at.certificate.holds and at.certificate.from_start]
    later = [at.width for at in found if at.certificate.holds and not at.certificate.from_start]
    missing = [at.width for at in found if not at.certificate.holds]
    said = []
    if held:
        said.append(
            f"Proven, not only observed: for {_networks(held)}, drawn at random, gradient descent"
            " brings the loss on the training points to zero. The proof is about these very"
            " networks, and its hypotheses were checked with bounds of the rounding errors."
        )
    if later:
        said.append(
            f"Proven, not only observed: for {_networks(later)}, drawn at random, gradient descent"
            " brings the loss on the training points to zero from the parameters on that its first"
            " steps were computed to reach. The rounding of those steps is not part of the proof."
        )
    if missing and (held or later):
        said.append(
            f"For the network of width {listed([integer(n) for n in missing])} no such proof was"
            " found; that does not say that its training fails."
        )
    return tuple(said)


def _networks(widths: list[int]) -> str:
    each = "one network of width" if len(widths) == 1 else "one network each of width"
    return f"{each} {listed([integer(n) for n in widths])}"
