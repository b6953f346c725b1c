"""Expectations over the limiting law of a hidden layer's preactivations at a few inputs.

What is averaged are products of r features φ(z_a) and s slopes φ'(z_b), for all choices of the
inputs a and b at once: :class:`Factors` counts them. Beyond the first layer the law is Gaussian,
with a bias that need not be, and E[∂^α O] is a Hermite moment (:class:`GaussianLaw`), unless two
inputs are so close that Hermite moments lose digits: then smooth activations are differentiated.
The first layer's law is exact (:class:`FirstLayer`), and no derivative is needed there.
"""

from collections.abc import Callable
from functools import cached_property, lru_cache, partial
from itertools import combinations_with_replacement
from math import factorial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from widthwise.algebra import taylor
from widthwise.algebra.gaussian import Estimate, QuadratureError
from widthwise.algebra.hermite import (
    NestedRule,
    hermite_moments,
    hermite_products,
    multi_indices,
    nodes_of,
    reach,
    to_derivatives,
)
from widthwise.initial.recursion.monomials import Key
from widthwise.limit.first_layer.products import Products
from widthwise.limit.layer import has_gaussian_bias, require_moments
from widthwise.model.activations import Activation
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian, Law

_STEPS = tuple(0.5 * 2 ** (-k / 2) for k in range(11))
_PANEL_NODES = (7, 10, 14, 20, 28, 40)
_BIAS_NODES = (12, 16, 22, 32, 44, 64, 90, 128, 180, 256, 360)
_MOST_NODES = 2.5e7
ROUNDING = 1e-14  # a conditional variance below this part of the variance may be rounding
_PIECES = (1 << 10, 1 << 13, 1 << 16)  # sizes at which activations are compiled
_NOTHING = 1e-15  # and below this is
_MOST_LOSS = 1e4  # how much rounding Hermite moments may be enlarged by
_MOST_DIFFERENTIATED = 3
_TRIED = 6  # derivatives that are compared with Hermite moments before derivatives are taken
_FARTHEST = 60.0
_TAIL = 39.0  # natural logarithm of what a tail may weigh: 1e-17


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


@lru_cache(maxsize=256)
def _indices(points: int, factors: Factors) -> tuple[np.ndarray, np.ndarray]:
    """The inputs of the values and of the slopes of all choices, (choices, factors)."""
    values, slopes = zip(*factors.every(points), strict=True)
    shapes = (len(values), factors.values), (len(values), factors.slopes)
    return tuple(
        np.array(part, dtype=int).reshape(shape)
        for part, shape in zip((values, slopes), shapes, strict=True)
    )  # pyright: ignore[reportReturnType]


