"""Bounds of derivatives and of rounding against autodiff, maximization and exact arithmetic."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import widthwise as ww
from certify.trained_networks import Trained
from widthwise.certify.constants.ball import bounds_at
from widthwise.certify.constants.smoothness import smoothness
from widthwise.certify.evaluation import evaluate

NETS = {
    "one layer": ww.MLP(1, "tanh", 1.2, [0.5, 0.0], outputs=2),
    "two layers": ww.MLP(2, "sin", 1.0, 0.2, ratios=[1.0, 0.5], outputs=2),
}


def case(net, n=6, m=3, root=None):
    rng = np.random.default_rng(5)
    x, parameters = rng.normal(size=(m, 2)), net.init(jax.random.key(1), n, 2)
    y = rng.normal(size=(m, net.outputs))
    return Trained(net, parameters, x, y), evaluate(net, parameters, x, y, root)


def second_derivative(function, theta, v):
    slope = lambda at: jax.jvp(function, (at,), (v,))[1]  # noqa: E731
    return jax.jvp(slope, (theta,), (v,))[1]


def steepest(function, theta, size, tries=4):
    """A lower bound of sup |D²f[v,v]| over unit v, by gradient ascent."""
    value = jax.jit(
        lambda v: jnp.sum(second_derivative(function, theta, v / jnp.linalg.norm(v)) ** 2)
    )
    ascend, best = jax.jit(jax.grad(value)), 0.0
    for seed in range(tries):
        v = np.random.default_rng(seed).normal(size=size)
        for _ in range(100):
            v = v / np.linalg.norm(v)
            g = np.asarray(ascend(v))
            v = v + 0.5 * g / np.linalg.norm(g)
        best = max(best, float(value(v)) ** 0.5)
    return best


@pytest.mark.parametrize("name", NETS)
def test_jacobian_lipschitz_constant_above_the_steepest_direction(name):
    trained, at = case(NETS[name])
    bound = bounds_at(at).jacobian(0.0)
    found = steepest(trained.function, trained.start, len(trained.start))
    assert found <= bound
    assert bound <= found * (2.5 if at.problem.depth == 1 else 25)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("radius", [0.1, 1.0])
def test_jacobian_lipschitz_constant_on_a_ball(name, radius):
    trained, at = case(NETS[name])
    bound = bounds_at(at).jacobian(radius)
    rng = np.random.default_rng(0)
    for _ in range(20):
        first, second = (v / np.linalg.norm(v) for v in rng.normal(size=(2, len(trained.start))))
        near = trained.start + radius * first
        far = trained.start + radius * (first + 0.1 * second) / 1.1
        change = np.linalg.norm(trained.jacobian(near) - trained.jacobian(far), 2)
        assert change <= bound * np.linalg.norm(near - far)


@pytest.mark.parametrize("name", ["one layer"])
def test_block_eigenvalues_are_those_of_the_hessian(name):
    trained, at = case(NETS[name])
    u = np.random.default_rng(1).normal(size=at.problem.rows)
    hessian = jax.hessian(lambda theta: jnp.dot(u, trained.function(theta)))(trained.start)
    values = np.linalg.eigvalsh(np.asarray(hessian))
    negative, largest = bounds_at(at).weighted_hessian(u)
    assert negative == pytest.approx(-values[0], rel=1e-8)
    assert largest == pytest.approx(np.abs(values).max(), rel=1e-8)
    assert negative >= -values[0]
    direction = at.pull(u)
    v = np.concatenate([p.ravel() for block in direction for p in block if p is not None])
    along = jax.jacrev(lambda theta: jax.jvp(trained.function, (theta,), (jnp.asarray(v),))[1])
    exact = np.linalg.norm(np.asarray(along(trained.start)), 2)
    assert bounds_at(at).hessian_along(direction) == pytest.approx(exact, rel=1e-8)


def exact_block(weight, readout, x, u, k):
    """Block k of Σ u_i H_i of a tanh network without biases at fifty digits: its eigenvalues."""
    mp, (n, d) = mpmath.mpf, weight.shape
    block = mpmath.zeros(d + 1)
    for point, force in zip(x, u, strict=True):
        scaled = [mp(float(v)) * mp(float(1 / np.sqrt(d))) for v in point]
        z = sum(mp(float(w)) * v for w, v in zip(weight[k], scaled, strict=True))
        t = mpmath.tanh(z)
        slope, curved = 1 - t * t, -2 * t * (1 - t * t)
        for a in range(d):
            for b in range(d):
                block[a, b] += mp(float(force * readout[0, k])) * curved * scaled[a] * scaled[b]
            block[a, d] += mp(float(force)) * slope * scaled[a]
            block[d, a] = block[a, d]
    return mpmath.eigsy(block * mp(float(1 / np.sqrt(n))), eigvals_only=True)


def test_block_eigenvalues_where_residuals_cancel():
    """Opposite residuals of nearly equal points: blocks are differences, far below their terms."""
    rng = np.random.default_rng(4)
    point = rng.normal(size=(1, 2))
    x = np.concatenate([point, point * (1 + 1e-13)])
    weight, readout = rng.normal(size=(3, 2)), rng.normal(size=(1, 3))
    at = evaluate(
        ww.MLP(1, "tanh"),
        (ww.Layer(weight, None), ww.Layer(readout, None)),
        x,
        np.zeros((2, 1)),
    )
    u = 1e3 * np.array([1.0, -1.0])
    negative, largest = bounds_at(at).weighted_hessian(u)
    with mpmath.workdps(50):
        exact = [list(exact_block(weight, readout, x, u, k)) for k in range(3)]
        least = min(min(block) for block in exact)
        most = max(max(abs(value) for value in block) for block in exact)
    assert most < 1e-9
    assert -least <= negative
    assert most <= largest < 1e-10 + 100 * most


@pytest.mark.parametrize("name", ["one layer"])
def test_hessian_lipschitz_constant(name):
    trained, at = case(NETS[name])
    bound = bounds_at(at).hessian(0.5)
    hessian = jax.jit(jax.hessian(trained.function))
    rng = np.random.default_rng(2)
    for _ in range(5):
        v = rng.normal(size=len(trained.start))
        near = trained.start + 0.5 * v / np.linalg.norm(v)
        difference = np.asarray(hessian(near) - hessian(trained.start))
        direction = rng.normal(size=len(v))
        value = np.linalg.norm(difference @ direction @ direction) / (direction @ direction)
        assert value <= bound * 0.5


def test_multiplicity_weighs_like_repeated_points():
    net = ww.MLP(1, "tanh", 1.2, 0.4)
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(3, 2)), rng.normal(size=(3, 1))
    parameters = net.init(jax.random.key(1), 6, 2)
    twice = evaluate(net, parameters, x[[0, 0, 1, 2]], y[[0, 0, 1, 2]])
    once = evaluate(net, parameters, x, y, np.sqrt([2.0, 1.0, 1.0]))
    one, two = bounds_at(once), bounds_at(twice)
    assert one.jacobian(1.0) == pytest.approx(two.jacobian(1.0), rel=1e-9)
    assert one.hessian(1.0) == pytest.approx(two.hessian(1.0), rel=1e-9)
    u = np.array([2**0.5, 1.0, -1.0]), np.array([1.0, 1.0, 1.0, -1.0])
    assert one.weighted_hessian(u[0]) == pytest.approx(two.weighted_hessian(u[1]), rel=1e-9)
    values = np.linalg.eigvalsh(twice.kernel)
    assert np.linalg.eigvalsh(once.kernel) == pytest.approx(values[1:], abs=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e8])
def test_rounding_bounds_against_fifty_digits(scale):
    """Weights of size ``scale`` that nearly cancel: the error grows, and the bound with it."""
    rng = np.random.default_rng(7)
    net = ww.MLP(1, "tanh")
    pair = scale * rng.normal(size=(4, 1))
    weight = np.concatenate([pair, -pair], axis=1) + rng.normal(size=(4, 2))
    readout = rng.normal(size=(1, 4))
    x, y = np.array([[1.0, 1.0], [0.7, 0.7]]), np.array([[0.3], [0.4]])
    parameters = ww.Layer(weight, None), ww.Layer(readout, None)
    at = evaluate(net, parameters, x, y)
    with mpmath.workdps(50):
        mp = mpmath.mpf
        exact = []
        for i, point in enumerate(x):
            total = mp(0)
            for k in range(4):
                z = sum(mp(w) * mp(p) for w, p in zip(weight[k], point, strict=True))
                total += mp(readout[0, k]) * mpmath.tanh(z / mpmath.sqrt(2))
            exact.append(float(mp(at.residual[i]) - (total / 2 - mp(y[i, 0]))))
    error, bound = np.linalg.norm(exact), at.rounding[0]
    assert 0 < error <= bound
    assert bound < 1e5 * error


@pytest.mark.parametrize(
    "name", ["tanh", "erf", "sin", "cos", "softplus", "sigmoid", "gelu", "silu"]
)
def test_sup_norms_of_activations(name):
    activation = ww.activations.get(name)
    bounds = smoothness(activation)
    z = jnp.linspace(-9, 9, 20001)
    for order, bound in enumerate(bounds):
        if np.isfinite(bound):
            largest = np.abs(activation.derivative(order)(z)).max()
            assert largest <= bound
            assert largest > bound * 0.999


@pytest.mark.parametrize(
    ("activation", "message"),
    [
        ("relu", "kink"),
        ("exp", "unbounded"),
        (ww.activations.get(lambda z: jnp.tanh(2 * z)), "does not declare"),
    ],
)
def test_activations_without_constants(activation, message):
    with pytest.raises(ValueError, match=message):
        smoothness(ww.activations.get(activation))
