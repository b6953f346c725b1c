"""Atoms of a sum of n independent numbers with atoms: exact where they can be listed.

One atom y of mass a gives n y with mass aⁿ. Atoms on a lattice y₀ + δ·{0, 1, …, m} give the
coefficients of a polynomial to the power n, by repeated multiplication of positive numbers while
they are few, and by the discrete Fourier transform of the characteristic function to the power n,
absolute error 1e-15, otherwise (within 40 standard deviations of the mean: beyond are less than
1e-300). Other atoms are listed through the multinomial law, if there are not too many.
"""

import math
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from jaxtyping import Float
from scipy.signal import convolve
from scipy.special import gammaln, xlogy

_MOST_STEPS = 1024
_MOST_MULTIPLIED = 4096
_MOST_TRANSFORMED = 1 << 22
_MOST_LISTED = 200_000
_REACH = 40.0
_SAME = 1e-9


@dataclass(frozen=True, eq=False)
class Atoms:
    """Values that have positive probability, ascending, and their probabilities."""

    positions: Float[np.ndarray, " atoms"]
    masses: Float[np.ndarray, " atoms"]

    @property
    def mass(self) -> float:
        return float(self.masses.sum())

    def below(self, z: np.ndarray) -> np.ndarray:
        """P(atoms ≤ z)."""
        total = np.append(0.0, np.cumsum(self.masses))
        size = np.abs(self.positions).max(initial=0.0)
        return total[np.searchsorted(self.positions, z + 1e-14 * size, side="right")]

    def shifted(self, other: "Atoms") -> "Atoms":
        """The atoms of the sum with an independent law of atoms."""
        positions = np.add.outer(self.positions, other.positions).ravel()
        return merged(positions, np.outer(self.masses, other.masses).ravel())


NONE = Atoms(np.zeros(0), np.zeros(0))


def merged(positions: np.ndarray, masses: np.ndarray) -> Atoms:
    """Atoms in order, those at the same place (to rounding) as one."""
    order = np.argsort(positions, kind="stable")
    positions, masses = positions[order], masses[order]
    tolerance = 1e-12 * max(np.abs(positions).max(initial=0.0), 1e-300)
    first = np.ones(len(positions), dtype=bool)
    first[1:] = np.diff(positions) > tolerance
    index = np.cumsum(first, dtype=int) - 1
    return Atoms(positions[first], np.bincount(index, masses).astype(float))


def power(one: Atoms, n: int) -> Atoms | None:
    """The atoms of a sum of n copies of an atomic part (mass at most 1); None if too many."""
    if not len(one.positions):
        return NONE
    if n * math.log(max(one.mass, 1e-300)) < math.log(1e-18):
        return NONE
    if len(one.positions) == 1:
        return Atoms(n * one.positions, one.masses**n)
    lattice = _lattice(one.positions)
    if lattice is not None:
        return _on_lattice(one, lattice, n)
    m = len(one.positions)
    return _listed(one, n) if math.comb(n + m - 1, m - 1) <= _MOST_LISTED else None


def _lattice(positions: np.ndarray) -> tuple[float, np.ndarray] | None:
    """(δ, k) with positions = positions[0] + δ k, or None."""
    differences = positions[1:] - positions[0]
    span = float(differences[0])
    for d in differences[1:]:
        a, b = float(d), span
        while b > _SAME * differences[-1]:
            a, b = b, a - b * round(a / b)
            b = abs(b)
        span = a
    steps = np.append(0.0, differences) / span
    if steps[-1] > _MOST_STEPS or np.abs(steps - np.rint(steps)).max() > 1e-6:
        return None
    return float(differences[-1] / np.rint(steps[-1])), np.rint(steps).astype(int)


def _on_lattice(one: Atoms, lattice: tuple[float, np.ndarray], n: int) -> Atoms | None:
    span, k = lattice
    p = np.bincount(k, one.masses)
    if n * k[-1] <= _MOST_MULTIPLIED:
        masses, first = _multiplied(p, n), 0
    else:
        probability = p / p.sum()
        mean = probability @ np.arange(len(p))
        std = math.sqrt(probability @ np.square(np.arange(len(p)) - mean))
        first = max(0, math.floor(n * mean - _REACH * std * math.sqrt(n)))
        last = min(n * int(k[-1]), math.ceil(n * mean + _REACH * std * math.sqrt(n)))
        if last - first + 1 > _MOST_TRANSFORMED:
            return None
        masses = _transformed(probability, n, first, last) * p.sum() ** n
    positions = n * one.positions[0] + span * (first + np.arange(len(masses)))
    kept = masses > 0
    return Atoms(positions[kept], masses[kept])


def _multiplied(p: np.ndarray, n: int) -> np.ndarray:
    result, square = np.ones(1), p
    while n:
        if n & 1:
            result = convolve(result, square, method="direct")
        n >>= 1
        square = convolve(square, square, method="direct") if n else square
    return result


def _transformed(p: np.ndarray, n: int, first: int, last: int) -> np.ndarray:
    """Coefficients first … last of (Σ p_k x^k)ⁿ, those outside being negligible."""
    size = 1 << (last - first + 1).bit_length()
    theta = 2 * np.pi * np.fft.rfftfreq(size)
    k = np.arange(len(p))
    mean = p @ k
    centred = p[:, None] * np.expm1(1j * np.outer(k - mean, theta)) if len(p) <= 8 else None
    gain = (
        centred.sum(0)
        if centred is not None
        else sum(q * np.expm1(1j * (j - mean) * theta) for j, q in zip(k, p, strict=True))
    )
    with np.errstate(divide="ignore"):
        size_of_power = np.exp(n / 2 * np.log1p(2 * np.real(gain) + np.abs(gain) ** 2))
    phase = n * np.angle(1 + gain) + theta * (n * mean - first)
    values = size_of_power * np.exp(1j * phase)
    return np.maximum(np.fft.irfft(values.conj(), size)[: last - first + 1], 0.0)


def _listed(one: Atoms, n: int) -> Atoms:
    m = len(one.positions)
    chosen = np.array(list(combinations_with_replacement(range(n + 1), m - 1))).reshape(-1, m - 1)
    counts = np.diff(np.pad(chosen, ((0, 0), (1, 0))), axis=1)
    counts = np.concatenate([counts, n - chosen[:, -1:]], 1)
    logs = gammaln(n + 1) - gammaln(counts + 1).sum(1) + xlogy(counts, one.masses).sum(1)
    return merged(counts @ one.positions, np.exp(logs))
