r"""A standardized Edgeworth law on the line, an independent output bias included.

In units of the standard deviation of the Gaussian limit, with shifts s of shares p (one of 0, or
those of :mod:`.bias`) and v = u − s,

    density(u) = Σ_s p φ(v) Σ_r w_r He_r(v),
    distribution(u) = Σ_s p [w_0 Φ(v) − φ(v) Σ_{r≥1} w_r He_{r−1}(v)].
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.polynomial import hermite_e
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import norm

from widthwise._vocabulary import ArrayLike

_FAR = 39.0  # beyond it the Gaussian density is 0 in float64
_REACH = 14.0
_SPACING = 0.02


@dataclass(frozen=True, eq=False)
class Line:
    """w_r, and where the law is moved to.

    Args:
        weights: w_r; several columns are several functions, such as the orders of a series.
        shifts: s.
        shares: p.
    """

    weights: Float[np.ndarray, "degrees *functions"]
    shifts: Float[np.ndarray, " shifts"]
    shares: Float[np.ndarray, " shifts"]

    def summed(self, order: int) -> "Line":
        """The columns up to one, added up."""
        return Line(self.weights[:, : order + 1].sum(1), self.shifts, self.shares)

    @property
    def far(self) -> float:
        """Where the density is 0 in float64 from."""
        return _FAR + float(np.abs(self.shifts).max())

    @property
    def reach(self) -> float:
        """How far out there is any mass worth speaking of."""
        return 10.0 + float(np.abs(self.shifts).max())

    def density(self, u: ArrayLike) -> np.ndarray:
        """The density of every function at every u (*functions, *shape of u)."""
        return self._averaged(u, lambda v: norm.pdf(v) * hermite_e.hermeval(v, self.weights))

    def distribution(self, u: ArrayLike) -> np.ndarray:
        """The distribution function of every function at every u, likewise."""
        first, later = self.weights[0], self.weights[1:]

        def one(v):
            value = np.multiply.outer(first, ndtr(v))
            return value - norm.pdf(v) * hermite_e.hermeval(v, later) if len(later) else value

        return self._averaged(u, one)

    def _averaged(self, u: ArrayLike, function) -> np.ndarray:
        at = np.clip(np.asarray(u, dtype=float), -self.far, self.far)
        total = 0.0
        for shift, share in zip(self.shifts, self.shares, strict=True):
            total = total + share * function(np.asarray(np.clip(at - shift, -_FAR, _FAR)))
        return np.asarray(total)

    def sign_changes(self) -> Float[np.ndarray, " edges"]:
        """The points where the density changes its sign, between −far and far."""
        inner = self._of_polynomial() if len(self.shifts) == 1 else self._of_grid()
        return np.concatenate([[-self.far], inner, [self.far]])

    def _of_grid(self) -> np.ndarray:
        end = _REACH + float(np.abs(self.shifts).max())
        u = np.linspace(-end, end, 2 * int(np.ceil(end / _SPACING)) + 1)
        values = self.density(u)
        found = [
            brentq(lambda t: float(self.density(t)), u[i], u[i + 1], xtol=1e-14)
            for i in np.flatnonzero(values[1:] * values[:-1] < 0)
        ]
        return np.array(found)

    def _of_polynomial(self) -> np.ndarray:
        trimmed = np.trim_zeros(self.weights, "b")
        roots = hermite_e.hermeroots(trimmed) if len(trimmed) > 1 else np.zeros(0)
        real = roots[np.abs(roots.imag) <= 1e-5 * (1 + np.abs(roots))].real
        edges = np.concatenate([[-_FAR], np.sort(real[np.abs(real) < _FAR]), [_FAR]])
        signs = np.sign(hermite_e.hermeval((edges[1:] + edges[:-1]) / 2, self.weights))
        changes = np.flatnonzero(signs[1:] != signs[:-1]) + 1
        inner = np.array([_polished(edges[i], self.weights) for i in changes])
        return inner + self.shifts[0]


def _polished(root: float, weights: np.ndarray) -> float:
    """One root after a few Newton steps, which repair the rounding of the eigenvalue problem."""
    slope = hermite_e.hermeder(weights)
    best, size = root, abs(hermite_e.hermeval(root, weights))
    for _ in range(4):
        derivative = hermite_e.hermeval(best, slope)
        if not derivative:
            break
        new = best - hermite_e.hermeval(best, weights) / derivative
        reached = abs(hermite_e.hermeval(new, weights))
        if not reached < size or abs(new - root) > 1e-3 * (1 + abs(root)):
            break
        best, size = new, reached
    return float(best)
