"""The required width against exact laws, closed forms and sampled deep networks."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.special import ndtr

import widthwise as ww
from initial.oracles import one_hidden
from widthwise.initial.required_width.search import smallest_width

slow = pytest.mark.slow
X = np.array([[0.9, -0.4, 0.7]])
VARIANCE = 1.4**2 * float(X[0] @ X[0]) / 3 + 0.2**2
QUICK = [("tanh", "exponential"), ("relu", "gaussian"), ("gelu", "uniform")]
SHALLOW = [
    pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow)
    for case in product(one_hidden.ACTIVATIONS, one_hidden.CHARACTERISTIC)
]


def shallow(activation, law):
    return ww.MLP(1, activation, 1.4, (0.2, 0.0), weight_law=("gaussian", law))


def exact_width(activation, law, metric, tolerance, start):
    """The smallest width whose exact distance is within the tolerance, near a first guess."""

    def exceeds(n):
        return one_hidden.distance(activation, law, VARIANCE, n, metric) > tolerance

    n = start
    while n > 1 and not exceeds(n - 1):
        n -= 1
    while exceeds(n):
        n += 1
    return n


# The exact shallow law. ---------------------------------------------------------------------------


@pytest.mark.parametrize(("activation", "law"), SHALLOW)
@pytest.mark.parametrize("metric", ["wasserstein", "kolmogorov"])
def test_at_the_width_returned_the_exact_distance_is_the_tolerance(activation, law, metric):
    """By the series: usually within 1 %, and one neuron more is what it cannot know."""
    for tolerance in (0.01, 0.001):
        need = ww.required_width(shallow(activation, law), X, tolerance, metric)
        if 15 <= need.width < 3e6:
            assert not need.warnings
            n = int(need.width)
            exact = one_hidden.distance(activation, law, VARIANCE, n, metric)
            assert exact == pytest.approx(tolerance, rel=0.1)
            assert exact == pytest.approx(tolerance, rel=1.5 / n + 1.5 / n**1.5 + 1e-3)
            assert need.distance(n) <= tolerance < need.distance(n - 1)


@pytest.mark.parametrize(("activation", "law"), SHALLOW)
@pytest.mark.parametrize(
    ("metric", "tolerance"),
    [("kolmogorov", 0.03), *(pytest.param(*case, marks=slow) for case in
     [("wasserstein", 0.1), ("wasserstein", 0.03), ("kolmogorov", 0.1)])],
)  # fmt: skip
def test_small_widths_are_right_to_one_neuron(activation, law, metric, tolerance):
    """From four neurons on; and where one neuron is more than a tenth of the tolerance it says."""
    need = ww.required_width(shallow(activation, law), X, tolerance, metric)
    n = int(need.width)
    if not need.settled:
        enough = need.remainder(n) <= 0.03 * tolerance
        assert enough or one_hidden.distance(activation, law, VARIANCE, 3, metric) <= tolerance
        return
    assert n == exact_width(activation, law, metric, tolerance, n)
    assert need.uncertainty == (n, n)
    here, before = (one_hidden.distance(activation, law, VARIANCE, k, metric) for k in (n, n - 1))
    assert need.distance(n) == pytest.approx(here, rel=3e-3)
    assert need.distance(n) <= tolerance < need.distance(n - 1)
    if abs(before - here - 0.1 * tolerance) > 0.01 * tolerance:
        assert bool(need.warnings) == (before - here > 0.1 * tolerance)
        assert need.warnings or here > 0.9 * tolerance
    assert "by the exact law" in str(need)


def test_the_worst_of_several_points_is_settled():
    x = np.array([[0.2, -0.1, 0.3], [0.9, -0.4, 0.7]])
    net = shallow("gelu", "uniform")
    need = ww.required_width(net, x, 0.03, "kolmogorov")
    assert need.settled
    assert need.width == need.widths.max() == 10 == need.widths[1]
    series = ww.required_width(net, x, 0.03, "kolmogorov", within="corrected")
    assert not series.settled


def test_units_of_a_settled_distance():
    net = shallow("gelu", "uniform")
    std = ww.limit_kernels(net, X).nngp[0, 0] ** 0.5
    need = ww.required_width(net, X, 0.06 * std, relative=False)
    assert need.settled
    assert need.width == ww.required_width(net, X, 0.06).width
    assert need.distance(14) / std == pytest.approx(
        one_hidden.distance("gelu", "uniform", VARIANCE, 14, "wasserstein"), rel=1e-3
    )


@pytest.mark.parametrize(("activation", "law"), SHALLOW)
def test_from_the_width_for_the_corrected_law_on_it_is_that_close(activation, law):
    for tolerance in (0.003, 1e-4):
        need = ww.required_width(shallow(activation, law), X, tolerance, within="corrected")
        n = max(int(need.width), 10)
        c = ww.output_cumulants(shallow(activation, law), X, 4)
        corrected = ww.edgeworth(c)
        right, left, _ = one_hidden.difference(activation, law, VARIANCE, n)
        gap = corrected.cdf(corrected.std * one_hidden.GRID, n, need.order) - ndtr(one_hidden.GRID)
        apart = np.trapezoid((np.abs(right - gap) + np.abs(left - gap)) / 2, one_hidden.GRID)
        assert apart < tolerance
        limit = ww.required_width(shallow(activation, law), X, tolerance)
        assert need.width < limit.width or limit.warnings


# Closed forms. ------------------------------------------------------------------------------------


def test_leading_constants():
    """1/n and n^{-1/2} with the constants of the one-dimensional Edgeworth terms."""
    gaussian = ww.MLP(1, "relu", weight_std=2**0.5)  # standardized κ₄ is 15/n
    assert ww.required_width(gaussian, X, 1e-9).width == pytest.approx(0.06291721 * 15e9, rel=1e-6)
    need = ww.required_width(gaussian, X, 1e-9, "kolmogorov")
    assert need.width == pytest.approx(0.02294116 * 15e9, rel=1e-6)
    skewed = ww.MLP(1, "relu", weight_std=2**0.5, weight_law=("gaussian", "exponential"))
    third = 2 * (2 / np.pi) ** 0.5 / 0.5**1.5
    need = ww.required_width(skewed, X, 1e-6)
    assert need.width == pytest.approx((0.16131382 * third / 1e-6) ** 2, rel=1e-6)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_excess_kurtosis_of_relu_networks(depth):
    """E z⁴/(E z²)² = 3 (1 + 5/n)^depth with He's variance; order P keeps the terms to n^{-P/2}."""
    net = ww.MLP(depth, "relu", weight_std=2**0.5)
    for tolerance in (0.3, 0.01):
        exact = 1
        while 3 * (1 + 5 / exact) ** depth - 3 > tolerance:
            exact += 1
        need = ww.required_width(net, X, tolerance, "excess_kurtosis", order=6)
        assert need.uncertainty[0] <= exact <= need.uncertainty[1]
        assert need.width == pytest.approx(exact, abs=2)
    assert ww.required_width(net, X, 0.01, "relative_variance").width == 1


