"""Distances on the line against closed forms, scipy, exact assignment and linear programs."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import linear_sum_assignment, linprog

import widthwise as ww
from widthwise.measure import distances as d

Normal = d.Normal
PAIRS = [(0.0, 1.0), (0.7, 1.0), (0.0, 1.9), (-0.4, 0.6), (1e-4, 1 + 1e-4)]


def mean_size(m, v):
    """E|N(m, v)|."""
    return np.sqrt(2 * v / np.pi) * np.exp(-m * m / (2 * v)) + m * (
        1 - 2 * stats.norm.cdf(-m / np.sqrt(v))
    )


@pytest.mark.parametrize(("m", "s"), PAIRS)
def test_gaussians_shifted_and_scaled(m, s):
    one, other = Normal(0.3, 4.0), Normal(0.3 + 2 * m, 4 * s * s)
    second = d.wasserstein(one, other, 2)
    assert abs(second.value - 2 * np.hypot(m, s - 1)) <= second.error + 1e-14
    assert second.error < 1e-8
    energy = 2 * mean_size(m, 1 + s * s) - mean_size(0, 2) - mean_size(0, 2 * s * s)
    assert d.energy(one, other).value == pytest.approx(2 * energy, abs=1e-13)
    if m == 0 or s == 1:
        first = d.wasserstein(one, other)
        known = 2 * (abs(m) if s == 1 else abs(s - 1) * np.sqrt(2 / np.pi))
        assert abs(first.value - known) <= first.error < 1e-12
    if s == 1:
        largest = d.kolmogorov(one, other)
        assert abs(largest.value - (2 * stats.norm.cdf(m / 2) - 1)) <= largest.error + 1e-15


def test_distances_of_a_normal_and_another_gaussian_are_numerically_integrated_too():
    m, s = 0.7, 1.9
    z = np.linspace(-30, 30, 120_001)
    gap = np.abs(stats.norm.cdf(z) - stats.norm.cdf(z, m, s))
    found = d.wasserstein(Normal(), Normal(m, s * s))
    assert found.value == pytest.approx(np.trapezoid(gap, z), rel=1e-6)
    assert d.kolmogorov(Normal(), Normal(m, s * s)).value == pytest.approx(gap.max(), rel=1e-6)


@pytest.mark.parametrize(
    ("one", "other", "w1", "w2", "largest"),
    [
        (stats.uniform(), stats.uniform(0.2, 1), 0.2, 0.2, 0.2),
        (stats.expon(), stats.expon(scale=2.0), 1.0, np.sqrt(2.0), 0.25),
        (stats.laplace(), stats.laplace(scale=3.0), 2.0, 2 * np.sqrt(2.0), None),
    ],
)
def test_laws_of_scipy(one, other, w1, w2, largest):
    assert d.wasserstein(one, other).value == pytest.approx(w1, abs=1e-9)
    second = d.wasserstein(one, other, 2)
    assert abs(second.value - w2) <= second.error + 1e-12
    if largest is not None:
        assert d.kolmogorov(one, other).value == pytest.approx(largest, abs=1e-9)


def test_samples_agree_with_scipy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=57), rng.gamma(2.0, size=83)
    assert d.wasserstein(x, y).value == pytest.approx(stats.wasserstein_distance(x, y), abs=1e-13)
    assert d.kolmogorov(x, y).value == pytest.approx(stats.ks_2samp(x, y).statistic, abs=1e-14)
    n, m = len(x), len(y)

    def within(a):
        return np.abs(a[:, None] - a).sum() / (len(a) * (len(a) - 1))

    unbiased = 2 * np.abs(x[:, None] - y).mean() - within(x) - within(y)
    assert d.energy(x, y).value == pytest.approx(unbiased, abs=1e-12)
    biased = unbiased + within(x) / n + within(y) / m
    assert biased == pytest.approx(stats.energy_distance(x, y) ** 2, abs=1e-12)


def test_second_distance_is_that_of_the_best_assignment():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=12), rng.gamma(2.0, size=18)
    cost = np.square(np.repeat(x, 3)[:, None] - np.repeat(y, 2))
    rows, columns = linear_sum_assignment(cost)
    known = np.sqrt(cost[rows, columns].mean())
    assert d.wasserstein(x, y, 2).value == pytest.approx(known, abs=1e-13)


def test_samples_against_a_law_agree_with_integrals_of_quantiles():
    rng = np.random.default_rng(2)
    x = rng.normal(size=40)
    u = (np.arange(100_000) + 0.5) / 100_000
    quantiles, steps = stats.laplace.ppf(u), np.sort(x)[(u * 40).astype(int)]
    law = stats.laplace()
    first, second = d.wasserstein(x, law), d.wasserstein(x, law, 2)
    assert first.value == pytest.approx(np.abs(steps - quantiles).mean(), rel=1e-4)
    assert second.value == pytest.approx(np.sqrt(np.square(steps - quantiles).mean()), rel=5e-4)
    assert d.kolmogorov(x, law).value == pytest.approx(
        stats.kstest(x, law.cdf).statistic, abs=1e-13
    )
    z = np.sort(np.append(x, np.linspace(-40, 40, 400_001)))
    gap = np.searchsorted(np.sort(x), z, side="right") / 40 - law.cdf(z)
    plug_in = 2 * np.trapezoid(gap**2, z)
    F = np.arange(1, 40) / 40
    bias = 2 / 39 * (F * (1 - F)) @ np.diff(np.sort(x))
    assert d.energy(x, law).value == pytest.approx(plug_in - bias, abs=5e-5)


def test_floor_is_that_of_the_theory():
    x = np.random.default_rng(3).normal(scale=1.7, size=5000)
    found = d.wasserstein(x, Normal(0.0, 1.7**2))
    assert found.floor == pytest.approx(1.28838 * 1.7 / np.sqrt(5000), rel=1e-4)
    assert found.at_floor
    assert "floor" in str(found)
    assert not d.wasserstein(x, Normal(2.0, 1.7**2)).at_floor


def test_bounded_lipschitz_of_samples_is_the_linear_program_on_their_points():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=30), 1.5 + 2 * rng.normal(size=30)
    z = np.sort(np.concatenate([x, y]))
    mass = np.where(np.isin(z, x), 1 / 30, -1 / 30)
    steps = np.diff(np.eye(60), axis=0)
    exact = linprog(
        -mass,
        A_ub=np.concatenate([steps, -steps]),
        b_ub=np.tile(np.diff(z), 2),
        bounds=(-1, 1),
        method="highs",
    )
    found = d.bounded_lipschitz(x, y)
    assert found.value <= -exact.fun + 1e-9  # a restricted test function
    assert found.value == pytest.approx(-exact.fun, rel=0.02)


def test_bounded_lipschitz_is_wasserstein_for_near_laws_and_at_most_two_for_far_ones():
    near = d.bounded_lipschitz(Normal(0.0, 0.04), Normal(0.05, 0.04))
    assert near.interval[0] <= 0.05 <= near.interval[1]
    far = d.bounded_lipschitz(Normal(), Normal(40.0))
    assert far.value == pytest.approx(2.0, abs=1e-6)
    wide = d.bounded_lipschitz(Normal(), Normal(1.0))
    # the best h is min(1, max(−1, x − 1/2)) by symmetry
    z, w = np.polynomial.hermite_e.hermegauss(200)
    w = w / w.sum()
    known = w @ (np.clip(z + 0.5, -1, 1) - np.clip(z - 0.5, -1, 1))
    assert wide.interval[0] - 1e-3 <= known <= wide.interval[1] + 1e-3


def test_the_exact_law_with_atoms_is_taken_with_its_jumps():
    law = ww.exact_law(ww.MLP(depth=1, activation="relu"), [[1.0]], width=8)
    limit = Normal(0.0, 0.5)
    found = d.wasserstein(law, limit)
    u = np.linspace(-8, 8, 1601)  # ends in the atom at 0, and is dense around it
    z = np.sign(u) * (u / 8) ** 2 * 8
    known = np.trapezoid(np.abs(law.cdf(z) - limit.cdf(z)), z)
    assert abs(found.value - known) < found.error + 1e-3 * known
    atom = d.kolmogorov(law, limit)
    assert atom.value >= law.atoms.masses[0] / 2 - atom.error


def test_an_edgeworth_series_is_a_law_at_a_width():
    net = ww.MLP(depth=1, activation="identity")
    series = ww.edgeworth(ww.output_cumulants(net, [[1.0]], order=4))
    exact = ww.exact_law(net, [[1.0]], 40)
    gaps = [d.wasserstein(exact, d.at_width(series, 40, k)).value for k in (0, 2, 4)]
    assert gaps[0] > 5 * gaps[1] > 25 * gaps[2] > 0
    with pytest.raises(ValueError, match="only at a width"):
        d.wasserstein(exact, series)
    low = ww.edgeworth(ww.output_cumulants(net, [[1.0]], order=2))
    with pytest.raises(ValueError, match="has no quantiles"):
        d.wasserstein(d.at_width(low, 1), exact, 2)


def test_what_is_no_sample_and_no_law_is_refused(unchecked):
    x = np.random.default_rng(0).normal(size=20)
    with pytest.raises(ValueError, match="has no mean"):
        d.wasserstein(x, stats.cauchy())
    with pytest.raises(ValueError, match="of 2 dimensions"):
        d.wasserstein(np.ones((20, 2)), x)
    with pytest.raises(ValueError, match="at least 8"):
        d.wasserstein(x, x[:5])
    with pytest.raises(ValueError, match="holds nan"):
        d.kolmogorov(x, np.append(x, np.nan))
    with pytest.raises(ValueError, match="order must be 1 or 2, got 3"):
        d.wasserstein(x, x, 3)
    with pytest.raises(ValueError, match=r"between 0 and 1, such as 0.95, got 95"):
        d.wasserstein(x, x, confidence=95)
    with pytest.raises(ValueError, match="symmetric and positive semidefinite"):
        Normal([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]])
