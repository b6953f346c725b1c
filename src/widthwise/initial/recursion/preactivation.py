"""Expectations over the limiting law of a hidden layer's preactivations at a few inputs.

What is averaged are products of r features φ(z_a) and s slopes φ'(z_b), for all choices of the
inputs a and b at once: :class:`Factors` counts them. Beyond the first layer the law is Gaussian,
with a bias that need not be, and E[∂^α O] is a Hermite moment (:class:`GaussianLaw`); the first
layer's law is exact (:class:`FirstLayer`), and no derivative is needed there.
"""

from collections.abc import Callable
from functools import cached_property, lru_cache
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from widthwise.algebra.gaussian import Estimate
from widthwise.algebra.hermite import (
    NestedRule,
    hermite_moments,
    multi_indices,
    nodes_of,
    reach,
    to_derivatives,
)
from widthwise.initial.recursion.monomials import Key
from widthwise.limit.first_layer.products import Products
from widthwise.limit.first_layer.projection import project
from widthwise.limit.layer import has_gaussian_bias
from widthwise.model.activations import Activation
from widthwise.model.architecture import MLP
from widthwise.model.laws import Law

_STEPS = tuple(0.5 * 2 ** (-k / 2) for k in range(11))
_PANEL_NODES = (7, 10, 14, 20, 28, 40)
_BIAS_NODES = (12, 16, 22, 32, 44, 64, 90, 128, 180, 256, 360)
_MOST_NODES = 2.5e7
_DEPENDENT = 1e-12  # a conditional variance below this part of the variance is rounding


class Factors(NamedTuple):
    """How many φ's and how many φ''s are multiplied."""

    values: int
    slopes: int = 0

    def parity(self, activation: Activation) -> int | None:
        """Parity of the product, if the activation has one."""
        if activation.parity is None:
            return None
        return self.values % 2 if activation.parity == "odd" else self.slopes % 2

    def every(self, points: int) -> list[tuple[Key, Key]]:
        """All choices of the inputs of the values and of the slopes, in order."""
        return list(_choices(points, self))

    def place(self, points: int, values: Key, slopes: Key) -> int:
        """Position of one choice."""
        return _choices(points, self)[values, slopes]


@lru_cache(maxsize=256)
def _choices(points: int, factors: Factors) -> dict[tuple[Key, Key], int]:
    pairs = (
        (values, slopes)
        for values in combinations_with_replacement(range(points), factors.values)
        for slopes in combinations_with_replacement(range(points), factors.slopes)
    )
    return {pair: i for i, pair in enumerate(pairs)}


class GaussianLaw:
    """A hidden neuron's preactivations at n = ∞: Gaussian, plus a bias that need not be.

    Args:
        net: the architecture.
        layer: the hidden layer, from 0.
        covariance: K, with the bias in it if that is Gaussian.
        pivots: linearly independent inputs; empty for whichever, where no derivative is asked.
    """

    def __init__(self, net: MLP, layer: int, covariance: np.ndarray, pivots: tuple[int, ...] = ()):
        self.moments = lru_cache(maxsize=None)(self._moments)
        self.activation: Activation = net.activation
        chosen = list(pivots or independent(covariance))
        inner = covariance[np.ix_(chosen, chosen)]
        self.factor = np.linalg.cholesky(inner) if chosen else np.zeros((0, 0))
        # every input as a combination of the chosen ones
        combination = (
            np.linalg.solve(inner, covariance[chosen]).T
            if chosen
            else np.zeros((len(covariance), 0))
        )
        combination[chosen] = np.eye(len(chosen))
        self.rows = combination @ self.factor
        self.bias: tuple[float, Law] | None = None
        if not has_gaussian_bias(net, layer):
            self.bias = float(net.bias_std[layer]), net.bias_law[layer]

    @property
    def rank(self) -> int:
        """Dimension of the integrals."""
        return self.factor.shape[1]

    @property
    def levels(self) -> int:
        """How many levels of refinement there are."""
        return len(_PANEL_NODES if self.activation.kinks else _STEPS)

    def _moments(self, factors: Factors, degree: int, level: int) -> np.ndarray | None:
        """Normalized Hermite moments c_γ of the products of factors; None beyond memory."""
        kinks, activation = self.activation.kinks, self.activation
        fineness = _PANEL_NODES[level] if kinks else _STEPS[level]
        rule = NestedRule(kinks, fineness, reach(degree + 2 * sum(factors)))
        if level > 1 and nodes_of(self.rows, rule) > _MOST_NODES:
            return None
        parity = factors.parity(activation)
        if self.bias is None:
            return hermite_moments(_products(activation, factors), self.rows, degree, rule, parity)
        scale, law = self.bias
        total = 0.0
        for b, weight in zip(*law.quadrature(_BIAS_NODES[level]), strict=True):
            moved = rule._replace(kinks=tuple(kink - scale * b for kink in kinks))
            values = _products(activation, factors, float(scale * b))
            total = total + weight * hermite_moments(values, self.rows, degree, moved)
        if parity is not None and law.symmetric:
            total = total * (multi_indices(self.rank, degree).sum(1) % 2 == parity)
        return np.asarray(total)

    def sizes(self, factors: Factors) -> Float[np.ndarray, "choices 1"]:
        """∏ √E φ(z_a)² ∏ √E φ'(z_b)², the size of every product, to a digit or two."""
        value, slope = self._rms(Factors(2)), self._rms(Factors(0, 2)) if factors.slopes else None
        result = [
            np.prod([value[a] for a in values] + [slope[b] for b in slopes if slope is not None])
            for values, slopes in factors.every(len(self.rows))
        ]
        return np.array(result)[:, None] + 1e-300

    def _rms(self, squares: Factors) -> np.ndarray:
        found, m = self.moments(squares, 0, 1), len(self.rows)
        assert found is not None
        twice = [(a, a) for a in range(m)]
        places = [squares.place(m, *((), pair) if squares.slopes else (pair, ())) for pair in twice]
        return np.sqrt(found[places, 0].clip(0))

    def derivatives(self, moments: np.ndarray, degree: int) -> np.ndarray:
        """E[∂^α O] with respect to the chosen inputs."""
        return to_derivatives(moments, self.factor, degree) if degree else moments[:, :1]


