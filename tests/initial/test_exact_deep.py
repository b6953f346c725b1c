"""Deep linear and relu priors, and tails, against closed forms in many digits."""

import mpmath as mp
import numpy as np
import pytest
from scipy.stats import norm

import widthwise as ww
from widthwise.initial.exact.homogeneous import HomogeneousLaw, all_active, half_active


def mellin(z, widths, scale=1.0):
    """The density of a Gaussian times χ variables, by its Mellin–Barnes integral."""

    def term(s):
        value = mp.mpf(z / scale) ** (-s - 1) * 2 ** (s / 2) * mp.gamma((1 + s) / 2)
        for n in widths:
            value *= (mp.mpf(2) / n) ** (s / 2) * mp.gamma((n + s) / 2) / mp.gamma(mp.mpf(n) / 2)
        return value / mp.sqrt(mp.pi)

    integral = mp.quad(lambda u: mp.re(term(mp.mpc(0.5, u))), [0, 5, 10, 20, 40, 80])
    return float(integral / (2 * mp.pi) / scale)


@pytest.mark.parametrize("z", [0.1, 1.0, 3.0, 10.0])
def test_deep_linear_prior_with_ratios(z):
    net = ww.MLP(3, "identity", weight_std=1.0, ratios=(2.0, 1.0, 3.0))
    law = ww.exact_law(net, [[1.0]], 4)
    assert float(law.pdf(z)) == pytest.approx(mellin(z, (8, 4, 12)), rel=1e-12)


def test_one_hidden_layer_by_both_routes():
    relu = ww.exact_law(ww.MLP(1, "relu", weight_std=(1.0, 2**0.5)), [[1.0]], 5)
    mixture = HomogeneousLaw(5, 2**0.5, (half_active(5),))
    z = np.array([-2.0, -0.5, 0.1, 0.5, 1.0, 2.0, 3.0])
    assert relu.pdf(z) == pytest.approx(mixture.pdf(z), abs=1e-12)
    assert relu.cdf(z) == pytest.approx(mixture.cdf(z), abs=1e-12)
    published = [0.325582619, 0.166842984, 0.04267116, 0.010488324]
    assert mixture.pdf([0.5, 1, 2, 3]) == pytest.approx(published, abs=6e-10)
    assert mixture.atoms.masses == pytest.approx([1 / 32])
    t = np.array([0.0, 0.3, 1.0, 2.0, 10.0])
    assert relu.characteristic(t) == pytest.approx(mixture.characteristic(t), abs=1e-13)


def test_cumulants_of_deep_priors():
    n = 10
    linear = ww.exact_law(ww.MLP(3, "identity"), [[1.0]], n)
    assert linear.cumulant(4) == pytest.approx(18 / n + 36 / n**2 + 24 / n**3, rel=1e-12)
    relu = ww.exact_law(ww.MLP(2, "relu", weight_std=2**0.5), [[1.0]], n)
    assert relu.cumulant(4) == pytest.approx(120 / n + 300 / n**2, rel=1e-12)
    sixth = 28560 / n**2 + 158400 / n**3 + 232320 / n**4
    assert relu.cumulant(6) == pytest.approx(sixth, rel=1e-11)
    assert relu.atoms.mass == pytest.approx(1 - (1 - 2.0**-n) ** 2, rel=1e-12)


def test_wide_deep_priors_approach_the_second_order_value():
    h, errors = np.linspace(-3, 3, 13), []
    for n in (10**3, 10**4, 10**14):
        law = ww.exact_law(ww.MLP(2, "identity", ratios=(1.0, 2.0)), [[1.0]], n)
        second = norm.pdf(h) * (1 + (1 / n + 0.5 / n) / 4 * (h**4 - 6 * h**2 + 3))
        errors.append(np.abs(law.pdf(h) - second).max())
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.02)
    assert errors[2] < 1e-13
    relu = ww.exact_law(ww.MLP(2, "relu", weight_std=(1, 2**0.5, 2**0.5)), [[1.0]], 10**14)
    assert relu.pdf(h) == pytest.approx(norm.pdf(h), abs=1e-12)


