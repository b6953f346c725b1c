"""E f(Z) under an Edgeworth law: E f = Σ_α c_α E_{N(0,K)}[f He_α(·; K)], order by order.

The Gaussian moments come from :func:`~widthwise.algebra.hermite.hermite_moments`: the trapezoid
rule for smooth f, panels that end at declared kinks, refined until two levels agree; beyond four
dimensions from 16 scrambled copies of Sobol points. An independent output bias B enters through the
values of its rule: E f(Z) = Σ_s p_s E f(X + s). The truncation keeps a smooth f's expectation
asymptotic without any condition on the law (Bhattacharya and Rao 1976, §20); with kinks or jumps
Cramér's condition is needed.
"""

from collections.abc import Callable
from math import factorial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri
from scipy.stats import qmc

from widthwise.algebra.gaussian import QuadratureError
from widthwise.algebra.hermite import NestedRule, hermite_moments, nodes_of, reach
from widthwise.algebra.series import Series
from widthwise.initial.edgeworth.bias import Shifts
from widthwise.initial.edgeworth.expansion import Expansion, hermite_sum

TOLERANCE = 1e-10
_STEPS = tuple(0.5 * 2 ** (-k / 2) for k in range(11))
_PANEL_NODES = (7, 10, 14, 20, 28, 40)
_MOST_NODES = 1e7
_ROUNDING = 1e-15
_GROWTH = 10  # how fast a function may grow, as a power, without a tail that is missed
_SOBOL_COPIES = 16
_SOBOL_EXPONENT = 14


class Expectation(NamedTuple):
    """An expectation under a truncated law.

    Args:
        value: the sum of the series to the order asked for.
        error: numerical error, and the size of the first term that the sum leaves out (the
            smallest one if all terms were summed).
        series: the contributions of the orders, with their numerical errors.
    """

    value: float
    error: float
    series: Series


def summed(series: Series, width: float, order: int, scale: float) -> Expectation:
    """A series of contributions, summed to an order at width n, with its error.

    Args:
        series: the contributions.
        width: n.
        order: the last order summed.
        scale: E|f|; where no term says how large the next one is, it is taken for its coefficient.
    """
    terms = np.abs(series.terms(width))
    epsilon = float(width) ** -0.5
    numerical = np.abs(series.error[: order + 1]) @ epsilon ** np.arange(order + 1)
    known = (np.abs(series.coefficients) > series.error) & (series.coefficients != 0)
    later = np.flatnonzero(known[order + 1 :])
    summed_ones = np.flatnonzero(known[1 : order + 1]) + 1
    if len(later):
        remainder = terms[order + 1 + later[0]]
    elif len(summed_ones):
        remainder = terms[summed_ones].min()
    else:
        remainder = scale * epsilon ** (series.order + 1)
    return Expectation(series.at(width, order), float(numerical + remainder), series)


