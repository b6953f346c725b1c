r"""Theorem 3: Gaussian readouts, one hidden layer, a bound of order 1/n.

Given the features the outputs are Gaussian, so that f is a mixture of N(0, K_n). In whitened
features, D = (1/n) Σ_k w_k w_kᵀ − E w wᵀ, P₃ = E ‖D‖_F⁶ = O(n^{-3}), λ̄ the largest eigenvalue of K.
For every p₀ in (0, 1) with π = 1 − P₃/p₀³ > 0, g = ((1 − p₀)^{-1/2} − 1 − p₀/2 − 3p₀²/8)/p₀³,

    h₂ = ½ √λ̄ P₃ p₀^{-5/2}/π,     h₄ = (A₄/n + √(3λ̄/32) P₃ p₀^{-2})/π,     h₆ = √(λ̄ g P₃/6π),
    W₁ ≤ H + √λ̄ P₃ p₀^{-5/2},     W₂² ≤ 4H² + λ̄ P₃ p₀^{-2},     H² = h₂² + h₄² + h₆².

Where ‖D‖_F² ≤ p₀ the mixture has a density whose Hermite components of degree 2, 4 and ≥ 6 are h₂,
h₄, h₆ in Ḣ^{-1}; the rest has probability P₃/p₀³ and is moved at the cost of its variance. A₄ is
the Ḣ^{-1} norm of the fourth-cumulant term, lim n W₂ = A₄, so the theorem is sharp up to a factor 2
in W₂: with κ the fourth cumulants of √n w-sums,

    A₄² = (1/4!) Σ κ_{ijkl}²/(1/λ_i + 1/λ_j + 1/λ_k + 1/λ_l).

With d = svec(w wᵀ − E w wᵀ), independent over neurons, C = Cov d, e_{2k} = E|d|^{2k}, v = E|d|²d,
B = E|d|²ddᵀ and T = E d⊗d⊗d,

    n⁶P₃ = n e₆ + n(n−1)[3 e₄ trC + 12⟨B, C⟩ + 6|v|² + 4|T|²]
         + n(n−1)(n−2)[(trC)³ + 6 trC trC² + 8 trC³];

in many dimensions |T|² is replaced by its bound ‖E|d|ddᵀ‖².
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from widthwise.algebra.gaussian import Estimate
from widthwise.measure.bounds.expectation import MARGIN
from widthwise.measure.bounds.features import Features

_EXACT_T = 21
MOST_RANK = 16


class Moments(NamedTuple):
    """Moments of d with what they may be off by; A₄ and λ̄; is that a standard error."""

    covariance: Estimate
    fourth: Estimate
    sixth: Estimate
    vector: Estimate
    matrix: Estimate
    third: float
    third_error: float
    a4: float
    largest: float
    random: bool


def moments(features: Features) -> Moments:
    """What Theorem 3 needs of a neuron."""
    r = features.rank
    rows, columns = np.triu_indices(r)
    weight = np.where(rows == columns, 1.0, math.sqrt(2))
    mean = features.second[rows, columns]
    size = len(rows)
    exact = size <= _EXACT_T

    def observable(w: np.ndarray) -> np.ndarray:
        d = weight * (w[:, rows] * w[:, columns] - mean)
        square = (d**2).sum(1, keepdims=True)
        outer = (d[:, :, None] * d[:, None, :]).reshape(len(d), -1)
        if exact:
            extra = (outer[:, :, None] * d[:, None, :]).reshape(len(d), -1)
        else:
            extra = np.sqrt(square) * outer
        parts = [outer, square**2, square**3, square * d, square * outer, extra]
        return np.concatenate(parts, axis=1)

    value, error, random = features.expectation(observable)
    ends = np.cumsum([size**2, 1, 1, size, size**2])
    values, errors = np.split(value, ends), np.split(MARGIN * error, ends)
    C, B = (Estimate(values[i].reshape(size, size), errors[i].reshape(size, size)) for i in (0, 4))
    fourth, sixth, vector = (Estimate(values[i], errors[i]) for i in (1, 2, 3))
    third, off = float(np.linalg.norm(values[5])), float(np.linalg.norm(errors[5]))
    a4 = _norm(_symmetrized(C.value, r), features.lam)
    a4 += _norm(_symmetrized(C.error, r), features.lam)
    largest = float(features.lam[-1])
    return Moments(C, fourth, sixth, vector, B, third, off, a4, largest, random)


def _symmetrized(C: np.ndarray, r: int) -> np.ndarray:
    """κ_{ijkl} = Cov(w_iw_j, w_kw_l) over the three pairings, from the covariance of svec."""
    rows, columns = np.triu_indices(r)
    weight = np.where(rows == columns, 1.0, math.sqrt(2))
    place = np.zeros((r, r), dtype=int)
    place[rows, columns] = place[columns, rows] = np.arange(len(rows))
    plain = C / np.outer(weight, weight)
    full = plain[place[:, :, None, None], place[None, None]]
    return full + full.transpose(0, 2, 1, 3) + full.transpose(0, 3, 2, 1)


def _norm(kappa: np.ndarray, lam: Float[np.ndarray, " rank"]) -> float:
    """The Ḣ^{-1} norm of Σ κ_{ijkl} He_{ijkl}/4!."""
    with np.errstate(divide="ignore"):
        inverse = 1 / lam
    a = inverse[:, None] + inverse
    return math.sqrt(float((kappa**2 / (a[:, :, None, None] + a)).sum()) / 24)


def third_power(given: Moments, n: int) -> float:
    """P₃ = E‖D‖_F⁶, rounded up."""
    C, dC = given.covariance
    trace = max(float(np.trace(C)), 0.0) + float(np.trace(dC))
    size = float(np.linalg.norm(dC))
    C2, C3 = float((C * C).sum()), float(np.trace(C @ C @ C))
    whole = float(np.linalg.norm(C)) + size
    C2, C3 = C2 + 2 * whole * size, C3 + 3 * whole**2 * size
    e4, e6 = (float(m.value[0] + m.error[0]) for m in (given.fourth, given.sixth))
    v = float(np.linalg.norm(given.vector.value) + np.linalg.norm(given.vector.error))
    B, dB = given.matrix
    inner = float((B * C).sum() + np.linalg.norm(B) * size + np.linalg.norm(dB) * whole)
    T = (given.third + given.third_error) ** 2
    pairs = 3 * e4 * trace + 12 * inner + 6 * v**2 + 4 * T
    triples = trace**3 + 6 * trace * C2 + 8 * C3
    return (e6 + (n - 1) * (pairs + (n - 2) * triples)) / float(n) ** 5


class Bounds(NamedTuple):
    """W₁ and W₂ with the p₀ of the better one, and P₃; infinite where π ≤ 0 for all p₀."""

    first: float
    second: float
    p0: float
    p3: float


def bounds(given: Moments, n: int) -> Bounds:
    """Theorem 3 at one width, each bound at the best p₀."""
    p3 = third_power(given, n)
    if p3 <= 0:  # all features have one square, as those of sign: D = 0, and π = 1 at every p₀
        return Bounds(given.a4 / n, 2 * given.a4 / n, 0.5, 0.0)
    low = math.log(p3) / 3
    if low >= -1e-9:
        return Bounds(math.inf, math.inf, math.nan, p3)
    logs = np.linspace(low, 0.0, 402)[1:-1]
    values = np.array([_at(math.exp(log), p3, given, n) for log in logs])
    found = []
    for column in values.T:  # once more, finely, around the best
        i = int(column.argmin())
        near = np.linspace(logs[max(i - 1, 0)], logs[min(i + 1, len(logs) - 1)], 41)
        which = len(found)
        best = min((_at(math.exp(log), p3, given, n)[which], log) for log in near)
        found.append((best[0], math.exp(best[1])))
    return Bounds(found[0][0], found[1][0], found[1][1], p3)


def _at(p0: float, p3: float, given: Moments, n: int) -> tuple[float, float]:
    good = 1 - p3 / p0**3
    if good <= 0 or p0 >= 1:
        return math.inf, math.inf
    largest = given.largest
    h2 = 0.5 * math.sqrt(largest) * p3 * p0**-2.5 / good
    h4 = (given.a4 / n + math.sqrt(3 * largest / 32) * p3 / p0**2) / good
    h6 = math.sqrt(largest / 6 * _tail(p0) * p3 / good)
    H2 = h2 * h2 + h4 * h4 + h6 * h6
    first = math.sqrt(H2) + math.sqrt(largest) * p3 * p0**-2.5
    return first, math.sqrt(4 * H2 + largest * p3 / p0**2)


def _tail(p: float) -> float:
    """g(p₀) = Σ_{k≥3} C(2k, k) 4^{-k} p₀^{k−3}, without cancellation at small p₀."""
    if p > 0.1:
        return ((1 - p) ** -0.5 - 1 - p / 2 - 3 * p * p / 8) / p**3
    total, term, k = 0.0, 5 / 16, 3
    while k < 40:
        total += term
        term *= p * (2 * k + 1) / (2 * k + 2)
        k += 1
    return total
