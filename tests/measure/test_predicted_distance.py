"""Predicted distances: closed constants, the formulas of the theory, and exact laws."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr

import widthwise as ww
from measure.spiral_directions import spiral
from widthwise.measure.exact import exact_distance
from widthwise.measure.predicted import predicted_distance
from widthwise.measure.predicted.line import Line

X = np.array([[-1.0], [0.3], [1.2]])
V = np.ones(3) / np.sqrt(3)
STD = 0.8


def network(activation, readout="gaussian", depth=1):
    return ww.MLP(
        depth,
        activation,
        weight_std=(1.5,) * depth + (1.0,),
        bias_std=(0.5,) * depth + (0.0,),
        weight_law=("gaussian",) * depth + (readout,),
    )


def line(third=0.0, fourth=0.0, mean=(0.0, 0.0), variance=(0.0, 0.0)):
    """A law with cumulants λ₃ ε, λ₄ ε² (standardized) and shifts of mean and variance."""
    kappa = np.zeros((5, 3))
    kappa[2, 0] = STD**2
    kappa[1, 1:], kappa[2, 1:] = np.array(mean) * STD, np.array(variance) * STD**2
    kappa[3, 1], kappa[4, 2] = third * STD**3, fourth * STD**4
    return Line(kappa, np.zeros_like(kappa))


@pytest.mark.parametrize(
    ("metric", "third", "fourth"),
    [
        ("wasserstein1", 0.161314 * STD, 0.062917 * STD),
        ("kolmogorov", 0.066490, 0.022941),
        ("wasserstein2", STD * np.sqrt(2) / 6, STD * np.sqrt(6) / 24),
    ],
)
def test_constants_of_the_theory(metric, third, fourth):
    for law, order, constant in ((line(1.0), 1, third), (line(0.0, 1.0), 2, fourth)):
        assert law.leading(2) == order
        found = law.distance(metric, law.polynomials[:, order])
        assert found == pytest.approx(constant, abs=6e-7)


def test_two_terms_are_those_of_the_formula():
    m, k, l3, l4, n = (0.3, -0.2), (0.25, 0.4), 0.9, 1.7, 60
    law = line(l3, l4, m, k)
    u = np.linspace(-12, 12, 120_001)
    He = [np.polynomial.hermite_e.hermeval(u, np.eye(7)[j]) for j in range(7)]
    a = [[0.0] * 5, [0.0] * 5]
    for j in (0, 1):
        a[j][1], a[j][2] = m[j], k[j] / 2
    a[0][3], a[1][4] = l3 / 6, l4 / 24
    p1 = sum(a[0][i] * He[i - 1] for i in (1, 2, 3))
    p2 = sum(a[1][i] * He[i - 1] for i in (1, 2, 3, 4))
    p2 = p2 + sum(a[0][i] * a[0][j] * He[i + j - 1] for i in (1, 2, 3) for j in (1, 2, 3)) / 2
    gap = stats.norm.pdf(u) * (p1 / np.sqrt(n) + p2 / n)
    e = n**-0.5
    assert law.at("wasserstein1", e, 2) == pytest.approx(
        STD * np.trapezoid(np.abs(gap), u), rel=1e-7
    )
    assert law.at("kolmogorov", e, 2) == pytest.approx(np.abs(gap).max(), rel=1e-7)
    assert law.at("energy", e, 2) == pytest.approx(2 * STD * np.trapezoid(gap**2, u), rel=1e-9)


def test_second_order_of_wasserstein_two_is_the_map_of_quantiles():
    """(1 + cε) times a standardized gamma(k), ε = k^{-1/2}: one term errs by ε², two by ε³.

    Without the factor p₁ is even and the second term odd, and W₂ does not see it.
    """
    errors, c = [], 0.6
    u, w = np.polynomial.hermite_e.hermegauss(64)
    w = w / w.sum()
    kappa = np.zeros((5, 3))
    kappa[2] = STD**2 * np.array([1.0, 2 * c, c * c])
    kappa[3] = STD**3 * np.array([0.0, 2.0, 6 * c])
    kappa[4, 2] = STD**4 * 6.0
    law = Line(kappa, np.zeros_like(kappa))
    for k in (50.0, 200.0):
        e = k**-0.5
        gamma = np.where(u < 0, stats.gamma.ppf(ndtr(u), k), stats.gamma.isf(ndtr(-u), k))
        exact = STD * np.sqrt(w @ ((1 + c * e) * (gamma - k) / np.sqrt(k) - u) ** 2)
        errors.append([abs(law.at("wasserstein2", e, j) - exact) for j in (1, 2)])
    (one, two), (late_one, late_two) = errors
    assert late_one / one == pytest.approx(1 / 4, abs=0.03)
    assert late_two / two == pytest.approx(1 / 8, abs=0.03)


@pytest.mark.parametrize("metric", ["wasserstein1", "wasserstein2", "kolmogorov", "energy"])
def test_predictions_tend_to_exact_distances(metric):
    net = network("softplus", "exponential")
    c = ww.output_cumulants(net, X[:1], order=2)
    off = []
    for n in (64, 256):
        exact = exact_distance(net, X[:1], None, n, metric).value
        found = predicted_distance(c, None, n, metric=metric)
        assert abs(found.value - exact) < 2 * found.error
        off.append(found.value / exact - 1)
        assert found.rate == (1.0 if metric == "energy" else 0.5)
    assert abs(off[1]) < 0.4 * abs(off[0])  # 1/n: a quarter


def test_skewed_weights_of_an_odd_network_fall_like_symmetric_ones():
    found = predicted_distance(
        ww.output_cumulants(network("tanh", "exponential"), X, order=2), V, 128
    )
    assert found.rate == 1.0
    skewed = ww.output_cumulants(network("softplus", "exponential"), X, order=2)
    assert predicted_distance(skewed, V, 128).rate == 0.5


def test_joint_second_distance_has_the_constants_of_the_reference():
    c = ww.output_cumulants(network("tanh"), X, order=2)
    found = predicted_distance(c, None, 512, metric="wasserstein2")
    assert found.value == pytest.approx(0.001028, abs=6e-7)
    skewed = ww.output_cumulants(network("softplus", "exponential"), X, order=2)
    third = predicted_distance(skewed, None, 512, metric="wasserstein2")
    assert third.value == pytest.approx(0.07967, abs=1e-5)
    assert third.rate == 0.5
    # one point: that of the line
    single = ww.output_cumulants(network("tanh"), X[:1], order=2)
    line = predicted_distance(single, None, 64, metric="wasserstein2", order=1)
    assert line.value == 0.0
    both = np.concatenate([X[:1], X[:1]])  # the same point twice: one direction does not vary
    twice = predicted_distance(
        ww.output_cumulants(network("tanh"), both, order=2), None, 64, metric="wasserstein2"
    )
    alone = predicted_distance(single, None, 64, metric="wasserstein2")
    assert twice.constant == pytest.approx(np.sqrt(2) * alone.constant, rel=1e-9)
    assert any("do not vary" in note for note in twice.notes)


def test_sliced_predictions_of_the_reference():
    c = ww.output_cumulants(network("tanh"), X, order=2)
    found = predicted_distance(c, spiral(24), 64, metric="sliced_wasserstein1")
    assert found.value == pytest.approx(1.5394e-3, abs=6e-8)
    largest = predicted_distance(c, None, 64, metric="max_sliced_wasserstein1")
    each = [predicted_distance(c, v, 64).value for v in spiral(24)[::6]]
    assert max(each) <= largest.value < 4.0e-3
    second = predicted_distance(c, None, 64, metric="sliced_wasserstein2")
    joint = predicted_distance(c, None, 64, metric="wasserstein2")
    assert np.sqrt(3) * second.value < joint.value


def test_deep_networks_are_predicted_and_their_error_is_told():
    net = ww.MLP(2, "identity")
    c = ww.output_cumulants(net, [[1.0]], order=2)
    off = []
    for n in (32, 128):
        exact = exact_distance(net, [[1.0]], None, n).value
        found = predicted_distance(c, None, n)
        assert abs(found.value - exact) < 3 * found.error
        off.append(abs(found.value / exact - 1))
    assert off[1] < 0.35 * off[0]
    more = predicted_distance(ww.output_cumulants(net, [[1.0]], order=4), None, 32)
    assert more.value == pytest.approx(predicted_distance(c, None, 32).value, rel=1e-12)
    assert more.error != found.error


@pytest.fixture(scope="module")
def trained():
    net = network("softplus", "exponential")
    return ww.training_law(net, X[:2], [1.0, -1.0], [[2.0]], times=[0.5, 2.0])


def test_trained_laws_are_the_formula_with_their_own_cumulants(trained):
    n, t, v = 400, 2.0, np.array([0.0, 0.3, 1.0])
    found = predicted_distance(trained, v, n, t)
    place = 1
    K = trained.covariance_coefficients[:, place]
    s = np.sqrt(v @ K[0] @ v)
    m = trained.mean_coefficients[:, place, :, 0] @ v / s
    k = np.einsum("oij,i,j->o", K, v, v) / s**2
    third = np.zeros(3)
    fourth = np.zeros(3)
    for index in np.ndindex(3, 3, 3):
        third += trained.coefficients(index)[:, place] * np.prod(v[list(index)]) / s**3
    for index in np.ndindex(3, 3, 3, 3):
        fourth += trained.coefficients(index)[:, place] * np.prod(v[list(index)]) / s**4
    u = np.linspace(-12, 12, 48_001)
    He = [np.polynomial.hermite_e.hermeval(u, np.eye(7)[j]) for j in range(7)]
    a1 = [0, m[1], k[1] / 2, third[1] / 6]
    a2 = [0, m[2], k[2] / 2, third[2] / 6, fourth[2] / 24]
    p1 = sum(a1[i] * He[i - 1] for i in (1, 2, 3))
    p2 = sum(a2[i] * He[i - 1] for i in (1, 2, 3, 4))
    p2 = p2 + sum(a1[i] * a1[j] * He[i + j - 1] for i in (1, 2, 3) for j in (1, 2, 3)) / 2
    gap = np.abs(stats.norm.pdf(u) * (p1 / np.sqrt(n) + p2 / n))
    assert found.value == pytest.approx(s * np.trapezoid(gap, u), rel=1e-6)
    leading = s * np.trapezoid(np.abs(stats.norm.pdf(u) * p1), u)
    assert (found.rate, found.constant) == (0.5, pytest.approx(leading, rel=1e-6))
    assert predicted_distance(trained, v, n, t, "kolmogorov").value == pytest.approx(
        gap.max(), rel=1e-6
    )


def test_joint_distance_of_a_trained_law_bounds_its_projections(trained):
    joint = predicted_distance(trained, None, 400, 0.5, "wasserstein2")
    for v in np.eye(3):
        assert predicted_distance(trained, v, 400, 0.5, "wasserstein2", 1).value <= joint.value


def test_at_time_zero_nothing_is_trained():
    net = network("tanh")
    law = ww.training_law(net, X[:2], [1.0, -1.0], [[2.0]], times=0.0)
    start = predicted_distance(law, [0.3, 0.0, 1.0], 64)
    points = np.concatenate([X[:2], [[2.0]]])
    c = ww.output_cumulants(net, points, order=2)
    known = predicted_distance(c, [0.3, 0.0, 1.0], 64)
    assert start.value == pytest.approx(known.value, rel=1e-6)


def test_what_does_not_fit_is_refused(trained, unchecked):
    c = ww.output_cumulants(network("tanh"), X, order=2)
    with pytest.raises(ValueError, match="must come from output_cumulants or training_law"):
        predicted_distance(network("tanh"), V, 64)
    with pytest.raises(ValueError, match="order 3 was asked of cumulants computed to order 2"):
        predicted_distance(c, V, 64, order=3)
    with pytest.raises(ValueError, match="order must be at least 1"):
        predicted_distance(c, V, 64, order=0)
    with pytest.raises(ValueError, match="time must be one of"):
        predicted_distance(trained, V, 64)
    with pytest.raises(ValueError, match="time must be one of"):
        predicted_distance(trained, V, 64, 1.0)
    with pytest.raises(ValueError, match="time must be None"):
        predicted_distance(c, V, 64, 1.0)
    lattice = ww.output_cumulants(
        ww.MLP(1, "sign", weight_law=("gaussian", "rademacher")), X, order=2
    )
    with pytest.raises(ValueError, match="lattice"):
        predicted_distance(lattice, V, 64)
    even = ww.output_cumulants(network("tanh"), [[1.0], [1.0]], order=2)
    with pytest.raises(ValueError, match="does not vary in the direction"):
        predicted_distance(even, [1.0, -1.0], 64)
