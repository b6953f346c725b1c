"""Joint laws of outputs against exact finite-width laws, their own marginals, and networks."""

import functools

import jax
import numpy as np
import pytest
from scipy.special import gammaln, kv

import widthwise as ww
from initial.oracles.transfer import ExactBounded
from widthwise.algebra.gaussian import QuadratureError

X = np.array([[1.0, 0.5], [0.2, -1.0], [0.3, 0.8]])


def grid(law, reach=9.0, points=181):
    """A grid of two coordinates and its weight per cell."""
    a, b = (np.linspace(-reach, reach, points) * np.sqrt(v) for v in np.diag(law.covariance))
    z = np.stack(np.meshgrid(a, b, indexing="ij"), -1)
    return z, (a[1] - a[0]) * (b[1] - b[0])


@functools.cache
def joint_law(law="exponential", activation="gelu", order=3, depth=1):
    laws = ["gaussian"] * depth + [law]
    net = ww.MLP(depth, activation, weight_std=1.3, bias_std=0.2, weight_law=laws)
    cumulants = ww.output_cumulants(net, X, order)
    return cumulants, ww.edgeworth(cumulants, points=(0, 1))


def exact_linear_density(r, n, dimension):
    """Linear network, one hidden layer, D outputs: z | S ~ N(0, S), S ~ χ²_n / n."""
    nu = (n - dimension) / 2
    log = -dimension / 2 * np.log(2 * np.pi) + n / 2 * np.log(n / 2) - gammaln(n / 2)
    return 2 * np.exp(log) * (r * r / n) ** (nu / 2) * kv(nu, np.sqrt(n) * r)


@pytest.mark.parametrize("dimension", [2, 3])
def test_the_density_of_several_linear_outputs_converges_to_the_exact_one(dimension):
    net = ww.MLP(1, "identity", outputs=dimension)
    cumulants = ww.output_cumulants(net, [[1.0]], order=6)
    law = ww.edgeworth(cumulants, points=(0,) * dimension, components=range(dimension))
    z = np.random.default_rng(0).normal(size=(200, dimension))
    exact = exact_linear_density(np.linalg.norm(z, axis=1), 32, dimension)
    errors = [np.abs(law.pdf(z, 32, order) - exact).max() for order in (0, 2, 4, 6)]
    assert (np.array(errors[1:]) < 0.35 * np.array(errors[:-1])).all(), errors
    wide = exact_linear_density(np.linalg.norm(z, axis=1), 256, dimension)
    finer = np.abs(law.pdf(z, 256, 4) - wide).max()
    assert np.log(errors[2] / finer) / np.log(8) == pytest.approx(3, abs=0.15)


@pytest.mark.parametrize("law", ["gaussian", "exponential"])
def test_the_density_integrates_to_one_and_to_its_marginals(law):
    cumulants, joint = joint_law(law)
    z, cell = grid(joint)
    density = joint.pdf(z, 60)
    assert density.sum() * cell == pytest.approx(1.0, abs=1e-12)
    marginal = density.sum(1) * (z[0, 1, 1] - z[0, 0, 1])
    assert np.abs(marginal - ww.edgeworth(cumulants, (0,)).pdf(z[:, 0, 0], 60)).max() < 1e-12
    assert np.abs(marginal - joint.marginal((0,)).pdf(z[:, 0, :1], 60)).max() < 1e-12


def test_the_law_of_a_projection_is_the_projected_law():
    cumulants, _ = joint_law("exponential", "tanh", 2)
    joint, v = ww.edgeworth(cumulants, points=(0, 1, 2)), np.array([0.7, -1.1, 0.4])
    direct, through = ww.edgeworth(cumulants, (0, 1, 2), v), joint.projection(v)
    t = np.linspace(-4, 4, 33) * direct.std
    for order in range(3):
        assert np.abs(through.pdf(t, 50, order) - direct.pdf(t, 50, order)).max() < 1e-13
    # the same by integrating the joint density over lines of constant v·z
    square = ww.edgeworth(cumulants, (0, 1, 2), [v, [1.0, 1.0, 0.0]])
    z, cell = grid(square)
    along = (square.pdf(z, 50) * np.cos(0.8 * z[..., 0])).sum() * cell
    assert along == pytest.approx(
        direct.expectation(lambda t: np.cos(0.8 * t), 50).value, abs=1e-12
    )


