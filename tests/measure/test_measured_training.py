"""Measured distances of trained networks: controls against enumerated laws, and predictions."""

import jax
import numpy as np
import pytest

import widthwise as ww
from measure.multinomial import networks
from widthwise.measure.estimators import directed, higher, measured_distance, measured_distances
from widthwise.training.dynamics import GradientFlow
from widthwise.training.ensembles import fit_powers
from widthwise.training.ensembles.controls import Controls
from widthwise.training.ensembles.series import known_neuron, lowest
from widthwise.training.solution_map import SolutionMap

X, XS = np.array([[-1.0], [0.3], [1.2]]), np.array([[-0.4], [2.0]])
Y = np.array([1.0, -1.0, 0.5])
TIMES = [0.5, 2.0]
KEY = jax.random.key(8)


def network(activation, readout="gaussian", depth=1):
    return ww.MLP(
        depth,
        activation,
        weight_std=(1.5,) * depth + (1.0,),
        bias_std=(0.5,) * depth + (0.0,),
        weight_law=("gaussian",) * depth + (readout,),
    )


def enumerated(n):
    """Moments of the controls of networks with parameters ±1: enumerated, and by the formulas."""
    net = ww.MLP(1, "tanh", (0.9, 1.1), (0.6, 0.0), weight_law="rademacher", bias_law="rademacher")
    x, y = np.array([[-1.0], [0.7], [1.6]]), np.array([1.0, -0.5])
    F, theta, p = networks(x, 2, n, net.weight_std, 0.6, np.tanh, lambda z: 1 - np.tanh(z) ** 2)
    K, limit = np.einsum("s,sa,sb->ab", p, F, F), np.tensordot(p, theta, 1)
    kernels = ww.limit_kernels(net, x)
    assert np.asarray(kernels.nngp) == pytest.approx(K, abs=1e-12)
    assert np.asarray(kernels.ntk)[:, :2] == pytest.approx(limit, abs=1e-12)
    v = np.array([[0.3, -0.2, 1.0]])
    controls = directed.Directed(SolutionMap(limit, y), GradientFlow(np.array([0.7])), v)
    A = controls.propagator
    std = np.sqrt(np.einsum("tda,ab,tdb->td", A, K, A))
    z = controls.carried(F)[:, 0, 0] / std[0, 0]
    rho = controls.first_order(F, theta - limit)[:, 0, 0] / std[0, 0]
    powers = np.polynomial.hermite_e.hermevander(z, 5)
    exact = np.einsum("s,sk,s->k", p, powers, rho)
    found = directed.expectations(controls, net, n, x, K, KEY, 100)
    value, error = directed.hermite_moments(found, controls, std)
    beyond = higher.sampled_moments(controls, net, n, x, std, KEY)
    return (
        exact,
        np.concatenate([value[0, 0], beyond[0][0, 0]]),
        np.concatenate([error[0, 0], beyond[1][0, 0]]),
    )


def test_means_of_forced_controls_are_those_of_an_enumerated_law():
    """All networks with parameters ±1 of width 4 and 8; He₅ρ up to n^{-3}.

    Cumulants of a batch of sampled neurons are biased by less than 0.0005 of themselves.
    """
    left = []
    for n in (4, 8):
        exact, found, error = enumerated(n)
        off = np.abs(found - exact)
        assert (off[:5] < 4 * error[:5] + 5e-4 * np.abs(exact[:5]) + 1e-12).all()
        assert np.abs(exact[1:4]).min() > 20 * error[1:4].max()  # a wrong factor would show
        assert abs(exact[4]) > 4 * error[4]
        left.append(off[5])
        assert off[5] < 0.5 * abs(exact[5]) + 4 * error[5]
    assert left[1] < left[0] / 4


def test_expectations_along_directions_are_those_of_the_outputs_projected():
    """Seven directions of five outputs, so that no shape hides a row taken for a direction."""
    net, points = network("softplus", "exponential"), np.concatenate([X, XS])
    kernels = ww.limit_kernels(net, points)
    solution = SolutionMap(np.asarray(kernels.ntk)[:, :3], Y)
    v, flow = np.random.default_rng(0).normal(size=(7, 5)), GradientFlow(np.array(TIMES))
    known = known_neuron(net, points, 3)
    assert known is not None
    few = known(64)
    whole = lowest(Controls(solution, flow), few)
    along = lowest(directed.Directed(solution, flow, v), few)
    first = whole.first_order.value @ v.T
    mixed = np.einsum("da,tax,ex->tde", v, whole.mixed.value, v)
    assert along.first_order.value == pytest.approx(first, rel=1e-9, abs=1e-12)
    assert along.mixed.value == pytest.approx(mixed, rel=1e-9, abs=1e-12)


@pytest.mark.slow
def test_before_training_the_paired_estimate_is_the_law_of_the_linear_flow():
    net, v = network("softplus", "exponential"), np.eye(5)[3]
    d = measured_distance(net, X, Y, XS, v, 32, 0.0, 400, KEY, method="paired")
    exact = ww.exact_distance(net, np.concatenate([X, XS]), v, 32)
    assert abs(d.value - exact.value) < 1e-4 * exact.value + d.error
    assert d.error < 1e-3 * exact.value


