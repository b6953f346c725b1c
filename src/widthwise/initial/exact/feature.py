"""The law of one neuron's features g = Σ_a V_{a,·} φ(z_a): nodes and weights, ever finer.

A direction V (points, outputs) meets a neuron with readout weights W through W · g alone. Rules for
the preactivations z, by the law of the first layer:

1. one number decides (one point or parallel points, and Gaussian weights or one input): panels that
   end at the kinks, halved and halved again;
2. several Gaussian numbers: the rules of :mod:`widthwise.algebra.gaussian`;
3. few sources that are not Gaussian: those of :mod:`widthwise.limit.first_layer.rules`;
4. one preactivation of many sources: panels under its density, which is inverted from the product
   of characteristic functions;
5. otherwise randomized Sobol points.

**Atoms.** Where φ is constant between two kinks (relu left of 0, step everywhere) g has atoms; so
it has where every source of z is discrete.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise, product

import numpy as np
from jaxtyping import Bool, Float

from widthwise.algebra import gaussian
from widthwise.initial.exact import spectrum
from widthwise.limit.first_layer import rules, sobol
from widthwise.limit.first_layer.projection import Projection, evaluate, parallel, project
from widthwise.model.activations import Activation
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian, Law
from widthwise.model.laws._panels import TO_SERIES, resolve

_DEGREE = 16
_REACH = 9.5
_MOST_NODES = 1 << 20
_NEGLIGIBLE = 1e-24
_ROUNDING = 1e-12
_PLANE_NODES = (8, 16, 32, 64, 128, 192)
_DENSITY_TOLERANCE = 1e-12
_DENSITY_END = 256.0


@dataclass(frozen=True, eq=False)
class Feature:
    """Values g (nodes, outputs) with weights, and which of them are atoms."""

    values: Float[np.ndarray, "nodes outputs"]
    weights: Float[np.ndarray, " nodes"]
    atomic: Bool[np.ndarray, " nodes"]


@dataclass(eq=False)
class Features:
    """Ever finer rules for g, made when they are asked for."""

    rules: Iterator[tuple[np.ndarray, np.ndarray]]
    transform: Callable[[np.ndarray, np.ndarray], Feature]
    line: bool
    wide: Callable[[float], tuple[np.ndarray, np.ndarray]] | None
    error: float
    bounded: bool
    exact: bool
    known: list[Feature] = field(default_factory=list)

    def level(self, number: int) -> Feature | None:
        """The rule of that fineness, from 0; None beyond the finest."""
        while len(self.known) <= number:
            rule = next(self.rules, None)
            if rule is None:
                return None
            self.known.append(self.transform(*rule))
        return self.known[number]

    def tilted(self, reach: float) -> tuple[np.ndarray, np.ndarray]:
        """Values g, in the order of z, and logarithms of weights, out to |z| = reach · std.

        Exponential moments see far tails, so weights are not cut; only where one Gaussian number
        decides can the rule be made wider than the others are.
        """
        if self.wide is None:
            finest = self.known[-1]
            kept = finest.weights > 0
            return finest.values[kept], np.log(finest.weights[kept])
        y, logs = self.wide(reach)
        return self.transform(y, np.ones(len(y))).values, logs


def features(net: MLP, x: np.ndarray, V: np.ndarray) -> Features:
    """The rules for one neuron of the first layer at the points x in the direction V."""
    seen = np.any(V != 0, axis=1)
    projection, V = project(net, x[seen]), V[seen]
    base, ratio = parallel(projection.coefficients)
    leaders, place = np.unique(base, return_inverse=True)
    reduced = projection.rows(leaders)
    kinks = tuple(sorted({k / r for r in ratio for k in net.activation.kinks if abs(r) > 1e-12}))
    discrete = all(law.discrete for law in reduced.laws)

    def transform(y: np.ndarray, weights: np.ndarray) -> Feature:
        z = y[:, place] * ratio
        values = evaluate(net.activation, z) @ V
        flat = flat_pieces(net.activation, z).all(1)
        total = weights.sum()
        if abs(total - 1) < _ROUNDING:
            weights = weights / total
        return Feature(values, weights, np.asarray(flat | discrete))

    line, wide, error, exact = False, None, 0.0, False
    if not reduced.sources or not np.any(reduced.coefficients):
        made, exact = iter([(np.zeros((1, len(leaders))), np.ones(1))]), True
    elif reduced.sources == 1 and not reduced.laws[0].discrete:
        made, line = _line(reduced.laws[0], float(reduced.coefficients[0, 0]), kinks), True
        if reduced.gaussian:
            wide = _wide(float(reduced.coefficients[0, 0]), kinks)
    elif reduced.gaussian and reduced.sources <= 4:
        made = map(tuple, gaussian.rules(reduced.covariance, kinks))
    else:
        few = reduced.atoms <= rules.MOST_ATOMS
        one = len(leaders) == 1
        sources = reduced.continuous
        if few and (sources <= (2 if one else 3) or (not kinks and not one and sources <= 6)):
            made, exact = _few(reduced, kinks), discrete
        elif one and sources:
            (made, error), line = _density(reduced, kinks), True
        else:
            made, discrete = _random(reduced), False
    sources = np.array([law.support for law in reduced.laws])
    bounded = net.activation.growth == 0 or bool(np.all(np.isfinite(sources)))
    return Features(made, transform, line, wide, error, bounded, exact)


def flat_pieces(activation: Activation, z: np.ndarray) -> np.ndarray:
    """Whether φ is constant around each z, between two of its kinks."""
    kinks = np.array(activation.kinks)
    if not len(kinks):
        return np.zeros(z.shape, dtype=bool)
    reach = np.array([0.05, 0.3, 1.0, 4.0, 20.0])
    inside = np.array([0.03, 0.27, 0.5, 0.81, 0.98])
    pieces = [kinks[0] - reach, *(a + (b - a) * inside for a, b in pairwise(kinks))]
    values = evaluate(activation, np.array([*pieces, kinks[-1] + reach]))
    return (np.ptp(values, axis=1) == 0)[np.searchsorted(kinks, z)]


def _panels(edges: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Composite Gauss–Legendre rules on panels that are halved and halved again."""
    x, g = np.polynomial.legendre.leggauss(_DEGREE)
    while (len(edges) - 1) * _DEGREE <= _MOST_NODES:
        half = np.diff(edges)[:, None] / 2
        yield (edges[:-1, None] + half * (1 + x)).ravel(), (half * g).ravel()
        edges = np.union1d(edges, (edges[1:] + edges[:-1]) / 2)


