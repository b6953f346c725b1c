"""Estimators of distances at initialization: means of controls, exact laws, and what they gain."""

import jax
import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr

import widthwise as ww
from widthwise.measure.estimators import means, measured_distance, raw, stein
from widthwise.measure.estimators.curve import GRID, Curve, absolute_integral
from widthwise.measure.estimators.drawn import Projections, projections
from widthwise.measure.estimators.initial import initial_curve
from widthwise.measure.estimators.means import Cumulants
from widthwise.measure.estimators.sums import BATCHES, Means, Sums
from widthwise.measure.stein_kernel import stein_kernel

X = np.array([[-1.0], [0.3], [1.2]])
V = np.ones(3) / np.sqrt(3)
KEY = jax.random.key(20)
LAWS = [
    ww.laws.Gaussian(),
    ww.laws.Uniform(),
    ww.laws.Exponential(),
    ww.laws.Gamma(2.5),
    ww.laws.Laplace(),
    ww.laws.StudentT(9),
    ww.laws.TruncatedGaussian(2.0),
]


def network(activation, readout="gaussian", depth=1, bias=0.0):
    return ww.MLP(
        depth,
        activation,
        weight_std=(1.5,) * depth + (1.0,),
        bias_std=(0.5,) * depth + (bias,),
        weight_law=("gaussian",) * depth + (readout,),
    )


def std_of(net, x=X, v=V):
    return np.sqrt([v @ np.asarray(ww.limit_kernels(net, x).nngp) @ v])


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_stein_kernels_satisfy_their_equation(law):
    """E W g(W) = E τ(W) g'(W) for g = W, W², W³ and sin, by the law's own moments and rule."""
    tau = stein_kernel(law)
    low, high = (np.clip(end, -40, 60) for end in law.support)
    x, w = np.polynomial.legendre.leggauss(400)
    total = 0.0
    checks = [(lambda z: z, np.ones_like), (lambda z: z**2, lambda z: 2 * z)]
    checks += [(lambda z: z**3, lambda z: 3 * z**2), (np.sin, np.cos)]
    for fn, slope in checks:
        total = 0.0
        for a, b in ((low, 0.0), (0.0, high)):
            z = (a + b) / 2 + (b - a) / 2 * x
            total += (
                (b - a) / 2 * w @ (law.density(z) * (z * fn(z) - np.asarray(tau(z)) * slope(z)))
            )
        assert abs(total) < (1e-3 if law.name.startswith(("student", "gamma")) else 1e-9)


def test_laws_without_a_stein_kernel_have_none():
    assert stein_kernel(ww.laws.Rademacher()) is None
    assert stein_kernel(ww.laws.StudentT(4)) is None


def test_members_far_to_the_left_leave_the_right_as_it_is():
    """Sums over the grid against g_u' member by member, m by an asymptotic series on the left."""
    w = np.array([-9.0, -8.2, -0.3, 0.4, 1.7])
    weights = np.array([0.5, -2.0, 1.0, 3.0, -0.7])
    found = stein.weighted(w[None], weights[None])[0]
    for place in (150, 205, 215, 260, 390):
        u = GRID[place]
        far = w < -8
        m = 1 + w * np.sqrt(2 * np.pi) * np.exp(w**2 / 2) * ndtr(w)
        s = 1 / w[far] ** 2
        m[far] = s - 3 * s**2 + 15 * s**3 - 105 * s**4 + 945 * s**5 - 10395 * s**6
        right = 1 - w * np.sqrt(2 * np.pi) * np.exp(w**2 / 2) * ndtr(-w)
        slope = np.where(w <= u, ndtr(-u) * m, -ndtr(u) * right)
        assert found[place] == pytest.approx(weights @ slope, rel=1e-9, abs=1e-6)


def test_the_derivative_solves_the_equation_of_stein():
    """g' − w g = 1{w ≤ u} − Φ(u), with g integrated from the right."""
    w = np.linspace(-6, 6, 1601)
    for place in (150, 200, 260):
        u = GRID[place]
        slope = np.array([stein.weighted(np.array([[z]]), np.ones((1, 1)))[0, place] for z in w])
        indicator = (w <= u) - ndtr(u)
        g = (slope - indicator) / np.where(np.abs(w) < 1e-9, np.nan, w)
        smooth = np.abs(w - u) > 0.01
        numeric = np.gradient(g, w)
        inner = smooth & (np.abs(w) > 0.02) & (np.abs(w) < 5.9)
        assert np.abs(numeric - slope)[inner].max() < 1e-3


