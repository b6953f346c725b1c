"""Distances of several dimensions against direct sums, closed forms and each other."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from widthwise.measure import distances as d

RNG = np.random.default_rng(5)
X, Y = RNG.normal(size=(300, 3)), RNG.normal(0.4, 1.3, size=(200, 3))
MEAN, COVARIANCE = np.array([0.5, 0.0, -0.2]), np.array([[1, 0.3, 0], [0.3, 2, 0], [0, 0, 0.5]])


def unbiased(kernel):
    own = 0.0
    for a in (X, Y):
        K = kernel(a, a)
        own += (K.sum() - np.trace(K)) / (len(a) * (len(a) - 1))
    return own - 2 * kernel(X, Y).mean()


def test_frames_are_orthonormal():
    v = d.frames(4, 10)
    assert v.shape == (12, 4)
    for frame in v.reshape(3, 4, 4):
        np.testing.assert_allclose(frame @ frame.T, np.eye(4), atol=1e-14)


def test_energy_is_the_direct_sum_up_to_the_choice_of_directions():
    direct = -unbiased(cdist)
    found = d.energy(X, Y, directions=3000)
    assert abs(found.value - direct) < 0.01 * direct


def test_mmd_is_the_direct_sum_up_to_the_choice_of_frequencies():
    direct = unbiased(lambda a, b: np.exp(-(cdist(a, b) ** 2) / (2 * 1.5**2)))
    found = d.mmd(X, Y, bandwidth=1.5, features=4096)
    assert abs(found.value - direct) < 0.03 * direct


def test_mmd_of_known_gaussians():
    one, other = d.Normal(), d.Normal(0.8, 2.0)

    def kernel(m, v):
        return (1 + v) ** -0.5 * np.exp(-m * m / (2 * (1 + v)))

    known = kernel(0, 2) + kernel(0, 4) - 2 * kernel(0.8, 3)
    found = d.mmd(one, other, bandwidth=1.0, features=20_000)
    w = np.random.default_rng(0).normal(size=20_000)
    direct = np.mean(np.abs(np.exp(-w * w / 2) - np.exp(0.8j * w - w * w)) ** 2)
    assert found.value == pytest.approx(direct, abs=1e-12)
    # its error is two standard errors over frequencies; four are allowed
    assert abs(found.value - known) < 2 * found.error < 0.03 * known


def test_sliced_distances_of_shifted_samples():
    v = d.frames(3, 12)
    moved = X + MEAN
    first = d.sliced_wasserstein(X, moved, directions=v)
    assert first.value == pytest.approx(np.abs(v @ MEAN).mean(), abs=1e-12)
    second = d.sliced_wasserstein(X, moved, 2, directions=v)
    assert second.value == pytest.approx(np.linalg.norm(MEAN) / np.sqrt(3), abs=1e-12)
    drawn = d.sliced_wasserstein(X, moved, directions=300)
    assert abs(drawn.value - np.linalg.norm(MEAN) / 2) < 0.03 * np.linalg.norm(MEAN)


def test_max_sliced_distance_finds_the_direction_of_a_shift():
    found = d.max_sliced_wasserstein(X, X + 3 * MEAN, directions=6)
    assert found.value == pytest.approx(3 * np.linalg.norm(MEAN), rel=1e-5)
    assert found.interval[0] > 0


def test_second_lower_bound_is_below_the_best_assignment_and_sharp_for_shifts():
    cost = cdist(X[:200], Y) ** 2
    exact = np.sqrt(cost[linear_sum_assignment(cost)].mean())
    found = d.wasserstein2_lower_bound(X[:200], Y)
    assert 0.5 * exact < found.value <= exact
    shifted = d.wasserstein2_lower_bound(X, X + MEAN)
    assert shifted.value == pytest.approx(np.linalg.norm(MEAN), abs=1e-12)
    # directions that are no frames
    v = np.array([[1.0, 0, 0], [1, 1, 0], [0, 1, 2]])
    assert d.wasserstein2_lower_bound(X[:200], Y, directions=v).value <= exact


def test_a_gaussian_law_is_what_many_samples_of_it_are():
    law = d.Normal(MEAN, COVARIANCE)
    many = np.random.default_rng(6).multivariate_normal(MEAN, COVARIANCE, size=20_000)
    v = d.frames(3, 6)
    for distance in (d.sliced_wasserstein, d.energy):
        to_law, to_samples = distance(X, law, directions=v), distance(X, many, directions=v)
        assert abs(to_law.value - to_samples.value) < 3 * to_samples.error
        assert distance(many, law, directions=v).at_floor
    assert d.mmd(many, law).at_floor
    lower = d.bounded_lipschitz(X, law)
    assert 0.1 < lower.interval[0] < lower.value
    assert lower.value <= d.max_sliced_wasserstein(X, law, directions=6).value


def test_wrong_dimensions_are_refused():
    with pytest.raises(ValueError, match="3 dimensions and y has 2"):
        d.energy(X, Y[:, :2])
    with pytest.raises(ValueError, match="two laws of several dimensions"):
        d.energy(d.Normal(MEAN, COVARIANCE), d.Normal(MEAN, COVARIANCE))
    with pytest.raises(ValueError, match=r"vectors \(directions, 3\)"):
        d.sliced_wasserstein(X, Y, directions=np.ones((2, 2)))
    flat = d.Normal(np.zeros(3), np.diag([1.0, 1.0, 0.0]))
    with pytest.raises(ValueError, match="does not vary in the direction"):
        d.sliced_wasserstein(X, flat, directions=np.eye(3))
