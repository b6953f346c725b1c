"""Rivals first: cumulants, Irwin–Hall, brute force over atoms, scipy.integrate, Monte Carlo."""

import itertools
import math
from fractions import Fraction

import jax
import numpy as np
import pytest
from scipy import integrate, stats
from scipy.stats import norm

from widthwise.algebra.gaussian import QuadratureError
from widthwise.limit import first_layer
from widthwise.limit.first_layer import fourier, pairwise, rules, sobol
from widthwise.limit.first_layer.projection import parallel, project, reach
from widthwise.model import activations, laws
from widthwise.model.architecture import MLP

LAWS = ["uniform", "rademacher", "laplace", "exponential", "truncated_gaussian"]
HINGE = activations.get(lambda z: jax.numpy.maximum(z - 0.4, 0.0), kinks=(0.4,))


def network(activation="tanh", weight="uniform", bias="gaussian", bias_std=0.3, weight_std=1.3):
    return MLP(
        depth=1,
        activation=activation,
        weight_std=weight_std,
        bias_std=bias_std,
        weight_law=weight,
        bias_law=bias,
    )


def data(points, inputs, seed=0):
    return np.random.default_rng(seed).normal(size=(points, inputs))


def all_pairs(points):
    return np.stack(np.triu_indices(points), 1)


def moments(net, x):
    return first_layer.pair_moments(net, x, all_pairs(len(x)))


def assert_within_error(value, error, truth, least=1e-13):
    """The truth lies within the stated error, rounding of the truth aside."""
    assert np.all(np.abs(value - truth) <= np.maximum(error, least * np.maximum(1, np.abs(truth))))


# --- closed forms -------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", ["gaussian", "uniform", "exponential"])
@pytest.mark.parametrize("weight", ["gaussian", *LAWS])
def test_second_moments_are_the_gram_matrix(weight, bias):
    net, x = network("identity", weight, bias, bias_std=0.7), data(3, 4)
    result = moments(net, x)
    a, b = all_pairs(3).T
    gram = 0.7**2 + 1.3**2 * np.einsum("pi,pi->p", x[a], x[b]) / 4
    assert result.value_error.max() < 1e-9
    assert_within_error(result.value, result.value_error, gram)
    assert_within_error(result.derivative, result.derivative_error, 1.0)


@pytest.mark.parametrize("d", [1, 3, 9])
@pytest.mark.parametrize("weight", LAWS)
def test_fourth_moment_comes_from_the_fourth_cumulants(weight, d):
    net, x = network("polynomial(0, 0, 1)", weight, "laplace", bias_std=0.5), data(1, d)
    c = 1.3 / math.sqrt(d) * x[0]
    variance = 0.5**2 + np.sum(c**2)
    fourth = laws.get(weight).cumulant(4) * np.sum(c**4) + 0.5**4 * laws.Laplace().cumulant(4)
    result = moments(net, x)
    assert result.value_error[0] < 2e-6
    assert_within_error(result.value, result.value_error, fourth + 3 * variance**2)
    estimate = first_layer.expectation(net, x, lambda z: z[:, 0] ** 4)
    assert_within_error(estimate.value, estimate.error, fourth + 3 * variance**2)


def irwin_hall(c, kink, power):
    """E (z − kink)_+^power for z = Σ c_j U_j, U_j uniform on ±√3: a sum over corners of a box.

    The corners cancel, so the sum is rational.
    """
    edges = [Fraction(math.sqrt(3) * abs(float(number))) for number in c]
    total = Fraction(0)
    for signs in itertools.product([-1, 1], repeat=len(edges)):
        corner = sum(s * e for s, e in zip(signs, edges, strict=True)) - Fraction(kink)
        total += math.prod(signs) * max(corner, 0) ** (power + len(edges))
    factorials = Fraction(math.factorial(power), math.factorial(power + len(edges)))
    return float(total * factorials / math.prod(2 * e for e in edges))