def test_moments_of_the_density_are_those_of_the_cumulants():
    cumulants, joint = joint_law()
    n = 60
    z, cell = grid(joint, 13.0, 401)
    weights = joint.pdf(z, n) * cell
    mean, covariance = joint.moments(n)
    assert np.abs(np.einsum("ij,ijk->k", weights, z) - mean).max() < 1e-12
    assert np.abs(np.einsum("ij,ijk,ijl->kl", weights, z, z) - covariance).max() < 1e-12
    for coordinates in ((0, 0, 1), (1, 1, 1), (0, 0, 1, 1), (0, 0, 0, 1, 1)):
        product = np.prod([z[..., c] for c in coordinates], axis=0)
        moment = joint.moment(coordinates).at(n)
        assert (weights * product).sum() == pytest.approx(moment, abs=1e-10)
        expected = cumulants.cumulant(coordinates).coefficients
        assert np.abs(joint.cumulant(coordinates).coefficients - expected).max() < 1e-15
        value = joint.expectation(lambda z, c=coordinates: np.prod(z[:, list(c)], axis=1), n).value
        assert value == pytest.approx(moment, rel=1e-9)


def tanh_tanh(z):
    return np.tanh(z[:, 0]) ** 2 * np.tanh(z[:, 1]) ** 2


def test_an_expectation_of_two_outputs_against_the_exact_transfer_operator():
    """Given S both outputs are independent N(0, S): E tanh²z₁ tanh²z₂ = E g(S)²."""
    net = ww.MLP(2, "tanh", weight_std=1.5, bias_std=0.3, outputs=2)
    u, w = np.polynomial.hermite_e.hermegauss(120)

    def g_squared(S):
        return (np.tanh(np.sqrt(S)[:, None] * u) ** 2 @ w / np.sqrt(2 * np.pi)) ** 2

    exact = ExactBounded(net, X[0], 8).expectation(g_squared)
    cumulants = ww.output_cumulants(net, X[:1], order=8)
    law = ww.edgeworth(cumulants, points=(0, 0), components=(0, 1))
    found = [law.expectation(tanh_tanh, 8, order) for order in (0, 2, 4, 6, 8)]
    errors = np.array([abs(e.value - exact) for e in found])
    print("exact", exact, "errors", errors, "claimed", [e.error for e in found])
    assert errors[0] == pytest.approx(4.1e-3, rel=0.03)
    assert errors[1] < errors[0] / 50
    assert errors[2:].max() < 2e-5
    assert all(gap < 3 * e.error for gap, e in zip(errors, found, strict=True))
    wide = ExactBounded(net, X[0], 64).expectation(g_squared)
    errors = [abs(law.expectation(tanh_tanh, 64, order).value - wide) for order in (0, 2, 4)]
    assert errors[1] < errors[0] / 50
    assert errors[2] < errors[1] / 5


def test_kinked_expectations_of_the_joint_law_are_integrals_of_its_density():
    _, joint = joint_law("gaussian", "tanh", 4)
    edges = (-0.5, 0.0)
    inside = joint.expectation(
        lambda z: ((z[:, 0] > -0.5) & (z[:, 1] < 0)).astype(float), 40, kinks=edges
    )
    x, w = np.polynomial.legendre.leggauss(80)
    scale = np.sqrt(np.diag(joint.covariance)) * 10
    a, b = -0.5 + (scale[0]) * (1 + x) / 2, -scale[1] * (1 + x) / 2
    z = np.stack(np.meshgrid(a, b, indexing="ij"), -1)
    total = w @ joint.pdf(z, 40) @ w * scale[0] * scale[1] / 4
    assert inside.value == pytest.approx(total, abs=1e-10)
    assert inside.series.error.max() < 1e-9
    with pytest.raises(QuadratureError, match="declare them"):
        joint.expectation(lambda z: ((z[:, 0] > -0.5) & (z[:, 1] < 0)).astype(float), 40)


@pytest.fixture(scope="module")
def networks():
    """Two outputs at two points of 40 000 real networks, n = 32, centred exponential readout."""
    net = ww.MLP(2, "gelu", 1.4, 0.2, ["gaussian", "gaussian", "exponential"], outputs=2)
    keys = jax.random.split(jax.random.key(5), 40_000)
    sample = jax.jit(jax.vmap(lambda k: net.apply(net.init(k, 32, 2), X[:2])))
    f = np.asarray(sample(keys))
    law = ww.edgeworth(ww.output_cumulants(net, X, 4), (0, 1, 1), components=(0, 0, 1))
    return law, np.stack([f[:, 0, 0], f[:, 1, 0], f[:, 1, 1]], 1)


