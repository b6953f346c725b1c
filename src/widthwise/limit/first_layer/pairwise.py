"""E[φφ] and E[φ'φ'] of the exact first layer for many pairs, each by the first route that will do.

Sums and smooth quadrature share one rule among all pairs (a Gram matrix of φ at the nodes); panels
and Fourier series work pair by pair, the series sharing each point's coefficients; Sobol points are
shared again. Parallel inputs, a = b among them, are expectations over one preactivation.
"""

from collections.abc import Callable

import numpy as np

from widthwise.algebra.bivariate import PairMoments
from widthwise.algebra.gaussian import QuadratureError, Rule
from widthwise.limit.first_layer import fourier, rules, sobol
from widthwise.limit.first_layer.projection import Projection, evaluate, parallel
from widthwise.model.activations import Activation

_MOST_EVALUATIONS = 2e9
_LEAST_NODES = 4000
_STRETCHES = (0.6, 1.0, 1.7)


class _Table:
    """The pairs a ≤ b that are wanted, with all their squares (a, a), and the best estimates."""

    def __init__(self, pairs: np.ndarray, tolerance: float):
        used = np.unique(pairs)
        wanted = np.concatenate([np.stack([used, used], 1), np.sort(pairs, 1)])
        self.pairs, inverse = np.unique(wanted, axis=0, return_inverse=True)
        self.asked = inverse.ravel()[len(used) :]
        self.squares = np.flatnonzero(self.pairs[:, 0] == self.pairs[:, 1])
        self.tolerance = tolerance
        self.value = np.zeros((len(self.pairs), 2))
        self.error = np.full((len(self.pairs), 2), np.inf)

    def offer(self, index: np.ndarray | int, value: np.ndarray, error: np.ndarray) -> None:
        """Keep the better of two estimates, moment by moment."""
        better = error < self.error[index]
        self.value[index] = np.where(better, value, self.value[index])
        self.error[index] = np.where(better, error, self.error[index])

    def open(self) -> np.ndarray:
        """The pairs whose error is not yet met."""
        variances = np.zeros((int(self.pairs.max()) + 1, 2))
        variances[self.pairs[self.squares, 0]] = np.abs(self.value[self.squares])
        scale = np.sqrt(variances[self.pairs[:, 0]] * variances[self.pairs[:, 1]])
        return np.flatnonzero((self.error > self.tolerance * np.maximum(scale, 1.0)).any(1))


def pair_moments(
    projection: Projection, activation: Activation, pairs: np.ndarray, tolerance: float | None
) -> PairMoments:
    """The two moments of every pair (a, b), by every feasible route in turn until all are met."""
    table = _Table(pairs, tolerance or rules.TOLERANCE)
    for route in (_by_rules, _by_series, _by_large_rules, _by_sobol):
        if len(table.open()):
            route(projection, activation, table)
    failed = table.open()
    if tolerance is not None and len(failed):
        raise QuadratureError(
            f"the first layer's exact law reached an error of {table.error[failed].max():.1e}, not "
            f"the {tolerance:.0e} asked for, on {len(failed)} of {len(table.pairs)} pairs of "
            "inputs; pass a larger tolerance, or None to accept it"
        )
    value, error = table.value[table.asked], table.error[table.asked]
    return PairMoments(value[:, 0], value[:, 1], error[:, 0], error[:, 1])


def _functions(activation: Activation) -> tuple[Callable, Callable]:
    return activation.function, activation.derivative()


def _by_rules(projection: Projection, activation: Activation, table: _Table) -> None:
    """At most three continuous sources: one rule for all pairs, or panels pair by pair.

    Gaussian weights beside a kink are left to the series first, which converge fast for them.
    """
    if projection.atoms > rules.MOST_ATOMS or projection.continuous > 3:
        return
    if activation.smooth or not projection.continuous:
        _by_one_rule(projection, activation, table)
    elif projection.continuous <= 2 or not projection.gaussian_plane:
        _by_panels(projection, activation, table)


def _by_panels(projection: Projection, activation: Activation, table: _Table) -> None:
    for number in table.open().tolist():
        a, b = table.pairs[number].tolist()
        base, ratio = parallel(projection.coefficients[[a, b]])
        one = projection.rows(np.array([a, b])[np.unique(base)])
        edges = activation.kinks
        if len(one.coefficients) == 1:
            edges = _scaled(edges, ratio)
        place = np.searchsorted(np.unique(base), base)

        def products(z: np.ndarray, place=place, ratio=ratio) -> np.ndarray:
            y = z[:, place] * ratio
            return np.stack([evaluate(f, y).prod(1) for f in _functions(activation)], 1)

        estimate = rules.refined(one, rules.integral_of(one, products), edges, table.tolerance)
        if estimate is not None:
            table.offer(number, *estimate)


