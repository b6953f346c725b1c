"""Gaussian expectations E[g(z)], z ~ N(0, K), with an error estimate that is met or refused.

Write z = Lu with u standard normal, K = LLᵀ by pivoted Cholesky; a singular K gives fewer columns.

* g analytic: the tensor **trapezoid rule** in u. Its error is e^{-2πa/h} for step h, with a the
  distance of the nearest pole from the real axis, so halving h squares the error.
* g with kinks at known values of each z_a: **nested composite Gauss–Legendre**, coordinate after
  coordinate, with a panel edge wherever a component crosses a kink given the earlier coordinates
  (and graded panels where nearly parallel components make a narrow transition).
* five dimensions and more: **randomized Sobol points**; the error is a standard error.

The rule is refined until two levels agree to the tolerance. In one and two dimensions a rule that
does not get there means an undeclared kink, and is refused (:class:`QuadratureError`); in three and
four the best rule that fits in memory is returned with its error, unless a tolerance was given.
Trapezoid: Trefethen and Weideman, SIAM Review 56 (2014).
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float
from scipy.stats import norm, qmc

TOLERANCE = 1e-12
REACHES = (9.5, 14.0, 20.0)
_REACH = REACHES[0]
_GOLDEN = 0.6180339887498949
_LARGEST_RULE = 3_000_000
_SMOOTH_STEPS = (0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625)
_SMOOTH_STEPS_4D = (0.7, 0.5, 0.4, 0.35)
_PANEL_NODES = (10, 16, 24, 36)
PANEL_EDGES = (-9.5, -6.0, -3.0, 0.0, 3.0, 6.0, 9.5)
_SOBOL_COPIES = 16
_SOBOL_EXPONENT = 15
_SOBOL_IS_BETTER = 1e-4

Observable: TypeAlias = Callable[[np.ndarray], np.ndarray]


class QuadratureError(ValueError):
    """A quadrature did not reach its tolerance."""


class Estimate(NamedTuple):
    """A number or array, and the estimated absolute error of each of its entries."""

    value: np.ndarray
    error: np.ndarray


class Rule(NamedTuple):
    """Nodes (nodes, dimension) and weights (nodes,) with E[g(z)] ≈ Σ_i weights[i] g(nodes[i])."""

    nodes: Float[np.ndarray, "nodes dimension"]
    weights: Float[np.ndarray, " nodes"]


def factor(covariance: Float[np.ndarray, "p p"], threshold: float = 1e-13) -> np.ndarray:
    """L of shape (p, rank) with K = LLᵀ, by Cholesky with complete pivoting.

    Rows keep the order of K. Directions with less than ``threshold`` of the largest variance are
    left out.
    """
    K = np.array(covariance, dtype=float)
    p = len(K)
    residual = np.diag(K).copy()
    floor = threshold * max(residual.max(), 0.0)
    columns = []
    for _ in range(p):
        pivot = int(np.argmax(residual))
        if residual[pivot] <= floor:
            break
        done = np.array(columns) if columns else np.zeros((0, p))
        column = (K[pivot] - done.T @ done[:, pivot]) / np.sqrt(residual[pivot])
        columns.append(column)
        residual = np.maximum(residual - column**2, 0.0)
        residual[pivot] = 0.0
    return np.array(columns).T if columns else np.zeros((p, 0))


def rules(covariance: np.ndarray, kinks: tuple[float, ...] = ()) -> Iterator[Rule]:
    """Deterministic rules for N(0, K), ever finer, up to a few million nodes (rank at most 4)."""
    L = factor(covariance)
    rank = L.shape[1]
    if rank == 0:
        yield Rule(np.zeros((1, len(L))), np.ones(1))
        return
    steps = _SMOOTH_STEPS if rank < 4 else _SMOOTH_STEPS_4D
    made = (
        (_panel_rule(L, kinks, count) for count in _PANEL_NODES)
        if kinks
        else (_trapezoid_rule(L, step) for step in steps)
    )
    for rule in made:
        if rule is None:
            return
        yield rule


@lru_cache(maxsize=16)
def trapezoid_line(
    step: float, reach: float = _REACH, *, symmetric: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the trapezoid rule for a standard normal.

    The nodes of each step are shifted by another fraction of it, unless they are asked to be
    symmetric about 0: nested nodes would make two levels agree on a function that oscillates with
    their period.
    """
    shift = 0.0 if symmetric else (_GOLDEN * round(4 * np.log2(1 / step))) % 1.0
    u = (np.arange(-int(reach / step), int(reach / step) + 1) + shift) * step
    w = np.exp(-u * u / 2)
    return u, w / w.sum()


