"""Certified bounds at initialization, attacked with exact laws, Monte Carlo and closed forms."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy import stats
from scipy.special import beta

import widthwise as ww
from widthwise.measure import distances as d
from widthwise.measure.bounds import distance_bound, gaussian_readout
from widthwise.measure.bounds.features import features, neuron
from widthwise.measure.bounds.initial import InitialBounds
from widthwise.measure.bounds.kernel_moment import kernel_second_moment
from widthwise.measure.bounds.law_moment import absolute_moment, law_expectation
from widthwise.measure.bounds.mixture import bures
from widthwise.measure.bounds.stein import stein_constant
from widthwise.measure.exact import exact_distance
from widthwise.measure.predicted import predicted_distance
from widthwise.model import laws

X = np.array([[-1.0], [0.3], [1.2]])
ONE = np.array([[1.2]])


def network(activation, readout="gaussian", bias=0.0, first="gaussian", outputs=1):
    return ww.MLP(1, activation, (1.5, 1.0), (0.5, bias), (first, readout), outputs=outputs)


TANH = network("tanh")


@pytest.mark.parametrize(
    ("law", "expected"),
    [
        (laws.Gaussian(), 1.0),
        (laws.Uniform(), 1.2),
        (laws.Exponential(), 2.0),
        (laws.Gamma(4.0), 1.25),
        (laws.Laplace(), 1.25),
        (laws.StudentT(9.0), 1.05),
        # by panels, against the closed forms
        (laws.from_scipy(stats.norm(3.0, 2.0)), 1.0),
        (laws.from_scipy(stats.gamma(4.0)), 1.25),
        (laws.from_scipy(stats.uniform(1.0, 3.0)), 1.2),
        (laws.from_scipy(stats.t(9.0)), 1.05),
        # Pearson: τ of beta(2, 3) is x(1 − x)/5
        (
            laws.from_scipy(stats.beta(2, 3)),
            stats.beta(2, 3).expect(lambda x: (x * (1 - x)) ** 2)
            / 25
            / stats.beta(2, 3).var() ** 2,
        ),
    ],
)
def test_second_moments_of_stein_kernels(law, expected):
    found, why = kernel_second_moment(law)
    assert found == pytest.approx(expected, rel=1e-7)
    assert not why


def test_a_truncated_gaussian_has_the_kernel_of_its_density():
    """E a³ = 0 = E τ 2a is empty by symmetry; E a·a³ = 3 E τ a² and E a·a = E τ are not."""
    law = laws.TruncatedGaussian(1.5)
    found, _ = kernel_second_moment(law)
    # of a Gaussian of variance s² cut at ±c: τ = s² (1 − p(c)/p(a)); unscaled units
    c = 1.5
    z, w = np.polynomial.legendre.leggauss(200)
    z, w = c * z, c * w
    p = stats.norm.pdf(z)
    mass = w @ p
    tau = 1 - stats.norm.pdf(c) / p
    variance = w @ (z * z * p) / mass
    assert w @ (tau * p) / mass == pytest.approx(variance, rel=1e-12)
    assert found == pytest.approx(w @ (tau**2 * p) / mass / variance**2, rel=1e-9)


def test_laws_without_a_kernel_say_why():
    for law, word in (
        (laws.Rademacher(), "atoms"),
        (laws.Discrete([-1, 0, 1], [0.2, 0.6, 0.2]), "atoms"),
        (laws.StudentT(3.5), "fourth moment"),
    ):
        found, why = kernel_second_moment(law)
        assert np.isinf(found)
        assert word in why


def test_expectations_over_laws_have_their_closed_forms():
    for law, third in (("gaussian", np.sqrt(8 / np.pi)), ("laplace", 6 / 2**1.5)):
        found = law_expectation(laws.get(law), lambda a: np.abs(a) ** 3)
        assert found == pytest.approx(third, rel=1e-12)


@pytest.mark.parametrize("df", [3.2, 5.0, 9.5])
def test_absolute_moments_of_student_t(df):
    """By the beta integral of u = t²/(ν + t²), and by the trapezoid rule in t = sinh u."""
    found = absolute_moment(laws.StudentT(df), 3)
    scale = (df - 2) ** 1.5
    assert found == pytest.approx(scale * beta(2, (df - 3) / 2) / beta(0.5, df / 2), rel=1e-12)
    u = np.linspace(0, 200, 40_001)
    z = np.sinh(u)
    p = laws.StudentT(df).density(z)
    assert found == pytest.approx(2 * np.trapezoid(z**3 * p * np.cosh(u), u), rel=1e-9)
    assert absolute_moment(laws.StudentT(df), 2) == 1
    assert np.isinf(absolute_moment(laws.StudentT(df), 10))


@pytest.mark.parametrize("df", [4.2, 4.5, 4.6, 5.0, 7.0])
def test_tails_beyond_the_panels_are_bounded_or_refused(df):
    """Against the closed form of Student t, from the density alone."""
    truth, _ = kernel_second_moment(laws.StudentT(df))
    found, why = kernel_second_moment(laws.from_scipy(stats.t(df)))
    assert found >= truth * (1 - 1e-9)
    if df <= 4.5:
        assert np.isinf(found)
        assert "too heavy" in why
    if df >= 5:
        assert found == pytest.approx(truth, rel=1e-6)
    third = absolute_moment(laws.from_scipy(stats.t(df - 1)), 3)
    exact = absolute_moment(laws.StudentT(df - 1), 3)
    assert third >= exact * (1 - 1e-9)
    assert np.isinf(third) if df <= 4.5 else third == pytest.approx(exact, rel=1e-5)


def test_a_tail_that_cannot_be_summed_is_said():
    net = network("softplus", laws.from_scipy(stats.t(3.2)))
    bound = distance_bound(net, ONE, 64, "wasserstein1")
    assert not bound.available
    assert "too heavy to sum E|a|³" in bound.reason


def test_signs_of_one_point_are_exactly_gaussian():
    """φ² = 1: the conditional variance is K, and D = 0."""
    bound = distance_bound(ww.MLP(1, "sign"), [[1.0]], 64)
    assert bound.available
    assert bound.value < 1e-6


def test_many_inputs_leave_random_points_and_a_confidence_below_1():
    x = np.asarray(jax.random.normal(jax.random.key(1), (5, 5)))
    bound = distance_bound(ww.MLP(1, "tanh", weight_law=("gaussian", "uniform")), x, 64)
    assert bound.confidence == 0.99
    assert "random points, 3 standard errors" in str(bound)
    assert "quadrature" not in str(bound)
    goldstein = distance_bound(network("tanh", "rademacher"), x, 64, "max_sliced_wasserstein1")
    assert goldstein.confidence == 0.99
    plane = distance_bound(network("tanh", "uniform"), X, 64)
    assert plane.confidence == 1
    assert "expectations by quadrature" in str(plane)


@pytest.mark.parametrize("points", [X, np.concatenate([X, X])])
@pytest.mark.parametrize("error", [1e-3, 1e-6])
def test_the_error_of_the_kernel_is_added(points, error):
    """No covariance within the error is farther from the computed one than what is added."""
    made = InitialBounds(network("tanh", "uniform"), points, 64)
    m = len(points)
    A = np.diag(np.linspace(0.5, 2.0, m))
    exact = made.bound(A, "wasserstein2").value
    one = made.neuron
    made.__dict__["neuron"] = replace(one, error=error / 3)
    added = made.bound(A, "wasserstein2").value - exact
    rng, worst = np.random.default_rng(0), 0.0
    for _ in range(50):
        u = rng.choice([-1.0, 1.0], m)
        other = one.K + error * np.outer(u, u)
        worst = max(worst, float(bures(A @ other @ A, A @ one.K @ A)))
    assert 0 < worst <= added
    assert added < 100 * worst or m > 3  # a singular K pays √error


ATTACKS = [
    ("tanh", "gaussian", 0.0),
    ("tanh", "exponential", 0.7),
    ("erf", "uniform", 0.0),
    ("erf", "laplace", 0.7),
    ("softplus", "gaussian", 0.7),
    ("softplus", "exponential", 0.0),
    ("relu", "gaussian", 0.0),
    ("relu", "exponential", 0.7),
    ("sin", "laplace", 0.0),
    ("sin", "uniform", 0.7),
]
MORE = [
    (activation, law, bias)
    for activation in ("tanh", "erf", "softplus", "relu", "sin")
    for law in ("gaussian", "uniform", "exponential", "laplace", {"name": "gamma", "shape": 0.5})
    for bias in (0.0, 0.7)
    if (activation, law, bias) not in ATTACKS
]


def attack(activation, law, bias, widths):
    """Exact W1 and W2 on the line against the bounds; how loose the bounds are."""
    net, loose = network(activation, law, bias), []
    K = float(np.asarray(ww.limit_kernels(net, ONE).nngp)[0, 0])
    for n in widths:
        exact = ww.exact_law(net, ONE, n, (0,), np.ones(1))
        for order, metric in ((1, "wasserstein1"), (2, "wasserstein2")):
            truth = d.wasserstein(exact, d.Normal(0.0, K), order)
            bound = distance_bound(net, ONE, n, metric)
            assert bound.available
            assert truth.value - truth.error <= bound.value, (n, metric)
            loose.append(bound.value / truth.value)
    return loose


@pytest.mark.parametrize(("activation", "law", "bias"), ATTACKS)
def test_no_exact_law_on_the_line_is_farther_than_its_bound(activation, law, bias):
    loose = attack(activation, law, bias, (4, 64))
    assert min(loose) < 200  # at n = 4; bounds of order n^{-1/2} of what is 1/n get looser


@pytest.mark.slow
@pytest.mark.parametrize(("activation", "law", "bias"), MORE)
def test_no_exact_law_on_the_line_is_farther_than_its_bound_everywhere(activation, law, bias):
    attack(activation, law, bias, (4, 8, 16, 32, 64))


@pytest.mark.parametrize("readout", ["gaussian", "exponential"])
def test_the_constant_of_theorem_1_is_the_mean_square_of_the_kernel(readout):
    """n E‖(τ_n − K) K^{-1/2}‖² by Monte Carlo, with an output bias, at n = 3."""
    net, n, members = network("softplus", readout, 0.6), 3, 200_000
    found, _, _ = stein_constant(
        features(neuron(net, X, 1), np.eye(3)), kernel_second_moment(net.weight_law[1])[0]
    )
    rng = np.random.default_rng(0)
    u = rng.normal(size=(members, n, 2))
    h = np.logaddexp(0, u @ np.stack([1.5 * X[:, 0], np.full(3, 0.5)]))
    tau = np.ones((members, n)) if readout == "gaussian" else rng.exponential(size=(members, n))
    K = np.asarray(ww.limit_kernels(net, X).nngp)
    values, Q = np.linalg.eigh(K)
    kernel = np.einsum("mk,mka,mkb->mab", tau, h, h) / n + 0.6**2 - K
    squares = n * (np.square(kernel @ Q) / values).sum((1, 2))
    z = (squares.mean() - found**2) / (squares.std() / np.sqrt(members))
    assert abs(z) < 4


def test_the_sixth_moment_of_theorem_3_is_exact():
    net, n, members = network("tanh", bias=0.4), 16, 100_000
    given = features(neuron(net, X, 1), np.eye(3))
    moments = gaussian_readout.moments(given)
    rng = np.random.default_rng(1)
    u = rng.normal(size=(members, n, 2))
    w = np.tanh(u @ np.stack([1.5 * X[:, 0], np.full(3, 0.5)])) @ given.matrix.T
    D = np.einsum("mka,mkb->mab", w, w) / n - given.second
    sixth = np.square(D).sum((1, 2)) ** 3
    z = (sixth.mean() - gaussian_readout.third_power(moments, n)) / (sixth.std() / members**0.5)
    assert abs(z) < 4


def test_many_directions_bound_the_sixth_moment_from_above(monkeypatch):
    given = features(neuron(TANH, X, 1), np.eye(3))
    exact = gaussian_readout.third_power(gaussian_readout.moments(given), 32)
    monkeypatch.setattr(gaussian_readout, "_EXACT_T", 0)
    above = gaussian_readout.third_power(gaussian_readout.moments(given), 32)
    assert exact < above < 1.2 * exact


def test_theorem_3_tends_to_twice_the_limit():
    """The constant against the Edgeworth series' own, with and without an output bias."""
    for net in (TANH, network("softplus", bias=0.5)):
        moments = gaussian_readout.moments(features(neuron(net, X, 1), np.eye(3)))
        series = predicted_distance(
            ww.output_cumulants(net, X, order=2), None, 2**20, metric="wasserstein2"
        )
        assert moments.a4 == pytest.approx(series.constant, rel=1e-6)
    made = InitialBounds(TANH, X, 1)
    scaled = []
    for n in 2 ** np.arange(10, 21):
        made.width, made.last = int(n), int(n)
        bound = made.bound(np.eye(3), "wasserstein2")
        assert bound.method.startswith("Theorem 3")
        scaled.append(n * bound.value)
    assert (np.diff(scaled) < 0).all()
    a4 = bound.constants["A_4"]
    assert a4 == pytest.approx(0.5264, rel=1e-4)
    assert 2 * a4 < scaled[-1] < 2.02 * a4


