"""Expectations from characteristic functions, for any number of independent sources.

An observable f of z matters only where z lives, |z| ≤ R₀. Let w be a smooth window, 1 on
[−R₀, R₀] and 0 at ±R (to rounding). Then f w is a Fourier series of period 2R that equals f there,

    f(z) = Σ_k f̂_k e^{ihkz},   h = π/R,   f̂_k = (1/2R) ∫_{−R}^{R} f w e^{−ihkz} dz,
    E f(z) = Σ_k f̂_k ψ(hk),        E f(z₁)g(z₂) = Σ_{k,l} f̂_k ĝ_l ψ(h₁k, h₂l),               (1)

with the exact joint characteristic function ψ(s, t) = Π_j χ_j(s A_{1j} + t A_{2j}) of the sources.
No aliasing: the only errors are P(|z| > R₀), the truncation of (1), and the quadrature for f̂, which
is composite Gauss–Legendre with panel edges at the kinks. The sum converges because f̂ decays (fast
without kinks, so even atoms are welcome) or because ψ does (like a product of q decaying factors).

Of the lattice (k, l) only a strip is summed: ψ is largest along the ridge l ≈ −k h₁K₁₂/(h₂K₂₂), a
long one when the two inputs are similar.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.fft import fft, next_fast_len
from scipy.interpolate import BSpline, make_interp_spline
from scipy.special import erfc

from widthwise.algebra.gaussian import Estimate
from widthwise.limit.first_layer.projection import Projection, reach
from widthwise.model.laws import Law, ScipyLaw

OUTSIDE = 1e-15
_MARGIN = 0.35
_WIDEST = 100.0
_MOST_LINE_MODES = 16384
MOST_MODES = 4096
_MOST_GRID_MODES = 400
_SETTLING_MODES = 128
_NULL_LINES = 4
_SCAN = 200
_GRID_BLOCK = 1 << 19
MOST_EVALUATIONS = 30_000_000
_BLOCK = 1 << 15
_GAUSS = 24
_RADIANS_PER_PANEL = 28.0
_INNER = (0.75, 0.85, 0.93)
_SAFETY = 4.0
_SPLINE_STEP = 0.03
_SPLINE_ERROR = 4e-12


class Circle(NamedTuple):
    """One preactivation's interval: f is kept on [−inner, inner] and periodic on [−half, half]."""

    inner: float
    half: float

    @property
    def step(self) -> float:
        """h, the distance of neighbouring frequencies."""
        return np.pi / self.half


class Series(NamedTuple):
    """Fourier coefficients f̂_0 … f̂_K in rows; of every column the quadrature error and max |f|."""

    coefficients: np.ndarray
    error: np.ndarray
    largest: np.ndarray


def circle(projection: Projection, row: int) -> Circle:
    """The interval of one point: infinite when its law has too heavy tails for a series."""
    scale = float(np.linalg.norm(projection.coefficients[row]))
    inner = reach(projection.coefficients[row], projection.laws, OUTSIDE)
    inner = inner if inner <= _WIDEST * scale else np.inf
    return Circle(inner, inner * (1 + 2 * _MARGIN))


def window(z: np.ndarray, place: Circle) -> np.ndarray:
    """1 on [−inner, inner], 0 at ±half, both to rounding, and entire in between."""
    half_width = (place.half - place.inner) / 2
    return erfc(5.6 * ((np.abs(z) - place.inner) / half_width - 1)) / 2


def _nodes(place: Circle, kinks: tuple[float, ...], panels: int) -> tuple[np.ndarray, np.ndarray]:
    x, g = np.polynomial.legendre.leggauss(_GAUSS)
    inside = [kink for kink in kinks if abs(kink) < place.half]
    edges = np.union1d(np.linspace(-place.half, place.half, panels + 1), inside)
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (1 + x)).ravel(), (half * g).ravel()


def _waves(place: Circle, z: np.ndarray, modes: int) -> np.ndarray:
    return np.exp(-1j * place.step * np.outer(np.arange(modes + 1), z))