@pytest.mark.parametrize("d", [1, 2, 3, 5, 8])
def test_hinge_of_uniform_weights_is_irwin_hall(d):
    net, x = network(HINGE, bias_std=0.0), data(1, d)
    c = 1.3 / math.sqrt(d) * x[0]
    result = moments(net, x)
    assert_within_error(result.value, result.value_error, irwin_hall(c, 0.4, 2), 1e-12)
    assert_within_error(result.derivative, result.derivative_error, irwin_hall(c, 0.4, 0), 1e-12)
    assert max(result.value_error[0], result.derivative_error[0]) < 1e-10


def test_one_uniform_weight_against_scipy():
    net, x = network("tanh", bias_std=0.0), np.array([[1.7], [-0.6]])
    edge = math.sqrt(3)
    for a, b in [(0, 0), (0, 1), (1, 1)]:
        truth = integrate.quad(
            lambda w, a=a, b=b: np.tanh(1.3 * w * x[a, 0]) * np.tanh(1.3 * w * x[b, 0]),
            -edge,
            edge,
            epsabs=1e-14,
        )[0] / (2 * edge)
        result = first_layer.pair_moments(net, x, np.array([[a, b]]))
        assert result.value_error[0] < 1e-10
        assert_within_error(result.value, result.value_error, truth, 1e-12)


def test_exponential_weights_relu_against_scipy():
    net, x = network("relu", "exponential", bias_std=0.0), np.array([[0.9, -1.2], [0.3, 1.4]])
    c = 1.3 / math.sqrt(2) * x

    def integrand(v, u):
        z = c @ (np.array([u, v]) - 1)
        return max(z[0], 0) * max(z[1], 0) * math.exp(-u - v)

    def crossings(u):
        return sorted(min(max(1 - row[0] * (u - 1) / row[1], 0.0), 50.0) for row in c)

    def inner(u):
        edges = [0.0, *crossings(u), 50.0]
        parts = itertools.pairwise(edges)
        return sum(integrate.quad(integrand, p, q, (u,), epsabs=1e-13)[0] for p, q in parts)

    truth = sum(integrate.quad(inner, p, q, epsabs=1e-11)[0] for p, q in [(0, 2), (2, 8), (8, 50)])
    result = first_layer.pair_moments(net, x, np.array([[0, 1]]))
    assert result.value_error[0] < 1e-10
    assert abs(result.value[0] - truth) < 1e-9


# --- sums over atoms ----------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_rademacher_is_a_finite_sum(activation):
    net, x = network(activation, "rademacher", "rademacher", bias_std=0.5), data(3, 6)
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=7)))
    z = 1.3 / math.sqrt(6) * signs[:, :6] @ x.T + 0.5 * signs[:, 6:]
    result = moments(net, x)
    h, slope = np.asarray(net.activation(z)), np.asarray(net.activation.derivative()(z))
    a, b = all_pairs(3).T
    assert_within_error(result.value, result.value_error, (h[:, a] * h[:, b]).mean(0), 1e-15)
    assert_within_error(
        result.derivative, result.derivative_error, (slope[:, a] * slope[:, b]).mean(0), 1e-15
    )
    cubed = first_layer.expectation(net, x, lambda z: np.prod(net.activation(z), axis=1))
    assert_within_error(cubed.value, cubed.error, h.prod(1).mean(), 1e-15)


def test_gaussian_bias_on_atoms_is_a_mixture():
    net, x = network("relu", "rademacher", bias_std=0.5), data(1, 4)
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=4)))
    mean = 1.3 / 2 * signs @ x[0]
    truth = ((mean**2 + 0.25) * norm.cdf(mean / 0.5) + 0.5 * mean * norm.pdf(mean / 0.5)).mean()
    result = moments(net, x)
    assert_within_error(result.value, result.value_error, truth)
    assert_within_error(result.derivative, result.derivative_error, norm.cdf(mean / 0.5).mean())


