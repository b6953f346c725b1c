"""The sampled law of hundreds of points: errors that cover, keys, and what is refused."""

import warnings

import jax
import numpy as np
import pytest
from numpy.polynomial.legendre import leggauss

import widthwise as ww
from training.test_neurons import SKEWED, Atoms
from widthwise.training.neurons import scalable_law
from widthwise.training.neurons.odd import odd
from widthwise.training.neurons.sampling import Sampler
from widthwise.training.neurons.skewed import Skewed

X, Y = np.array([[-1.0], [0.3], [1.2]]), np.array([1.0, -1.0, 0.5])
X_TEST = np.array([[-0.4], [2.0]])
KEY = jax.random.key(3)
NET = ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.0))


@pytest.fixture(scope="module")
def law():
    seen = []
    found = scalable_law(NET, X, Y, X_TEST, [0.0, 0.5], key=KEY, progress=lambda *a: seen.append(a))
    assert seen
    assert all(done <= total for done, total in seen)
    return found


def test_gaussian_law_against_the_dense_expansion(law):
    mean = np.array([-0.227932, 0.052483, -0.042153, -0.086565, -0.09644])
    diagonal = np.array([0.179284, -0.005508, 0.214466, -0.040704, 0.31007])
    z = (law.mean[2, 1] - mean) / law.mean_error[2, 1]
    assert np.abs(z).max() < 4.5
    z = (np.diag(law.covariance[2, 1]) - diagonal) / np.diag(law.covariance_error[2, 1])
    assert np.abs(z).max() < 4.5
    error = np.sqrt((law.mean_error[2, 1] ** 2).mean() / (law.mean[2, 1] ** 2).mean())
    assert error < 0.021
    assert law.disagreement < 3


def test_orders_that_are_known(law):
    flow = ww.linear_flow(NET, X, Y, X_TEST)
    assert law.mean[0] == pytest.approx(flow.mean(law.times)[..., 0])
    assert law.covariance[0] == pytest.approx(flow.covariance(law.times))
    assert not law.mean[1].any()
    assert not law.covariance[1].any()
    for start in (law.mean, law.mean_error, law.covariance, law.covariance_error):
        assert not start[2, 0].any()
    assert law.covariance[2] == pytest.approx(np.swapaxes(law.covariance[2], 1, 2), abs=1e-12)
    assert law.displacement[0] == 0
    assert law.displacement[1] > 0


def test_keys_and_ratios(law):
    again = scalable_law(NET, X, Y, X_TEST, [0.5], key=KEY)
    assert (again.mean[:, 0] == law.mean[:, 1]).all()
    assert (again.covariance[:, 0] == law.covariance[:, 1]).all()
    wide = ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.0), ratios=(2.0,))
    halved = scalable_law(wide, X, Y, X_TEST, [0.5], key=KEY, flow=law.flow)
    assert 2 * halved.mean[2, 0] == pytest.approx(law.mean[2, 1], rel=1e-12)
    assert 2 * halved.displacement[0] == pytest.approx(law.displacement[1], rel=1e-12)
    other = scalable_law(NET, X, Y, X_TEST, [0.5], key=jax.random.key(4), flow=law.flow)
    z = (other.mean[2, 0] - law.mean[2, 1]) / np.hypot(other.mean_error[2, 0], law.mean_error[2, 1])
    assert 0 < np.abs(z).max() < 4.5


def uniform_first_layer():
    """A skewed network, and all its neurons by a product rule in their two uniform numbers."""
    net = ww.MLP(
        1, "softplus", (1.5, 1.2), (0.5, 0.4), ("uniform", SKEWED), ("uniform", "gaussian")
    )
    x, g = leggauss(12)
    s = np.sqrt(3) * x
    u = np.stack(np.meshgrid(s, s, indexing="ij"), -1).reshape(-1, 2)
    atoms = Atoms(u, np.outer(g, g).ravel() / 4)
    return net, atoms, atoms.problem(net)


def within(value, error, expected):
    return (np.abs(value - expected) < 5 * error + 1e-12).all()


def test_the_odd_part_over_a_uniform_first_layer():
    _, atoms, of = uniform_first_layer()
    times = np.array([0.4])
    half, products = atoms.odd(of, times)
    skewed = Skewed(of, times, of.panels(times, 6, 2.5), np.dtype("float32"))
    seed = np.random.SeedSequence(5)
    found = odd(skewed, Sampler(of), seed, 8, 0.01, np.array([1.0]), 1 << 16)
    for estimate, exact in ((found.half, half), (found.products, products)):
        assert within(estimate.value.mean, estimate.error.mean, exact.mean)
        assert within(estimate.value.covariance, estimate.error.covariance, exact.covariance)
    assert np.abs(found.half.error.mean).max() < 0.02 * np.abs(half.mean).max()


@pytest.mark.slow
def test_skewed_readout_over_a_uniform_first_layer():
    net, atoms, of = uniform_first_layer()
    times = np.array([0.4])
    even, (half, products) = atoms.even(of, times), atoms.odd(of, times)
    law = scalable_law(net, X, Y, X_TEST, times, key=KEY, flow=of.flow)
    for order, mean, covariance in (
        (1, half.mean, half.covariance),
        (2, even.mean + products.mean, even.covariance + products.covariance),
    ):
        assert within(law.mean[order], law.mean_error[order], mean)
        assert within(law.covariance[order], law.covariance_error[order], covariance)
    assert law.cubic == "plain"
    assert law.disagreement is None