def _line(law: Law, scale: float, kinks: tuple[float, ...]) -> Iterator:
    if isinstance(law, Gaussian):
        edges = np.linspace(-_REACH, _REACH, 20)
    else:
        edges = rules.panel_edges(law)
    cuts = np.array(kinks) / scale
    edges = np.union1d(edges, cuts[(cuts > edges[0]) & (cuts < edges[-1])])
    for u, w in _panels(edges):
        weights = w * law.density(u)
        kept = weights > _NEGLIGIBLE
        yield scale * u[kept, None], weights[kept]


def _wide(scale: float, kinks: tuple[float, ...]) -> Callable[[float], tuple]:
    """Panels for c u, u ~ N(0, 1), with logarithms of their weights, out to any reach."""
    x, g = np.polynomial.legendre.leggauss(_DEGREE)
    cuts = np.array(kinks) / scale

    def rule(reach: float) -> tuple[np.ndarray, np.ndarray]:
        near = np.linspace(-_REACH, _REACH, 77)
        beyond = np.arange(_REACH, reach, 0.5)
        edges = np.concatenate([-beyond[:0:-1], near, beyond[1:]])
        edges = np.union1d(edges, cuts[np.abs(cuts) < edges[-1]])
        half = np.diff(edges)[:, None] / 2
        u = (edges[:-1, None] + half * (1 + x)).ravel()
        logs = np.log((half * g).ravel()) - u * u / 2 - np.log(2 * np.pi) / 2
        return scale * u[:, None], logs

    return rule


def _few(reduced: Projection, kinks: tuple[float, ...]) -> Iterator:
    panels = bool(kinks) and reduced.continuous > 0
    counts = _PLANE_NODES if reduced.continuous <= 2 else rules.PANEL_NODES
    made = rules.panel_rules(reduced, kinks, counts) if panels else rules.product_rules(reduced)
    for rule in made:
        yield rule.nodes @ reduced.coefficients.T, rule.weights


def _density(reduced: Projection, kinks: tuple[float, ...]) -> tuple[Iterator, float]:
    """Panels under the density of one preactivation, and the probability they may misplace."""
    row = reduced.coefficients[0]
    std = float(np.linalg.norm(row))

    def characteristic(t: np.ndarray) -> np.ndarray:
        value = np.ones(len(t), dtype=complex)
        for c, law in zip(row, reduced.laws, strict=True):
            value *= law.characteristic(c * t)
        return value

    law = spectrum.spectrum(characteristic, std, _DENSITY_END / std)
    pairs = zip(row, reduced.laws, strict=True)
    ends = np.array([np.sort(c * np.array(law.support)) for c, law in pairs])
    low, high = np.clip(ends.sum(0), -14 * std, 14 * std)
    edges = np.union1d(std * np.linspace(-14, 14, 57), [*kinks, *_corners(ends)])
    edges = np.union1d(edges[(edges > low) & (edges < high)], [low, high])
    known = resolve(
        lambda z: law.density(z.ravel()).reshape(z.shape),
        edges,
        np.ones_like,
        _DENSITY_TOLERANCE,
        deepest=5,
    )
    z, w = next(_panels(edges))
    error = float(w @ law.density_error(z)) + known.error
    walls = np.append(known.centre - known.half, known.centre[-1] + known.half[-1])
    series = known.values @ TO_SERIES.T

    def made() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for z, w in _panels(walls):
            panel = np.clip(np.searchsorted(walls, z) - 1, 0, len(series) - 1)
            x = (z - known.centre[panel]) / known.half[panel]
            density = np.polynomial.legendre.legval(x, series[panel].T, tensor=False)
            yield z[:, None], w * np.maximum(density, 0.0)

    return made(), error


def _corners(ends: np.ndarray) -> list[float]:
    """Where a sum of few bounded sources has a density that is not smooth."""
    if not np.isfinite(ends).all() or len(ends) > 5:
        return []
    return [float(sum(choice)) for choice in product(*ends)]


def _random(reduced: Projection) -> Iterator:
    copies = list(sobol.samples(reduced))
    for part in (copies[:4], copies[4:]):
        z = np.concatenate(part)
        yield z, np.full(len(z), 1 / len(z))
