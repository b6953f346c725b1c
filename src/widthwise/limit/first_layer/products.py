"""Expectations of products of φ(z_a) and φ'(z_b) over the exact first layer, many at once.

Preactivations of parallel inputs are multiples of one, so a product over any points is

    f₁(z₁) f₂(z₂) ⋯,      f_i(y) = ∏ φ(r y) ∏ φ'(r' y),

with one function of one number y = z_i for each point of a set without parallel ones. What costs
depends on these points alone and is computed once and kept: the nodes of rules over the sources
(:mod:`.rules`), the lattice of the characteristic function (:mod:`.lattice`), Sobol points
(:mod:`.sobol`). A product then takes the values or the Fourier coefficients of its functions, and
of every route's estimates the one of least error is kept. One point goes by its series; two go by
rules if the sources are few, then by series; more by rules, by the Gaussian engine if one source
alone is not Gaussian (:mod:`.mixture`), or by random points.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from functools import cached_property
from itertools import tee
from typing import NamedTuple

import numpy as np

from widthwise.algebra.gaussian import Estimate, QuadratureError, Rule
from widthwise.limit.first_layer import fourier, mixture, rules, sobol
from widthwise.limit.first_layer.lattice import Lattice, bilinear, lattice
from widthwise.limit.first_layer.projection import Projection, evaluate, parallel, project
from widthwise.model.activations import Activation
from widthwise.model.architecture import MLP
from widthwise.model.laws import ScipyLaw

Choice = tuple[tuple[int, ...], tuple[int, ...]]
"""The points of the φ's and the points of the φ''s."""

_MOST_KINKED_SOURCES = 3
_MOST_SMOOTH_SOURCES = 7
_ROUNDING = 4.0
_SCALE_NODES = 4096


class Function(NamedTuple):
    """∏ φ(r y) ∏ φ'(r y) of one number y: the ratios r of the φ's and of the φ''s."""

    values: tuple[float, ...]
    slopes: tuple[float, ...]

    @property
    def trivial(self) -> bool:
        """Whether it is the constant 1."""
        return not (self.values or self.slopes)


class _Best:
    """The best estimates so far, column by column."""

    def __init__(self, columns: int, tolerance: float):
        self.value, self.error = np.zeros(columns), np.full(columns, np.inf)
        self.tolerance = tolerance

    def offer(self, index: np.ndarray, value: np.ndarray, error: np.ndarray) -> None:
        better = np.broadcast_to(error, value.shape) < self.error[index]
        self.value[index] = np.where(better, value, self.value[index])
        self.error[index] = np.where(better, error, self.error[index])

    def open(self, index: np.ndarray) -> np.ndarray:
        """Which of some columns do not meet the tolerance yet."""
        allowed = self.tolerance * np.maximum(np.abs(self.value[index]), 1.0)
        return index[self.error[index] > allowed]


class Products:
    """E ∏ φ(z_a) ∏ φ'(z_b) for any choices of points, by what is computed once for all of them.

    Args:
        net: the network, whose first layer this is.
        x: the points (points, inputs).
        tolerance: error allowed, relative to the value, or to 1 if that is smaller; ``None`` for
            1e-10 where that is feasible, and for the least error where it is not.
    """

    def __init__(self, net: MLP, x: np.ndarray, tolerance: float | None = None):
        self.projection = project(net, np.asarray(x, dtype=float))
        self.activation, self.tolerance = net.activation, tolerance
        base, self._ratio = parallel(self.projection.coefficients)
        self._leaders, self._place = np.unique(base, return_inverse=True)
        self._laws: dict[tuple[int, ...], _Law] = {}

    def expectations(self, choices: Sequence[Choice]) -> Estimate:
        """One value and its estimated absolute error for every choice.

        Raises:
            QuadratureError: when a tolerance was given and is not reached.
        """
        best = _Best(len(choices), self.tolerance or rules.TOLERANCE)
        columns = [self._functions(choice) for choice in choices]
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, column in enumerate(columns):
            met = tuple(n for n, f in enumerate(column) if not f.trivial)
            groups.setdefault(met, []).append(i)
        for met, members in groups.items():
            index = np.array(members)
            if not met:
                best.offer(index, np.ones(len(index)), np.zeros(len(index)))
                continue
            functions = [tuple(columns[i][n] for n in met) for i in members]
            self._law(met).estimate(best, index, functions)
        failed = best.open(np.arange(len(choices)))
        if self.tolerance is not None and len(failed):
            raise QuadratureError(
                f"products over the first layer ({len(self._ratio)} points, "
                f"{self.projection.sources} weights and biases) reached an error of "
                f"{best.error[failed].max():.1e}, not the {self.tolerance:.0e} asked for; pass a "
                "larger tolerance, or None to accept it"
            )
        return Estimate(best.value, best.error)

    def _functions(self, choice: Choice) -> tuple[Function, ...]:
        parts = [
            [[float(self._ratio[a]) for a in side if self._place[a] == n] for side in choice]
            for n in range(len(self._leaders))
        ]
        return tuple(Function(tuple(sorted(v)), tuple(sorted(s))) for v, s in parts)

    def _law(self, met: tuple[int, ...]) -> "_Law":
        if met not in self._laws:
            rows = self._leaders[list(met)]
            ratios = [self._ratio[self._place == n] for n in met]
            self._laws[met] = _Law(self.projection.rows(rows), self.activation, ratios)
        return self._laws[met]


