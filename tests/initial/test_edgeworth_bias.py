"""Output biases that are not Gaussian, and biases that shrink with the width, in Edgeworth laws."""

import jax
import numpy as np
import pytest

import widthwise as ww
from widthwise.algebra.gaussian import QuadratureError

X = np.array([[0.9, -0.4, 0.7], [-1.2, 0.5, 0.1]])
KEY = jax.random.key(2)


def biased(law, std=0.4, activation="tanh", readout="gaussian", outputs=1):
    laws = ("gaussian", readout)
    return ww.MLP(1, activation, 1.3, (0.2, std), laws, ("gaussian", law), outputs=outputs)


def largest_errors(net, n, orders, direction=None, components=(0,), points=(0,), x=X):
    """Of density and distribution function against the exact law, by order."""
    law = ww.edgeworth(ww.output_cumulants(net, x, max(orders)), points, direction, components)
    V = np.zeros((len(points), net.outputs))
    for i, c in enumerate(components):
        V[i, c] = 1.0 if direction is None else direction[i]
    exact = ww.exact_law(net, x, n, points, V)
    z = np.linspace(-4.5, 4.5, 46) * exact.std
    p, F = exact.pdf(z), exact.cdf(z)
    return np.array(
        [
            (np.abs(law.pdf(z, n, k) - p).max() / p.max(), np.abs(law.cdf(z, n, k) - F).max())
            for k in orders
        ]
    ).T


@pytest.mark.parametrize("activation", ["tanh", pytest.param("gelu", marks=pytest.mark.slow)])
def test_the_law_of_pytorch_against_the_exact_one(activation):
    """Uniform biases over the root of the fan-in: no expansion of the variance is needed."""
    net = ww.MLP.like_torch(1, activation)
    for n, factor, last in ((16, 3, 2e-3), (64, 12, 5e-5)):
        for errors in largest_errors(net, n, (0, 2, 4), x=[[0.9]]):
            assert (errors[1:] < errors[:-1] / factor).all()
            assert errors[2] < last


@pytest.mark.parametrize("law", ["uniform", "rademacher", ww.laws.TruncatedGaussian(2.0)], ids=str)
def test_a_bias_of_constant_scale_against_the_exact_law(law):
    for errors in largest_errors(biased(law, 0.8), 24, (0, 2, 4, 6)):
        assert (errors[1:] < errors[:-1] / 3).all()
        assert errors[3] < 1e-5


def test_a_skewed_bias_and_a_skewed_readout_against_the_exact_law():
    net = biased("exponential", 0.3, readout="exponential")
    for errors in largest_errors(net, 64, (0, 1, 2, 4)):
        assert errors[-1] < errors[0] / 30


def test_every_component_has_a_bias_of_its_own():
    """Points of one component share a bias, and a direction can cancel it."""
    net = biased("uniform", 0.6, outputs=2)
    for direction, components in [((0.7, -1.1), (0, 1)), ((0.7, 1.1), (1, 1))]:
        errors = largest_errors(net, 24, (0, 4), direction, components, (0, 1))
        assert (errors[:, 1] < errors[:, 0] / 50).all()
    c = ww.output_cumulants(net, X, 2)
    assert ww.edgeworth(c, (0, 1), (1.0, -1.0)).bias is None


def test_the_series_of_a_width_does_not_depend_on_how_it_is_asked_for():
    net = ww.MLP.like_torch(2, "gelu", ratios=(1.0, 0.5))
    law = ww.edgeworth(ww.output_cumulants(net, X, 4))
    there = ww.edgeworth(ww.output_cumulants(net.at_width(64, 3), X, 4))
    z = np.linspace(-1, 1, 5)
    assert (law.pdf(z, 64) == there.pdf(z, 64)).all()
    assert law.at_width(64).cumulants == pytest.approx(there.cumulants, rel=1e-12)
    assert there.at_width(7) is there
    assert law.diagnose(64).optimal_order == there.diagnose(64).optimal_order == 4
    flax = ww.edgeworth(ww.output_cumulants(ww.MLP.like_flax(2, "gelu"), X, 2))
    assert flax.sized is None
    # the variance: the series about the limit agrees as far as it goes
    moments, series = law.moments(4096), law.cumulant(2)
    assert moments[2] == pytest.approx(series.at(4096), rel=1e-4)
    assert series.coefficients[0] == pytest.approx(law.std**2)


@pytest.mark.parametrize("depth", [1, 2])
def test_moments_are_those_of_the_cumulants(depth):
    net = ww.MLP.like_torch(depth, "tanh") if depth > 1 else biased("exponential", 0.3)
    c = ww.output_cumulants(net, X, 4)
    law, n = ww.edgeworth(c), 4096
    moments = law.moments(n)
    z = np.linspace(-16, 16, 20_001) * law.std
    for r in range(5):
        direct = np.trapezoid(z**r * law.pdf(z, n), z)
        assert moments[r] == pytest.approx(direct, rel=1e-8, abs=1e-10)
    second, third, fourth = (c.cumulant((0,) * r).at(n) for r in (2, 3, 4))
    assert law.cumulant(3).at(n) == pytest.approx(third, rel=1e-9, abs=1e-15)
    assert moments[3] == pytest.approx(third, rel=1e-6, abs=1e-12)
    assert moments[4] == pytest.approx(fourth + 3 * second**2, rel=1e-5)


