"""Hermite moments E[g(z) He_α(z; K)] of functions g of a Gaussian vector z ~ N(0, K).

He_α(z; K) = (−∂)^α N(z; 0, K) / N(z; 0, K), so that E[g He_α] = E[∂^α g] for smooth g; the left
side needs no derivative and holds for g with kinks. Write z = Lu, u standard normal. In u the
Hermite polynomials are products of one-dimensional ones, and a nested rule is contracted with them
one coordinate at a time, the last first:

    c_γ(g) = E[g(Lu) ∏_i He_{γ_i}(u_i)/√γ_i!],        |c_γ| ≤ √(E g²).

Products of functions of one component each, g = ∏_a f_{j_a}(z_a), are contracted for all choices of
the j_a at once (:func:`hermite_products`): with L triangular z_a knows u_1 … u_a only, so the last
coordinate, where all nodes are, sees the functions of one component instead of all their products.

Then ∂_{z_a} = Σ_i (L⁻¹)_{ia} ∂_{u_i} turns the c_γ into E[∂^α g], degree by degree
(:func:`to_derivatives`). The rules are those of :mod:`widthwise.algebra.gaussian`: trapezoid if g
is analytic, Gauss–Legendre panels that end at the kinks if it is not, both reaching far enough for
the tail of the highest polynomial to be nothing.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import combinations_with_replacement
from math import comb, factorial, log
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from widthwise.algebra.gaussian import PANEL_EDGES, panel_edges, trapezoid_line

Values: TypeAlias = Callable[[np.ndarray], np.ndarray]
_NUMBERS_AT_ONCE = 600_000
_TAIL = 39.0  # natural logarithm of what a tail may weigh: 1e-17
_FEW_PANELS = (-1.0, -0.35, 0.35, 1.0)


class NestedRule(NamedTuple):
    """How finely to integrate every coordinate of u.

    Args:
        kinks: values of any z_a at which g is not smooth; empty for the trapezoid rule.
        fineness: step of the trapezoid rule, or nodes per panel.
        reach: how many standard deviations the rule covers.
    """

    kinks: tuple[float, ...]
    fineness: float
    reach: float


@lru_cache(maxsize=256)
def reach(degree: int) -> float:
    """R with u^degree e^{−u²/2} below 1e-17 of its maximum beyond R; at least 9.5."""
    if degree == 0:
        return PANEL_EDGES[-1]
    top = degree / 2 * log(degree) - degree / 2
    grid = np.arange(PANEL_EDGES[-1], 40.0, 0.1)
    low = degree * np.log(grid) - grid**2 / 2 < top - _TAIL
    return float(grid[np.argmax(low)])


@lru_cache(maxsize=64)
def multi_indices(dimension: int, degree: int) -> Int[np.ndarray, "indices dimension"]:
    """All γ with |γ| ≤ degree, the lower degrees first."""
    rows = [
        np.bincount(np.array(chosen, dtype=int), minlength=dimension)
        for d in range(degree + 1)
        for chosen in combinations_with_replacement(range(dimension), d)
    ]
    return np.array(rows).reshape(-1, dimension)


def hermite_moments(
    values: Values,
    L: Float[np.ndarray, "p rank"],
    degree: int,
    rule: NestedRule,
    parity: int | None = None,
) -> Float[np.ndarray, "functions indices"]:
    """c_γ of several functions of z = Lu, for all |γ| ≤ degree in the order of `multi_indices`.

    Args:
        values: maps points z (nodes, p) to values (functions, nodes).
        L: z = Lu; any number of columns, in the order of integration.
        degree: highest |γ|.
        rule: the rule for every coordinate.
        parity: 0 if g(−z) = g(z) for every function, 1 if g(−z) = −g(z): half of the nodes then
            suffice, and the c_γ of the other parity are exactly 0.
    """
    rank = L.shape[1]
    if rank == 0:
        return values(np.zeros((1, len(L)))) * (parity != 1)
    u, w = _line(L, 0, np.zeros((1, 0)), rule)
    if parity is not None:
        half = u[0] >= 0
        u, w = u[:, half], w[:, half] * np.where(u[:, half] > 0, 2.0, 1.0)
    functions = len(values(np.zeros((1, len(L)))))
    leaves = _leaves(L, rule, u)
    step = max(1, int(_NUMBERS_AT_ONCE / (leaves * functions)))
    total = np.zeros((functions, *(degree + 1,) * rank))
    for start in range(0, u.shape[1], step):
        part = slice(start, start + step)
        total += _contracted(values, L, degree, rule, u[:, part], w[:, part])
    indices = multi_indices(rank, degree)
    result = total[:, *indices.T[::-1]]
    if parity is not None:
        result[:, indices.sum(1) % 2 != parity] = 0.0
    return result


class Products(NamedTuple):
    """The Hermite moments of products of functions of one component each.

    Args:
        chosen: for every product the function of each component.
        moments: c_γ in the order of :func:`multi_indices`.
    """

    chosen: Int[np.ndarray, "products p"]
    moments: Float[np.ndarray, "products indices"]


def hermite_products(
    functions: Values,
    counts: Int[np.ndarray, "functions kinds"],
    most: Int[np.ndarray, " kinds"],
    L: Float[np.ndarray, "p p"],
    degree: int,
    rule: NestedRule,
    *,
    half: bool = False,
) -> Products:
    """c_γ of the products ∏_a f_{j_a}(z_a) of z = Lu, for all |γ| ≤ degree.

    Args:
        functions: maps numbers (nodes,) to the values of all f_j, (functions, nodes).
        counts: how much f_j has of each kind; products with more than ``most`` are left out.
        most: how much of each kind a product may have.
        L: lower triangular, z = Lu.
        degree: highest |γ|.
        rule: the rule for every coordinate.
        half: whether every integrand that is not odd in u is even: half of the nodes then suffice,
            and the odd ones, not zero here, are for the caller to set to zero.
    """
    u, w = _line(L, 0, np.zeros((1, 0)), rule)
    if half:
        kept = u[0] >= 0
        u, w = u[:, kept], w[:, kept] * np.where(u[:, kept] > 0, 2.0, 1.0)
    rank, step = len(L), max(1, int(_NUMBERS_AT_ONCE / (_leaves(L, rule, u) * len(counts))))
    chosen, total = np.zeros((0, rank), dtype=int), 0.0
    for start in range(0, u.shape[1], step):
        part = slice(start, start + step)
        chosen, moments = _products_contracted(
            functions, counts, most, L, degree, rule, u[:, part], w[:, part]
        )
        total = total + moments
    return Products(chosen, np.asarray(total))


def _products_contracted(functions, counts, most, L, degree, rule, u, w):
    lines, nodes = _nested(L, rule, u, w)
    rank = len(L)
    chosen, gammas = np.zeros((1, 0), dtype=int), np.zeros((1, 0), dtype=int)
    table = np.ones((1, 1, len(nodes)))
    sizes = [len(lines[0][0]) * lines[0][0].shape[1]]
    for u_c, _ in lines[1:]:
        sizes.append(sizes[-1] * u_c.shape[1])
    for c in reversed(range(rank)):
        below = nodes[:: sizes[-1] // sizes[c], : c + 1]
        values = functions(below @ L[c, : c + 1])
        row, j = np.nonzero((counts[chosen].sum(1)[:, None] + counts <= most).all(-1))
        chosen = np.concatenate([j[:, None], chosen[row]], 1)
        table = table[row] * values[j][:, None]
        u_c, w_c = lines[c]
        count = u_c.shape[1]
        weighted = _normalized_hermite(u_c, degree) * w_c[..., None]
        flat = table.reshape(len(table) * len(gammas), -1, count)
        if len(u_c) == 1:
            flat = flat @ weighted[0]
        else:
            flat = np.matmul(flat.transpose(1, 0, 2), weighted).transpose(1, 0, 2)
        old, new = np.nonzero(gammas.sum(1)[:, None] + np.arange(degree + 1) <= degree)
        gammas = np.concatenate([new[:, None], gammas[old]], 1)
        flat = flat.reshape(len(chosen), -1, flat.shape[1], degree + 1)
        table = flat[:, old, :, new].transpose(1, 0, 2)
    base = (degree + 1) ** np.arange(rank)
    order = np.argsort(gammas @ base)
    wanted = multi_indices(rank, degree) @ base
    place = order[np.searchsorted((gammas @ base)[order], wanted)]
    return chosen, table[:, place, 0]


def _nested(L, rule: NestedRule, u, w):
    """The lines of all coordinates, and their joint nodes."""
    lines, nodes = [(u, w)], u.reshape(-1, 1)
    # beyond the ball of radius `reach` the Gaussian weighs as little as beyond `reach` on a line
    rest = np.sqrt(max(rule.reach**2 - np.abs(u).min() ** 2, 0.0))
    for c in range(1, L.shape[1]):
        u, w = _line(L, c, nodes, rule)
        if not rule.kinks:
            inside = np.abs(u[0]) <= rest
            u, w = u[:, inside], w[:, inside]
        lines.append((u, w))
        count = u.shape[1]
        last = u.ravel() if len(u) == len(nodes) else np.tile(u[0], len(nodes))
        nodes = np.concatenate([np.repeat(nodes, count, 0), last[:, None]], 1)
    return lines, nodes


def _contracted(values: Values, L, degree: int, rule: NestedRule, u, w) -> np.ndarray:
    lines, nodes = _nested(L, rule, u, w)
    table = values(nodes @ L.T)
    functions = len(table)
    for u, w in reversed(lines):
        count = u.shape[1]
        table = table.reshape(len(table), -1, count)
        weighted = _normalized_hermite(u, degree) * w[..., None]
        if len(u) == 1:
            table = table @ weighted[0]
        else:
            table = np.matmul(table.transpose(1, 0, 2), weighted).transpose(1, 0, 2)
        table = table.transpose(0, 2, 1).reshape(-1, table.shape[1])
    return table.reshape(functions, *(degree + 1,) * L.shape[1])


def _line(L, c: int, nodes: np.ndarray, rule: NestedRule) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and Gaussian weights (1 or nodes, count) of coordinate c given the earlier ones."""
    if not rule.kinks:
        u, w = trapezoid_line(rule.fineness, rule.reach, symmetric=True)
        return u[None], w[None]
    x, g = np.polynomial.legendre.leggauss(int(rule.fineness))
    unit = PANEL_EDGES if L.shape[1] < 3 else _FEW_PANELS
    fixed = tuple(edge * rule.reach / unit[-1] for edge in unit)
    edges = panel_edges(L, rule.kinks, nodes, c, fixed)
    half = np.diff(edges, axis=1)[..., None] / 2
    u = (edges[:, :-1, None] + half * (1 + x)).reshape(len(nodes), -1)
    w = (half * g).reshape(len(nodes), -1) * np.exp(-u * u / 2) / np.sqrt(2 * np.pi)
    return u, w


