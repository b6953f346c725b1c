"""The difference D = F − G of two laws on the line, and what is read off it.

    ∫ |D|,    ∫ D²,    sup |D|,    and where D changes its sign.

F and G are samples (steps) or tables (smooth). Two samples: D is constant between neighbours. A
sample and a table: between neighbours F is constant and G increases, so D has one root at most. Two
tables: D is a polynomial on every common panel.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from numpy.polynomial import legendre

from widthwise.measure.distances.table import Table
from widthwise.model.laws._panels import TO_SERIES

_X, _W = legendre.leggauss(16)


@dataclass(frozen=True, eq=False)
class Sample:
    """An empirical law: values in ascending order."""

    x: Float[np.ndarray, " members"]

    error = 0.0
    loosest = 0.0

    @staticmethod
    def of(values: np.ndarray) -> "Sample":
        return Sample(np.sort(values))

    @property
    def low(self) -> float:
        return float(self.x[0])

    @property
    def high(self) -> float:
        return float(self.x[-1])

    @property
    def mean(self) -> float:
        return float(self.x.mean())

    def cdf(self, z: np.ndarray) -> np.ndarray:
        """P(X ≤ z)."""
        return np.searchsorted(self.x, z, side="right") / len(self.x)

    def below(self, z: np.ndarray) -> np.ndarray:
        """P(X < z)."""
        return np.searchsorted(self.x, z, side="left") / len(self.x)

    def integral(self, z: np.ndarray) -> np.ndarray:
        """∫_{−∞}^z F."""
        k = np.searchsorted(self.x, z, side="right")
        sums = np.append(0.0, np.cumsum(self.x))
        return (k * z - sums[k]) / len(self.x)

    def variability(self) -> float:
        """∫ F (1 − F)."""
        F = np.arange(1, len(self.x)) / len(self.x)
        return float((F * (1 - F)) @ np.diff(self.x))


Side: TypeAlias = Sample | Table


@dataclass(frozen=True, eq=False)
class Difference:
    """D = F − G."""

    F: Side
    G: Side

    @cached_property
    def absolute(self) -> float:
        """∫ |D|, the Wasserstein-1 distance."""
        _z, areas = self.pieces
        return float(np.abs(areas).sum())

    @cached_property
    def pieces(self) -> tuple[np.ndarray, np.ndarray]:
        """Points between which D has one sign, and ∫ D over every piece."""
        z = self._points
        A = self.F.integral(z) - self.G.integral(z)
        if isinstance(self.F, Sample) and isinstance(self.G, Sample):
            return z, self._steps * np.diff(z)
        return z, np.diff(A)

    @cached_property
    def square(self) -> float:
        """∫ D²."""
        z = self._points
        if isinstance(self.F, Sample) and isinstance(self.G, Sample):
            return float(self._steps**2 @ np.diff(z))
        if isinstance(self.F, Table) and isinstance(self.G, Table):
            _, half, values = self._panels
            return float(half @ (values**2 @ _W))
        x, w = legendre.leggauss(6)
        edges = [law.edges for law in (self.F, self.G) if isinstance(law, Table)]
        z = np.union1d(z, edges[0])
        half = np.diff(z)[:, None] / 2
        t = z[:-1, None] + half * (1 + x)
        D = self.F.cdf(t.ravel()) - self.G.cdf(t.ravel())
        return float((half * w).ravel() @ D**2)

    @cached_property
    def largest(self) -> tuple[float, float, bool]:
        """Sup |D|, where, and whether there D is meant from the left."""
        if isinstance(self.F, Table) and isinstance(self.G, Table):
            return self._largest_of_panels()
        z = self._points
        right = np.abs(self.F.cdf(z) - self.G.cdf(z))
        left = np.abs(self.F.below(z) - self.G.below(z))
        i, j = int(right.argmax()), int(left.argmax())
        if right[i] >= left[j]:
            return float(right[i]), float(z[i]), False
        return float(left[j]), float(z[j]), True

    def integral(self, z: np.ndarray) -> np.ndarray:
        """∫_{−∞}^z D."""
        return self.F.integral(z) - self.G.integral(z)

    @property
    def ends(self) -> tuple[float, float]:
        """Outside D is 0."""
        return min(self.F.low, self.G.low), max(self.F.high, self.G.high)

    @cached_property
    def _points(self) -> np.ndarray:
        """Points between which D has one sign."""
        F, G = self.F, self.G
        if isinstance(F, Sample) and isinstance(G, Sample):
            return np.union1d(F.x, G.x)
        if isinstance(F, Table) and isinstance(G, Table):
            return self._roots_of_panels()
        sample, table = (F, G) if isinstance(F, Sample) else (G, F)
        assert isinstance(sample, Sample)
        assert isinstance(table, Table)
        z = np.union1d(sample.x, self.ends)
        level = sample.cdf(z[:-1])
        heights = table.cdf(z)
        crossed = (heights[:-1] < level) & (level < heights[1:])
        roots = table.crossing(level[crossed], z[:-1][crossed], z[1:][crossed])
        return np.union1d(z, roots)

    @property
    def _steps(self) -> np.ndarray:
        z = self._points[:-1]
        return self.F.cdf(z) - self.G.cdf(z)

    @cached_property
    def _panels(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Centres, half-widths and values of D of the common panels of two tables."""
        assert isinstance(self.F, Table)
        assert isinstance(self.G, Table)
        edges = np.union1d(self.F.edges, self.G.edges)
        edges = np.concatenate([edges[:-1] + np.diff(edges) * s for s in (0.0, 0.5)] + [edges[-1:]])
        edges = np.unique(edges)
        half = np.diff(edges) / 2
        centre = edges[:-1] + half
        z = centre[:, None] + half[:, None] * _X
        values = self.F.cdf(z.ravel()) - self.G.cdf(z.ravel())
        return centre, half, values.reshape(z.shape)

    def _roots_of_panels(self) -> np.ndarray:
        centre, half, values = self._panels
        found = [np.append(centre - half, centre[-1] + half[-1])]
        mixed = (values > 0).any(1) & (values < 0).any(1)
        for c, h, series in zip(
            centre[mixed], half[mixed], values[mixed] @ TO_SERIES.T, strict=True
        ):
            found.append(c + h * _roots(series))
        return np.unique(np.concatenate(found))

    def _largest_of_panels(self) -> tuple[float, float, bool]:
        centre, half, values = self._panels
        top = np.abs(values).max(1)
        best = (-1.0, 0.0, False)
        for i in np.flatnonzero(top >= 0.7 * top.max()):
            series = TO_SERIES @ values[i]
            places = np.concatenate([[-1.0, 1.0], _roots(legendre.legder(series))])
            sizes = np.abs(legendre.legval(places, series))
            k = int(sizes.argmax())
            if sizes[k] > best[0]:
                best = (float(sizes[k]), float(centre[i] + half[i] * places[k]), False)
        return best


def _roots(series: np.ndarray) -> np.ndarray:
    """The real roots of a Legendre series in [−1, 1]."""
    size = np.abs(series).max(initial=0.0)
    kept = np.flatnonzero(np.abs(series) > 1e-15 * size)
    if not len(kept) or kept[-1] == 0:
        return np.zeros(0)
    roots = legendre.legroots(series[: kept[-1] + 1])
    return np.sort(roots.real[(np.abs(roots.imag) < 1e-7) & (np.abs(roots.real) <= 1)])