def contributions(
    fn: Callable[[np.ndarray], np.ndarray],
    factor: Float[np.ndarray, "dimension dimension"],
    expanded: Expansion,
    shifts: Shifts,
    kinks: tuple[float, ...],
    tolerance: float | None,
) -> tuple[Series, float]:
    """The contribution of every order to E f(Z), Z = factor · u + B, and E|f| in the limit.

    Args:
        fn: maps nodes (nodes, dimension) to values (nodes,).
        factor: L, lower triangular, with K = LLᵀ.
        expanded: the law of u.
        shifts: the values and shares of an independent B.
        kinks: values of any Z_a at which f is not smooth.
        tolerance: numerical error allowed for every order, relative to E|f|.
    """
    used = np.any((expanded.coefficients != 0) | (expanded.errors != 0), axis=1)
    degree = int(expanded.indices[used].sum(1).max())
    kept = expanded.indices.sum(1) <= degree
    indices, c, spread = (part[kept] for part in expanded)
    root = np.array([np.prod([float(factorial(a)) for a in alpha]) for alpha in indices]) ** 0.5
    allowed, count = TOLERANCE if tolerance is None else tolerance, len(shifts.shares)
    wide = reach(degree + _GROWTH)
    everywhere = np.subtract.outer(np.array(kinks), shifts.values)
    places = tuple(sorted(set(everywhere.ravel().tolist())))
    levels = _PANEL_NODES if kinks else _STEPS
    least = NestedRule(places, levels[0], wide)
    if factor.shape[1] > 4 or (count > 1 and nodes_of(factor, least) * count > 10 * _MOST_NODES):
        return _by_sobol(fn, factor, Expansion(indices, c, spread), shifts, root)
    previous, best, scale = None, None, 0.0
    for level, fineness in enumerate(levels):
        rule = NestedRule(places, fineness, wide + 1.5 * (level % 2))
        if previous is not None and nodes_of(factor, rule) * count > _MOST_NODES:
            break
        moments = hermite_moments(lambda z: _averaged(fn, z, shifts), factor, degree, rule)
        scale, m = float(moments[1, 0]), moments[0] * root
        if not np.isfinite(m).all():
            raise ValueError(
                "the function is infinite or not a number somewhere within "
                f"{rule.reach:.0f} standard deviations of 0; give a function that is finite there"
            )
        value, rounding = m @ c, _ROUNDING * scale * (root @ np.abs(c))
        if previous is not None:
            gap = np.abs(value - previous)
            best = Series(value, gap + rounding + np.abs(m) @ spread)
            if np.all(gap <= allowed * np.maximum(scale, np.abs(value)) + rounding):
                return best, scale
        previous = value
    assert best is not None
    if factor.shape[1] < 3 or tolerance is not None:
        raise QuadratureError(
            f"the contributions to this expectation reached an error of {best.error.max():.1e}, "
            f"not the {allowed:.0e} of E|f| = {scale:.3g} asked for; if the function has kinks or "
            "jumps, declare them: expectation(fn, width, kinks=(...)), or pass a larger tolerance"
        )
    return best, scale


def _averaged(fn: Callable[[np.ndarray], np.ndarray], z: np.ndarray, shifts: Shifts) -> np.ndarray:
    """Values of f and |f| at z + B, averaged over B."""
    moved = zip(shifts.values, shifts.shares, strict=True)
    return np.asarray(sum(share * _both(fn, z + shift) for shift, share in moved))


def _both(fn: Callable[[np.ndarray], np.ndarray], z: np.ndarray) -> np.ndarray:
    """Values of f and |f|; calls have few distinct sizes, so that JAX rarely compiles."""
    size = 1 << (len(z) - 1).bit_length()
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.asarray(fn(np.concatenate([z, np.repeat(z[:1], size - len(z), 0)])))
    if values.shape != (size,):
        raise ValueError(
            f"the function must map nodes of shape {(size, *z.shape[1:])} to values of shape "
            f"({size},), one per node, got shape {values.shape}"
        )
    values = values[: len(z)].astype(float)
    return np.stack([values, np.abs(values)])


def _by_sobol(
    fn: Callable[[np.ndarray], np.ndarray],
    factor: np.ndarray,
    expanded: Expansion,
    shifts: Shifts,
    root: np.ndarray,
) -> tuple[Series, float]:
    """As :func:`contributions`; the errors are standard errors, those of cumulants bounds."""
    copies, sizes = [], []
    for seed in range(_SOBOL_COPIES):
        points = qmc.Sobol(len(factor), rng=seed).random_base2(_SOBOL_EXPONENT)
        u = ndtri(np.clip(points, 1e-16, 1 - 1e-16))
        drawn = np.random.default_rng(seed).choice(len(shifts.shares), len(u), p=shifts.shares)
        values, absolute = _both(fn, u @ factor.T + shifts.values[drawn])
        copies.append(values @ hermite_sum(u, expanded.indices, expanded.coefficients) / len(u))
        sizes.append(absolute.mean())
    deviation = np.std(copies, axis=0, ddof=1) / np.sqrt(_SOBOL_COPIES)
    scale = float(np.mean(sizes))
    return Series(np.mean(copies, axis=0), deviation + scale * (root @ expanded.errors)), scale