def _leaves(L, rule: NestedRule, u: np.ndarray) -> float:
    """How many nodes of the rule belong to one node of its first coordinate."""
    nodes, count = u[:1, :1], 1.0
    for c in range(1, L.shape[1]):
        line, _ = _line(L, c, nodes, rule)
        count *= line.shape[1]
        nodes = np.concatenate([nodes, line[:1, :1]], 1)
    return count


def nodes_of(L: Float[np.ndarray, "p rank"], rule: NestedRule) -> float:
    """How many nodes a rule has."""
    if L.shape[1] == 0:
        return 1.0
    u, _ = _line(L, 0, np.zeros((1, 0)), rule)
    return u.shape[1] * _leaves(L, rule, u)


def _normalized_hermite(u: np.ndarray, degree: int) -> np.ndarray:
    """He_k(u)/√k!, k = 0..degree, on a new last axis."""
    table = np.empty((*u.shape, degree + 1))
    table[..., 0] = 1.0
    if degree:
        table[..., 1] = u
    for k in range(1, degree):
        table[..., k + 1] = (u * table[..., k] - np.sqrt(k) * table[..., k - 1]) / np.sqrt(k + 1)
    return table


def to_derivatives(
    moments: Float[np.ndarray, "functions indices"],
    L: Float[np.ndarray, "rank rank"],
    degree: int,
) -> Float[np.ndarray, "functions indices"]:
    """E[∂^α g], α in the order of `multi_indices`, from the c_γ of :func:`hermite_moments`.

    Args:
        moments: c_γ for |γ| ≤ degree.
        L: invertible, with z = Lu.
        degree: highest |α|.
    """
    dimension = len(L)
    if dimension == 0:
        return moments
    B = np.linalg.inv(L)
    result = np.empty_like(moments)
    result[:, 0] = moments[:, 0]
    rows = np.ones((1, 1))
    for d in range(1, degree + 1):
        low, high = comb(dimension + d - 1, dimension), comb(dimension + d, dimension)
        parents, channels, raised = _raising(dimension, d)
        grown = np.zeros((high - low, high - low))
        for i in range(dimension):
            grown[:, raised[i]] += B[i, channels, None] * rows[parents]
        rows = grown
        result[:, low:high] = (moments[:, low:high] * _norms(dimension, d)) @ rows.T
    return result


