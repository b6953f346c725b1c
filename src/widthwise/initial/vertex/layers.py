r"""All pairs of inputs through all layers, and what each layer passes on to the next.

The tables of :mod:`widthwise.initial.vertex.tables` go up from layer to layer. On the way each
hidden layer leaves what forms in all inputs need: the covariance K of its preactivations, the
moments M = ⟨φφᵀ⟩ of its neurons, and the derivative of M with respect to K,

    ∂M_ab = ½⟨∂_a²φ_aφ_b⟩ ∂K_aa + ⟨∂_a∂_bφ_aφ_b⟩ ∂K_ab + ½⟨∂_b²φ_aφ_b⟩ ∂K_bb,

as three numbers per pair. The whole is run at ever finer rules until two runs agree; their
difference is the error.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from widthwise.algebra.gaussian import QuadratureError
from widthwise.initial.recursion import key_sizes
from widthwise.initial.vertex import first, kinked, smooth
from widthwise.initial.vertex.neurons import Neurons, Sampling
from widthwise.initial.vertex.tables import (
    Basis,
    Expectations,
    Link,
    Tables,
    needed,
    reciprocal,
    step,
)
from widthwise.limit.first_layer.projection import project
from widthwise.limit.layer import has_gaussian_bias
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian

AIM = 1e-11
REFUSED = 1e-6
_SMALL = 1e-3  # a table below that part of its natural size is judged by the latter
_BIAS_NODES = (8, 12, 18, 28, 44)
_PARALLEL = 1e-6  # slopes as near to 1 belong to inputs that are equal


@dataclass(frozen=True, eq=False)
class Layer:
    """One hidden layer at n = ∞.

    Args:
        covariance: K, without a bias that is not Gaussian.
        moments: M = ⟨φφᵀ⟩.
        own: ∂M_ab/∂K_aa as (a, b); on the diagonal ∂M_aa/∂K_aa.
        mixed: ∂M_ab/∂K_ab as (a, b), 0 on the diagonal. Both 0 for the first layer.
    """

    covariance: Float[np.ndarray, "points points"]
    moments: Float[np.ndarray, "points points"]
    own: Float[np.ndarray, "points points"]
    mixed: Float[np.ndarray, "points points"]


@dataclass(frozen=True, eq=False)
class Run:
    """One pass through the layers.

    Args:
        layers: the hidden layers, the first one first.
        kernel: K of the outputs, pair by pair.
        tables: of the outputs.
        terms: the sizes of the terms of K₂, added up.
        angle: the least relative conditional deviation of a pair in any layer, 1 where no digit
            is lost by it.
    """

    layers: tuple[Layer, ...]
    kernel: Float[np.ndarray, "pairs 3"]
    tables: Tables
    terms: Float[np.ndarray, "pairs 3"]
    angle: Float[np.ndarray, " pairs"]


class Passes:
    """The recursion of all pairs, refined.

    Args:
        net: the architecture.
        x: data (points, inputs).
        tolerance: relative error at which a run counts as converged and above which it is refused.
        sampling: random points, for a first layer of no better law.

    Raises:
        QuadratureError: where the rules do not converge.
    """

    def __init__(self, net: MLP, x: np.ndarray, tolerance: float | None, sampling: Sampling):
        self.net = net.at_width(np.inf, x.shape[1])
        self.x, self.tolerance, self.sampling = x, tolerance, sampling
        self.links = _links(net, self.net)
        self.skewed = any(link.third for link in self.links)
        # the longer input first: a pair is described by it and the rest of the other
        a, b = np.triu_indices(len(x))
        norm = np.linalg.norm(x, axis=1)
        swap = norm[b] > norm[a]
        self.pairs = np.stack([np.where(swap, b, a), np.where(swap, a, b)], 1)
        self.fine, self.others = self._refined()

    def matrix(self, values: Float[np.ndarray, "pairs 3"]) -> Float[np.ndarray, "points points"]:
        """The entries (a, b) of a table, as a symmetric matrix."""
        a, b = self.pairs.T
        result = np.zeros((len(self.x),) * 2)
        result[a, b] = result[b, a] = values[:, 1]
        return result

    @cached_property
    def neurons(self) -> tuple[Neurons, ...]:
        """The law of h = φ(z) in every hidden layer."""
        net = self.net
        found = [Neurons(net.activation, project(net, self.x))]
        for l in range(1, net.depth):
            bias = None
            if not has_gaussian_bias(net, l):
                bias = float(net.bias_std[l]), net.bias_law[l]
            K = self.fine.layers[l].covariance
            found.append(Neurons.gaussian(net.activation, K, bias))
        return tuple(found)

    @cached_property
    def slack(self) -> float:
        """The largest relative difference of what the runs pass on to forms in all inputs."""
        gaps = [0.0]
        for other in self.others:
            for one, two in zip(self.fine.layers, other.layers, strict=True):
                for name in ("covariance", "moments", "own", "mixed"):
                    gaps.append(_gap(getattr(one, name), getattr(two, name)))
        return max(gaps) + 1e-15 / float(self.fine.angle.min())

    def _refined(self) -> tuple[Run, tuple[Run, ...]]:
        """The finest run, and those whose differences from it are its error."""
        aim, count = self.tolerance or AIM, self._levels
        fine = coarse = self._run(0, None)
        level, gap = 0, np.inf
        for level in range(1, count):
            fine = self._run(level, None)
            gap = _difference(fine, coarse)
            if gap <= aim:
                break
            if level < count - 1:
                coarse = fine
        if gap > (self.tolerance or REFUSED):
            raise QuadratureError(
                f"the expectations of pairs of inputs reached a relative error of {gap:.1e}, not "
                f"the {self.tolerance or REFUSED:.0e} asked for; declare the activation's kinks "
                "(widthwise.activations.get(function, kinks=(...))); if it has none, it is steep "
                "at this scale: standardize the inputs, or pass a larger tolerance"
            )
        if self._exact_first is not None:
            return fine, tuple(self._run(level, move) for move in range(first.MOVES))
        return fine, (coarse,)

    @property
    def _levels(self) -> int:
        """How many levels of refinement there are."""
        activation, layers = self.net.activation, range(self.net.depth)
        if activation.smooth:
            return len(smooth.LENGTHS)
        arcs = all(kinked.polar(activation, self._bias(l, 0)) for l in layers)
        return len(kinked.ARC_NODES if arcs else kinked.PANEL_NODES)

    @cached_property
    def _exact_first(self) -> dict[int, first.Moments] | None:
        """Expectations over a first layer whose weights are not Gaussian."""
        net = self.net
        if isinstance(net.weight_law[0], Gaussian):
            return None
        sizes = tuple(r for r, _ in needed(first=True, skewed=self.skewed))
        return first.moments(net, self.x, self.pairs, sizes, self.tolerance, self.sampling)

    def _run(self, level: int, move: int | None) -> Run:
        net, links, count = self.net, self.links, len(self.pairs)
        covariance, basis = self._first_covariance()
        tables, terms = Tables.zero(count), np.zeros((count, 3))
        angle, layers = np.ones(count), []
        product = covariance
        for l, link in enumerate(links):
            if l:
                angle = np.minimum(angle, _angle(covariance, basis))
            wanted = needed(first=l == 0, skewed=self.skewed)
            if l == 0 and self._exact_first is not None:
                found = first.expectations(self._exact_first, move, net.activation.smooth, link)
            elif net.activation.smooth:
                found = smooth.expectations(
                    net.activation,
                    self._bias(l, level),
                    covariance,
                    self.pairs,
                    link,
                    wanted,
                    level,
                )
            else:
                found = kinked.expectations(
                    net.activation, self._bias(l, level), basis, link, wanted, level
                )
            product, after, mean = found
            own, mixed = self._derivative(basis, after, mean)
            layers.append(Layer(self.matrix(covariance), self.matrix(product), own, mixed))
            self._refuse_vanishing(after, link)
            tables, terms = step(tables, terms, mean, link, after)
            covariance, basis = link.bias_std**2 + link.weight_std**2 * product, after
        bias = float(net.bias_std[net.depth]) if net.has_bias(net.depth) else 0.0
        kernel = bias**2 + links[-1].weight_std ** 2 * product
        return Run(tuple(layers), kernel, tables, terms, angle)

    def _first_covariance(self) -> tuple[np.ndarray, Basis]:
        """Of the first layer's Gaussian part, with the differences of inputs taken first."""
        net = self.net
        A = float(net.weight_std[0]) / self.x.shape[1] ** 0.5 * self.x
        if net.has_bias(0) and has_gaussian_bias(net, 0):
            A = np.concatenate([A, np.full((len(A), 1), float(net.bias_std[0]))], 1)
        a, b = self.pairs.T
        K = np.stack([np.einsum("pi,pi->p", A[i], A[j]) for i, j in ((a, a), (a, b), (b, b))], 1)
        slope = K[:, 1] * reciprocal(K[:, 0])
        rest = np.linalg.norm(A[b] - slope[:, None] * A[a], axis=1)
        rest = np.where(rest > kinked.DEPENDENT * np.sqrt(K[:, 2]), rest, 0.0)
        return K, Basis(np.sqrt(K[:, 0]), slope, rest)

    def _refuse_vanishing(self, after: Basis, link: Link) -> None:
        """A bias of order n^{−1/2} in a direction that has no variance at n = ∞.

        Raises:
            ValueError: naming two inputs, or one.
        """
        if not link.shrinking or link.last:
            return
        none = (after.first == 0) | (after.second == 0) & (np.abs(1 - after.slope) > _PARALLEL)
        if none.any():
            inputs = sorted({int(i) for i in self.pairs[np.flatnonzero(none)[0]]})
            raise ValueError(
                f"inputs {inputs} are zero or parallel in a hidden layer at infinite width, where "
                "biases of bias_scaling='fan_in' vanish, so there is no expansion about it; give "
                "the first layer a bias, or leave one of these inputs out"
            )

    def _bias(self, l: int, level: int) -> tuple[np.ndarray, np.ndarray]:
        """Values and probabilities of a bias that is not Gaussian, layers counted from 0."""
        if has_gaussian_bias(self.net, l):
            return np.zeros(1), np.ones(1)
        nodes, weights = self.net.bias_law[l].quadrature(_BIAS_NODES[level])
        return float(self.net.bias_std[l]) * nodes, weights

    def _derivative(self, basis: Basis, after: Basis, mean: Expectations):
        """``own`` and ``mixed`` of a :class:`Layer`."""
        own, mixed = np.zeros((2, len(self.x), len(self.x)))
        if (2, 2) not in mean:
            return own, mixed
        a, b = self.pairs.T
        # φ_aφ_b from the features, ∂K from that of the coordinates u
        square, cross = mean[2, 2][:, 0], mean[2, 2][:, 1]
        by_u = after.first[:, None] * (
            (after.slope * after.first)[:, None] * square + after.second[:, None] * cross
        )
        first, second = basis.inverses()
        t, weights = basis.slope, (first**2, first * second, second**2)
        uu, uv, vv = (w * g for w, g in zip(weights, by_u.T, strict=True))
        of_a, of_b, of_ab = 0.5 * uu - t * uv + 0.5 * t**2 * vv, 0.5 * vv, uv - t * vv
        own[a, b], own[b, a], mixed[a, b] = of_a, of_b, of_ab
        same = a == b
        own[a[same], a[same]] = (of_a + of_b + of_ab)[same]
        mixed[b, a] = of_ab
        np.fill_diagonal(mixed, 0.0)
        return own, mixed


