"""The cumulant recursion against published numbers, closed forms, exact oracles and simulation."""

import itertools
from collections import Counter
from functools import lru_cache
from itertools import combinations_with_replacement
from math import comb, prod

import jax
import numpy as np
import pytest
import scipy.stats

import widthwise as ww
from widthwise.algebra.partitions import joint_cumulant, mobius, set_partitions
from widthwise.finite.estimators import fourth_cumulant
from widthwise.finite.initialization import sample_initial
from widthwise.initial.recursion import Recursion
from widthwise.initial.recursion.monomials import monomials
from widthwise.initial.shallow import ShallowCumulants

TWO = 2**0.5
UNIFORM = ("gaussian", "uniform", "uniform", "uniform")
EXPONENTIAL = ("gaussian", "exponential", "exponential")
MIXED = ("gaussian", "exponential", "uniform", "exponential")
X2 = [[1.0, 0.2, -0.4], [0.3, -0.8, 0.9]]


def coefficients(net, x, points, components=None, order=4):
    return ww.output_cumulants(net, x, order).cumulant(points, components)


# ------------------------------------------------------------------- published, closed forms

PUBLISHED = {  # setting: (net, {number of variables: {power of n^{-1/2}: coefficient}})
    "linear": (ww.MLP(3, "identity"), {4: {2: 18, 4: 36, 6: 24}, 6: {4: 1440, 6: 7200, 8: 15840}}),
    "linear, uniform": (
        ww.MLP(3, "identity", weight_law=UNIFORM),
        {4: {2: 14.4, 4: 4.32, 6: -4.224}, 6: {4: 6264 / 7, 6: 806.4}},
    ),
    "linear, exponential": (
        ww.MLP(2, "identity", weight_law=EXPONENTIAL),
        {4: {2: 30, 4: 210}, 6: {4: 5160, 6: 105720}},
    ),
    "linear, a law per layer": (
        ww.MLP(3, "identity", weight_law=MIXED),
        {4: {2: 36, 4: 129.6, 6: 268.8}, 6: {4: 7080, 6: 63648}},
    ),
    "relu, depth 2": (
        ww.MLP(2, "relu", weight_std=(1.0, TWO, 2.0)),
        {2: {0: 2}, 4: {2: 120, 4: 300}, 6: {4: 28560, 6: 158400, 8: 232320}},
    ),
    "relu, depth 3": (
        ww.MLP(3, "relu", weight_std=(TWO, TWO, TWO, TWO)),
        {2: {0: 2}, 4: {2: 180, 4: 900, 6: 1500}, 6: {4: 69840, 6: 835200, 8: 4260960}},
    ),
}


@pytest.mark.parametrize("setting", PUBLISHED)
def test_published_coefficients(setting):
    net, published = PUBLISHED[setting]
    order = 8 if "exponential" not in setting and "law" not in setting else 6
    c = ww.output_cumulants(net, [[1.0]], order=order)
    for r, terms in published.items():
        series = c.cumulant((0,) * r)
        expected = np.zeros(order + 1)
        for power, value in terms.items():
            expected[power] = value
        known = slice(max(terms) + 1) if r == 6 else slice(None)
        error = np.abs(series.coefficients - expected)[known]
        assert (error <= series.error[known] + 1e-13 * np.abs(expected).max()).all()
        assert (series.error <= 1e-9 * max(np.abs(expected).max(), 1)).all()


def test_published_two_outputs():
    net = ww.MLP(3, "identity", outputs=2)
    series = coefficients(net, [[1.0]], (0, 0, 0, 0), (0, 0, 1, 1), order=6)
    assert series.coefficients == pytest.approx([0, 0, 6, 0, 12, 0, 8], abs=1e-12)


