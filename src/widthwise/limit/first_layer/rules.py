"""Quadrature over the sources themselves: exact sums over atoms, Gauss rules, panels at kinks.

**Product**: every discrete source by its atoms (exact), every other one by its Gauss rule (Gaussian
sources by the trapezoid rule, which does not mind poles near the real axis).

**Panels**: an observable with kinks is smooth between the planes {z_a = kink} and the walls of the
sources (ends of their support, corners of their density). Integrated source after source, it is
composite Gauss–Legendre; source m gets a panel edge wherever the integral over the later ones may
fail to be smooth, that is at its coordinate of every point where r planes meet while all later
sources but r − 1 sit on walls. Between such edges each integrand is smooth, so the rule converges
exponentially; for ReLU and uniform weights it is exact.
"""

from collections.abc import Callable, Iterator
from itertools import combinations, product
from typing import TypeAlias

import numpy as np

from widthwise.algebra.gaussian import Estimate, Observable, Rule
from widthwise.limit.first_layer.projection import Projection
from widthwise.model.laws import Gaussian, Law

TOLERANCE = 1e-10
MOST_ATOMS = 1 << 18
_LARGEST = 3_000_000
_FRACTIONS = (0.25, 0.4, 0.63, 1.0)
_FINEST = 256
PANEL_NODES = (6, 9, 14, 21, 32)
_NEGLIGIBLE = 1e-17
_GAUSSIAN_REACH = 9.0
_BLOCK = 1 << 16


def product_rules(projection: Projection) -> Iterator[Rule]:
    """Ever finer product rules for the sources; one exact rule if all are discrete."""
    c, room = projection.continuous, _LARGEST / projection.atoms
    if c == 0:
        yield _product([law.quadrature(1) for law in projection.laws])
        return
    finest = min(_FINEST, int(room ** (1 / c)))
    for size in sorted({max(2, int(fraction * finest)) for fraction in _FRACTIONS}):
        yield _product([_line(law, size) for law in projection.laws])


def _line(law: Law, size: int) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(law, Gaussian):
        return law.quadrature(size)
    # truncation at ±U costs e^{-U²/2}, and a pole at distance 1 costs e^{-2π/h}
    edge = min(_GAUSSIAN_REACH, (4 * np.pi * size) ** (1 / 3))
    u = np.linspace(-edge, edge, size)
    w = np.exp(-u * u / 2)
    return u, w / w.sum()


def _product(lines: list[tuple[np.ndarray, np.ndarray]]) -> Rule:
    nodes, weights = np.zeros((1, 0)), np.ones(1)
    for u, w in lines:
        weights = np.outer(weights, w).ravel()
        kept = weights > 1e-24
        nodes = np.concatenate([np.repeat(nodes, len(u), 0), np.tile(u, len(nodes))[:, None]], 1)
        nodes, weights = nodes[kept], weights[kept]
    return Rule(nodes, weights)


def panel_rules(
    projection: Projection, kinks: tuple[float, ...], counts: tuple[int, ...] = PANEL_NODES
) -> Iterator[Rule]:
    """Ever finer rules, of so many nodes a panel, that end at the kinks; none if too large."""
    order = sorted(range(projection.sources), key=lambda j: not projection.laws[j].discrete)
    laws = [projection.laws[j] for j in order]
    A = projection.coefficients[:, order]
    for count in counts:
        rule = _panel_rule(A, laws, kinks, count)
        if rule is None:
            return
        yield Rule(rule.nodes[:, np.argsort(order)], rule.weights)


def _panel_rule(A: np.ndarray, laws: list[Law], kinks: tuple[float, ...], count: int):
    x, g = np.polynomial.legendre.leggauss(count)
    nodes, weights = np.zeros((1, 0)), np.ones(1)
    walls = [_walls(law) for law in laws]
    for m, law in enumerate(laws):
        if law.discrete:
            u, w = law.quadrature(1)
            u, w = np.tile(u, (len(nodes), 1)), np.tile(w, (len(nodes), 1))
        else:
            edges = _edges(A, kinks, nodes, m, panel_edges(law), walls)
            if edges.shape[0] * (edges.shape[1] - 1) * count > 3 * _LARGEST:
                return None
            half = np.diff(edges, axis=1)[..., None] / 2
            u = (edges[:, :-1, None] + half * (1 + x)).reshape(len(nodes), -1)
            w = (half * g).reshape(len(nodes), -1) * law.density(u)
        weights = (weights[:, None] * w).ravel()
        kept = weights > (1e-24 if len(laws) > 1 else 0.0)
        nodes = np.concatenate([np.repeat(nodes, u.shape[1], 0), u.reshape(-1, 1)], 1)[kept]
        weights = weights[kept]
        if len(nodes) > _LARGEST:
            return None
    return Rule(nodes, weights)