def test_ternary_weights_of_a_custom_law():
    ternary = laws.Discrete((-1, 0, 1), (0.25, 0.5, 0.25))
    net, x = network("sin", ternary, bias_std=0.0), data(2, 5)
    c = 1.3 / math.sqrt(5) * x
    # E sin z₁ sin z₂ = (Re ψ(1, −1) − Re ψ(1, 1))/2
    psi = [np.prod(ternary.characteristic(c[0] + s * c[1])).real for s in (-1, 1)]
    result = first_layer.pair_moments(net, x, np.array([[0, 1]]))
    assert_within_error(result.value, result.value_error, (psi[0] - psi[1]) / 2, 1e-15)
    assert_within_error(result.derivative, result.derivative_error, (psi[0] + psi[1]) / 2, 1e-15)


# --- routes against each other ------------------------------------------------------------------


def route(function, net, x, pairs=None, tolerance=1e-10):
    table = pairwise._Table(all_pairs(len(x)) if pairs is None else pairs, tolerance)
    function(project(net, x), net.activation, table)
    return table


@pytest.mark.parametrize("weight", ["uniform", "truncated_gaussian"])
@pytest.mark.parametrize("d", [4, 5])
def test_series_and_product_rule_agree_for_tanh(weight, d):
    net, x = network("tanh", weight, bias_std=0.0), data(3, d)
    series = route(pairwise._by_series, net, x)
    product = route(pairwise._by_large_rules, net, x)
    assert series.error.max() < 1e-10
    assert product.error.max() < 3e-8
    assert np.all(np.abs(series.value - product.value) <= series.error + product.error)


@pytest.mark.parametrize("weight", ["uniform", "laplace"])
def test_series_and_panels_agree_for_relu(weight, monkeypatch):
    monkeypatch.setattr(fourier, "MOST_EVALUATIONS", 3e6)
    net, x = network("relu", weight, bias_std=0.0), data(2, 3)
    series = route(pairwise._by_series, net, x)
    panels = route(pairwise._by_rules, net, x)
    assert panels.error.max() < 1e-8
    assert series.error.max() < 1e-4
    assert np.all(np.abs(series.value - panels.value) <= series.error + panels.error)


@pytest.mark.parametrize("weight", ["uniform", "exponential", {"name": "student_t", "df": 7}])
def test_sobol_points_agree_within_their_error(weight):
    net, x = network("tanh", weight, bias_std=0.4), data(3, 2)
    points, rule = (route(f, net, x) for f in (pairwise._by_sobol, pairwise._by_rules))
    assert points.error.max() < 1e-4
    assert np.all(np.abs(points.value - rule.value) <= 5 * points.error + rule.error + 1e-9)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("weight", ["uniform", "exponential"])
def test_ten_inputs_against_monte_carlo(activation, weight):
    net, x = network(activation, weight, "uniform"), data(2, 10)
    result = moments(net, x)
    assert max(result.value_error.max(), result.derivative_error.max()) < 3e-9
    keys = jax.random.split(jax.random.key(1))
    w = net.weight_law[0].sample(keys[0], (400_000, 10))
    b = net.bias_law[0].sample(keys[1], (400_000, 1))
    z = np.asarray(1.3 / math.sqrt(10) * w @ x.T + 0.3 * b)
    for f, value in (
        (net.activation, result.value),
        (net.activation.derivative(), result.derivative),
    ):
        h = np.asarray(f(z))
        products = h[:, all_pairs(2)].prod(2)
        score = (products.mean(0) - value) / (products.std(0) / math.sqrt(len(z)))
        assert np.abs(score).max() < 4


def test_a_law_from_scipy_goes_every_way():
    law = laws.from_scipy(stats.triang(0.5))
    net, x = network("tanh", law, bias_std=0.3), data(2, 6)
    result = moments(net, x)
    assert max(result.value_error.max(), result.derivative_error.max()) < 1e-8
    points = route(pairwise._by_sobol, net, x)
    assert np.all(np.abs(points.value[:, 0] - result.value) <= 5 * points.error[:, 0] + 1e-9)


# --- expectation: one, two, more points -----------------------------------------------------------