def test_what_is_exact_is_certain():
    need = ww.required_width(shallow("tanh", "uniform"), X, 0.01, "excess_kurtosis")
    assert need.uncertainty == (need.width, need.width)
    assert not need.warnings
    torch = ww.MLP.like_torch(1, "tanh")
    c = ww.output_cumulants(torch, X).cumulant((0, 0))
    need = ww.required_width(torch, X, 0.003, "relative_variance")
    expected = math.ceil(c.coefficients[2] / c.coefficients[0] / 0.003)
    assert need.width == expected
    assert need.uncertainty == (expected, expected)


def test_units_of_the_wasserstein_distance():
    net = shallow("gelu", "exponential")
    std = ww.limit_kernels(net, X).nngp[0, 0] ** 0.5
    share = ww.required_width(net, X, 0.01)
    absolute = ww.required_width(net, X, 0.01 * std, relative=False)
    assert absolute.width == share.width
    doubled = ww.required_width(net, X, 0.02 * std, directions=[2.0], relative=False)
    assert doubled.width == share.width
    assert absolute.distance(100) == pytest.approx(std * share.distance(100))


# Deep networks. -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("depth", "tolerance"), [(2, 0.01), (3, 0.02), (5, 0.01)])
def test_deep_relu_networks(depth, tolerance):
    """One input: the variance gains χ²_k/(n/2) per layer, k of n neurons being active."""
    need = ww.required_width(ww.MLP(depth, "relu", weight_std=2**0.5), X, tolerance)
    n, rng = int(need.width), np.random.default_rng(depth)
    share = np.ones(40_000)
    for _ in range(depth):
        share *= 2 * rng.chisquare(rng.binomial(n, 0.5, len(share))) / n
    u = np.linspace(-7, 7, 141)
    density = np.exp(-u * u / 2) / (2 * np.pi) ** 0.5
    parts = np.array_split(share, 40)  # F − Φ = E[Φ(u/√s) − Φ(u) + uφ(u)(s − 1)/2], E s = 1
    curves = np.array(
        [
            (ndtr(u / s[:, None] ** 0.5) - ndtr(u) + u * density * (s[:, None] - 1) / 2).mean(0)
            for s in parts
        ]
    )
    mean = curves.mean(0)
    measured = np.trapezoid(np.abs(mean), u)
    along = np.trapezoid(np.sign(mean) * curves, u, axis=1)
    error = along.std(ddof=1) / len(parts) ** 0.5
    assert error < 0.02 * tolerance
    assert abs(measured - tolerance) < 3 * error + 1.5 * tolerance / n + need.remainder(n)


