"""Widths certified in advance: Theorem 5 against its own events, and the statistics of seeds."""

import jax
import numpy as np
import pytest
from scipy import integrate, stats

import widthwise as ww
from certify.trained_networks import sphere
from widthwise.certify import certified_width, certify
from widthwise.certify.evaluation import evaluate
from widthwise.certify.posterior.certify import without_ties
from widthwise.certify.prior.proven import ingredients
from widthwise.certify.prior.statistical import (
    clopper_pearson,
    level_of_test,
    run_test,
    seeds_needed,
    statistical_width,
)

ERF = ww.MLP(1, "erf")


@pytest.mark.parametrize(("m", "d", "width"), [(5, 5, 2.7e8), (10, 5, 2.9e9), (20, 10, 9.5e9)])
def test_theorem_5_at_the_published_widths(m, d, width):
    plan = certified_width(ERF, *sphere(m, d), kind="proven")
    assert plan.width == pytest.approx(width, rel=0.02)
    assert "probability at least 0.95 over the initialization" in str(plan)
    assert plan.confidence == 1.0


def failures_of_events(net, x, y, n, delta, seeds):
    """How often Θ_0 ⪰ (1 - ε)(Θ_∞ - τ), readout columns ≤ A and |r_0| ≤ ϱ fail."""
    problem = without_ties(net, x, y, "flow")
    given = ingredients(net, *problem)
    made = given.constants(n, delta)
    assert made["epsilon"] < 1
    limit = np.asarray(ww.limit_kernels(net, problem[0]).ntk)
    root = np.repeat(problem[2], net.outputs)
    limit = root[:, None] * np.kron(limit, np.eye(net.outputs)) * root
    values, vectors = np.linalg.eigh(limit)
    assert given.smallest == pytest.approx(values[0], rel=1e-9)
    assert made["lambda"] == pytest.approx(values[0] - made.get("lost", 0.0), rel=1e-8)
    values = values - made.get("lost", 0.0)
    whiten = vectors / np.sqrt(values)
    failures = np.zeros(3)
    for seed in range(seeds):
        parameters = net.init(jax.random.key(seed), n, 2)
        at = evaluate(net, parameters, *problem)
        least = np.linalg.eigvalsh(whiten.T @ at.kernel @ whiten)[0]
        column = np.sqrt((np.asarray(parameters[1].weight) ** 2).sum(0).max())
        failures += [
            least < 1 - made["epsilon"],
            column > made["readout"],
            np.linalg.norm(at.residual) > made["residual"],
        ]
    return failures, made


def test_events_of_theorem_5_happen_more_often_than_promised():
    """Each with probability 1 - δ/3."""
    rng = np.random.default_rng(0)
    net = ww.MLP(1, "tanh", 1.3, [0.4, 0.3], outputs=2)
    x, y = np.array([[3.0, 0.0], [0.0, 3.0], [3.0, 0.0]]), rng.normal(size=(3, 2))
    y[2] = y[0]
    n, delta = 3000, 0.3
    failures, made = failures_of_events(net, x, y, n, delta, 40)
    assert (stats.binom.sf(failures - 1, 40, delta / 3) > 1e-3).all()
    assert made["readout"] == pytest.approx(stats.chi.isf(delta / (3 * n), 2), rel=1e-8)


@pytest.mark.parametrize("kind", ["softplus", "gelu"])
def test_truncation_of_unbounded_activations(kind):
    """What is lost by T is at most τ, and the root mean square of the features at most F."""
    rng = np.random.default_rng(0)
    net = ww.MLP(1, kind, 1.3, [0.4, 0.3])
    x, y = np.array([[3.0, 0.0], [0.0, 3.0], [1.0, 1.0]]), rng.normal(size=(3, 1))
    n, delta = 40_000, 0.3
    given = ingredients(net, *without_ties(net, x, y, "flow"))
    made = given.constants(n, delta)
    assert 0 < made["lost"] < given.smallest / 2
    weight, bias = rng.normal(size=(10**6, 2)), rng.normal(size=(10**6, 1))
    z = 1.3 / 2**0.5 * weight @ x.T + 0.4 * bias
    square = (np.asarray(net.activation(z)) ** 2).sum(1)
    lost = 1.3**2 * square * (square > made["feature"] ** 2)
    assert lost.mean() <= made["lost"] + 4 * lost.std() / 1e3
    residual = np.sqrt(1.3**2 * square.mean() + 3 * 0.3**2)
    assert made["residual"] > np.linalg.norm(y) + residual


def identity_network(m):
    """Features of m orthogonal points are independent normal numbers, so B is √κ χ_m exactly."""
    net, x = ww.MLP(1, "identity", 1.3), 2.0 * np.eye(m)
    kappa = 1.3**2 * 4 / m
    return ingredients(net, *without_ties(net, x, np.zeros((m, 1)), "flow")), kappa


