"""Rates of the tangent kernel during training: the numbers, and their exponents."""

import jax
import numpy as np
import pytest
from scipy.linalg import expm

import widthwise as ww
from widthwise.training.blocks import initial_blocks
from widthwise.training.blocks.deep import deep_blocks
from widthwise.training.dynamics import GradientFlow
from widthwise.training.rates import ntk_rates
from widthwise.training.rates.constants import constants
from widthwise.training.realization import kernel_drift, realize
from widthwise.training.solution_map import SolutionMap
from widthwise.training.symmetry import (
    integer_powers,
    third_is_of_order_one_over_n,
    third_vanishes_in_mean,
)
from widthwise.training.task import network_task

X, Y = np.array([[-1.0], [0.3], [1.2]]), np.array([1.0, -1.0, 0.5])
X_TEST, TIMES, KEY = np.array([[-0.4]]), np.array([0.5, 2.0]), jax.random.key(1)
SKEWED = ww.laws.Discrete([2.0, -0.5], [0.2, 0.8])  # E a³ = 1.5
DRIFT, OUTPUTS = "‖Θ_n(t) − Θ_n(0)‖", "‖f_t − f_lin‖, Θ_n(0)"


def linearized(theta, initial, y, t):
    """Outputs of a linear flow by the exponential of its generator."""
    m, generator = len(y), np.zeros((len(theta), len(theta)))
    generator[:, :m] = -theta
    start = initial.copy()
    start[:m] -= y
    end = expm(t * generator) @ start
    end[:m] += y
    return end


def test_the_numbers_are_those_of_the_networks():
    net = ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.0))
    found = ntk_rates(net, X, Y, [16, 64], 2, key=KEY, x_test=X_TEST, times=TIMES)
    record = ("ntk_change", "ntk_limit_distance")
    key = jax.random.fold_in(KEY, 64)
    runs = ww.simulate(net, 64, X, Y, X_TEST, TIMES, 2, key, tolerance=1e-8, record=record)
    limit = ww.linear_flow(net, X, Y, X_TEST).ntk
    initial, outputs = runs.initial[..., 0], runs.outputs[..., 0]
    about = [
        [
            max(np.linalg.norm(path[k] - linearized(theta, f0, Y, TIMES[k])) for k in (0, 1))
            for path, f0, theta in zip(outputs, initial, kernels, strict=True)
        ]
        for kernels in ([limit, limit], runs.ntk)
    ]
    recorded = [runs.recorded[name].max(1) for name in record[::-1]]
    for rate, values in zip(found.rates, (*recorded, *about), strict=True):
        assert rate.values[1] == pytest.approx(np.mean(values), abs=1e-9)
        assert rate.errors[1] == pytest.approx(np.std(values, ddof=1) / 2**0.5, abs=1e-9)
    assert found[DRIFT].theory == -1.0
    assert found.symmetric
    lines = str(found).splitlines()
    assert len(lines) == 13
    assert "predicted" in lines[7]
    assert lines[8].endswith(", × n^(1/2)")
    assert lines[9].endswith(", × n")
    assert lines[2].startswith(DRIFT)
    assert lines[2].endswith("-1.00")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "law"), [("tanh", SKEWED), ("softplus", "gaussian"), ("softplus", SKEWED)]
)
def test_exponents(activation, law):
    """Tanh is odd: a skewed readout law changes nothing. Softplus with one drifts faster."""
    net = ww.MLP(1, activation, (1.5, 1.0), (0.5, 0.0), weight_law=("gaussian", law))
    widths = [128, 256, 512, 1024]
    found = ntk_rates(net, X, Y, widths, 200, key=KEY, times=[0.5, 1.0], tolerance=1e-7)
    expected = -0.5 if (activation, law) == ("softplus", SKEWED) else -1.0
    assert found[DRIFT].theory == found[OUTPUTS].theory == expected
    for rate in found.rates:
        assert abs(rate.slope.value - rate.theory) < 3 * rate.slope.error
        local = np.log(rate.values[-1] / rate.values[0]) / np.log(8)
        assert local == pytest.approx(rate.theory, abs=0.12)