def test_width_grows_with_the_depth_and_does_not_depend_on_how_large_it_is():
    widths = [
        ww.required_width(ww.MLP(depth, "relu", weight_std=2**0.5), X, 1e-3).width
        for depth in (1, 2, 4)
    ]
    assert widths == sorted(widths)
    assert widths[2] / widths[1] == pytest.approx(2, rel=0.1)
    far = ww.required_width(ww.MLP(1, "relu", weight_law="exponential"), X, 1e-7)
    assert 1e13 < far.width < 1e15
    assert not far.warnings


# Many points, directions, outputs. ----------------------------------------------------------------


def test_the_worst_point_decides_and_every_point_is_what_it_is_alone():
    x = np.random.default_rng(3).normal(size=(4, 3))
    for net in (ww.MLP(2, "gelu", 1.5), ww.MLP.like_torch(2, "gelu"), ww.MLP.like_flax(2, "tanh")):
        need = ww.required_width(net, x, 1e-4, "kolmogorov")
        alone = [ww.required_width(net, x[[i]], 1e-4, "kolmogorov") for i in range(len(x))]
        assert list(need.widths) == [a.width for a in alone]
        assert need.width == max(a.width for a in alone) == need.widths[need.worst]
        assert f"point {need.worst}" in str(need)
        assert need.uncertainty[1] == max(a.uncertainty[1] for a in alone)
        many = ww.required_width(net_with_outputs(net, 5), x, 1e-4, "kolmogorov")
        assert many.width == need.width


def net_with_outputs(net, outputs):
    return ww.MLP(
        net.depth,
        net.activation,
        net.weight_std,
        net.bias_std,
        net.weight_law,
        net.bias_law,
        outputs=outputs,
        bias_scaling=net.bias_scaling,
    )


def test_points_of_one_law_are_computed_once(monkeypatch):
    angles = np.linspace(0, 3, 40)
    x = np.stack([np.cos(angles), np.sin(angles)], 1)
    need = ww.required_width(ww.MLP(3, "tanh", 1.5, 0.1), x, 0.01)
    assert need.widths.shape == (40,)
    assert len(set(need.widths)) == 1