def test_published_relu_kernel_correction_and_vertex():
    net = ww.MLP(2, "relu", weight_std=TWO, outputs=2)
    c = ww.output_cumulants(net, X2, order=2)
    K0 = {(0, 0): 0.8, (0, 1): 0.40639932054, (1, 1): 1.02666666667}
    K2 = {(0, 0): 0.0, (0, 1): -0.311677466538, (1, 1): 0.0}
    V = {(0, 0, 0, 0): 6.4, (0, 0, 0, 1): 1.9728724557, (0, 0, 1, 1): 0.309098009096,
         (0, 1, 0, 1): 1.77765174942, (0, 1, 1, 1): 2.53185298482}  # fmt: skip
    for pair, value in K0.items():
        assert c.cumulant(pair).coefficients == pytest.approx([value, 0, K2[pair]], abs=6e-12)
    for points, value in V.items():
        assert c.cumulant(points, (0, 0, 1, 1)).coefficients[2] == pytest.approx(value, abs=6e-11)


def test_the_numbers_of_the_first_program():
    """Made once with an independent pure-Python program (trapezoid, 81 nodes a dimension)."""
    x = [[0.7, -0.3], [0.2, 1.1]]
    net = ww.MLP(
        2, "tanh", weight_std=1.3, bias_std=0.25, weight_law=EXPONENTIAL, ratios=(1.5, 0.8)
    )
    for points, expected in FIRST_PROGRAM.items():
        assert coefficients(net, x, points).coefficients == pytest.approx(expected, abs=2e-9)


FIRST_PROGRAM = {
    (0, 0): [0.552921226267, 0.0, -0.251670109612, 0.0, 0.452159233731],
    (0, 1): [0.0574810973919, 0.0, 0.0711211676751, 0.0, -0.134511387626],
    (1, 1): [0.646861169574, 0.0, -0.27353569564, 0.0, 0.38488370456],
    (0, 0, 0, 0): [0.0, 0.0, 4.14975682292, 0.0, -1.71691602544],
    (0, 0, 1, 1): [0.0, 0.0, 3.14659483612, 0.0, 0.69158229928],
    (0, 1, 1, 1): [0.0, 0.0, -0.0720943653142, 0.0, 0.243960759293],
    (0, 0, 0, 0, 1, 1): [0.0, 0.0, 0.0, 0.0, 103.842905272],
}  # fmt: skip


# ---------------------------------------------------- exact oracle: polynomial φ, any laws, any n