def series(function: Callable, place: Circle, kinks: tuple[float, ...], modes: int) -> Series:
    """f̂_0 … f̂_modes of a real function z ↦ (nodes,) or (nodes, outputs).

    Panels are halved until the first coefficients settle: then they resolve f. Besides, they are so
    short that their rule resolves the fastest wave.
    """
    few = min(modes, _SETTLING_MODES)
    panels = _enough_panels(few)
    before, largest = _coefficients(function, place, kinks, panels, few)
    error = np.full(len(largest), np.inf)
    for _ in range(4):
        panels *= 2
        now, largest = _coefficients(function, place, kinks, panels, few)
        error, before = _mean_square(now - before), now
        if (error <= 1e-13 * largest).all():
            break
    if modes > few:
        panels = max(panels, _enough_panels(modes))
        before, largest = _coefficients(function, place, kinks, panels, modes)
    return Series(before, error, largest)


def _enough_panels(modes: int) -> int:
    return max(12, int(2 * np.pi * modes / _RADIANS_PER_PANEL) + 1)


def _mean_square(change: np.ndarray) -> np.ndarray:
    """√E(Σ_k c_k e^{ihkz})² if the density of z is at most 8 times that of the whole circle."""
    return 4 * np.sqrt((np.abs(change) ** 2).sum(tuple(range(change.ndim - 1))))


def _coefficients(
    function: Callable, place: Circle, kinks: tuple[float, ...], panels: int, modes: int
) -> tuple[np.ndarray, np.ndarray]:
    """f̂_0 … f̂_modes and max |f| by composite Gauss–Legendre on P equal panels.

    The nodes z = −R + 2R(p + u)/P of one u are equidistant, so their waves are a discrete Fourier
    transform, e^{−ihkz} = (−1)^k e^{−2πiku/P} e^{−2πikp/P}. A panel with a kink inside is left out
    there and added in the pieces that the kink cuts it into.
    """
    P = int(next_fast_len(panels) or panels)
    x, g = np.polynomial.legendre.leggauss(_GAUSS)
    edges = np.linspace(-place.half, place.half, P + 1)
    spacing = 2 * place.half / P
    z = (edges[:-1, None] + spacing * (1 + x) / 2).ravel()
    w = np.tile(g / (2 * P), P)
    cuts = np.array([kink for kink in kinks if abs(kink) < place.half])
    whole = np.rint((cuts + place.half) / spacing).astype(int)
    cuts = cuts[np.abs(cuts - edges[whole]) > 1e-13 * place.half]
    broken = np.unique(((cuts + place.half) / spacing).astype(int))
    w.reshape(P, -1)[broken] = 0.0
    values = np.asarray(function(z)).reshape(len(z), -1)
    weighted = ((window(z, place) * w)[:, None] * values).reshape(P, _GAUSS, -1)
    transforms = np.asarray(fft(weighted, axis=0))
    k = np.arange(modes + 1)
    total = np.zeros((modes + 1, values.shape[1]), dtype=complex)
    for n, u in enumerate((1 + x) / 2):
        total += np.exp(-2j * np.pi * u / P * k)[:, None] * transforms[k % P, n]
    total *= np.where(k % 2, -1.0, 1.0)[:, None]
    for p in broken:
        ends = np.union1d(edges[p : p + 2], cuts[(cuts > edges[p]) & (cuts < edges[p + 1])])
        half = np.diff(ends)[:, None] / 2
        z, w = (ends[:-1, None] + half * (1 + x)).ravel(), (half * g).ravel()
        pieces = np.asarray(function(z)).reshape(len(z), -1)
        weighted = (window(z, place) * w)[:, None] * pieces / (2 * place.half)
        total += _waves(place, z, modes) @ weighted
    return total, np.abs(values).max(0)


@lru_cache(maxsize=32)
def _tabulated(law: Law, top: float) -> BSpline:
    """A slow characteristic function as a spline of degree 7."""
    t = np.arange(0.0, top + 8 * _SPLINE_STEP, _SPLINE_STEP)
    return make_interp_spline(t, law.characteristic(t), k=7)


