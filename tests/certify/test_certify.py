"""Certificates against published numbers, really trained networks, and cases to refuse."""

import dataclasses
from typing import get_args

import jax
import numpy as np
import pytest

import widthwise as ww
from certify.trained_networks import assert_sound, network, reference_parameters, sphere
from widthwise.certify import Certificate, certify
from widthwise.certify.evaluation import evaluate
from widthwise.certify.posterior.certify import BESIDES, METHODS, Method
from widthwise.certify.posterior.spectrum import LinearReference, Spectrum
from widthwise.model.architecture import Layer
from widthwise.show import cli

ERF = ww.MLP(1, "erf")
KEY = jax.random.key(0)


def test_reference_numbers_and_soundness_of_the_linear_reference():
    x, y = sphere(5, 5)
    parameters = reference_parameters(1000, 5)
    made = certify(ERF, parameters, x, y)
    assert made.holds
    assert made.method == "linear_reference"
    assert [a.method for a in made.attempts] == ["path"]
    assert made.rate == pytest.approx(0.1018, abs=5e-5)
    assert made.movement == pytest.approx(1.3196, abs=1.5e-4)
    assert made.ntk_change == pytest.approx(0.0352, abs=5e-5)
    assert made.output_deviation == pytest.approx(0.0119, abs=5e-5)
    seen = assert_sound(ERF, parameters, x, y, made)
    assert seen["ntk_change"] > made.ntk_change / 10
    assert seen["movement"] > made.movement / 1.2
    assert seen["limit_deviation"] > made.limit_deviation / 2


def test_published_numbers_of_the_start_and_of_the_textbook_refusal():
    x, y = sphere(5, 5)
    parameters = reference_parameters(1000, 5)
    at = evaluate(ERF, parameters, x, y[:, None])
    spectrum = Spectrum.of(at)
    assert np.linalg.norm(at.residual) == pytest.approx(1.310932627603394, rel=1e-13)
    assert at.kernel[0, 0] == pytest.approx(1.0871430830094764, rel=1e-13)
    assert spectrum.alpha == pytest.approx(0.32896, abs=5e-6)
    assert LinearReference(spectrum).displacement(np.inf) == pytest.approx(1.2575, abs=5e-5)
    made = certify(ERF, reference_parameters(1000, 5), *sphere(10, 5), method="textbook")
    assert not made.holds
    assert made.hypotheses[1].number == pytest.approx(131.66, abs=5e-3)


def test_the_same_statement_for_each_point_twice():
    """Equal points with equal labels are one point of multiplicity 2, and train like it."""
    x, y = sphere(5, 5)
    x, y = np.concatenate([x, x[:2], -x[2:3]]), np.concatenate([y, y[:2], -y[2:3]])
    parameters = reference_parameters(1000, 5)
    made = certify(ERF, parameters, x, y, method="linear_reference")
    assert made.holds
    trained = assert_sound(ERF, parameters, x, y, made)
    assert trained["ntk_change"] > made.ntk_change / 10


def test_path_at_small_labels_and_several_outputs():
    """Subtracting the network's own outputs from the labels makes the residual small."""
    rng = np.random.default_rng(2)
    net = ww.MLP(1, "tanh", bias_std=[0.5, 0.2], outputs=2)
    x, parameters = rng.normal(size=(3, 2)), net.init(KEY, 300, 2)
    y = np.asarray(net.apply(parameters, x)) + 0.01 * rng.normal(size=(3, 2))
    made = certify(net, parameters, x, y, method="path")
    assert made.holds
    assert_sound(net, parameters, x, y, made)
    again = certify(net, parameters, x, y, method="linear_reference")
    assert again.holds
    assert again.output_deviation < made.output_deviation
    assert_sound(net, parameters, x, y, again)


def test_two_hidden_layers_by_path_and_linear_reference():
    rng = np.random.default_rng(3)
    net = ww.MLP(2, "tanh", bias_std=[0.3, 0.3, 0.0])
    x, parameters = rng.normal(size=(2, 3)), net.init(KEY, 60, 3)
    y = np.asarray(net.apply(parameters, x))[:, 0] + np.array([0.001, -0.001])
    for method in ("path", "linear_reference"):
        made = certify(net, parameters, x, y, method=method)
        assert made.holds
        assert_sound(net, parameters, x, y, made)
    tube = certify(net, parameters, x, y, method="trajectory")
    assert not tube.holds
    assert "not available" in tube.reason