def test_reference_numbers():
    at = distance_bound(TANH, X, 512)
    assert at.value == pytest.approx(0.01032, rel=3e-3)  # of a coarser grid of p₀
    assert distance_bound(TANH, X, 512, "wasserstein1").value == pytest.approx(0.002527, rel=1e-3)
    assert distance_bound(TANH, X, 64).value == pytest.approx(0.2387, rel=1e-3)
    skewed = distance_bound(network("softplus", "exponential"), X, 512)
    assert skewed.value == pytest.approx(0.3209, rel=1e-3)
    assert skewed.method == "Theorem 1 (Stein kernel)"


@pytest.mark.parametrize(
    ("activation", "law", "bias"), [("tanh", "gaussian", 0.5), ("softplus", "exponential", 0.0)]
)
def test_several_points_are_not_farther_than_their_bounds(activation, law, bias):
    """W₂² ≥ Σ_i W₂²(v_i · f) over an orthonormal frame; projections on the line."""
    net, n = network(activation, law, bias), 64
    frame = exact_distance(net, X, d.frames(3, 3), n, "sliced_wasserstein2")
    assert np.sqrt(3) * frame.value <= distance_bound(net, X, n).value
    v = np.array([1.0, -2.0, 0.5])
    along = exact_distance(net, X, v, n).value
    bound = distance_bound(net, X, n, "wasserstein1", direction=v)
    assert along <= bound.value
    joint = distance_bound(net, X, n, "wasserstein1").value
    assert bound.value <= np.linalg.norm(v) * joint


