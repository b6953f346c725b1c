"""Soundness: wherever a certificate holds, training by other code stays inside every bound of it.

Networks of depth 1 to 3, n from 2 to 4096, m from 1 to 20, some of them adversarial; the residual
is bisected to the edge of what each method certifies.
"""

import dataclasses
import itertools

import jax
import numpy as np
import pytest

import widthwise as ww
from certify.held_against import hold
from certify.plain_networks import Plain
from certify.trained_networks import computed
from widthwise.certify import certify
from widthwise.certify.constants.ball import bounds_at
from widthwise.certify.evaluation import Evaluation, evaluate
from widthwise.certify.posterior import descent as theorem_3
from widthwise.certify.posterior.descent import (
    Start,
    certify_descent,
    certify_descent_trajectory,
    contraction,
)
from widthwise.certify.posterior.linear import certify_linear_reference
from widthwise.certify.posterior.path import certify_path
from widthwise.certify.posterior.spectrum import Spectrum
from widthwise.certify.posterior.tube import certify_trajectory
from widthwise.certify.rigorous import linear, tube
from widthwise.certify.rigorous.network import Verified
from widthwise.model.architecture import Layer

KINDS = ["tanh", "erf", "softplus", "gelu", "sin"]
BIAS = 0.4
WIDE = [(2, 1, 1), (3, 2, 1), (8, 2, 2), (24, 4, 1), (100, 6, 1), (1000, 10, 1), (4096, 20, 1)]
DEEP = [(2, 1, 1), (6, 2, 1), (16, 3, 2), (48, 5, 1)]


def path(at, bounds, spectrum):
    return certify_path(at, bounds, spectrum)


def descent(at, bounds, spectrum):
    return certify_descent(bounds, spectrum, float(1 / spectrum.values[-1]))


def descent_trajectory(at, bounds, spectrum):
    return certify_descent_trajectory(at, bounds, float(1 / spectrum.values[-1]))


def linear_reference_in_intervals(at, bounds, spectrum):
    return linear.linear_reference_in_intervals(Verified.of(at))


def trajectory_in_intervals(at, bounds, spectrum):
    return tube.trajectory_in_intervals(Verified.of(at))


def scaled(factor):
    return lambda w, l, last: w * np.where(l == last, factor, 1.0)


TRANSFORMED = {
    "as drawn": lambda w, l, last: w,
    "large readout": scaled(4.0),
    "small readout": scaled(0.05),
    "sharp first layer": lambda w, l, last: w * np.where(l == 0, 3.0, 1.0),
    "dead neurons": lambda w, l, last: np.where((np.arange(w.shape[1]) % 2 == 1) & (l > 0), 0.0, w),
    "twins": lambda w, l, last: w[np.arange(len(w)) // 2 * 2] if l == 0 else w,
}


def drawn(kind, depth, n, m, outputs, seed, how="as drawn", near=None):
    """A network with points, its outputs, and a direction of labels."""
    rng = np.random.default_rng(seed)
    net = ww.MLP(depth, kind, bias_std=BIAS, outputs=outputs)
    x = rng.normal(size=(m, 10 if m > 10 else 4))
    if near is not None and m > 1:
        x[1] = x[0] + near * rng.normal(size=x.shape[1])
    sizes = [x.shape[1], *[n] * depth, outputs]
    layers = tuple(
        Layer(
            TRANSFORMED[how](rng.normal(size=(out, into)), l, depth),
            rng.normal(size=out),
        )
        for l, (into, out) in enumerate(itertools.pairwise(sizes))
    )
    plain = Plain(kind, layers, BIAS, x, np.zeros((m, outputs)))
    outputs0 = plain.residual(plain.start).reshape(m, outputs)
    direction = rng.normal(size=(m, outputs))
    return net, layers, x, outputs0, direction / np.linalg.norm(direction)


def holds(method, at, bounds):
    """Whether a method certifies; for descent by its condition alone, without the largest step."""
    if method is not descent:
        made = attempt(method, at, bounds)
        return made is not None and made.holds
    spectrum = Spectrum.of(at)
    found = contraction(Start.of(spectrum, bounds), float(1 / spectrum.values[-1]))
    return bool(np.isfinite(found.length))


def relabelled(at, y):
    """The same network with other labels; what does not depend on them is not computed again."""
    other = Evaluation(dataclasses.replace(at.problem, y=y), at.blocks)
    kept = {k: v for k, v in vars(at).items() if k not in ("problem", "residual", "rounding")}
    vars(other).update(kept)
    return other


def attempt(method, at, bounds):
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        spectrum = Spectrum.of(at)
        return method(at, bounds, spectrum) if spectrum.alpha > 0 else None


def at_the_edge(method, case, rounds, high=10.0, low=1e-8):
    """The largest residual found, by bisection, that a method certifies: labels and certificate.

    Bounds of the Jacobian do not depend on the labels. The certificate at the edge is made anew.
    """
    net, layers, x, outputs0, direction = case
    start = evaluate(net, layers, x, outputs0)
    bounds, largest = bounds_at(start), None
    for _ in range(rounds):
        middle = (low * high) ** 0.5
        y = outputs0 + middle * direction
        certified = holds(method, relabelled(start, y), bounds)
        low, high = (middle, high) if certified else (low, middle)
        largest = y if certified else largest
    if largest is None:
        return None
    at = evaluate(net, layers, x, largest)
    made = attempt(method, at, bounds_at(at))
    assert made is not None
    assert made.holds
    return largest, made


def check(method, kind, case, rounds, precision=np.float64):
    """1 if something was certified, and training stayed inside it."""
    _, layers, x, *_ = case
    held = at_the_edge(method, case, rounds)
    if held is None:
        return 0
    y, made = held
    hold(made, Plain(kind, layers, BIAS, x, y, precision))
    return 1


def test_plain_networks_equal_the_library():
    net, layers, x, outputs0, direction = drawn("gelu", 3, 6, 3, 2, 0)
    plain = Plain("gelu", layers, BIAS, x, outputs0 + direction)
    at = evaluate(net, layers, x, outputs0 + direction)
    assert plain.residual(plain.start) == pytest.approx(at.residual, abs=1e-13)
    assert plain.kernel(plain.start) == pytest.approx(at.kernel, abs=1e-12)
    pulled = [part.ravel() for block in at.pull(at.residual) for part in block if part is not None]
    assert plain.gradient(plain.start) == pytest.approx(np.concatenate(pulled), abs=1e-12)


def test_three_methods_at_their_edge():
    case = drawn("tanh", 1, 24, 2, 1, 5)
    assert check(path, "tanh", case, 12)
    assert check(descent, "tanh", case, 12)
    deep = drawn("tanh", 2, 16, 2, 1, 5)
    assert check(path, "tanh", deep, 10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "kind"),
    [(path, kind) for kind in KINDS] + [(descent, kind) for kind in ("tanh", "softplus", "sin")],
)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_static_methods(method, kind, depth, monkeypatch):
    """Each network at its edge; 720 of them in all.

    The largest step of descent is not searched for: nothing here looks at it, and with the slow
    constants of deep networks it would take four fifths of the time.
    """
    monkeypatch.setattr(theorem_3, "largest_step", lambda start: None)
    held = 0
    for n, m, outputs in WIDE if depth == 1 else DEEP:
        for seed, how in enumerate(TRANSFORMED):
            case = drawn(kind, depth, n, m, outputs, seed, how, None if seed % 3 else 0.1)
            held += check(method, kind, case, 9)
    assert held >= (42 if depth == 1 else 22)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_linear_reference(kind, depth):
    held = 0
    sizes = [(24, 2, 1), (100, 3, 1), (1000, 4, 1)] if depth == 1 else [(6, 2, 1), (24, 2, 1)]
    for n, m, outputs in sizes:
        case = drawn(kind, depth, n, m, outputs, 0)
        held += check(certify_linear_reference, kind, case, 5)
    assert held >= 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("depth", "n", "m", "outputs"), [(1, 24, 2, 1), (1, 100, 2, 2), (2, 24, 2, 1)]
)
def test_linear_reference_in_intervals(kind, depth, n, m, outputs):
    case = drawn(kind, depth, n, m, outputs, 0)
    assert check(linear_reference_in_intervals, kind, case, 5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tanh", "gelu"])
def test_trajectory_in_intervals(kind):
    case = drawn(kind, 1, 8, 2, 1, 0)
    assert check(trajectory_in_intervals, kind, case, 3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "m"), [(4, 2), (16, 3)])