FUNCTIONS = {
    "smooth": (lambda z: np.cos(z[:, 0] + 0.5 * z[:, 1]) * np.exp(-(z[:, 2] ** 2)), ()),
    "skewed": (lambda z: np.tanh(z[:, 0]) ** 2 * np.tanh(z[:, 1]), ()),
    "orthant": (lambda z: (z > 0).all(1).astype(float), (0.0,)),
    "kinked": (lambda z: np.maximum(z[:, 0], 0) * np.abs(z[:, 2]), (0.0,)),
}


@pytest.mark.parametrize(
    "name",
    ["smooth", *(pytest.param(n, marks=pytest.mark.slow) for n in ("skewed", "orthant", "kinked"))],
)
def test_expectations_of_three_outputs_agree_with_networks(name, networks):
    law, f = networks
    fn, kinks = FUNCTIONS[name]
    values = fn(f)
    measured, error = values.mean(), values.std() / np.sqrt(len(values))
    corrected = law.expectation(fn, 32, kinks=kinks)
    gaussian = law.expectation(fn, 32, 0, kinks)
    print(name, measured, error, corrected[:2], gaussian.value)
    assert abs(corrected.value - measured) < 4 * error + corrected.error
    assert abs(corrected.value - measured) < abs(gaussian.value - measured) / 3 + 4 * error


def test_more_than_four_outputs_by_random_points():
    net = ww.MLP(1, "identity", outputs=5)
    cumulants = ww.output_cumulants(net, [[1.0]], order=2)
    law = ww.edgeworth(cumulants, (0,) * 5, components=range(5))
    e = law.expectation(lambda z: (z**2).sum(1) ** 2, 10)
    exact = 35 * (1 + 2 / 10)  # E |z|⁴ = D(D+2) E S²
    assert e.value == pytest.approx(exact, abs=4 * e.series.error[[0, 2]].sum() + 1e-12)
    assert e.series.error[0] < 0.05


def test_errors_of_cumulants_reach_the_expectation():
    net = ww.MLP(1, "tanh")
    law = ww.edgeworth(ww.output_cumulants(net, X, order=2), (0, 1))
    off = 1e-6
    errors = np.zeros_like(law.cumulants)
    place = 3  # the variance of coordinate 0, in the limit
    errors[place, 0] = off
    wrong = law.cumulants.copy()
    wrong[place, 0] += off
    fn = lambda z: np.exp(-(z[:, 0] ** 2)) * np.cos(z[:, 1])  # noqa: E731
    told = ww.JointEdgeworth(law.cumulants, errors).expectation(fn, 20)
    moved = ww.JointEdgeworth(wrong).expectation(fn, 20)
    gap = abs(told.series.coefficients[0] - moved.series.coefficients[0])
    assert gap < told.series.error[0] < 1.3 * gap


def test_a_singular_limit_is_refused_naming_what_does_not_vary():
    net = ww.MLP(2, "tanh")
    x = np.array([[1.0, 0.5], [-1.0, -0.5], [0.3, 1.0]])
    cumulants = ww.output_cumulants(net, x, order=2)
    with pytest.raises(ValueError, match=r"\+1·z0 \+1·z2 does not vary"):
        ww.edgeworth(cumulants, (0, 2, 1))
    with pytest.raises(ValueError, match="singular"):
        ww.edgeworth(cumulants, (0, 2), [[1.0, 0.0], [2.0, 0.0]])
    ww.edgeworth(cumulants, (0, 1, 2), [[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]])


def test_bad_input_of_a_joint_law_says_what_to_do():
    cumulants, joint = joint_law()
    with pytest.raises(ValueError, match="z must have shape"):
        joint.pdf([0.0, 0.0, 0.0], 10)
    with pytest.raises(ValueError, match="order 5 was asked"):
        joint.pdf([0.0, 0.0], 10, 5)
    with pytest.raises(ValueError, match="direction must hold one"):
        ww.edgeworth(cumulants, (0, 1), [[1.0, 2.0, 3.0]])
    with pytest.raises(ValueError, match="one output component per point"):
        ww.edgeworth(cumulants, (0, 1), components=(0, 0, 0))
    with pytest.raises(ValueError, match="coordinates must be"):
        joint.marginal((2,))
    with pytest.raises(ValueError, match="values of shape"):
        joint.expectation(lambda z: z, 10)
    with pytest.raises(ValueError, match="one row for every multi-index"):
        ww.JointEdgeworth(np.ones((7, 3)))
    with pytest.raises(ValueError, match="fewer variables"):
        ww.edgeworth(ww.output_cumulants(ww.MLP(outputs=9), X, 6), (0,) * 9, components=range(9))
