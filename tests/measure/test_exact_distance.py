"""Exact distances of shallow networks and their linear flow: reference numbers and rates."""

import numpy as np
import pytest
from scipy import stats

import widthwise as ww
from measure.spiral_directions import spiral
from widthwise.measure import distances as d
from widthwise.measure.exact import exact_distance

X = np.array([[-1.0], [0.3], [1.2]])
X_TEST = np.array([[-0.4], [2.0]])
Y = np.array([1.0, -1.0, 0.5])
V = np.ones(3) / np.sqrt(3)


def network(activation, readout="gaussian"):
    return ww.MLP(
        1,
        activation,
        weight_std=(1.5, 1.0),
        bias_std=(0.5, 0.0),
        weight_law=("gaussian", readout),
    )


TANH = network("tanh")


def test_the_law_of_many_neurons_keeps_its_variance():
    K = np.asarray(ww.limit_kernels(TANH, X).nngp)
    for width in (512, 10**6):
        law = ww.exact_law(TANH, X, width, (0, 1, 2), V)
        assert law.std == pytest.approx(np.sqrt(V @ K @ V), abs=1e-14)
        assert law.error < 1e-13


def test_a_linear_network_of_one_input_is_a_gaussian_times_a_chi_variable():
    net, n = ww.MLP(1, "identity"), 12
    s, w = np.polynomial.legendre.leggauss(400)
    s, w = 2.0 + 2.0 * s, 2.0 * w  # the length of the hidden layer over √n
    w = w * stats.chi.pdf(s * np.sqrt(n), n) * np.sqrt(n)
    z = np.linspace(-25, 25, 50_001)
    gap = w @ stats.norm.cdf(z / s[:, None]) - stats.norm.cdf(z)
    first = exact_distance(net, [[1.0]], None, n)
    assert first.value == pytest.approx(np.trapezoid(np.abs(gap), z), rel=1e-6)
    largest = exact_distance(net, [[1.0]], None, n, "kolmogorov")
    assert largest.value == pytest.approx(np.abs(gap).max(), rel=1e-6)
    energy = exact_distance(net, [[1.0]], None, n, "energy")
    assert energy.value == pytest.approx(2 * np.trapezoid(gap**2, z), rel=1e-6)
    u = (np.arange(200_000) + 0.5) / 200_000
    moved = np.interp(u, stats.norm.cdf(z) + gap, z) - stats.norm.ppf(u)
    second = exact_distance(net, [[1.0]], None, n, "wasserstein2")
    assert second.value == pytest.approx(np.sqrt(np.mean(moved**2)), rel=2e-3)
    lipschitz = exact_distance(net, [[1.0]], None, n, "bounded_lipschitz")
    assert 0.8 * first.value < lipschitz.value <= first.value


def test_reference_numbers_at_initialization():
    found = exact_distance(TANH, X, spiral(24), 512, "sliced_wasserstein1")
    assert found.value == pytest.approx(1.924e-4, rel=3e-4)
    second = exact_distance(TANH, X, spiral(24), 512, "sliced_wasserstein2")
    assert np.sqrt(3) * second.value == pytest.approx(0.000599, rel=2e-3)  # of a coarse grid


def test_reference_numbers_of_the_linear_flow():
    flow = ww.linear_flow(TANH, X, Y, X_TEST)
    points, e = np.concatenate([X, X_TEST]), np.eye(5)

    def at(width, metric="wasserstein1"):
        return exact_distance(TANH, points, e[3], width, metric, flow=flow, time=0.5).value

    assert at(64) == pytest.approx(0.0009438, abs=5e-8)
    for metric, limit in (("wasserstein1", 0.060264), ("kolmogorov", 0.061641)):
        one, other = (n * at(n, metric) for n in (2**10, 2**12))
        assert (4 * other - one) / 3 == pytest.approx(limit, abs=1.5e-6)
    # at time 0 nothing has happened
    start = exact_distance(TANH, points, e[3], 64, flow=flow, time=0.0)
    assert start.value == pytest.approx(exact_distance(TANH, X_TEST[:1], None, 64).value, rel=1e-9)