class ExactPolynomial:
    """All moments of a network with polynomial φ, exactly, as polynomials in ε = n^{-1/2}.

    E ∏ (Σ_j W_ij h_j) over positions (neuron i, channel a) is a sum over set partitions of the
    positions by equal j: (ρn)(ρn − 1)… ways, moments of W, moments of products of h of distinct
    neurons, which are moments of products of powers of z.
    """

    def __init__(self, net, x, powers):
        self.net, self.x, self.powers = net, np.asarray(x), powers
        self.moment = lru_cache(maxsize=None)(self._moment)
        self.sums = lru_cache(maxsize=None)(self._sums)
        self.first = lru_cache(maxsize=None)(self._first)
        self.source = lru_cache(maxsize=None)(self._source)
        self.expanded = lru_cache(maxsize=None)(self._expanded)

    def cumulant(self, points, components):
        total = 0
        for partition in set_partitions(len(points)):
            term = np.ones(1) * mobius(len(partition))
            for B in partition:
                groups = {}
                for i in B:
                    groups.setdefault(components[i], []).append(points[i])
                neurons = tuple(sorted(tuple(sorted(g)) for g in groups.values()))
                term = np.convolve(term, self.moment(self.net.depth, neurons))
            total = _plus(total, term)
        return total

    def _moment(self, l, neurons):
        if l == 0:
            return np.ones(1) * prod(self.first(neuron) for neuron in neurons)
        net, total = self.net, 0
        scale = float(net.bias_std[l])
        choices = [list(itertools.product((0, 1), repeat=len(n))) for n in neurons]
        if not scale:
            choices = [[(0,) * len(n)] for n in neurons]
        tally = Counter()
        for choice in itertools.product(*choices):
            weight, rest = 1.0, []
            for neuron, taken in zip(neurons, choice, strict=True):
                k = sum(taken)
                weight *= scale**k * net.bias_law[l].moment(k) if k else 1.0
                rest.append(tuple(a for a, t in zip(neuron, taken, strict=True) if not t))
            tally[tuple(sorted(r for r in rest if r))] += weight
        for rest, weight in tally.items():
            if weight:
                total = _plus(total, weight * self.sums(l, rest))
        return total

    def _first(self, neuron):
        """E ∏ z_a of the first layer from its cumulants."""
        if not neuron:
            return 1.0
        total, others = 0.0, Counter(neuron[1:])
        for taken in itertools.product(*(range(c + 1) for c in others.values())):
            chosen = dict(zip(others, taken, strict=True))
            block = (neuron[0], *(a for a in others for _ in range(chosen[a])))
            kappa = self.source(tuple(sorted(block)))
            if kappa:
                rest = tuple(a for a in others for _ in range(others[a] - chosen[a]))
                ways = prod(comb(others[a], chosen[a]) for a in others)
                total += ways * kappa * self.first(tuple(sorted(rest)))
        return total

    def _source(self, block):
        net, d, r = self.net, self.x.shape[1], len(block)
        weights = net.weight_law[0].cumulant(r) * (float(net.weight_std[0]) / d**0.5) ** r
        bias = float(net.bias_std[0]) ** r * net.bias_law[0].cumulant(r)
        return weights * self.x[list(block)].prod(0).sum() + bias

    def _sums(self, l, neurons):
        """E ∏_i ∏_{a ∈ neuron i} (σ/√(ρn)) Σ_j W_ij φ(z_j(a))."""
        positions = [(i, a) for i, neuron in enumerate(neurons) for a in neuron]
        q, law = len(positions), self.net.weight_law[l]
        if not q:
            return np.ones(1)
        tally = Counter()
        for partition in set_partitions(q):
            weight = 1.0
            for B in partition:
                for count in Counter(positions[p][0] for p in B).values():
                    weight *= law.moment(count)
                if not weight:
                    break
            if weight:
                tally[
                    tuple(sorted(tuple(sorted(positions[p][1] for p in B)) for B in partition))
                ] += weight
        total, rho = 0, self.net.ratios[l - 1]
        for blocks, weight in tally.items():
            term = np.convolve(_falling(len(blocks), q, rho), self._features(l - 1, blocks))
            total = _plus(total, weight * term)
        return float(self.net.weight_std[l]) ** q * total

    def _features(self, l, blocks):
        """E of ∏ φ(z_j(a)) over distinct neurons j, a ∈ block j."""
        tally = Counter()
        for chosen in itertools.product(*map(self.expanded, blocks)):
            key = tuple(sorted(z for z, _ in chosen if z))
            tally[key] += prod(weight for _, weight in chosen)
        total = 0
        for neurons, weight in tally.items():
            total = _plus(total, weight * (self.moment(l, neurons) if neurons else np.ones(1)))
        return total

    def _expanded(self, block):
        """The powers of z, with their weights, in ∏ φ(z_a), a ∈ block."""
        terms = {(): 1.0}
        for a in block:
            grown = Counter()
            for (z, weight), (k, c) in itertools.product(terms.items(), enumerate(self.powers)):
                if c:
                    grown[tuple(sorted(z + (a,) * k))] += weight * c
            terms = grown
        return list(terms.items())


def _plus(a, b):
    a, b = np.atleast_1d(a), np.atleast_1d(b)
    size = max(len(a), len(b))
    return np.pad(a.astype(float), (0, size - len(a))) + np.pad(b, (0, size - len(b)))


def _falling(k, q, rho):
    """(ρn)(ρn − 1)…(ρn − k + 1) (ρn)^{−q/2} in powers of n^{-1/2}."""
    falling = np.poly(range(k))[::-1]  # coefficients of N^0 … N^k
    result = np.zeros(q + 1)
    for i, c in enumerate(falling):
        if c:
            result[q - 2 * i] += c * rho ** (i - q / 2)
    return result