def test_paired_measurement_is_the_prediction():
    """At a width where the series is good: tanh, n = 128, one test point."""
    net, v = network("tanh"), np.eye(5)[3]
    d = measured_distance(net, X, Y, XS, v, 128, 0.5, 1024, KEY)
    p = ww.predicted_distance(ww.training_law(net, X, Y, XS, 0.5), v, 128)
    assert abs(d.value - p.value) < 3 * np.hypot(d.error, p.error)
    assert d.value > 5 * d.error
    assert d.floor < 0.02 * 1.288 * d.curve.std[0] / 32  # of raw samples: 1.288 σ/√1024
    assert d.method.startswith("paired, exact law of the linear flow, 1024 networks")


def measured_and_predicted(net, width, members, **options):
    """At a test point and three times."""
    v, times = np.eye(5)[3], [0.0, *TIMES]
    law = ww.training_law(net, X, Y, XS, times)
    key = jax.random.fold_in(KEY, width)
    found = measured_distances(net, X, Y, XS, v, width, times, members, key, **options)
    return found, [ww.predicted_distance(law, v, width, t) for t in times]


@pytest.mark.slow
@pytest.mark.parametrize("width", [64, 128, 256, 512])
def test_symmetric_networks_are_at_the_predicted_distance(width):
    """t = 0, 0.5, 2 within three standard errors of the measurement alone."""
    for d, p in zip(*measured_and_predicted(network("tanh"), width, 8192), strict=True):
        assert abs(d.value - p.value) < 3 * d.error
        assert d.value > 10 * d.error


@pytest.mark.slow
def test_skewed_networks_tend_to_the_predicted_distance():
    """The measurement is finer than what the series leaves out, C n^{-3/2}: it is fitted as well.

    The gap is within three errors of both at every width and time. The leading constant, with the
    next order beside it, is the predicted one within three errors of the measurement alone, and the
    two describe the widths. At t = 2 next order is 14% of the distance at n = 64: without it the
    constant would be refuted, and without widths up to 2048 it would be less certain.
    """
    widths, net = [64, 128, 256, 512, 2048], network("softplus", "exponential")
    values, errors, expected, constants = np.zeros((4, len(widths), 3))
    for i, width in enumerate(widths):
        options = {"precision": "float32"} if width > 512 else {}
        found, predicted = measured_and_predicted(net, width, 4096, **options)
        for j, (d, p) in enumerate(zip(found, predicted, strict=True)):
            values[i, j], errors[i, j], expected[i, j] = d.value, d.error, p.value
            constants[i, j] = p.constant
            assert d.value > 10 * d.error
            assert abs(d.value - p.value) < 3 * np.hypot(d.error, p.error)
    fit = fit_powers(widths, values - expected, errors, (1, 3))
    assert fit.fits
    assert (np.abs(fit.coefficients[0]) < 3 * fit.errors[0]).all()
    assert (fit.errors[0] < 0.03 * constants[0]).all()
    assert fit.coefficients[1, 2] < -5 * fit.errors[1, 2]


def test_the_stated_error_covers_the_next_order_that_was_measured():
    """14% of the distance at t = 2, n = 64, by the slow test above; it falls like n^{-3/2}."""
    law = ww.training_law(network("softplus", "exponential"), X, Y, XS, 2.0)
    narrow, wide = (ww.predicted_distance(law, np.eye(5)[3], n) for n in (64, 256))
    assert 0.14 < narrow.error / narrow.value < 1
    assert wide.error == pytest.approx(narrow.error / 8, rel=0.02)


@pytest.mark.slow
def test_two_hidden_layers():
    net, times = network("tanh", depth=2), [0.5]
    x, xs, y = X[:2], XS[:1], Y[:2]
    law = ww.training_law(net, x, y, xs, times)
    for width in (64, 128, 256, 512):
        d = measured_distance(
            net, x, y, xs, np.eye(3)[2], width, 0.5, 2048, jax.random.fold_in(KEY, width)
        )
        p = ww.predicted_distance(law, np.eye(3)[2], width, 0.5)
        assert abs(d.value - p.value) < 3 * np.hypot(d.error, p.error)
        assert d.value > 4 * d.error


@pytest.mark.slow
def test_raw_samples_agree_where_they_see_something():
    net, v = network("softplus", "exponential"), np.ones(5) / np.sqrt(5)
    paired = measured_distance(net, X, Y, XS, v, 64, 0.5, 2048, KEY)
    raw = measured_distance(net, X, Y, XS, v, 64, 0.5, 40_000, jax.random.key(9), method="raw")
    assert not raw.at_floor
    assert abs(raw.value - paired.value) < 3 * np.hypot(raw.error, paired.error)
    assert raw.error > 3 * paired.error


def test_a_train_point_at_the_end_of_training_is_refused():
    with pytest.raises(ValueError, match=r"the limit does not vary .* at time 1e\+06"):
        measured_distance(network("tanh"), X, Y, XS, np.eye(5)[0], 16, 1e6, 400, KEY)
