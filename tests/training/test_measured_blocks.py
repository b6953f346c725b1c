"""Blocks measured on small networks against the recursion, and for a convolutional network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import widthwise as ww
from widthwise.training.blocks.deep import deep_blocks
from widthwise.training.blocks.measured import measured_blocks
from widthwise.training.law import measured_law

X = np.array([[1.0, 0.2], [-0.3, 1.0]])
NET = ww.MLP(2, "tanh", (1.3, 1.3, 1.0), (0.4, 0.3, 0.0))


def start(key, width):
    return NET.init(key, width, inputs=2)


def test_a_perceptron_has_the_blocks_of_the_recursion():
    exact = deep_blocks(NET, X, 1)
    kernels = exact.nngp, exact.ntk
    blocks = measured_blocks(NET.apply, start, X, 1, kernels=kernels, widths=(6, 12), members=1600)
    assert set(blocks.values) == set(exact.values)
    for name, value in exact.values.items():
        z = (blocks.values[name] - value) / blocks.errors[name]
        assert np.sqrt(np.mean(z**2)) < 2, name
    assert len(blocks.replicates) == 8
    unknown = measured_blocks(NET.apply, start, X, 1, widths=(6, 12), members=1600)
    noise = np.std([part.ntk[:, :1] for part in unknown.replicates], 0) / np.sqrt(8)
    assert (np.abs(unknown.ntk - exact.ntk)[:, :1] < 5 * noise).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": (16,)}, "two different widths"),
        ({"members": 5}, "members must be at least 16"),
        ({"train": 3}, "at most the number of points 2"),
        ({"kernels": (np.eye(3), np.eye(3))}, r"shape \(2, 2\)"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(ValueError, match=message):
        measured_blocks(NET.apply, start, X, **change)


def test_outputs_that_do_not_average_to_zero_are_refused():
    def shifted(parameters, x):
        return NET.apply(parameters, x) + 1.0

    with pytest.raises(ValueError, match="mean output of networks of width 4"):
        measured_blocks(shifted, start, X[:1], widths=(4, 8), members=160)


@pytest.mark.slow
def test_skewed_networks_are_noticed():
    net = ww.MLP(1, "softplus", weight_law=("gaussian", "exponential"))
    with pytest.raises(ValueError, match="mean of O_3"):
        measured_blocks(
            net.apply, lambda k, n: net.init(k, n, 2), X[:1], widths=(4, 8), members=2400
        )


def convolution(parameters, x):
    """Two circular convolutions of three taps, the sum over places, a readout."""
    h = x
    for w in parameters[:2]:
        taps = jnp.stack([jnp.roll(h, k, 1) for k in (-1, 0, 1)], 2)
        h = jnp.tanh(1.4 * jnp.einsum("pskc,kcn->psn", taps, w) / np.sqrt(3 * h.shape[-1]))
    return h.sum(1) @ parameters[2] / np.sqrt(h.shape[1] * h.shape[2])


def channels(key, n):
    keys = jax.random.split(key, 3)
    shapes = ((3, 1, n), (3, n, n), (n, 1))
    return tuple(jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=True))


def trained_outputs(width, x, y, time, steps, members, key):
    """Outputs of trained convolutional networks, by the classical Runge–Kutta method."""

    def loss(parameters):
        return 0.5 * jnp.sum((convolution(parameters, x)[: len(y), 0] - y) ** 2)

    def moved(parameters, slope, h):
        return jax.tree.map(lambda p, g: p - h * g, parameters, slope)

    def one(key):
        def step(p, _):
            h, g = time / steps, jax.grad(loss)
            a = g(p)
            b = g(moved(p, a, h / 2))
            c = g(moved(p, b, h / 2))
            d = g(moved(p, c, h))
            slope = jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, a, b, c, d)
            return moved(p, slope, h), None

        p = channels(key, width)
        return convolution(p, x)[:, 0], convolution(jax.lax.scan(step, p, None, steps)[0], x)[:, 0]

    run = jax.jit(lambda keys: jax.lax.map(jax.vmap(one), keys.reshape(-1, 100, *keys.shape[1:])))
    return [np.asarray(v).reshape(members, -1) for v in run(jax.random.split(key, members))]


@pytest.mark.slow
def test_the_law_of_a_convolutional_network():
    """Small widths predict the mean outputs of wider trained networks."""
    x = np.random.default_rng(0).normal(size=(3, 6, 1))
    y, time, n, members = np.array([1.0, -1.0]), 2.0, 32, 6000
    law = measured_law(
        convolution, channels, x[:2], y, x[2:], [time], widths=(8, 16), members=12_000
    )
    start, end = trained_outputs(n, x, y, time, 24, members, jax.random.key(1))
    A = law.solution.propagator(law.dynamics)[0]
    rest = end - start @ A.T  # the linear flow of f₀ has mean 0
    shift, error = rest.mean(0), rest.std(0) / np.sqrt(members)
    total = np.hypot(error, law.errors.mean[2, 0, :, 0] / n)
    z = (shift - law.mean(n)[0, :, 0]) / total
    assert np.abs(z).max() < 4
    assert np.abs((shift - law.mean(n, order=0)[0, :, 0]) / total).max() > 3.5