EXACT = {
    "skewed laws, one input": (
        ww.MLP(2, "polynomial(0.2, 1, 0.3)", 0.8, weight_law=EXPONENTIAL),
        [[1.0, 0.5]],
        [((0,) * r, (0,) * r) for r in (2, 3, 4)],
    ),
    "first layer and hidden bias not Gaussian, ratios": (
        ww.MLP(2, "polynomial(0, 1, 0.25)", (0.9, 1.1, 0.7), (0.4, 0.3, 0.5),
               weight_law=("exponential", "exponential", "uniform"),
               bias_law=("uniform", "exponential", "exponential"), ratios=(0.5, 2.0)),
        [[1.0, -0.6]],
        [((0,) * r, (0,) * r) for r in (2, 3, 4)],
    ),
    "two inputs, two outputs": (
        ww.MLP(2, "polynomial(0, 1, 0.25)", 0.8, (0.3, 0.0, 0.0), outputs=2,
               weight_law=("gaussian", "exponential", "exponential"), ratios=(2.0, 0.5)),
        [[1.0, 0.2], [-0.3, 0.7]],
        [((0, 1), (0, 0)), ((0, 0, 1), (0, 0, 0)), ((0, 1, 1, 0), (0, 0, 0, 0)),
         ((0, 1, 0, 1), (0, 0, 1, 1))],
    ),
    "three layers, linear": (
        ww.MLP(3, "identity", 1.1, 0.2, weight_law="exponential", bias_law="uniform",
               ratios=(1.0, 3.0, 0.5)),
        [[1.0, 0.2], [-0.3, 0.7]],
        [((0, 1), (0, 0)), ((0, 0, 1), (0, 0, 0)), ((0, 0, 1, 1), (0, 0, 0, 0))],
    ),
}  # fmt: skip


@pytest.mark.parametrize("setting", EXACT)
def test_polynomial_activation_and_any_law(setting):
    net, x, asked = EXACT[setting]
    powers = net.activation.parameters or (0.0, 1.0)
    oracle, c = ExactPolynomial(net, x, powers), ww.output_cumulants(net, x, order=4)
    for points, components in asked:
        exact = oracle.cumulant(points, components)[:5]
        exact = np.pad(exact, (0, 5 - len(exact)))
        series = c.cumulant(points, components)
        scale = np.abs(exact).max()
        assert series.coefficients == pytest.approx(exact, abs=1e-8 * scale)
        assert (series.error <= 1e-8 * scale).all()


# ------------------------------------------------------------- exact at finite n, bounded φ


def transfer_operator_fourth_cumulant(net, q, n):
    """κ₄ at depth 2, Gaussian weights, one input: exact, K² = σ_b² + σ_w² S, S an average of n."""
    sw, sb = (np.array(s, dtype=float) for s in (net.weight_std, net.bias_std))
    u = np.linspace(-12, 12, 2401)
    w = np.exp(-u * u / 2) / np.exp(-u * u / 2).sum()
    K1 = sb[0] ** 2 + sw[0] ** 2 * q
    squares = np.tanh(np.sqrt(K1) * u) ** 2
    s = (1 - np.cos(np.linspace(0, np.pi, 200))) / 2
    features = np.tanh(np.sqrt(sb[1] ** 2 + sw[1] ** 2 * s)[:, None] * u) ** 2
    g2, g4 = features @ w, features**2 @ w
    frequencies = 2 * np.pi * np.arange(-36, 37) / 2.2
    basis = np.exp(1j * s[:, None] * frequencies)
    mean_of_basis = (np.exp(1j * frequencies[:, None] / n * squares) @ w) ** n

    def mean(f):
        return float((mean_of_basis @ np.linalg.lstsq(basis, f.astype(complex), None)[0]).real)

    return 3 * sw[2] ** 4 * (mean(g4) / n + (1 - 1 / n) * mean(g2**2) - mean(g2) ** 2)


