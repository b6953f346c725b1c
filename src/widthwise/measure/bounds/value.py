r"""What a bound is: a number, the theorem it comes from, its hypotheses and its constants.

A bound that could not be obtained is a value too: infinite, with the hypothesis that is missing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

NOT_AVAILABLE = "not available"


@dataclass(frozen=True)
class Hypothesis:
    """One hypothesis of a theorem, in words, and whether it holds."""

    statement: str
    holds: bool = True

    def __str__(self) -> str:
        return f"{'holds' if self.holds else 'FAILS':5}  {self.statement}"


@dataclass(frozen=True, eq=False)
class DistanceBound:
    """An upper bound of the distance to the Gaussian process; ``str()`` states it, ``float()`` is
    its value.

    Args:
        value: the bound; infinite where no theorem applies.
        metric: which distance.
        width: n.
        method: the theorem, or ``"not available"``.
        constants: the numbers in it, by name.
        hypotheses: what it rests on; one that fails is why there is no bound.
        confidence: probability with which the bound holds; 1 where nothing was sampled.
        others: the other theorems tried, each a bound.
        times: of training, if the bound is about trained networks at given times.
        values: bounds at these times, all at once with the confidence.
    """

    value: float
    metric: str
    width: int
    method: str
    constants: Mapping[str, float] = field(default_factory=dict)
    hypotheses: tuple[Hypothesis, ...] = ()
    confidence: float = 1.0
    others: tuple["DistanceBound", ...] = ()
    times: Float[np.ndarray, " times"] | None = None
    values: Float[np.ndarray, " times"] | None = None

    @property
    def available(self) -> bool:
        """Whether there is a bound."""
        return self.method != NOT_AVAILABLE

    @property
    def reason(self) -> str:
        """Why there is no bound; empty if there is one."""
        return "; ".join(h.statement for h in self.hypotheses if not h.holds)

    def __float__(self) -> float:
        return float(self.value)

    def __str__(self) -> str:
        what = f"{self.metric} distance to the Gaussian process at width {self.width}"
        if not self.available:
            head = f"No bound of the {what}."
        else:
            sure = "" if self.confidence == 1 else f" with confidence {self.confidence:g}"
            head = f"{what[0].upper()}{what[1:]} ≤ {self.value:.6g}{sure}, by {self.method}."
        lines = [head, *(f"  {hypothesis}" for hypothesis in self.hypotheses)]
        if self.constants:
            lines.append(
                "Constants: " + ", ".join(f"{k} = {v:.6g}" for k, v in self.constants.items())
            )
        if self.times is not None and self.values is not None:
            pairs = zip(self.times, self.values, strict=True)
            lines += [f"At time {t:g}: ≤ {v:.6g}" for t, v in pairs]
        lines += [
            f"Also {o.method}: {o.value:.6g}" if o.available else f"Not applicable: {o.reason}"
            for o in self.others
        ]
        return "\n".join(lines)


def unavailable(metric: str, width: int, *reasons: str) -> DistanceBound:
    """No bound, and why."""
    hypotheses = tuple(Hypothesis(reason, holds=False) for reason in reasons)
    return DistanceBound(math.inf, metric, width, NOT_AVAILABLE, {}, hypotheses)
