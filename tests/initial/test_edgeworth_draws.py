"""Draws with signed weights, and scale mixtures for Gaussian readout weights."""

import jax
import numpy as np
import pytest

import widthwise as ww
from initial.oracles.transfer import ExactBounded

KEY = jax.random.key(11)
X = np.array([[1.0, 0.5], [0.2, -1.0]])


def z_score(estimate, exact):
    return abs(float(estimate.value) - exact) / float(estimate.error)


def test_signed_weights_give_the_expectations_of_the_series():
    net = ww.MLP(1, "relu", 1.3, 0.0, ["gaussian", "exponential"])
    law = ww.edgeworth(ww.output_cumulants(net, X, 3))
    draws = law.sample(KEY, 24, 100_000)
    assert (draws.weights < 0).any()
    assert 1000 < draws.effective_sample_size < 100_000
    for fn in (np.ones_like, np.tanh, np.square, lambda z: np.cos(2 * z)):
        assert z_score(draws.mean(fn(draws.samples) + 1e-9 * draws.samples),
                       law.expectation(fn, 24).value) < 4  # fmt: skip
    only = law.sample(KEY, 24, 1000, 0)
    assert (only.weights == 1).all()
    assert only.effective_sample_size == pytest.approx(1000)


def test_signed_draws_of_a_joint_law():
    net = ww.MLP(1, "tanh", 1.3, 0.2, ["gaussian", "exponential"])
    law = ww.edgeworth(ww.output_cumulants(net, X, 3), (0, 1))
    draws = law.sample(KEY, 24, 100_000)
    assert draws.samples.shape == (100_000, 2)
    for fn in (lambda z: z[:, 0] * z[:, 1], lambda z: np.tanh(z[:, 0]) ** 2 * z[:, 1]):
        assert z_score(draws.mean(fn(draws.samples)), law.expectation(fn, 24).value) < 4


def test_the_mixture_matches_what_it_says():
    """ReLU kernels are heavy-tailed: mean, variance, third cumulant by a shifted gamma law."""
    net = ww.MLP(3, "relu", 2**0.5)
    law = ww.edgeworth(ww.output_cumulants(net, X, 4))
    draws = law.sample(KEY, 64, 400_000, method="mixture")
    assert draws.matched == "mean, variance and third cumulant of the conditional variance"
    assert (draws.weights == 1).all()
    moments = law.moments(64)
    for r in (2, 4):
        assert z_score(draws.mean(draws.samples**r), moments[r]) < 4
    k2, k4, k6 = (law.cumulant(r).at(64) for r in (2, 4, 6))
    sixth = k6 + 15 * k4 * k2 + 15 * k2**3
    assert z_score(draws.mean(draws.samples**6), sixth) < 4
    second = law.sample(KEY, 64, 100, 2, method="mixture")
    assert second.matched == "mean and variance of the conditional variance"


def test_the_mixture_is_closer_to_the_exact_law_than_the_gaussian():
    net = ww.MLP(2, "tanh", weight_std=1.5, bias_std=0.3)
    law = ww.edgeworth(ww.output_cumulants(net, X, 4))
    draws = law.sample(KEY, 8, 400_000, method="mixture")
    exact = ExactBounded(net, X[0], 8).expectation(lambda S: np.exp(-2 * S))  # E cos 2z
    mixed = draws.mean(np.cos(2 * draws.samples))
    gaussian = law.expectation(lambda z: np.cos(2 * z), 8, 0).value
    assert abs(mixed.value - exact) < 4 * mixed.error + abs(gaussian - exact) / 10


def test_a_joint_mixture_has_the_covariances_of_squares():
    net = ww.MLP(2, "tanh", weight_std=1.5, bias_std=0.3, outputs=2)
    law = ww.edgeworth(ww.output_cumulants(net, X, 2), (0, 1, 1), components=(0, 0, 1))
    draws = law.sample(KEY, 64, 200_000, method="mixture")
    assert draws.matched.startswith("mean and covariance of the random kernel")
    z = draws.samples
    for coordinates in (
        (0, 1),
        (0, 0, 0, 0),
        (0, 0, 1, 1),
        (1, 1, 2, 2),
        (0, 0, 2, 2),
        (0, 1, 1, 1),
    ):
        exact = law.moment(coordinates).at(64)
        assert z_score(draws.mean(np.prod(z[:, coordinates], axis=1)), exact) < 4, coordinates
    # a projection is drawn through its matrix
    matrix = np.array([[1.0, -1.0, 0.5], [0.0, 1.0, 1.0]])
    turned = law.linear(matrix).sample(KEY, 64, 200_000, method="mixture")
    assert np.abs(turned.samples - z @ matrix.T).max() < 1e-12


def test_a_joint_mixture_at_one_point():
    net = ww.MLP(1, "identity", outputs=2)
    law = ww.edgeworth(ww.output_cumulants(net, X, 4), (0, 0), components=(0, 1))
    draws = law.sample(KEY, 12, 200_000, method="mixture")
    assert draws.matched == "mean, variance and third cumulant of the conditional variance"
    squares = draws.samples[:, 0] ** 2 * draws.samples[:, 1] ** 2
    assert z_score(draws.mean(squares), law.moment((0, 0, 1, 1)).at(12)) < 4


def test_what_cannot_be_drawn_is_refused():
    net = ww.MLP(1, "relu", 1.3, 0.0, ["gaussian", "exponential"])
    law = ww.edgeworth(ww.output_cumulants(net, X, 4))
    with pytest.raises(ValueError, match="weight law exponential; use method='signed'"):
        law.sample(KEY, 24, 10, method="mixture")
    with pytest.raises(ValueError, match="needs to know the network"):
        ww.Edgeworth(law.cumulants).sample(KEY, 24, 10, method="mixture")
    with pytest.raises(ValueError, match="an integer of at least 1"):
        law.sample(KEY, 24, 0)
    with pytest.raises(ValueError, match="one number per draw"):
        law.sample(KEY, 24, 10).mean(np.zeros(3))


def test_an_unknown_method_is_refused(unchecked):
    law = ww.edgeworth(ww.output_cumulants(ww.MLP(1, "relu"), X, 2))
    with pytest.raises(ValueError, match="must be 'signed' or 'mixture'"):
        law.sample(KEY, 24, 10, method="both")
