"""Bounds along training: Theorem T against Monte Carlo, the statistical certificate's coverage."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import widthwise as ww
from widthwise.measure import distances as d
from widthwise.measure.bounds import between, statistical, trained_distance_bound, uniform
from widthwise.measure.bounds.bernstein import upper_limit
from widthwise.measure.bounds.statistical import Question, certificate, trained
from widthwise.measure.bounds.uniform import training_constants

X, Y = np.array([[-1.0], [0.3], [1.2]]), np.array([1.0, -1.0, 0.5])
TIMES = np.array([0.0, 0.5, 2.0])
KEY = jax.random.key(7)


def network(activation="tanh", readout="gaussian", bias=0.0):
    return ww.MLP(1, activation, (1.5, 1.0), (0.5, bias), ("gaussian", readout))


@pytest.mark.parametrize(
    ("law", "kernel", "drift", "small", "smaller"),
    [
        ("gaussian", 50.8, 2.4e4, 0.264, 0.0241),
        ("exponential", 96.3, 3.6e4, 0.402, 0.0365),
    ],
)
def test_reference_numbers_of_theorem_t(law, kernel, drift, small, smaller):
    found = training_constants(network("tanh", law), X, Y)
    assert found.smallest == pytest.approx(0.1402, abs=5e-5)
    if law == "gaussian":
        assert found.fluctuation == pytest.approx(13.80, abs=0.01)
        assert found.relative == pytest.approx(7.41, abs=0.01)
    late, latest = (found.coupling(n, "bounded_lipschitz") for n in (10**10, 10**12))
    assert late["coupling"] == pytest.approx(small, rel=2e-3)
    assert latest["coupling"] == pytest.approx(smaller, rel=2e-3)
    assert latest["kernel_term"] == pytest.approx(kernel, rel=1e-3)
    assert latest["drift_term"] == pytest.approx(drift, rel=0.02)


def test_the_rate_of_theorem_t_is_the_root_of_the_width():
    found = training_constants(network(), X, Y)
    for metric in ("bounded_lipschitz", "wasserstein1"):
        scaled = [n**0.5 * found.coupling(n, metric)["coupling"] for n in (10**16, 10**20)]
        assert scaled[1] == pytest.approx(scaled[0], rel=0.02)  # no logarithm


def test_moments_in_theorem_t_against_networks():
    """E|r₀|², E|r₀|⁴ and v_Θ at n = 8, skewed readout and an output bias."""
    net, n, members = network("tanh", "exponential", 0.4), 8, 100_000
    found = training_constants(net, X, Y)
    rng = np.random.default_rng(0)
    tilde = np.stack([1.5 * X[:, 0], np.full(3, 0.5)])
    z = rng.normal(size=(members, n, 2)) @ tilde
    a = rng.exponential(size=(members, n, 1)) - 1
    f = (a * np.tanh(z)).sum(1) / np.sqrt(n) + 0.4 * rng.normal(size=(members, 1))
    size = np.square(f - Y).sum(1)
    for power, expected in zip((1, 2), found.residual(n), strict=True):
        sample = size**power
        assert abs(sample.mean() - expected) < 4 * sample.std() / members**0.5
    slope = a / np.cosh(z) ** 2
    theta = np.einsum("mka,mkb->mab", np.tanh(z), np.tanh(z)) / n + 0.16
    theta += np.einsum("mka,mkb->mab", slope, slope) / n * (tilde.T @ tilde)
    limit = np.asarray(ww.limit_kernels(net, X).ntk)
    sample = n * np.square(theta - limit).sum((1, 2))
    assert abs(sample.mean() - found.fluctuation) < 4 * sample.std() / members**0.5


def test_a_proven_bound_says_what_it_rests_on():
    bound = trained_distance_bound(network(), X, Y, 10**12)
    assert bound.value == pytest.approx(0.0241, rel=2e-3)
    assert "all t ≥ 0 together" in str(bound)
    assert trained_distance_bound(network(), X, Y, 128).value == 2  # says nothing, and is true
    first = trained_distance_bound(network(), X, Y, 10**12, metric="wasserstein1")
    assert first.value > bound.value


@pytest.mark.parametrize(
    ("net", "word"),
    [
        (network("softplus"), "finite bounds"),
        (network("relu"), "kinks"),
        (ww.MLP(2, "tanh"), "one hidden layer"),
        (network("tanh", {"name": "student_t", "df": 7.0}), "8 moments"),
        (network("tanh", "rademacher"), "atoms"),
        (ww.MLP(1, "tanh", parametrization="standard"), "NTK parametrization"),
        (ww.MLP(1, "tanh", bias_std=0.5, bias_law="uniform"), "not Gaussian"),
    ],
)
def test_what_theorem_t_does_not_cover_is_said(net, word):
    bound = trained_distance_bound(net, X, Y, 10**12)
    assert not bound.available
    assert word in bound.reason


def test_theorem_t_needs_a_positive_kernel():
    twice, labels = np.concatenate([X, X]), np.concatenate([Y, Y])
    bound = trained_distance_bound(network(), twice, labels, 10**12)
    assert "λ_min(Θ_∞) > 0" in bound.reason


def test_the_empirical_bernstein_bound_covers():
    """Of 400 upper limits of a skewed mean at level 10% at most 4% fail: the bound is no t-test."""
    rng = np.random.default_rng(0)
    values = 2 * rng.beta(0.3, 2.0, size=(60, 400))
    limits = upper_limit(values, 2.0, 0.1)
    assert (limits < 2 * 0.3 / 2.3).mean() < 0.04
    assert limits.mean() < 1.2  # and says something
    # Maurer and Pontil's formula for numbers in [0, 1], by hand
    x = np.array([0.0, 1.0, 1.0, 0.0])
    expected = 0.5 + np.sqrt(2 * (1 / 3) * np.log(20) / 4) + 7 * np.log(20) / 9
    assert upper_limit(x, 1.0, 0.1) == pytest.approx(expected)


@pytest.fixture(scope="module")
def many():
    """4000 narrow networks, recorded often."""
    net = network("tanh", bias=0.3)
    question = Question(net, 8, X, Y[:, None], None, TIMES, 4000, KEY, 0.9, None, 48)
    return question, trained(question)


def part(runs, start, count):
    rows = slice(start, start + count)
    return replace(
        runs,
        outputs=runs.outputs[rows],
        initial=runs.initial[rows],
        recorded={name: values[rows] for name, values in runs.recorded.items()},
        first=start,
    )


def test_certificates_cover_what_many_networks_show(many):
    """40 certificates of 100 networks against the mean deviation of all 4000."""
    question, runs = many
    flow = ww.linear_flow(question.net, X, Y)
    R = np.linalg.norm(runs.outputs - flow.outputs(runs.initial, runs.times), axis=(2, 3))
    at = np.searchsorted(runs.times, TIMES)
    truth = np.minimum(R[:, at], 2).mean(0)
    small, largest = replace(question, members=100, grid=0), truth.argmax()
    failed = 0
    for i in range(40):
        some = part(runs, 100 * i, 100)
        some = replace(some, outputs=some.outputs[:, at], times=TIMES, recorded={})
        late = replace(some, outputs=some.outputs[:, largest:][:, :1], times=TIMES[[largest]])
        bound = certificate(replace(small, times=TIMES[[largest]]), late)
        coupling = bound.constants["coupling"]  # the coupling alone, not the whole bound
        assert coupling < truth[largest] + 1.2
        failed += bool(coupling < truth[largest])
    assert failed <= 4  # a confidence of 90%, and an inequality that is not tight


def test_a_certificate_is_above_the_measured_distance(many):
    question, runs = many
    flow = ww.linear_flow(question.net, X, Y)
    v = np.array([[1.0, 1.0, 1.0]]) / 3**0.5
    at = np.searchsorted(runs.times, TIMES)
    few = replace(runs, outputs=runs.outputs[:, at], times=TIMES, recorded={})
    joint = certificate(replace(question, grid=0), few)
    along = certificate(replace(question, grid=0, v=v), few)
    assert (along.values <= joint.values).all()
    for i, t in enumerate(TIMES):
        mean, K = flow.mean(t)[:, 0], flow.covariance(t)
        samples = runs.outputs[:, at[i], :, 0]
        low = d.bounded_lipschitz(samples, d.Normal(mean, K)).interval[0]
        assert low <= joint.values[i]
        line = d.bounded_lipschitz(samples @ v[0], d.Normal(v[0] @ mean, v[0] @ K @ v[0]))
        assert line.interval[0] <= along.values[i]


def test_between_recorded_times_nothing_is_larger_than_its_bound(many):
    """Every other recorded time is left out; the bounds from the rest hold there."""
    question, runs = many
    some = part(runs, 0, 300)
    flow = ww.linear_flow(question.net, X, Y)
    R = np.linalg.norm(some.outputs - flow.outputs(some.initial, some.times), axis=(2, 3))
    kept = np.arange(0, len(some.times), 2)
    rest = replace(
        some,
        times=some.times[kept],
        outputs=some.outputs[:, kept],
        recorded={"ntk": some.recorded["ntk"][:, kept]},
    )
    top, added = between.largest_between(rest, flow, R[:, kept])
    left_out = np.arange(1, kept[-1], 2)
    assert (R[:, left_out] <= top).all()
    assert (added > 0).all()
    assert np.median(top / np.maximum(R[:, left_out], 1e-3)) < 20  # and they say something
    # so do the bounds of the kernel's change within an interval
    theta = some.recorded["ntk"]
    change = np.linalg.norm(theta[:, left_out] - theta[:, left_out - 1], 2, axis=(2, 3))
    step = np.diff(rest.times)
    r = np.linalg.norm(rest.residuals[..., 0], axis=2)[:, :-1]
    path = np.concatenate([np.zeros((len(r), 1)), np.cumsum(r * step, axis=1)[:, :-1]], 1)
    moved, size = between._jacobians(question.net, 8, rest, path, r * step)
    assert (change <= moved * (2 * size + moved) + 1e-12).all()


def test_a_grid_gives_all_times(many):
    question, runs = many
    bound = certificate(question, runs)
    assert "at all times of [0, 2] together" in str(bound)
    assert bound.value >= bound.constants["largest_mean"] >= bound.constants["largest_recorded"]
    assert bound.constants["all_times"] >= bound.value


@pytest.mark.slow
def test_a_factor_below_1_scales_the_wasserstein_distance_not_its_cap():
    """4 skewed neurons, a mean direction: min(2, ‖v‖ G/√n), which min(2, W₁) ‖v‖ is below."""
    net, v = network("softplus", "exponential"), np.full((1, 3), 1 / 3)
    question = Question(net, 4, X, Y[:, None], None, np.array([0.1]), 16, KEY, 0.9, v, 16)
    bound = certificate(question)
    every = ww.distance_bound(net, X, 4, "max_sliced_wasserstein1").value
    assert np.linalg.norm(v) * min(every, 2) < bound.constants["carried"]
    assert bound.constants["carried"] == pytest.approx(min(np.linalg.norm(v) * every, 2))


def test_no_network_is_trained_for_a_bound_that_does_not_exist(monkeypatch):
    def refused(question):
        raise AssertionError("trained")

    monkeypatch.setattr(statistical, "trained", refused)
    given = {"kind": "statistical", "times": [0.5], "key": KEY, "members": 8}
    bound = trained_distance_bound(network("tanh", "rademacher"), X, Y, 8, **given)
    assert not bound.available
    assert "has atoms" in bound.reason


def test_outputs_that_do_not_vary_are_at_distance_0():
    """At one point and a late time A = 0 in floats: only the coupling is left."""
    net = network("tanh", "rademacher")
    given = {"kind": "statistical", "times": [1e3], "key": KEY, "members": 8}
    bound = trained_distance_bound(net, X[:1], Y[:1], 8, **given)
    assert bound.constants["initial"] == 0


def test_a_public_certificate_of_two_outputs_two_layers_and_test_points():
    """Every number of the coupling once more, from the networks drawn with the same key."""
    net = ww.MLP(2, "tanh", 1.5, 0.5, outputs=2)
    labels, new, times = np.stack([Y, -Y], 1), np.array([[0.7]]), [0.0, 0.5]
    given = {"kind": "statistical", "times": times, "key": KEY, "members": 40}
    bound = trained_distance_bound(net, X, labels, 32, new, **given)
    runs = ww.simulate(net, 32, X, labels, new, times, 40, KEY)
    flow = ww.linear_flow(net, X, labels, new)
    R = np.linalg.norm(runs.outputs - flow.outputs(runs.initial, times), axis=(2, 3))
    small, log = np.minimum(R[:, 1], 2), np.log(2 / bound.constants["delta"])
    expected = small.mean() + np.sqrt(2 * small.var(ddof=1) * log / 40) + 14 * log / (3 * 39)
    assert bound.constants["coupling"] == pytest.approx(expected, abs=2e-3)
    assert bound.values[1] == pytest.approx(min(bound.constants["initial"] + expected, 2), abs=2e-3)
    assert "first packet" in str(bound)


@pytest.mark.slow
def test_a_certificate_by_random_points_is_less_certain():
    """5 inputs: the constants of the theorem at time 0 have standard errors."""
    x = np.asarray(jax.random.normal(jax.random.key(1), (5, 5)))
    net, y = network("tanh", "uniform"), np.ones((5, 1))
    question = Question(net, 8, x, y, None, np.array([0.0]), 8, KEY, 0.9, None, 0)
    bound = certificate(question)
    assert bound.confidence == pytest.approx(0.89)
    assert "random points" in str(bound)


def test_the_third_moment_enters_theorem_t_with_its_error(monkeypatch):
    """E|r₀|⁴ from an integral that is off by its error is not below the one that is not."""
    truth = training_constants(network("tanh", "exponential"), X, Y).residual(8)[1]
    plain = uniform.expectation
    for sign in (-1, 1):

        def off(*arguments, sign=sign):
            found = plain(*arguments)
            error = np.abs(found.value) * 0.01
            value = found.value.copy()
            value[2] += sign * 3 * error[2]
            error[:2] = 0
            return found._replace(value=value, error=error)

        monkeypatch.setattr(uniform, "expectation", off)
        found = training_constants(network("tanh", "exponential"), X, Y).residual(8)[1]
        assert found >= truth * (1 - 1e-12)


def test_what_does_not_fit_is_refused(unchecked):
    net = network()
    given = {"kind": "statistical", "times": [0.5], "key": KEY, "members": 8}
    for change, word in (
        ({"kind": "likely"}, "kind must be"),
        ({"metric": "wasserstein1"}, "metric must be one of bounded_lipschitz"),
        ({"times": None}, "needs times and a random key"),
        ({"times": [1.0, 0.5]}, "finite and increasing"),
        ({"members": 3}, "at least 8"),
        ({"confidence": 1.0}, "between 0 and 1"),
        ({"grid": -1}, "grid must be an integer"),
        ({"direction": [1.0]}, r"shape \(3,\)"),
        ({"kind": "proven"}, "belongs to kind='statistical'"),
    ):
        with pytest.raises(ValueError, match=word):
            trained_distance_bound(net, X, Y, 8, **(given | change))
    with pytest.raises(ValueError, match="kinks"):
        trained_distance_bound(network("relu"), X, Y, 8, **given, grid=10)