def test_few_neurons_are_not_farther_than_their_bound():
    """At n = 4, three points, by the lower end of the interval from 20 000 networks."""
    net, n, members = network("softplus", "exponential", 0.3), 4, 20_000
    rng = np.random.default_rng(2)
    z = rng.normal(size=(members, n, 2)) @ np.stack([1.5 * X[:, 0], np.full(3, 0.5)])
    a = rng.exponential(size=(members, n, 1)) - 1
    f = (a * np.logaddexp(0, z)).sum(1) / np.sqrt(n) + 0.3 * rng.normal(size=(members, 1))
    limit = d.Normal(np.zeros(3), np.asarray(ww.limit_kernels(net, X).nngp))
    low = d.wasserstein2_lower_bound(f, limit, directions=np.eye(3)).interval[0]
    assert 0.1 < low <= distance_bound(net, X, n).value


def test_repeated_points_and_directions_scale_as_they_must():
    """(f, f) is √2 as far as f, by an exactly singular K; 2v twice as far as v."""
    twice = distance_bound(TANH, np.concatenate([X, X]), 256)
    once = distance_bound(TANH, X, 256)
    assert twice.value == pytest.approx(np.sqrt(2) * once.value, rel=1e-4)
    v = np.array([1.0, 0.5, -1.0])
    one, two = (distance_bound(TANH, X, 256, direction=c * v).value for c in (1, 2))
    assert two == pytest.approx(2 * one, rel=1e-9)
    pair = distance_bound(network("softplus", "exponential", outputs=2), X, 64)
    alone = distance_bound(network("softplus", "exponential"), X, 64)
    assert pair.value == pytest.approx(np.sqrt(2) * alone.value, rel=1e-9)