@pytest.mark.parametrize(("activation", "d"), [("tanh", 3), ("tanh", 8), ("relu", 2), ("relu", 8)])
def test_expectation_agrees_with_pair_moments(activation, d):
    net, x = network(activation), data(2, d)
    pairs = moments(net, x)

    def products(z):
        h = np.asarray(net.activation(z))
        return np.stack([h[:, 0] ** 2, h[:, 0] * h[:, 1], h[:, 1] ** 2], 1)

    estimate = first_layer.expectation(net, x, products)
    assert estimate.error.max() < 1e-8
    assert_within_error(estimate.value, estimate.error + pairs.value_error, pairs.value)
    single = first_layer.expectation(net, x[:1], lambda z: np.asarray(net.activation(z))[:, 0] ** 2)
    assert_within_error(single.value, single.error + pairs.value_error[0], pairs.value[0])


def test_four_points_are_sobol_points_with_an_honest_error():
    net, x = network("polynomial(0, 1)", bias_std=0.0), data(4, 9)
    c = 1.3 / 3 * x
    K = c @ c.T
    wick = K[0, 1] * K[2, 3] + K[0, 2] * K[1, 3] + K[0, 3] * K[1, 2]
    truth = wick + laws.Uniform().cumulant(4) * np.sum(c.prod(0))
    estimate = first_layer.expectation(net, x, lambda z: z.prod(1))
    assert estimate.error < 1e-4
    assert abs(estimate.value - truth) < 5 * estimate.error
    with pytest.raises(QuadratureError, match=r"asked for.*larger tolerance"):
        first_layer.expectation(net, x, lambda z: z.prod(1), 1e-9)


@pytest.mark.parametrize("bias", ["uniform", "rademacher", "exponential"])
@pytest.mark.parametrize("points", [1, 2, 3])
def test_gaussian_weights_with_another_bias(bias, points):
    net, x = network("identity", "gaussian", bias, bias_std=0.6), data(points, 7)
    estimate = first_layer.expectation(net, x, lambda z: z.prod(1) * z[:, 0])
    K = 1.3**2 * x @ x.T / 7 + 0.6**2
    third = 0.6**3 * laws.get(bias).cumulant(3)
    truth = K[0, 0] if points == 1 else third
    if points == 3:
        fourth = 0.6**4 * laws.get(bias).cumulant(4)
        truth = 2 * K[0, 1] * K[0, 2] + K[0, 0] * K[1, 2] + fourth
    assert_within_error(estimate.value, estimate.error, truth, 1e-12)
    assert estimate.error < 1e-8


def test_gaussian_weights_uniform_bias_kinked_matches_pair_moments():
    net, x = network("relu", "gaussian", "uniform", bias_std=0.8), data(2, 5)
    pair = first_layer.pair_moments(net, x, np.array([[0, 1]]), 1e-9)
    estimate = first_layer.expectation(net, x, lambda z: np.maximum(z, 0).prod(1), 1e-9)
    assert abs(pair.value[0] - estimate.value) < 2e-9


def test_all_gaussian_is_the_gaussian_engine():
    net, x = network("tanh", "gaussian"), data(2, 3)
    estimate = first_layer.expectation(net, x, lambda z: np.tanh(z).prod(1))
    pair = first_layer.pair_moments(net, x, np.array([[0, 1]]))
    assert abs(estimate.value - pair.value[0]) < 1e-11


# --- edges ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_zero_repeated_and_opposite_inputs(activation):
    net = network(activation, bias_std=0.0)
    u = data(1, 6)[0]
    x = np.stack([u, np.zeros(6), -u, u, 2 * u])
    result = moments(net, x)
    table = {tuple(p): v for p, v in zip(all_pairs(5), result.value, strict=True)}
    phi = net.activation
    assert abs(table[0, 0] - table[0, 3]) < 1e-12
    assert abs(table[0, 0] - table[2, 2]) < 1e-10
    assert abs(table[1, 1] - float(phi(np.zeros(()))) ** 2) < 1e-13
    assert abs(table[0, 1]) < 1e-11
    if activation == "relu":
        assert abs(table[0, 2]) < 1e-10
        assert abs(table[0, 4] - 2 * table[0, 0]) < 1e-9
    else:
        assert abs(table[0, 2] + table[0, 0]) < 1e-10