class GaussianLaw:
    """A hidden neuron's preactivations at n = ∞: Gaussian, plus a bias that need not be.

    Args:
        net: the architecture.
        layer: the hidden layer, from 0.
        covariance: K, with the bias in it if that is Gaussian.
        pivots: linearly independent inputs; by default whichever, where no derivative is asked.
        degrees: the highest derivative asked of products of r factors, r the position.
        slopes: how many factors may be slopes.
    """

    def __init__(
        self,
        net: MLP,
        layer: int,
        covariance: np.ndarray,
        pivots: tuple[int, ...] | None = None,
        degrees: tuple[int, ...] = (0,),
        slopes: int = 0,
    ):
        self.moments = lru_cache(maxsize=None)(self._moments)
        self._rms = lru_cache(maxsize=None)(self._root_mean_squares)
        self._every = lru_cache(maxsize=2)(self._every_product)
        self.net, self.layer, self.activation = net, layer, net.activation
        self.degrees, self.slopes = degrees, slopes
        own = independent(covariance, ROUNDING)
        self.missed = own.missed if pivots is None else 0.0
        chosen = list(own.inputs if pivots is None else pivots)
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
        self.std = np.sqrt(np.diag(inner))
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

    @property
    def first_level(self) -> int:
        """The first level worth trying: coarser ones seldom suffice and cost as many calls."""
        return 4 if self.rank <= 2 and not self.activation.kinks else 1

    def loss(self, degree: int) -> float:
        """How much E[∂^α O] from Hermite moments enlarges rounding, |α| ≤ degree."""
        if not self.rank:
            return 1.0
        return float(np.max(self.std / np.diag(self.factor)) ** degree)

    def _differentiated(self, degree: int) -> bool:
        """Whether derivatives of φ are taken instead of Hermite moments."""
        independent_inputs = self.rank == len(self.rows) <= _MOST_DIFFERENTIATED
        if not (self.activation.smooth and independent_inputs and self.loss(degree) > _MOST_LOSS):
            return False
        function, most = self.activation.function, min(degree, _TRIED)
        return all(taylor.differentiates(function, float(std), most) for std in self.std)

    @cached_property
    def joint(self) -> bool:
        """Whether the products of all numbers of factors are computed at once."""
        return self.rank == len(self.rows) > 0 and not self._differentiated(max(self.degrees))

    def gap(self, factors: Factors, degree: int, level: int) -> float | None:
        """The largest difference of two levels of refinement; None beyond memory."""
        if self.joint:
            every = [
                Factors(r - s, s)
                for r in range(1, len(self.degrees))
                for s in range(min(r, self.slopes) + 1)
            ]
            asked = [(f, self.degrees[sum(f)]) for f in every]
        else:
            asked = [(factors, degree)]
        gaps = []
        for f, d in asked:
            finer, coarser = (self.moments(f, d, k) for k in (level, level - 1))
            if finer is None or coarser is None:
                return None
            gaps.append(float(np.max(np.abs(finer - coarser) / self._sizes(f, level - 1))))
        return max(gaps)

    def _rule(self, level: int, factors: int, degree: int, shift: float = 0.0) -> NestedRule:
        kinks = tuple(kink - shift for kink in self.activation.kinks)
        fineness = _PANEL_NODES[level] if kinks else _STEPS[level]
        return NestedRule(kinks, fineness, self._reach(factors, degree, shift))

    def _reach(self, factors: int, degree: int, shift: float) -> float:
        """How far |φ|^factors |u|^degree e^{−u²/2} is not negligible, and |φ|^2factors e^{−u²/2}.

        A power is given by its degree; a faster growth is looked at on a grid.
        """
        growth = self.activation.growth
        if np.isfinite(growth):
            return reach(int(np.ceil(degree + 2 * max(growth, 1.0) * factors)))
        u = np.linspace(-_FARTHEST, _FARTHEST, 40 * int(_FARTHEST) + 1)
        with np.errstate(divide="ignore"):
            z = self.std.max(initial=0.0) * u + shift
            size = np.log(np.abs(np.asarray(self.activation(z))))
            logs = (
                (factors * size if factors else 0.0) + degree * np.log(np.abs(u) + 1.0) - u * u / 2
            )
        needed = np.abs(u[~(logs <= logs.max() - _TAIL)]).max(initial=0.0)
        if not (np.isfinite(logs.max()) and needed < _FARTHEST):
            raise QuadratureError(
                f"the activation {self.activation.name} grows too fast for {factors} factors at a "
                f"standard deviation of {self.std.max():.3g}: the tails beyond {_FARTHEST:g} "
                "standard deviations count; use smaller weights or inputs, or a lower order"
            )
        return float(max(needed + 1.0, reach(degree)))

    def _every_product(self, level: int) -> dict[Factors, np.ndarray] | None:
        """c_γ of all products of up to the most factors, by how many are values and slopes."""
        most, degree = len(self.degrees) - 1, max(self.degrees)
        farthest = max(enumerate(self.degrees), key=lambda pair: self._reach(*pair, 0.0))
        rule = self._rule(level, *farthest)
        if level > 1 and nodes_of(self.factor, rule) > _MOST_NODES:
            return None
        kinds = [(p, s) for s in range(self.slopes + 1) for p in range(most - s + 1)]
        counts = np.array([(p, s, p + s) for p, s in kinds])
        limits = np.array([most, self.slopes, most])
        parity, total = self.activation.parity is not None, 0.0
        average = [(0.0, 1.0)]
        if self.bias is not None:
            scale, law = self.bias
            nodes, weights = law.quadrature(_BIAS_NODES[level])
            average = list(zip(scale * nodes, weights, strict=True))
        chosen = np.zeros((0, self.rank), dtype=int)
        for shift, weight in average:
            chosen, moments = hermite_products(
                partial(_powers, self.activation, kinds, float(shift)),
                counts,
                limits,
                self.factor,
                degree,
                self._rule(level, *farthest, float(shift)),
                half=parity and self.bias is None,
            )
            total = total + weight * moments
        rows = {tuple(kinds[j] for j in row): i for i, row in enumerate(chosen)}
        odd = multi_indices(self.rank, degree).sum(1) % 2
        symmetric = parity and (self.bias is None or self.bias[1].symmetric)
        result = {}
        for r in range(most + 1):
            for s in range(min(r, self.slopes) + 1):
                factors = Factors(r - s, s)
                places = [rows[powers] for powers in _powers_of(self.rank, factors)]
                sign = factors.parity(self.activation)
                kept = 1.0 if not symmetric else odd == sign
                result[factors] = np.asarray(total)[places] * kept
        return result

    def _moments(self, factors: Factors, degree: int, level: int) -> np.ndarray | None:
        """Normalized moments of the products of factors; None beyond memory.

        They are Hermite moments c_γ, or E[∂^α O] ∏ std^α/√α!.
        """
        activation = self.activation
        if self.bias is not None:
            require_moments(self.net, self.layer, *factors)
        if self.joint:
            every = self._every(level)
            return (
                None
                if every is None
                else every[factors][:, : len(multi_indices(self.rank, degree))]
            )
        if self._differentiated(degree):
            return self._derivative_moments(factors, degree, level)
        rule = self._rule(level, sum(factors), degree)
        if level > 1 and nodes_of(self.rows, rule) > _MOST_NODES:
            return None
        parity = factors.parity(activation)
        if self.bias is None:
            return hermite_moments(_products(activation, factors), self.rows, degree, rule, parity)
        scale, law = self.bias
        total = 0.0
        for b, weight in zip(*law.quadrature(_BIAS_NODES[level]), strict=True):
            moved = self._rule(level, sum(factors), degree, float(scale * b))
            values = _products(activation, factors, float(scale * b))
            total = total + weight * hermite_moments(values, self.rows, degree, moved)
        if parity is not None and law.symmetric:
            total = total * (multi_indices(self.rank, degree).sum(1) % 2 == parity)
        return np.asarray(total)

    def _derivative_moments(self, factors: Factors, degree: int, level: int) -> np.ndarray | None:
        if level > 1 and (2 * reach(degree) / _STEPS[level]) ** self.rank > _MOST_NODES / 50:
            return None
        z, weights = taylor.nodes(self.factor, _STEPS[level], reach(2 * sum(factors)))
        if self.bias is None:
            total = self._taylor_products(factors, degree, z, weights)
        else:
            scale, law = self.bias
            total = 0.0
            for b, weight in zip(*law.quadrature(_BIAS_NODES[level]), strict=True):
                total += self._taylor_products(factors, degree, z + scale * b, weight * weights)
        alphas = multi_indices(self.rank, degree)
        factorials = np.array([factorial(k) for k in range(degree + 1)], dtype=float)
        return total * (np.sqrt(factorials)[alphas] * self.std**alphas).prod(1)

    def _taylor_products(self, factors: Factors, degree: int, z, weights) -> np.ndarray:
        """E[∂^α O]/α! of all choices."""
        alphas, tables = multi_indices(self.rank, degree), []
        for column in z.T:
            base = taylor.taylor_coefficients(self.activation.function, column, degree + 1)
            slope = base[1:] * np.arange(1, degree + 2)[:, None]
            tables.append(lru_cache(maxsize=None)(partial(_taylor_factor, base[:-1], slope)))
        return np.stack(
            [
                taylor.product_derivatives(
                    [tables[a](values.count(a), slopes.count(a)) for a in range(len(tables))],
                    weights,
                    alphas,
                )
                for values, slopes in factors.every(len(tables))
            ]
        )

    def resolution(self, degree: int) -> np.ndarray:
        """The deviations by whose powers derivatives up to a degree divide rounding."""
        return self.std if self._differentiated(degree) else np.diag(self.factor)

    def _sizes(self, factors: Factors, level: int) -> Float[np.ndarray, "choices 1"]:
        """∏ √E φ(z_a)² ∏ √E φ'(z_b)², the size of every product, to a digit or two."""
        values, slopes = _indices(len(self.rows), factors)
        size = self._rms(Factors(2), level)[values].prod(1)
        if factors.slopes:
            size = size * self._rms(Factors(0, 2), level)[slopes].prod(1)
        return size[:, None] + 1e-300

    def _root_mean_squares(self, squares: Factors, level: int) -> np.ndarray:
        found, m = self.moments(squares, 0, level), len(self.rows)
        assert found is not None
        twice = [(a, a) for a in range(m)]
        places = [squares.place(m, *((), pair) if squares.slopes else (pair, ())) for pair in twice]
        return np.sqrt(found[places, 0].clip(0))

    def derivatives(self, moments: np.ndarray, degree: int) -> np.ndarray:
        """E[∂^α O] with respect to the chosen inputs."""
        if self._differentiated(degree):
            alphas = multi_indices(self.rank, degree)
            factorials = np.array([factorial(k) for k in range(degree + 1)], dtype=float)
            return moments * (np.sqrt(factorials)[alphas] / self.std**alphas).prod(1)
        return to_derivatives(moments, self.factor, degree) if degree else moments[:, :1]


