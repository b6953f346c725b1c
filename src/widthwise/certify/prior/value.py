"""The answer: a width, and the probability statement it comes with."""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["statistical", "proven"]


@dataclass(frozen=True)
class TestedWidth:
    """What was seen, or computed, at one width.

    Args:
        width: n.
        certified: seeds whose network was certified; ``None`` for a proven width.
        seeds: seeds drawn; fewer than planned where failures had already decided.
        lower_limit: Clopper–Pearson lower limit of the probability of a certificate at the level
            this test was given; for a proven width the probability, or 0.
        passed: whether the limit reaches the probability asked for.
    """

    __test__ = False  # not a test class of pytest

    width: int
    certified: int | None
    seeds: int | None
    lower_limit: float
    passed: bool


@dataclass(frozen=True)
class CertifiedWidth:
    """A width at which a random network is certified with a stated probability.

    Args:
        width: the smallest width found; infinite if none was.
        kind: ``"proven"`` (Theorem 5) or ``"statistical"`` (seeds drawn and certified).
        probability: over the initialization, that training is certified to converge.
        confidence: of a statistical statement; 1 for a proven one.
        tested: the widths looked at, in this order.
        constants: the numbers of Theorem 5, by name; empty for a statistical statement.
        statement: the probability statement in words, or why there is none.
    """

    width: int | float
    kind: Kind
    probability: float
    confidence: float
    tested: tuple[TestedWidth, ...]
    constants: dict[str, float]
    statement: str

    @property
    def found(self) -> bool:
        """Whether there is a width."""
        return not math.isinf(self.width)

    def __str__(self) -> str:
        return self.statement
