"""Estimators on laws whose cumulants are known."""

import jax
import numpy as np
import pytest
from scipy.stats import norm

import widthwise as ww
from widthwise.finite import estimators
from widthwise.finite.initialization import sample_initial

NET = ww.MLP(1, "tanh", weight_std=1.5, bias_std=0.3)


def moments(net, width, members=4000, seed=0):
    return sample_initial(net, width, np.array([1.0]), members, jax.random.key(seed))


@pytest.mark.parametrize("law", ["gaussian", "uniform", "exponential"])
@pytest.mark.parametrize("width", [8, 64])
def test_conditional_fourth_cumulant_is_unbiased(law, width):
    net = ww.MLP(1, "tanh", weight_std=1.5, bias_std=0.3, weight_law=("gaussian", law))
    exact = ww.output_cumulants(net, [[1.0]]).cumulant((0,) * 4).at(width)
    estimate = estimators.fourth_cumulant(net, width, moments(net, width))
    assert abs(estimate.value - exact) < 4 * estimate.error
    assert estimate.error < 0.1 * abs(exact)


def test_k_statistic_is_unbiased():
    samples = np.random.default_rng(0).standard_exponential((200, 1500))
    sums = estimators.PowerSums.empty(pivot=np.ones((1500, 1))).update(samples[..., None])
    values = sums.cumulant((0,) * 4).value
    assert estimators.fourth_k_statistic(samples[:, 0]).value == pytest.approx(values[0], rel=1e-9)
    assert abs(np.mean(values) - 6) < 4 * np.std(values) / np.sqrt(len(values))


def test_errors_cover_the_truth():
    rng = np.random.default_rng(1)
    z = []
    for _ in range(300):
        x = rng.standard_normal(400)
        estimate, root = estimators.variance(x), estimators.root_mean_square(x)
        z.append([(estimate.value - 1) / estimate.error, (root.value - 1) / root.error])
    assert np.std(z, 0) == pytest.approx([1.0, 1.0], abs=0.15)


def test_distribution_of_gaussian_and_other_readouts_agree_with_counting():
    for law in ("gaussian", "uniform"):
        net = ww.MLP(1, "tanh", weight_std=1.5, weight_law=("gaussian", law))
        sample = moments(net, 4, members=20_000)
        z = np.linspace(-2, 2, 9)
        whole, parts = estimators.distribution(net, sample, z)
        counted = (sample.outputs[:, None] <= z).mean(0)
        assert np.abs(whole - counted).max() < 4 * 0.5 / np.sqrt(20_000)
        assert parts.shape == (20, 9)


def test_wasserstein_distance_of_a_shifted_gaussian():
    net = ww.MLP(1, "identity", weight_law=("gaussian", "uniform"))
    rng = np.random.default_rng(0)
    sample = estimators.ConditionalMoments(
        np.ones(40_000), np.ones(40_000), rng.standard_normal(40_000)
    )
    z = np.linspace(-9, 9, 4001)
    law = estimators.distribution(net, sample, z)
    estimate = estimators.wasserstein(law, norm.cdf(z - 0.3), z)
    assert abs(estimate.value - 0.3) < 4 * estimate.error
    assert 0.002 < estimate.error < 0.02


def test_conditional_distance_resolves_one_over_n():
    """At n = 1024 the distance is far below the sampling noise of 4000 networks, yet resolved."""
    sample = moments(NET, 1024)
    c = ww.output_cumulants(NET, [[1.0]])
    law = ww.edgeworth(c)
    z = np.linspace(-9 * law.std, 9 * law.std, 4001)
    measured = estimators.distribution(NET, sample, z, law.std**2)
    distance = estimators.wasserstein(measured, norm.cdf(z / law.std), z)
    predicted = np.trapezoid(np.abs(law.cdf(z, 1024) - norm.cdf(z / law.std)), z)
    assert predicted < 1e-3
    assert distance.error < 0.1 * predicted
    assert abs(distance.value - predicted) < 4 * distance.error
