"""Many expectations E f(z₁)g(z₂) at once, as bilinear forms of Fourier coefficients.

With the series of :mod:`.fourier`, E f(z₁)g(z₂) = Σ_{k,l} f̂_k ĝ_l ψ(h₁k, h₂l): ψ depends on the two
points alone, f̂ and ĝ on one function each. So ψ is computed once, and every product is

    Σ_cells  f̂_cellᵀ Ψ_cell ĝ_cell                                                               (1)

over square cells of the lattice. Far out |ψ| = Π_j |χ_j(sA_{1j} + tA_{2j})| is large only along the
lines on which one source cancels. With e_j(t) = max_{u ≥ t} |χ_j(u)|, a cell matters by

    Π_j e_j(least |sA_{1j} + tA_{2j}| in the cell) / (1 + k)(1 + |l|),                           (2)

a bound of |ψ| times the coefficients of a jump. Cells are halved and halved again where (2) exceeds
a threshold; of the smallest, those of largest (2) are summed. What the last ones (within a factor
8 of what is left out) add up to says how much is missing.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from widthwise.limit.first_layer import fourier
from widthwise.limit.first_layer.fourier import Circle, signed
from widthwise.limit.first_layer.projection import Projection
from widthwise.model.laws import Law

_SIDE = 16
_MOST_POINTS = 1 << 22
_MOST_EVALUATIONS = 24_000_000
_THRESHOLD = 1e-16
_ENVELOPE_STEP = 0.05
_SHELL = 8.0
_SAFETY = 4.0
_CELLS_AT_ONCE = 1024


class Lattice(NamedTuple):
    """Cells of side 16 from (k, l) on, the most important first: ψ there (cells, 16, 16).

    ``shell`` is the first cell of those within a factor 8 of what is left out.
    """

    k: np.ndarray
    l: np.ndarray
    psi: np.ndarray
    shell: int
    limits: tuple[int, int]


def lattice(
    projection: Projection,
    places: tuple[Circle, Circle],
    limits: tuple[int, int],
    *,
    complete: bool,
) -> Lattice:
    """ψ at the lattice points k ≥ 0 that matter to two points that are not parallel.

    Args:
        projection: the law of the two points.
        places: their intervals.
        limits: the last modes, of either sign.
        complete: whether the coefficients beyond the limits vanish.
    """
    steps = np.array([place.step for place in places])
    directions = steps[:, None] * projection.coefficients
    tops = np.array(limits) @ np.abs(directions)
    envelopes = [_envelope(law, top) for law, top in zip(projection.laws, tops, strict=True)]
    k, l, bound = _cells(directions, envelopes, limits)
    order = np.argsort(-bound, kind="stable")
    most = min(_MOST_POINTS, _MOST_EVALUATIONS // projection.sources) // _SIDE**2
    left_out = float(bound[order[most]]) if len(order) > most else _THRESHOLD
    order = order[:most]
    k, l, bound = k[order], l[order], bound[order]
    if not complete:
        reach = np.maximum(l + _SIDE - 1, -l)
        ends = (k + _SIDE > limits[0]) | (reach >= limits[1])
        left_out = max(left_out, bound[ends].max(initial=0.0))
    inside = np.indices((_SIDE, _SIDE)).reshape(2, -1).T
    corner = np.stack([k, l], 1)
    points = (corner[:, None] + inside).reshape(-1, 2) * steps
    psi = fourier.characteristic(projection, points).reshape(-1, _SIDE, _SIDE)
    return Lattice(k, l, psi, int(np.searchsorted(-bound, -_SHELL * left_out)), limits)


def _envelope(law: Law, top: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes t and max_{u ≥ t} |χ(u)| there, up to where it is asked for."""
    t = np.arange(0.0, top + 2 * _ENVELOPE_STEP, _ENVELOPE_STEP)
    sizes = np.abs(fourier.factor(law, t, top + 1))
    return t, np.maximum.accumulate(sizes[::-1])[::-1]


def _cells(
    directions: np.ndarray, envelopes: list[tuple[np.ndarray, np.ndarray]], limits: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First modes (k, l) of the cells within limits, and their bound (2)."""
    size = _SIDE
    while size <= max(limits):
        size *= 2
    k, l = np.zeros(2, dtype=int), np.array([-size, 0])
    while True:
        least = np.maximum(np.maximum(l, -l - size + 1), 0)
        bound = 1.0 / ((1.0 + k) * (1.0 + least))
        middle = (size - 1) / 2
        for direction, envelope in zip(directions.T, envelopes, strict=True):
            angle = direction[0] * (k + middle) + direction[1] * (l + middle)
            radius = np.abs(direction).sum() * middle
            bound *= np.interp(np.maximum(np.abs(angle) - radius, 0.0), *envelope)
        kept = (bound > _THRESHOLD) & (k <= limits[0]) & (least <= limits[1])
        k, l, bound = k[kept], l[kept], bound[kept]
        if size == _SIDE:
            return k, l, bound
        size //= 2
        k = (k[:, None] + size * np.array([0, 0, 1, 1])).ravel()
        l = (l[:, None] + size * np.array([0, 1, 0, 1])).ravel()


def bilinear(
    grid: Lattice, f: np.ndarray, g: np.ndarray, pairs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Equation (1) for columns of coefficients, and what is missing.

    Args:
        grid: the lattice.
        f: f̂_k in columns, from k = 0.
        g: ĝ_l in columns, from l = 0.
        pairs: rows (column of f, column of g).

    Returns:
        The sums, and the estimated error of leaving the rest of the lattice out.
    """
    K, L = (limit + 2 * _SIDE for limit in grid.limits)
    left = np.zeros((K, f.shape[1]), dtype=complex)
    kept = f[: grid.limits[0] + 1]
    left[: len(kept)] = np.where(np.arange(len(kept)) > 0, 2.0, 1.0)[:, None] * kept
    half = np.zeros((L, g.shape[1]), dtype=complex)
    kept = g[: grid.limits[1] + 1]
    half[: len(kept)] = kept
    right = signed(half, np.arange(-L + 1, L))
    terms = np.concatenate(
        [np.zeros((0, len(pairs))), *_terms(grid, left, right, L - 1, pairs)], axis=0
    )
    tails = np.cumsum(terms[::-1], axis=0)[: len(terms) - grid.shell]
    return terms.sum(0), _SAFETY * np.abs(tails).max(0, initial=0.0)


def _terms(grid: Lattice, left, right, origin: int, pairs) -> Iterator[np.ndarray]:
    """The terms of (1), cell by cell."""
    side = np.arange(_SIDE)
    for start in range(0, len(grid.k), _CELLS_AT_ONCE):
        block = slice(start, start + _CELLS_AT_ONCE)
        psi = grid.psi[block]
        waves = right[grid.l[block, None] + side + origin]
        real = np.isrealobj(psi)
        product = (psi @ waves.view(float)).view(complex) if real else psi @ waves
        ours = left[grid.k[block, None] + side]
        yield np.stack(
            [np.real(ours[..., i] * product[..., j]).sum(1) for i, j in pairs.tolist()], 1
        )
