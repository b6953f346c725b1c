"""Intervals cover known distances as often as they say: 200 repeats, binomial limits.

Of 200 intervals of 95% between 181 and 200 cover (probability 5e-3 of fewer); near the floor, where
nothing is known about the lower end, they may cover more.
"""

import numpy as np
import pytest

from widthwise.measure import distances as d

Normal = d.Normal
REPEATS, FEWEST = 200, 181
NEAR, FAR = Normal(0.0, 1.0), Normal(0.4, 1.44)
MEAN = np.array([0.4, 0.0])
V = d.frames(2, 4)


def one(rng):
    return rng.normal(size=200)


def other(rng):
    return rng.normal(0.4, 1.2, size=150)


def plane(rng):
    x = rng.normal(size=(200, 2))
    return x, rng.normal(size=(150, 2)) + MEAN


def kernel(m, v, length=1.5):
    return length / np.sqrt(length**2 + v) * np.exp(-m * m / 2 / (length**2 + v))


MMD = kernel(0, 2) + kernel(0, 2.88) - 2 * kernel(0.4, 2.44)
W1, KS, ENERGY = (f(NEAR, FAR).value for f in (d.wasserstein, d.kolmogorov, d.energy))
SLICED = np.mean([abs(v @ MEAN) for v in V])
CASES = {
    "wasserstein, a law": (lambda r: d.wasserstein(one(r), FAR), W1),
    "wasserstein": (lambda r: d.wasserstein(one(r), other(r)), W1),
    "wasserstein, small": (lambda r: d.wasserstein(one(r), Normal(0.15, 1.0)), 0.15),
    "wasserstein, equal": (lambda r: d.wasserstein(one(r), NEAR), 0.0),
    "wasserstein 2, a law": (lambda r: d.wasserstein(one(r), FAR, 2), np.hypot(0.4, 0.2)),
    "wasserstein 2": (lambda r: d.wasserstein(one(r), other(r), 2), np.hypot(0.4, 0.2)),
    "wasserstein 2, equal": (lambda r: d.wasserstein(one(r), one(r), 2), 0.0),
    "kolmogorov, a law": (lambda r: d.kolmogorov(one(r), FAR), KS),
    "kolmogorov": (lambda r: d.kolmogorov(one(r), other(r)), KS),
    "kolmogorov, equal": (lambda r: d.kolmogorov(one(r), one(r)), 0.0),
    "energy, a law": (lambda r: d.energy(one(r), FAR), ENERGY),
    "energy": (lambda r: d.energy(one(r), other(r)), ENERGY),
    "energy, equal": (lambda r: d.energy(one(r), one(r)), 0.0),
    "mmd": (
        lambda r: d.mmd(one(r), other(r), bandwidth=1.5, features=64, seed=int(r.integers(1e9))),
        MMD,
    ),
    "mmd, equal": (lambda r: d.mmd(one(r), one(r), bandwidth=1.5, features=64), 0.0),
    "sliced": (lambda r: d.sliced_wasserstein(*plane(r), directions=V), SLICED),
    "sliced 2": (lambda r: d.sliced_wasserstein(*plane(r), 2, directions=V), 0.4 / np.sqrt(2)),
}


@pytest.mark.parametrize("case", CASES)
def test_intervals_cover_the_distance(case):
    estimate, truth = CASES[case]
    found = [estimate(np.random.default_rng(seed)) for seed in range(REPEATS)]
    covered = sum(f.interval[0] <= truth <= f.interval[1] for f in found)
    assert covered >= FEWEST
    if truth:  # not because they are needlessly long
        length = np.mean([f.interval[1] - f.interval[0] for f in found])
        spread = np.std([f.value for f in found])
        assert length < 1.6 * 2 * 1.96 * spread
    else:
        assert np.mean([f.at_floor for f in found]) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("case", ["bounded_lipschitz", "max_sliced"])
def test_intervals_of_optimized_test_functions_cover(case):
    if case == "bounded_lipschitz":
        known = d.bounded_lipschitz(NEAR, FAR)
        truth, tolerance = known.value, known.error

        def estimate(r):
            return d.bounded_lipschitz(one(r), FAR)
    else:
        truth, tolerance = 0.4, 0.0

        def estimate(r):
            return d.max_sliced_wasserstein(*plane(r), directions=4)

    found = [estimate(np.random.default_rng(seed)) for seed in range(REPEATS)]
    inside = [f.interval[0] - tolerance <= truth <= f.interval[1] + tolerance for f in found]
    assert sum(inside) >= FEWEST
