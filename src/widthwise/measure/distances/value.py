"""What a distance is: a number with its interval, and the floor below which samples see nothing.

Two samples of the same law are not at distance 0. Their expected distance, the **floor**, falls
like N^{−1/2} (N^{−1} for squared distances), and an estimate near it says only that the distance is
not larger. A distance between laws that are known has no floor, and its error is numerical.
"""

from dataclasses import dataclass

_CLEAR = 2.0  # estimates below this many floors say nothing but an upper limit


@dataclass(frozen=True)
class Distance:
    """A distance between two laws; ``str()`` is a readable statement and ``float()`` the value.

    Args:
        value: the estimate, or the distance where both laws are known. Estimates of squares
            (energy, MMD²) are unbiased and may be negative.
        error: standard error of sampling and error of numerics, together.
        interval: where the distance is.
        confidence: probability with which the interval covers it; 1 where nothing was sampled.
        floor: the size of estimates from samples as large as these of two equal laws: their mean,
            or of unbiased estimates their standard deviation; 0 where nothing was sampled.
        metric: which distance.
        method: how it was computed.
        notes: sentences on what to keep in mind; none if all is well.
    """

    value: float
    error: float
    interval: tuple[float, float]
    confidence: float
    floor: float
    metric: str
    method: str
    notes: tuple[str, ...] = ()

    @property
    def at_floor(self) -> bool:
        """Whether equal laws could well have given this estimate."""
        near = self.value < _CLEAR * self.floor or self.interval[0] <= 0
        return bool(self.floor > 0 and near)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The notes, and a sentence where the estimate lies at the floor."""
        if not self.at_floor:
            return self.notes
        said = (
            f"the estimate {self.value:.3g} lies at the Monte Carlo floor {self.floor:.3g}: these "
            f"samples only say that the distance is at most {self.interval[1]:.3g}; take more "
            "samples, or compare with a law that is known"
        )
        return (*self.notes, said)

    def __float__(self) -> float:
        return float(self.value)

    def __str__(self) -> str:
        low, high = self.interval
        how = "numerical error" if self.confidence == 1 else f"{self.confidence:.0%} interval"
        first = f"{self.metric} {self.value:.6g}, {how} [{low:.6g}, {high:.6g}] ({self.method})"
        return "\n".join([first, *(f"- {warning}" for warning in self.warnings)])


def known(value: float, error: float, metric: str, method: str, notes=()) -> Distance:
    """A distance between two known laws, with its numerical error."""
    low, high = max(value - error, 0.0), value + error
    return Distance(float(value), float(error), (low, high), 1.0, 0.0, metric, method, tuple(notes))
