"""Cramér's condition: whether the law of one neuron is smooth enough for densities and quantiles.

The output is n^{-1/2} Σ_j Y_j plus a bias, Y_j = Σ_i W_ij Σ_a v_{ia} φ(z_j(a)) the contribution of
neuron j to a projection v. With ψ(t) = E ∏_i χ_W(t Σ_a v_{ia} φ(z(a))) its characteristic function
at t√n is ψ(t)^n χ_b(σ_b √n t). The Edgeworth series describes small t; what happens beyond T it
leaves out, and that is of the size

    max_{|t| > T} |ψ(t)|^n |χ_b(σ_b √n t)|,

which must be small for densities, distribution functions and functions with kinks (Feller 1971,
XVI.2; Bhattacharya and Rao 1976, §20). Smooth functions need moments only. |ψ| is scanned over t
between 2.1 and 60 inverse standard deviations of Y: a lattice law returns to |ψ| = 1 again and
again. A scan over a finite range is evidence, no proof.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from widthwise.algebra.gaussian import factor
from widthwise.initial.edgeworth.readout import Readout
from widthwise.limit.first_layer import sobol
from widthwise.limit.first_layer.projection import Projection, evaluate, project
from widthwise.limit.kernels import limit_kernels
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian, Law

_FIRST, _LAST = 2.1, 60.0
_SPACING = 0.05
_REACH = 6.5
_FEW = 64
_EQUAL = 1e-6
_TIMES_AT_ONCE = 128
_NODES = 2048
_SOBOL_NODES = 1 << 11
_TABLE_SPACING = 0.03
_ROUND_UP = 64
_MOST_DIRECTIONS = 12
LATTICE = 1 - 1e-4


@dataclass(frozen=True)
class CramerScan:
    """The scan of |ψ|, and what a series neglects at one width because of it.

    Args:
        largest: max |ψ(t)| over the range and, of a joint law, over the directions tried.
        at: the t of the largest value, in inverse standard deviations of Y.
        neglected: max |ψ(t)|^n |χ_b(σ_b √n t)|.
        width: n.
        direction: the projection of the law's coordinates that is worst.
    """

    largest: float
    at: float
    neglected: float
    width: float
    direction: tuple[float, ...]

    @property
    def holds(self) -> bool:
        """Whether |ψ| stays below 1 over the range scanned."""
        return self.largest < LATTICE

    @property
    def verdict(self) -> str:
        """One of "holds", "fails", and "repaired" (by an output bias)."""
        if self.holds:
            return "holds"
        return "repaired" if self.neglected < 0.01 else "fails"

    def __str__(self) -> str:
        value = f"|E χ_W(tφ)| is at most {self.largest:.3f} for t from 2.1 to 60"
        left = f"what the series neglects is about {self.neglected:.1e} at width {self.width:g}"
        if self.verdict == "holds":
            return f"holds as far as scanned: {value}; {left}"
        peak = f"|E χ_W(tφ)| returns to {self.largest:.3f} at t = {self.at:.3f}"
        if self.verdict == "repaired":
            return f"fails for the neurons alone ({peak}), repaired by the output bias: {left}"
        return (
            f"fails: {peak}, the output lies on a lattice, or close to one; distribution functions "
            "have steps of size n^(-1/2) that no Edgeworth series has. Use another readout law, an "
            "output bias, or expectations of smooth functions"
        )


def scan(readout: Readout, width: float) -> CramerScan:
    """Scan |ψ| over t and, for a joint law, over its coordinates, their sums and differences.

    Args:
        readout: the outputs and projections of the law.
        width: n.
    """
    net = readout.net
    last, at = net.depth, net.at_width(width, np.shape(readout.cumulants.x)[1])
    n = at.ratios[-1] * width
    worst = None
    for one in _projections(readout):
        logs = n * np.log(np.maximum(one.values, 1e-300))
        if net.has_bias(last):
            slope = float(at.bias_std[last]) * n**0.5 / (float(at.weight_std[last]) * one.std)
            bias = at.bias_law[last].characteristic(np.outer(one.t * slope, one.bias))
            logs = logs + np.log(np.abs(bias) + 1e-300).sum(1)
        near = one.values > one.values.max() - _EQUAL
        top = int(np.argmin(np.where(near, one.t, np.inf)))
        neglected = float(np.exp(min(logs.max(), 0.0)))
        found = CramerScan(
            float(one.values[top]), float(one.t[top]), neglected, width, one.direction
        )
        if worst is None or (neglected, found.largest) > (worst.neglected, worst.largest):
            worst = found
    assert worst is not None
    return worst


class _Scanned(NamedTuple):
    """|ψ| of one projection, whatever the width.

    Args:
        direction: of the law's coordinates.
        bias: by what the output bias of every component is multiplied.
        std: of one neuron's contribution.
        t: in inverse standard deviations.
        values: |ψ(t)|.
    """

    direction: tuple[float, ...]
    bias: Float[np.ndarray, " components"]
    std: float
    t: Float[np.ndarray, " times"]
    values: Float[np.ndarray, " times"]


@lru_cache(maxsize=64)
def _projections(readout: Readout) -> tuple[_Scanned, ...]:
    net, x = readout.net, np.asarray(readout.cumulants.x)
    rows, parts = sorted(set(readout.rows)), sorted(set(readout.components))
    z, w = _nodes(last_preactivations(net, x[rows]))
    h, found = evaluate(net.activation, z), []
    for direction in _directions(len(readout.matrix)):
        v = np.zeros((len(rows), len(parts)))
        for row, part, weight in zip(
            readout.rows, readout.components, direction @ readout.matrix, strict=True
        ):
            v[rows.index(row), parts.index(part)] += weight
        psi = OneNeuron(net.weight_law[net.depth], h @ v, w)
        found.append(_Scanned(tuple(direction.tolist()), v.sum(0), psi.std, *_sizes(psi)))
    return tuple(found)


class OneNeuron:
    """ψ(t / std) of one neuron's contribution Σ_i W_i s_i, of standard deviation ``std``.

    Args:
        law: of the readout weights W_i.
        sums: s_i at every node (nodes, components).
        weights: of the nodes.
    """

    def __init__(self, law: Law, sums: np.ndarray, weights: np.ndarray):
        self.law = law
        self.sums, place = np.unique(sums, axis=0, return_inverse=True)
        self.weights = np.bincount(place.ravel(), weights)
        self.std = float(np.sqrt(self.weights @ (self.sums**2).sum(1))) or 1.0
        self.few = len(self.sums) <= _FEW
        if not self.few:
            end = _LAST / self.std * np.abs(self.sums).max()
            self.table = _table(law, _ROUND_UP * int(np.ceil(end / _ROUND_UP)))

    def __call__(self, t: Float[np.ndarray, " times"]) -> np.ndarray:
        """ψ at t in units of the inverse standard deviation."""
        result = np.empty(len(t), dtype=complex)
        for start in range(0, len(t), _TIMES_AT_ONCE):
            part = t[start : start + _TIMES_AT_ONCE] / self.std
            factors = np.ones((len(part), len(self.sums)), dtype=complex)
            for s in self.sums.T:
                arguments = np.asarray(np.outer(part, s), dtype=float)
                if self.few:
                    factors *= self.law.characteristic(arguments)
                else:
                    t_table, real, imaginary = self.table
                    factors *= np.interp(arguments, t_table, real) + (
                        0.0 if self.law.symmetric else 1j * np.interp(arguments, t_table, imaginary)
                    )
            result[start : start + len(part)] = factors @ self.weights
        return result


@lru_cache(maxsize=16)
def _table(law: Law, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """T between −end and end, and the real and imaginary part of E e^{itW}."""
    t = np.arange(0.0, end + _TABLE_SPACING, _TABLE_SPACING)
    values = law.characteristic(t)
    real, imaginary = np.real(values), np.imag(values)
    return (
        np.concatenate([-t[:0:-1], t]),
        np.concatenate([real[:0:-1], real]),
        np.concatenate([-imaginary[:0:-1], imaginary]),
    )


def _sizes(psi: OneNeuron) -> tuple[np.ndarray, np.ndarray]:
    """The t scanned, finer around the largest value, and |ψ| there."""
    t = np.arange(_FIRST, _LAST, _SPACING)
    values = np.abs(psi(t))
    peak = t[np.argmax(values > values.max() - _SPACING**2)]
    fine = peak + np.linspace(-_SPACING, _SPACING, 161)
    fine = fine[(fine >= _FIRST) & (fine <= _LAST)]
    return np.concatenate([t, fine]), np.concatenate([values, np.abs(psi(fine))])


def last_preactivations(net: MLP, x: Float[np.ndarray, "points inputs"]) -> Projection:
    """The preactivations of the last hidden layer in the limit, as a projection of sources."""
    limit = net.at_width(np.inf, x.shape[1])
    if limit.depth == 1:
        return project(limit, x)
    below = _without_last(limit)
    K = np.asarray(limit_kernels(below, x).nngp)
    last, bias = below.depth, float(below.bias_std[below.depth])
    if not bias or isinstance(below.bias_law[last], Gaussian):
        return _gaussian(K)
    inner = _gaussian(K - bias**2)
    coefficients = np.concatenate([inner.coefficients, np.full((len(x), 1), bias)], 1)
    return Projection(coefficients, (*inner.laws, below.bias_law[last]))


def _without_last(net: MLP) -> MLP:
    """The network whose outputs are the preactivations of the last hidden layer."""
    return replace(
        net,
        depth=net.depth - 1,
        weight_std=net.weight_std[:-1],
        bias_std=net.bias_std[:-1],
        weight_law=net.weight_law[:-1],
        bias_law=net.bias_law[:-1],
        ratios=net.ratios[:-1],
        outputs=1,
    )


def _gaussian(K: np.ndarray) -> Projection:
    L = factor(K)
    return Projection(L, (Gaussian(),) * L.shape[1])


def _nodes(hidden: Projection) -> tuple[np.ndarray, np.ndarray]:
    """Preactivations (nodes, points) and weights: one source on a line, else Sobol points."""
    A = hidden.coefficients
    if hidden.sources == 0:
        return np.zeros((1, len(A))), np.ones(1)
    if hidden.sources == 1 and not hidden.laws[0].discrete:
        u = (np.arange(_NODES) + 0.5) / _NODES
        if hidden.gaussian:
            s = np.linspace(-_REACH, _REACH, _NODES, endpoint=False) + _REACH / _NODES
            w = np.exp(-s * s / 2)
            return s[:, None] @ A.T, w / w.sum()
        return sobol.quantile(hidden.laws[0])(u)[:, None] @ A.T, np.full(_NODES, 1 / _NODES)
    if hidden.sources == 1:
        atoms, probabilities = hidden.laws[0].quadrature(1)
        return atoms[:, None] @ A.T, probabilities
    z = next(sobol.samples(hidden, _SOBOL_NODES))
    return z, np.full(len(z), 1 / len(z))


def _directions(dimension: int) -> np.ndarray:
    """The coordinates, and if they are few their sums and differences."""
    unit = np.eye(dimension)
    pairs = [
        unit[a] + sign * unit[b]
        for a, b in combinations(range(dimension), 2)
        for sign in (1.0, -1.0)
    ]
    return np.array([*unit, *pairs] if dimension + len(pairs) <= _MOST_DIRECTIONS else unit)
