r"""Joint cumulants of the outputs at initialization: any order, any depth, any laws of the weights.

Given the layer below, the neurons of layer l + 1 are independent with **conditional cumulants**

    Y_k = σ_w^r κ_r(W) n_l^{1−r/2} M_k,      M_k = (1/n_l) Σ_j ∏_{a∈k} φ(z_j(a)),

one for every key k: a multiset of r ≥ 2 channels (inputs). The recursion carries the joint
cumulants of the Y's, series in ε = n^{-1/2}, from layer to layer. With Y = K δ_{r2} + δY, K the
covariance at n = ∞, and O an observable of one neuron (a product of φ's),

    G_O(Y) = E[O | Y] = Σ_μ ∏_k δY_k^{μ_k} / (μ_k! (k!)^{μ_k}) · E_K[∂^{α(μ)} O],                (1)
    C_B(Y) = joint cumulant of the observables O_k, k ∈ B, of one neuron given Y
           = Σ_σ (−1)^{|σ|−1} (|σ|−1)! ∏_{S∈σ} G_{O_S}(Y),                                       (2)
    κ(Y'_{k₁} … Y'_{k_q}) = ∏ σ_w^{r_i} κ_{r_i}(W) · (ε²/ρ)^{Σ(r_i−2)/2}
                            · Σ_π ∏_{B∈π} (ε²/ρ)^{|B|−1} κ_Y(C_B : B ∈ π),                       (3)

with polynomials in δY truncated by weight (:mod:`widthwise.initial.monomials`): a term with the
prefactor ε^s keeps weights up to P − s. E[∂^α O] is a Hermite moment
(:mod:`widthwise.algebra.hermite`), so φ needs no derivative. The outputs follow by total cumulance,

    κ(z_{i₁}(a₁) … z_{i_p}(a_p)) = Σ_π κ(Y_{a_B} : B ∈ π) + σ_b^p κ_p(b) 1[i₁ = … = i_p],        (4)

π over partitions into blocks of at least two with one output component each. Truncation at ε^P is
the only approximation; the first layer enters by its exact law, whatever it is, and a bias that is
not Gaussian by an average over z + σ_b b.

* Channels that are linear combinations of others (copies, or parallel inputs of homogeneous φ) are
  exactly that at every width: they are expressed by the others, and only those have keys.
* Every layer's rule is refined until two levels agree; then the whole recursion runs again with the
  coarser level everywhere, and the differences are the reported errors.
"""

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from itertools import combinations_with_replacement
from math import prod

import numpy as np
from jaxtyping import Float

from widthwise.algebra.gaussian import Estimate, QuadratureError
from widthwise.algebra.hermite import (
    NestedRule,
    hermite_moments,
    multi_indices,
    nodes_of,
    reach,
    to_derivatives,
)
from widthwise.algebra.partitions import set_partitions
from widthwise.algebra.series import product, shifted
from widthwise.initial.monomials import Block, Key, Monomials, monomials
from widthwise.limit import first_layer
from widthwise.limit.first_layer.projection import project
from widthwise.limit.layer import has_gaussian_bias
from widthwise.model.activations import Activation
from widthwise.model.architecture import MLP
from widthwise.model.laws import Law

_STEPS = tuple(0.5 * 2 ** (-k / 2) for k in range(11))
_PANEL_NODES = (7, 10, 14, 20, 28, 40)
_BIAS_NODES = (12, 16, 22, 32, 44, 64, 90, 128, 180, 256, 360)
_AIM = {0: 1e-12, 1: 1e-12, 2: 1e-12, 3: 1e-10}
_MOST_NODES = 2.5e7
_DEPENDENT = 1e-12  # a conditional variance below this part of the variance is rounding
_COLUMNS_AT_ONCE = 8

Levels = dict[tuple[int, int], int]
Evaluate = Callable[[int], np.ndarray | None]


