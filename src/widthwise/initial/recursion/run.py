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
* Every layer's rule is refined until two levels agree. All numbers are carried in two versions,
  from that level and from the coarser one everywhere; their differences are the reported errors.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property, lru_cache, partial

import numpy as np
from jaxtyping import Float

from widthwise.algebra.gaussian import Estimate, QuadratureError
from widthwise.algebra.partitions import multiset_partitions
from widthwise.initial.recursion.biases import Biases
from widthwise.initial.recursion.channels import Channels
from widthwise.initial.recursion.layer import Layer, key_sizes, weight_cumulant
from widthwise.initial.recursion.monomials import Block, Key, Monomials, monomials
from widthwise.initial.recursion.neuron import Neuron
from widthwise.initial.recursion.preactivation import (
    ROUNDING,
    Factors,
    FirstLayer,
    GaussianLaw,
    dependence,
    independent,
)
from widthwise.model.architecture import MLP

_AIM = {0: 1e-12, 1: 1e-12, 2: 1e-12, 3: 1e-10}


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
        self.biases = Biases(net, self.channels, x.shape[1], input_ratio, order)
        self.net, self.order, self.tolerance = self.biases.limit, order, tolerance
        self._first = FirstLayer(self.net, x, tolerance)
        self._inputs = _Inputs(x, self.biases)
        self._missed = 0.0

    def cumulant(self, channels: Sequence[int], components: Sequence[int]) -> Estimate:
        """Coefficients of the joint cumulant in powers of n^{-1/2}, and their errors.

        Equation (1).

        Raises:
            ValueError: for a law that lacks a moment.
            QuadratureError: when a tolerance was given and is not reached.
        """
        blocks, ways = self._blocks(tuple(channels), tuple(components))
        if not blocks:
            return Estimate(*np.zeros((2, self.order + 1)))
        fine, coarse = (self._last.cumulants(blocks) @ ways).T
        rounding = self._last.roundings(blocks) @ ways
        size = np.maximum.accumulate(np.abs(fine))
        missed = len(channels) * self._missed * size * (fine != 0)
        return Estimate(fine, 5 * np.abs(fine - coarse) + rounding + missed)

    def _blocks(self, channels: Key, components: tuple[int, ...]) -> tuple[list[Block], np.ndarray]:
        """The blocks of equation (1), and how often each occurs."""
        if len(channels) > self.order + 2:  # all of higher order, but for a bias
            same = len(set(components)) == 1
            return [(tuple(sorted(channels)),)] * same, np.ones(int(same))
        counts = Counter(zip(channels, components, strict=True))
        values = sorted(counts)
        return _output_blocks(tuple(values), tuple(counts[v] for v in values))

    @cached_property
    def _last(self) -> Layer:
        """The step from the last hidden layer to the outputs."""
        below = self._inputs
        for l in range(self.net.depth):
            below = self._layer(l, self._neuron(l, below))
        assert isinstance(below, Layer)
        return below

    def _layer(self, l: int, neuron: Neuron) -> Layer:
        """The step from hidden layer l (from 0) to the layer above."""
        net, d = self.net, self._first.x.shape[1]
        limit, _ = net.learning_rate_series(d)[l + 1]
        scales = net.weight_law[l + 1], float(net.weight_std[l + 1]), float(limit.weight)
        shift, sizes = partial(self.biases.shift, l + 1), self.biases.sizes(l + 1)
        return Layer(neuron, *scales, shift, sizes, net.ratios[l], l + 1)

    def _neuron(self, l: int, below: "_Inputs | Layer") -> Neuron:
        """The law of one neuron of hidden layer l (from 0)."""
        channels, order = self.channels, self.order
        m, size = len(channels.values), len(channels)
        rows, columns = np.triu_indices(size)
        limit = below.cumulants([((int(a), int(b)),) for a, b in zip(rows, columns, strict=True)])
        kernel = np.zeros((2, size, size))
        kernel[:, rows, columns] = kernel[:, columns, rows] = limit[0]
        exact = isinstance(below, _Inputs) and not below.expanded
        values: tuple[int, ...] = ()
        if not exact:
            threshold = dependence(self.net.activation, order)
            values, missed = independent(kernel[0, :m, :m], threshold)
            self._missed = max(self._missed, missed)
        table = _table(channels, values, below.sizes, order)
        pivots = (*values, *range(m, size))
        cumulants = np.zeros((order + 1, 2, len(table)))
        if table.blocks:
            places, blocks = zip(*table.blocks, strict=True)
            named = [_block([pivots[c] for c in k] for k in block) for block in blocks]
            cumulants[..., list(places)] = below.cumulants(named)
            pairs = [p for p, b in table.blocks if len(b) == 1 and len(b[0]) == 2]
            cumulants[0][:, pairs] = 0.0  # δY is Y less its limit
        degrees = _degrees(table, len(values))
        fine, coarse = self._laws(l, kernel[:, :m, :m], values, degrees, exact)
        if fine is None or coarse is None:
            moments = self._exact_moments
        else:
            moments = _Refined(fine, coarse, self.tolerance)
        resolution = fine.resolution(max(degrees)) if fine is not None and values else np.ones(0)
        return Neuron(channels, pivots, table, cumulants, kernel, degrees, resolution, moments)

    def _laws(self, l: int, kernels, values: Key, degrees: tuple[int, ...], exact: bool):
        """The Gaussian laws of a hidden layer's preactivations, from the finer and the coarser K.

        Both are None for a first layer that is not Gaussian.
        """
        most = 2 * len(self.channels.tangents)
        if exact:
            law = self._first.gaussian(self.order + 2, most)
            self._missed = max(self._missed, law.missed if law is not None else 0.0)
            return law, law
        fine, coarse = (
            partial(GaussianLaw, self.net, l, K, values, degrees, most) for K in kernels
        )
        law, gap = fine(), np.abs(kernels[0] - kernels[1]).max()
        return law, law if gap <= ROUNDING * np.abs(kernels[0]).max() else coarse()

    def _exact_moments(self, factors: Factors, degree: int) -> np.ndarray:
        """E[O] over a first layer that is not Gaussian, and moved by its error."""
        assert degree == 0
        value, error = self._first.moments(factors)
        signs = np.random.default_rng(sum(factors)).choice([-1.0, 1.0], len(value))
        return np.stack([value, value + signs * error])[..., None]


