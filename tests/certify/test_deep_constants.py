"""Lipschitz constants of deep networks against power iteration and search over the ball."""

import jax
import numpy as np
import pytest

import widthwise as ww
from certify.steepest import climbed, power_iteration, second_derivative
from certify.trained_networks import Trained
from widthwise.certify.constants.ball import bounds_at
from widthwise.certify.constants.preactivations import PreactivationBounds
from widthwise.certify.evaluation import evaluate
from widthwise.model.architecture import Layer


def problem(kind, depth, n, m, outputs=1, bias=0.3, seed=0):
    rng = np.random.default_rng(seed)
    net = ww.MLP(depth, kind, bias_std=bias, outputs=outputs)
    x, y = rng.normal(size=(m, 3)), rng.normal(size=(m, outputs))
    return net, net.init(jax.random.key(seed), n, 3), x, y


@pytest.mark.parametrize(
    ("kind", "depth", "n", "m", "outputs"), [("tanh", 2, 32, 6, 1), ("softplus", 3, 24, 5, 2)]
)
def test_constant_within_a_small_factor_of_power_iteration(kind, depth, n, m, outputs):
    net, parameters, x, y = problem(kind, depth, n, m, outputs)
    trained, at = Trained(net, parameters, x, y), evaluate(net, parameters, x, y)
    found, _ = power_iteration(second_derivative(trained.function), trained.start)
    bound = bounds_at(at).jacobian(0.0)
    assert found <= bound <= 2.6 * found
    on_ball = PreactivationBounds(at).jacobian(0.02)
    assert bound <= on_ball <= 3.2 * found


@pytest.mark.parametrize(
    ("kind", "depth", "outputs", "factor"), [("erf", 2, 1, 5), ("erf", 3, 1, 10), ("sin", 3, 2, 10)]
)
def test_constant_on_a_ball_within_a_factor_of_the_steepest_network_found(
    kind, depth, outputs, factor
):
    net, parameters, x, y = problem(kind, depth, 64, 5, outputs)
    trained, at = Trained(net, parameters, x, y), evaluate(net, parameters, x, y)
    found = climbed(trained.start, second_derivative(trained.function), 0.1, 2)
    assert found <= bounds_at(at).jacobian(0.1) <= factor * found


def test_constant_holds_on_the_ball():
    net, parameters, x, y = problem("tanh", 3, 5, 3, outputs=2)
    trained, at = Trained(net, parameters, x, y), evaluate(net, parameters, x, y)
    maps = second_derivative(trained.function)
    rng = np.random.default_rng(3)
    for radius in (0.03, 0.5):
        best = climbed(trained.start, maps, radius, 3)
        for _ in range(2):
            v = rng.normal(size=len(trained.start))
            theta = trained.start + radius * v / np.linalg.norm(v)
            best = max(best, power_iteration(maps, theta, 1, 10)[0])
        assert best <= bounds_at(at).jacobian(radius)


ADVERSARIES = {
    "huge": lambda w, l: 300.0 * w,
    "tiny": lambda w, l: 1e-4 * w,
    "cancelling": lambda w, l: w + 1e5 * (np.arange(w.size).reshape(w.shape) % 2 * 2 - 1),
    "dead neurons": lambda w, l: np.where(np.arange(w.shape[1]) % 2, 0.0, w),
    "one neuron": lambda w, l: np.where((np.arange(w.shape[1]) == 0) & (l > 0), 30.0 * w, w),
    "rank one": lambda w, l: np.outer(w[:, 0], w[0]),
}


@pytest.mark.parametrize(("depth", "outputs"), [(2, 1), (3, 2)])
def test_constant_holds_for_adversarial_weights(depth, outputs):
    net, parameters, x, y = problem("erf", depth, 6, 3, outputs)
    maps = second_derivative(Trained(net, parameters, x, y).function)
    for name, change in ADVERSARIES.items():
        changed = tuple(
            Layer(change(np.asarray(layer.weight), l), layer.bias)
            for l, layer in enumerate(parameters)
        )
        start, at = Trained(net, changed, x, y).start, evaluate(net, changed, x, y)
        found = climbed(start, maps, 0.1, 3)
        assert found <= bounds_at(at).jacobian(0.1), name
        assert found <= PreactivationBounds(at).jacobian(0.1), name


def test_points_of_multiplicity_weigh_more():
    """A point of multiplicity 2 is the same as that point twice."""
    net, parameters, x, y = problem("sin", 2, 6, 3)
    again = np.concatenate([x, x[:1]]), np.concatenate([y, y[:1]])
    once = evaluate(net, parameters, x, y, np.sqrt([2.0, 1.0, 1.0]))
    trained = Trained(net, parameters, *again)
    found, _ = power_iteration(second_derivative(trained.function), trained.start)
    bound = PreactivationBounds(once).jacobian(0.0)
    assert found <= bound <= 3 * found


def test_constant_kept_along_a_short_way_is_that_of_a_larger_ball():
    net, parameters, x, y = problem("gelu", 2, 8, 3)
    bounds = bounds_at(evaluate(net, parameters, x, y))
    first = bounds.jacobian(0.1)
    at = bounds.at.moved(bounds.at.pull(np.full(3, 1e-3)))
    near = bounds.moved(at).jacobian(0.1)
    assert near == pytest.approx(first, rel=0.05)
    assert near > PreactivationBounds(at).jacobian(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tanh", "erf", "softplus", "gelu", "sin", "silu"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_constants_over_networks(kind, depth):
    """Never below what is found; within 5 at depth 2 and 10 at depth 3 up to a radius of 0.1."""
    for seed, (n, m, outputs, radius) in enumerate(
        [(2, 1, 1, 0.3), (8, 4, 2, 1.0), (16, 3, 1, 0.0), (64, 5, 1, 0.1), (64, 10, 2, 0.0)]
    ):
        net, parameters, x, y = problem(kind, depth, n, m, outputs, 0.2 * seed, seed)
        trained, at = Trained(net, parameters, x, y), evaluate(net, parameters, x, y)
        maps = second_derivative(trained.function)
        bound = bounds_at(at).jacobian(radius)
        found = (
            climbed(trained.start, maps, radius)
            if radius
            else power_iteration(maps, trained.start)[0]
        )
        assert found <= bound
        if n > 8:
            assert bound <= found * {1: 3, 2: 5, 3: 10}[depth]
