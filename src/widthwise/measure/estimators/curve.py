r"""F_n − Φ on a grid, with its noise, and the distances it gives.

For a projection of standard deviation σ in the limit let D(u) = F_n(u) − Φ(u) in units of σ. Then

    W₁ = σ ∫ |D| du,    KS = sup |D|,    energy = 2σ ∫ D² du.

An estimated curve has noise of covariance Σ_r e_r(u) e_r(u'), with rows e_r from independent
batches and from the errors of whatever else went in. Curves D + Σ_r ξ_r e_r, ξ standard normal,
show how a distance varies (the multiplier bootstrap); curves Σ_r ξ_r e_r alone show what would be
measured if there were nothing, the **floor**. |D| and sup |D| are convex, so that noise pushes them
up: the bootstrap measures by how much, and it is taken off. The energy distance is a square, whose
bias is exactly 2σ ∫ Σ_r e_r² du.

Source: van der Vaart and Wellner, *Weak Convergence and Empirical Processes* (1996), 2.9 and 3.6.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from widthwise.measure.exact import SLICED

GRID = np.linspace(-8.0, 8.0, 401)
GRID.setflags(write=False)
MEASURED = ("wasserstein1", "kolmogorov", "energy", "sliced_wasserstein1")
"""Distances that a curve gives."""

_BOOTSTRAP = 400
_STEP = float(GRID[1] - GRID[0])


class Reading(NamedTuple):
    """A distance read off a curve: estimate, standard error, floor, error of the grid."""

    value: float
    error: float
    floor: float
    numerical: float


@dataclass(frozen=True, eq=False)
class Curve:
    """F_n − Φ of one or several projections.

    Args:
        std: σ of every projection in the limit.
        value: D on :data:`GRID`, one row per projection.
        noise: independent rows e_r whose squares add up to the variance of the value.
        systematic: a bound on |error of D| that is not noise, per projection.
    """

    std: Float[np.ndarray, " directions"]
    value: Float[np.ndarray, "directions grid"]
    noise: Float[np.ndarray, "rows directions grid"]
    systematic: Float[np.ndarray, " directions"]

    def __getitem__(self, row: int) -> "Curve":
        """The curve of one projection."""
        one = slice(row, row + 1)
        return Curve(self.std[one], self.value[one], self.noise[:, one], self.systematic[one])

    @property
    def error(self) -> Float[np.ndarray, "directions grid"]:
        """The standard error of the curve."""
        return np.sqrt((self.noise**2).sum(0))

    def plus(self, other: "Curve") -> "Curve":
        """The sum of two curves whose noise is independent."""
        noise = np.concatenate([self.noise, other.noise])
        systematic = self.systematic + other.systematic
        return Curve(self.std, self.value + other.value, noise, systematic)

    def distance(self, metric: str, value: np.ndarray) -> np.ndarray:
        """A distance, averaged over projections, of curves (..., directions, grid)."""
        name = SLICED.get(metric, metric)
        if name == "wasserstein1":
            each = self.std * absolute_integral(value)
        elif name == "kolmogorov":
            each = np.abs(value).max(-1)
        else:
            each = 2 * self.std * np.trapezoid(value**2, dx=_STEP, axis=-1)
        return np.asarray(each.mean(-1))

    def read(self, metric: str) -> Reading:
        """The distance with its error.

        Args:
            metric: one of :data:`MEASURED`.
        """
        rng = np.random.default_rng(0)
        draws = rng.standard_normal((_BOOTSTRAP, len(self.noise)))
        noise = np.tensordot(draws, self.noise, 1)
        plain = float(self.distance(metric, self.value))
        shaken = self.distance(metric, self.value + noise)
        nothing = self.distance(metric, noise)
        if metric == "energy":
            value, floor = plain - float(nothing.mean()), float(nothing.std(ddof=1))
        else:
            value = max(2 * plain - float(shaken.mean()), 0.0)
            floor = float(nothing.mean())
        error = float(shaken.std(ddof=1))
        return Reading(value, error, floor, self._numerical(metric, plain))

    def _numerical(self, metric: str, plain: float) -> float:
        """What the grid, which half as many points tell, and the systematic error amount to."""
        half = Curve(self.std, self.value[:, ::2], self.noise[..., ::2], self.systematic)
        name, size = SLICED.get(metric, metric), self.systematic
        if name == "wasserstein1":
            coarse = (self.std * absolute_integral(half.value, 2 * _STEP)).mean()
            reach = 2 * _STEP * (self.error + np.abs(self.value) > size[:, None] / 10).sum(-1)
            known = (self.std * size * np.minimum(reach, GRID[-1] - GRID[0])).mean()
        elif name == "kolmogorov":
            coarse, known = half.distance(metric, half.value), size.mean()
        else:
            coarse = 2 * (self.std * np.trapezoid(half.value**2, dx=2 * _STEP, axis=-1)).mean()
            known = 4 * (self.std * size * absolute_integral(self.value)).mean()
        return float(abs(plain - coarse) / 3 + known)


def absolute_integral(
    value: Float[np.ndarray, "*curves grid"], step: float = _STEP
) -> Float[np.ndarray, "*curves"]:
    """∫ |D| du of a piecewise linear D, sign changes found exactly."""
    a, b = value[..., :-1], value[..., 1:]
    size = np.abs(a) + np.abs(b)
    crossing = a * b < 0
    bent = (a**2 + b**2) / np.where(crossing, size, 1.0)
    return np.asarray(step / 2 * np.where(crossing, bent, size).sum(-1))