def test_quantiles():
    law, n = ww.edgeworth(ww.output_cumulants(ww.MLP.like_torch(2, "gelu"), X, 4)), 32
    q = np.array([[0.0, 1e-30, 1e-3], [0.2, 0.9, 1.0]])
    z = law.ppf(q, n)
    assert z[0, 0] == -np.inf
    assert z[1, 2] == np.inf
    assert law.cdf(z, n) == pytest.approx(q, rel=1e-10)
    rough = ww.edgeworth(ww.output_cumulants(biased("uniform", 0.1, "gelu", "exponential"), X, 3))
    said = rough.diagnose(8)
    assert said.negative_mass > 1e-3
    (a, b) = said.negative_where[-1] if np.isfinite(said.negative_where[-1][1]) else (
        said.negative_where[-2]
    )  # fmt: skip
    inside = np.linspace(a, b, 9)[1:-1]
    assert (rough.pdf(inside, 8) < 0).all()
    with pytest.raises(ValueError, match="not monotone"):
        rough.ppf(float(rough.cdf(inside[4], 8)), 8)


def test_expectations_and_draws():
    law, n = ww.edgeworth(ww.output_cumulants(ww.MLP.like_torch(2, "gelu"), X, 4)), 64
    std = law.moments(n)[2] ** 0.5
    z = np.linspace(-12, 12, 40_001) * std
    for fn, kinks in ((lambda z: np.cos(20 * z), ()), (lambda z: np.abs(z - 0.05), (0.05,))):
        found = law.expectation(fn, n, kinks=kinks)
        assert found.value == pytest.approx(np.trapezoid(fn(z) * law.pdf(z, n), z), abs=1e-7)
        assert found.series.error.max() < 1e-9
        draws = law.sample(KEY, n, 100_000)
        mean = draws.mean(fn(draws.samples))
        assert abs(mean.value - found.value) < 4 * mean.error
    normal = ww.MLP(1, "relu", 2**0.5, (0.0, 0.5), bias_law="uniform")
    law = ww.edgeworth(ww.output_cumulants(normal, X, 4))
    draws = law.sample(KEY, 64, 200_000, method="mixture")
    for r in (2, 4):
        mean = draws.mean(draws.samples**r)
        assert abs(mean.value - law.moments(64)[r]) < 4 * mean.error


def test_a_joint_law():
    """Two components at one point: uncorrelated, and both with the bias of their own."""
    net = ww.MLP.like_torch(2, "gelu", outputs=2)
    c = ww.output_cumulants(net, X, 2)
    law, n = ww.edgeworth(c, (0, 1, 1), [[1, 0, 0], [0, 1, 1]], components=(0, 0, 1)), 64
    covariance = law.moments(n)[1]
    a, b = (np.linspace(-7, 7, 71) * v**0.5 for v in np.diag(covariance))
    z = np.stack(np.meshgrid(a, b, indexing="ij"), -1)
    density, cell = law.pdf(z, n), (a[1] - a[0]) * (b[1] - b[0])
    assert density.sum() * cell == pytest.approx(1.0, abs=1e-10)
    assert np.einsum("ij,ijk,ijl->kl", density * cell, z, z) == pytest.approx(covariance, rel=1e-8)
    marginal = density.sum(1) * (b[1] - b[0])
    assert marginal == pytest.approx(ww.edgeworth(c).pdf(a, n), abs=1e-9)
    assert law.projection((1.0, 0.0)).pdf(a, n) == pytest.approx(marginal, abs=1e-9)
    for fn, kinks in (
        (lambda z: np.exp(-50 * z[:, 0] ** 2) * np.cos(9 * z[:, 1]), ()),
        (lambda z: np.maximum(z[:, 0], 0) * np.maximum(z[:, 1], 0), (0.0,)),
    ):
        found = law.expectation(fn, n, kinks=kinks, tolerance=1e-7)
        direct = (fn(z.reshape(-1, 2)) @ density.ravel()) * cell
        assert found.value == pytest.approx(direct, rel=3e-3 if kinks else 1e-8)
        draws = law.sample(KEY, n, 100_000)
        drawn = draws.mean(fn(draws.samples))
        assert abs(drawn.value - found.value) < 4 * drawn.error
    assert law.diagnose(n).optimal_order == 2


def test_a_bias_that_cannot_be_averaged_over_is_refused():
    law = ww.edgeworth(ww.output_cumulants(biased("exponential", 30.0), X, 2))
    with pytest.raises(QuadratureError, match=r"law exponential and .* bounded support"):
        law.pdf(0.0, 32)
    assert law.cumulant(3).coefficients[0] == pytest.approx(2 * 30.0**3)
    assert law.moments(32)[3] == pytest.approx(2 * 30.0**3)


def test_a_discrete_bias_does_not_repair_a_lattice():
    net = ww.MLP(1, "sign", 1.0, (0.0, 0.5), ("gaussian", "rademacher"), "rademacher")
    law = ww.edgeworth(ww.output_cumulants(net, X, 2))
    with pytest.raises(ValueError, match="lattice"):
        law.pdf(0.0, 16)
    assert law.diagnose(16).cramer.verdict == "fails"
    assert law.expectation(np.cos, 16).value == pytest.approx(
        np.cos(1 / 4) ** 16 * np.cos(0.5), rel=2e-3
    )