@pytest.mark.parametrize(
    ("m", "n"), [(2, 64), pytest.param(3, 24, marks=pytest.mark.slow)], ids=["2 points", "3 points"]
)
def test_trajectory_of_a_narrow_network(m, n):
    x, y = sphere(m, 3)
    parameters = reference_parameters(n, 3)
    made = certify(ERF, parameters, x, y)
    assert made.holds
    assert made.method == "trajectory"
    assert_sound(ERF, parameters, x, y, made)
    assert "Certified by validated trajectory" in str(made)
    assert str(made).count("Before it") == 2


def test_standard_parametrization_is_a_change_of_variables():
    """With σ_w = 1 and width n its weights' rates are d/n and 1: the flow is not the same one."""
    x, y = sphere(3, 3)
    standard = ww.MLP(1, "erf", parametrization="standard")
    parameters = standard.init(KEY, 512, 3)
    made = certify(standard, parameters, x, y)
    theta = np.asarray(ww.empirical_ntk(standard, parameters, x))
    r = np.asarray(standard.apply(parameters, x))[:, 0] - y
    values, vectors = np.linalg.eigh(theta)
    way = np.sqrt(((vectors.T @ r) ** 2 / values).sum())
    assert made.holds
    assert made.movement == pytest.approx(way, rel=0.2)
    assert made.movement > way * 0.999


@pytest.mark.parametrize("n", [1, 1000])
def test_refused_contradictory_duplicates(n):
    x, y = sphere(10, 5)
    x[1], y[1] = x[0], -y[0]
    made = certify(ERF, reference_parameters(n, 5), x, y)
    assert not made.holds
    assert "points 0, 1" in made.reason
    assert "cosine 1" in made.reason
    assert made.least_loss == pytest.approx(1.0)
    assert "No parameters bring the loss below 1." in str(made)


def test_refused_antiparallel_inputs_and_rank():
    x, y = sphere(10, 5)
    few = certify(ERF, reference_parameters(1, 5), x, y)
    assert not few.holds
    assert "6 parameters" in few.reason
    x[1] = -x[0]
    made = certify(ERF, reference_parameters(1000, 5), x, y)
    assert not made.holds
    assert "cosine -1" in made.reason
    assert made.least_loss == pytest.approx(1.0)


def test_refusals_do_not_speak_of_divergence():
    x, y = sphere(10, 5)
    static = certify(ERF, reference_parameters(1000, 5), x, y, method="path")
    assert not static.holds
    text = str(static)
    assert "Not certified" in text
    assert "does not say that training fails" in text
    assert "diverge" not in text
    assert static.rate is None
    kinked = certify(ww.MLP(1, "relu"), reference_parameters(8, 5), x, y)
    assert not kinked.holds
    assert "kink" in kinked.reason
    near = x.copy()
    near[1] = near[0] * (1 + 1e-13)
    made = certify(ERF, reference_parameters(1000, 5), near, -y)
    assert not made.holds
    assert "points 0 and 1" in made.reason


def test_huge_cancelling_weights_are_refused_for_their_rounding():
    """Preactivations of size 1 that are differences of numbers of size 1e16: nothing is known."""
    rng = np.random.default_rng(0)
    x, y = np.array([[1.0, 1.0], [1.0, 1.0 + 2e-16], [1.0, 1.0 - 2e-16]]), np.ones(3)
    weight = 1e16 * rng.normal(size=(8, 1)) * np.array([[1.0, -1.0]])
    parameters = Layer(weight, None), Layer(rng.normal(size=(1, 8)), None)
    made = certify(ERF, parameters, x, y)
    assert not made.holds
    assert made.hypotheses[0].bound > 1.0