def test_metrics_follow_from_the_two_wasserstein_bounds(unchecked):
    w1, w2, bl, s1, s2, top = (
        distance_bound(TANH, X, 128, metric).value
        for metric in (
            "wasserstein1",
            "wasserstein2",
            "bounded_lipschitz",
            "sliced_wasserstein1",
            "sliced_wasserstein2",
            "max_sliced_wasserstein1",
        )
    )
    assert w1 < w2
    assert (bl, top) == (w1, w1)
    assert s2 == pytest.approx(w2 / np.sqrt(3))
    assert s1 == pytest.approx(w1 / 2)  # the mean of |v₁| on the sphere in three dimensions
    far = distance_bound(network("softplus", "exponential"), X, 1, "bounded_lipschitz")
    assert far.value == 2
    with pytest.raises(ValueError, match="metric must be one of wasserstein2"):
        distance_bound(TANH, X, 64, "kolmogorov")


def test_what_does_not_hold_is_said(unchecked):
    for net, word in (
        (network("tanh", {"name": "student_t", "df": 3.5}), "fourth moment"),
        (network("softplus", "rademacher"), "atoms"),
        (ww.MLP(1, "tanh", bias_std=0.5, bias_law="exponential"), "limit is not Gaussian"),
        (ww.MLP.like_torch(1, "tanh"), "fan_in"),
        (ww.MLP(2, "step"), "not Lipschitz"),
        (ww.MLP(2, lambda z: z / (1 + z**2)), "declares no bound"),
        (ww.MLP(2, "tanh", weight_law=("gaussian", "rademacher", "gaussian")), "hidden layer 2"),
        (ww.MLP(2, "tanh", 1.0, 0.5, bias_law=("gaussian", "uniform", "gaussian")), "biases"),
        (ww.MLP(1, "relu", weight_law=({"name": "student_t", "df": 3.5}, "uniform")), "no mean"),
    ):
        bound = distance_bound(net, ONE, 64)
        assert np.isinf(bound.value)
        assert not bound.available
        assert word in bound.reason
        assert str(bound).startswith("No bound of the wasserstein2 distance")
    with pytest.raises(ValueError, match=r"shape \(3,\), got \(2,\)"):
        distance_bound(TANH, X, 64, direction=[1.0, 2.0])
    with pytest.raises(ValueError, match="do not vary"):
        distance_bound(ww.MLP(1, "tanh"), [[0.0]], 64)


def test_a_bound_states_its_hypotheses_and_constants():
    bound = distance_bound(network("tanh", bias=0.3), X, 512)
    text = str(bound)
    assert text.startswith("Wasserstein2 distance to the Gaussian process at width 512 ≤ ")
    assert "Theorem 3" in text
    assert "readout law is Gaussian" in text
    assert "output bias Gaussian of standard deviation 0.3" in text
    assert "A_4 = " in text
    assert "Also Theorem 1 (Stein kernel): " in text
    assert float(bound) == bound.value
