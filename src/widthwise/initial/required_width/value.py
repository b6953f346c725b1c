"""The answer: a width, how sure it is, where the worst place is, and the deviation there."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise.initial.required_width.deviation import Deviation
from widthwise.initial.required_width.settled import ExactDistance

_NAMES = {
    "wasserstein": "Wasserstein-1 distance",
    "kolmogorov": "Kolmogorov distance",
    "relative_variance": "relative change of the variance",
    "excess_kurtosis": "excess kurtosis",
}


@dataclass(frozen=True, eq=False)
class RequiredWidth:
    """The smallest width at which the law of the outputs is within a tolerance.

    ``width`` is ``inf`` where no width suffices; ``warnings`` then says why.

    Args:
        width: the smallest n such that from n on the deviation is within the tolerance, at every
            point and direction.
        uncertainty: the widths at which the deviation less, and plus, what the series leaves out
            (its last term, with the numerical errors) meets the tolerance.
        worst: the point, or the row of ``directions``, that needs this width.
        place: the same in words.
        widths: the width that each point or direction needs by itself.
        order: the highest power of n^{-1/2} used at the worst place.
        tolerance: what was asked for.
        metric: what is measured.
        unit: of the tolerance.
        within: ``"limit"`` or ``"corrected"``.
        settled: whether the exact law, not the series, says the width.
        warnings: sentences that speak against the number; none if all is well.
    """

    width: int | float
    uncertainty: tuple[int | float, int | float]
    worst: int
    place: str
    widths: Float[np.ndarray, " places"]
    order: int
    tolerance: float
    metric: str
    unit: str
    within: str
    settled: bool
    warnings: tuple[str, ...]
    _deviation: Deviation | None
    _exact: ExactDistance | None

    def distance(self, width: float, order: int | None = None) -> float:
        """The deviation from the Gaussian process at the worst place and width n.

        Args:
            width: n.
            order: the highest power of n^{-1/2} used; by default that of the answer, or the exact
                law if it is what settled the answer.

        Raises:
            ValueError: where there is no series, or not to this order.
        """
        if self._exact is not None and order is None:
            return float(self._exact.at(checks.width(width)).value)
        return self._series.at(checks.width(width), self._checked(order))

    def remainder(self, width: float) -> float:
        """What the series leaves out at the worst place and width n, as an estimate.

        Raises:
            ValueError: where there is no series.
        """
        n = checks.width(width)
        return self._series.remainder(n) + self._series.numerical(n)

    @property
    def _series(self) -> Deviation:
        if self._deviation is None:
            raise ValueError(f"there is no series in n^(-1/2) here: {self.warnings[0]}")
        return self._deviation

    def _checked(self, order: int | None) -> int:
        last = self.order if order is None else checks.order(order)
        if last > self._series.order:
            raise ValueError(
                f"order {last} was asked of a series computed to order {self._series.order}"
            )
        return last

    def __str__(self) -> str:
        of = "the Gaussian process" if self.within == "limit" else "the corrected law"
        what = f"within {self.tolerance:g} of {of} ({_NAMES[self.metric]}{self.unit})"
        if math.isinf(self.width):
            lines = [f"no width keeps the output law {what}, at {self.place}"]
        else:
            low, high = map(_integer, self.uncertainty)
            lines = [
                f"width {_integer(self.width)} ({low} to {high}) keeps the output law {what}; "
                f"the worst place is {self.place}, "
                + ("by the exact law" if self.settled else f"order {self.order}")
            ]
        return "\n".join([*lines, *self.warnings])


def _integer(width: float) -> str:
    return f"{width:.4g}" if width >= 1e7 or math.isinf(width) else f"{width:.0f}"