def _trapezoid_rule(L: np.ndarray, step: float) -> Rule | None:
    u, w = trapezoid_line(step)
    rank = L.shape[1]
    if 0.6 ** (rank - 1) * float(len(u)) ** rank > _LARGEST_RULE:
        return None
    nodes, weights = np.zeros((1, 0)), np.ones(1)
    for _ in range(rank):
        weights = np.outer(weights, w).ravel()
        kept = weights > 1e-21
        nodes = np.concatenate([np.repeat(nodes, len(u), 0), np.tile(u, len(nodes))[:, None]], 1)
        nodes, weights = nodes[kept], weights[kept]
    return Rule(nodes @ L.T, weights)


def _panel_rule(L: np.ndarray, kinks: tuple[float, ...], count: int) -> Rule | None:
    x, g = np.polynomial.legendre.leggauss(count)
    nodes, weights = np.zeros((1, 0)), np.ones(1)
    for c in range(L.shape[1]):
        edges = panel_edges(L, kinks, nodes, c)
        if edges.shape[0] * (edges.shape[1] - 1) * count > 3 * _LARGEST_RULE:
            return None
        half = np.diff(edges, axis=1)[..., None] / 2
        u = (edges[:, :-1, None] + half * (1 + x)).reshape(len(nodes), -1)
        w = (half * g).reshape(len(nodes), -1) * np.exp(-u * u / 2) / np.sqrt(2 * np.pi)
        weights = (weights[:, None] * w).ravel()
        kept = weights > 1e-21
        nodes = np.concatenate([np.repeat(nodes, u.shape[1], 0), u.reshape(-1, 1)], 1)[kept]
        weights = weights[kept]
    return Rule(nodes @ L.T, weights) if len(nodes) <= _LARGEST_RULE else None


def panel_edges(
    L: np.ndarray,
    kinks: tuple[float, ...],
    nodes: np.ndarray,
    c: int,
    fixed: tuple[float, ...] = PANEL_EDGES,
) -> np.ndarray:
    """Panel edges (nodes, edges) of coordinate c given the earlier coordinates of every node.

    Args:
        L: z = Lu.
        kinks: values of any z_a at which a panel ends.
        nodes: the earlier coordinates (nodes, c).
        c: which coordinate of u.
        fixed: edges that every node has, symmetric; none lies beyond the last.
    """
    columns = [np.full(len(nodes), edge) for edge in fixed]
    for row in L:
        slope, later = row[c], np.linalg.norm(row[c + 1 :])
        if abs(slope) < 1e-14 or later > 0.5 * abs(slope):
            continue
        mean = nodes @ row[:c]
        for kink in kinks:
            crossing = (kink - mean) / slope
            spread = later / abs(slope)
            for offset in (0,) if spread < 1e-14 else (-9, -3, -1, 0, 1, 3, 9):
                columns.append(np.clip(crossing + offset * spread, -fixed[-1], fixed[-1]))
    return np.sort(np.stack(columns, 1), axis=1)