@pytest.mark.parametrize(
    ("activation", "readout", "depth", "bias"),
    [
        ("tanh", "gaussian", 1, 0.0),
        ("softplus", "exponential", 1, 0.4),
        pytest.param("tanh", "laplace", 1, 0.0, marks=pytest.mark.slow),
        pytest.param("tanh", "gaussian", 2, 0.0, marks=pytest.mark.slow),
    ],
)
def test_means_of_controls_are_those_of_the_exact_law(activation, readout, depth, bias):
    """At small width, where κ₃ and κ₄ are large; z-scores of 100 000 members."""
    n = 4 if depth == 1 else 64
    net, v = network(activation, readout, depth, bias), np.array([[0.7, 0.0, -1.1]])
    x, v = X[[0, 2]], v[:, [0, 2]]
    std = std_of(net, x, v[0])
    kappa, error = Cumulants(net, x, 0, KEY).standardized(v, std, n)
    if depth == 1:
        law = ww.exact_law(net, x, n, (0, 1), v[0])
        exact = [law.cumulant(r) / std[0] ** r for r in (2, 3, 4)]
        assert kappa[0, 2:] == pytest.approx(exact, abs=1e-9)
    count = 40_000 if depth == 1 else 30_000
    parts = list(projections(net, n, x, v, std, 0, KEY, 0, count))
    w, s2, tau = (np.concatenate([p[k][0] for p in parts]) for k in range(3))
    q = 1 - tau
    checks = [
        (np.stack([q, q * w, q * (w**2 - 1)], 1), means.stein_means(kappa, error)),
        (np.stack([w, w**2 - 1, w**3 - 3 * w, w**4 - 6 * w**2 + 3], 1),
         means.hermite_means(kappa, error)),
    ]  # fmt: skip
    if readout == "gaussian":
        d = s2 - 1
        checks.append((np.stack([d, d**2], 1), means.variance_means(kappa, error)))
    for sample, (mean, off) in checks:
        se = sample.std(0) / np.sqrt(count)
        assert (np.abs(sample.mean(0) - mean[0]) < 4 * se + off[0]).all()
    assert abs(kappa[0, 4]) > 0.005  # a wrong factor would show


@pytest.mark.parametrize(
    ("activation", "readout", "method", "gain"),
    [
        ("tanh", "gaussian", "rao_blackwell", 1000),
        ("tanh", "gaussian", "stein", 6),
        ("softplus", "exponential", "stein", 6),
    ],
)
def test_estimates_are_the_exact_distance_and_beat_raw_samples(activation, readout, method, gain):
    net, n, count = network(activation, readout), 128, 10_000
    exact = ww.exact_distance(net, X, V, n)
    law, std = ww.exact_law(net, X, n, (0, 1, 2), V), std_of(net)
    D = law.cdf(std[0] * GRID) - ndtr(GRID)
    rms = {}
    for name in ("raw", method):
        d = measured_distance(net, X, None, None, V, n, 0.0, count, KEY, method=name)
        rms[name] = np.sqrt(((d.difference[0] - D) ** 2).mean())
        inside = (np.abs(GRID) < 2.5) & (np.abs(GRID) > 0.1)
        z = (d.difference[0] - D)[inside] / d.difference_error[0, inside]
        assert np.abs(z).max() < 4.5
    assert abs(d.value - exact.value) < 3.5 * d.error
    assert rms["raw"] > gain * rms[method]


@pytest.mark.parametrize("metric", ["kolmogorov", "energy", "sliced_wasserstein1"])
def test_other_metrics_are_those_of_the_exact_law(metric):
    net, n = network("tanh"), 64
    v = V if metric != "sliced_wasserstein1" else np.eye(3)
    exact = ww.exact_distance(net, X, v, n, metric)
    d = measured_distance(net, X, None, None, v, n, 0.0, 4000, KEY, metric=metric)
    assert abs(d.value - exact.value) < 3.5 * d.error
    assert d.error < 0.02 * exact.value
    assert d.metric == metric


def test_deep_networks_need_no_controls_but_gain_from_them():
    """Two hidden layers, one point: against the series through n^{-2}, far below the floor."""
    net, n = network("tanh", depth=2), 64
    predicted = ww.predicted_distance(ww.output_cumulants(net, X[:1], order=4), None, n, order=4)
    d = measured_distance(net, X[:1], None, None, None, n, 0.0, 4000, KEY)
    assert abs(d.value - predicted.value) < 3 * np.hypot(d.error, predicted.error)
    assert d.error < 0.01 * d.value
    std = std_of(net, X[:1], np.ones(1))
    blind = Cumulants(net, X[:1], 0, KEY)
    blind._table = None
    args = (net, n, X[:1], np.ones((1, 1)), std, 0, KEY, 4000, "rao_blackwell")
    without = initial_curve(*args, blind).read("wasserstein1")
    assert abs(without.value - predicted.value) < 3.5 * without.error
    assert without.error > 3 * d.error


