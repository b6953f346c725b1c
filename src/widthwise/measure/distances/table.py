"""A law on the line as Legendre series of its distribution function, on panels that halve.

Every distance needs G, ∫G and its inverse at many points; from the series of
:mod:`widthwise.model.laws._panels` all three come at once, whatever the law costs to evaluate.
Jumps and kinks end up in panels so small that what they leave is a known error.
"""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Float
from numpy.polynomial import legendre

from widthwise.measure.distances.laws import LineLaw, Normal
from widthwise.model.laws._panels import TO_SERIES, Panels, resolve

_TOLERANCE = 1e-15
_EMPTY = 4e-16
_DEEPEST = 34
_MOST_STEPS = 150
_CENTRE = np.array([0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])
_WORST_TAIL = 1e-6


@dataclass(frozen=True, eq=False)
class Table:
    """G on panels, 0 below them and 1 above.

    Args:
        panels: of G.
        error: ∫ |error of G|.
        loosest: the largest error of G.
    """

    panels: Panels
    error: float
    loosest: float

    @cached_property
    def edges(self) -> Float[np.ndarray, " edges"]:
        """The ends of the panels."""
        c, h = self.panels.centre, self.panels.half
        return np.append(c - h, c[-1] + h[-1])

    @property
    def low(self) -> float:
        return float(self.edges[0])

    @property
    def high(self) -> float:
        return float(self.edges[-1])

    @cached_property
    def _series(self) -> np.ndarray:
        return self.panels.values @ TO_SERIES.T

    @cached_property
    def _integrals(self) -> tuple[np.ndarray, np.ndarray]:
        """Series of ∫G from the left end of every panel, and ∫G up to there."""
        series = legendre.legint(self._series, lbnd=-1, axis=1) * self.panels.half[:, None]
        return series, np.concatenate([[0.0], np.cumsum(series.sum(1))])

    def _at(self, z: np.ndarray, series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A panel series at z inside the table, and the panels."""
        where = np.clip(np.searchsorted(self.edges, z, side="right") - 1, 0, len(series) - 1)
        x = (z - self.panels.centre[where]) / self.panels.half[where]
        coefficients = np.moveaxis(series[where], -1, 0)
        return legendre.legval(np.clip(x, -1, 1), coefficients, tensor=False), where

    def cdf(self, z: np.ndarray) -> np.ndarray:
        """G at an array."""
        inside = self._at(z, self._series)[0]
        return np.where(z < self.low, 0.0, np.where(z >= self.high, 1.0, inside))

    def below(self, z: np.ndarray) -> np.ndarray:
        """G from the left; a table has no jumps but in panels too small to see."""
        return self.cdf(z)

    def integral(self, z: np.ndarray) -> np.ndarray:
        """∫_{−∞}^z G."""
        series, start = self._integrals
        value, where = self._at(np.clip(z, self.low, self.high), series)
        return start[where] + value + np.maximum(z - self.high, 0.0)

    def ppf(self, q: np.ndarray) -> np.ndarray:
        """The smallest z with G(z) ≥ q, for q inside (0, 1)."""
        heights = np.maximum.accumulate(self.cdf(self.edges))
        heights[-1] = 1.0
        right = np.clip(np.searchsorted(heights, q), 1, len(self.edges) - 1)
        return self.crossing(q, self.edges[right - 1], self.edges[right])

    def crossing(self, level: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Where G crosses a level between low and high, by Newton steps inside the bracket."""
        low, high = low.copy(), high.copy()
        z, active = (low + high) / 2, np.arange(len(level))
        for step in range(80):
            here = z[active]
            excess = self.cdf(here) - level[active]
            above = excess >= 0
            high[active] = np.where(above, here, high[active])
            low[active] = np.where(above, low[active], here)
            with np.errstate(divide="ignore", invalid="ignore"):
                newton = here - excess / self.density(here)
            good = (newton > low[active]) & (newton < high[active]) & (step % 4 < 3)
            new = np.where(good, newton, (low[active] + high[active]) / 2)
            new = np.where(excess == 0, here, new)
            z[active] = new
            active = active[np.abs(new - here) > 1e-15 * (np.abs(here) + self.high - self.low)]
            if not len(active):
                break
        return z

    @cached_property
    def _slopes(self) -> np.ndarray:
        return legendre.legder(self._series, axis=1) / self.panels.half[:, None]

    def density(self, z: np.ndarray) -> np.ndarray:
        """The derivative of G."""
        inside = self._at(z, self._slopes)[0]
        return np.where((z < self.low) | (z >= self.high), 0.0, inside)

    def mean_of(self, fn_slope) -> float:
        """E f(Z) − f(0) from f': −∫_{z<0} f' G + ∫_{z>0} f' (1 − G)."""
        z, w = self._cut.nodes, self._cut.weights
        tail = np.where(z < 0, -self._cut.values, 1 - self._cut.values)
        beyond = 0.0
        if self.low > 0:  # G is 0 between 0 and the table
            x, g = legendre.leggauss(16)
            beyond = float((self.low / 2 * g) @ fn_slope(self.low / 2 * (1 + x)))
        if self.high < 0:
            x, g = legendre.leggauss(16)
            beyond = -float((-self.high / 2 * g) @ fn_slope(self.high / 2 * (1 + x)))
        return float((w * tail * fn_slope(z)).sum()) + beyond

    @cached_property
    def _cut(self) -> Panels:
        """The panels, with an edge at 0."""
        if not self.low < 0 < self.high:
            return self.panels
        edges = np.union1d(self.edges, [0.0])
        half = np.diff(edges) / 2
        centre = edges[:-1] + half
        x = legendre.leggauss(16)[0]
        return Panels(centre, half, self.cdf(centre[:, None] + half[:, None] * x), 0.0)

    @property
    def mean(self) -> float:
        """E Z."""
        return self.mean_of(np.ones_like)

    def variance(self) -> float:
        """Var Z."""
        return self.mean_of(lambda z: 2 * z) - self.mean**2

    @cached_property
    def falls(self) -> float:
        """By how much G falls where it should not: a truncated series may."""
        values = self.panels.values.ravel()
        return float((np.maximum.accumulate(values) - values).max())

    def moved(self, shift: float, scale: float) -> "Table":
        """The law of shift + scale · Z, scale > 0."""
        p = self.panels
        moved = replace(p, centre=shift + scale * p.centre, half=scale * p.half)
        return Table(moved, scale * self.error, self.loosest)

    def characteristic(self, t: np.ndarray) -> np.ndarray:
        """E e^{itZ} at a flat array."""
        return np.exp(1j * t * self.high) - 1j * t * self.panels.fourier(t)


@lru_cache(maxsize=1)
def standard_normal() -> Table:
    """N(0, 1)."""
    return _resolved(Normal(), 0.0, 4.0)


def tabulated(law: LineLaw) -> Table:
    """The table of a law.

    Raises:
        ValueError: for a law without a mean, or one whose quantiles are not known.
    """
    if isinstance(law, Normal):
        return standard_normal().moved(float(law._one().mean[0]), law.std)
    std = getattr(law, "std", None)
    if isinstance(std, float | np.floating) and std > 0:
        mean = getattr(law, "mean", 0.0)
        centre = float(mean) if isinstance(mean, float) else 0.0
        return _resolved(law, centre, 4 * float(std))
    q = np.asarray(law.ppf(_CENTRE), dtype=float)
    if not np.isfinite(q).all() or not q[-1] > q[0]:
        raise ValueError(
            f"this law has the quantiles {q} at the levels {_CENTRE}; a distance needs a law that "
            "is spread over the line"
        )
    return _resolved(law, float(q[3]), float(q[-1] - q[0]), q)


def _resolved(law: LineLaw, centre: float, scale: float, inner=()) -> Table:
    left = _reach(lambda z: float(law.cdf(z)), centre, -scale)
    right = _reach(lambda z: 1 - float(law.cdf(z)), centre, scale)
    atoms = getattr(law, "atoms", None)
    places = np.zeros(0) if atoms is None else np.asarray(atoms.positions)
    edges = np.unique(np.concatenate([left, right, np.asarray(inner), places]))
    edges = edges[(edges >= left.min()) & (edges <= right.max())]
    lowest = np.diff(edges) > 1e-14 * (np.abs(edges[1:]) + scale)
    edges = edges[np.append(True, lowest)]

    def values(z: np.ndarray) -> np.ndarray:
        return np.asarray(law.cdf(z.ravel()), dtype=float).reshape(z.shape)

    panels = resolve(
        values, edges, lambda c: 1 + np.abs(c - centre) / scale, _TOLERANCE * scale, _DEEPEST
    )
    ends = np.abs(values(edges[[0, -1]]) - [0.0, 1.0])
    left_out = float(ends @ np.abs(edges[[0, -1]] - centre))
    if left_out > _WORST_TAIL * scale:
        raise ValueError(
            f"the tails of this law hold {ends.max():.1e} beyond {edges[-1]:.1e}: it has no mean, "
            "or one that tails decide; compare a law with lighter tails"
        )
    unresolved = float(np.abs(panels.values @ TO_SERIES[-3:].T).max())
    error, loosest = panels.error + left_out, ends.max() + unresolved
    known = getattr(law, "cdf_error", None)
    if known is not None:
        wrong = np.asarray(known(panels.centre), dtype=float)
        error += float((2 * panels.half) @ wrong)
        loosest += float(wrong.max())
    return Table(panels, error, float(max(loosest, 2e-16)))


def _reach(beyond, centre: float, step: float) -> np.ndarray:
    """Edges from the centre outwards, until nothing is beyond."""
    edges = [centre, *(centre + step * k / 8 for k in range(1, 9))]
    previous = np.inf
    for _ in range(_MOST_STEPS):
        now = beyond(edges[-1])
        if abs(now) <= _EMPTY or (abs(now) < 1e-13 and abs(now) >= previous):
            break
        previous = abs(now)
        edges.append(edges[-1] + max(abs(step) / 4, 0.3 * abs(edges[-1] - centre)) * np.sign(step))
    return np.array(edges)