def test_error_falls_with_width_at_the_rate_of_the_first_term_left_out():
    net = ww.MLP(2, "tanh", weight_std=1.2, bias_std=0.3)
    series = coefficients(net, [[1.0]], (0,) * 4, order=6)
    widths = (32, 128)
    exact = [transfer_operator_fourth_cumulant(net, 1.0, n) for n in widths]
    for order, rate in ((2, 2), (4, 3), (6, 4)):
        errors = [abs(series.at(n, order) - k) for n, k in zip(widths, exact, strict=True)]
        assert np.log(errors[0] / errors[1]) / np.log(4) == pytest.approx(rate, abs=0.25)


# -------------------------------------------------------------------------------- simulation


def test_simulated_uniform_networks():
    """PyTorch's law in all layers; κ₄ by the conditional cumulants of real networks."""
    laws = {"weight_law": "uniform", "bias_law": "uniform"}
    net = ww.MLP(2, "tanh", weight_std=1.4, bias_std=0.2, **laws)
    point, n = np.array([0.8, -0.5, 1.1]), 12
    measured = fourth_cumulant(net, n, sample_initial(net, n, point, 5_000, jax.random.key(5)))
    theory = coefficients(net, [point], (0,) * 4, order=6).optimal(n)
    assert theory.error < 0.01 * measured.error
    assert abs(theory.value - measured.value) < 3 * measured.error
    gaussian = ww.MLP(2, "tanh", weight_std=1.4, bias_std=0.2)
    other = coefficients(gaussian, [point], (0,) * 4, order=6).optimal(n)
    assert abs(other.value - measured.value) > 20 * measured.error  # the law matters


# -------------------------------------------------------------------------------- consistency


@pytest.mark.parametrize(("activation", "law"), [("tanh", "uniform"), ("relu", "gaussian")])
def test_depth_one_equals_the_exact_shallow_cumulants(activation, law):
    net = ww.MLP(1, activation, 1.3, 0.2, weight_law=(law, "exponential"),
                 bias_law=("gaussian", "exponential"), ratios=(0.5,), outputs=2)  # fmt: skip
    x = np.array([[1.0, 0.4], [-0.2, 0.9]])
    recursion, shallow = Recursion(net, x, 2), ShallowCumulants(net, x)
    for points, components in (
        ((0, 1), (0, 0)),
        ((0, 1, 1), (0, 0, 0)),
        ((0, 0, 1, 1), (0, 0, 0, 0)),
        ((0, 0, 1, 1), (0, 0, 1, 1)),
        ((0, 0, 1, 1), (0, 1, 1, 1)),
    ):
        expected = np.zeros(3)
        expected[len(points) - 2] = shallow.cumulant(points, components).value
        power, bias = shallow.bias_cumulant(components)
        expected[power] += bias
        assert recursion.cumulant(points, components).value == pytest.approx(expected, abs=1e-9)


