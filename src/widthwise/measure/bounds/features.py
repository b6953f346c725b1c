r"""The features of one neuron of a hidden layer, whitened for the outputs a bound is about.

With h = σ_w φ(z) ∈ R^m, z of the limit law of the layer, M = E hhᵀ and K = M + σ_b² 11ᵀ, outputs
are A f, f = n^{-1/2} Σ_k a_k h_k + σ_b b 1. A is reduced to the directions it sees and K to the
directions in which it varies, so that up to an isometry of the outputs

    A f = √λ ∘ (n^{-1/2} Σ_k a_k w_k + c b),    w = P h,    E w wᵀ + c cᵀ = I,

λ the eigenvalues of A K Aᵀ. Nothing is divided by a small λ: where training flattens outputs, λ
falls and w stays. Directions left out with less than ``_VANISHES`` of the variance are paid for by
2 √(their variance) in W₂ (any coupling of two laws of that variance, and Minkowski).

K itself is computed and off by δK, whose entries are at most e. Between the Gaussians of the two

    W₂ ≤ min(√(tr|A δK Aᵀ|), ‖A δK Aᵀ‖_F/√λ_1),   ‖A δK Aᵀ‖_F ≤ m e ‖A‖²,   tr|·| ≤ √rows ‖·‖_F,

λ_1 the smallest eigenvalue of A K Aᵀ, if that is regular: both bound Bures' distance, the second
one as ‖P^{1/2} − Q^{1/2}‖_F. Where directions are left out, their true variance is off as well.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from widthwise.algebra import gaussian
from widthwise.limit.first_layer.projection import Projection, evaluate, project
from widthwise.limit.kernels import limit_kernels
from widthwise.measure.bounds.expectation import MARGIN, Expectation, Observable, expectation
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian

_VANISHES = 1e-10
_FLAT = 1e-9
_ROUNDING = 1e-15


@dataclass(frozen=True, eq=False)
class Neuron:
    """One neuron of a hidden layer in the limit, and the kernels above it.

    Args:
        net: the architecture, its biases constant.
        x: data (points, inputs).
        layer: which hidden layer, from 1.
        M: σ_w² E φφᵀ.
        K: M + σ_b² 11ᵀ, the covariance of the layer above.
        error: of an entry of K.
        below: the covariance of this layer; ``None`` for the first, whose law is exact.
    """

    net: MLP
    x: Float[np.ndarray, "points inputs"]
    layer: int
    M: Float[np.ndarray, "points points"]
    K: Float[np.ndarray, "points points"]
    error: float
    below: Float[np.ndarray, "points points"] | None

    @property
    def weight_std(self) -> float:
        """σ_w of the layer above."""
        return float(self.net.weight_std[self.layer])

    @property
    def bias_std(self) -> float:
        """σ_b of the layer above."""
        return float(self.net.bias_std[self.layer]) if self.net.has_bias(self.layer) else 0.0

    def expectation(self, observable: Observable) -> Expectation:
        """E observable(σ_w φ(z)); observable: (nodes, points) → (nodes, k)."""

        def of(z: np.ndarray) -> np.ndarray:
            return observable(self.weight_std * evaluate(self.net.activation, z))

        if self.below is None:
            projection = project(self.net, self.x)
        else:
            L = gaussian.factor(self.below)
            projection = Projection(L, (Gaussian(),) * L.shape[1])
        return expectation(projection, of, self.net.activation.kinks)


def neuron(net: MLP, x: Float[np.ndarray, "points inputs"], layer: int) -> Neuron:
    """A neuron of hidden layer ``layer`` in the limit of all layers below it.

    Args:
        net: the architecture, its biases constant (:meth:`MLP.at_width`).
        x: data (points, inputs).
        layer: from 1 to the depth.
    """
    above = limit_kernels(_cut(net, layer), x)
    K = np.asarray(above.nngp)
    bias = float(net.bias_std[layer]) if net.has_bias(layer) else 0.0
    below = None if layer == 1 else np.asarray(limit_kernels(_cut(net, layer - 1), x).nngp)
    error = float(np.max(above.error))
    return Neuron(net, x, layer, K - bias**2, K, error, below)


def _cut(net: MLP, depth: int) -> MLP:
    """The network that ends above hidden layer ``depth``."""
    return MLP(
        depth,
        net.activation,
        net.weight_std[: depth + 1],
        net.bias_std[: depth + 1],
        net.weight_law[: depth + 1],
        net.bias_law[: depth + 1],
        net.ratios[:depth],
    )


@dataclass(frozen=True, eq=False)
class Features:
    """Whitened features of a neuron for outputs A f.

    Args:
        neuron: where they are from.
        matrix: P (rank, points), w = P h.
        lam: λ (rank,), increasing.
        bias: c (rank,).
        left_out: what the directions left out add to W₂.
        off: what the error of K adds to W₂.
    """

    neuron: Neuron
    matrix: Float[np.ndarray, "rank points"]
    lam: Float[np.ndarray, " rank"]
    bias: Float[np.ndarray, " rank"]
    left_out: float
    off: float

    @property
    def rank(self) -> int:
        """The number of directions in which the outputs vary."""
        return len(self.lam)

    @cached_property
    def second(self) -> Float[np.ndarray, "rank rank"]:
        """E w wᵀ = I − c cᵀ."""
        return np.eye(self.rank) - np.outer(self.bias, self.bias)

    def expectation(self, observable: Observable) -> Expectation:
        """E observable(w); observable: (nodes, rank) → (nodes, k)."""
        return self.neuron.expectation(lambda h: observable(h @ self.matrix.T))


def features(one: Neuron, A: Float[np.ndarray, "rows points"]) -> Features:
    """The features of a neuron for the outputs A f.

    Args:
        one: a neuron of the last hidden layer.
        A: what is done to the outputs: the identity, a direction, the propagator of training.
    """
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    seen = s > _FLAT * max(s.max(initial=0.0), 1e-300)
    inner, outer = Vt[seen], U[:, seen] * s[seen]
    K = inner @ one.K @ inner.T
    values, Q = np.linalg.eigh((K + K.T) / 2)
    kept = values > max(_VANISHES * values[-1], 0.0)
    root = outer @ (Q[:, kept] * np.sqrt(values[kept]))  # A K^{1/2}
    whiten = (Q[:, kept] / np.sqrt(values[kept])).T @ inner
    _, sigma, turn = np.linalg.svd(root, full_matrices=False)
    order = np.argsort(sigma)
    P = turn[order] @ whiten
    left_out = 0.0
    if not (seen.all() and kept.all()):
        total = np.trace(A @ one.K @ A.T)
        left_out = 2 * float(np.sqrt(max(total - (sigma**2).sum(), 0.0) + _ROUNDING * total))
    lam = sigma[order] ** 2
    regular = len(A) == len(lam) and not left_out
    off = (1 if regular else 2) * _cost(one, A, float(lam[0]) if regular else 0.0)
    return Features(one, P, lam, one.bias_std * P.sum(1), left_out, off)


def _cost(one: Neuron, A: np.ndarray, smallest: float) -> float:
    """What the error of K costs in W₂."""
    size = MARGIN * one.error * len(one.K) * float(np.linalg.norm(A, 2)) ** 2
    spread = math.sqrt(math.sqrt(len(A)) * size)
    return min(spread, size / math.sqrt(smallest)) if smallest > 0 else spread