class Recursion:
    """Joint cumulants of the outputs at a few inputs, computed when asked.

    Args:
        net: the architecture.
        x: the inputs (points, inputs); the cost grows quickly with their number.
        order: P, the highest power of n^{-1/2} kept.
        tolerance: relative tolerance of the quadratures, ``None`` for the best feasible.
    """

    def __init__(self, net: MLP, x: np.ndarray, order: int, tolerance: float | None = None):
        self.net, self.x, self.order, self.tolerance = net, x, order, tolerance
        for l in range(1, net.depth):  # refuse what is too much before any integral
            monomials(len(x), order, key_sizes(net.weight_law[l], order, l))
        first, levels = _FirstLayer(net, x, tolerance), {}
        self._fine = _Run(net, first, order, tolerance, levels, coarser=False)
        self._coarse = _Run(net, first, order, tolerance, levels, coarser=True)

    def cumulant(self, points: Sequence[int], components: Sequence[int]) -> Estimate:
        """Coefficients of the joint cumulant in powers of n^{-1/2}, and their errors.

        Raises:
            ValueError: for a law that lacks a moment.
            QuadratureError: when a tolerance was given and is not reached.
        """
        points, components = tuple(points), tuple(components)
        fine = self._fine.output_cumulant(points, components)
        coarse = self._coarse.output_cumulant(points, components)
        # rounding differs from run to run, so the difference of two is itself uncertain
        return Estimate(fine, 3 * np.abs(fine - coarse) + 1e-15 * np.abs(fine))


class _Run:
    """The recursion through all layers with one choice of quadrature levels."""

    def __init__(
        self,
        net: MLP,
        first: "_FirstLayer",
        order: int,
        tolerance: float | None,
        levels: Levels,
        *,
        coarser: bool,
    ):
        self.net, self.first, self.order = net, first, order
        self.tolerance, self.levels, self.coarser = tolerance, levels, coarser

    @cached_property
    def last(self) -> "_Step":
        """The step from the last hidden layer to the outputs."""
        net, order = self.net, self.order
        step = _Step(self._first_neuron(), *self._scales(0), order)
        for l in range(1, net.depth):
            step = _Step(self._neuron(l, step), *self._scales(l), order)
        return step

    def output_cumulant(self, points: Key, components: tuple[int, ...]) -> np.ndarray:
        """Equation (4)."""
        total = np.zeros(self.order + 1)
        for partition in set_partitions(len(points)):
            if any(len(B) < 2 or len({components[i] for i in B}) > 1 for B in partition):
                continue
            keys = (tuple(sorted(points[i] for i in B)) for B in partition)
            total += self.last.cumulant(tuple(sorted(keys, key=lambda k: (len(k), k))))
        depth = self.net.depth
        if len(set(components)) == 1 and self.net.has_bias(depth):
            r = len(points)
            total[0] += float(self.net.bias_std[depth]) ** r * self.net.bias_law[depth].cumulant(r)
        return total

    def _scales(self, l: int) -> tuple[Law, float, float, int]:
        """Law and σ_w of the weights above hidden layer l (from 0), its ratio, and its number."""
        net = self.net
        return net.weight_law[l + 1], float(net.weight_std[l + 1]), net.ratios[l], l + 1

    def _first_neuron(self) -> "_Neuron":
        first, table = self.first, monomials(0, self.order, ())
        cumulants = np.zeros((self.order + 1, len(table)))

        def moments(r: int) -> np.ndarray:
            if first.gaussian is not None:
                return self._refined(first.gaussian, 0, r, degree=0)
            estimate = first.moments(r)
            if not self.coarser:
                return estimate.value[:, None]
            signs = np.random.default_rng(r).choice([-1.0, 1.0], len(estimate.value))
            return (estimate.value + signs * estimate.error)[:, None]

        return _Neuron(len(first.x), table, cumulants, moments)

    def _neuron(self, l: int, below: "_Step") -> "_Neuron":
        """The law of one neuron of hidden layer l (from 0), l ≥ 1."""
        net, m, order = self.net, len(self.first.x), self.order
        K = np.zeros((m, m))
        for key in combinations_with_replacement(range(m), 2):
            K[key] = K[key[::-1]] = below.cumulant((key,))[0]
        if net.has_bias(l) and has_gaussian_bias(net, l):
            K = K + float(net.bias_std[l]) ** 2
        pivots = _independent(K)
        table = monomials(len(pivots), order, below.sizes)
        cumulants = np.zeros((order + 1, len(table)))
        for position, block in table.blocks:
            keys = tuple(tuple(sorted(pivots[a] for a in key)) for key in block)
            cumulants[:, position] = below.cumulant(tuple(sorted(keys, key=lambda k: (len(k), k))))
            if len(block) == 1 and len(block[0]) == 2:
                cumulants[0, position] = 0.0  # δY is Y less its limit
        law = _GaussianLaw(net, l, K, pivots)

        def moments(r: int) -> np.ndarray:
            return self._refined(law, l, r, table.derivative_degree(order + 2 - r))

        return _Neuron(m, table, cumulants, moments)

    def _refined(self, law: "_GaussianLaw", l: int, r: int, degree: int) -> np.ndarray:
        """E[∂^α O] for the observables of r factors, at the level this run uses."""
        if self.coarser:
            if (l, r) not in self.levels:
                raise RuntimeError("the coarser run came before the finer one")
            found = law.moments(r, degree, max(self.levels[l, r] - 1, 0))
            assert found is not None
            return law.derivatives(found, degree)
        aim = self.tolerance or _AIM.get(law.rank, 1e-8)
        best, gap = law.moments(r, degree, 0), np.inf
        assert best is not None
        self.levels[l, r] = 0
        for level in range(1, law.levels):
            finer = law.moments(r, degree, level)
            if finer is None:
                break
            gap = float(np.max(np.abs(finer - best) / law.sizes(r)))
            best, self.levels[l, r] = finer, level
            if gap <= aim:
                break
        if self.tolerance is not None and gap > self.tolerance:
            raise QuadratureError(
                f"layer {l + 1}: Gaussian quadrature in {law.rank} dimensions reached a relative "
                f"error of {gap:.1e}, not the {self.tolerance:.0e} asked for; pass a larger "
                "tolerance, or None to accept it"
            )
        return law.derivatives(best, degree)