def test_other_inputs_do_not_change_a_cumulant():
    net = ww.MLP(2, "tanh", 1.4, 0.3, weight_law=EXPONENTIAL)
    x = np.array([[1.0, 0.4], [-0.2, 0.9], [0.6, -0.5]])
    together, apart = Recursion(net, x, 2), Recursion(net, x[[0, 2]], 2)
    for points in ((0, 2), (0, 0, 2), (0, 2, 2, 2)):
        smaller = tuple(p // 2 for p in points)
        components = (0,) * len(points)
        assert together.cumulant(points, components).value == pytest.approx(
            apart.cumulant(smaller, components).value, abs=1e-9
        )


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_a_bias_law_that_happens_to_be_gaussian(activation):
    """The route for biases that are not Gaussian, on one that is."""
    normal = ww.laws.from_scipy(scipy.stats.norm())
    nets = [
        ww.MLP(2, activation, 1.2, 0.5, ("gaussian", "uniform", "uniform"), ("gaussian", law, law))
        for law in ("gaussian", normal)
    ]
    for points in ((0, 1), (0, 0, 1, 1)):
        one, other = (coefficients(net, X2, points, order=2) for net in nets)
        assert one.coefficients == pytest.approx(other.coefficients, abs=1e-8)


def test_parallel_equal_and_dependent_inputs():
    relu = ww.MLP(2, "relu", 1.3, weight_law=EXPONENTIAL)
    x = np.array([[0.6, -1.0], [1.2, -2.0], [0.6, -1.0], [0.0, 0.0]])
    c = ww.output_cumulants(relu, x, order=3)
    base = c.cumulant((0, 0, 0)).coefficients
    assert c.cumulant((0, 1, 1)).coefficients == pytest.approx(4 * base, abs=1e-11)
    assert c.cumulant((0, 2, 2)).coefficients == pytest.approx(base, abs=1e-13)
    assert not c.cumulant((0, 0, 3)).coefficients.any()
    linear = ww.MLP(2, "identity", weight_law=EXPONENTIAL)
    x = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 2.0]])
    c = ww.output_cumulants(linear, x, order=3)
    expected = c.cumulant((0, 0, 0, 1)).coefficients + 2 * c.cumulant((0, 0, 1, 1)).coefficients
    assert c.cumulant((0, 0, 1, 2)).coefficients == pytest.approx(expected, abs=1e-12)


def test_permuting_the_arguments_changes_nothing():
    c = ww.output_cumulants(ww.MLP(2, "tanh", 1.4, outputs=3), X2, order=2)
    one = c.cumulant((0, 1, 0, 1), (2, 2, 0, 0)).coefficients
    other = c.cumulant((1, 0, 1, 0), (0, 0, 2, 2)).coefficients
    assert one == pytest.approx(other, abs=1e-14)


def test_order_zero_is_the_infinite_width():
    net = ww.MLP(3, "erf", 1.4, 0.2, outputs=2)
    c = ww.output_cumulants(net, X2, order=0)
    limit = ww.limit_kernels(net, X2).nngp
    assert c.cumulant((0, 1)).coefficients == pytest.approx([limit[0, 1]], abs=1e-10)
    assert not c.cumulant((0, 1), (0, 1)).coefficients.any()
    assert not c.cumulant((0, 0, 1, 1)).coefficients.any()


def test_edgeworth_of_a_deep_network_against_simulation():
    """P(f ≤ z) of a linear network of two hidden layers, Gaussian: f | K ~ N(0, K)."""
    net, n = ww.MLP(2, "identity"), 16
    law = ww.edgeworth(ww.output_cumulants(net, [[1.0]], order=4))
    rng = np.random.default_rng(1)
    K = rng.chisquare(n, (2, 400_000)).prod(0) / n**2
    for z in (0.5, 1.0, 2.0):
        p = scipy.stats.norm.cdf(z / np.sqrt(K))
        error = p.std() / np.sqrt(len(p))
        assert abs(law.cdf(z, n) - p.mean()) < 4 * error + 2e-4
        assert abs(law.cdf(z, n, 0) - p.mean()) > 10 * error


def test_a_missing_moment_is_named():
    heavy = ww.laws.StudentT(5.0)
    net = ww.MLP(2, "tanh", weight_law=("gaussian", heavy, "gaussian"))
    assert coefficients(net, [[1.0]], (0, 0), order=2).coefficients[0] > 0
    with pytest.raises(ValueError, match=r"order 4 .* order 5 .* hidden layer 1.*no moment"):
        coefficients(net, [[1.0]], (0, 0), order=4)
    last = ww.MLP(2, "tanh", weight_law=("gaussian", "gaussian", heavy))
    assert coefficients(last, [[1.0]], (0,) * 4, order=4).coefficients[2] > 0
    with pytest.raises(ValueError, match=r"order 6 .* hidden layer 2"):
        coefficients(last, [[1.0]], (0,) * 6, order=4)


