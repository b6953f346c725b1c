"""Laws of weights against closed forms, mpmath, scipy, and draws."""

import dataclasses
import functools
import math
from fractions import Fraction

import jax
import mpmath
import numpy as np
import pytest
import scipy.special
import scipy.stats as stats

jax.config.update("jax_enable_x64", True)

from widthwise.model import laws

SCIPY = {
    "uniform": stats.uniform(),
    "expon": stats.expon(),
    "binom": stats.binom(3, 0.3),
    "poisson": stats.poisson(2.5),
    "beta": stats.beta(2, 3),
    "arcsine": stats.beta(0.5, 0.5),
    "gamma": stats.gamma(0.5),
    "norm": stats.norm(3, 2),
}
BUILT_IN = [
    laws.Gaussian(),
    laws.Uniform(),
    laws.Rademacher(),
    laws.Laplace(),
    laws.Exponential(),
    laws.Gamma(2.5),
    laws.Gamma(0.3),
    laws.StudentT(12.5),
    laws.StudentT(60),
    laws.TruncatedGaussian(),
    laws.TruncatedGaussian(0.4),
    laws.TruncatedGaussian(45.0),
    laws.Discrete([0, 1, 3], [0.2, 0.5, 0.3]),
    laws.Discrete((-1, 0, 1), (0.25, 0.5, 0.25)),
]


@functools.cache
def scipy_law(name):
    return laws.from_scipy(SCIPY[name])


EVERY = [pytest.param(lambda law=law: law, id=law.name) for law in BUILT_IN] + [
    pytest.param(functools.partial(scipy_law, name), id=f"scipy-{name}") for name in SCIPY
]


def bernoulli(r):
    return Fraction(*mpmath.bernfrac(r))