@lru_cache(maxsize=256)
def _norms(dimension: int, degree: int) -> np.ndarray:
    """√γ! of all γ with |γ| = degree."""
    factorials = np.array([factorial(k) for k in range(degree + 1)], dtype=float)
    return np.sqrt(factorials[np.array(_of_degree(dimension, degree))].prod(1))


@lru_cache(maxsize=256)
def _raising(dimension: int, degree: int):
    """For |α| = degree: a parent α − e_a, that a, and where each γ + e_i, |γ| = degree−1, lies."""
    below = {tuple(g): i for i, g in enumerate(_of_degree(dimension, degree - 1))}
    here = {tuple(g): i for i, g in enumerate(_of_degree(dimension, degree))}
    unit = np.eye(dimension, dtype=int)
    channels = [int(np.flatnonzero(g)[0]) for g in here]
    parents = [below[tuple(np.array(g) - unit[a])] for g, a in zip(here, channels, strict=True)]
    raised = [[here[tuple(np.array(g) + unit[i])] for g in below] for i in range(dimension)]
    return np.array(parents), np.array(channels), np.array(raised)


def _of_degree(dimension: int, degree: int) -> list[tuple[int, ...]]:
    indices = multi_indices(dimension, degree)
    return [tuple(map(int, g)) for g in indices if g.sum() == degree]
