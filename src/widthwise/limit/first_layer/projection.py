"""The first layer's preactivations as a projection of independent numbers, z = A s.

The sources s are the d weights and the bias of one neuron, standardized; A holds σ_w x_{a,j}/√d and
σ_b. Sources that no point sees are dropped, and the Gaussian ones are merged: Gaussian sources with
coefficients C act only through C Cᵀ = L Lᵀ, so rank(L) of them are enough.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise.algebra.gaussian import factor
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian, Law

_HIGHEST_MOMENT = 60
_BLOCK = 1 << 16


@dataclass(frozen=True, eq=False)
class Projection:
    """z = coefficients · s, with s_j independent of law ``laws[j]``."""

    coefficients: Float[np.ndarray, "p q"]
    laws: tuple[Law, ...]

    def rows(self, index: np.ndarray | list[int]) -> "Projection":
        """The law of some of the points alone, in as few sources as possible."""
        return _reduced(self.coefficients[np.asarray(index)], self.laws)

    @property
    def covariance(self) -> Float[np.ndarray, "p p"]:
        return self.coefficients @ self.coefficients.T

    @property
    def sources(self) -> int:
        return len(self.laws)

    @property
    def gaussian(self) -> bool:
        return all(isinstance(law, Gaussian) for law in self.laws)

    @property
    def gaussian_plane(self) -> bool:
        """Whether Gaussian sources smooth more than one direction, as Gaussian weights do."""
        return sum(isinstance(law, Gaussian) for law in self.laws) > 1

    @property
    def atoms(self) -> int:
        """Number of joint atoms of the discrete sources."""
        return math.prod(len(law.quadrature(1)[0]) for law in self.laws if law.discrete)

    @property
    def continuous(self) -> int:
        """Number of sources that are not discrete."""
        return sum(not law.discrete for law in self.laws)


def project(net: MLP, x: Float[np.ndarray, "points inputs"]) -> Projection:
    """The law of the first layer's preactivations at the points x."""
    d = x.shape[1]
    coefficients = float(net.weight_std[0]) / math.sqrt(d) * np.asarray(x, dtype=float)
    laws = (net.weight_law[0],) * d
    if net.has_bias(0):
        bias = np.full((len(x), 1), float(net.bias_std[0]))
        coefficients, laws = np.concatenate([coefficients, bias], 1), (*laws, net.bias_law[0])
    return _reduced(coefficients, laws)


def _reduced(coefficients: np.ndarray, laws: tuple[Law, ...]) -> Projection:
    seen = np.any(coefficients != 0, axis=0)
    normal = np.array([isinstance(law, Gaussian) for law in laws], dtype=bool) & seen
    rest = seen & ~normal
    C = coefficients[:, normal]
    L = factor(C @ C.T) if C.shape[1] > 1 else C
    if L.shape[1] >= C.shape[1]:
        L = C
    kept = tuple(law for law, wanted in zip(laws, rest, strict=True) if wanted)
    return Projection(
        np.concatenate([coefficients[:, rest], L], 1), (*kept, *(Gaussian(),) * L.shape[1])
    )


def parallel(coefficients: Float[np.ndarray, "p q"]) -> tuple[np.ndarray, np.ndarray]:
    """Every row as a multiple of one of few rows: (base, ratio) with row_a = ratio_a · row_base[a].

    The base of a class is its longest row, so no ratio exceeds 1 in size.
    """
    A = np.asarray(coefficients)
    base, ratio = np.arange(len(A)), np.ones(len(A))
    norms = np.linalg.norm(A, axis=1)
    leaders: list[int] = []
    for a in np.argsort(-norms, kind="stable"):
        for leader in leaders:
            r = A[a] @ A[leader] / norms[leader] ** 2 if norms[leader] else 0.0
            if np.abs(A[a] - r * A[leader]).max(initial=0.0) <= 4e-15 * norms[leader]:
                base[a], ratio[a] = leader, r
                break
        else:
            leaders.append(int(a))
    return base, ratio


def reach(row: Float[np.ndarray, " q"], laws: tuple[Law, ...], probability: float) -> float:
    """R with P(|z| > R) ≤ probability for z = row · s: infinite if no moment says so.

    The smaller of Σ_j |c_j| max|s_j| and min_r (E z^r / probability)^{1/r} (Markov's inequality
    with even r; moments of the sum from the product of the moment series Σ_r E s_j^r c_j^r/r!).
    """
    edges = [max(abs(edge) for edge in law.support) for law in laws]
    bounded = sum(abs(c) * edge for c, edge in zip(row, edges, strict=True) if c)
    scale = float(np.linalg.norm(row))
    if not scale:
        return 0.0
    table = {law: _series(law) for law in set(laws)}
    order = min(len(series) for series in table.values())
    total = np.eye(1, order)[0]
    for c, law in zip(row / scale, laws, strict=True):
        total = np.convolve(total, table[law][:order] * c ** np.arange(order))[:order]
    r = np.arange(2, order, 2)
    factorials = np.array([math.lgamma(k + 1) for k in r])
    logs = np.log(np.maximum(total[2::2], 1e-300)) + factorials
    moments = np.exp((logs - math.log(probability)) / r)
    return float(min(bounded, scale * moments.min(initial=math.inf)))


def _series(law: Law) -> np.ndarray:
    """E s^r / r! for r = 0, 1, … as far as moments exist and are finite floats."""
    values = []
    for r in range(int(min(law.highest_moment, _HIGHEST_MOMENT)) + 1):
        try:
            values.append(law.moment(r) / math.factorial(r))
        except OverflowError:
            break
    return np.array(values)


def evaluate(function: Callable, z: np.ndarray) -> np.ndarray:
    """function(z), elementwise, on blocks of few distinct sizes so that JAX rarely compiles."""
    flat = np.asarray(z, dtype=float).ravel()
    out = np.empty_like(flat)
    for start in range(0, len(flat), _BLOCK):
        block = flat[start : start + _BLOCK]
        size = max(256, 1 << (len(block) - 1).bit_length())
        padded = np.concatenate([block, np.zeros(size - len(block))])
        out[start : start + _BLOCK] = np.asarray(function(padded))[: len(block)]
    return out.reshape(np.shape(z))
