"""The Edgeworth law against exact finite-width laws."""

import jax
import numpy as np
import pytest
from scipy.special import gammaln, kv
from scipy.stats import binom, norm

import widthwise as ww

Z = np.array([0.5, 1.0, 2.0, 3.0])
# Zavatone-Veth and Pehlevan 2021: linear network, one hidden layer of width n, unit variance.
EXACT = {
    5: [0.368386641, 0.210705356, 0.04681782, 0.008179669],
    10: [0.363678665, 0.227149829, 0.049422286, 0.006804594],
}


def exact_linear_density(z, n):
    """Product of a Gaussian and a χ: a Bessel K law (variance-gamma), in closed form."""
    s = np.abs(z) * np.sqrt(n)
    log = np.log(2) + ((n - 1) / 2) * np.log(s / 2) - gammaln(n / 2) - 0.5 * np.log(np.pi)
    return np.sqrt(n) / 2 * np.exp(log) * kv((n - 1) / 2, s)


def linear_law(order):
    return ww.edgeworth(ww.output_cumulants(ww.MLP(1, "identity"), [[1.0]], order=order))


@pytest.mark.parametrize("n", [5, 10])
def test_the_closed_form_is_the_published_prior(n):
    assert exact_linear_density(Z, n) == pytest.approx(EXACT[n], abs=6e-10)


@pytest.mark.parametrize(("n", "orders"), [(10, (0, 2, 4, 6)), (40, (0, 2, 4, 6))])
def test_density_error_falls_with_the_order(n, orders):
    law, z = linear_law(max(orders)), np.linspace(-4, 4, 161)
    z = z[z != 0]
    exact = exact_linear_density(z, n)
    errors = [np.abs(law.pdf(z, n, order) - exact).max() for order in orders]
    assert (np.diff(np.log(errors)) < -0.3).all()
    assert law.optimal_order(n) >= 4


def test_published_prior_at_four_values():
    law = linear_law(6)
    for n in (5, 10):
        errors = [np.abs(law.pdf(Z, n, order) - EXACT[n]).max() for order in (0, 2, 4, 6)]
        assert errors[0] > errors[1] > errors[2] > errors[3]


def test_error_falls_with_the_width_at_the_theoretical_rate():
    law, z = linear_law(4), np.linspace(0.1, 3, 60)
    for order, rate in ((0, 1), (2, 2), (4, 3)):
        errors = [
            np.abs(law.pdf(z, n, order) - exact_linear_density(z, n)).max() for n in (64, 256)
        ]
        assert np.log(errors[0] / errors[1]) / np.log(4) == pytest.approx(rate, abs=0.12)


def exact_relu_density(z, n):
    """Given k active neurons the ReLU network of unit variance is a linear one of width k."""
    scales = [np.sqrt(2 * k / n) for k in range(1, n + 1)]
    parts = [
        binom.pmf(k, n, 0.5) * exact_linear_density(z / s, k) / s
        for k, s in enumerate(scales, start=1)
    ]
    return np.sum(parts, axis=0)


def test_relu_prior_against_its_exact_mixture():
    published = [0.325582619, 0.166842984, 0.04267116, 0.010488324]  # n = 5, continuous part
    assert exact_relu_density(Z, 5) == pytest.approx(published, abs=6e-10)
    net = ww.MLP(1, "relu", weight_std=(1.0, 2**0.5))
    law = ww.edgeworth(ww.output_cumulants(net, [[1.0]], order=4))
    z = np.linspace(0.05, 4, 80)
    exact = exact_relu_density(z, 64)
    errors = [np.abs(law.pdf(z, 64, order) - exact).max() for order in (0, 2, 4)]
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 3


def test_cdf_is_the_integral_of_the_density():
    net = ww.MLP(1, "relu", weight_std=1.2, weight_law="exponential")
    law = ww.edgeworth(ww.output_cumulants(net, [[1.0, 0.3]], order=3))
    z = np.linspace(-12 * law.std, 12 * law.std, 40_001)
    density = law.pdf(z, 50)
    assert np.trapezoid(density, z) == pytest.approx(1.0, abs=1e-10)
    middle = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(z))])
    assert np.abs(middle - law.cdf(z, 50)).max() < 1e-6


def test_moments_of_the_density_are_the_cumulants():
    net = ww.MLP(1, "relu", weight_std=1.2, weight_law="exponential")
    c = ww.output_cumulants(net, [[1.0, 0.3]], order=4)
    law, n = ww.edgeworth(c), 200
    z = np.linspace(-14 * law.std, 14 * law.std, 40_001)
    third = np.trapezoid(z**3 * law.pdf(z, n), z)
    fourth = np.trapezoid(z**4 * law.pdf(z, n), z) - 3 * law.std**4
    assert third == pytest.approx(c.cumulant((0,) * 3).at(n), rel=1e-9)
    assert fourth == pytest.approx(c.cumulant((0,) * 4).at(n), rel=1e-8)


def test_direction_contracts_the_joint_cumulants():
    net = ww.MLP(1, "tanh", weight_std=1.5, bias_std=0.2)
    x, v = np.array([[1.0, 0.0], [0.3, 1.0]]), (0.6, -1.1)
    law = ww.edgeworth(ww.output_cumulants(net, x), points=(0, 1), direction=v)
    keys = jax.random.split(jax.random.key(3), 100_000)
    f = jax.jit(jax.vmap(lambda k: net.apply(net.init(k, 6, 2), x)[:, 0]))(keys)
    samples = np.asarray(f) @ v
    assert law.std == pytest.approx(samples.std(), rel=0.02)
    for z in (-1.0, 0.0, 0.8):
        measured = (samples <= z).mean()
        error = np.sqrt(measured * (1 - measured) / len(samples))
        assert abs(law.cdf(z, 6) - measured) < 4 * error + 2e-3


