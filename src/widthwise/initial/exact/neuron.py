"""The characteristic function of one neuron, ψ(τ) = E Π_c χ_W(τ g_c), at all scales of τ.

g is the neuron's feature (:mod:`.feature`); the sum of n neurons has the characteristic function
ψ(tσ_w/√n)ⁿ. Octave after octave of τ takes the coarsest rule for g that two levels confirm, where
what counts is their effect on ψⁿ. Large rules for a scalar g are compressed: a node moves to the 16
Gauss–Legendre nodes of its cell as Lagrange's polynomials say, which is exact for polynomials of
degree 15, and χ_W(τ·) is one to rounding on cells of length 0.6/τ.

ψ = α + β: α sums over the atoms of W · g, β over the rest.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise.initial.exact import increments
from widthwise.initial.exact.atoms import Atoms, merged
from widthwise.initial.exact.feature import Feature, Features
from widthwise.model.laws import Gaussian, Law

_OCTAVES = 13
_SETTLED = 3e-15
_NEGLIGIBLE = 1e-17
_NOISE = 1e-13
_LEAST_OCTAVES = 6
_LEAST_SLOW_OCTAVES = 3
_FIRST_OCTAVES = 5
_UNSETTLED = 1e-12
_MOST_NODES = 1 << 16
_CELL = 0.6
_MOST_CELLS = 6000
_COMPRESSED_FROM = 20_000
_BLOCK = 1 << 20
_GAUSSIAN_END = 9.0
_NODES, _ = np.polynomial.legendre.leggauss(16)
_BARYCENTRIC = np.array([1 / np.prod(x - np.delete(_NODES, i)) for i, x in enumerate(_NODES)])


@dataclass(frozen=True, eq=False)
class Octave:
    """The rule that serves τ up to ``end``, and the error of ψ with it."""

    end: float
    values: Float[np.ndarray, "nodes outputs"]
    weights: Float[np.ndarray, " nodes"]
    error: float


@dataclass(frozen=True, eq=False)
class Neuron:
    """One neuron, prepared for sums of n of them.

    Args:
        law: the law of its readout weights.
        octaves: rules by size of τ.
        atoms: of W · g, not necessarily all of its mass.
        features: the rules themselves, the finest used for moments.
    """

    law: Law
    octaves: tuple[Octave, ...]
    atoms: Atoms
    features: Features

    @property
    def limit(self) -> float:
        """The last τ that a rule serves."""
        return self.octaves[-1].end

    @property
    def feature(self) -> Feature:
        """The finest rule made."""
        return self.features.known[-1]

    @property
    def variance(self) -> float:
        """E (W · g)²."""
        return float(self.feature.weights @ np.square(self.feature.values).sum(1))

    def increment(self, tau: np.ndarray) -> np.ndarray:
        """ψ − 1 at a flat array of τ ≥ 0."""
        result = np.zeros(len(tau), dtype=float if self.law.symmetric else complex)
        place = np.searchsorted([octave.end for octave in self.octaves[:-1]], tau)
        for j in np.unique(place):
            octave, here = self.octaves[j], place == j
            result[here] = expectation(self.law, octave.values, octave.weights, tau[here])
        return result

    def error(self, tau: np.ndarray) -> np.ndarray:
        """The absolute error of ψ."""
        ends = [octave.end for octave in self.octaves[:-1]]
        errors = np.array([octave.error for octave in self.octaves]) + increments.noise(self.law)
        return errors[np.searchsorted(ends, tau)] * np.minimum(1.0, self.variance * tau**2)

    def atomic(self, tau: np.ndarray) -> np.ndarray:
        """α at a flat array of τ."""
        angles = np.outer(tau, self.atoms.positions)
        return np.exp(1j * angles) @ self.atoms.masses


def expectation(law: Law, values: np.ndarray, weights: np.ndarray, tau: np.ndarray) -> np.ndarray:
    """E Π_c χ_W(τ g_c) − 1 over the nodes of a rule, at a flat array of τ > 0."""
    if isinstance(law, Gaussian):
        return _gaussian(np.linalg.norm(values, axis=1), weights, tau)
    result = np.empty(len(tau), dtype=float if law.symmetric else complex)
    rows = max(1, _BLOCK // len(weights))
    for start in range(0, len(tau), rows):
        block = tau[start : start + rows, None]
        total = 0.0
        for column in values.T:
            one = increments.increment(law, block * column)
            total = one if len(values.T) == 1 else total + one + total * one
        result[start : start + rows] = total @ weights
    return result


def _gaussian(g: np.ndarray, weights: np.ndarray, tau: np.ndarray) -> np.ndarray:
    """E exp(−τ²g²/2) − 1; nodes with a large τg are a sum of weights."""
    order = np.argsort(g, kind="stable")
    g, weights = g[order], weights[order]
    beyond = np.append(np.cumsum(weights[::-1])[::-1], 0.0)
    result = np.empty(len(tau))
    ascending = np.argsort(tau, kind="stable")
    start = 0
    while start < len(tau):
        first = tau[ascending[start]]
        cut = int(np.searchsorted(g, _GAUSSIAN_END / first)) if first else len(g)
        rows = ascending[start : start + max(1, min(64, _BLOCK // max(cut, 1)))]
        u = tau[rows, None] * g[:cut]
        result[rows] = np.expm1(-u * u / 2) @ weights[:cut] - beyond[cut]
        start += len(rows)
    return result


def prepare(features: Features, law: Law, n: int) -> Neuron:
    """Choose the rules for a sum of n neurons.

    Octaves end where ψⁿ is negligible or not known.
    """
    first = features.level(0)
    assert first is not None
    rms = math.sqrt(first.weights @ np.square(first.values).sum(1))
    if rms == 0:
        silent = Octave(1e4, first.values, first.weights, 0.0)
        return Neuron(law, (silent,), _atoms(first, law), features)
    still = _atoms(first, law).mass
    least = _LEAST_SLOW_OCTAVES if increments.noise(law) else _LEAST_OCTAVES
    octaves: list[Octave] = []
    level, end = 0, 1 / rms
    while len(octaves) < _OCTAVES:
        probes = end * np.array([0.53, 0.64, 0.76, 0.87, 0.99])
        octave, level, size, gap = _octave(features, law, n, probes, level, end, not octaves)
        effect = n * gap * size ** (n - 1)
        left = abs(size**n - still**n)
        reach = end * rms * math.sqrt(n)
        if len(octaves) >= _FIRST_OCTAVES and effect * reach > max(_UNSETTLED, 1e-7 * left):
            break
        octaves.append(octave)
        if len(octaves) >= least and left < _NEGLIGIBLE:
            break
        end *= 2
    return Neuron(law, tuple(octaves), _atoms(features.known[-1], law), features)


def _octave(
    features: Features, law: Law, n: int, probes: np.ndarray, level: int, end: float, first: bool
) -> tuple[Octave, int, float, float]:
    """The coarsest confirmed rule from a level on, its level, max |ψ| at probes, the gap there.

    The first octave reaches to τ = 0. A gap falls there like τ² and counts n ψⁿ⁻¹ times, so that
    max_τ n (τ/end)² ψⁿ⁻¹ ≈ 1 is what it counts at least, however small ψⁿ⁻¹ is at the probes.
    """
    least = 1.0 if first else 0.0
    coarse = features.level(level)
    assert coarse is not None
    gaussian = isinstance(law, Gaussian)
    coarse, now = _compressed(coarse, end)
    gap, before = math.inf, math.inf
    value = expectation(law, *now, probes)
    while True:
        fine = features.level(level + 1)
        if fine is None or (len(fine.weights) > _MOST_NODES and features.line and not gaussian):
            if features.exact:
                gap = 0.0
            elif not math.isfinite(gap):
                previous = features.level(level - 1) if level else None
                gap = (
                    1.0
                    if previous is None
                    else float(
                        np.abs(
                            expectation(law, *_compressed(previous, end)[1], probes) - value
                        ).max()
                    )
                )
            break
        fine, then = _compressed(fine, end)
        refined = expectation(law, *then, probes)
        gap = float(np.abs(refined - value).max())
        size = float(np.abs(1 + refined).max())
        level, coarse, now, value = level + 1, fine, then, refined
        if gap * max(n * size ** (n - 1), least) <= _SETTLED or gap <= 4e-16:
            level -= 1
            break
        if gap < _NOISE and gap > before / 4:
            break
        before = gap
    missing = abs(float(coarse.weights.sum()) - 1)
    error = gap + features.error + (missing if missing > 1e-14 else 0.0)
    return Octave(end, *now, error), max(level - 1, 0), float(np.abs(1 + value).max()), gap


def _compressed(feature: Feature, end: float) -> tuple[Feature, tuple[np.ndarray, np.ndarray]]:
    """Nodes and weights with the same E χ_W(τ g) for |τ| ≤ end."""
    g, weights = feature.values, feature.weights
    if g.shape[1] > 1 or len(g) < _COMPRESSED_FROM:
        return feature, (g, weights)
    cell = np.floor(g[:, 0] * end / _CELL).astype(int)
    present, index = np.unique(cell, return_inverse=True)
    if len(present) > _MOST_CELLS or 16 * len(present) > len(g) / 2:
        return feature, (g, weights)
    centre, half = (present + 0.5) * _CELL / end, _CELL / (2 * end)
    x = (g[:, 0] - centre[index]) / half
    distance = x[:, None] - _NODES
    distance[distance == 0] = 1e-30
    lagrange = _BARYCENTRIC / distance
    lagrange *= (weights / lagrange.sum(1))[:, None]
    spread = np.stack([np.bincount(index, column, len(present)) for column in lagrange.T], 1)
    nodes = centre[:, None] + half * _NODES
    return feature, (nodes.reshape(-1, 1), spread.ravel())


def _sums(index: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """Sums of weights by index; few of them pairwise, since n multiplies their rounding."""
    if count > 64:
        return np.bincount(index, weights, count)
    return np.array([weights[index == j].sum() for j in range(count)])


def _atoms(feature: Feature, law: Law) -> Atoms:
    """Atoms of W · g: everything if W has atoms, otherwise what is at 0."""
    scale = np.abs(feature.values).max(initial=0.0)
    zero = np.abs(feature.values).max(1) <= 1e-14 * scale
    kept = feature.atomic & (zero | law.discrete)
    g, weights = feature.values[kept], feature.weights[kept]
    if not len(g):
        return merged(np.zeros(0), np.zeros(0))
    atoms = Atoms(np.zeros(1), np.ones(1))
    if not law.discrete:
        return Atoms(np.zeros(1), np.array([weights.sum()]))
    parts = []
    rounded = np.round(g / max(scale, 1e-300), 12)
    different, index = np.unique(rounded, axis=0, return_inverse=True)
    masses = _sums(index.ravel(), weights, len(different))
    places = np.zeros_like(different)
    places[index.ravel()] = g
    w, p = law.quadrature(1)
    for row, mass in zip(places, masses, strict=True):
        product = atoms
        for component in row:
            product = product.shifted(merged(w * component, p))
        parts.append((product.positions, mass * product.masses))
    positions, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
    return merged(positions, weights)
