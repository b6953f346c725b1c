"""Exact laws of one hidden layer against closed forms, samples, and each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln, kv

import widthwise as ww

X = np.array([[1.0, 0.3], [-0.4, 0.8]])
Z = np.array([0.5, 1.0, 2.0, 3.0])
PUBLISHED = {
    5: [0.368386641, 0.210705356, 0.04681782, 0.008179669],
    10: [0.363678665, 0.227149829, 0.049422286, 0.006804594],
}
LAWS = {
    "gaussian": "gaussian",
    "uniform": "uniform",
    "rademacher": "rademacher",
    "laplace": "laplace",
    "exponential": "exponential",
    "gamma": ww.laws.Gamma(2.5),
    "student_t": ww.laws.StudentT(5),
    "truncated_gaussian": "truncated_gaussian",
    "discrete": ww.laws.Discrete([-1, 0, 2], [0.3, 0.5, 0.2]),
    "scipy": ww.laws.from_scipy(stats.uniform()),
}


def bessel_density(z, n):
    """One hidden linear layer: a Gaussian times a χ variable, a Bessel K law."""
    s = np.abs(z) * np.sqrt(n)
    log = np.log(2) + ((n - 1) / 2) * np.log(s / 2) - gammaln(n / 2) - 0.5 * np.log(np.pi)
    return np.sqrt(n) / 2 * np.exp(log) * kv((n - 1) / 2, s)


def sample(net, x, V, width, count, key=0):
    """direction · outputs of that many networks."""

    @jax.jit
    def block(keys):
        f = jax.vmap(lambda k: net.apply(net.init(k, width, x.shape[1]), x))(keys)
        return jnp.einsum("kac,ac->k", f, V)

    keys = jax.random.split(jax.random.key(key), count).reshape(10, -1)
    return np.concatenate([np.asarray(block(part)) for part in keys])


def kolmogorov(law, samples):
    """√N sup |F_N − F| over the sampled values, from both sides of atoms too."""
    z, counts = np.unique(np.round(samples, 12), return_counts=True)
    grid = z[:: max(1, len(z) // 4000)]
    empirical = np.searchsorted(z, grid + 1e-11, side="right")
    below = np.append(0, np.cumsum(counts))[empirical] / len(samples)
    return np.sqrt(len(samples)) * np.abs(below - law.cdf(grid + 2e-12)).max()


@pytest.mark.parametrize("n", [5, 10, 40])
def test_linear_layer_is_the_bessel_law(n):
    law = ww.exact_law(ww.MLP(1, "identity"), [[1.0]], n)
    z = np.linspace(-6, 6, 60)
    assert law.pdf(z) == pytest.approx(bessel_density(z, n), abs=1e-11)
    assert law.error < 1e-9


@pytest.mark.parametrize("n", PUBLISHED)
def test_published_priors_to_nine_digits(n):
    law = ww.exact_law(ww.MLP(1, "identity"), [[1.0]], n)
    assert law.pdf(Z) == pytest.approx(PUBLISHED[n], abs=6e-10)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_neurons_are_exact_away_from_the_singularity_and_honest_near_it(n):
    law = ww.exact_law(ww.MLP(1, "identity"), [[1.0]], n)
    z = np.array([0.1, 0.5, 1.0, 3.0])
    assert law.pdf(z) == pytest.approx(bessel_density(z, n), abs=1e-10)
    near = np.array([1e-3, 3e-3, 1e-2])
    assert (np.abs(law.pdf(near) - bessel_density(near, n)) <= law.pdf_error(near)).all()


def test_cdf_is_the_integral_of_the_density_and_counts_the_dead_neurons():
    law = ww.exact_law(ww.MLP(1, "relu", weight_std=(1.0, 2**0.5)), [[1.0]], 5)
    assert law.atoms.positions == pytest.approx([0.0])
    assert law.atoms.masses == pytest.approx([1 / 32], abs=1e-15)
    assert law.pdf(Z) == pytest.approx(
        [0.325582619, 0.166842984, 0.04267116, 0.010488324], abs=6e-10
    )
    assert law.cdf(1e-9) - law.cdf(-1e-9) == pytest.approx(1 / 32, abs=2 * law.cdf_error(1e-9))
    nodes, weights = np.polynomial.legendre.leggauss(60)
    integral = weights @ law.pdf(1.5 + nodes)
    assert law.cdf(2.5) - law.cdf(0.5) == pytest.approx(integral, abs=1e-13)
    assert law.cdf(-0.7) + law.cdf(0.7) == pytest.approx(1.0, abs=1e-13)


SAMPLED = {
    "two points, uniform": (
        ww.MLP(1, "tanh", 1.4, 0.3, weight_law=("gaussian", "uniform")),
        [[0.7], [-1.2]],
        6,
    ),
    "relu, two points, bias": (
        ww.MLP(1, "relu", 1.4, (0.3, 0.4), weight_law=("gaussian", "laplace")),
        [[0.7], [-1.2]],
        5,
    ),
    "relu with its atom": (
        ww.MLP(1, "relu", weight_law=("gaussian", "exponential")),
        [[1.0], [0.0]],
        4,
    ),
    "uniform first layer": (
        ww.MLP(1, "relu", 1.2, (0.5, 0.0), weight_law="uniform", bias_law="uniform"),
        [[1.0], [0.0]],
        6,
    ),
    "lattice": (ww.MLP(1, "sign", weight_law=("gaussian", "rademacher")), [[1.0], [0.0]], 7),
    "lattice, two points": (
        ww.MLP(1, "step", weight_law=("gaussian", "rademacher"), bias_std=(0.4, 0)),
        [[1.0], [0.5]],
        5,
    ),
    "lattice with a Gaussian bias": (
        ww.MLP(1, "sign", 1.0, (0.2, 0.1), weight_law=("gaussian", "rademacher")),
        [[1.0], [0.4]],
        5,
    ),
    "lattice with a lattice bias": (
        ww.MLP(1, "sign", 1.0, (0.2, 0.1), ("gaussian", "rademacher"), ("gaussian", "rademacher")),
        [[1.0], [0.4]],
        5,
    ),
    "uniform bias": (
        ww.MLP(1, "sign", 1.0, (0.2, 0.3), ("gaussian", "rademacher"), ("gaussian", "uniform")),
        [[1.0], [0.4]],
        5,
    ),
    "two outputs": (
        ww.MLP(1, "tanh", 1.3, 0.2, weight_law=("gaussian", "exponential"), outputs=2),
        [[1.0, 0.3], [-0.5, 0.8]],
        5,
    ),
    "default of PyTorch": (ww.MLP.like_torch(depth=1), [[1.0], [-0.6]], 8),
    "default of Flax, wide": (ww.MLP.like_flax(depth=1, ratios=[3.0]), [[1.0], [-0.6]], 4),
    "clipped": (
        ww.MLP(
            1,
            ww.activations.get(lambda z: jnp.clip(z, -1, 1), kinks=(-1.0, 1.0)),
            1.8,
            weight_law=("gaussian", "rademacher"),
        ),
        [[1.0], [0.0]],
        3,
    ),
    "discrete throughout": (
        ww.MLP(1, "tanh", 1.1, weight_law=("rademacher", "rademacher")),
        [[1.0], [0.5]],
        4,
    ),
}


SLOW = (
    "two outputs",
    "uniform first layer",
    "clipped",
    "uniform bias",
    "default of Flax, wide",
    "two points, uniform",
)


def marked(names, slow):
    return [pytest.param(n, marks=pytest.mark.slow) if n in slow else n for n in names]


@pytest.mark.parametrize("name", marked(SAMPLED, SLOW))
def test_sampled_networks_follow_the_law(name):
    net, direction, n = SAMPLED[name]
    V = np.asarray(direction)
    law = ww.exact_law(net, X, n, points=(0, 1), direction=V[:, 0] if net.outputs == 1 else V)
    samples = sample(net, X, V, n, 100_000)
    assert kolmogorov(law, samples) < 1.9  # exceeded by chance once in 700
    assert law.std == pytest.approx(samples.std(), rel=0.02)


@pytest.mark.slow
def test_a_coarse_first_layer_is_known_within_its_error():
    net = ww.MLP(1, "relu", weight_law="exponential")
    law = ww.exact_law(net, X, 4)
    samples = sample(net, X[:1], np.ones((1, 1)), 4, 100_000)
    z = np.array([-1.0, -0.1, -1e-3, 1e-3, 0.1, 1.0])
    gap = np.abs((samples[:, None] <= z).mean(0) - law.cdf(z))
    assert (gap < law.cdf_error(z) + 4 * 0.5 / np.sqrt(len(samples))).all()
    assert 1e-4 < law.error < 2e-2


@pytest.mark.parametrize("law_name", marked(LAWS, set(LAWS) - {"exponential", "discrete"}))
def test_every_readout_law_follows_its_samples(law_name):
    net = ww.MLP(1, "relu", 1.3, (0.4, 0.0), weight_law=("gaussian", LAWS[law_name]))
    law = ww.exact_law(net, X, 12)
    assert kolmogorov(law, sample(net, X[:1], np.ones((1, 1)), 12, 50_000)) < 1.9
    away = law.std * np.array([-2.0, -0.7, 0.5, 1.5])
    assert law.pdf_error(away).max() * law.std < (5e-7 if law_name == "scipy" else 1e-7)


def test_sign_times_rademacher_is_binomial():
    n = 9
    net = ww.MLP(1, "sign", weight_law=("gaussian", "rademacher"))
    law = ww.exact_law(net, [[1.0]], n)
    assert law.atoms.positions == pytest.approx((2 * np.arange(n + 1) - n) / np.sqrt(n))
    assert law.atoms.masses == pytest.approx(stats.binom.pmf(np.arange(n + 1), n, 0.5), rel=1e-12)
    with pytest.raises(ValueError, match="has no density"):
        law.pdf(0.0)
    assert law.ppf(0.45) == pytest.approx(-1 / 3)
    wide = ww.exact_law(net, [[1.0]], 100_001)
    k = np.rint((wide.atoms.positions * np.sqrt(100_001) + 100_001) / 2)
    assert wide.atoms.masses == pytest.approx(stats.binom.pmf(k, 100_001, 0.5), abs=1e-14)
    assert wide.error < 1e-12


@pytest.mark.parametrize("law_name", LAWS)
def test_cumulants_are_those_of_the_series(law_name):
    net = ww.MLP(1, "gelu", 1.3, (0.4, 0.2), weight_law=("gaussian", LAWS[law_name]))
    n = 20
    law = ww.exact_law(net, X, n, points=(1,))
    c = ww.output_cumulants(net, X, order=2)
    for r in (2, 3, 4):
        series = c.cumulant((1,) * r)
        assert law.cumulant(r) == pytest.approx(series.at(n), rel=1e-8, abs=1e-12)
    assert law.moment(4) == pytest.approx(law.cumulant(4) + 3 * law.std**4, rel=1e-12)


def test_characteristic_function_is_the_sampled_one():
    net = ww.MLP(1, "relu", 1.2, (0.3, 0.2), weight_law=("gaussian", "exponential"))
    law = ww.exact_law(net, X, 5, points=(0, 1), direction=(1.0, -0.5))
    t = np.array([0.0, 0.7, -2.0, 5.0])
    samples = sample(net, X, np.array([[1.0], [-0.5]]), 5, 100_000, key=4)
    measured = np.exp(1j * np.outer(t, samples)).mean(1)
    assert np.abs(law.characteristic(t) - measured).max() < 4 / np.sqrt(len(samples))


@pytest.mark.parametrize("name", ["gaussian", "exponential"])
def test_wide_layers_cost_and_err_no_more(name):
    net = ww.MLP(1, "tanh", 1.3, 0.2, weight_law=("gaussian", name))
    series = ww.edgeworth(ww.output_cumulants(net, X, order=4))
    for n in (10**6, 10**12):
        law = ww.exact_law(net, X, n)
        z = law.std * np.linspace(-5, 5, 41)
        assert law.pdf(z) == pytest.approx(series.pdf(z, n), abs=2e-14)
        assert law.cdf(z) == pytest.approx(series.cdf(z, n), abs=2e-14)
        assert law.error < 1e-13


@pytest.mark.parametrize("inputs", marked((1, 2, 5, 12), (5, 12)))
def test_first_layers_of_many_inputs(inputs):
    x = np.random.default_rng(0).uniform(-1, 1, (1, inputs))
    net = ww.MLP(1, "relu", 1.4, weight_law=("uniform", "gaussian"))
    law = ww.exact_law(net, x, 10)
    assert law.std == pytest.approx(ww.output_cumulants(net, x, 0).cumulant((0, 0)).at(10) ** 0.5)
    assert kolmogorov(law, sample(net, x, np.ones((1, 1)), 10, 50_000)) < 1.9
    assert law.pdf_error(law.std) * law.std < (1e-8 if inputs != 5 else 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("first", ["laplace", "rademacher"])
def test_random_points_where_nothing_better_is_feasible(first):
    x = np.random.default_rng(1).normal(size=(3, 25))
    net = ww.MLP(1, "tanh", 1.4, weight_law=(first, "gaussian"))
    law = ww.exact_law(net, x, 10, points=(0, 1, 2), direction=(1.0, -1.0, 0.5))
    samples = sample(net, x, np.array([[1.0], [-1.0], [0.5]]), 10, 50_000)
    assert kolmogorov(law, samples) < 1.9
    assert 1e-8 < law.error < 1e-2


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_quantiles_invert_the_distribution_function(activation):
    net = ww.MLP(1, activation, 1.3, (0.3, 0.0), weight_law=("gaussian", "exponential"))
    law = ww.exact_law(net, X, 16)
    q = np.array([1e-9, 1e-4, 0.03, 0.3, 0.5, 0.9, 1 - 1e-7])
    assert law.cdf(law.ppf(q)) == pytest.approx(q, abs=1e-13)
    assert law.ppf([0.0, 1.0]).tolist() == [-np.inf, np.inf]
    with pytest.raises(ValueError, match="known to"):
        law.ppf(1e-16)
    with pytest.raises(ValueError, match="probabilities in"):
        law.ppf(1.2)


def test_quantile_at_an_atom_is_the_atom():
    law = ww.exact_law(ww.MLP(1, "relu"), [[1.0]], 2)
    assert law.ppf([0.4, 0.5, 0.6]) == pytest.approx([0.0, 0.0, 0.0], abs=1e-12)


def test_tolerance_is_met_or_refused():
    net = ww.MLP(1, "identity")
    assert ww.exact_law(net, [[1.0]], 10, tolerance=1e-12).error <= 1e-12
    with pytest.raises(ValueError, match="asked for"):
        ww.exact_law(net, [[1.0]], 1, tolerance=1e-12)


def test_bad_input_says_what_to_do():
    net = ww.MLP(1, "tanh", outputs=2)
    with pytest.raises(ValueError, match="direction must give one number per point"):
        ww.exact_law(net, X, 5, points=(0, 1))
    with pytest.raises(ValueError, match="points must be rows"):
        ww.exact_law(net, X, 5, points=(2,))
    with pytest.raises(ValueError, match="component must be one of"):
        ww.exact_law(net, X, 5, component=2)
    with pytest.raises(ValueError, match="direction is 0"):
        ww.exact_law(net, X, 5, direction=(0.0,))
    with pytest.raises(ValueError, match="do not vary"):
        ww.exact_law(net, np.zeros((1, 2)), 5)
    with pytest.raises(ValueError, match="width"):
        ww.exact_law(net, X, 0)
    deep = ww.MLP(2, "tanh")
    with pytest.raises(ValueError, match="exact laws exist for one hidden layer"):
        ww.exact_law(deep, X, 5)