@pytest.mark.parametrize("ratios", [(1.0,), (1.0, 2.0), (1.0, 0.5, 2.0)])
def test_the_first_correction_of_linear_priors(ratios):
    """φ(h)[1 + ¼ Σ 1/n_l (h⁴ − 6h² + 3)] for bias-free linear networks of unit variance."""
    net = ww.MLP(len(ratios), "identity", ratios=ratios)
    law = ww.edgeworth(ww.output_cumulants(net, [[1.0]], order=2))
    h, n = np.linspace(-4, 4, 33), 24
    total = sum(1 / width for width in net.widths(n))
    expected = norm.pdf(h) * (1 + total / 4 * (h**4 - 6 * h**2 + 3))
    assert np.abs(law.pdf(h, n) - expected).max() < 1e-14


def test_several_components_at_one_point():
    net = ww.MLP(1, "identity", outputs=3)
    c = ww.output_cumulants(net, [[1.0]], order=4)
    one = ww.edgeworth(c, components=2)
    assert np.abs(one.cumulants - ww.edgeworth(c).cumulants).max() == 0.0
    # any unit vector of exchangeable Gaussian-readout outputs has the same law
    v = np.array([2.0, -1.0, 2.0]) / 3
    turned = ww.edgeworth(c, (0, 0, 0), v, components=(0, 1, 2))
    assert turned.pdf(Z, 20) == pytest.approx(one.pdf(Z, 20), abs=1e-13)


def test_expectations_are_integrals_of_the_density():
    net = ww.MLP(2, "gelu", 1.4, 0.1, ["gaussian", "gaussian", "exponential"])
    law, n = ww.edgeworth(ww.output_cumulants(net, [[1.0, 0.3]], order=4)), 40
    z = np.linspace(-14, 14, 40_001) * law.std
    for fn, kinks in ((np.tanh, ()), (lambda z: np.exp(0.5 * z), ()), (np.abs, (0.0,))):
        for order in (0, 1, 4):
            found = law.expectation(fn, n, order, kinks)
            direct = np.trapezoid(fn(z) * law.pdf(z, n, order), z)
            assert found.value == pytest.approx(direct, abs=1e-9 if not kinks else 1e-7)
            assert found.series.error.max() < 1e-9
    moments = law.moments(n)
    for r in range(8):
        assert moments[r] == pytest.approx(
            np.trapezoid(z**r * law.pdf(z, n), z), rel=1e-8, abs=1e-9
        )
    assert law.expectation(lambda z: z**6, n).value == pytest.approx(moments[6], rel=1e-10)


def test_the_error_of_an_expectation_covers_the_exact_value():
    """E cos of the linear prior of width n: (1 + 1/n)^{−n/2}."""
    law = linear_law(8)
    for n in (6, 12, 50):
        exact = (1 + 1 / n) ** (-n / 2)
        for order in (0, 2, 4, 6, 8):
            e = law.expectation(np.cos, n, order)
            assert abs(e.value - exact) < 1.5 * e.error
            # after the last order the smallest term is all that is known of the next one
            assert e.error < (4 if order < 8 else 100) * abs(e.value - exact)


def test_a_lattice_has_smooth_expectations_but_no_density():
    net = ww.MLP(1, "sign", weight_law=["gaussian", "rademacher"])
    law, n = ww.edgeworth(ww.output_cumulants(net, [[1.0]], order=4)), 16
    steps = (2 * np.arange(n + 1) - n) / np.sqrt(n)
    exact = binom.pmf(np.arange(n + 1), n, 0.5) @ np.tanh(steps) ** 2
    errors = [
        abs(law.expectation(lambda z: np.tanh(z) ** 2, n, k).value - exact) for k in (0, 2, 4)
    ]
    assert errors[1] < errors[0] / 10
    assert errors[2] < errors[1] / 2
    for ask in (lambda: law.pdf(0.0, n), lambda: law.cdf(0.0, n), lambda: law.ppf(0.5, n)):
        with pytest.raises(ValueError, match=r"lattice.*Cramér"):
            ask()
    with pytest.raises(ValueError, match="lattice"):
        law.expectation(np.abs, n, kinks=(0.0,))


def test_bad_input_says_what_to_do():
    c = ww.output_cumulants(ww.MLP(1, "tanh"), [[1.0], [0.0]])
    with pytest.raises(ValueError, match="direction must hold one finite number per output"):
        ww.edgeworth(c, points=(0, 1), direction=(1.0,))
    with pytest.raises(ValueError, match="direction must not be 0"):
        ww.edgeworth(c, points=(0,), direction=(0.0,))
    with pytest.raises(ValueError, match="variance of coordinate 1 is 0"):
        ww.edgeworth(c, points=(0, 1))
    with pytest.raises(ValueError, match="limiting variance"):
        ww.edgeworth(c, points=(1,))
    with pytest.raises(ValueError, match=r"among the 1 of the output.*got 5"):
        ww.edgeworth(c, components=5)