class FirstLayer:
    """The exact law of the first hidden layer's preactivations.

    ``gaussian`` is that law if it is Gaussian; otherwise :meth:`moments` has the expectations.
    """

    def __init__(self, net: MLP, x: np.ndarray, tolerance: float | None):
        self.net, self.x, self.tolerance = net, x, tolerance
        self.moments = lru_cache(maxsize=None)(self._moments)

    @cached_property
    def gaussian(self) -> GaussianLaw | None:
        """The law if it is Gaussian."""
        projection = project(self.net, self.x)
        return GaussianLaw(self.net, 0, projection.covariance) if projection.gaussian else None

    def _moments(self, factors: Factors) -> Estimate:
        """E of all products of factors over the exact law."""
        net, every = self.net, factors.every(len(self.x))
        laws = [net.weight_law[0]] + [net.bias_law[0]] * net.has_bias(0)
        if factors.parity(net.activation) == 1 and all(law.symmetric for law in laws):
            return Estimate(np.zeros(len(every)), np.zeros(len(every)))
        return self._products.expectations(every)

    @cached_property
    def _products(self) -> Products:
        return Products(self.net, self.x, self.tolerance)


@lru_cache(maxsize=256)
def _growth(points: int, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Products of j + 1 numbers from products of j: position of the parent, last number."""
    places = [
        {key: i for i, key in enumerate(combinations_with_replacement(range(points), j))}
        for j in range(size + 1)
    ]
    return [
        (np.array([places[j - 1][k[:-1]] for k in places[j]]), np.array([k[-1] for k in places[j]]))
        for j in range(1, size + 1)
    ]


def _products(
    activation: Activation, factors: Factors, shift: float = 0.0
) -> Callable[[np.ndarray], np.ndarray]:
    """The map from z (nodes, m) to all products at z + shift, (products, nodes)."""

    def grown(table: np.ndarray, size: int, function: Callable, z: np.ndarray) -> np.ndarray:
        if not size:
            return table
        feature = _evaluated(function, z)
        for parents, last in _growth(len(z), size):
            table = table[:, parents] * feature[last]
        return table.reshape(-1, 1, z.shape[1])

    def values(z: np.ndarray) -> np.ndarray:
        shifted = z.T + shift
        table = grown(np.ones((1, 1, len(z))), factors.values, activation, shifted)
        table = grown(table, factors.slopes, activation.derivative(), shifted)
        return table.reshape(-1, len(z))

    return values


def _evaluated(function: Callable, z: np.ndarray) -> np.ndarray:
    """A function at all entries, in pieces of a few sizes so that JAX compiles few programs."""
    flat = z.ravel()
    size = min(max(256, 1 << (len(flat) - 1).bit_length()), 1 << 18)
    padded = np.zeros(-(-len(flat) // size) * size)
    padded[: len(flat)] = flat
    pieces = [np.asarray(function(piece)) for piece in padded.reshape(-1, size)]
    return np.concatenate(pieces)[: len(flat)].reshape(z.shape)


def independent(covariance: np.ndarray) -> tuple[int, ...]:
    """Linearly independent inputs that span all: pivoted Cholesky of the correlations."""
    variance = np.diag(covariance)
    std = np.sqrt(np.maximum(variance, 0.0))
    alive = std > 1e-12 * std.max(initial=0.0)
    scale = np.where(alive, std, 1.0)
    residual = np.where(alive[:, None] & alive, covariance / np.outer(scale, scale), 0.0)
    chosen: list[int] = []
    while len(chosen) < len(residual):
        pivot = int(np.argmax(np.diag(residual)))
        if residual[pivot, pivot] <= _DEPENDENT:
            break
        chosen.append(pivot)
        column = residual[pivot] / np.sqrt(residual[pivot, pivot])
        residual = residual - np.outer(column, column)
        residual[pivot] = residual[:, pivot] = 0.0
    return tuple(sorted(chosen))