def factor(law: Law, t: np.ndarray, top: float) -> np.ndarray:
    if isinstance(law, ScipyLaw):
        value = _tabulated(law, 2.0 ** np.ceil(np.log2(top + 1)))(np.abs(t))
        value = np.where(t < 0, value.conj(), value)
    else:
        value = law.characteristic(t)
    return np.real(value) if law.symmetric else value


def noise(projection: Projection) -> float:
    """The error of a value of ψ."""
    rough = sum(isinstance(law, ScipyLaw) for law in projection.laws)
    return 4e-16 * projection.sources + _SPLINE_ERROR * rough


def characteristic(projection: Projection, frequencies: np.ndarray) -> np.ndarray:
    """ψ at frequencies (n, p): real if every law is symmetric."""
    symmetric = all(law.symmetric for law in projection.laws)
    tops = np.abs(frequencies).max(0) @ np.abs(projection.coefficients)
    psi = np.ones(len(frequencies), dtype=float if symmetric else complex)
    for start in range(0, len(psi), _BLOCK):
        block = slice(start, start + _BLOCK)
        angles = frequencies[block] @ projection.coefficients
        for j, law in enumerate(projection.laws):
            psi[block] *= factor(law, np.ascontiguousarray(angles[:, j]), tops[j])
    return psi


def _last(sizes: np.ndarray, threshold: float) -> int:
    above = np.flatnonzero(sizes > threshold)
    return int(above[-1]) if len(above) else 0


def resolved_modes(f: Series) -> int:
    """The last coefficient that is not rounding."""
    return _last((np.abs(f.coefficients) / (f.largest + 1e-300)).max(1), 1e-14)