def test_trajectory(kind, n, m):
    """A residual of size 1, and the edge on a coarse bisection."""
    net, layers, x, outputs0, direction = case = drawn(kind, 1, n, m, 1, 0)
    y = outputs0 + direction
    at = evaluate(net, layers, x, y)
    made = attempt(certify_trajectory, at, bounds_at(at))
    held = made is not None and made.holds
    if held:
        hold(made, Plain(kind, layers, BIAS, x, y))
    assert held + check(certify_trajectory, kind, case, 3) >= 1


@pytest.mark.parametrize("kind", ["tanh", "sin", "softplus"])
@pytest.mark.parametrize("depth", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_descent_trajectory_against_extended_precision(kind, depth):
    """From the start, or from the computed iterate, whichever the certificate is about."""
    held = 0
    for seed in range(4):
        net, layers, x, outputs0, direction = drawn(kind, depth, 8, 3, 1, seed)
        y = outputs0 + direction
        at = evaluate(net, layers, x, y)
        made = attempt(descent_trajectory, at, bounds_at(at))
        assert made is not None
        if made.holds and made.since < 4000:
            held += 1
            way = () if made.from_start else computed(net, layers, x, y, made)
            hold(made, Plain(kind, layers, BIAS, x, y, np.longdouble), way=way)
    assert held >= 3


@pytest.mark.parametrize("dynamics", ["flow", "descent"])
def test_nothing_is_certified_where_training_stalls(dynamics):
    """The same input with two labels; one neuron for four points; a network of dead neurons."""
    net, layers, x, outputs0, _ = drawn("tanh", 1, 16, 4, 1, 0)
    twice = np.concatenate([x, x[:1]])
    y = np.concatenate([outputs0, outputs0[:1] + 1e-9])
    assert not certify(net, layers, twice, y, dynamics=dynamics).holds
    one = ww.MLP(1, "tanh")
    few = one.init(jax.random.key(0), 1, 2)
    rng = np.random.default_rng(0)
    assert not certify(
        one, few, rng.normal(size=(4, 2)), 3 * rng.normal(size=4), dynamics=dynamics, method="path"
    ).holds
    dead = layers[0], Layer(0 * layers[1].weight, None)
    saturated = Layer(dead[0].weight, dead[0].bias + 1e3), dead[1]
    unbiased = ww.MLP(1, "tanh", bias_std=[BIAS, 0.0])
    made = certify(unbiased, saturated, x, outputs0, dynamics=dynamics, method="path")
    assert not made.holds