@pytest.mark.parametrize("m", [1, 2, 8])
@pytest.mark.parametrize("q", [0.0, 0.7, 1.5, 3.0])
def test_what_truncation_loses_where_it_is_much(m, q):
    """τ is the integral of the tail bound, above the exact mean of what is left out."""
    given, kappa = identity_network(m)
    T, lost = given.truncated(q)
    b, v = np.sqrt(m * kappa), kappa**0.5
    assert pytest.approx(b + q * v, rel=1e-6) == T
    beyond, _ = integrate.quad(lambda s: 2 * s * np.exp(-((s - b) ** 2) / (2 * v * v)), T, np.inf)
    assert lost == pytest.approx(1.3**2 * (T**2 * np.exp(-q * q / 2) + beyond), rel=1e-5)
    exact = 1.3**2 * kappa * m * stats.chi2.sf(T**2 / kappa, m + 2)
    assert exact <= lost
    if q == 0:
        assert lost < 10 * exact


@pytest.mark.parametrize("m", [1, 3])
@pytest.mark.parametrize("n", [1, 4, 100])
def test_mean_square_of_features_where_it_is_exact(m, n):
    """√(Σ|φ|²/n) is √(κ/n) χ_mn: F is above its 1 - δ/4 quantile, and not by much.

    χ has the deviation √½ and F counts with 1, so F is farther out by a share 1 - √½ of
    √(2 log 4/δ), and by what the mean of χ is below √(mn).
    """
    given, kappa = identity_network(m)
    for delta in (0.9, 0.1, 1e-3, 1e-9):
        quantile = np.sqrt(kappa / n * stats.chi2.isf(delta / 4, m * n))
        F = given.mean_square_root(n, delta)
        farther = (1 - np.sqrt(0.5)) * np.sqrt(2 * np.log(4 / delta))
        assert quantile <= F <= quantile + (1.2 + farther) * np.sqrt(kappa / n)


def test_truncation_of_softplus_where_it_is_much():
    """What is left out beyond small T, by a million neurons: it is no less than a tenth of τ."""
    net = ww.MLP(1, "softplus", 1.3, [0.4, 0.0])
    x = np.array([[3.0, 0.0], [0.0, 3.0]])
    given = ingredients(net, *without_ties(net, x, np.zeros((2, 1)), "flow"))
    rng = np.random.default_rng(1)
    z = 1.3 / 2**0.5 * rng.normal(size=(10**6, 2)) @ x.T + 0.4 * rng.normal(size=(10**6, 1))
    B = np.sqrt(2) * np.log(2) + np.sqrt((z**2).sum(1))
    square = 1.3**2 * B**2
    for q in (-0.5, 0.0, 1.0):
        T, lost = given.truncated(q)
        found = square * (B > T)
        assert found.mean() - 4 * found.std() / 1e3 <= lost
        if q == 0:
            assert lost < 10 * found.mean()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "n"), [("tanh", 3000), ("softplus", 12_000), ("gelu", 12_000), ("silu", 12_000)]
)
def test_events_of_theorem_5_over_activations(kind, n):
    """Every event has its share of δ, for unbounded activations by truncation."""
    net = ww.MLP(1, kind, 1.3, [0.4, 0.3])
    x, y = np.array([[3.0, 0.0], [-1.0, 3.0]]), np.array([[1.0], [-1.0]])
    failures, _ = failures_of_events(net, x, y, n, 0.3, 100)
    assert (stats.binom.sf(failures - 1, 100, 0.1) > 1e-3).all()


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "m"), [("tanh", 1), ("softplus", 1), ("identity", 2)])
def test_networks_of_the_proven_width_are_certified(kind, m):
    """At the width of Theorem 5 a network fails Theorem 1 with probability δ at most."""
    net, delta, seeds = ww.MLP(1, kind), 0.1, 60
    x, y = np.array([[2.0, 0.0], [0.0, 2.0]])[:m], np.array([0.01, -0.01])[:m]
    plan = certified_width(net, x, y, 1 - delta, kind="proven")
    assert plan.width < 50_000
    failed = 0
    for seed in range(seeds):
        parameters = net.init(jax.random.key(seed), plan.width, 2)
        made = certify(net, parameters, x, y, method="path")
        failed += not made.holds
        if made.holds:
            assert made.movement <= plan.constants["movement"]
    assert stats.binom.sf(failed - 1, seeds, delta) > 1e-3


