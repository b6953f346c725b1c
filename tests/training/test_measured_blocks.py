"""Blocks measured on small networks against the recursion, and for a convolutional network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import widthwise as ww
from widthwise.training.blocks.deep import deep_blocks
from widthwise.training.blocks.measured import Means, _of_width, measured_blocks
from widthwise.training.blocks.measured_skew import require_even_in_hidden_weights
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


def test_products_of_means_are_unbiased():
    """E A E B is the mean of A_i B_j over pairs of different networks."""
    rng, count = np.random.default_rng(0), 5
    f, D = rng.normal(size=(count, 2)), rng.normal(size=(count, 2, 1))
    ff = np.einsum("ni,nj->nij", f, f)

    def mean(a, b):
        return np.stack([np.multiply.outer(u, v) for u, v in zip(a, b, strict=True)]).mean(0)

    def apart(a, b):
        pairs = [
            np.multiply.outer(a[i], b[j]) for i in range(count) for j in range(count) if i != j
        ]
        return np.mean(pairs, 0)

    nothing = np.zeros(1)
    means = Means(
        f.mean(0),
        ff.mean(0),
        D.mean(0),
        nothing,
        mean(ff, ff),
        mean(D, ff),
        mean(D, D),
        nothing,
        nothing,
    )
    found = _of_width(3, means, np.zeros((2, 2)), np.zeros((2, 2)), 1, count)
    pair = apart(ff, ff)
    pairings = pair + pair.transpose(0, 2, 1, 3) + pair.transpose(0, 2, 3, 1)
    assert found["FFFF", 2] == pytest.approx(3 * (mean(ff, ff) - pairings), abs=1e-12)
    assert found["DFF", 2] == pytest.approx(3 * (mean(D, ff) - apart(D, ff)), abs=1e-12)
    assert found["DD", 2] == pytest.approx(3 * (mean(D, D) - apart(D, D)), abs=1e-12)


@pytest.mark.parametrize(
    ("activation", "laws", "noticed"),
    [
        ("softplus", ("gaussian", "exponential", "gaussian"), True),
        ("softplus", ("exponential", "gaussian", "gaussian"), False),  # the limit has it
        ("tanh", ("gaussian", "exponential", "gaussian"), False),  # odd: κ₃ meets E φφφ = 0
    ],
)
def test_skewed_weights_between_hidden_layers_are_noticed_where_they_count(
    activation, laws, noticed
):
    net = ww.MLP(2, activation, weight_law=laws)
    given = (
        net.apply,
        lambda k, n: net.init(k, n, 2),
        (4, 8),
        jnp.asarray(X),
        4000,
        jax.random.key(0),
    )
    if noticed:
        with pytest.raises(ValueError, match="weights between hidden layers are skewed"):
            require_even_in_hidden_weights(*given)
    else:
        require_even_in_hidden_weights(*given)


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