def _total(
    weights: np.ndarray, psi: np.ndarray, depth: np.ndarray, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Re Σ weights ψ for weights (n, outputs), and its error from the cut-off and from ψ.

    The outermost shells say what lies beyond the cut-off.
    """
    terms = np.real(weights * psi[:, None])
    shells = [np.abs(terms[depth > inner].sum(0)) for inner in _INNER]
    return terms.sum(0), _SAFETY * np.max(shells, axis=0) + noise * np.abs(weights).sum(0)


def line(
    projection: Projection, row: int, function: Callable, kinks: tuple[float, ...], tolerance: float
) -> Estimate | None:
    """E f(z) of one point's preactivation, f: (nodes,) → (nodes, outputs); None if not feasible."""
    place = circle(projection, row)
    if not np.isfinite(place.half):
        return None
    if not place.half:  # z = 0
        value = np.asarray(function(np.zeros(1)))[0]
        return Estimate(value, np.zeros_like(value))
    one = projection.rows([row])
    limit = _MOST_LINE_MODES if kinks else _smooth_modes(function, place)
    modes = min(16 + int(1.2 * _decay(one, place.step, limit, 1e-3 * tolerance)), limit)
    f = series(function, place, kinks, modes)
    k = np.arange(modes + 1)
    psi = characteristic(one, place.step * k[:, None].astype(float))
    weights = np.where(k > 0, 2.0, 1.0)[:, None] * f.coefficients
    value, error = _total(weights, psi, k / max(modes, 1), noise(one))
    return Estimate(value, error + f.error + 2 * OUTSIDE * f.largest)


def _smooth_modes(function: Callable, place: Circle) -> int:
    """How many coefficients of a function without kinks are not rounding."""
    modes = 256
    while True:
        last = resolved_modes(series(function, place, (), modes))
        if last < 0.9 * modes:
            return last + 8
        if modes >= MOST_MODES:
            return modes
        modes *= 4


def _scan(limit: int) -> Iterator[np.ndarray]:
    """Ever longer grids of modes, so that a search may stop early."""
    for end in sorted({min(limit, size) for size in (256, 2048, limit)}):
        yield np.unique(np.geomspace(1, end + 1, _SCAN).astype(int)) - 1


def _decay(one: Projection, step: float, limit: int, threshold: float) -> int:
    """The last mode k with |ψ(hk)|/k above the threshold."""
    last = 0
    for k in _scan(limit):
        psi = np.abs(characteristic(one, step * k[:, None].astype(float)))
        last = int(k[_last(psi / np.maximum(k, 1), threshold)])
        if last < 0.8 * k[-1]:
            break
    return last


class Strip(NamedTuple):
    """Lattice points (k, l), k ≥ 0, near the ridge of ψ; weight · ψ there; depth ≤ 1 inside."""

    k: np.ndarray
    l: np.ndarray
    psi: np.ndarray
    depth: np.ndarray
    noise: float


def strip(
    projection: Projection,
    places: tuple[Circle, Circle],
    limits: tuple[int, int],
    tolerance: float,
    stretch: float = 1.0,
    evaluations: float = MOST_EVALUATIONS,
) -> Strip:
    """The lattice points that matter to a pair, |k| and |l| within limits.

    Args:
        projection: the law of two points that are not parallel.
        places: their intervals.
        limits: the last coefficients known, or worth knowing.
        tolerance: terms are kept while |ψ|/(1 + k)(1 + l) exceeds a small part of it.
        stretch: how much larger to make the strip than this scan along its axes says.
        evaluations: how many values of χ may be computed; a larger strip is shrunk.
    """
    h1, h2 = (place.step for place in places)
    K = projection.covariance
    slope = -h1 * K[0, 1] / (h2 * K[1, 1])
    N, M = _extent(projection, (h1, h2), limits, slope, 1e-3 * tolerance)
    M = min(int(stretch * M) + 4, 2 * limits[1])
    N = min(int(stretch * N) + 4, limits[0])
    excess = (N + 1) * (2 * min(M, limits[1]) + 1) * projection.sources / evaluations
    if excess > 1:
        M, N = (max(4, int(size / np.sqrt(excess))) for size in (M, N))
    k, m = (index.ravel() for index in np.mgrid[0 : N + 1, -M : M + 1])
    l = m + np.rint(slope * k).astype(int)
    kept = np.abs(l) <= limits[1]
    k, l, m = k[kept], l[kept], m[kept]
    psi = characteristic(projection, np.stack([h1 * k, h2 * l], 1))
    depth = np.maximum(k / N, np.abs(m) / M)
    return Strip(k, l, np.where(k > 0, 2.0, 1.0) * psi, depth, 2 * noise(projection))


def _extent(
    projection: Projection,
    steps: tuple[float, float],
    limits: tuple[int, int],
    slope: float,
    threshold: float,
) -> tuple[int, int]:
    """How far |k| and |l − slope k| go where |ψ|/(1 + k)(1 + l) exceeds the threshold.

    Looked up along the l axis, along the ridge, and along the lines on which one of the largest
    sources cancels, where ψ loses a factor.
    """
    A = projection.coefficients
    largest = np.argsort(-np.abs(A).max(0))[:_NULL_LINES]
    tilts = [slope, *(-steps[0] * A[0, j] / (steps[1] * A[1, j]) for j in largest if A[1, j])]
    N, M = 0, 0
    for scan in _scan(max(limits)):
        lines = [(0 * scan, scan), *((scan, tilt * scan) for tilt in tilts)]
        k, l = (np.concatenate(parts) for parts in zip(*lines, strict=True))
        inside = (k <= limits[0]) & (np.abs(l) <= limits[1])
        k, l = k[inside], l[inside]
        psi = np.abs(characteristic(projection, np.stack([steps[0] * k, steps[1] * l], 1)))
        large = psi / (np.maximum(k, 1) * np.maximum(np.abs(l), 1)) > threshold
        k, l = k[large], l[large]
        N = int(k.max(initial=0))
        M = int(np.abs(l - slope * k).max(initial=0))
        if max(N, np.abs(l).max(initial=0)) < 0.8 * scan[-1]:
            break
    return N, M


def signed(coefficients: np.ndarray, l: np.ndarray) -> np.ndarray:
    """ĝ_l for l of either sign, from ĝ_0, ĝ_1, …: conjugate of ĝ_{|l|} where l < 0."""
    value = coefficients[np.abs(l)]
    return np.where((l < 0).reshape(-1, *(1,) * (value.ndim - 1)), value.conj(), value)


def strip_sum(lattice: Strip, f: Series, g: Series) -> tuple[np.ndarray, np.ndarray]:
    """Σ f̂_k ĝ_l ψ, column by column, and its error."""
    terms = f.coefficients[lattice.k] * signed(g.coefficients, lattice.l)
    value, error = _total(terms, lattice.psi, lattice.depth, lattice.noise)
    rest = f.error * g.largest + g.error * f.largest + 4 * OUTSIDE * f.largest * g.largest
    return value, error + rest


def expectation(
    projection: Projection,
    observable: Callable[[np.ndarray], np.ndarray],
    kinks: tuple[float, ...],
    tolerance: float,
) -> Estimate | None:
    """E observable(z) for one point or two that are not parallel; None if not feasible."""
    if len(projection.coefficients) == 1:
        estimate = line(projection, 0, lambda z: observable(z[:, None]), kinks, tolerance)
        plain = np.ndim(observable(np.zeros((1, 1)))) == 1
        return Estimate(*(v[0] for v in estimate)) if estimate and plain else estimate
    return _plane(projection, observable, kinks, tolerance)


def _plane(projection, observable, kinks, tolerance: float) -> Estimate | None:
    places = (circle(projection, 0), circle(projection, 1))
    if not all(np.isfinite(place.half) for place in places):
        return None
    limits = (_MOST_GRID_MODES, _MOST_GRID_MODES)
    if not kinks:
        limits = (_grid_modes(places, observable, 0), _grid_modes(places, observable, 1))
    lattice = strip(projection, places, limits, tolerance)
    modes = (int(lattice.k.max()), int(np.abs(lattice.l).max()))
    before, error, largest = None, np.inf, 0.0
    for refinement in (1, 2):
        now, largest = _grid_coefficients(places, observable, kinks, modes, refinement)
        if before is not None:
            error = _mean_square(now - before).max()
        before = now
    terms = before[lattice.k, lattice.l + modes[1]]
    value, missing = _total(terms, lattice.psi, lattice.depth, lattice.noise)
    estimate = Estimate(value, missing + error + 4 * OUTSIDE * largest)
    plain = np.ndim(observable(np.zeros((1, 2)))) == 1
    return Estimate(*(v[0] for v in estimate)) if plain else estimate


def _grid_modes(places, observable, side: int) -> int:
    """Modes that resolve the observable along one axis, at a few values of the other."""
    other = places[1 - side]

    def slices(z: np.ndarray) -> np.ndarray:
        values = []
        for y in np.linspace(-0.93, 0.97, 5) * other.inner:
            pair = (z, np.full_like(z, y))
            nodes = np.stack(pair if side == 0 else pair[::-1], 1)
            values.append(np.asarray(observable(nodes)).reshape(len(z), -1))
        return np.concatenate(values, 1)

    return min(_smooth_modes(slices, places[side]), _MOST_GRID_MODES)


def _grid_coefficients(places, observable, kinks, modes, refinement: int):
    """f̂_{kl} for 0 ≤ k ≤ modes[0], |l| ≤ modes[1], as (k, l, outputs), and max |f|."""
    lines, sides = [], []
    for place, count in zip(places, modes, strict=True):
        panels = refinement * _enough_panels(count)
        z, w = _nodes(place, kinks, panels)
        lines.append(z)
        sides.append(_waves(place, z, count) * (window(z, place) * w / (2 * place.half)))
    right = np.concatenate([sides[1][:0:-1].conj(), sides[1]])
    total, largest = 0.0, 0.0
    rows = max(1, _GRID_BLOCK // len(lines[1]))
    for start in range(0, len(lines[0]), rows):
        z1 = lines[0][start : start + rows]
        nodes = np.stack(np.broadcast_arrays(z1[:, None], lines[1]), -1).reshape(-1, 2)
        values = np.asarray(observable(nodes))
        largest = max(largest, float(np.abs(values).max()))
        values = values.reshape(len(z1), len(lines[1]), -1)
        parts = [
            sides[0][:, start : start + rows] @ (values[..., c] @ right.T)
            for c in range(values.shape[2])
        ]
        total = total + np.stack(parts, -1)
    return np.asarray(total), largest