def symmetric_readout(net: MLP) -> bool:
    """Whether reversing the sign of an output's weights and bias does not change its law."""
    laws = [net.weight_law[-1]] + [net.bias_law[-1]] * net.has_bias(net.depth)
    return all(law.symmetric for law in laws)


def vanishes(components: Sequence[int], *, symmetric: bool) -> bool:
    """Whether a joint cumulant of outputs and tangents is 0 at every width, by their components.

    A component that appears once has no partner; one that appears an odd number of times changes
    the sign of the cumulant if its readout is reversed, which a symmetric one does not feel.
    """
    counts = Counter(components).values()
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

    def cumulants(self, blocks: Sequence[Block]) -> Float[np.ndarray, "orders 1 blocks"]:
        """κ(Y¹_k, k ∈ block) of every block."""
        return np.stack([self._cumulant(block) for block in blocks], -1)[:, None]

    def _cumulant(self, block: Block) -> np.ndarray:
        """Y¹ itself for one key, otherwise 0."""
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


class _Refined:
    """E[∂^α O] at the level of quadrature that is fine enough, and at the one before.

    Args:
        fine: the law of a hidden layer's preactivations.
        coarse: that law as the coarser numbers of the layers below have it.
        tolerance: relative tolerance, ``None`` for the best feasible.
    """

    def __init__(self, fine: GaussianLaw, coarse: GaussianLaw, tolerance: float | None):
        self.fine, self.coarse, self.tolerance = fine, coarse, tolerance
        self._levels: dict[Factors | None, int] = {}

    def __call__(
        self, factors: Factors, degree: int
    ) -> Float[np.ndarray, "versions choices alphas"]:
        which = None if self.fine.joint else factors
        if which not in self._levels:
            self._levels[which] = self._level(factors, degree)
        level, result = self._levels[which], []
        for law, used in ((self.fine, level), (self.coarse, max(level - 1, 0))):
            found = law.moments(factors, degree, used)
            assert found is not None
            result.append(law.derivatives(found, degree))
        return np.stack(result)

    def _level(self, factors: Factors, degree: int) -> int:
        """The first level that agrees with the one before, or the finest feasible."""
        law = self.fine
        aim, best, gap = self.tolerance or _AIM.get(law.rank, 1e-8), 0, np.inf
        for level in range(law.first_level, law.levels):
            found = law.gap(factors, degree, level)
            if found is None:
                break
            best, gap = level, found
            if gap <= aim:
                break
        if self.tolerance is not None and gap > self.tolerance:
            raise QuadratureError(
                f"layer {law.layer + 1}: Gaussian quadrature in {law.rank} dimensions reached a "
                f"relative error of {gap:.1e}, not the {self.tolerance:.0e} asked for; pass a "
                "larger tolerance, or None to accept it"
            )
        return best


@lru_cache(maxsize=4096)
def _output_blocks(
    variables: tuple[tuple[int, int], ...], counts: tuple[int, ...]
) -> tuple[list[Block], Float[np.ndarray, " blocks"]]:
    """The blocks of equation (1) for variables (channel, component), and how often each occurs."""
    found = []
    for parts, ways in multiset_partitions(counts):
        members = [
            [v for v, c in zip(variables, part, strict=True) for _ in range(c)] for part in parts
        ]
        if all(len(part) > 1 and len({i for _, i in part}) == 1 for part in members):
            found.append((_block([a for a, _ in part] for part in members), ways))
    return [block for block, _ in found], np.array([float(ways) for _, ways in found])


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