def test_one_ray_and_linear_directions():
    net = ww.MLP(2, "relu", weight_std=1.3)
    x = [[1.0, 0.5], [2.0, 1.0], [-1.0, 0.0]]
    both = ww.exact_law(net, x, 6, points=(0, 1), direction=(1.0, -1.0))
    assert both.cdf(0.7) == pytest.approx(ww.exact_law(net, x, 6).cdf(0.7), rel=1e-13)
    with pytest.raises(ValueError, match="several directions"):
        ww.exact_law(net, x, 6, points=(0, 2), direction=(1.0, -1.0))
    linear = ww.exact_law(ww.MLP(2, "identity"), x, 6, points=(0, 2), direction=(1.0, 1.0))
    assert linear.std == pytest.approx(0.5 / 2**0.5, rel=1e-12)
    with pytest.raises(ValueError, match="biases in layer 1"):
        ww.exact_law(ww.MLP(2, "relu", bias_std=0.1), x, 6)
    with pytest.raises(ValueError, match="weights of law uniform"):
        ww.exact_law(ww.MLP(2, "relu", weight_law="uniform"), x, 6)


@pytest.mark.parametrize("n", [8, 32])
def test_tail_of_a_linear_layer_down_to_1e_minus_35(n):
    law = ww.exact_law(ww.MLP(1, "identity"), [[1.0]], n)
    oracle = HomogeneousLaw(n, 1.0, (all_active(n),))
    z = np.array([3.0, 6.0, 10.0, 20.0])
    exact = oracle.tail(z)
    assert exact.max() < 4e-3
    assert exact.min() < 1e-21
    assert law.tail(z) == pytest.approx(exact, rel=1e-11)
    relative = law.tail(z, method="lugannani-rice") / exact - 1
    assert np.abs(relative).max() < 0.08 / n


def test_oracle_of_the_tail_in_many_digits():
    oracle = HomogeneousLaw(8, 1.0, (all_active(8),))
    with mp.workdps(30):
        s = mp.sqrt(8)
        constant = s / (mp.sqrt(mp.pi) * mp.gamma(4) * mp.mpf(2) ** 3.5)
        density = lambda z: constant * (s * z) ** 3.5 * mp.besselk(3.5, s * z)  # noqa: E731
        beyond = float(mp.quad(density, [10, 12, 16, 24, 40]))
    assert float(oracle.tail(10.0)) == pytest.approx(beyond, rel=1e-12)


def test_tail_of_relu_with_its_atom():
    law = ww.exact_law(ww.MLP(1, "relu", weight_std=(1.0, 2**0.5)), [[1.0]], 16)
    z = np.array([1.0, 6.0, 20.0])
    exact = HomogeneousLaw(16, 2**0.5, (half_active(16),)).tail(z)
    assert law.tail(z) == pytest.approx(exact, rel=1e-10)
    assert np.abs(law.tail(z, method="lugannani-rice") / exact - 1).max() < 0.02


@pytest.mark.parametrize("law_name", ["uniform", "rademacher", "exponential", "truncated_gaussian"])
def test_tail_continues_the_distribution_function(law_name):
    net = ww.MLP(1, "tanh", 1.3, (0.4, 0.2), weight_law=("gaussian", law_name))
    law = ww.exact_law(net, [[1.0, 0.3]], 32)
    z = law.std * np.array([1.0, 4.0, 5.0])
    assert law.tail(z) == pytest.approx(1 - law.cdf(z), abs=2e-15)
    assert law.tail(z, method="lugannani-rice") == pytest.approx(law.tail(z), rel=6e-3)
    far = law.tail(law.std * np.array([7.0, 8.0, 9.0]))
    assert (np.diff(np.log(far), 2) < 0).all()


def test_tails_that_do_not_exist_say_so():
    net = ww.MLP(1, "tanh", weight_law=("gaussian", ww.laws.StudentT(5)))
    with pytest.raises(ValueError, match="no exponential moments"):
        ww.exact_law(net, [[1.0]], 16).tail(9.0)
    net = ww.MLP(1, "relu", weight_law=("gaussian", "exponential"))
    with pytest.raises(ValueError, match="infinite for every s"):
        ww.exact_law(net, [[1.0]], 16).tail(20.0)
    with pytest.raises(ValueError, match="method must be"):
        ww.exact_law(ww.MLP(1, "tanh"), [[1.0]], 16).tail(1.0, method="guess")