Columns = list[tuple[Function, ...]]


class _Law:
    """The joint law of a few points, none parallel to another, and what was computed for it."""

    def __init__(self, projection: Projection, activation: Activation, ratios: list[np.ndarray]):
        self.projection, self.activation = projection, activation
        self.kinks = [
            tuple(sorted({k / r for r in some for k in activation.kinks if abs(r) > 1e-12}))
            for some in ratios
        ]
        self.all_kinks = tuple(sorted(set().union(*self.kinks)))
        self._lattice: Lattice | None = None

    def estimate(self, best: _Best, index: np.ndarray, columns: Columns) -> None:
        """Offer the estimates of every feasible route until the tolerance is met."""
        place = {int(i): n for n, i in enumerate(index)}
        points = len(self.projection.coefficients)
        routes = [self._by_rules, self._by_series, self._by_mixture, self._by_sobol]
        if points == 1 and self.projection.sources > 1:
            routes = [self._by_series, self._by_rules, self._by_sobol]
        for route in routes:
            todo = best.open(index)
            if not len(todo):
                return
            some = [columns[place[int(i)]] for i in todo]
            for indices, estimate in route(best, todo, some):
                best.offer(indices, *estimate)

    # --- rules over the sources -----------------------------------------------------------------

    @cached_property
    def _rules(self) -> Iterator[Rule]:
        kinked = bool(self.all_kinks) and self.projection.continuous > 0
        return tee(
            rules.panel_rules(self.projection, self.all_kinks)
            if kinked
            else rules.product_rules(self.projection),
            1,
        )[0]

    def _by_rules(self, best: _Best, index: np.ndarray, columns: Columns):
        p = self.projection
        most = _MOST_KINKED_SOURCES if self.all_kinks else _MOST_SMOOTH_SOURCES
        if p.atoms > rules.MOST_ATOMS or p.continuous > most:
            return

        def integral(rule: Rule) -> tuple[np.ndarray, np.ndarray]:
            total, size = np.zeros(len(columns)), np.zeros(len(columns))
            for weights, z in rules.blocks(rule, p):
                values = self._values(z, columns)
                total = total + weights @ values
                size = size + weights @ np.abs(values)
            return total, size

        found = rules.refined(p, integral, self.all_kinks, best.tolerance, choice=copy(self._rules))
        if found is not None:
            yield index, found

    def _values(self, z: np.ndarray, columns: Columns) -> np.ndarray:
        """All products at nodes z (nodes, points), as (nodes, columns)."""
        total = np.ones((len(z), len(columns)))
        for n in range(z.shape[1]):
            names = list(dict.fromkeys(column[n] for column in columns))
            table = self.table(z[:, n], names)
            total *= table[:, [names.index(column[n]) for column in columns]]
        return total

    def table(self, z: np.ndarray, names: Iterable[Function]) -> np.ndarray:
        """Functions of one number at nodes z, as (nodes, functions)."""
        names = list(names)
        factors = {
            (side, r): evaluate(function, r * z)
            for side, function in enumerate(
                (self.activation.function, self.activation.derivative())
            )
            for r in {r for name in names for r in name[side]}
        }
        result = np.ones((len(z), len(names)))
        for column, name in zip(result.T, names, strict=True):
            for side in (0, 1):
                for r in name[side]:
                    column *= factors[side, r]
        return result

    # --- Fourier series -------------------------------------------------------------------------

    def _by_series(self, best: _Best, index: np.ndarray, columns: Columns):
        points, p = len(self.projection.coefficients), self.projection
        if points > 2 or (self.all_kinks and not p.continuous):
            return
        if points == 1:
            names = [column[0] for column in columns]
            found = fourier.line(
                p, 0, lambda z: self.table(z, names), self.kinks[0], best.tolerance
            )
            if found is not None:
                yield index, found
            return
        places = fourier.circle(p, 0), fourier.circle(p, 1)
        if all(0 < place.half < np.inf for place in places):
            yield index, self._plane(places, columns)

    def _plane(self, places: tuple[fourier.Circle, fourier.Circle], columns: Columns) -> Estimate:
        names = [list(dict.fromkeys(column[n] for column in columns)) for n in (0, 1)]
        pairs = np.array([[names[n].index(column[n]) for n in (0, 1)] for column in columns])
        f, g = (self._series(places[n], n, names[n]) for n in (0, 1))
        grid = self._grid(places, f, g)
        value, error = bilinear(grid, f.coefficients, g.coefficients, pairs)
        i, j = pairs.T
        error = error + 4 * fourier.OUTSIDE * f.largest[i] * g.largest[j]
        scale = [self._scale(n, names[n]) for n in (0, 1)]
        error += f.error[i] * scale[1][j] + g.error[j] * scale[0][i]
        sizes = [np.abs(s.coefficients) for s in (f, g)]
        noise = 2 * fourier.noise(self.projection)
        if any(isinstance(law, ScipyLaw) for law in self.projection.laws):
            return Estimate(value, error + 4 * noise * sizes[0].sum(0)[i] * sizes[1].sum(0)[j])
        norms = [np.sqrt((size**2).sum(0)) for size in sizes]  # rounding errors are independent
        return Estimate(value, error + _ROUNDING * noise * norms[0][i] * norms[1][j])

    def _series(self, place: fourier.Circle, n: int, names: list[Function]) -> fourier.Series:
        def all_functions(z: np.ndarray) -> np.ndarray:
            return self.table(z, names)

        modes = fourier.MOST_MODES if self.kinks[n] else 512
        while True:
            found = fourier.series(all_functions, place, self.kinks[n], modes)
            if self.kinks[n] or modes >= fourier.MOST_MODES:
                return found
            last = fourier.resolved_modes(found)
            if last < 0.9 * modes:
                return found._replace(coefficients=found.coefficients[: last + 8])
            modes *= 2

    def _grid(self, places, f: fourier.Series, g: fourier.Series) -> Lattice:
        """The lattice kept, or a larger one."""
        needed = len(f.coefficients) - 1, len(g.coefficients) - 1
        kept = self._lattice
        if kept is None or any(a > b for a, b in zip(needed, kept.limits, strict=True)):
            limits = tuple(min(fourier.MOST_MODES, m + m // 4) for m in needed)
            self._lattice = lattice(
                self.projection, places, (limits[0], limits[1]), complete=not self.all_kinks
            )
        assert self._lattice is not None
        return self._lattice

    def _scale(self, n: int, names: list[Function]) -> np.ndarray:
        """√E f², to a digit."""
        return np.sqrt((self.table(self._few[:, n], names) ** 2).mean(0))

    # --- more points ----------------------------------------------------------------------------

    def _by_mixture(self, best: _Best, index: np.ndarray, columns: Columns):
        if not mixture.feasible(self.projection):
            return

        def observable(z: np.ndarray) -> np.ndarray:
            return self._values(z, columns)

        found = mixture.expectation(self.projection, observable, self.all_kinks, best.tolerance)
        if found is not None:
            yield index, found

    @cached_property
    def _samples(self) -> list[np.ndarray]:
        return list(sobol.samples(self.projection))

    @cached_property
    def _few(self) -> np.ndarray:
        return next(iter(sobol.samples(self.projection, _SCALE_NODES)))

    def _by_sobol(self, best: _Best, index: np.ndarray, columns: Columns):
        allowed = sobol.BEST * np.maximum(np.abs(best.value[index]), 1.0)
        bad = best.error[index] > allowed
        if bad.any():
            some = [column for column, wanted in zip(columns, bad, strict=True) if wanted]
            copies = [self._values(z, some).mean(0) for z in self._samples]
            yield index[bad], sobol.of_copies(np.array(copies))