def _by_large_rules(projection: Projection, activation: Activation, table: _Table) -> None:
    """What the first pass left out: up to seven sources, or three with kinks."""
    if projection.atoms > rules.MOST_ATOMS:
        return
    if activation.smooth and 3 < projection.continuous <= 7:
        _by_one_rule(projection, activation, table)
    elif activation.kinks and projection.continuous == 3 and projection.gaussian_plane:
        _by_panels(projection, activation, table)


def _by_one_rule(projection: Projection, activation: Activation, table: _Table) -> None:
    first, second = table.pairs.T

    def integral(rule: Rule) -> tuple[np.ndarray, np.ndarray]:
        moments, sizes = [], []
        for f in _functions(activation):
            gram = 0.0
            for weights, z in rules.blocks(rule, projection):
                values = evaluate(f, z)
                gram = gram + (values.T * weights) @ values
            square = np.diag(np.asarray(gram))
            moments.append(np.asarray(gram)[first, second])
            sizes.append(np.sqrt(square[first] * square[second]))
        return np.stack(moments, 1), np.stack(sizes, 1)

    estimate = rules.refined(projection, integral, (), table.tolerance)
    if estimate is not None:
        table.offer(np.arange(len(table.pairs)), *estimate)


def _scaled(kinks: tuple[float, ...], ratios: np.ndarray) -> tuple[float, ...]:
    return tuple(sorted({kink / r for r in ratios for kink in kinks if abs(r) > 1e-12}))


def _by_series(projection: Projection, activation: Activation, table: _Table) -> None:
    """Fourier series: parallel inputs in one dimension, the others in two."""
    planes = []
    for number in table.open().tolist():
        a, b = table.pairs[number].tolist()
        base, ratio = parallel(projection.coefficients[[a, b]])
        if base[0] == base[1]:
            _line(projection, activation, table, number, (a, b)[base[0]], ratio)
        else:
            planes.append(number)
    if planes:
        _planes(projection, activation, table, np.array(planes))


def _line(projection, activation, table: _Table, number: int, row: int, ratio: np.ndarray) -> None:
    def products(z: np.ndarray) -> np.ndarray:
        y = z[:, None] * ratio
        return np.stack([evaluate(f, y).prod(1) for f in _functions(activation)], 1)

    edges = _scaled(activation.kinks, ratio)
    estimate = fourier.line(projection, row, products, edges, table.tolerance)
    if estimate is not None:
        table.offer(number, *estimate)


def _planes(projection, activation, table: _Table, numbers: np.ndarray) -> None:
    places = {a: fourier.circle(projection, a) for a in np.unique(table.pairs[numbers]).tolist()}
    memory: dict[int, tuple[fourier.Series, int]] = {}

    def known(a: int, modes: int) -> tuple[fourier.Series, int]:
        """φ and φ' at one point as a series of at least so many modes, and how many matter."""
        if a not in memory or len(memory[a][0].coefficients) <= modes:

            def both(z: np.ndarray) -> np.ndarray:
                return np.stack([evaluate(f, z) for f in _functions(activation)], 1)

            f = fourier.series(both, places[a], activation.kinks, max(modes + modes // 4, 256))
            memory[a] = f, fourier.resolved_modes(f)
        return memory[a]

    def limit(a: int) -> int:
        if activation.kinks:
            return fourier.MOST_MODES
        modes = 256
        while known(a, modes)[1] > 0.9 * modes and modes < fourier.MOST_MODES:
            modes *= 2
        return known(a, modes)[1]

    budget = np.clip(_MOST_EVALUATIONS / len(numbers), _LEAST_NODES * projection.sources, np.inf)
    for number in numbers.tolist():
        a, b = table.pairs[number].tolist()
        here = (places[a], places[b])
        if not all(np.isfinite(place.half) for place in here):
            continue
        pair, limits = projection.rows([a, b]), (limit(a), limit(b))
        for stretch in _STRETCHES:
            each = min(budget, fourier.MOST_EVALUATIONS)
            lattice = fourier.strip(pair, here, limits, table.tolerance, stretch, each)
            f = known(a, int(lattice.k.max()))[0]
            g = known(b, int(np.abs(lattice.l).max()))[0]
            table.offer(number, *fourier.strip_sum(lattice, f, g))
            if number not in table.open() or len(lattice.k) * pair.sources > 0.7 * each:
                break


def _by_sobol(projection: Projection, activation: Activation, table: _Table) -> None:
    numbers = table.open()
    numbers = numbers[(table.error[numbers] > sobol.BEST).any(1)]
    if not len(numbers):
        return
    used, places = np.unique(table.pairs[numbers], return_inverse=True)
    first, second = places.reshape(-1, 2).T
    some = projection.rows(used)
    copies = []
    for z in sobol.samples(some):
        grams = [
            (v.T @ v / len(z))[first, second]
            for v in (evaluate(f, z) for f in _functions(activation))
        ]
        copies.append(np.stack(grams, 1))
    table.offer(numbers, *sobol.of_copies(np.array(copies)))