def _links(net: MLP, limit: MLP) -> tuple[Link, ...]:
    """The weights and biases that read the hidden layers.

    Args:
        net: the architecture.
        limit: the network with the biases that are left as n → ∞.

    Raises:
        ValueError: for weights without a fourth moment.
    """
    links = []
    for l in range(1, net.depth + 1):
        law = net.weight_law[l]
        key_sizes(law, 2, l)  # refuses a law without the moments, with a message
        inside = has_gaussian_bias(limit, l) and l < limit.depth and limit.has_bias(l)
        shrinks = net.bias_scaling == "fan_in"
        links.append(
            Link(
                float(net.weight_std[l]),
                float(limit.bias_std[l]) if inside else 0.0,
                float(net.bias_std[l]) ** 2 / net.ratios[l - 1] if shrinks else 0.0,
                float(net.ratios[l - 1]),
                law.cumulant(3),
                law.cumulant(4),
                l == net.depth,
            )
        )
    return tuple(links)


def _angle(covariance: np.ndarray, basis: Basis) -> np.ndarray:
    """s₂ over the standard deviation of z_b; 1 where the two are one, or nothing is divided."""
    relative = basis.second * reciprocal(np.sqrt(covariance[:, 2]))
    return np.where(relative > 0, relative, 1.0)


def _difference(fine: Run, coarse: Run) -> float:
    """Of what two runs say of the outputs, relative to its size."""
    kernel = np.abs(fine.kernel).max()
    powers = (1.0, 1.0, 2.0, 1.5, 1.5, 2.0)
    gaps = [_gap(fine.kernel, coarse.kernel)]
    for one, two, power in zip(fine.tables, coarse.tables, powers, strict=True):
        gaps.append(_gap(one, two, _SMALL * kernel**power))
    return max(gaps)


def _gap(one: np.ndarray, two: np.ndarray, least: float = 0.0) -> float:
    scale = max(np.abs(one).max(initial=0.0), least)
    return float(np.abs(one - two).max(initial=0.0) / scale) if scale else 0.0
