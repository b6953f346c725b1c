"""E[φ(z₁)φ(z₂)] and E[φ'(z₁)φ'(z₂)] of a smooth φ from Hermite coefficients of single points.

For (z₁, z₂) Gaussian with variances a, b and correlation ρ, Mehler's formula gives

    E[f(z₁)g(z₂)] = Σ_k f_k(a) g_k(b) ρ^k,      f_k(a) = E[f(√a u) He_k(u)]/√k!,   u ~ N(0, 1),  (1)

so a pair of points costs a polynomial in ρ whose coefficients are products of numbers of one point
each. The f_k come from the trapezoid rule, whose error is measured with a rule of the same step in
between. What (1) leaves out beyond k < n is at most

    |ρ|^n τ_n(a) τ_n(b),      τ_n(a)² = Σ_{k≥n} f_k(a)² = E f(√a u)² − Σ_{k<n} f_k(a)²,          (2)

by Cauchy and Schwarz: as many terms are summed as the largest |ρ| of a block calls for. For φ with
poles at distance y from the real axis f_k² falls like e^{−2y√(2k/a)}. Mehler, *J. reine angew.
Math.* 66 (1866); Daniely, Frostig and Singer, NeurIPS 2016 (dual activations).

Where φ is odd up to a constant or even up to a linear term, half of the f_k vanish and (1) is a
polynomial in ρ², plus one term.
"""

from functools import lru_cache, partial
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.polynomial.chebyshev import chebvander
from scipy.fft import dct

from widthwise._vocabulary import Array
from widthwise.model.activations import Activation, Function

Symmetry: TypeAlias = Literal["odd", "even", "none"]
ORDERS = (64, 256, 1024, 4096)
CHUNK = 16  # terms of a sum that are added in one pass
_REACH = 13.0
_BANDWIDTH = 4.1  # of the sampling frequency, in units of √orders
_EDGE = 1e-15
_NODES = (17, 33, 65, 129)
_INTERPOLATION = 1e-14


class Series(NamedTuple):
    """Hermite coefficients at points: the last axis is the points, the first the terms.

    Args:
        value: coefficients of φ, in the order of powers of ρ (of ρ² under a symmetry).
        slope: those of φ'.
        extra_value: the coefficient outside the symmetry: of 1 if odd, of ρ if even.
        extra_slope: likewise for φ' (of 1 if even).
        value_tail: τ of (2) at every multiple of :data:`CHUNK` terms, relative to √E φ².
        slope_tail: likewise for φ'.
        error: quadrature error of the coefficients, relative; infinite where φ grows too fast.
    """

    value: jax.Array
    slope: jax.Array
    extra_value: jax.Array
    extra_slope: jax.Array
    value_tail: jax.Array
    slope_tail: jax.Array
    error: jax.Array


class Squares(NamedTuple):
    """E φ(z)² and E φ'(z)² of single points."""

    value: jax.Array
    slope: jax.Array


@lru_cache(maxsize=256)
def symmetry(activation: Activation) -> Symmetry:
    """Whether φ − φ(0) is odd, or φ − zφ'(0) even, to rounding."""
    with jax.ensure_compile_time_eval():
        return _symmetry(activation)


def _symmetry(activation: Activation) -> Symmetry:
    z = jnp.concatenate([jnp.linspace(0.05, 2.0, 40), jnp.linspace(2.5, 12.0, 20)])
    up, down, origin = (np.asarray(activation(v)) for v in (z, -z, jnp.zeros(())))
    line = np.asarray(z * activation.derivative()(jnp.zeros(())))
    allowed = 8 * np.finfo(float).eps * (np.abs(up) + np.abs(down) + np.abs(origin) + np.abs(line))
    if (np.abs(up + down - 2 * origin) <= allowed).all():
        return "odd"
    return "even" if (np.abs(up - down - 2 * line) <= allowed).all() else "none"