def test_kinks_have_no_exponent_of_drift():
    net = ww.MLP(1, "relu", (1.5, 1.0), (0.5, 0.0))
    found = ntk_rates(net, X, Y, [16, 64], 4, key=KEY, times=[0.5])
    assert found[DRIFT].theory is None
    assert np.isnan(found[DRIFT].slope.chi2)
    assert "has kinks" in str(found)
    assert isinstance(found[DRIFT].constant, str)
    with pytest.raises(ValueError, match="no constant is predicted for"):
        found[DRIFT].deviations(found.widths)
    with pytest.raises(KeyError, match="measured are"):
        _ = found["drift"]


def test_one_width_is_no_rate():
    with pytest.raises(ValueError, match=r"two widths.*widths=\[16\]"):
        ntk_rates(ww.MLP(1, "tanh"), X, Y, [16], 4, key=KEY)


@pytest.mark.parametrize(
    ("activation", "weights", "biases", "vanishes"),
    [
        ("softplus", "ggg", "", True),
        ("softplus", "ggs", "", False),
        ("softplus", "ssg", "sss", True),  # a symmetric readout is enough
        ("tanh", "ggs", "", True),
        ("tanh", "gss", "", True),
        ("tanh", "sss", "", False),
        ("tanh", "sgs", "sgs", True),  # the sign enters above the skewed biases
        ("tanh", "ggs", "gss", False),  # it cannot pass the skewed biases of the last layer
    ],
)
def test_when_the_mean_of_the_drift_vanishes(activation, weights, biases, vanishes):
    """Two hidden layers and the readout; g is Gaussian, s skewed."""
    laws = {"g": "gaussian", "s": ww.laws.Gamma(2.0)}
    options = {"weight_law": tuple(laws[w] for w in weights)}
    if biases:
        options |= {"bias_std": 0.3, "bias_law": tuple(laws[b] for b in biases)}
    assert third_vanishes_in_mean(ww.MLP(2, activation, **options)) is vanishes


@pytest.mark.parametrize(
    ("activation", "weights", "vanish"),
    [
        ("softplus", "ggg", True),
        ("softplus", "gsg", False),  # the mean of O₃ vanishes, that of Θ_n − Θ is n^{-1/2}
        ("softplus", "sgg", True),  # the limit has all of the first layer's law
        ("tanh", "gsg", True),
        ("tanh", "ssg", True),  # turn the signs of W¹ and W²
        ("tanh", "sss", True),  # likewise: E O₃ is of order 1/n, though not 0
        ("tanh", "sgs", True),
        ("softplus", "ssg", False),
        ("softplus", "ggs", False),
    ],
)
def test_when_the_next_order_is_a_whole_power(activation, weights, vanish):
    laws = {"g": "gaussian", "s": ww.laws.Gamma(2.0)}
    net = ww.MLP(2, activation, weight_law=tuple(laws[w] for w in weights))
    assert integer_powers(net) is vanish


@pytest.mark.parametrize(("activation", "vanishes"), [("tanh", True), ("softplus", False)])
def test_third_order_tensors_of_skewed_networks(activation, vanishes):
    """The n^{−1/2} term of E O₃, computed: 0 where signs of two layers can be turned at once."""
    net = ww.MLP(2, activation, weight_law=ww.laws.Gamma(2.0))
    assert third_is_of_order_one_over_n(net) is vanishes
    term = deep_blocks(net, X[:2], 2).values["T", 1]
    assert bool(np.abs(term).max() < 1e-10) is vanishes


TWO, LABELS = X[:2], Y[:2]


def predicted(net, times):
    flow = ww.linear_flow(net, TWO, LABELS, X_TEST)
    return constants(net, flow, np.concatenate([TWO, X_TEST]), times, KEY)