def test_only_the_initial_time_needs_no_neurons():
    law = scalable_law(NET, X, Y, None, 0.0, key=KEY)
    assert law.mean.shape == (3, 1, 3)
    assert law.neurons == 0


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (ww.MLP(1, "relu"), "kinks at \\(0.0,\\).*train an ensemble"),
        (ww.MLP(2, "tanh"), "one hidden layer, got depth=2"),
        (ww.MLP(1, "tanh", outputs=2), "one output, got outputs=2"),
        (ww.MLP(1, "tanh", parametrization="standard"), "NTK parametrization"),
        (ww.MLP(1, "tanh", bias_std=0.1, bias_scaling="fan_in"), "shrinks with the width"),
        (ww.MLP(1, "tanh", bias_std=0.1, bias_law="uniform"), "the bias law uniform"),
        (ww.MLP(1, "tanh", weight_law=("gaussian", ww.laws.StudentT(4))), "fourth moment"),
        (ww.MLP(1, "softplus", weight_law=(ww.laws.StudentT(4), "gaussian")), "moment of order 4"),
        (ww.MLP(1, "softplus", weight_law=(ww.laws.StudentT(6), "gaussian")), "no standard error"),
    ],
)
def test_networks_without_this_law_are_refused(net, message):
    y = np.zeros((3, net.outputs))
    with pytest.raises(ValueError, match=message):
        scalable_law(net, X, y, None, [1.0], key=KEY)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"times": [1.0, np.inf]}, "not available at t = inf"),
        ({"times": [-1.0]}, "at least 0"),
        ({"times": []}, "at least one time"),
        ({"tolerance": 0.0}, "tolerance must be"),
        ({"replicates": 5}, "even number of at least 4, got 5"),
        ({"cubic": "none"}, "'auto', 'plain' or 'by_parts', got 'none'"),
        ({"precision": "half"}, "float32"),
        ({"memory": 1e4}, "needs .* GB, more than memory"),
        ({"x_test": [[1.0, 2.0]]}, "inputs per point"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message, law, unchecked):
    given = {"x_test": X_TEST, "times": [1.0], "flow": law.flow} | options
    with pytest.raises(ValueError, match=message):
        scalable_law(NET, X, Y, key=KEY, **given)


def test_a_flow_of_other_points_is_refused(law):
    with pytest.raises(ValueError, match=r"flow is that of 5 points, but .* hold 3"):
        scalable_law(NET, X, Y, None, [1.0], key=KEY, flow=law.flow)


def test_integration_by_parts_asks_for_gaussian_neurons(law):
    net = ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.0), weight_law=("gaussian", "uniform"))
    with pytest.raises(ValueError, match=r"needs Gaussian .* got gaussian, uniform"):
        scalable_law(net, X, Y, X_TEST, [1.0], key=KEY, cubic="by_parts", flow=law.flow)


def test_tensors_of_a_skewed_law_that_do_not_fit_are_refused_at_once():
    net, _, of = uniform_first_layer()
    with pytest.raises(ValueError, match=r"needs tensors of three rows, .* GB for 5 points"):
        scalable_law(net, X, Y, X_TEST, [0.4], key=KEY, flow=of.flow, memory=1e7)


def test_forms_that_disagree_are_reported(monkeypatch):
    from widthwise.training.neurons import law as module

    monkeypatch.setattr(module, "_DOUBT", 1e-9)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scalable_law(NET, X, Y, X_TEST, [0.5], key=KEY, most=1)
    assert any("differ by" in str(w.message) for w in caught)


def diabetes():
    """Sixty train and twenty test points, inputs and labels of unit variance."""
    data = pytest.importorskip("sklearn.datasets").load_diabetes()
    x = data.data[:80] * len(data.data) ** 0.5
    return x[:60], ((data.target - data.target.mean()) / data.target.std())[:60], x[60:]


def rms_z(samples, value, error):
    """Of the mean of samples against a value with its error, root mean square over points."""
    spread = samples.std(0, ddof=1) / np.sqrt(len(samples))
    return np.sqrt((((samples.mean(0) - value) / np.hypot(spread, error)) ** 2).mean())


@pytest.mark.slow
def test_trained_networks_on_diabetes():
    """Paired with the linear flow from the same initial outputs, whose law is known exactly."""
    x, y, x_test = diabetes()
    net, n, members, times = ww.MLP(1, "erf", (1.5, 1.0), (0.5, 0.0)), 512, 8000, [0.1, 0.3]
    law = scalable_law(net, x, y, x_test, times, key=jax.random.key(0))
    assert law.displacement.max() / n < 0.012
    options = {"tolerance": 1e-5, "precision": "float32"}
    runs = ww.simulate(net, n, x, y, x_test, times, members, jax.random.key(1), **options)
    trained, linear = runs.outputs[..., 0], law.flow.outputs(runs.initial, times)[..., 0]
    shift = trained - linear
    numerical = runs.integration_error + runs.rounding_error
    assert numerical < 0.02 * shift.std(0).min() / np.sqrt(members)
    squares = (trained - trained.mean(0)) ** 2 - (linear - linear.mean(0)) ** 2
    squares *= members / (members - 1)
    for k in range(len(times)):
        mean, mean_error = law.mean[2, k] / n, law.mean_error[2, k] / n
        variance = np.diag(law.covariance[2, k]) / n
        variance_error = np.diag(law.covariance_error[2, k]) / n
        assert 0.7 < rms_z(shift[:, k], mean, mean_error) < 1.3
        assert rms_z(shift[:, k], 0.0, 0.0) > (1.5, 2.5)[k]
        assert 0.7 < rms_z(squares[:, k], variance, variance_error) < 1.3