def _edges(A, kinks, nodes, m: int, base: np.ndarray, walls: list[np.ndarray]) -> np.ndarray:
    """Panel edges (nodes, edges) of source m given the earlier sources of every node."""
    mean = nodes @ A[:, :m].T
    later = range(m + 1, A.shape[1])
    columns = [np.broadcast_to(base, (len(nodes), len(base)))]
    for r in range(1, min(len(A), len(later) + 1) + 1):
        for rows, free in product(combinations(range(len(A)), r), combinations(later, r - 1)):
            R = list(rows)
            planes = A[np.ix_(R, [m, *free])]
            size = np.abs(planes).max(1)
            if not size.all() or abs(np.linalg.det(planes / size[:, None])) < 1e-12:
                continue
            solve = np.linalg.inv(planes)[0]
            on_walls = [j for j in later if j not in free]
            corners = np.array(list(product(*(walls[j] for j in on_walls))))
            levels = np.array(list(product(kinks, repeat=r)))
            known = (levels[:, None] - corners @ A[np.ix_(R, on_walls)].T).reshape(-1, r) @ solve
            places = known - (mean[:, R] @ solve)[:, None]
            columns.append(np.clip(places, base[0], base[-1]))
    return np.sort(np.concatenate(columns, 1), axis=1)


def panel_edges(law: Law) -> np.ndarray:
    """Panels on which the density of a law is smooth, out to where it is negligible.

    With heavy tails that is where the highest moment does not see it either.
    """
    growing = 1.5 * 2.0 ** np.arange(44) - 0.5
    symmetric = np.concatenate([-growing[::-1], [0.0], growing])
    low, high = law.support
    inside = symmetric[(symmetric > low) & (symmetric < high)]
    power = law.highest_moment if np.isfinite(law.highest_moment) else 2.0
    mass = law.density(inside) * (1 + np.abs(inside) ** power)
    heavy = inside[(mass > _NEGLIGIBLE) | (np.abs(inside) < 3)]
    first, last = heavy.min(initial=0.0), heavy.max(initial=0.0)
    ends = [low if np.isfinite(low) else 2 * first, high if np.isfinite(high) else 2 * last]
    inside = inside[(inside >= first) & (inside <= last)]
    return np.unique(np.concatenate([ends, inside]))


def _walls(law: Law) -> np.ndarray:
    """Ends of the support and the one corner a density of ours may have, 0 (Laplace)."""
    if law.discrete:
        return law.quadrature(1)[0]
    ends = [edge for edge in law.support if np.isfinite(edge)]
    return np.array(ends if len(ends) == 2 else [*ends, 0.0])


Integral: TypeAlias = Callable[[Rule], tuple[np.ndarray, np.ndarray]]
"""Maps a rule to Σ w f and Σ w |f| (or a bound of it), array by array."""


def refined(
    projection: Projection,
    integral: Integral,
    kinks: tuple[float, ...],
    tolerance: float,
    *,
    choice: Iterator[Rule] | None = None,
) -> Estimate | None:
    """Ever finer rules until two agree; None if no two rules are feasible.

    The rules are those of ``choice``, if they are known already.

    The error is the difference of the last two, or less where three of them show that the
    differences shrink geometrically; rounding if all sources are discrete. A rule that misses the
    mass 1 and the variance 1 of the sources adds what is missing.
    """
    kinked = bool(kinks) and projection.continuous > 0
    if choice is None:
        choice = panel_rules(projection, kinks) if kinked else product_rules(projection)
    estimate, before, last_gap = None, None, None
    for rule in choice:
        value, size = integral(rule)
        if not projection.continuous:
            return Estimate(value, 1e-15 * size)
        if before is not None:
            gap = np.abs(value - before)
            shrinking = 1.0 if last_gap is None else np.clip(10 * gap / (last_gap + 1e-300), 0, 1)
            error = shrinking * gap + (_defect(rule, projection.laws) + 1e-15) * size
            estimate = Estimate(value, error)
            if (error <= tolerance * np.maximum(size, 1.0)).all():
                break
            last_gap = gap
        before = value
    return estimate


def integral_of(projection: Projection, observable: Observable) -> Integral:
    """The integral of an observable of z = A s."""

    def integral(rule: Rule) -> tuple[np.ndarray, np.ndarray]:
        total, size = np.zeros(()), np.zeros(())
        for weights, z in blocks(rule, projection):
            values = np.asarray(observable(z))
            total = total + np.tensordot(weights, values, 1)
            size = size + np.tensordot(weights, np.abs(values), 1)
        return np.asarray(total), np.asarray(size)

    return integral


def blocks(rule: Rule, projection: Projection) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Weights and nodes z = A s of a rule, some at a time."""
    for start in range(0, len(rule.weights), _BLOCK):
        block = slice(start, start + _BLOCK)
        yield rule.weights[block], rule.nodes[block] @ projection.coefficients.T


def _defect(rule: Rule, laws: tuple[Law, ...]) -> float:
    """By how much the mass and the variances of the sources differ from 1.

    Of a heavy tail it is the highest even moment that says what is missing.
    """
    squares = rule.weights @ rule.nodes**2
    defects = [abs(rule.weights.sum() - 1), *np.abs(squares - 1)]
    for nodes, law in zip(rule.nodes.T, laws, strict=True):
        if np.isfinite(law.highest_moment) and law.highest_moment >= 4:
            r = 2 * int(law.highest_moment // 2)
            defects.append(abs(rule.weights @ nodes**r / law.moment(r) - 1))
    return max(defects)
