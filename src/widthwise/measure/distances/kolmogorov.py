"""The Kolmogorov distance sup_z |F(z) − G(z)|: the test functions are indicators of half-lines."""

from dataclasses import dataclass

import numpy as np

from widthwise.measure.distances.laws import Given
from widthwise.measure.distances.line import Difference
from widthwise.measure.distances.sampling import Data, assessed, share
from widthwise.measure.distances.table import Table
from widthwise.measure.distances.value import Distance, known
from widthwise.measure.distances.wasserstein import described, on_line, side

_MEAN = np.sqrt(np.pi / 2) * np.log(2)  # of Kolmogorov's limit law


@dataclass(frozen=True, eq=False)
class HalfLine:
    """± the indicator of z ≤ place, or of z < place."""

    sign: float
    place: float
    open: bool

    def at(self, x: np.ndarray) -> np.ndarray:
        inside = x < self.place if self.open else x <= self.place
        return self.sign * inside

    def under(self, law: Data) -> float:
        assert isinstance(law, Table)
        return self.sign * float(law.cdf(np.array([self.place]))[0])


def largest(x: Data, y: Data) -> tuple[float, HalfLine]:
    """The distance and the half-line that attains it."""
    F, G = side(x), side(y)
    value, place, left = Difference(F, G).largest
    z = np.array([place])
    gap = F.below(z) - G.below(z) if left else F.cdf(z) - G.cdf(z)
    return value, HalfLine(float(np.sign(gap[0]) or 1.0), place, left)


def kolmogorov(x: Given, y: Given, *, confidence: float = 0.95) -> Distance:
    """The Kolmogorov distance sup_z |F(z) − G(z)| of two laws on the line.

    Args:
        x: samples (members,), or a law with ``cdf`` and ``ppf``.
        y: likewise.
        confidence: of the interval, where anything is sampled.

    Returns:
        :class:`Distance`; the floor is 0.8687 √(1/N + 1/M), the mean for equal continuous laws.

    Raises:
        ValueError: for samples of several dimensions or too few.

    Source:
        Kolmogorov (1933), Smirnov (1939).

    Example:
        >>> import widthwise as ww
        >>> normal = ww.distances.Normal
        >>> ww.distances.kolmogorov(normal(0.0, 1.0), normal(1.0, 1.0)).value.__round__(6)
        0.382925
    """
    a, b = on_line(x, "x"), on_line(y, "y")
    method = described(a, b)
    loosest = sum(data.loosest for data in (a, b) if isinstance(data, Table))
    if isinstance(a, Table) and isinstance(b, Table):
        return known(Difference(a, b).largest[0], loosest, "Kolmogorov", method)
    return assessed(
        largest,
        a,
        b,
        metric="Kolmogorov",
        method=method,
        confidence=confidence,
        widest=float(np.sqrt(share(a, b)) / 2),
        floor=float(_MEAN * np.sqrt(share(a, b))),
        numerical=loosest,
    )