CLOSED = {
    "gaussian": (laws.Gaussian(), lambda r: 0.0 if r > 2 else 1.0),
    "uniform": (laws.Uniform(), lambda r: float(bernoulli(r) * 12 ** (r // 2) / r)),
    "rademacher": (laws.Rademacher(), lambda r: float(2**r * (2**r - 1) * bernoulli(r) / r)),
    "laplace": (
        laws.Laplace(),
        lambda r: 0.0 if r % 2 else 2 * math.factorial(r - 1) / 2 ** (r // 2),
    ),
    "exponential": (laws.Exponential(), lambda r: float(math.factorial(r - 1))),
    "gamma": (laws.Gamma(2.7), lambda r: math.factorial(r - 1) * 2.7 ** (1 - r / 2)),
}


@pytest.mark.parametrize("name", CLOSED)
def test_cumulants_equal_closed_forms_to_order_30(name):
    law, closed = CLOSED[name]
    assert law.cumulant(0) == law.cumulant(1) == 0.0
    for r in range(2, 31):
        assert law.cumulant(r) == pytest.approx(closed(r), rel=1e-14, abs=0), r


def test_student_t():
    law = laws.StudentT(7)
    assert law.cumulant(4) == 6 / (7 - 4)
    assert law.cumulant(6) == pytest.approx(240 / ((7 - 4) * (7 - 6)), rel=1e-15)
    assert laws.StudentT(2.5).highest_moment == 2
    assert laws.StudentT(5).highest_moment == 4
    with pytest.raises(ValueError, match=r"Student t with df=3 has no moment of order 4; take df"):
        laws.StudentT(3).cumulant(4)


@pytest.mark.parametrize("bound", [0.05, 0.4, 2.0, 5.0, 12.0])
def test_truncated_gaussian_against_mpmath(bound):
    with mpmath.workdps(50):
        b = mpmath.mpf(bound)
        pieces = mpmath.linspace(-b, b, 9)

        def integral(f):
            return mpmath.quad(lambda z: f(z) * mpmath.exp(-z * z / 2), pieces)

        mass = integral(lambda z: 1)
        s = mpmath.sqrt(integral(lambda z: z**2) / mass)
        mu = [integral(lambda z, r=r: (z / s) ** r) / mass for r in range(13)]
        kappa = [mpmath.mpf(0)] * 13
        for r in range(1, 13):
            lower = (mpmath.binomial(r - 1, j - 1) * kappa[j] * mu[r - j] for j in range(1, r))
            kappa[r] = mu[r] - sum(lower)
        t = [0.3, 1.0, 4.0, 20.0]
        phi = [integral(lambda z, x=x: mpmath.cos(x * z / s)) / mass for x in t]
    law = laws.TruncatedGaussian(bound)
    for r in range(13):
        assert law.moment(r) == pytest.approx(float(mu[r]) if r % 2 == 0 else 0, rel=1e-14)
        # mpmath's own error at bound 12, where the cumulants are 1e-26, is absolute
        expected = float(kappa[r]) if r % 2 == 0 else 0
        assert law.cumulant(r) == pytest.approx(expected, rel=1e-13, abs=1e-20)
    tolerance = 1e-15 / min(bound, 1)
    np.testing.assert_allclose(law.characteristic(t), [float(p) for p in phi], atol=tolerance)


def test_flax_default_scale():
    assert laws.TruncatedGaussian()._deviation == pytest.approx(0.87962566103423978, rel=1e-15)


def test_discrete_is_exact_and_shift_and_scale_free():
    signs = laws.Discrete((3.0, 7.0), (0.5, 0.5))
    np.testing.assert_array_equal(signs.quadrature(1)[0], [-1.0, 1.0])
    tiny = laws.Discrete((3e-200, 7e-200), (0.5, 0.5))
    for r in range(12):
        assert signs.cumulant(r) == laws.Rademacher().cumulant(r)
        assert tiny.cumulant(r) == pytest.approx(signs.cumulant(r), rel=1e-12)
    p = 0.3
    coin = laws.Discrete((0, 1), (0.7, p))
    assert coin.cumulant(3) == pytest.approx((1 - 2 * p) / math.sqrt(p * (1 - p)), rel=1e-14)
    assert coin.cumulant(4) == pytest.approx((1 - 6 * p * (1 - p)) / (p * (1 - p)), rel=1e-13)
    merged = laws.Discrete([1, 0, 1, 5], [0.2, 0.7, 0.1, 0.0])
    assert len(merged.quadrature(9)[0]) == 2
    assert merged.cumulant(5) == pytest.approx(coin.cumulant(5), rel=1e-12)


def test_scipy_equals_built_in():
    binomial = laws.Discrete(
        range(4), [math.comb(3, k) * 0.3**k * 0.7 ** (3 - k) for k in range(4)]
    )
    pairs = {"uniform": laws.Uniform(), "expon": laws.Exponential(), "binom": binomial}
    pairs |= {"gamma": laws.Gamma(0.5), "norm": laws.Gaussian()}
    t = np.array([0.0, 0.1, -1.3, 30.0, 1e3, 1e4])
    z = np.linspace(-0.65, 3.1, 7)
    for name, rival in pairs.items():
        law = scipy_law(name)
        assert law.symmetric == rival.symmetric
        assert law.discrete == rival.discrete
        assert law.support == pytest.approx(rival.support, rel=1e-14)
        for r in range(9):
            scale = max(1.0, rival.moment(r) if r % 2 == 0 else rival.moment(r + 1))
            assert law.moment(r) == pytest.approx(rival.moment(r), rel=1e-12, abs=1e-13)
            assert abs(law.cumulant(r) - rival.cumulant(r)) < 1e-11 * scale, (name, r)
        np.testing.assert_allclose(law.characteristic(t), rival.characteristic(t), atol=2e-11)
        if not law.discrete:
            np.testing.assert_allclose(law.density(z), rival.density(z), rtol=1e-12)


def test_scipy_heavy_tails():
    law, rival = laws.from_scipy(stats.t(5)), laws.StudentT(5)
    assert law.symmetric
    assert law.highest_moment == 4
    assert law.cumulant(4) == pytest.approx(6.0, rel=1e-9)
    t = np.array([0.0, 0.3, 2.0, 30.0])
    np.testing.assert_allclose(law.characteristic(t), rival.characteristic(t), atol=1e-12)
    with pytest.raises(ValueError, match="no moment of order 5"):
        law.moment(5)
    with pytest.raises(ValueError, match="too far out in its tail"):
        laws.from_scipy(stats.t(4.05)).moment(4)
    assert laws.from_scipy(stats.pareto(6.5)).highest_moment == 6
    lognormal = laws.from_scipy(stats.lognorm(0.5))
    w = math.exp(0.25)
    assert lognormal.highest_moment == math.inf
    assert lognormal.cumulant(3) == pytest.approx((w + 2) * math.sqrt(w - 1), rel=1e-12)


def test_scipy_atoms_off_the_integers():
    frozen = stats.rv_discrete(values=([-1.5, 0, 4], [0.2, 0.3, 0.5]))(loc=1)
    law, rival = laws.from_scipy(frozen), laws.Discrete([-1.5, 0, 4], [0.2, 0.3, 0.5])
    np.testing.assert_allclose(law.quadrature(1)[0], rival.quadrature(1)[0], rtol=1e-13)


@pytest.mark.parametrize("make", EVERY)
def test_moments_are_standardized_and_cumulants_match_them(make):
    law = make()
    assert (law.moment(0), law.moment(1), law.moment(2)) == pytest.approx((1, 0, 1), abs=1e-15)
    assert law.cumulant(0) == law.cumulant(1) == 0
    assert law.cumulant(2) == pytest.approx(1, rel=1e-15)
    assert law.cumulant(np.int64(3)) == pytest.approx(law.moment(3), rel=1e-12, abs=1e-12)
    assert law.cumulant(4) == pytest.approx(law.moment(4) - 3, rel=1e-12, abs=1e-12)
    fifth = law.moment(5) - 10 * law.moment(3)
    assert law.cumulant(5) == pytest.approx(fifth, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("make", EVERY)
def test_characteristic_function_near_zero_is_its_taylor_series(make):
    law = make()
    t = np.array([0.0, 1e-9, 1e-3, -0.01])
    series = sum((1j * t) ** r * law.moment(r) / math.factorial(r) for r in range(8))
    error = np.abs(law.characteristic(t) - series)
    assert (error < 1e-12 + np.abs(t) ** 8 * law.moment(8) / math.factorial(8) * 1.01).all()


@pytest.mark.parametrize("make", EVERY)
def test_characteristic_function_is_bounded_out_to_1e4(make):
    law = make()
    t = np.concatenate([-np.geomspace(1, 1e4, 40), np.geomspace(1, 1e4, 40)]).reshape(2, 40)
    values = law.characteristic(t)
    assert values.shape == (2, 40)
    assert values.dtype == np.complex128
    assert (np.abs(values) <= 1 + 1e-12).all()
    np.testing.assert_allclose(values[0], values[1].conj(), atol=1e-13)
    assert law.characteristic(0.0) == pytest.approx(1, abs=1e-12)
    if law.symmetric:
        assert np.abs(values.imag).max() < 1e-11


@pytest.mark.parametrize("df", [2.01, 3.0, 5.0, 30.0, 30.01, 200.0, 1e6])
def test_student_characteristic_function_against_mpmath(df):
    t = [1e-12, 1e-3, 0.5, 1.3, 6.0, 25.0]
    with mpmath.workdps(60):
        a = mpmath.mpf(df) / 2
        x = [mpmath.sqrt(mpmath.mpf(df) - 2) * mpmath.mpf(s) for s in t]
        if df < 1e5:
            exact = [2 ** (1 - a) * y**a * mpmath.besselk(a, y) / mpmath.gamma(a) for y in x]
        else:  # Gaussian with its first correction, kappa_4 = 6/(df - 4)
            exact = [mpmath.exp(-(s**2) / 2 + 6 / (df - 4) * s**4 / 24) for s in t]
    tolerance = 2e-14 if df < 1e5 else 1e-11
    values = laws.StudentT(df).characteristic(t)
    np.testing.assert_allclose(values, [float(v) for v in exact], rtol=1e-9, atol=tolerance)
    assert laws.StudentT(df).characteristic(1e4) == pytest.approx(0, abs=1e-60)


@pytest.mark.parametrize("make", EVERY)
def test_quadrature(make):
    law = make()
    count = 256 if "student" in law.name else 64
    nodes, weights = law.quadrature(count)
    assert (weights > 1e-50).all()
    assert weights.sum() == pytest.approx(1, abs=1e-14)
    low, high = law.support
    assert low - 1e-9 <= nodes.min() < nodes.max() <= high + 1e-9
    for r in range(9 if "student" not in law.name else 5):
        size = weights @ np.abs(nodes) ** r
        assert abs(weights @ nodes**r - law.moment(r)) < 2e-12 * size, r
    tolerance = 1e-10 if "student_t(12.5)" in law.name else 3e-12
    wave = weights @ np.exp(1.3j * nodes)
    assert wave == pytest.approx(complex(law.characteristic(1.3)), abs=tolerance)
    if law.symmetric and not law.name.startswith("scipy"):
        np.testing.assert_array_equal(nodes, -nodes[::-1])
    for small in (1, 2, 3):
        assert law.quadrature(small)[1].sum() == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize(
    ("df", "count", "square", "fourth", "wave"),
    [(5, 64, 2e-8, 2e-4, 3e-5), (5, 256, 1e-15, 5e-6, 5e-8), (40, 64, 1e-14, 1e-14, 1e-14)],
)
def test_student_quadrature_has_the_documented_accuracy(df, count, square, fourth, wave):
    law = laws.StudentT(df)
    z, w = law.quadrature(count)
    assert abs(w @ z**2 - 1) < square
    assert abs(w @ z**4 / law.moment(4) - 1) < fourth
    assert abs(w @ np.cos(1.3 * z) - law.characteristic(1.3)) < wave


def test_classical_rules_equal_scipy():
    x, w = scipy.special.roots_hermitenorm(40)
    nodes, weights = laws.Gaussian().quadrature(40)
    np.testing.assert_allclose(nodes, x, atol=1e-13)
    np.testing.assert_allclose(weights, w / w.sum(), rtol=1e-11)
    x, w = scipy.special.roots_genlaguerre(20, 1.5)
    nodes, weights = laws.Gamma(2.5).quadrature(20)
    np.testing.assert_allclose(nodes, (x - 2.5) / math.sqrt(2.5), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(weights, w / w.sum(), rtol=1e-10)
    nodes, weights = laws.Laplace().quadrature(20)
    assert weights @ np.abs(nodes) ** 3 == pytest.approx(6 / 2**1.5, rel=1e-13)


@pytest.mark.parametrize("make", EVERY)
def test_density(make):
    law = make()
    if law.discrete:
        with pytest.raises(ValueError, match="has atoms and therefore no density"):
            law.density(0.0)
        return
    if law.name in ("gamma(0.3)", "scipy:gamma(0.5)", "scipy:beta(0.5, 0.5)"):  # singular
        u = np.linspace(0.01, 0.99, 50)
        rival = {"gamma(0.3)": stats.gamma(0.3)}.get(law.name) or law.distribution
        x = rival.ppf(u)
        z = (x - rival.mean()) / rival.std()
        np.testing.assert_allclose(law.density(z), rival.pdf(x) * rival.std(), rtol=1e-9)
        return
    low, high = (max(min(e, 120.0), -120.0) for e in law.support)
    x, w = np.polynomial.legendre.leggauss(40)
    edges = np.linspace(low, high, 201) if law.support[0] > -50 else np.linspace(-120, 120, 801)
    half = np.diff(edges) / 2
    z = (edges[:-1] + half)[:, None] + half[:, None] * x
    mass = half[:, None] * w * law.density(z)
    assert mass.sum() == pytest.approx(1, abs=1e-9)
    assert (mass * z).sum() == pytest.approx(0, abs=1e-9)
    assert (mass * z**2).sum() == pytest.approx(1, abs=1e-8)
    if math.isfinite(law.support[0]):
        assert law.density(law.support[0] - 1e-6) == 0


@pytest.mark.parametrize("make", EVERY)
def test_samples_under_jit_and_vmap(make):
    law = make()
    draw = jax.jit(jax.vmap(lambda key: law.sample(key, (50, 100))))
    keys = jax.random.split(jax.random.key(7), 5)
    x = draw(keys)
    assert x.shape == (5, 50, 100)
    assert x.dtype == np.float64
    np.testing.assert_array_equal(x, draw(keys))
    np.testing.assert_allclose(x[3], law.sample(keys[3], (50, 100)), rtol=1e-12, atol=1e-15)
    x = np.asarray(x).ravel()
    for r in range(1, 5):
        spread = math.sqrt((law.moment(2 * r) - law.moment(r) ** 2) / x.size)
        deviation = np.mean(x**r) - law.moment(r)
        assert abs(deviation) <= 4.5 * spread + 1e-12, (r, deviation / spread)
    low, high = law.support
    assert low - 1e-9 <= x.min() <= x.max() <= high + 1e-9
    single = jax.eval_shape(lambda key: law.sample(key, (3,), dtype=np.float32), keys[0])
    assert single.dtype == np.float32
    assert jax.eval_shape(law.sample, jax.random.key(0)).shape == ()


@pytest.mark.parametrize("name", ["norm", "binom"])
def test_scipy_samples_in_float32_with_a_raw_key(name):
    x = scipy_law(name).sample(jax.random.PRNGKey(0), (20_000,), dtype=np.float32)
    assert x.dtype == np.float32
    assert np.isfinite(x).all()
    assert abs(float(x.mean())) < 4.5 / math.sqrt(x.size)


@pytest.mark.parametrize("make", EVERY)
def test_laws_are_values(make):
    law = make()
    assert isinstance(law, laws.Law)
    assert laws.get(law) is law
    assert hash(law) == hash(dataclasses.replace(law))
    assert law == dataclasses.replace(law)
    assert law.name
    if not law.name.startswith("scipy"):
        assert eval(repr(law), vars(laws)) == law
    with pytest.raises(dataclasses.FrozenInstanceError):
        law.anything = 1


def test_scipy_laws_are_equal_by_content():
    assert laws.from_scipy(stats.beta(2, 3)) == scipy_law("beta")
    assert hash(laws.from_scipy(stats.beta(2, 3))) == hash(scipy_law("beta"))
    assert laws.from_scipy(stats.beta(2, 4)) != scipy_law("beta")
    one, two = (stats.rv_histogram(np.histogram(x, bins=3))() for x in ([1, 2, 3], [1, 1, 1, 5]))
    assert laws.from_scipy(one) != laws.from_scipy(two)
    assert repr(scipy_law("beta")) == "from_scipy(stats.beta(2, 3))"


def test_get():
    assert laws.get("Normal") == laws.get("gaussian") == laws.Gaussian()
    assert laws.get("TRUNCATED_NORMAL") == laws.TruncatedGaussian(2.0)
    assert laws.get({"name": "student_t", "df": 5}) == laws.StudentT(5.0)
    assert laws.get({"name": "truncated_gaussian", "bound": 3}) == laws.TruncatedGaussian(3.0)
    coin = {"name": "discrete", "values": [0, 1], "probabilities": [0.5, 0.5]}
    assert laws.get(coin) == laws.Discrete((0, 1), (0.5, 0.5))
    for name in ("uniform", "rademacher", "laplace", "exponential"):
        assert laws.get(name).name == name
    assert laws.StudentT(5).name == "student_t(5)"
    assert laws.Gamma(0.25).name == "gamma(0.25)"


@pytest.mark.parametrize(
    ("law", "message"),
    [
        ("cauchy", "unknown law 'cauchy'.*gaussian, uniform"),
        ("student_t", "needs the parameter df, got .*'df': ..."),
        ("discrete", "needs the parameter values and probabilities"),
        ({"df": 5}, "unknown law None"),
        ({"name": "gaussian", "std": 2}, "takes no parameters, got 'std'"),
        (3.0, "a law is a Law, a name or a mapping with a name, got 3.0"),
    ],
)
def test_get_refuses(law, message):
    with pytest.raises(ValueError, match=message):
        laws.get(law)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: laws.StudentT(2), "df must be above 2, got 2"),
        (lambda: laws.StudentT(math.inf), "df must be a finite number above 0, got inf"),
        (lambda: laws.Gamma(0.0), "shape must be a finite number above 0, got 0.0"),
        (lambda: laws.TruncatedGaussian(-1.0), "bound must be a finite number above 0, got -1.0"),
        (lambda: laws.Discrete((0, 1), (1.5, -0.5)), "must be at least 0, got -0.5"),
        (lambda: laws.Discrete((0, 1), (0.5, 0.5 + 1e-8)), "must sum to 1 within 1e-9"),
        (lambda: laws.Discrete((2, 2), (0.5, 0.5)), "at least two different values"),
        (lambda: laws.Discrete((0, 1, 2), (0.5, 0.5)), "equally long, got 3 values and 2"),
        (lambda: laws.Discrete((0, math.nan), (0.5, 0.5)), "values must be finite"),
        (lambda: laws.Discrete((), ()), "must sum to 1"),
        (lambda: laws.from_scipy(stats.norm), "as in stats.norm"),
        (lambda: laws.from_scipy("normal"), "expected a frozen scipy.stats distribution"),
        (lambda: laws.from_scipy(stats.cauchy()), "finite positive variance"),
        (lambda: laws.from_scipy(stats.norm([0, 1])), "needs scalar parameters"),
        (lambda: laws.from_scipy(stats.zipf(4.0)), "tail is too heavy"),
        (lambda: laws.Gaussian().cumulant(-1), "order of at least 0, got -1"),
        (lambda: laws.Gaussian().quadrature(0), "count must be an integer of at least 1, got 0"),
    ],
)
def test_refusals_name_what_was_received(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_moments_beyond_floats_say_so():
    assert laws.Exponential().moment(170) > 1e306
    with pytest.raises(OverflowError, match="order 171 of Exponential"):
        laws.Exponential().moment(171)
