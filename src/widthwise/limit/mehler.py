"""Sums of Mehler's formula over blocks of pairs, with as few terms as the correlations ask for.

    E[f(z₁)g(z₂)] = Σ_k f_k(a) g_k(b) ρ^k,      |rest from k = n| ≤ |ρ|^n τ_n(a) τ_n(b),

in the notation of :mod:`.hermite_series`, by Horner's rule in ρ, or in ρ² under a symmetry of φ.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from widthwise.limit.hermite_series import CHUNK, Series, Symmetry


class PairSums(NamedTuple):
    """(1) for φ and φ' at all pairs of rows and columns, and the error relative to the norms."""

    value: jax.Array
    slope: jax.Array
    error: jax.Array


def pair_sums(
    kind: Symmetry,
    rows: Series,
    columns: Series,
    correlation: jax.Array,
    target: float | jax.Array,
) -> PairSums:
    """Sum (1) for a block of pairs, with as few terms as the target of (2) allows.

    Args:
        kind: the symmetry of φ, as in :func:`symmetry`.
        rows: the series of the block's rows.
        columns: the series of its columns.
        correlation: ρ (rows, columns).
        target: error allowed by (2), relative to √(E φ(z₁)² E φ(z₂)²).
    """
    power = 1 if kind == "none" else 2
    s = correlation if power == 1 else correlation**2
    pairs = [
        Factors(rows.value, columns.value, rows.value_tail, columns.value_tail),
        Factors(rows.slope, columns.slope, rows.slope_tail, columns.slope_tail),
    ]
    (value, slope), left = mehler_sums(pairs, s, power, jnp.abs(correlation), target)
    extra = rows.extra_value[:, None] * columns.extra_value
    if kind == "odd":
        value = correlation * value + extra
    elif kind == "even":
        value = value + correlation * extra
        slope = correlation * slope + rows.extra_slope[:, None] * columns.extra_slope
    return PairSums(value, slope, left + rows.error[:, None] + columns.error)


class Factors(NamedTuple):
    """Coefficients f_k (terms, rows), g_k (terms, columns), and their relative tails."""

    rows: jax.Array
    columns: jax.Array
    row_tail: jax.Array
    column_tail: jax.Array


def mehler_sums(
    products: Sequence[Factors],
    s: jax.Array,
    power: int,
    size: jax.Array,
    target: float | jax.Array,
) -> tuple[tuple[jax.Array, ...], jax.Array]:
    """Σ_k f_k g_k s^k of several products (rows, columns), by Horner's rule, and the bound (2).

    Args:
        products: the coefficients.
        s: ρ^power.
        power: Hermite orders per term.
        size: |ρ|.
        target: bound at which the sums may end; with all terms, the bound is that of each pair.
    """
    chunks = len(products[0].rows) // CHUNK
    reduction = jnp.max(size) ** (power * CHUNK * jnp.arange(chunks + 1))
    bounds = [reduction * jnp.max(f.row_tail, 1) * jnp.max(f.column_tail, 1) for f in products]
    bound = jnp.max(jnp.stack(bounds), 0)
    met = bound <= target
    count = jnp.where(met.any(), jnp.argmax(met), chunks)

    def chunk(i, sums):
        start = (count - 1 - i) * CHUNK
        parts = [
            [jax.lax.dynamic_slice_in_dim(t, start, CHUNK, 0) for t in (f.rows, f.columns)]
            for f in products
        ]
        for j in reversed(range(CHUNK)):
            sums = tuple(
                total * s + c[j][:, None] * d[j] for total, (c, d) in zip(sums, parts, strict=True)
            )
        return sums

    sums = jax.lax.fori_loop(0, count, chunk, (jnp.zeros_like(s),) * len(products))
    left = jax.lax.cond(
        count < chunks,
        lambda: jnp.broadcast_to(bound[count], s.shape),
        lambda: (
            size ** (power * CHUNK * chunks)
            * jnp.max(jnp.stack([f.row_tail[-1][:, None] * f.column_tail[-1] for f in products]), 0)
        ),
    )
    return sums, left
