"""What a measurement of a distance is: the distance, and the curve it was read off."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from widthwise.measure.distances.value import Distance
from widthwise.measure.estimators.curve import GRID, Curve


@dataclass(frozen=True, eq=False)
class MeasuredDistance(Distance):
    """A distance measured on networks of width n; see :func:`measured_distance`.

    Args:
        curve: F_n − Φ with its noise.
        width: n.
        time: t of gradient flow.
        members: how many networks.
        cut: for the paired estimator the size of the last two Hermite degrees in W₁, which says
            what is left out; else 0.
    """

    curve: Curve = field(kw_only=True, repr=False)
    width: int = field(kw_only=True)
    time: float = field(kw_only=True)
    members: int = field(kw_only=True)
    cut: float = field(kw_only=True, default=0.0)

    @property
    def grid(self) -> Float[np.ndarray, " grid"]:
        """u, in units of the standard deviation of the limit."""
        return GRID

    @property
    def difference(self) -> Float[np.ndarray, "directions grid"]:
        """F_n − Φ."""
        return self.curve.value

    @property
    def difference_error(self) -> Float[np.ndarray, "directions grid"]:
        """Its standard error."""
        return self.curve.error