@pytest.mark.parametrize(("readout", "bias"), [("gaussian", 0.4), ("exponential", 0.0)])
def test_cumulants_of_many_inputs_are_those_of_sampled_neurons(readout, bias):
    """Ten inputs: κ₃ and κ₄ of a projection of two points against quadrature."""
    x = np.random.default_rng(2).normal(size=(4, 10))
    net, v = network("softplus", readout, bias=bias), np.array([[0.8, -0.6, 0.0, 0.0]])
    std = std_of(net, x[:2], v[0, :2])
    exact = Cumulants(net, x[:2], 0, KEY)
    found = Cumulants(net, x, 0, KEY)
    assert found._neurons
    assert not exact._neurons
    kappa, error = found.standardized(v, std, 50)
    expected = exact.standardized(v[:, :2], std, 50)[0]
    assert kappa[0, :3] == pytest.approx(expected[0, :3], abs=1e-9)
    assert (np.abs(kappa - expected)[0, 3:] <= 3 * error[0, 3:]).all()
    assert error[0, 4] < 0.02 * kappa[0, 4]


def test_intervals_cover_a_known_curve():
    """200 repeats of batches about a curve of known distance, strong and weak signal."""
    rng, shape = np.random.default_rng(3), np.exp(-(GRID**2) / 2) / np.sqrt(2 * np.pi)
    modes = np.stack([shape * GRID**k for k in range(4)])
    D = 0.02 * shape * (GRID**2 - 1)
    exact = 1.5 * absolute_integral(D)
    covered = 0
    for _ in range(200):
        batches = D + 0.02 * rng.normal(size=(BATCHES, 4)) @ modes
        value = batches.mean(0)
        rows = (batches - value) / np.sqrt(BATCHES * (BATCHES - 1))
        read = Curve(np.array([1.5]), value[None], rows[:, None], np.zeros(1)).read("wasserstein1")
        covered += abs(read.value - exact) <= 2.04 * read.error
    assert covered >= 181


def test_without_a_signal_the_estimate_lies_at_the_floor():
    """Standard normal samples: the mean of raw distances is the floor, 1.28838/√N."""
    rng, values = np.random.default_rng(5), []
    for _ in range(30):
        z = rng.normal(size=(1, 64_000))
        sums = Sums(1, 0, len(GRID))
        for b in range(BATCHES):
            part = z[:, b * 2000 : (b + 1) * 2000]
            raw.add(sums, b, Projections(part, part, part))
        none = np.zeros((1, 0))
        value, rows = sums.estimate(Means(none, none))
        curve = Curve(np.ones(1), value, rows, np.zeros(1))
        values.append([curve.distance("wasserstein1", value), curve.read("wasserstein1").floor])
    plain, floor = np.mean(values, 0)
    few = 1 - 1 / (4 * (BATCHES - 1))  # the mean of a standard deviation of few batches
    assert floor == pytest.approx(few * 1.28838 / np.sqrt(64_000), rel=0.02)
    assert plain == pytest.approx(floor, rel=0.2)


def test_the_integral_of_a_polygon_is_exact():
    u = GRID
    assert absolute_integral(u - 0.013) == pytest.approx(
        ((8 - 0.013) ** 2 + (8 + 0.013) ** 2) / 2, rel=1e-12
    )
    assert absolute_integral(stats.norm.pdf(u)) == pytest.approx(1, rel=1e-12)


def test_members_do_not_depend_on_blocks():
    net, v, std = network("tanh"), V[None], std_of(network("tanh"))
    whole = next(projections(net, 16, X, v, std, 0, KEY, 0, 64))
    parts = list(projections(net, 16, X, v, std, 0, KEY, 0, 64, memory=3e4))
    assert len(parts) > 1
    for k in range(3):
        joined = np.concatenate([p[k] for p in parts], 1)
        np.testing.assert_allclose(joined, whole[k], rtol=1e-12)


def test_bad_input_is_refused():
    net = network("tanh")

    def call(net=net, direction=V, time=0.0, members=400, **kinds):
        return measured_distance(net, X, None, None, direction, 16, time, members, KEY, **kinds)

    with pytest.raises(ValueError, match=r"members must be at least 320.*got 10"):
        call(members=10)
    with pytest.raises(ValueError, match=r"y_train must be given.*got None"):
        call(time=1.0)
    with pytest.raises(ValueError, match=r"metric must be one of .*got 'wasserstein2'"):
        call(metric="wasserstein2")
    with pytest.raises(ValueError, match=r"method must be one of .*rademacher.*got 'stein'"):
        call(net=network("tanh", "rademacher"), method="stein")
    with pytest.raises(ValueError, match=r"one number per point \(3\)"):
        call(direction=None)
    with pytest.raises(ValueError, match=r"bias has the law uniform"):
        call(net=ww.MLP(1, "tanh", bias_std=0.5, bias_law="uniform"))
    with pytest.raises(ValueError, match=r"is for time 0, got times \[1.0\]"):
        measured_distance(net, X, np.ones(3), None, V, 16, 1.0, 400, KEY, method="stein")
    with pytest.raises(ValueError, match=r"options may be .*got \['speed'\]"):
        call(speed=3)