class _Neuron:
    """One neuron of a hidden layer: its conditional law as polynomials in δY, and the law of δY.

    Args:
        channels: m, the inputs.
        table: the monomials in δY.
        cumulants: the joint cumulants of the blocks, a series for every monomial.
        moments: r ↦ E[∂^α O] (observables, alphas) of the products O of r features.
    """

    def __init__(
        self,
        channels: int,
        table: Monomials,
        cumulants: Float[np.ndarray, "orders monomials"],
        moments: Callable[[int], np.ndarray],
    ):
        self.channels, self.table, self._moments = channels, table, moments
        self.expectation = table.moments(cumulants)
        self._polynomials = lru_cache(maxsize=None)(self._all_of_degree)

    def polynomial(self, observable: Key) -> np.ndarray:
        """Equation (1), G of the product of the channels' features, of weight ≤ P + 2 − r."""
        r = len(observable)
        return self._polynomials(r)[_places(self.channels, r)[observable]]

    def _all_of_degree(self, r: int) -> np.ndarray:
        table = self.table
        kept = slice(table.count[table.order + 2 - r])
        return self._moments(r)[:, table.alpha[kept]] * table.coefficient[kept]


class _Step:
    """From one hidden layer to the conditional cumulants Y' of the next: equations (2) and (3).

    Args:
        neuron: a neuron of the hidden layer.
        law: of the weights that read the layer.
        weight_std: σ_w of those weights.
        ratio: ρ, the layer's width over n.
        layer: the number of the hidden layer, for messages.
        order: P.
    """

    def __init__(
        self, neuron: _Neuron, law: Law, weight_std: float, ratio: float, layer: int, order: int
    ):
        self.neuron, self.law, self.order, self.layer = neuron, law, order, layer
        self.weight_std, self.ratio = weight_std, ratio
        self.cumulant = lru_cache(maxsize=None)(self._cumulant)
        self._conditional = lru_cache(maxsize=None)(self._conditional_cumulant)
        self._joint = lru_cache(maxsize=None)(self._joint_cumulant)
        self._moment = lru_cache(maxsize=None)(self._centred_moment)
        self._multiplied = lru_cache(maxsize=None)(self._centred_product)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The r of the keys whose Y' is not zero."""
        return key_sizes(self.law, self.order, self.layer)

    def _weight_cumulant(self, r: int) -> float:
        return _weight_cumulant(self.law, r, self.order, self.layer)

    def _cumulant(self, block: Block) -> np.ndarray:
        """κ(Y'_k, k ∈ block), a series; the bias is not in it."""
        P, total = self.order, np.zeros(self.order + 1)
        excess = sum(len(key) - 2 for key in block)
        if excess + 2 * (len(block) - 1) > P:
            return total
        scale = prod(self.weight_std ** len(key) * self._weight_cumulant(len(key)) for key in block)
        if not scale:
            return total
        for partition in set_partitions(len(block)):
            below = 2 * sum(len(B) - 1 for B in partition)
            if P - excess - below < 2 * (len(partition) - 1):
                continue
            groups = (tuple(block[i] for i in B) for B in partition)
            joint = self._joint(_ordered(groups))
            total += shifted(joint, excess + below) * self.ratio ** (-below / 2)
        return scale * self.ratio ** (-excess / 2) * total

    def _conditional_cumulant(self, group: Block) -> np.ndarray:
        """Equation (2), by κ(B) = E[B] − Σ_{first ∈ S ⊊ B} κ(S) E[B∖S]."""
        neuron, table = self.neuron, self.neuron.table
        result = neuron.polynomial(_merged(group)).copy()
        weight = self.order + 2 - sum(map(len, group))
        for part, rest in _proper_splits(len(group)):
            first = self._conditional(tuple(group[i] for i in part))
            second = neuron.polynomial(_merged([group[i] for i in rest]))
            result -= table.product(first, second, weight)
        return result

    def _joint_cumulant(self, groups: tuple[Block, ...]) -> np.ndarray:
        """κ_Y(C_B, B ∈ groups), exact up to the weight the groups leave."""
        if len(groups) == 1:
            polynomial = self._conditional(groups[0])
            return self.neuron.expectation[:, : len(polynomial)] @ polynomial
        total = self._moment(groups).copy()
        for part, rest in _proper_splits(len(groups)):
            first = tuple(groups[i] for i in part)
            reduced = self._joint(first) if len(first) > 1 else self._moment(first)
            total -= product(reduced, self._moment(tuple(groups[i] for i in rest)))
        total[: 2 * (len(groups) - 1)] = 0.0
        return total

    def _centred_moment(self, groups: tuple[Block, ...]) -> np.ndarray:
        """E of the product of the C_B less their constant terms."""
        polynomial = self._multiplied(groups)
        return self.neuron.expectation[:, : len(polynomial)] @ polynomial

    def _centred_product(self, groups: tuple[Block, ...]) -> np.ndarray:
        if len(groups) == 1:
            polynomial = self._conditional(groups[0]).copy()
            polynomial[0] = 0.0
            return polynomial
        weight = self.order - sum(sum(map(len, group)) - 2 for group in groups)
        first, second = self._multiplied(groups[:-1]), self._multiplied(groups[-1:])
        return self.neuron.table.product(first, second, weight)


