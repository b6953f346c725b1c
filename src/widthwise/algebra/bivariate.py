"""E[φ(z₁)φ(z₂)] and E[φ'(z₁)φ'(z₂)] for many pairs (z₁, z₂) ~ N(0, K) at once.

The two expectations every kernel recursion is made of. Write z₁ = √K₁₁ u and
z₂ = (K₁₂/√K₁₁) u + √(K₂₂ − K₁₂²/K₁₁) v with u, v standard normal; then apply the rules of
:mod:`widthwise.algebra.gaussian` (trapezoid, or Gauss–Legendre panels with an edge at every kink)
to a batch of pairs at a time, and refine only the pairs whose error is not yet met.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise._vocabulary import Array
from widthwise.algebra.gaussian import (
    PANEL_EDGES,
    REACHES,
    QuadratureError,
    remaining,
    trapezoid_line,
)

Function: TypeAlias = Callable[..., jax.Array]
_STEPS = (0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625)
_NODES = (8, 12, 18, 27, 40)
_VALUES_AT_ONCE = 4_000_000
_PARALLEL = 9e-16  # a conditional variance below this is rounding: the two variables are parallel
_GRADING = (-9.0, -3.0, -1.0, 0.0, 1.0, 3.0, 9.0)


class PairMoments(NamedTuple):
    """E[φφ], E[φ'φ'] of every pair, and the estimated absolute error of each."""

    value: np.ndarray
    derivative: np.ndarray
    value_error: np.ndarray
    derivative_error: np.ndarray


def pair_moments(
    function: Function,
    derivative: Function,
    kinks: tuple[float, ...],
    covariance: Float[Array, "pairs 3"],
    shift: float | Float[np.ndarray, " pairs"] = 0.0,
    tolerance: float = 1e-12,
) -> PairMoments:
    """E[φ(z₁+s)φ(z₂+s)] and E[φ'(z₁+s)φ'(z₂+s)] for pairs with covariances (K₁₁, K₁₂, K₂₂).

    Args:
        function: φ, elementwise.
        derivative: φ'.
        kinks: where φ or φ' jumps.
        covariance: rows (K₁₁, K₁₂, K₂₂).
        shift: s, added to both variables; one number, or one per pair.
        tolerance: allowed error relative to the pair's √(E φ(z₁)² E φ(z₂)²), or to 1 if larger.

    Raises:
        QuadratureError: when the finest rule does not reach the tolerance for some pair.
    """
    covariance = np.asarray(covariance, dtype=float)
    count = len(covariance)
    shifts = np.broadcast_to(np.asarray(shift, dtype=float), count)
    reach = _reach(function, derivative, covariance, shifts)
    moments = np.zeros((2, count))
    gaps = np.full((2, count), np.inf)
    active = np.arange(count)
    batch = _panel_batch if kinks else _trapezoid_batch
    levels = _NODES if kinks else _STEPS
    before = np.full((2, count), np.inf)
    power = 1.0 if kinks else 1.5
    for number, level in enumerate(levels):
        fine, scale = _in_chunks(
            partial(batch, function, derivative, tuple(kinks), level, reach),
            covariance[active],
            shifts[active],
        )
        if number:
            gap = np.abs(fine - moments[:, active]) / scale
            gaps[:, active] = remaining(gap, before[:, active], power) * scale
            before[:, active] = gap
            met = (gaps[:, active] <= tolerance * np.maximum(scale, 1.0)).all(0)
            moments[:, active] = fine
            active = active[~met]
            if not len(active):
                break
        else:
            moments[:, active] = fine
    if len(active):
        raise QuadratureError(
            f"the kernel's quadrature reached an error of {gaps[:, active].max():.1e}, not the "
            f"{tolerance:.0e} asked for, on {len(active)} of {count} pairs of inputs; declare the "
            "activation's kinks (widthwise.activations.get(function, kinks=(...))); if it has "
            "none, it is steep at this scale: standardize the inputs, or pass a larger tolerance"
        )
    errors = np.maximum(gaps, 4e-16 * np.abs(moments))
    return PairMoments(moments[0], moments[1], errors[0], errors[1])


def _reach(function, derivative, covariance: np.ndarray, shifts: np.ndarray) -> float:
    """How many standard deviations to reach for the tails of φ² and φ'² to be nothing."""
    std = np.sqrt(covariance[:, [0, 2]].max())
    for reach in REACHES:
        u = np.linspace(-reach, reach, 401)
        z = np.concatenate([std * u + s for s in (shifts.min(), shifts.max())])
        weight = np.tile(np.exp(-u * u / 2), 2)
        sizes = [weight * np.asarray(f(z)) ** 2 for f in (function, derivative)]
        if all(size[[0, 400, 401, 801]].max() <= 1e-15 * size.max() for size in sizes):
            return reach
    raise QuadratureError(
        f"the activation grows too fast for a Gaussian of standard deviation {std:.3g}: its tails "
        f"beyond {REACHES[-1]:g} standard deviations count; use smaller weights or inputs"
    )