def expectation(
    observable: Observable,
    covariance: Float[np.ndarray, "p p"],
    kinks: tuple[float, ...] = (),
    tolerance: float | None = None,
) -> Estimate:
    """E[observable(z)] for z ~ N(0, covariance).

    Args:
        observable: maps nodes (nodes, p) to values (nodes,) or (nodes, k).
        covariance: K (p, p), positive semi-definite; singular is fine.
        kinks: values of any component z_a at which the observable is not smooth.
        tolerance: error allowed, relative to the mean of the observable's absolute value; ``None``
            aims at 1e-12 and, in three dimensions and more, returns what is feasible.

    Returns:
        The value and its estimated absolute error (a standard error in five dimensions and more).

    Raises:
        QuadratureError: when the tolerance is not reached.

    Example:
        >>> import numpy as np
        >>> from widthwise.algebra.gaussian import expectation
        >>> float(expectation(lambda z: z[:, 0] ** 4, np.array([[2.0]])).value.round(9))
        12.0
    """
    covariance = np.asarray(covariance, dtype=float)
    rank = factor(covariance).shape[1]
    best, relative = _refined(observable, covariance, kinks, tolerance or TOLERANCE)
    if relative <= (tolerance or TOLERANCE):
        return best
    if rank > 2 and relative > _SOBOL_IS_BETTER:
        best, relative = _sobol(observable, covariance)
    if rank < 3 or (tolerance is not None and relative > tolerance):
        raise QuadratureError(
            f"Gaussian quadrature in {rank} dimensions reached a relative error of {relative:.1e}, "
            f"not the {tolerance or TOLERANCE:.0e} asked for; if the activation has kinks, declare "
            "them: widthwise.activations.get(function, kinks=(...))"
        )
    return best


def _refined(
    observable: Observable, covariance: np.ndarray, kinks: tuple[float, ...], tolerance: float
) -> tuple[Estimate, float]:
    """The deterministic rules in turn, and the largest relative error of the one stopped at."""
    dimension = factor(covariance).shape[1]
    previous, counted, before, error = None, 1, np.inf, np.inf
    best = Estimate(np.zeros(()), np.full((), np.inf))
    if dimension > 4:
        return best, np.inf
    for rule in rules(covariance, kinks):
        samples = np.asarray(observable(rule.nodes))
        value = np.tensordot(rule.weights, samples, 1)
        scale = np.tensordot(rule.weights, np.abs(samples), 1) + 1e-300
        if len(rule.weights) == 1:
            return Estimate(value, np.zeros_like(value)), 0.0
        if previous is not None:
            gap = np.asarray(np.abs(value - previous) / scale)
            growth = (len(rule.weights) / counted) ** (1 / dimension)
            error = np.maximum(remaining(gap, before, 0.5 + growth / 2), 2e-16)
            best = Estimate(value, scale * error)
            if np.max(error) <= tolerance:
                break
            before = gap
        previous, counted = value, len(rule.weights)
    return best, float(np.max(error))


def remaining(gap: np.ndarray, before: np.ndarray | float, power: float) -> np.ndarray:
    """The relative error left after two levels differ by ``gap``, the two before by ``before``.

    Where the levels converge geometrically in the exponent, as a rule for a smooth function does
    (gap ≤ before^power), the finer level is better than the gap by as much again; elsewhere, for
    example at an undeclared kink, the gap itself is the estimate.
    """
    fast = (gap <= np.asarray(before) ** power) & np.isfinite(before)
    return np.where(fast, gap**power, gap)


def _sobol(observable: Observable, covariance: np.ndarray) -> tuple[Estimate, float]:
    """Independently scrambled Sobol points; the error is the standard error over the copies."""
    L = factor(covariance)
    copies, scale = [], 1e-300
    for seed in range(_SOBOL_COPIES):
        points = qmc.Sobol(L.shape[1], rng=seed).random_base2(_SOBOL_EXPONENT)
        samples = np.asarray(observable(norm.ppf(np.clip(points, 1e-16, 1 - 1e-16)) @ L.T))
        copies.append(samples.mean(0))
        scale = np.maximum(scale, np.abs(samples).mean(0))
    estimate = Estimate(
        np.mean(copies, axis=0), np.std(copies, axis=0, ddof=1) / np.sqrt(_SOBOL_COPIES)
    )
    return estimate, float(np.max(estimate.error / scale))
