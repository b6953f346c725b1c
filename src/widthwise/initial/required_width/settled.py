r"""One hidden layer: the distance of the exact law from the Gaussian limit, which settles a width.

At small widths the series is at its end, and one neuron is all that decides. There the exact law
(:mod:`widthwise.initial.exact`) is asked instead: with δ(u) = F(σu) − Φ(u), on panels that end at
the atoms of F,

    W₁ = ∫ |δ| du,    KS = sup |δ|,

from the polynomials that interpolate δ at Gauss–Legendre nodes of every panel.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.polynomial import legendre
from scipy.special import ndtr

from widthwise.algebra.gaussian import Estimate
from widthwise.initial.exact import exact_law
from widthwise.initial.required_width.projection import Projection

_NODES = legendre.leggauss(8)[0]
_WHERE_ERRORS = (0, 4, 7)
_TO_LEGENDRE = np.linalg.inv(legendre.legvander(_NODES, 7))
_FAR = np.array([12.0, 15.0, 20.0, 30.0])
_EDGES = np.concatenate([-_FAR[::-1], np.linspace(-10, 10, 41), _FAR])
_MOST_ATOMS = 200
_TRUSTED = 0.02  # of the tolerance: an error of the exact distance
_FEWEST = 3  # neurons whose law is soon computed; one or two have laws with many singularities
_LOOK_AHEAD = (1.3, 2.0)


@dataclass(frozen=True, eq=False)
class ExactDistance:
    """The distance of the exact law of a projection from its Gaussian limit.

    Args:
        projection: of a network with one hidden layer.
        metric: ``"wasserstein"`` or ``"kolmogorov"``.
        std: σ of the limit.
        scale: the unit of the distance: σ for an absolute Wasserstein distance, else 1.
    """

    projection: Projection
    metric: str
    std: float
    scale: float

    @lru_cache(maxsize=1024)  # noqa: B019
    def at(self, width: int) -> Estimate:
        """The distance at width n; its error is infinite where there are too many atoms."""
        p = self.projection
        law = exact_law(p.cumulants.net, p.cumulants.x, width, p.rows, p.direction)
        atoms = law.atoms.positions / self.std
        if len(atoms) > _MOST_ATOMS:
            return Estimate(np.asarray(0.0), np.asarray(np.inf))
        edges = np.unique(np.concatenate([_EDGES, atoms[np.abs(atoms) < _FAR[-1]]]))
        half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
        u = middle[:, None] + half[:, None] * _NODES
        gap = law.cdf(self.std * u) - ndtr(u)
        error = law.cdf_error(self.std * u[:, _WHERE_ERRORS])
        series = gap @ _TO_LEGENDRE.T
        unresolved = np.abs(series[:, -2:]).sum(1)
        if self.metric == "kolmogorov":
            largest = np.abs(gap).max(1)
            near = np.flatnonzero(largest > 0.5 * largest.max())
            value = max(_largest(series[i]) for i in near)
            off = (error.max(1) + unresolved).max()
        else:
            value = float(sum(h * _absolute(c) for h, c in zip(half, series, strict=True)))
            off = float((2 * half) @ (error.mean(1) + unresolved))
        return Estimate(np.asarray(self.scale * value), np.asarray(self.scale * off))

    def settle(self, guess: int, tolerance: float) -> int | None:
        """The smallest width from which on the distance is within the tolerance, near a guess.

        ``None`` where the exact law is not known well enough for that, or three neurons suffice.
        """
        good, bad = max(guess, _FEWEST + 1), _FEWEST
        while (seen := self._looked_at(good, tolerance)) is not None:
            large = [n for n, value in seen if value > tolerance]
            if not large:
                break
            bad = large[-1]
            good = bad + max(1, bad // 16)
        if seen is None:
            return None
        while good - bad > 1:
            middle = max((good + bad) // 2, good - max(1, good // 16))
            found = self.at(middle)
            if found.error > _TRUSTED * tolerance:
                return None
            if found.value > tolerance:
                bad = middle
            else:
                good = middle
        enough = good == _FEWEST + 1 and self.at(_FEWEST).value <= tolerance
        return None if enough else good

    def _looked_at(self, width: int, tolerance: float) -> list[tuple[int, float]] | None:
        """Widths from here on and their distances; ``None`` where one of them is not known."""
        seen = []
        for n in sorted({width, *(int(np.ceil(width * factor)) for factor in _LOOK_AHEAD)}):
            found = self.at(n)
            if found.error > _TRUSTED * tolerance:
                return None
            seen.append((n, float(found.value)))
        return seen


def _absolute(series: np.ndarray) -> float:
    """∫ |Σ_k c_k P_k| over [−1, 1]."""
    at_nodes = legendre.legval(_NODES, series)
    if (at_nodes >= 0).all() or (at_nodes <= 0).all():
        return float(2 * abs(series[0]))
    roots = legendre.legroots(np.trim_zeros(series, "b"))
    inner = roots[(np.abs(roots.imag) < 1e-9) & (np.abs(roots.real) < 1)].real
    edges = np.concatenate([[-1.0], np.sort(inner), [1.0]])
    return float(np.abs(np.diff(legendre.legval(edges, legendre.legint(series)))).sum())


def _largest(series: np.ndarray) -> float:
    """Max |Σ_k c_k P_k| over [−1, 1]."""
    slope = np.trim_zeros(legendre.legder(series), "b")
    roots = legendre.legroots(slope) if len(slope) > 1 else np.zeros(0)
    inner = roots[(np.abs(roots.imag) < 1e-9) & (np.abs(roots.real) < 1)].real
    places = np.concatenate([[-1.0, 1.0], inner])
    return float(np.abs(legendre.legval(places, series)).max())
