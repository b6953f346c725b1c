"""Taylor coefficients through all kinds of operations, against nested derivatives of the whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from widthwise.training.shadow.taylor import expand

KEYS = jax.random.split(jax.random.key(0), 9)
X = jax.random.normal(KEYS[0], (4, 3))
A, B, C = (
    jax.random.normal(k, s) for k, s in zip(KEYS[1:], [(3, 5), (5, 5), (5, 2)], strict=False)
)
IMAGES = jax.random.normal(KEYS[5], (2, 5, 5, 1))


def nested(function, base, curve):
    def at(s):
        return function(
            jax.tree.map(lambda p, a, b, c: p + s * (a + s * (b + s * c)), base, *curve)
        )

    first = jax.jacfwd(at)
    second = jax.jacfwd(first)
    return first(0.0), second(0.0) / 2, jax.jacfwd(second)(0.0) / 6


def layers(phi):
    def function(p):
        return phi(phi(X @ p["a"]) @ p["b"]) @ p["c"]

    return function, {"a": A, "b": B, "c": C}


def normalized(p):
    h = X @ p
    h = (h - h.mean(1, keepdims=True)) / jnp.sqrt(h.var(1, keepdims=True) + 0.1)
    return jax.nn.gelu(h) * jax.nn.sigmoid(h)


def attention(p):
    q, k = X @ p, jnp.sin(X @ p)
    return jax.nn.softmax(q @ k.T, -1) @ jax.nn.softplus(k)


def convolution(p):
    layout = ("NHWC", "HWIO", "NHWC")
    h = jax.lax.conv_general_dilated(IMAGES, p, (1, 1), "SAME", dimension_numbers=layout)
    h = jax.nn.silu(h)
    h = h + jax.lax.conv_general_dilated(
        h, jnp.tile(p, (1, 1, 4, 1)), (1, 1), "SAME", dimension_numbers=layout
    )
    return h.mean((1, 2))


def recurrent(p):
    return jax.lax.scan(lambda h, _: (jnp.tanh(h @ p @ p.T), None), X, None, length=3)[0]


def indexed(p):
    return jnp.where(X > 0, p[jnp.array([0, 2, 2, 1])][:, :3], 0.5 * p[:, :3].max()) ** 3


CASES = {
    "tanh": layers(jnp.tanh),
    "softplus": layers(jax.nn.softplus),
    "erf": layers(jax.scipy.special.erf),
    "power": layers(lambda z: 2.0**z / (1 + z**2)),
    "normalized": (normalized, A),
    "attention": (attention, A),
    "convolution": (convolution, jax.random.normal(KEYS[6], (3, 3, 1, 4))),
    "recurrent": (recurrent, A),
    "indexed": (indexed, A),
    "constant": (lambda p: X, A),
}


QUICK = ("softplus", "indexed", "constant")
MARKED = [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in CASES]


@pytest.mark.parametrize("name", MARKED)
def test_coefficients_are_those_of_the_whole_function(name):
    function, base = CASES[name]

    def direction(key):
        return jax.tree.map(lambda leaf: 0.3 * jax.random.normal(key, leaf.shape), base)

    curve = tuple(direction(key) for key in KEYS[6:9])

    @jax.jit
    def both(curve):
        expansion = expand(function, base)
        return expansion.value, expansion.along(curve), nested(function, base, curve)

    value, found, expected = both(curve)
    assert np.asarray(value) == pytest.approx(np.asarray(function(base)), abs=1e-14)
    for c, reference in zip(found, expected, strict=True):
        assert np.asarray(c) == pytest.approx(np.asarray(reference), rel=1e-11, abs=1e-12)