def test_too_much_is_refused_before_it_is_tried():
    net = ww.MLP(2, "tanh", weight_law="exponential")
    with pytest.raises(ValueError, match="take a lower order"):
        coefficients(net, np.eye(6), tuple(range(6)), order=8)


def test_moments_from_cumulants_by_the_definition():
    """The table recursion against joint cumulants computed from its own moments."""
    keys = tuple(k for r in (2, 3, 4, 5) for k in combinations_with_replacement((0, 1), r))
    table = monomials(keys, ((), ()), 3)
    rng, cumulants = np.random.default_rng(0), np.zeros((4, len(table)))
    for position, block in table.blocks:
        cumulants[0, position] = rng.normal() if len(block) > 1 or len(block[0]) > 2 else 0.3
    moments = table.moments(cumulants)[0]
    for position in range(1, len(table)):
        members = table.members[position, : table.degree[position]]

        def moment(block, members=members):
            return float(moments[table.find(members[list(block)][None])[0]])

        assert joint_cumulant(moment, len(members)) == pytest.approx(
            cumulants[0, position], abs=1e-12
        )


@pytest.mark.parametrize("angle", [1e-3, 1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("activation", ["tanh", "gelu", "relu"])
def test_near_parallel_inputs(activation, angle):
    """The cumulants are smooth in the angle; what cannot be told apart has a large error."""
    x = [[1.0, 0.0], [np.cos(angle), np.sin(angle)], [np.cos(0.03), np.sin(0.03)]]
    net = ww.MLP(2, activation, 1.2, 0.2, ("gaussian", "uniform", "uniform"), bias_law="uniform")
    c = ww.output_cumulants(net, x, order=4)
    same = c.cumulant((0, 0, 0, 0)).coefficients
    near = c.cumulant((0, 0, 1, 1))
    farther = c.cumulant((0, 0, 2, 2)).coefficients
    expected = same + (farther - same) * (angle / 0.03) ** 2
    slack = 3e-3 * angle * np.abs(same) + 1e-11 * np.abs(same).max()
    assert (np.abs(near.coefficients - expected) <= near.error + slack).all()
    if activation != "relu":
        assert (near.error <= 1e-9 * np.abs(same).max()).all()


@pytest.mark.parametrize(
    ("net", "orders"),
    [
        (ww.MLP(1, "tanh", 1.2, 0.3, "exponential", bias_law="uniform"), (1, 2, 3, 4)),
        (ww.MLP(2, "erf", 1.3, 0.0, "uniform"), (2, 4)),
    ],
)
def test_a_first_layer_expanded_in_its_own_width(net, orders):
    """Against the exact first layer of d = 2n inputs: the error falls as n^{-(P+1)/2}."""
    widths, tiles = (16, 64, 256), np.array([1.3, -0.4, 0.9, 1.6])
    truth, series = [], {}
    for n in widths:
        x = np.tile(tiles, n // 2)[None]
        exact = ww.output_cumulants(net, x, order=8).cumulant((0, 0))
        truth.append(exact.at(n))
        if n == widths[0]:
            for P in orders:
                c = ww.output_cumulants(net, x, order=P, input_ratio=2.0)
                series[P] = c.cumulant((0, 0))
    for P in orders:
        assert not series[P].exact
        errors = np.abs([series[P].at(n) - t for n, t in zip(widths, truth, strict=True)])
        symmetric = net.weight_law[0].symmetric
        rate = P / 2 + 1 if symmetric else (P + 1) / 2
        measured = np.log(errors[1] / errors[2]) / np.log(4)
        assert measured > rate - 0.25, (P, errors)


def test_a_bad_input_ratio_is_refused():
    with pytest.raises(ValueError, match="input_ratio"):
        ww.output_cumulants(ww.MLP(1, "tanh"), [[1.0]], input_ratio=-1.0)