def test_directions():
    x = np.array([[1.0, 0.0, 0.2], [0.8, 0.6, -0.4]])
    skewed = ("gaussian", "exponential")
    for net in (ww.MLP(1, "erf", 1.3, 0.1, skewed), ww.MLP(2, "relu", 1.4)):
        alone = ww.required_width(net, x, 0.003)
        same = ww.required_width(net, x, 0.003, directions=np.eye(2))
        assert list(same.widths) == list(alone.widths)
        v = [[1.0, -1.0], [0.3, 2.0]]
        need = ww.required_width(net, x, 0.003, directions=v)
        law = ww.edgeworth(ww.output_cumulants(net, x), (0, 1), v[need.worst])
        u = np.linspace(-9, 9, 20_001)
        n = int(need.width)
        difference = np.abs(law.cdf(law.std * u, n) - ndtr(u))
        assert np.trapezoid(difference, u) == pytest.approx(need.distance(n), rel=1e-5)
        assert "f(0)" in str(need)
    opposite = ww.required_width(net, x, 0.003, directions=[[-1.0, 1.0], [1.0, -1.0]])
    assert opposite.widths[0] == opposite.widths[1]


# The search. --------------------------------------------------------------------------------------


def test_a_deviation_that_dips_and_rises_again_is_not_trusted_at_the_dip():
    def deviation(n):
        return abs(30 / n - 600 / n**2)  # 0 at n = 20, and 0.375 at n = 40

    found = smallest_width(deviation, lambda n: 30 / n + 600 / n**2, 0.3)
    assert deviation(20) < 0.3 < deviation(found - 1)
    assert all(deviation(n) <= 0.3 for n in range(found, 2000))
    assert found == 73


def test_the_search_is_exact_over_fifteen_decades():
    for exponent in (0.5, 1.0, 1.5):
        for root in (1, 2, 7, 10**4 + 1, 10**12 + 3):

            def power(n, exponent=exponent):
                return float(n) ** -exponent

            found = smallest_width(power, power, float(root) ** -exponent)
            assert found == pytest.approx(root, rel=1e-14)
    assert smallest_width(lambda n: 1.0, lambda n: 1.0, 0.5) == math.inf


# What cannot be answered. -------------------------------------------------------------------------


def test_an_output_bias_that_is_not_gaussian_is_never_within_a_small_tolerance():
    net = ww.MLP(2, "tanh", 1.2, 0.5, bias_law=("gaussian", "gaussian", "uniform"))
    for metric in ("wasserstein", "kolmogorov", "excess_kurtosis"):
        need = ww.required_width(net, X, 1e-4, metric)
        assert need.width == math.inf
        assert "output bias" in need.warnings[0]
        assert "no width" in str(need)
    with pytest.raises(ValueError, match="no series"):
        ww.required_width(net, X, 1e-4).distance(10)
    with pytest.raises(ValueError, match="within the tolerance"):
        ww.required_width(net, X, 0.1)
    # what is left at n = ∞, measured: a Gaussian plus a uniform variable
    var, rng = float(ww.limit_kernels(net, X).nngp[0, 0]), np.random.default_rng(0)
    sample = (var - 0.25) ** 0.5 * rng.normal(size=10**6) + 0.5 * 3**0.5 * rng.uniform(-1, 1, 10**6)
    u = np.linspace(-4, 4, 81)
    measured = np.abs((sample[:, None] <= var**0.5 * u).mean(0) - ndtr(u)).max()
    text = ww.required_width(net, X, 1e-4, "kolmogorov").warnings[0]
    said = float(text.split("Gaussian but ")[1].split()[0])
    assert said == pytest.approx(measured, abs=2e-3)
    # the variance does not mind
    assert ww.required_width(net, X, 0.01, "relative_variance").width < math.inf


def test_biases_that_shrink_with_the_width_are_no_obstacle():
    need = ww.required_width(ww.MLP.like_torch(2, "tanh"), X, 1e-3)
    assert need.width < math.inf
    assert not need.warnings