def key_sizes(law: Law, order: int, layer: int) -> tuple[int, ...]:
    """The r ≤ P + 2 with κ_r of the weights not zero, for the weights that read a hidden layer.

    Raises:
        ValueError: for a law without the moment of some order r, with that r.
    """
    return tuple(r for r in range(2, order + 3) if _weight_cumulant(law, r, order, layer))


def _weight_cumulant(law: Law, r: int, order: int, layer: int) -> float:
    try:
        return law.cumulant(r)
    except ValueError as error:
        raise ValueError(
            f"order {order} needs the moment of order {r} of the weights that read hidden layer "
            f"{layer}: {error}"
        ) from error


class _FirstLayer:
    """The exact law of the first hidden layer's preactivations, shared by the two runs.

    ``gaussian`` is that law if it is Gaussian; otherwise :meth:`moments` has the expectations.
    """

    def __init__(self, net: MLP, x: np.ndarray, tolerance: float | None):
        self.net, self.x, self.tolerance = net, x, tolerance
        self.gaussian: _GaussianLaw | None = None
        projection = project(net, x)
        if projection.gaussian:
            self.gaussian = _GaussianLaw(net, 0, np.asarray(projection.covariance), pivots=())
        self.moments = lru_cache(maxsize=None)(self._moments)

    def _moments(self, r: int) -> Estimate:
        """E of all products of r features over the exact law."""
        net, every = self.net, list(_places(len(self.x), r))
        laws = [net.weight_law[0]] + [net.bias_law[0]] * net.has_bias(0)
        if _parity(net.activation, r) == 1 and all(law.symmetric for law in laws):
            return Estimate(np.zeros(len(every)), np.zeros(len(every)))
        values, errors = [], []
        for start in range(0, len(every), _COLUMNS_AT_ONCE):
            columns = np.array(every[start : start + _COLUMNS_AT_ONCE])

            def observable(z: np.ndarray, columns: np.ndarray = columns) -> np.ndarray:
                return np.asarray(net.activation(z))[:, columns].prod(2)

            estimate = first_layer.expectation(net, self.x, observable, self.tolerance)
            values.append(estimate.value)
            errors.append(np.broadcast_to(estimate.error, estimate.value.shape))
        return Estimate(np.concatenate(values), np.concatenate(errors))


