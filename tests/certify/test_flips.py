"""Activations with a kink: Theorem 2 with sign flips, and what is refused."""

import jax
import numpy as np
import pytest

import widthwise as ww
from certify.trained_networks import Trained, assert_sound
from widthwise.certify import certify
from widthwise.certify.constants.kinks import FlipBounds, piecewise, slopes
from widthwise.certify.evaluation import evaluate


def case(kind, n, size, seed=0, outputs=1):
    rng = np.random.default_rng(seed)
    net = ww.MLP(1, kind, bias_std=0.5, outputs=outputs)
    x, parameters = rng.normal(size=(2, 2)), net.init(jax.random.key(seed), n, 2)
    y = np.asarray(net.apply(parameters, x)) + size * rng.normal(size=(2, outputs))
    return net, parameters, x, y


def test_slopes():
    assert slopes(ww.activations.get("relu")) == (0.0, 1.0)
    assert slopes(ww.activations.get("abs")) == (-1.0, 1.0)
    assert slopes(ww.activations.get("leaky_relu(0.2)")) == pytest.approx((0.2, 1.0))
    assert slopes(ww.activations.get("tanh")) is None
    assert slopes(ww.activations.get("step")) is None


def test_relu_trains_inside_its_certificate():
    net, parameters, x, y = case("relu", 500, 3e-3)
    made = certify(net, parameters, x, y)
    assert made.holds
    assert made.method == "sign_flips"
    seen = assert_sound(net, parameters, x, y, made)
    assert seen["movement"] > made.movement / 20
    assert "Theorem 2" in str(made)


def test_jacobian_change_bounds_what_moves_are_found():
    """Random and sparse moves of size ρ: |J - J_0| stays below."""
    net, parameters, x, y = case("abs", 12, 1.0, 3)
    trained = Trained(net, parameters, x, y)
    at = evaluate(net, parameters, x, y, bounds=piecewise(net.activation))
    bounds, J0 = FlipBounds(at), np.asarray(trained.jacobian(trained.start))
    rng, largest = np.random.default_rng(0), {}
    for rho in (1e-3, 0.05, 0.5):
        for k in range(60):
            v = rng.normal(size=len(trained.start)) * (
                rng.random(len(trained.start)) < 0.1 * (k % 5 + 1)
            )
            move = rho * v / max(np.linalg.norm(v), 1e-300)
            change = np.asarray(trained.jacobian(trained.start + move)) - J0
            largest[rho] = max(largest.get(rho, 0.0), np.linalg.norm(change, 2))
        bound = bounds.jacobian_change(rho, 1e6)
        assert largest[rho] <= bound
    assert bounds.jacobian_change(0.05, 1e-4) < bounds.jacobian_change(0.05, 1e6)
    assert largest[0.5] > bound / 20


def test_refused_with_the_reason():
    net, parameters, x, y = case("relu", 20, 5.0)
    made = certify(net, parameters, x, y)
    assert not made.holds
    assert "may change sign" in made.reason
    assert "does not say that training fails" in str(made)
    assert "kink" in certify(net, parameters, x, y, dynamics="descent").reason
    assert "kink" in certify(net, parameters, x, y, method="path").reason
    deep = ww.MLP(2, "relu")
    other = certify(deep, deep.init(jax.random.key(0), 8, 2), x, y)
    assert "only gradient flow of one hidden layer" in other.reason
    step = ww.MLP(1, "step")
    assert "kink" in certify(step, step.init(jax.random.key(0), 8, 2), x, y).reason
    smooth = ww.MLP(1, "tanh")
    parameters = smooth.init(jax.random.key(0), 8, 2)
    assert "smooth" in certify(smooth, parameters, x, y, method="sign_flips").reason


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["relu", "leaky_relu(0.3)", "abs"])
def test_soundness_at_the_edge(kind):
    """The largest residual that is certified, by bisection, for several widths and outputs."""
    for n, outputs in ((200, 1), (2000, 2)):
        net, parameters, x, _ = case(kind, n, 0.0, n, outputs)
        start = np.asarray(net.apply(parameters, x))
        direction = np.random.default_rng(n).normal(size=start.shape)
        low, high, held = 1e-8, 1e2, None
        for _ in range(12):
            middle = (low * high) ** 0.5
            made = certify(net, parameters, x, start + middle * direction)
            low, high = (middle, high) if made.holds else (low, middle)
            held = (start + middle * direction, made) if made.holds else held
        assert held is not None
        assert_sound(net, parameters, x, *held)