def test_zero_inputs_with_a_bias_of_another_law():
    net = network("relu", "uniform", "exponential", bias_std=0.5)
    result = moments(net, np.zeros((2, 4)))
    # E max(b, 0)² = ∫_1^∞ (u − 1)² e^{−u} du = 2/e
    assert np.allclose(result.value, 0.25 * 2 / math.e, rtol=0, atol=1e-10)


def test_nearly_parallel_inputs_keep_an_honest_error():
    net = network("relu", bias_std=0.0)
    u, v = data(2, 8)
    x = np.stack([u, u + 0.02 * v])
    result = moments(net, x)
    points = route(pairwise._by_sobol, net, x)
    assert result.value_error.max() < 1e-8
    assert np.all(np.abs(points.value[:, 0] - result.value) <= 5 * points.error[:, 0] + 1e-9)
    assert np.all(
        np.abs(points.value[:, 1] - result.derivative)
        <= 5 * points.error[:, 1] + result.derivative_error
    )


def test_a_tolerance_that_cannot_be_met_is_refused():
    net, x = network("step", {"name": "student_t", "df": 3}, bias_std=0.0), data(2, 9)
    assert moments(net, x).value_error.max() > 1e-7
    with pytest.raises(QuadratureError, match=r"on \d of 3 pairs.*larger tolerance"):
        first_layer.pair_moments(net, x, all_pairs(2), 1e-9)


def test_pairs_keep_their_order_and_may_repeat():
    net, x = network("tanh"), data(3, 2)
    matrix = np.zeros((3, 3))
    matrix[np.triu_indices(3)] = moments(net, x).value
    asked = np.array([[2, 0], [1, 1], [0, 2], [2, 1]])
    result = first_layer.pair_moments(net, x, asked)
    matrix = np.triu(matrix) + np.triu(matrix, 1).T
    assert np.allclose(result.value, matrix[asked[:, 0], asked[:, 1]], rtol=0, atol=1e-10)


# --- parts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", ["uniform", "laplace", "exponential", "truncated_gaussian"])
def test_reach_bounds_the_tail(law):
    law = laws.get(law)
    row = np.array([0.3, -1.1, 0.5])
    R = reach(row, (law,) * 3, 1e-3)
    z = np.asarray(law.sample(jax.random.key(0), (200_000, 3))) @ row
    assert (np.abs(z) > R).mean() < 1e-3
    assert R < 12


@pytest.mark.parametrize(
    "law", ["uniform", "laplace", "exponential", {"name": "student_t", "df": 3}]
)
def test_quantiles_invert_the_distribution(law):
    law = laws.get(law)
    u = np.array([1e-6, 0.01, 0.3, 0.5, 0.77, 0.999])
    for level, q in zip(u, sobol.quantile(law)(u), strict=True):
        start = max(law.support[0], -np.inf)
        mass = integrate.quad(law.density, start, q, epsabs=1e-13, limit=200)[0]
        assert abs(mass - level) < 1e-8


def test_parallel_rows_are_multiples_of_the_longest():
    A = np.array([[1.0, 2.0], [-2.0, -4.0], [0.0, 1.0], [0.0, 0.0]])
    base, ratio = parallel(A)
    assert np.allclose(A, ratio[:, None] * A[base])
    assert len(set(base[:2])) == 1
    assert base[2] == 2
    assert np.abs(ratio).max() == 1


def test_panel_rule_of_a_hinge_is_exact_at_its_coarsest():
    projection = project(network(HINGE, bias_std=0.0), data(2, 3))
    rule = next(iter(rules.panel_rules(projection, (0.4,))))
    z = rule.nodes @ projection.coefficients[0]
    truth = irwin_hall(projection.coefficients[0], 0.4, 2)
    assert abs(rule.weights @ np.maximum(z - 0.4, 0) ** 2 - truth) < 1e-13


def test_window_is_one_inside_and_zero_at_the_edge():
    place = fourier.Circle(3.0, 5.1)
    assert np.allclose(fourier.window(np.linspace(-3, 3, 7), place), 1, rtol=0, atol=3e-15)
    assert fourier.window(np.array([5.1]), place)[0] < 3e-15
