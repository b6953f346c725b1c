"""What a fit of a rate says."""

from dataclasses import dataclass

_UNLIKELY = 0.01


@dataclass(frozen=True)
class Hypothesis:
    """A stated law C n^{−p} (log n)^q (1 + c n^{−1/2}) against the data, C (and c) free.

    Args:
        power: p.
        log_power: q.
        chi2: χ² of the data.
        degrees: degrees of freedom.
        probability: of a χ² as large, were the hypothesis true.
    """

    power: float
    log_power: float
    chi2: float
    degrees: int
    probability: float

    @property
    def rejected(self) -> bool:
        """Whether the data speak against it, at the level 1%."""
        return self.probability < _UNLIKELY

    def __str__(self) -> str:
        log = f" (log n)^{self.log_power:g}" if self.log_power else ""
        said = "rejected" if self.rejected else "compatible with the data"
        return (
            f"n^-{self.power:g}{log}: χ² {self.chi2:.3g} on {self.degrees} degrees of freedom, "
            f"probability {self.probability:.2g}: {said}"
        )


@dataclass(frozen=True)
class RatioTest:
    """Measured over predicted distance, r_n = r (1 + c/n): r = 1 tests exponent and constant.

    Args:
        limit: r.
        error: its standard error.
        chi2: χ² of r = 1 with c free.
        degrees: degrees of freedom.
        probability: of a χ² as large, were r = 1.
    """

    limit: float
    error: float
    chi2: float
    degrees: int
    probability: float

    @property
    def rejected(self) -> bool:
        """Whether the prediction is refuted, at the level 1%."""
        return self.probability < _UNLIKELY

    def __str__(self) -> str:
        said = "the prediction is refuted" if self.rejected else "the prediction holds"
        return (
            f"measured/predicted → {self.limit:.5g} ± {self.error:.1g} (1 expected; χ² "
            f"{self.chi2:.3g} on {self.degrees}, probability {self.probability:.2g}): {said}"
        )


@dataclass(frozen=True)
class Boundedness:
    """Whether values · n^{1/2}/(log n)^{1+δ} stays bounded, as an upper bound on a rate claims.

    Args:
        delta: δ.
        largest: the largest of the scaled values, plus two standard errors.
        at_width: where.
        slope: the slope of their logarithm in log n.
        error: its standard error.
    """

    delta: float
    largest: float
    at_width: float
    slope: float
    error: float

    @property
    def holds(self) -> bool:
        """Whether the scaled values do not grow over the widths seen, at two standard errors."""
        return self.slope <= 2 * self.error

    def __str__(self) -> str:
        said = "no growth is seen" if self.holds else "they grow over the widths measured"
        return (
            f"distance · n^(1/2)/(log n)^{1 + self.delta:g} is at most {self.largest:.4g} (at "
            f"width {self.at_width:g}), slope {self.slope:+.3f} ± {self.error:.1g}: {said}"
        )


@dataclass(frozen=True)
class RateFit:
    """How measured distances fall with the width; ``str()`` is the whole statement.

    Args:
        power: p of n^{−p} with the factor (1 + c n^{−1/2}) of the next order free where there are
            at least four widths.
        error: its standard error.
        plain_power: p of a pure power law; biased by the next order at common widths.
        plain_error: its standard error, which does not know of that bias.
        hypotheses: stated laws and their χ².
        ratio: the test against a prediction, if one was given.
        bounded: the test of the upper bound n^{−1/2} (log n)^{1+δ}.
        widths: how many widths were used.
        notes: sentences on what to keep in mind.
    """

    power: float
    error: float
    plain_power: float
    plain_error: float
    hypotheses: tuple[Hypothesis, ...]
    ratio: RatioTest | None
    bounded: Boundedness
    widths: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [
            f"distance ∝ n^-({self.power:.3f} ± {self.error:.2g}) over {self.widths} widths, the "
            f"next order free; a pure power: n^-({self.plain_power:.3f} ± {self.plain_error:.2g})",
            *(str(h) for h in self.hypotheses),
            *([str(self.ratio)] if self.ratio else []),
            str(self.bounded),
            *self.notes,
        ]
        return "\n".join(lines)