@lru_cache(maxsize=8)
def _rule(orders: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (2, nodes) of two interleaved trapezoid rules, and weights · He_k/√k!."""
    step = 2 * np.pi / (_BANDWIDTH * orders**0.5)
    base = np.arange(-np.ceil(_REACH / step), np.ceil(_REACH / step) + 1) * step
    u = np.stack([base, base + step / 2])
    table = np.empty((orders, *u.shape))
    table[0] = step / np.sqrt(2 * np.pi) * np.exp(-u * u / 2)
    table[1] = u * table[0]
    for k in range(1, orders - 1):
        table[k + 1] = (u * table[k] - np.sqrt(k) * table[k - 1]) / np.sqrt(k + 1)
    return u, table


class _Coefficients(NamedTuple):
    """f_k of the chosen orders, f_0 and f_1, E f², and the quadrature's relative error."""

    chosen: jax.Array
    lowest: jax.Array
    square: jax.Array
    error: jax.Array


def _coefficients(values: jax.Array, u: Array, table: Array, chosen: slice) -> _Coefficients:
    table = jnp.asarray(table)
    halves = [table[chosen, i] @ values[:, i].T for i in (0, 1)]
    first = [table[:2, i] @ values[:, i].T for i in (0, 1)]
    squares = [values[:, i] ** 2 @ table[0, i] for i in (0, 1)]
    square = (squares[0] + squares[1]) / 2
    safe = jnp.where(square > 0, square, 1.0)
    gap = jnp.sqrt(jnp.sum((halves[0] - halves[1]) ** 2, 0) / safe)
    gap = jnp.maximum(gap, jnp.abs(squares[0] - squares[1]) / safe)
    ends = values[..., (0, -1)] ** 2 * jnp.exp(-(u[:, (0, -1)] ** 2) / 2)
    fits = jnp.isfinite(square) & (jnp.max(ends, (1, 2)) <= _EDGE * square)
    error = jnp.where(fits | (square == 0), jnp.maximum(gap, 1e-16) ** 1.5, jnp.inf)
    return _Coefficients((halves[0] + halves[1]) / 2, (first[0] + first[1]) / 2, square, error)


def _tails(coefficients: jax.Array, rest: jax.Array, square: jax.Array) -> jax.Array:
    """τ at multiples of the chunk length, relative to the root of ``square``."""
    chunks = jnp.sum(coefficients.reshape(-1, CHUNK, coefficients.shape[-1]) ** 2, 1)
    beyond = jnp.maximum(square - rest - jnp.sum(chunks, 0), 0.0)
    above = jnp.cumsum(chunks[::-1], 0)[::-1] + beyond
    tails = jnp.concatenate([above, beyond[None]])
    return jnp.sqrt(tails / jnp.where(square > 0, square, 1.0))


class _Functions(NamedTuple):
    """Hermite coefficients of φ and φ', those outside the symmetry, E φ², E φ'², and the error."""

    value: jax.Array
    slope: jax.Array
    extra_value: jax.Array
    extra_slope: jax.Array
    value_square: jax.Array
    slope_square: jax.Array
    error: jax.Array


def tabulate(activation: Activation, orders: int, variance: jax.Array) -> tuple[Series, Squares]:
    """The Hermite coefficients of φ and φ' at points of given variances.

    Many points are interpolated in √a, from Chebyshev nodes, as many as it takes.

    Args:
        activation: φ without kinks.
        orders: how many Hermite orders, one of :data:`ORDERS`.
        variance: a of every point (points,).
    """
    kind, rule = symmetry(activation), _rule(orders)
    root = np.sqrt(np.asarray(variance))
    low, high = root.min(), root.max()
    for count in _NODES if low < high else ():
        if count > len(root) / 2:
            break
        nodes = (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * np.linspace(0, 1, count))
        to_chebyshev = np.asarray(dct(np.eye(count), type=1, axis=0)) / (count - 1)
        to_chebyshev[[0, -1]] /= 2
        made = _functions(activation, kind, jnp.asarray(nodes**2), *rule)
        place = np.clip((2 * root - low - high) / (high - low), -1.0, 1.0)
        matrix = chebvander(place, count - 1) @ to_chebyshev
        last = _last_coefficients(made, to_chebyshev[-2:])
        if not last > _INTERPOLATION:
            return _interpolated(made, matrix, last)
    return _series(_functions(activation, kind, variance, *rule))


@partial(jax.jit, static_argnums=(0, 1))
def _functions(activation: Activation, kind: Symmetry, variance, u, table) -> _Functions:
    z = jnp.sqrt(variance)[:, None, None] * u
    value, slope = jax.jvp(activation.function, (z,), (jnp.ones_like(z),))
    first = {"odd": (1, 0), "even": (0, 1), "none": (0, 0)}[kind]
    step = 1 if kind == "none" else 2
    value, slope = (
        _coefficients(f, u, table, slice(start, None, step))
        for f, start in zip((value, slope), first, strict=True)
    )
    none = jnp.zeros_like(variance)
    extra = {"odd": (value.lowest[0], none), "even": (value.lowest[1], slope.lowest[0])}
    return _Functions(
        value.chosen,
        slope.chosen,
        *extra.get(kind, (none, none)),
        value.square,
        slope.square,
        jnp.maximum(value.error, slope.error),
    )


@jax.jit
def _last_coefficients(made: _Functions, rows) -> jax.Array:
    """The last Chebyshev coefficients relative to the largest norm: the interpolation's error."""
    pairs = ((made.value, made.value_square), (made.slope, made.slope_square))
    size = [
        jnp.max(jnp.linalg.norm(f @ rows.T, axis=0)) / jnp.sqrt(jnp.max(square) + 1e-300)
        for f, square in pairs
    ]
    return jnp.maximum(*size)


@jax.jit
def _interpolated(made: _Functions, matrix, last) -> tuple[Series, Squares]:
    error = jnp.full(len(matrix), jnp.max(made.error) + last)
    at_points = jax.tree.map(lambda f: f @ matrix.T, made._replace(error=made.value_square))
    return _series(at_points._replace(error=error))


@jax.jit
def _series(made: _Functions) -> tuple[Series, Squares]:
    value, slope, extra, extra_slope, square, slope_square, error = made
    tails = _tails(value, extra**2, square), _tails(slope, extra_slope**2, slope_square)
    return Series(value, slope, extra, extra_slope, *tails, error), Squares(square, slope_square)


def cut(activation: Activation, series: Series, orders: int) -> Series | None:
    """The first so many orders of a series with their tails (2); ``None`` if it has fewer.

    Args:
        activation: φ.
        series: of points, or stacked over layers (layers, terms, points).
        orders: how many Hermite orders to keep, one of :data:`ORDERS`.
    """
    terms = orders if symmetry(activation) == "none" else orders // 2
    if series.value.shape[-2] < terms:
        return None
    terms, tails = (..., slice(terms), slice(None)), (..., slice(terms // CHUNK + 1), slice(None))
    return series._replace(
        value=series.value[terms],
        slope=series.slope[terms],
        value_tail=series.value_tail[tails],
        slope_tail=series.slope_tail[tails],
    )


@partial(jax.jit, static_argnums=0)
def curvature(activation: Activation, series: Series, variance: jax.Array) -> jax.Array:
    """E φ''² = Σ_k k f_k²/a, f_k the coefficients of φ'; 0 at a = 0 (points,)."""
    kind = symmetry(activation)
    order = np.arange(len(series.slope)) * (1 if kind == "none" else 2) + (kind == "even")
    weighted = jnp.asarray(order, float) @ series.slope**2
    return jnp.where(variance > 0, weighted / jnp.where(variance > 0, variance, 1.0), 0.0)


class Single(NamedTuple):
    """All Hermite coefficients of one function at points (terms, points), tails and error."""

    terms: jax.Array
    tail: jax.Array
    error: jax.Array


def single(f: Function, orders: int, variance: jax.Array) -> Single:
    """The Hermite coefficients of any smooth function, with no use of symmetry."""
    u, table = _rule(orders)
    made = _coefficients(f(jnp.sqrt(variance)[:, None, None] * u), u, table, slice(None))
    return Single(made.chosen, _tails(made.chosen, jnp.zeros(()), made.square), made.error)


def mean(f: Function, orders: int, variance: jax.Array) -> tuple[jax.Array, jax.Array]:
    """E f(√a u) at points, and its error relative to the size of f.

    Args:
        f: smooth.
        orders: whose rule is taken.
        variance: a (points,).
    """
    u, table = _rule(orders)
    values = f(jnp.sqrt(variance)[:, None, None] * u)
    halves = [values[:, i] @ table[0, i] for i in (0, 1)]
    size = jnp.sqrt(values[:, 0] ** 2 @ table[0, 0])
    gap = jnp.abs(halves[0] - halves[1]) / jnp.where(size > 0, size, 1.0)
    return (halves[0] + halves[1]) / 2, jnp.maximum(gap, 1e-16) ** 1.5
