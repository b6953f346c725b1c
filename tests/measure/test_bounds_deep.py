"""Theorem 2 at depths 1 to 3, and the mean conditional distance of Gaussian readouts."""

import jax
import numpy as np
import pytest

import widthwise as ww
from widthwise.measure import distances as d
from widthwise.measure.bounds import distance_bound
from widthwise.measure.bounds.mixture import bures, conditional_kernels

X = np.array([[-1.0], [0.3], [1.2]])


def network(depth, law="gaussian", activation="tanh"):
    return ww.MLP(depth, activation, 1.5, 0.5, ("gaussian", *(law,) * depth))


def test_bures_of_commuting_covariances_and_of_the_line():
    P, Q = np.diag([4.0, 1.0, 0.0]), np.diag([1.0, 1.0, 9.0])
    assert bures(P, Q) == pytest.approx(np.sqrt(1 + 0 + 9))
    assert bures(np.array([[2.25]]), np.array([[1.0]])) == pytest.approx(0.5)
    rng = np.random.default_rng(0)
    A = rng.normal(size=(3, 3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    one, two = A @ A.T, np.eye(3) + A.T @ A
    assert bures(turn @ one @ turn.T, turn @ two @ turn.T) == pytest.approx(bures(one, two))
    assert bures(one, two) == pytest.approx(bures(two, one))


@pytest.mark.parametrize(
    ("law", "expected"),
    [("gaussian", (2.560, 6.303, 11.92)), ("exponential", (4.008, 9.847, 18.59))],
)
def test_constants_of_the_recursion(law, expected):
    """√n times the bound; at depth 1 that of Theorem 1, also where Theorem 3 is smaller."""
    for depth, number in zip((1, 2, 3), expected, strict=True):
        bound = distance_bound(network(depth, law), X, 16)
        assert 4 * bound.value == pytest.approx(number, rel=1e-3)
        assert bound.method.startswith("Theorem 2" if depth > 1 else "Theorem 1")
    assert bound.constants["Lip"] == 1.0
    assert bound.constants["D_3"] < bound.value


def test_the_recursion_is_above_the_mean_conditional_distance():
    """√n (E Bures²)^{1/2} at n = 32 … 256 is about .87, 1.15, 1.34 for depths 1, 2, 3."""
    n, members = 64, 600
    for depth, expected in zip((1, 2, 3), (0.87, 1.15, 1.34), strict=True):
        net = network(depth)
        kernels = conditional_kernels(net, n, X, members, jax.random.key(depth))
        limit = np.asarray(ww.limit_kernels(net, X).nngp)
        squares = n * bures(kernels, limit) ** 2
        error = squares.std() / np.sqrt(members)
        assert squares.mean() + 4 * error < n * distance_bound(net, X, n).value ** 2
        measured = np.sqrt(squares.mean())
        assert abs(measured - expected) < 0.02 + 4 * error / (2 * measured)
        mean = kernels.mean(0) - limit  # E K_n is K but for 1/n
        assert np.abs(mean).max() < 4 * kernels.std(0).max() / np.sqrt(members) + 2 / n


def test_conditional_kernels_are_those_of_the_drawn_networks():
    net = ww.MLP(2, "tanh", 1.5, 0.5, ratios=(1.0, 2.0))
    key = jax.random.key(3)
    kernel = conditional_kernels(net, 16, X, 3, key)[2]
    parameters = net.init(jax.random.fold_in(key, 2), 16, 1)
    h = X
    for l in (0, 1):
        fan_in = parameters[l].weight.shape[1]
        h = 1.5 / np.sqrt(fan_in) * h @ np.asarray(parameters[l].weight).T
        h = np.tanh(h + 0.5 * np.asarray(parameters[l].bias))
    assert h.shape == (3, 32)
    np.testing.assert_allclose(kernel, 1.5**2 / 32 * h @ h.T + 0.25, rtol=1e-12)


@pytest.mark.parametrize(("law", "activation"), [("exponential", "softplus"), ("uniform", "relu")])
def test_samples_of_deep_networks_are_not_farther_than_the_bound(law, activation):
    net, n, members = network(2, law, activation), 8, 4000
    keys = jax.random.split(jax.random.key(5), members)
    outputs = jax.vmap(lambda key: net.apply(net.init(key, n, 1), X)[:, 0])(keys)
    limit = d.Normal(np.zeros(3), np.asarray(ww.limit_kernels(net, X).nngp))
    low = d.wasserstein2_lower_bound(np.asarray(outputs), limit, directions=np.eye(3)).interval[0]
    assert 0 < low <= distance_bound(net, X, n).value


def test_hidden_layers_may_differ_in_width():
    """Each term falls with the width of its own layer."""

    def value(ratios):
        net = ww.MLP(2, "tanh", 1.5, 0.5, ratios=ratios)
        return distance_bound(net, X, 64)

    even, wide = value((1.0, 1.0)), value((4.0, 1.0))
    own = even.constants["C_S"] / 8
    assert wide.value - own == pytest.approx((even.value - own) / 2, rel=1e-9)
