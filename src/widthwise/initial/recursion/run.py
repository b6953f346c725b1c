"""The recursion through all layers, from the inputs to the joint cumulants of the outputs.

Joint cumulants of outputs follow from those of the conditional cumulants Y by total cumulance,

    κ(z_{i₁}(a₁) … z_{i_p}(a_p)) = Σ_π κ(Y_{a_B} : B ∈ π),                                       (1)

π over partitions into blocks of at least two with one output component each.

* Channels that are linear combinations of others (copies, or parallel inputs of homogeneous φ) are
  exactly that at every width: they are expressed by the others, and only those have keys. So are
  inputs closer than Hermite moments can tell apart, at an error that is reported.
* The first layer's law is exact. Where the input dimension scales with the width, d = ρ₀n, its
  deterministic Y_k = σ_w^r κ_r(W) d^{1−r/2} · (1/d) Σ_j x_{a₁j} … x_{a_rj} are expanded like all
  others.
* Every layer's rule is refined until two levels agree; then the whole recursion runs again with the
  coarser level everywhere, and the differences are the reported errors.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property, lru_cache, partial
from itertools import combinations_with_replacement

import numpy as np

from widthwise.algebra.gaussian import Estimate, QuadratureError
from widthwise.algebra.partitions import multiset_partitions
from widthwise.initial.recursion.biases import Biases
from widthwise.initial.recursion.channels import Channels
from widthwise.initial.recursion.layer import Layer, key_sizes, weight_cumulant
from widthwise.initial.recursion.monomials import Block, Key, Monomials, monomials
from widthwise.initial.recursion.neuron import Neuron
from widthwise.initial.recursion.preactivation import (
    Factors,
    FirstLayer,
    GaussianLaw,
    dependence,
    independent,
)
from widthwise.model.architecture import MLP

_AIM = {0: 1e-12, 1: 1e-12, 2: 1e-12, 3: 1e-10}

Levels = dict[tuple[int, Factors | None], int]


class Recursion:
    """Joint cumulants of the outputs, and of their tangents, at a few inputs.

    Args:
        net: the architecture.
        x: the inputs (points, inputs); the cost grows quickly with their number.
        order: P, the highest power of n^{-1/2} kept.
        tolerance: relative tolerance of the quadratures, ``None`` for the best feasible.
        tangents: for every replica the inputs where its tangents are needed.
        input_ratio: ρ₀ = d/n where the input dimension scales with the width.
    """

    def __init__(
        self,
        net: MLP,
        x: np.ndarray,
        order: int,
        tolerance: float | None = None,
        *,
        tangents: Sequence[tuple[int, ...]] = (),
        input_ratio: float | None = None,
    ):
        self.channels = Channels(tuple(range(len(x))), tuple(tangents))
        for l in range(1, net.depth):  # refuse what is too much before any integral
            sizes = key_sizes(net.weight_law[l], order, l)
            _table(self.channels, range(len(x)), sizes, order)
        biases, levels = Biases(net, self.channels, x.shape[1], input_ratio, order), {}
        first, law = _Inputs(x, biases), FirstLayer(biases.limit, x, tolerance)
        self._fine = _Run(first, law, tolerance, levels, coarser=False)
        self._coarse = _Run(first, law, tolerance, levels, coarser=True)

    def cumulant(self, channels: Sequence[int], components: Sequence[int]) -> Estimate:
        """Coefficients of the joint cumulant in powers of n^{-1/2}, and their errors.

        Raises:
            ValueError: for a law that lacks a moment.
            QuadratureError: when a tolerance was given and is not reached.
        """
        channels, components = tuple(channels), tuple(components)
        fine = self._fine.output_cumulant(channels, components)
        coarse = self._coarse.output_cumulant(channels, components)
        rounding, size = self._fine.rounding(channels, components), np.abs(fine).max()
        missed = len(channels) * self._fine.missed * size * (fine != 0)
        return Estimate(fine, 5 * np.abs(fine - coarse) + rounding + missed)


def vanishes(net: MLP, components: Sequence[int]) -> bool:
    """Whether a joint cumulant of outputs and tangents is 0 at every width, by their components.

    A component that appears once has no partner, and reversing the sign of its readout weights
    changes the sign of one that appears an odd number of times.
    """
    counts = Counter(components).values()
    laws = [net.weight_law[-1]] + [net.bias_law[-1]] * net.has_bias(net.depth)
    symmetric = all(law.symmetric for law in laws)
    return any(count == 1 or (symmetric and count % 2) for count in counts)


class _Inputs:
    """The step from the inputs to the first hidden layer, whose Y is deterministic."""

    def __init__(self, x: np.ndarray, biases: Biases):
        self.x, self.biases, self.ratio = x, biases, biases.input_ratio
        self.net, self.order, self.channels = biases.limit, biases.order, biases.channels
        self.expanded = self.ratio is not None

    @property
    def sizes(self) -> tuple[int, ...]:
        """The r of the keys whose Y is not its limit."""
        if not self.expanded:
            return (2,)
        return key_sizes(self.net.weight_law[0], self.order, 0, self.biases.sizes(0))

    def cumulant(self, block: Block) -> np.ndarray:
        """κ(Y¹_k, k ∈ block): Y¹ itself for one key, otherwise 0."""
        total = np.zeros(self.order + 1)
        if len(block) != 1 or not self.channels.even(block):
            return total
        key, net = block[0], self.net
        r, std = len(key), float(net.weight_std[0])
        inner = float(np.prod(self.x[[self.channels.inputs[c] for c in key]], axis=0).mean())
        if self.channels.same_replica(key):
            limit, slope = net.learning_rate_series(self.x.shape[1], self.ratio)[0]
            total[0] = std**2 * limit.weight * inner
            if self.order >= 2:
                total[2] = std**2 * slope.weight * inner
        elif r - 2 <= self.order and all(map(self.channels.is_value, key)):
            kappa = weight_cumulant(net.weight_law[0], r, self.order, 0)
            total[r - 2] = std**r * kappa * inner * (self.ratio or 1.0) ** (1 - r / 2)
        return total + self.biases.shift(0, key)


class _Run:
    """The recursion through all layers with one choice of quadrature levels."""

    def __init__(
        self,
        inputs: _Inputs,
        first: FirstLayer,
        tolerance: float | None,
        levels: Levels,
        *,
        coarser: bool,
    ):
        self.net, self.inputs, self.first, self.order = inputs.net, inputs, first, inputs.order
        self.channels, self.biases, self.tolerance = inputs.channels, inputs.biases, tolerance
        self.levels, self.coarser, self.missed = levels, coarser, 0.0

    @cached_property
    def last(self) -> Layer:
        """The step from the last hidden layer to the outputs."""
        below = self.inputs
        for l in range(self.net.depth):
            below = self._layer(l, self._neuron(l, below))
        assert isinstance(below, Layer)
        return below

    def output_cumulant(self, channels: Key, components: tuple[int, ...]) -> np.ndarray:
        """Equation (1)."""
        total = np.zeros(self.order + 1)
        for block, ways in self._blocks(channels, components):
            total += ways * self.last.cumulant(block)
        return total

    def rounding(self, channels: Key, components: tuple[int, ...]) -> np.ndarray:
        """What rounding may do to :meth:`output_cumulant`."""
        total = np.zeros(self.order + 1)
        for block, ways in self._blocks(channels, components):
            total += ways * self.last.rounding(block)
        return total

    def _blocks(self, channels: Key, components: tuple[int, ...]) -> list[tuple[Block, int]]:
        if len(channels) > self.order + 2:  # all of higher order, but for a bias
            same = len(set(components)) == 1
            return [((tuple(sorted(channels)),), 1)] if same else []
        counts = Counter(zip(channels, components, strict=True))
        values = sorted(counts)
        return _output_blocks(tuple(values), tuple(counts[v] for v in values))

    def _layer(self, l: int, neuron: Neuron) -> Layer:
        """The step from hidden layer l (from 0) to the layer above."""
        net, d = self.net, self.first.x.shape[1]
        limit, _ = net.learning_rate_series(d)[l + 1]
        scales = net.weight_law[l + 1], float(net.weight_std[l + 1]), float(limit.weight)
        shift, sizes = partial(self.biases.shift, l + 1), self.biases.sizes(l + 1)
        return Layer(neuron, *scales, shift, sizes, net.ratios[l], l + 1)

    def _neuron(self, l: int, below: "_Inputs | Layer") -> Neuron:
        """The law of one neuron of hidden layer l (from 0)."""
        channels, order = self.channels, self.order
        m, kernel = len(channels.values), np.zeros((len(channels), len(channels)))
        for key in combinations_with_replacement(range(len(channels)), 2):
            kernel[key] = kernel[key[::-1]] = below.cumulant((key,))[0]
        exact = isinstance(below, _Inputs) and not below.expanded
        values: tuple[int, ...] = ()
        if not exact:
            threshold = dependence(self.net.activation, order)
            values, missed = independent(kernel[:m, :m], threshold)
            self.missed = max(self.missed, missed)
        table = _table(channels, values, below.sizes, order)
        pivots = (*values, *range(m, len(channels)))
        cumulants = np.zeros((order + 1, len(table)))
        for position, block in table.blocks:
            cumulants[:, position] = below.cumulant(_block([pivots[c] for c in k] for k in block))
            if len(block) == 1 and len(block[0]) == 2:
                cumulants[0, position] = 0.0  # δY is Y less its limit
        degrees = _degrees(table, len(values))
        most = 2 * len(channels.tangents)
        law = self.first.gaussian(order + 2, most)
        if law is not None and exact:
            self.missed = max(self.missed, law.missed)
        if not exact:
            law = GaussianLaw(self.net, l, kernel[:m, :m], values, degrees, most)
        moments = self._exact_moments if law is None else partial(self._refined, law, l)
        resolution = law.resolution(max(degrees)) if law is not None and values else np.ones(0)
        return Neuron(channels, pivots, table, cumulants, kernel, degrees, resolution, moments)

    def _exact_moments(self, factors: Factors, degree: int) -> np.ndarray:
        """E[O] over a first layer that is not Gaussian."""
        assert degree == 0
        estimate = self.first.moments(factors)
        if not self.coarser:
            return estimate.value[:, None]
        signs = np.random.default_rng(sum(factors)).choice([-1.0, 1.0], len(estimate.value))
        return (estimate.value + signs * estimate.error)[:, None]

    def _refined(self, law: GaussianLaw, l: int, factors: Factors, degree: int) -> np.ndarray:
        """E[∂^α O] for products of factors, at the level this run uses."""
        which = (l, None if law.joint else factors)
        if self.coarser:
            level = max(self.levels[which] - 1, 0)
        else:
            if which not in self.levels:
                self.levels[which] = self._level(law, l, factors, degree)
            level = self.levels[which]
        found = law.moments(factors, degree, level)
        assert found is not None
        return law.derivatives(found, degree)

    def _level(self, law: GaussianLaw, l: int, factors: Factors, degree: int) -> int:
        """The first level that agrees with the one before, or the finest feasible."""
        aim, best, gap = self.tolerance or _AIM.get(law.rank, 1e-8), 0, np.inf
        for level in range(1, law.levels):
            found = law.gap(factors, degree, level)
            if found is None:
                break
            best, gap = level, found
            if gap <= aim:
                break
        if self.tolerance is not None and gap > self.tolerance:
            raise QuadratureError(
                f"layer {l + 1}: Gaussian quadrature in {law.rank} dimensions reached a relative "
                f"error of {gap:.1e}, not the {self.tolerance:.0e} asked for; pass a larger "
                "tolerance, or None to accept it"
            )
        return best


@lru_cache(maxsize=4096)
def _output_blocks(
    variables: tuple[tuple[int, int], ...], counts: tuple[int, ...]
) -> list[tuple[Block, int]]:
    """The blocks of equation (1) for variables (channel, component), and how often each occurs."""
    found = []
    for parts, ways in multiset_partitions(counts):
        members = [
            [v for v, c in zip(variables, part, strict=True) for _ in range(c)] for part in parts
        ]
        if all(len(part) > 1 and len({i for _, i in part}) == 1 for part in members):
            found.append((_block([a for a, _ in part] for part in members), ways))
    return found


def _table(channels: Channels, values: Sequence[int], sizes: Sequence[int], order: int):
    """The monomials over the keys of some values and all tangents, by their position there."""
    chosen = (*values, *range(len(channels.values), len(channels)))
    place = {c: i for i, c in enumerate(chosen)}
    keys = tuple(
        tuple(place[c] for c in key) for size in sizes for key in channels.keys(size, values)
    )
    degrees = tuple(channels.degrees[c] for c in chosen)
    return monomials(keys, degrees, order)


def _degrees(table: Monomials, values: int) -> tuple[int, ...]:
    """The highest derivative with respect to values asked of a product of r factors, by r."""
    orders = table.alpha[:, :values].sum(1)
    weights = (min(table.order + 2 - r, table.order) for r in range(table.order + 3))
    return tuple(int(orders[: table.count[w]].max(initial=0)) for w in weights)


def _block(keys) -> Block:
    """Keys in the one order they are stored in."""
    return tuple(sorted((tuple(sorted(key)) for key in keys), key=lambda k: (len(k), k)))