def test_arguments(unchecked):
    x, y = sphere(3, 3)
    parameters = reference_parameters(8, 3)
    with pytest.raises(ValueError, match="dynamics must be 'flow' or 'descent', got 'sgd'"):
        certify(ERF, parameters, x, y, dynamics="sgd")
    with pytest.raises(ValueError, match="got 'linear_reference'"):
        certify(ERF, parameters, x, y, method="linear_reference", dynamics="descent")
    with pytest.raises(ValueError, match="step belongs to dynamics='descent'"):
        certify(ERF, parameters, x, y, step=0.1)
    with pytest.raises(ValueError, match="step must be a finite number above 0, got -1"):
        certify(ERF, parameters, x, y, dynamics="descent", step=-1)
    with pytest.raises(ValueError, match="y must have shape"):
        certify(ERF, parameters, x, y[:2])
    with pytest.raises(ValueError, match="depth"):
        certify(ww.MLP(2, "erf"), parameters, x, y)
    bad = parameters[0], Layer(parameters[1].weight * np.nan, None)
    with pytest.raises(ValueError, match="layer 1 hold a number that is not finite"):
        certify(ERF, bad, x, y)
    stacked = jax.vmap(lambda key: ERF.init(key, 8, 3))(jax.random.split(KEY, 2))
    with pytest.raises(ValueError, match="2 members"):
        certify(ERF, stacked, x, y)


def test_every_method_is_known_to_its_dynamics_and_to_the_command_line():
    known = {name for dynamics in METHODS for name in (*METHODS[dynamics], *BESIDES[dynamics])}
    assert set(get_args(Method)) == known | {"auto"}
    for name in get_args(Method):
        words = ["certify", "study.toml", "--method", name]
        _, bound, _ = cli.app.parse_args(words, exit_on_error=False, print_error=False)
        assert bound.arguments["method"] == name


def test_one_point_and_frozen():
    made = certify(ERF, reference_parameters(64, 1), [[1.0]], [0.3])
    assert made.holds
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.holds = False
    assert isinstance(made.attempts, tuple)
    assert all(isinstance(attempt, Certificate) for attempt in made.attempts)


def at_the_edge(method, depth, n, kind="tanh", rounds=8):
    """The largest residual, along one direction, that a method certifies; and the certificate."""
    rng = np.random.default_rng(n)
    net = network(kind, depth, outputs=1, bias=0.5)
    x, parameters = rng.normal(size=(2, 2)), net.init(jax.random.key(n), n, 2)
    start, direction = np.asarray(net.apply(parameters, x)), rng.normal(size=(2, 1))
    low, high, held = 1e-6, 1e3, None
    for _ in range(rounds):
        middle = (low * high) ** 0.5
        made = certify(net, parameters, x, start + middle * direction, method=method)
        low, high = (middle, high) if made.holds else (low, middle)
        held = (start + middle * direction, made) if made.holds else held
    assert held is not None
    assert high < 1e3
    return net, parameters, x, *held


def test_soundness_at_the_edge_of_theorem_1():
    net, parameters, x, y, made = at_the_edge("path", 1, 24, rounds=12)
    assert made.hypotheses[1].number > 0.97 * made.hypotheses[1].bound
    assert_sound(net, parameters, x, y, made)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tanh", "softplus"])
@pytest.mark.parametrize(
    ("method", "depth", "n"),
    [
        ("textbook", 1, 24),
        ("path", 1, 4),
        ("path", 2, 24),
        ("path", 3, 24),
        ("linear_reference", 1, 24),
        ("linear_reference", 2, 24),
    ],
)
def test_soundness_at_the_edge(method, depth, n, kind):
    assert_sound(*at_the_edge(method, depth, n, kind))


@pytest.mark.slow
def test_soundness_of_the_tube_at_its_edge():
    assert_sound(*at_the_edge("trajectory", 1, 6))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tanh", "erf", "softplus", "gelu", "sin"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_soundness_over_networks(kind, depth):
    """Where a certificate holds, DOP853 stays inside; residuals from tiny to full size."""
    held = 0
    for seed, (n, m, size) in enumerate(
        [(16, 2, 1e-3), (16, 3, 1.0), (128, 2, 1e-2), (128, 4, 1.0), (512, 3, 0.1)]
    ):
        rng = np.random.default_rng(seed)
        net = network(kind, depth, outputs=1 + seed % 2, bias=0.5)
        x, parameters = rng.normal(size=(m, 3)), net.init(jax.random.key(seed), n, 3)
        y = np.asarray(net.apply(parameters, x)) + size * rng.normal(size=(m, net.outputs))
        methods = ["path", "linear_reference"] + ["trajectory"] * (depth == 1)
        for method in methods:
            made = certify(net, parameters, x, y, method=method)
            if made.holds:
                held += 1
                assert_sound(net, parameters, x, y, made)
    assert held >= (4 if depth == 1 else 1)
