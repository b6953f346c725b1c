"""Deep networks in intervals: fifty digits, the constant of the layers, and real training."""

import jax
import mpmath
import numpy as np
import pytest

import widthwise as ww
from certify.trained_networks import assert_sound
from widthwise.certify import certify
from widthwise.certify.constants.deep import DeepBounds
from widthwise.certify.evaluation import evaluate
from widthwise.certify.posterior import linear as margins
from widthwise.certify.rigorous.deep import matrix_norm, norm_above
from widthwise.certify.rigorous.intervals import lower, upper
from widthwise.certify.rigorous.network import Verified


def drawn(depth, width, size, points=2, outputs=1):
    rng = np.random.default_rng(4)
    net = ww.MLP(depth, "tanh", bias_std=0.3, outputs=outputs)
    x, layers = rng.normal(size=(points, 3)), net.init(jax.random.key(1), width, 3)
    noise = rng.normal(size=(points, outputs))
    y = np.asarray(net.apply(layers, x)).reshape(points, outputs) + size * noise
    return net, layers, x, y


def exactly(layers, x, y):
    """|r| and J of a tanh network with biases of scale 0.3 and one output, at fifty digits."""
    mp, shift = mpmath.mpf, mpmath.mpf(0.3)
    weights = [np.asarray(layer.weight).tolist() for layer in layers]
    biases = [np.asarray(layer.bias).tolist() for layer in layers]
    scales = [mp(float(1 / np.sqrt(len(weight[0])))) for weight in weights]
    residual, rows = [], []
    for point, label in zip(x.tolist(), y[:, 0], strict=True):
        features = [[mp(v) for v in point]]
        for c, weight, bias in zip(scales, weights, biases, strict=True):
            z = [
                c * mpmath.fsum(mp(w) * v for w, v in zip(row, features[-1], strict=True))
                + shift * mp(b)
                for row, b in zip(weight, bias, strict=True)
            ]
            features.append([mpmath.tanh(v) for v in z])
        residual.append(z[0] - mp(label))
        gradient, row = [mp(1)], []
        for l in reversed(range(len(weights))):
            row += [g * scales[l] * h for g in gradient for h in features[l]]
            row += [g * shift for g in gradient]
            gradient = [
                scales[l]
                * mpmath.fsum(g * mp(w[k]) for g, w in zip(gradient, weights[l], strict=True))
                * (1 - features[l][k] ** 2)
                for k in range(len(features[l]))
            ]
        rows.append(row)
    return mpmath.norm(mpmath.matrix(residual)), mpmath.matrix(rows)


def test_bounds_of_a_deep_network_enclose_fifty_digits():
    net, layers, x, y = drawn(2, 4, 1.0, points=3)
    network = Verified.of(evaluate(net, layers, x, y))
    with mpmath.workdps(50):
        size, J = exactly(layers, x, y)
        values = mpmath.eigsy(J * J.T, eigvals_only=True)
        gap = mpmath.matrix(network.at.kernel.tolist()) - J * J.T
        assert mpmath.mnorm(gap, "f") <= upper(network.kernel_radius) < 1e-11
        assert size <= upper(network.residual) <= float(size) * (1 + 1e-12)
        assert lower(network.smallest) <= values[0] <= lower(network.smallest) + 1e-11
        assert values[2] <= upper(network.beta) ** 2 <= float(values[2]) + 1e-10


@pytest.mark.parametrize(("rows", "columns"), [(3, 5), (9, 4), (1, 1)])
def test_norms_of_weights(rows, columns):
    matrix = np.random.default_rng(0).normal(size=(rows, columns))
    with mpmath.workdps(50):
        exact = mpmath.matrix(matrix.tolist())
        largest = max(mpmath.eigsy(exact * exact.T, eigvals_only=True))
        frobenius = mpmath.mnorm(exact, "f")
        assert mpmath.sqrt(largest) <= upper(matrix_norm(matrix))
        assert upper(matrix_norm(matrix)) < float(mpmath.sqrt(largest)) * (1 + 1e-12)
        for one, size in ((matrix, frobenius), (np.tile(matrix, (10, 10)), 10 * frobenius)):
            assert size <= upper(norm_above(one)) < float(size) * (1 + 1e-8)
    assert upper(matrix_norm(np.full((2, 2), np.inf))) == np.inf


@pytest.mark.parametrize(("depth", "outputs"), [(2, 1), (3, 2)])
def test_the_constant_is_that_of_the_layers(depth, outputs):
    """At other parameters by the norms of the first, which are larger by the way at most."""
    net, layers, x, y = drawn(depth, 12, 0.1, outputs=outputs)
    at = evaluate(net, layers, x, y)
    network = Verified.of(at)
    moved = at.moved(at.pull(0.3 * np.ones(at.problem.rows)))
    for radius in (0.0, 0.4):
        here = DeepBounds(at)._by_layers(radius)
        assert network.lipschitz_above(radius) == pytest.approx(here, rel=1e-7)
        there, bound = (
            DeepBounds(moved)._by_layers(radius),
            network.moved(moved).lipschitz_above(radius),
        )
        assert there * (1 - 1e-7) < bound < 1.5 * there


@pytest.mark.parametrize(
    ("method", "dynamics", "size"),
    [
        ("path", "flow", 1e-3),
        ("linear_reference", "flow", 0.03),
        ("path", "descent", 1e-3),
        ("trajectory", "descent", 0.1),
    ],
)
def test_deep_networks_in_intervals(method, dynamics, size, monkeypatch):
    monkeypatch.setattr(margins, "_RATIO", 0.3)
    net, layers, x, y = drawn(2, 16, size)
    made = certify(net, layers, x, y, method, dynamics, arithmetic="interval")
    assert made.holds
    assert "outward-rounded intervals" in made.assumption
    assert_sound(net, layers, x, y, made)


@pytest.mark.slow
def test_later_iterates_of_deep_networks_are_tried():
    """The constant is larger than with margins, which need no iterate here."""
    net, layers, x, y = drawn(3, 12, 0.01)
    made = certify(net, layers, x, y, "trajectory", "descent", arithmetic="interval")
    rival = certify(net, layers, x, y, "trajectory", "descent")
    assert made.holds
    assert rival.holds
    assert made.since == 16 > rival.since
    assert not made.from_start
    assert_sound(net, layers, x, y, made)