class _GaussianLaw:
    """A hidden neuron's preactivations at n = ∞: Gaussian, plus a bias that need not be.

    Args:
        net: the architecture.
        layer: the hidden layer, from 0.
        covariance: K, with the bias in it if that is Gaussian.
        pivots: linearly independent channels; empty for whichever, where no derivative is asked.
    """

    def __init__(self, net: MLP, layer: int, covariance: np.ndarray, pivots: tuple[int, ...]):
        self.moments = lru_cache(maxsize=None)(self._moments)
        self.activation: Activation = net.activation
        chosen = list(pivots or _independent(covariance))
        inner = covariance[np.ix_(chosen, chosen)]
        self.factor = np.linalg.cholesky(inner) if chosen else np.zeros((0, 0))
        # every channel as a combination of the chosen ones
        combination = (
            np.linalg.solve(inner, covariance[chosen]).T
            if chosen
            else np.zeros((len(covariance), 0))
        )
        combination[chosen] = np.eye(len(chosen))
        self.rows = combination @ self.factor
        self.bias: tuple[float, Law] | None = None
        if layer and net.has_bias(layer) and not has_gaussian_bias(net, layer):
            self.bias = float(net.bias_std[layer]), net.bias_law[layer]

    @property
    def rank(self) -> int:
        """Dimension of the integrals."""
        return self.factor.shape[1]

    @property
    def levels(self) -> int:
        """How many levels of refinement there are."""
        return len(_PANEL_NODES if self.activation.kinks else _STEPS)

    def _moments(self, r: int, degree: int, level: int) -> np.ndarray | None:
        """Normalized Hermite moments c_γ of the products of r features; None beyond memory."""
        kinks, m = self.activation.kinks, len(self.rows)
        fineness = _PANEL_NODES[level] if kinks else _STEPS[level]
        rule = NestedRule(kinks, fineness, reach(degree + 2 * r))
        if level > 1 and nodes_of(self.rows, rule) > _MOST_NODES:
            return None
        parity = _parity(self.activation, r)
        if self.bias is None:
            values = _products(self.activation, m, r)
            return hermite_moments(values, self.rows, degree, rule, parity)
        scale, law = self.bias
        total = 0.0
        for b, weight in zip(*law.quadrature(_BIAS_NODES[level]), strict=True):
            moved = rule._replace(kinks=tuple(kink - scale * b for kink in kinks))
            values = _products(self.activation, m, r, float(scale * b))
            total = total + weight * hermite_moments(values, self.rows, degree, moved)
        if parity is not None and law.symmetric:
            total = total * (multi_indices(self.rank, degree).sum(1) % 2 == parity)
        return np.asarray(total)

    def sizes(self, r: int) -> Float[np.ndarray, "observables 1"]:
        """∏ √E φ(z_a)², the size of every product of r features, to a digit or two."""
        squares = _places(len(self.rows), 2)
        mean = self._mean_squares
        rms = np.sqrt([mean[squares[a, a]] for a in range(len(self.rows))])
        every = np.array(list(_places(len(self.rows), r)))
        return rms[every].prod(1)[:, None] + 1e-300

    @cached_property
    def _mean_squares(self) -> np.ndarray:
        found = self.moments(2, 0, 1)
        assert found is not None
        return found[:, 0].clip(0)

    def derivatives(self, moments: np.ndarray, degree: int) -> np.ndarray:
        """E[∂^α O] with respect to the chosen channels."""
        return to_derivatives(moments, self.factor, degree) if degree else moments[:, :1]