class FirstLayer:
    """The exact law of the first hidden layer's preactivations.

    :meth:`gaussian` is that law if it is Gaussian; otherwise :meth:`moments` has the expectations.
    """

    def __init__(self, net: MLP, x: np.ndarray, tolerance: float | None):
        self.net, self.x, self.tolerance = net, x, tolerance
        self._laws: dict[tuple[int, int], GaussianLaw | None] = {}
        self.moments = lru_cache(maxsize=None)(self._moments)

    def gaussian(self, most: int, slopes: int) -> GaussianLaw | None:
        """The law if it is Gaussian, for products of at most so many factors and slopes."""
        if (most, slopes) not in self._laws:
            net, degrees = self.net, (0,) * (most + 1)
            gaussian = isinstance(net.weight_law[0], Gaussian) and has_gaussian_bias(net, 0)
            K = float(net.weight_std[0]) ** 2 * self.x @ self.x.T / self.x.shape[1]
            K = K + float(net.bias_std[0]) ** 2
            law = GaussianLaw(net, 0, K, None, degrees, slopes) if gaussian else None
            self._laws[most, slopes] = law
        return self._laws[most, slopes]

    def _moments(self, factors: Factors) -> Estimate:
        """E of all products of factors over the exact law."""
        require_moments(self.net, 0, *factors)
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


