"""The predicted training of one network, by every engine, against networks really trained."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import widthwise as ww
from widthwise.training.dynamics import GradientFlow
from widthwise.training.prediction import Reliability, predict
from widthwise.training.prediction.engines import Question, choose
from widthwise.training.shadow import shadow_training
from widthwise.training.task import network_task

RNG = np.random.default_rng(0)
X, X_TEST = RNG.normal(size=(3, 2)), RNG.normal(size=(2, 2))
Y = RNG.normal(size=(3, 2))
NET = ww.MLP(2, "tanh", 1.2, 0.3, outputs=2)
TIMES = np.array([1.5, 0.0, 0.5])  # in any order
WIDTH, KEY = 256, jax.random.key(5)


@pytest.fixture(scope="module")
def runs():
    return ww.simulate(
        NET, WIDTH, X, Y, X_TEST, [0.0, 0.5, 1.5], 1, KEY, record=("ntk", "movement")
    )


def test_two_outputs_and_two_layers_against_training(runs):
    parameters = runs.parameters(0)
    truth = runs.outputs[0][[2, 0, 1]]
    found = predict(NET, parameters, X, Y, X_TEST, TIMES)
    shadow = predict(NET, parameters, X, Y, X_TEST, TIMES, engine="shadow")
    linear = predict(NET, parameters, X, Y, X_TEST, TIMES, order=0)
    limit = predict(NET, parameters, X, Y, X_TEST, TIMES, reference="limit")
    assert (found.engine, shadow.engine, linear.engine) == ("tensors", "shadow", "linearization")
    deviation = np.abs(linear.outputs - truth).max()
    assert np.abs(found.outputs - truth).max() < 0.1 * deviation
    assert np.abs(shadow.outputs - truth).max() < 0.1 * deviation
    # both are right to n^(-2), so they differ by that
    assert np.abs(shadow.outputs - found.outputs).max() < 0.05 * deviation
    assert linear.outputs == pytest.approx(found.orders[0], abs=1e-10)
    errors = [np.abs(limit.orders[: k + 1].sum(0) - truth).max() for k in range(3)]
    assert errors[2] < 0.5 * errors[1] < 0.25 * errors[0]
    assert found.outputs[1] == pytest.approx(runs.initial[0], abs=1e-10)
    for prediction in (found, shadow, linear, limit):  # the errors are of the estimated size
        error = np.sqrt(((prediction.outputs - truth)[0] ** 2).mean())
        assert 0.2 < error / np.sqrt((prediction.error[0] ** 2).mean()) < 5


def test_kernel_and_parameters_move_as_predicted(runs):
    parameters = runs.parameters(0)
    found = predict(NET, parameters, X, Y, X_TEST, TIMES)
    shadow = predict(NET, parameters, X, Y, X_TEST, TIMES, engine="shadow")
    ntk = runs.recorded["ntk"][0][[2, 0, 1]]
    drift = ntk - ntk[1]
    for prediction in (found, shadow):
        blocks = prediction.ntk_drift.reshape(3, 5, 2, 3, 2)
        mean = np.einsum("tikjk->tij", blocks) / 2
        assert np.abs(mean - drift).max() < 0.1 * np.abs(drift).max()
        movement = np.sqrt((runs.recorded["movement"][0][[2, 0, 1]] ** 2).sum(1))
        assert prediction.movement == pytest.approx(movement, rel=2e-3, abs=1e-9)
    initial = np.asarray(ww.empirical_ntk(NET, parameters, np.concatenate([X, X_TEST]), X))
    found_mean = np.einsum("ikjk->ij", found.initial_ntk.reshape(5, 2, 3, 2)) / 2
    assert found_mean == pytest.approx(initial, abs=1e-10)
    assert found.reliability.trusted
    assert found.reliability.verdict.startswith("Reliable")
    assert "frozen" not in str(found)


def test_the_end_of_training_is_known_in_closed_form():
    parameters = NET.init(KEY, WIDTH, 2)
    end = predict(NET, parameters, X, Y, X_TEST, [np.inf, 400.0])
    assert end.outputs[0, :3] == pytest.approx(Y, abs=1e-12)
    assert end.outputs[0] == pytest.approx(end.outputs[1], abs=1e-6)
    assert end.ntk_drift[0] == pytest.approx(end.ntk_drift[1], abs=1e-6)
    assert end.movement[0] == pytest.approx(end.movement[1], abs=1e-6)
    assert not end.error[0, :3].any()  # the labels, exactly
    assert end.error[0, 3:] == pytest.approx(end.error[1, 3:], rel=1e-6)
    learnt = predict(NET, parameters, X[[0, 0, 1]], Y[[0, 0, 1]], None, [0.5, np.inf])
    assert learnt.outputs[1] == pytest.approx(Y[[0, 0, 1]], abs=1e-12)
    assert learnt.reliability.ratio[1] == 0
    assert learnt.reliability.trusted


def test_an_order_infinitely_larger_than_the_one_before_is_not_trusted():
    found = Reliability(np.array([0.1, np.inf]), np.full(2, 0.1), np.array([0.1, 0.1]), False)
    assert not found.trusted
    assert found.verdict.startswith("Not reliable")


def test_gradient_descent_is_followed_exactly_by_the_shadow():
    parameters = NET.init(KEY, WIDTH, 2)
    theta = predict(NET, parameters, X, Y, times=0.0, order=0).initial_ntk
    step = 1.5 / np.linalg.eigvalsh(theta)[-1]
    found = predict(NET, parameters, X, Y, steps=[1, 6], step=step)
    linear = predict(NET, parameters, X, Y, steps=[1, 6], step=step, order=1)
    moved = parameters
    loss = jax.jit(jax.grad(lambda p: 0.5 * jnp.sum((NET.apply(p, X) - Y) ** 2)))
    for _ in range(6):
        moved = jax.tree.map(lambda p, g: p - step * g, moved, loss(moved))
    truth = np.asarray(NET.apply(moved, X))
    assert found.engine == "shadow"
    assert linear.engine == "linearization"
    error, deviation = (np.abs(p.outputs[1] - truth).max() for p in (found, linear))
    assert error < 0.5 * deviation  # slopes are tested in test_shadow.py
    assert found.orders[0] == pytest.approx(linear.outputs, abs=1e-10)
    squares = jax.tree.map(lambda p, q: float(jnp.sum((p - q) ** 2)), moved, parameters)
    distance = sum(jax.tree.leaves(squares)) ** 0.5
    assert found.movement[1] == pytest.approx(distance, rel=0.01)


def test_kinks_leave_the_linearization_with_the_reason():
    net = ww.MLP(1, "relu", 1.2, 0.3)
    parameters = net.init(KEY, 64, 2)
    found = predict(net, parameters, X, Y[:, 0], X_TEST, [1.0])
    theta = np.asarray(ww.empirical_ntk(net, parameters, np.concatenate([X, X_TEST]), X))
    assert found.engine == "linearization"
    assert found.initial_ntk == pytest.approx(theta, abs=1e-12)
    assert found.reliability.verdict.startswith("Linearization only: activation 'relu' has kinks")
    assert not found.reliability.trusted
    assert 0 < found.error.max() < 0.5 * np.abs(found.outputs[0] - found.initial).max()
    with pytest.raises(ValueError, match="crosses a kink"):
        _ = found.ntk_drift
    with pytest.raises(ValueError, match="order 2 about"):
        predict(net, parameters, X, Y[:, 0], times=[1.0], reference="limit")
    first = predict(net, parameters, X, Y[:, 0], times=[1.0], reference="limit", order=1)
    assert np.abs(first.orders[1]).max() > 0
    with pytest.raises(ValueError, match="kinks"):
        shadow_training(net, parameters, X, Y[:, 0], times=[1.0])


def test_an_error_whose_term_happens_to_be_small_is_not_understated():
    """Wide softplus networks early in training: 12, 3, 2 and 17 times what the term alone says."""
    net, n, time = ww.MLP(1, "softplus", (1.5, 1.0), (0.5, 0.0)), 1024, [0.25]
    x, y = np.array([[-1.0], [0.3], [1.2]]), np.array([1.0, -1.0, 0.5])
    test, key = np.array([[-0.4], [2.0]]), jax.random.key(5)
    runs = ww.simulate(net, n, x, y, test, [0.25, 1.0, 4.0], 4, key, tolerance=1e-11)
    for i, outputs in enumerate(np.asarray(runs.outputs)[:, 0]):
        found = predict(net, net.init(jax.random.fold_in(key, i), n, 1), x, y, test, time)
        error = np.sqrt(((found.outputs[0] - outputs) ** 2).mean())
        assert 0.2 < error / np.sqrt((found.error[0] ** 2).mean()) < 3


@pytest.mark.slow
def test_one_point_and_the_standard_parametrization():
    net = ww.MLP(1, "erf", 1.2, 0.3, parametrization="standard", ratios=(2.0,))
    parameters = net.init(KEY, 64, 2)
    options = {"times": [1.0], "width": 64}
    found = predict(net, parameters, X[:1], [2.0], **options)
    shadow = predict(net, parameters, X[:1], [2.0], engine="shadow", **options)
    run = ww.simulate(net, 64, X[:1], [2.0], None, [1.0], 1, KEY)
    again = predict(net, run.parameters(0), X[:1], [2.0], **options)
    assert found.outputs.shape == (1, 1, 1)
    assert shadow.outputs == pytest.approx(found.outputs, abs=1e-3)
    assert again.outputs == pytest.approx(run.outputs[0], abs=1e-3)
    end, start = run.trained_parameters(0), run.parameters(0)
    moved = jax.tree.map(jnp.subtract, end, start)
    # √n times the movement of the trained weights σ_w W/√fan_in and σ_b b
    fan_in, parts = (2, 128), []
    for layer, n, w, b in zip(moved, fan_in, net.weight_std, net.bias_std, strict=True):
        parts += [8 * w * layer.weight.ravel() / n**0.5, 8 * b * layer.bias]
    distance = np.linalg.norm(np.concatenate(parts))
    assert again.movement[0] == pytest.approx(distance, rel=0.02)
    assert shadow.movement == pytest.approx(found.movement, rel=0.02)


def convolutional(parameters, images):
    """Two layers of convolutions in plain JAX, NTK parametrization; the width is in the shapes."""
    filters, mixing, readout = parameters
    layout = ("NHWC", "HWIO", "NHWC")
    h = jax.lax.conv_general_dilated(images, filters / 3, (1, 1), "SAME", dimension_numbers=layout)
    scale = 1 / (3 * filters.shape[-1] ** 0.5)
    h = jnp.tanh(h)
    h = jax.lax.conv_general_dilated(h, mixing * scale, (1, 1), "VALID", dimension_numbers=layout)
    return jnp.tanh(h).mean((1, 2)) @ readout / readout.shape[0] ** 0.5


def convolutional_errors(width, seeds):
    """Errors of the linearization and of the shadow, root mean squares over networks."""
    images, y = jax.random.normal(KEY, (3, 4, 4, 1)), jnp.array([[1.0], [-0.5], [0.3]])
    loss = jax.jit(jax.grad(lambda p: 0.5 * jnp.sum((convolutional(p, images) - y) ** 2)))
    errors = []
    for seed in range(seeds):
        shapes = [(3, 3, 1, width), (3, 3, width, width), (width, 1)]
        keys = jax.random.split(jax.random.key(seed), 3)
        parameters = [jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=True)]
        found = shadow_training(convolutional, parameters, images, y, steps=[4], step=0.5)
        moved = parameters
        for _ in range(4):
            moved = jax.tree.map(lambda p, g: p - 0.5 * g, moved, loss(moved))
        truth = np.asarray(convolutional(moved, images))
        errors.append([((found.outputs(k)[0] - truth) ** 2).mean() for k in (1, 3)])
    return np.sqrt(np.mean(errors, 0))


@pytest.mark.slow
def test_a_deep_convolutional_network():
    linear, third = convolutional_errors(48, 2)
    assert third < 0.1 * linear


@pytest.mark.parametrize(("train", "chosen"), [(12, "tensors"), (13, "shadow")])
def test_the_engine_follows_the_size(train, chosen):
    net, x = ww.MLP(1, "tanh"), RNG.normal(size=(13, 2))
    task = network_task(net, net.init(KEY, 8, 2), x[:train], x[:train, 0], None)
    question = Question(task, GradientFlow([1.0]), 2, True, "frozen", None, 1e-8)
    assert choose(question, "auto") == chosen
    assert choose(question._replace(order=1), "auto") == "linearization"
    about_limit = question._replace(reference="limit")
    if train == 13:
        with pytest.raises(ValueError, match="too large for 13 train rows"):
            choose(about_limit, "auto")
    else:
        assert choose(about_limit, "auto") == "tensors"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": 3}, "order must be 0, 1 or 2, got 3"),
        ({"reference": "ntk"}, "'frozen' or 'limit', got 'ntk'"),
        ({"engine": "fast"}, "engine must be 'auto'"),
        ({"steps": [3]}, "either times"),
        ({"times": None, "steps": [3], "step": 1e3}, "unstable"),
        ({"times": None, "steps": [2.5], "step": 0.1}, "counts"),
        ({"times": [np.inf], "engine": "shadow"}, "finite numbers"),
        ({"times": None, "steps": [3], "step": 0.1, "engine": "tensors"}, "gradient descent"),
        ({"reference": "limit", "engine": "shadow"}, "own kernel"),
        ({"y_train": Y[:2]}, "y_train must have shape"),
    ],
)
def test_bad_input_says_what_to_do(options, message, unchecked):
    given = {"x_train": X, "y_train": Y, "times": [1.0]} | options
    with pytest.raises(ValueError, match=message):
        predict(NET, NET.init(KEY, 8, 2), **given)


def test_the_limit_of_an_unknown_function_is_refused():
    with pytest.raises(ValueError, match="limit kernel Θ_∞, which is known for"):
        predict(lambda p, x: x @ p, jnp.ones((2, 2)), X, Y, times=[1.0], reference="limit")