@pytest.mark.slow
def test_constants_of_symmetric_laws_against_tensors_of_wide_networks():
    """n² E ‖O₃ P + O₄ W‖² and that of the outputs, over networks that are drawn, not trained."""
    net = ww.MLP(1, "softplus", (1.5, 0.9), (0.5, 0.3), weight_law=("gaussian", "uniform"))
    times, n, count = np.array([0.2, 1.0]), 512, 400
    flow, squares = GradientFlow(times), []
    limit = ww.limit_kernels(net, np.concatenate([TWO, X_TEST])).ntk[:, :2]
    for key in jax.random.split(KEY, count):
        task = network_task(net, net.init(key, n, 1), TWO, LABELS, X_TEST)
        network = realize(task)
        outputs = network.expansion(flow, symmetric=True)[2]
        drift = kernel_drift(network, flow, symmetric=True)
        fluctuation = ((network.ntk - limit) ** 2).sum() / n
        squares.append([(drift**2).sum((1, 2)), (outputs**2).sum(1), np.full(2, fluctuation)])
    found = predicted(net, times)
    mean, error = n**2 * np.mean(squares, 0), n**2 * np.std(squares, 0) / np.sqrt(count)
    for k, constant in enumerate((found.drift, found.about_own, found.kernel)):
        z = (mean[k] - constant.curve**2) / np.hypot(error[k], 2 * constant.curve * constant.errors)
        assert np.abs(z).max() < 3.5
        assert (mean[k] > 4 * error[k]).all()
    assert (found.drift.power, found.kernel.power) == (-1.0, -0.5)


def test_constants_of_skewed_laws_against_quadrature_over_initial_outputs():
    """The mean of O₃ alone makes drift and deviation: exact polynomials of a Gaussian F."""
    net = ww.MLP(1, "softplus", (1.5, 0.9), (0.5, 0.0), weight_law=("gaussian", SKEWED))
    times = np.array([0.2, 1.0])
    found = predicted(net, times)
    blocks = initial_blocks(net, np.concatenate([TWO, X_TEST]), 2)
    T, flow = blocks.values["T", 1], GradientFlow(times)
    nodes, weights = np.polynomial.hermite_e.hermegauss(6)
    grid = np.stack(np.meshgrid(nodes, nodes), -1).reshape(-1, 2)
    mass = np.outer(weights, weights).ravel() / weights.sum() ** 2
    solution = SolutionMap(blocks.ntk[:, :2], LABELS)
    drift, outputs = 0.0, 0.0
    for xi, p in zip(grid, mass, strict=True):
        F = np.zeros(3)
        F[:2] = np.linalg.cholesky(blocks.nngp[:2, :2]) @ xi
        values, Q = solution.eigenvalues, solution.eigenvectors
        pulled = -np.expm1(-values * times[:, None]) / values * (Q.T @ (F[:2] - LABELS)) @ Q.T
        drift = drift + p * (np.einsum("ijl,tl->tij", T, pulled) ** 2).sum((1, 2))
        outputs = outputs + p * (
            solution.expansion(flow, F, {"T": T}, symmetric=False)[1] ** 2
        ).sum(1)
    assert found.drift.curve**2 == pytest.approx(drift, rel=1e-6)
    assert found.about_own.curve**2 == pytest.approx(outputs, rel=1e-6)
    assert found.drift.power == found.about_own.power == -0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "law"), [("tanh", "gaussian"), ("softplus", SKEWED), ("relu", "gaussian")]
)
def test_constants_against_trained_networks(activation, law):
    """The largest width: its next order is below the noise of 400 networks."""
    net = ww.MLP(1, activation, (1.5, 1.0), (0.5, 0.0), weight_law=("gaussian", law))
    widths = [512, 2048]
    found = ntk_rates(
        net, X, Y, widths, 400, key=KEY, x_test=X_TEST, times=[0.1, 0.5], tolerance=1e-6
    )
    predicted = [rate for rate in found.rates if not isinstance(rate.constant, str)]
    assert len(predicted) == (2 if activation == "relu" else 4)
    for rate in predicted:
        assert np.abs(rate.deviations(found.widths)[-1]).max() < 4
        assert rate.constant.error < 0.05 * rate.constant.value
