"""Gradient descent: Theorem 3 and its trajectory form against exact iterates."""

import jax
import numpy as np
import pytest

import widthwise as ww
from certify.held_against import descent
from certify.plain_networks import Plain
from certify.trained_networks import Trained, assert_sound, reference_parameters, sphere
from widthwise.certify import certify
from widthwise.certify.evaluation import evaluate
from widthwise.certify.posterior import descent as descents

ERF = ww.MLP(1, "erf")


def with_small_residual(net, n, size, m=3, seed=0):
    rng = np.random.default_rng(seed)
    x, parameters = rng.normal(size=(m, 2)), net.init(jax.random.key(seed), n, 2)
    y = np.asarray(net.apply(parameters, x)) + size * rng.normal(size=(m, net.outputs))
    return parameters, x, y


def test_theorem_3_holds_its_bounds_and_names_the_largest_step():
    parameters, x, y = with_small_residual(net := ww.MLP(1, "tanh", bias_std=0.5), 300, 2e-3)
    made = certify(net, parameters, x, y, method="path", dynamics="descent", step=0.3)
    assert made.holds
    seen = assert_sound(net, parameters, x, y, made)
    assert seen["movement"] > made.movement / 4
    at_edge = certify(
        net, parameters, x, y, method="path", dynamics="descent", step=made.largest_step
    )
    beyond = certify(
        net, parameters, x, y, method="path", dynamics="descent", step=made.largest_step * 1.01
    )
    assert at_edge.holds
    assert not beyond.holds
    assert f"{made.largest_step:.4g}" in beyond.reason
    largest = np.linalg.eigvalsh(np.asarray(ww.empirical_ntk(net, parameters, x)))[-1]
    assert made.largest_step < 2 / largest


def test_trajectory_of_a_narrow_network():
    x, y = sphere(5, 5)
    parameters = reference_parameters(8, 5)
    made = certify(ERF, parameters, x, y, dynamics="descent")
    assert made.holds
    assert made.method == "descent_trajectory"
    assert made.since > 0
    assert made.output_deviation is None
    assert_sound(ERF, parameters, x, y, made)
    assert "for k ≥" in str(made)


def test_exact_descent_stays_within_the_rounding_tube():
    """Iterates in extended precision against those in float64, at the width the tube reports."""
    x, y = sphere(3, 3)
    net, parameters = ww.MLP(1, "tanh"), reference_parameters(12, 3)
    made = certify(net, parameters, x, y, method="trajectory", dynamics="descent")
    assert made.holds
    assert made.from_start
    assert "exact gradient descent stays within" in made.reason
    assert "nothing is proven" not in str(made)
    width = float(made.reason.split("within ")[1].split(" of")[0])
    exact = Plain("tanh", parameters, 0.0, x, y[:, None], np.longdouble)
    rounded = Plain("tanh", parameters, 0.0, x, y[:, None])
    count = min(int(made.since), 400)
    apart = descent(exact, made.step, count) - descent(rounded, made.step, count)
    largest = float(np.abs(apart).max())
    assert 0 < largest < width < 1e-6


def test_a_step_beyond_stability_is_refused():
    x, y = sphere(3, 3)
    parameters = reference_parameters(16, 3)
    largest = np.linalg.eigvalsh(np.asarray(ww.empirical_ntk(ERF, parameters, x)))[-1]
    made = certify(ERF, parameters, x, y, method="path", dynamics="descent", step=2.1 / largest)
    assert not made.holds
    assert made.hypotheses[1].name == "η β̄² below 2"
    assert not made.hypotheses[1].holds


def test_iterates_equal_autodiff():
    """One step of the certified iteration is θ - η∇L of the plain network."""
    net = ww.MLP(2, "gelu", bias_std=0.4, outputs=2)
    parameters, x, y = with_small_residual(net, 6, 1.0)
    trained = Trained(net, parameters, x, y)
    at = evaluate(net, parameters, np.asarray(x), np.asarray(y))
    moved = at.moved(at.pull(0.1 * at.residual))
    flat = np.concatenate([part.ravel() for block in moved.blocks for part in block])
    expected = trained.start - 0.1 * np.asarray(trained.gradient(trained.start))
    assert flat == pytest.approx(expected, abs=1e-13)
    assert at.kernel == pytest.approx(trained.kernel(trained.start), abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tanh", "softplus", "sin"])
@pytest.mark.parametrize("depth", [1, 2])
def test_soundness_over_networks(kind, depth):
    held = 0
    for seed, (n, size) in enumerate([(8, 1e-3), (32, 1.0), (128, 1e-3), (256, 0.3)]):
        net = ww.MLP(depth, kind, bias_std=0.5, outputs=1 + seed % 2)
        parameters, x, y = with_small_residual(net, n, size, 2, seed)
        for method in ("path", "trajectory"):
            made = certify(net, parameters, x, y, method=method, dynamics="descent")
            if made.holds:
                held += 1
                assert_sound(net, parameters, x, y, made)
    assert held >= 3


@pytest.mark.parametrize(("depth", "n", "m", "seed"), [(2, 12, 4, 0), (3, 12, 2, 2), (2, 32, 3, 1)])
def test_deep_networks_whose_tube_cannot_be_bounded(depth, n, m, seed):
    """Constants that overflow on the way bound no tube; the search goes on from the iterates."""
    x = np.random.default_rng(seed).normal(size=(m, 3))
    y = np.where(np.arange(m) % 2, 1.0, -1.0)
    net = ww.MLP(depth, "tanh")
    parameters = net.init(jax.random.key(seed), n, 3)
    made = certify(net, parameters, x, y, dynamics="descent")
    assert made.holds
    assert not made.from_start
    assert "nothing is proven about exact descent from θ_0" in str(made)
    assert_sound(net, parameters, x, y, made)


def test_patience_lasts_while_the_theorem_is_in_reach(monkeypatch):
    """Steps beyond it are tried where the residual falls as it must, and not where it stalls."""
    monkeypatch.setattr(descents, "_PATIENCE", 100)
    x, y = sphere(10, 5)
    made = certify(ERF, reference_parameters(8, 5), x, y, dynamics="descent")
    assert made.holds
    assert made.since > 100
    monkeypatch.setattr(descents, "_ITERATES", int(made.since) - 200)
    short = certify(ERF, reference_parameters(8, 5), x, y, dynamics="descent")
    assert not short.holds
    assert short.reason.startswith("after ")
    one = certify(ERF, reference_parameters(1, 3), *sphere(3, 3), dynamics="descent")
    assert not one.holds
    monkeypatch.setattr(descents, "_ITERATES", 1000)
    assert descents._in_reach(100, [1.0, 0.5, 0.25, 0.125, 0.0625], 0.01)
    assert not descents._in_reach(100, [1.0, 0.5, 0.25, 0.125, 0.125], 0.01)
    assert not descents._in_reach(100, [1.0, 0.5, 0.25, 0.125, 0.0625], 0.0)
    assert not descents._in_reach(100, [1.0, 0.5, 0.25, 0.125, 0.0625], np.nan)