def test_the_series_of_shrinking_biases_agrees_with_the_law_of_one_width():
    """About the limit the biases are terms of the series; at one width they are in its variance."""
    for net, tolerance in [(ww.MLP.like_torch(1, "tanh"), 0.003), (ww.MLP.like_torch(2), 0.05)]:
        need = ww.required_width(net, X, tolerance)
        law, u = ww.edgeworth(ww.output_cumulants(net, X, 4)), np.linspace(-9, 9, 2001)
        apart = np.abs(law.cdf(law.std * u, int(need.width)) - ndtr(u))
        assert np.trapezoid(apart, u) == pytest.approx(tolerance, rel=0.02)
        low, high = need.uncertainty
        assert high - low < 0.08 * need.width


def test_a_lattice_is_refused_by_distances_and_not_by_moments():
    net = ww.MLP(1, "sign", weight_law=("gaussian", "rademacher"))
    for metric in ("wasserstein", "kolmogorov"):
        with pytest.raises(ValueError, match="lattice"):
            ww.required_width(net, X, 0.01, metric)
    assert ww.required_width(net, X, 0.01, "excess_kurtosis").width == 200  # κ₄ = −2/n


def test_a_law_that_is_gaussian_at_every_width():
    need = ww.required_width(ww.MLP(1, "sign"), X, 0.01)
    assert need.width == 1
    assert "no correction" in need.warnings[0]


def test_a_series_at_its_end_says_so():
    skewed = ("gaussian", "gaussian", "exponential")
    need = ww.required_width(ww.MLP(2, "gelu", 1.4, weight_law=skewed), X, 0.3)
    assert need.order < 4
    assert any("terms grow" in w for w in need.warnings)
    assert str(need).count("\n") == len(need.warnings)
    assert need.uncertainty[0] < need.width < need.uncertainty[1]


def test_laws_without_moments():
    heavy = ww.MLP(1, "tanh", weight_law=("gaussian", ww.laws.StudentT(5)))
    with pytest.raises(ValueError, match="moment"):
        ww.required_width(heavy, X, 0.01)
    assert ww.required_width(heavy, X, 0.01, order=2).width > 10


@pytest.mark.parametrize(
    "law",
    [
        "gaussian",
        "uniform",
        "rademacher",
        "laplace",
        "exponential",
        ww.laws.Gamma(2.0),
        ww.laws.StudentT(13),
        ww.laws.TruncatedGaussian(2.0),
        ww.laws.Discrete((-1.0, 0.0, 3.0), (0.5, 0.3, 0.2)),
    ],
    ids=str,
)
def test_every_law_in_every_layer(law):
    need = ww.required_width(ww.MLP(2, "tanh", 1.3, weight_law=law), X, 1e-3)
    assert 1 < need.width < 1e7
    assert need.uncertainty[0] <= need.width <= need.uncertainty[1]


def test_bad_input_says_what_was_received(unchecked):
    net = ww.MLP(1, "tanh")
    for arguments, message in [
        ({"tolerance": 0.0}, "tolerance must be a finite number above 0, got 0.0"),
        ({"tolerance": 0.1, "metric": "energy"}, "metric must be one of.*got 'energy'"),
        ({"tolerance": 0.1, "within": "order"}, "within must be.*got 'order'"),
        ({"tolerance": 0.1, "order": 1}, "order must be at least 2.*got 1"),
        ({"tolerance": 0.1, "directions": [[1.0, 2.0]]}, r"\(directions, 1\).*\(1, 2\)"),
        ({"tolerance": 0.1, "directions": [[0.0]]}, "row 0 is 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            ww.required_width(net, X, **arguments)
    with pytest.raises(ValueError, match="limiting variance of the output at point 1 is 0"):
        ww.required_width(net, [[1.0], [0.0]], 0.01)
    need = ww.required_width(net, X, 0.01)
    with pytest.raises(ValueError, match="order 7"):
        need.distance(10, order=7)
