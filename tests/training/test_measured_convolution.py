"""The law of a convolutional network, measured on narrow ones, against wide trained ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from widthwise.training.law import measured_law

GAIN = 1.4
X = np.random.default_rng(0).normal(size=(3, 6, 1))
Y, TIME = np.array([1.0, -1.0]), 4.0


def convolution(parameters, x):
    """Two circular convolutions of three taps, the sum over places, a readout."""
    h = x
    for w in parameters[:2]:
        taps = jnp.stack([jnp.roll(h, k, 1) for k in (-1, 0, 1)], 2)
        scale = GAIN / (3 * h.shape[-1]) ** 0.5
        h = jnp.tanh(scale * jnp.einsum("pskc,kcn->psn", taps, w))
    return h.sum(1) @ parameters[2] / (h.shape[1] * h.shape[2]) ** 0.5


def channels(key, n):
    keys = jax.random.split(key, 3)
    shapes = ((3, 1, n), (3, n, n), (n, 1))
    return tuple(jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=True))


def expectations(function, covariance):
    """E f(z_i) f(z_j) of Gaussian z for every pair, by the trapezoid rule in two dimensions."""
    u = np.arange(-9, 9.01, 0.2)
    density = np.exp(-(u**2) / 2) / np.exp(-(u**2) / 2).sum()
    std = np.sqrt(np.diag(covariance))
    result = np.empty_like(covariance)
    for i, j in np.ndindex(covariance.shape):
        along = covariance[i, j] / std[i]
        across = np.sqrt(max(std[j] ** 2 - along**2, 0.0))
        other = function(along * u[:, None] + across * u) @ density
        result[i, j] = density @ (function(std[i] * u) * other)
    return result


def limit_kernels_of_convolution(x):
    """K and Θ as n → ∞: the recursion of a perceptron on pairs of places, taps between layers."""
    points, places = x.shape[:2]

    def taps(kernel):
        pairs = kernel.reshape(points, places, points, places)
        moved = np.sum([np.roll(pairs, (k, k), (1, 3)) for k in (-1, 0, 1)], 0)
        return GAIN**2 / 3 * moved.reshape(kernel.shape)

    kernel = tangent = taps(np.outer(x.ravel(), x.ravel()))
    for last in (False, True):
        values = expectations(np.tanh, kernel)
        tangent = values + tangent * expectations(lambda z: np.cosh(z) ** -2, kernel)
        if not last:
            kernel, tangent = taps(values), taps(tangent)
    values, tangent = (
        k.reshape(points, places, points, places).sum((1, 3)) / places for k in (values, tangent)
    )
    return values, tangent


def trained_outputs(width, x, y, time, steps, members, key):
    """Outputs before and after training, by the classical Runge–Kutta method in float32."""
    x, y, h = jnp.asarray(x, "float32"), jnp.asarray(y, "float32"), time / steps

    def slope(parameters):
        return jax.grad(lambda p: jnp.sum((convolution(p, x)[: len(y), 0] - y) ** 2) / 2)(
            parameters
        )

    def moved(parameters, along, size):
        return jax.tree.map(lambda p, g: p - size * g, parameters, along)

    def one(key):
        def step(p, _):
            a = slope(p)
            b = slope(moved(p, a, h / 2))
            c = slope(moved(p, b, h / 2))
            d = slope(moved(p, c, h))
            mean = jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, a, b, c, d)
            return moved(p, mean, h), None

        p = jax.tree.map(lambda leaf: leaf.astype("float32"), channels(key, width))
        end, _ = jax.lax.scan(step, p, None, steps)
        return convolution(p, x)[:, 0], convolution(end, x)[:, 0]

    @jax.jit
    def packet(number):
        keys = jax.random.split(jax.random.fold_in(key, number), 1000)
        return jax.lax.map(one, keys, batch_size=10)

    found = zip(*map(packet, range(members // 1000)), strict=True)
    return [np.concatenate(outputs).astype(float) for outputs in found]


@pytest.mark.slow
def test_blocks_of_widths_16_and_32_give_the_mean_at_128():
    """In standard errors of both; f_t less the linear flow of f₀, whose mean is 0.

    The infinite-width mean is 7.7 of them off at the test point, the corrected one 1.7.
    """
    n, members, kernels = 128, 8000, limit_kernels_of_convolution(X)
    law = measured_law(
        convolution,
        channels,
        X[:2],
        Y,
        X[2:],
        [TIME],
        kernels=kernels,
        members=16_000,
        key=jax.random.key(1),
    )
    start, end = trained_outputs(n, X, Y, TIME, 8, members, jax.random.key(1))
    A = law.solution.propagator(law.dynamics)[0]
    rest = end - start @ A.T
    error = np.hypot(rest.std(0) / np.sqrt(members), law.errors.mean[2, 0, :, 0] / n)
    corrected, infinite = ((rest.mean(0) - law.mean(n, order)[0, :, 0]) / error for order in (2, 0))
    assert np.abs(corrected).max() < 3
    assert np.abs(infinite).max() > 6


@pytest.mark.slow
def test_limit_kernels_are_extrapolated_from_narrow_networks():
    kernels = limit_kernels_of_convolution(X[:2])
    law = measured_law(convolution, channels, X[:2], Y, None, [TIME], members=4000)
    for found, exact in zip((law.blocks.nngp, law.blocks.ntk), kernels, strict=True):
        assert found == pytest.approx(exact, abs=4 * law.blocks.kernel_error)