def test_training_points_at_infinite_time_have_no_law():
    flow = ww.linear_flow(TANH, X, Y)
    with pytest.raises(ValueError, match=r"does not vary|do not vary|not 0|is 0"):
        exact_distance(TANH, X, [1.0, 0.0, 0.0], 64, flow=flow, time=np.inf)


def test_dead_relu_neurons_are_counted():
    net = ww.MLP(1, "relu", weight_std=np.sqrt(2.0))
    found = exact_distance(net, [[1.0]], None, 5, "kolmogorov")
    assert found.value >= 1 / 64 - 1e-9  # half of the atom
    samples = np.random.default_rng(0).normal(size=(2, 200_000, 5))
    outputs = np.sqrt(2 / 5) * (samples[0] * np.maximum(samples[1] * np.sqrt(2.0), 0)).sum(1)
    measured = d.kolmogorov(outputs / np.sqrt(2.0), d.Normal())
    assert measured.interval[0] < found.value < measured.interval[1]


def test_deep_linear_networks_have_exact_distances_too():
    net = ww.MLP(3, "identity")
    found = exact_distance(net, [[1.0]], None, 8)
    rng = np.random.default_rng(1)
    outputs = rng.normal(size=100_000) * np.sqrt(rng.chisquare(8, (100_000, 3)).prod(1) / 8**3)
    measured = d.wasserstein(outputs, d.Normal())
    assert measured.interval[0] < found.value < measured.interval[1]


def slope(activation, readout, widths, directions):
    net = network(activation, readout)
    values = [exact_distance(net, X, directions, n, "sliced_wasserstein1").value for n in widths]
    return np.polyfit(np.log(widths), np.log(values), 1)[0]


@pytest.mark.parametrize(
    ("activation", "readout", "rate"),
    [
        ("tanh", "gaussian", -1.0),
        ("tanh", "exponential", -0.975),
        ("softplus", "exponential", -0.5),
    ],
)
def test_rates_over_one_frame(activation, readout, rate):
    found = slope(activation, readout, (64, 512), np.eye(3))
    assert found == pytest.approx(rate, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "readout", "rate"),
    [
        ("tanh", "gaussian", -1.000),
        ("softplus", "gaussian", -0.993),
        ("tanh", "exponential", -0.974),  # skewed, yet no third cumulant: tanh is odd
        ("softplus", "exponential", -0.503),
    ],
)
def test_rates_over_the_sphere(activation, readout, rate):
    assert slope(activation, readout, (64, 128, 256, 512), spiral(24)) == pytest.approx(
        rate, abs=0.001
    )


def test_what_does_not_fit_is_refused(unchecked):
    with pytest.raises(ValueError, match="metric must be one of wasserstein1"):
        exact_distance(TANH, X, V, 64, "earth mover")
    with pytest.raises(ValueError, match="one number per point"):
        exact_distance(TANH, X, None, 64)
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        exact_distance(TANH, X, np.eye(3), 64)
    with pytest.raises(ValueError, match="flow and time together"):
        exact_distance(TANH, X, V, 64, time=1.0)
    with pytest.raises(ValueError, match="linear flow of this network"):
        exact_distance(TANH, X, V, 64, flow=ww.linear_flow(TANH, X[:2], Y[:2]), time=1.0)
    skewed = ww.MLP(1, "tanh", bias_std=0.5, bias_law="exponential")
    with pytest.raises(ValueError, match="output bias has the law exponential"):
        exact_distance(skewed, [[1.0]], None, 64)
    with pytest.raises(ValueError, match="exact laws exist for one hidden layer"):
        exact_distance(ww.MLP(2, "tanh"), [[1.0]], None, 64)