@lru_cache(maxsize=256)
def _powers_of(points: int, factors: Factors) -> list[tuple[tuple[int, int], ...]]:
    """For every choice the powers of φ and of φ' at each input."""
    return [
        tuple((values.count(a), slopes.count(a)) for a in range(points))
        for values, slopes in factors.every(points)
    ]


def _powers(
    activation: Activation, kinds: list[tuple[int, int]], shift: float, z: np.ndarray
) -> np.ndarray:
    """φ^p φ'^s at z + shift for all kinds (p, s), (kinds, nodes)."""
    value = _evaluated(activation, z + shift)
    table, first, slope = np.empty((len(kinds), len(z))), 0, value
    for i, (p, s) in enumerate(kinds):  # p runs fastest
        if p:
            np.multiply(table[i - 1], value, out=table[i])
        elif s:
            slope = _evaluated(activation.derivative(), z + shift) if s == 1 else slope
            np.multiply(table[first], slope, out=table[i])
        else:
            table[i] = 1.0
        first = i if not p else first
    return table


def _taylor_factor(base: np.ndarray, slope: np.ndarray, values: int, slopes: int) -> np.ndarray:
    """Taylor coefficients of φ^values φ'^slopes."""
    return taylor.multiplied(
        taylor.power_coefficients(base, values), taylor.power_coefficients(slope, slopes)
    )


def _evaluated(function: Callable, z: np.ndarray) -> np.ndarray:
    """A function at all entries, in pieces of a few sizes so that JAX compiles few programs."""
    flat = z.ravel()
    size = max((s for s in _PIECES if s <= len(flat)), default=_PIECES[0])
    padded = np.zeros(-(-len(flat) // size) * size)
    padded[: len(flat)] = flat
    pieces = [np.asarray(function(piece)) for piece in padded.reshape(-1, size)]
    return np.concatenate(pieces)[: len(flat)].reshape(z.shape)


class Pivots(NamedTuple):
    """Linearly independent inputs that span all others, up to a part of their deviation.

    Args:
        inputs: the independent ones.
        missed: the largest conditional standard deviation left out, relative to the deviation.
    """

    inputs: tuple[int, ...]
    missed: float


def independent(covariance: np.ndarray, threshold: float) -> Pivots:
    """Pivoted Cholesky of the correlations, until conditional variances fall to the threshold."""
    variance = np.diag(covariance)
    std = np.sqrt(np.maximum(variance, 0.0))
    alive = std > 1e-12 * std.max(initial=0.0)
    scale = np.where(alive, std, 1.0)
    residual = np.where(alive[:, None] & alive, covariance / np.outer(scale, scale), 0.0)
    chosen, missed = [], 0.0
    while len(chosen) < len(residual):
        pivot = int(np.argmax(np.diag(residual)))
        if residual[pivot, pivot] <= threshold:
            missed = float(residual[pivot, pivot])
            break
        chosen.append(pivot)
        column = residual[pivot] / np.sqrt(residual[pivot, pivot])
        residual = residual - np.outer(column, column)
        residual[pivot] = residual[:, pivot] = 0.0
    return Pivots(tuple(sorted(chosen)), missed**0.5 if missed > _NOTHING else 0.0)


def dependence(activation: Activation, order: int) -> float:
    """The conditional variance below which inputs count as dependent.

    Rounding, if φ is smooth. Otherwise Hermite moments lose P factors of the conditional deviation
    δ, and where that costs more digits than δ has, the closer inputs are taken to be dependent.
    """
    return ROUNDING if activation.smooth else max(1e-12, 10 ** (-34 / (order + 1)))