def test_proven_refusals(unchecked):
    x, y = sphere(3, 3)
    for net, message in (
        (ww.MLP(2, "erf"), "one hidden layer, this network has 2"),
        (ww.MLP(1, "softplus", weight_law=["uniform", "gaussian"]), "Gaussian first layer.*unif"),
        (ww.MLP(1, "erf", weight_law="uniform"), "Gaussian readout, this one is uniform"),
        (ww.MLP(1, "erf", parametrization="standard"), "NTK parametrization"),
        (ww.MLP(1, "relu"), "kink"),
    ):
        with pytest.raises(ValueError, match=message):
            certified_width(net, x, y, kind="proven")
    with pytest.raises(ValueError, match="probability must be a number between 0 and 1, got 1"):
        certified_width(ERF, x, y, probability=1)
    with pytest.raises(ValueError, match="kind must be 'statistical' or 'proven', got 'sure'"):
        certified_width(ERF, x, y, kind="sure")
    with pytest.raises(ValueError, match="leave method and dynamics"):
        certified_width(ERF, x, y, kind="proven", dynamics="descent")
    with pytest.raises(ValueError, match="contradict each other"):
        certified_width(ERF, x[[0, 0]], [1.0, -1.0], kind="proven")
    near = np.array([[1.0, 0.0], [1.0, 1e-9]])
    plan = certified_width(ERF, near, [1.0, 1.0], kind="proven")
    assert not plan.found
    assert "not certified positive" in str(plan)


def test_clopper_pearson_against_the_binomial_law():
    """At the limit, as many successes or more have exactly the probability γ."""
    for successes, trials, level in ((44, 44, 0.01), (59, 59, 0.05), (30, 40, 0.02)):
        limit = clopper_pearson(successes, trials, level)
        assert stats.binom.sf(successes - 1, trials, limit) == pytest.approx(level, rel=1e-8)
    assert clopper_pearson(44, 44, 0.01) >= 0.9
    assert clopper_pearson(59, 59, 0.05) >= 0.95
    assert clopper_pearson(0, 10, 0.05) == 0.0
    assert seeds_needed(0.9, 0.01) == 44
    assert seeds_needed(0.95, 0.05) == 59
    assert sum(level_of_test(j, 0.01) for j in range(1, 10_000)) < 0.01


def test_a_test_stops_when_it_is_decided():
    made = run_test(lambda seed: seed != 2, 8, 59, 0.95, 0.05)
    assert (made.certified, made.seeds, made.passed) == (2, 3, False)
    assert made.lower_limit == clopper_pearson(2, 59, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("p", "seeds"), [(0.9, 30), (0.6, 30), (0.97, None)])
def test_lower_limits_cover_even_where_one_stops_early(p, seeds):
    """At a single width the limit exceeds the true probability no more often than γ."""
    rng, gamma, runs = np.random.default_rng(5), 0.1, 4000
    wrong = 0
    for _ in range(runs):
        count = seeds_needed(0.85, gamma) if seeds is None else seeds
        made = run_test(lambda seed: rng.uniform() < p, 8, count, 0.85, gamma)
        wrong += made.lower_limit > p
    assert stats.binom.sf(wrong - 1, runs, gamma) > 1e-3


@pytest.mark.slow
def test_the_statistical_statement_about_networks():
    """Fresh networks of the width found are certified as often as the statement says."""
    x, y = sphere(3, 3)
    plan = certified_width(ERF, x, y, 0.7, 0.95, dynamics="descent", start=2)
    assert plan.found
    fresh = [
        certify(ERF, ERF.init(jax.random.key(10_000 + i), plan.width, 3), x, y, dynamics="descent")
        for i in range(60)
    ]
    held = sum(made.holds and made.from_start for made in fresh)
    limit = next(t.lower_limit for t in plan.tested if t.width == plan.width)
    assert stats.binom.cdf(held, 60, limit) > 1e-3


def test_wrong_statements_are_rare():
    """Networks certified with probability 1 - 2/width: the statement fails no more than γ."""
    wrong, gamma = 0, 0.2
    for run in range(300):
        rng = np.random.default_rng(run)
        plan = statistical_width(
            lambda width, seed, rng=rng: rng.uniform() > 2 / width, 0.7, 1 - gamma, None, 2, 512, ""
        )
        wrong += any(t.passed and 1 - 2 / t.width < 0.7 for t in plan.tested)
        assert plan.found
    assert stats.binom.sf(wrong - 1, 300, gamma) > 1e-3


def test_statistical_width_of_gradient_descent():
    x, y = sphere(3, 3)
    plan = certified_width(ERF, x, y, 0.5, 0.9, dynamics="descent", start=4)
    assert plan.found
    assert plan.width <= 32
    found = next(t for t in plan.tested if t.width == plan.width)
    assert found.certified == found.seeds
    assert found.lower_limit >= 0.5
    assert f"{found.certified} of {found.seeds}" in str(plan)
    assert "with confidence 0.9" in str(plan)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), plan.width), 0)
    assert certify(ERF, ERF.init(key, plan.width, 3), x, y, dynamics="descent").holds
    none = certified_width(ERF, x, y, 0.5, 0.9, method="path", start=4, largest=8)
    assert not none.found
    assert "No width up to 8" in str(none)