def _in_chunks(batch: partial, covariance: np.ndarray, shifts: np.ndarray):
    """Run ``batch`` on blocks of pairs of one fixed size, so that it compiles once a level."""
    size = min(_chunk(*batch.args[2:5]), max(8, 1 << (len(covariance) - 1).bit_length()))
    values, scales = [], []
    for start in range(0, len(covariance), size):
        block = covariance[start : start + size]
        missing = size - len(block)
        padded = np.concatenate([block, np.ones((missing, 3)) * (1.0, 0.0, 1.0)])
        shift = np.concatenate([shifts[start : start + size], np.zeros(missing)])
        value, scale = batch(jnp.asarray(padded), jnp.asarray(shift))
        values.append(np.asarray(value)[:, : len(block)])
        scales.append(np.asarray(scale)[:, : len(block)])
    return np.concatenate(values, 1), np.concatenate(scales, 1) + 1e-300


def _chunk(kinks: tuple[float, ...], level: float, reach: float) -> int:
    """How many pairs fit into memory at once, a power of two."""
    if kinks:
        inner = (len(PANEL_EDGES) - 1 + len(kinks)) * int(level)
        evaluations = inner * (inner + len(kinks) * len(_GRADING) * level)
    else:
        evaluations = len(trapezoid_line(level, reach)[0]) ** 2
    return max(8, 1 << int(np.log2(max(_VALUES_AT_ONCE // evaluations, 1))))


def _conditioned(covariance: jax.Array):
    K11, K12, K22 = covariance.T
    s1 = jnp.sqrt(K11)
    slope = jnp.where(K11 > 0, K12 / jnp.where(K11 > 0, s1, 1.0), 0.0)
    rest = K22 - slope**2
    return s1, slope, jnp.sqrt(jnp.where(rest > _PARALLEL * K22, rest, 0.0))


@partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _trapezoid_batch(function, derivative, kinks, step, reach, covariance, shift):
    u, w = map(jnp.asarray, trapezoid_line(step, reach))
    s1, slope, s2 = _conditioned(covariance)
    z1 = s1[:, None] * u + shift[:, None]
    z2 = slope[:, None, None] * u[:, None] + s2[:, None, None] * u + shift[:, None, None]

    def moments(f):
        outer, inner = f(z1), f(z2)
        scale = jnp.sqrt((outer**2 @ w) * jnp.einsum("pij,i,j->p", inner**2, w, w))
        return jnp.einsum("pi,i,pi->p", outer, w, inner @ w), scale

    (value, scale), (slope_value, slope_scale) = moments(function), moments(derivative)
    return jnp.stack([value, slope_value]), jnp.stack([scale, slope_scale])


@partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _panel_batch(function, derivative, kinks, count, reach, covariance, shift):
    s1, slope, s2 = _conditioned(covariance)
    places = jnp.asarray(kinks) - shift[:, None]
    crossing = places / jnp.where(s1 > 0, s1, 1.0)[:, None]
    tilt = jnp.where(slope == 0, 1.0, slope)[:, None]
    narrow = (places / tilt)[..., None] + (s2[:, None] / jnp.abs(tilt))[..., None] * jnp.asarray(
        _GRADING
    )
    u, wu = _panels(jnp.concatenate([crossing, narrow.reshape(len(s1), -1)], 1), count, reach)
    spread = jnp.where(s2 > 0, s2, 1.0)[:, None, None]
    inner_edges = (places[:, None] - slope[:, None, None] * u[..., None]) / spread
    v, wv = _panels(inner_edges, count, reach)
    z1 = s1[:, None] * u + shift[:, None]
    z2 = slope[:, None, None] * u[..., None] + s2[:, None, None] * v + shift[:, None, None]

    def moments(f):
        outer, inner = f(z1), f(z2)
        scale = jnp.sqrt(jnp.sum(outer**2 * wu, -1) * jnp.sum(jnp.sum(inner**2 * wv, -1) * wu, -1))
        return jnp.sum(outer * wu * jnp.sum(inner * wv, -1), -1), scale

    (value, scale), (slope_value, slope_scale) = moments(function), moments(derivative)
    return jnp.stack([value, slope_value]), jnp.stack([scale, slope_scale])


def _panels(edges: jax.Array, count: int, reach: float) -> tuple[jax.Array, jax.Array]:
    """Composite Gauss–Legendre nodes and Gaussian weights with panel edges on the last axis."""
    x, g = np.polynomial.legendre.leggauss(count)
    fixed = jnp.asarray(PANEL_EDGES) * (reach / PANEL_EDGES[-1])
    base = jnp.broadcast_to(fixed, (*edges.shape[:-1], len(PANEL_EDGES)))
    edges = jnp.sort(jnp.concatenate([base, jnp.clip(edges, -reach, reach)], -1), -1)
    half = jnp.diff(edges)[..., None] / 2
    u = edges[..., :-1, None] + half * (1 + x)
    w = half * g * jnp.exp(-u * u / 2) / jnp.sqrt(2 * jnp.pi)
    return u.reshape(*edges.shape[:-1], -1), w.reshape(*edges.shape[:-1], -1)