def _parity(activation: Activation, r: int) -> int | None:
    """Parity of the products of r features, if the activation has one."""
    if activation.parity is None:
        return None
    return r % 2 if activation.parity == "odd" else 0


@lru_cache(maxsize=256)
def _places(channels: int, r: int) -> dict[Key, int]:
    """Position of every product of r channels."""
    return {k: i for i, k in enumerate(combinations_with_replacement(range(channels), r))}


@lru_cache(maxsize=64)
def _growth(channels: int, r: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Products of j + 1 channels from products of j: position of the parent, last channel."""
    steps = []
    for j in range(2, r + 1):
        below = _places(channels, j - 1)
        steps.append(
            (
                np.array([below[k[:-1]] for k in _places(channels, j)]),
                np.array([k[-1] for k in _places(channels, j)]),
            )
        )
    return steps


def _products(
    activation: Activation, channels: int, r: int, shift: float = 0.0
) -> Callable[[np.ndarray], np.ndarray]:
    """The map from z (nodes, m) to all products of r features φ(z_a + shift), (products, nodes)."""

    def values(z: np.ndarray) -> np.ndarray:
        features = _evaluated(activation, z.T + shift)
        table = features
        for parents, last in _growth(channels, r):
            table = table[parents] * features[last]
        return table

    return values


def _evaluated(activation: Activation, z: np.ndarray) -> np.ndarray:
    """φ at all entries, in pieces of a few sizes so that JAX compiles few programs."""
    flat = z.ravel()
    size = min(max(256, 1 << (len(flat) - 1).bit_length()), 1 << 18)
    padded = np.zeros(-(-len(flat) // size) * size)
    padded[: len(flat)] = flat
    pieces = [np.asarray(activation(piece)) for piece in padded.reshape(-1, size)]
    return np.concatenate(pieces)[: len(flat)].reshape(z.shape)


def _independent(covariance: np.ndarray) -> tuple[int, ...]:
    """Linearly independent channels that span all: pivoted Cholesky of the correlations."""
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


def _merged(keys: Sequence[Key]) -> Key:
    return tuple(sorted(sum(keys, ())))


def _ordered(groups) -> tuple[Block, ...]:
    return tuple(sorted(groups, key=lambda B: (sum(map(len, B)), len(B), B)))


@lru_cache(maxsize=32)
def _proper_splits(size: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """All (S, rest) of range(size) with 0 ∈ S and rest not empty."""
    splits = []
    for mask in range(2 ** (size - 1) - 1):
        part = (0, *(i for i in range(1, size) if mask >> (i - 1) & 1))
        splits.append((part, tuple(i for i in range(size) if i not in part)))
    return splits
