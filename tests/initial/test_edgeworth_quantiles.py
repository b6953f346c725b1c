"""Quantiles of Edgeworth laws: round trips, exact quantiles, refusals."""

import numpy as np
import pytest
from scipy.stats import gamma, norm

import widthwise as ww

CASES = [
    ("tanh", "gaussian", 8),
    ("relu", "uniform", 16),
    ("gelu", "exponential", 64),
    ("erf", "laplace", 16),
    ("sign", "gamma", 64),
]


def law_of(activation, law, order=4, depth=1):
    laws = ["gaussian"] * depth + [ww.laws.Gamma(3.0) if law == "gamma" else law]
    net = ww.MLP(depth, activation, 1.4, 0.2 if activation != "sign" else 0.0, laws)
    return ww.edgeworth(ww.output_cumulants(net, [[1.0, 0.4]], order))


@pytest.mark.parametrize(
    ("activation", "law", "n", "depth"),
    [
        pytest.param(
            *case, depth, marks=pytest.mark.slow if depth == 2 and case != CASES[2] else ()
        )
        for case in CASES
        for depth in (1, 2)
    ],
)
def test_round_trips_where_the_density_is_positive(activation, law, n, depth):
    e = law_of(activation, law, depth=depth)
    for order in range(5):
        bad = e.diagnose(n, order).negative_where
        z = np.linspace(-4.5, 4.5, 181) * e.std
        z = z[[not any(a <= t <= b for a, b in bad) for t in z]]
        q = e.cdf(z, n, order)
        kept = (q > 1e-12) & (q < 1 - 1e-12)
        for a, b in bad:  # levels that a falling branch takes too have no quantile
            top, bottom = e.cdf([a, b], n, order)
            kept &= (q < bottom) | (q > top)
        z, q = z[kept], q[kept]
        assert len(q) > 120
        back = e.ppf(q, n, order)
        assert np.abs(e.cdf(back, n, order) - q).max() < 1e-14
        assert np.abs(back - z).max() < 1e-10 * max(1.0, 1e-6 / e.pdf(z, n, order).min())


def test_quantiles_converge_to_those_of_the_exact_law():
    """A linear readout of one exponential-weight layer with sign neurons: a Gamma law's."""
    net = ww.MLP(1, "cos", 1.0, 0.0, ["gaussian", "exponential"])
    e = ww.edgeworth(ww.output_cumulants(net, [[0.0]], order=6))  # cos 0 = 1: a mean of n weights
    n, q = 40, np.array([1e-3, 0.05, 0.3, 0.5, 0.9, 0.999])
    exact = (gamma.ppf(q, n) - n) / np.sqrt(n)
    errors = [np.abs(e.ppf(q, n, order) - exact).max() for order in range(7)]
    print(errors)
    assert errors[0] > 0.4
    assert errors[2] < errors[1] < errors[0]
    assert errors[6] < 2e-3
    assert e.optimal_order(n) >= 4


def test_order_zero_is_gaussian_and_the_ends_are_infinite():
    e = law_of("tanh", "gaussian")
    q = np.array([[0.0, 1e-200], [0.3, 1.0]])
    assert e.ppf(q, 10, 0) == pytest.approx(e.std * norm.ppf(q), rel=1e-12)
    assert e.ppf(0.5, 10).shape == e.pdf(0.5, 10).shape == e.cdf(0.5, 10).shape == ()
    ends = [-np.inf, -1e300, 1e300, np.inf]
    assert (e.cdf(ends, 10) == [0, 0, 1, 1]).all()
    assert (e.pdf(ends, 10) == 0).all()
    far = e.ppf([1e-100, 1e-30], 10)
    assert e.cdf(far, 10) == pytest.approx([1e-100, 1e-30], rel=1e-10)


def test_a_level_where_the_distribution_function_is_not_monotone_is_refused():
    e = law_of("gelu", "exponential", 6)
    said = e.diagnose(8, 3)
    assert said.negative_mass > 0
    z = np.linspace(-8, 8, 4001) * e.std
    F = e.cdf(z, 8, 3)
    falls = np.flatnonzero(np.diff(F) < -1e-5)
    level = float(F[falls[len(falls) // 2]])
    crossings = np.sum((F[1:] - level) * (F[:-1] - level) < 0)
    print(said, level, crossings)
    assert crossings > 1 or not 0 < level < 1
    with pytest.raises(ValueError, match=r"not monotone.*density is negative.*lower order"):
        e.ppf(min(max(level, 1e-9), 1 - 1e-9), 8, 3)
    assert np.isfinite(e.ppf(0.5, 8, 2))


def test_bad_levels_are_refused():
    e = law_of("tanh", "gaussian")
    for q in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="probabilities between 0 and 1"):
            e.ppf(q, 10)
