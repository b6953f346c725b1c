"""Rates of the tangent kernel during training: the numbers, and their exponents."""

import jax
import numpy as np
import pytest
from scipy.linalg import expm

import widthwise as ww
from widthwise.training.rates import ntk_rates
from widthwise.training.symmetry import third_vanishes_in_mean

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
    assert len(lines) == 6
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
