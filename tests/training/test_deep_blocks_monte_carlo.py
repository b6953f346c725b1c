"""Blocks of deep networks against networks that were really drawn."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import widthwise as ww
from widthwise.training.blocks.deep import deep_blocks

X = np.array([[1.0, 0.2], [-0.3, 1.0], [0.5, -0.9]])
SKEWED = ww.laws.Gamma(4.0)
TANH = ww.MLP(2, "tanh", (1.3, 1.3, 1.0), (0.4, 0.3, 0.0))


def hierarchy(apply, parameters, x):
    """f, Θ, O_3 and O_4 of one network: every level is the derivative of the last along J."""
    theta, unravel = ravel_pytree(parameters)

    def outputs(theta):
        return apply(unravel(theta), x).ravel()

    def kernel(theta):
        J = jax.jacrev(outputs)(theta)
        return J @ J.T

    def along(tensor):
        def derived(theta):
            J = jax.jacrev(outputs)(theta)
            every = jax.vmap(lambda v: jax.jvp(tensor, (theta,), (v,))[1])(J)
            return jnp.moveaxis(every, 0, -1)

        return derived

    third = along(kernel)
    return outputs(theta), kernel(theta), third(theta), along(third)(theta)


@partial(jax.jit, static_argnums=(0, 1, 4))
def drawn(net, width, x, key, members):
    """O_3, O_3 ⊗ f and O_4, averaged over 250 networks at a time."""

    def one(key):
        f, _, third, fourth = hierarchy(net.apply, net.init(key, width, x.shape[1]), x)
        return {"T": third, "TF": jnp.tensordot(third, f, 0), "U": fourth}

    def batch(carry, keys):
        return carry, jax.tree.map(lambda a: a.mean(0), jax.vmap(one)(keys))

    return jax.lax.scan(batch, None, jax.random.split(key, members).reshape(-1, 250))[1]


def scores(net, x, widths, members):
    """Deviations from the blocks in standard errors, and the blocks in them.

    What is drawn is a series in 1/n for symmetric laws, in n^{-1/2} for others; as many of its
    coefficients are solved for as there are widths.
    """
    blocks = deep_blocks(net, x)
    samples = [drawn(net, n, x, jax.random.key(n), members) for n in widths]
    found = {}
    for name in ("TF", "U") if blocks.symmetric else ("T", "TF", "U"):
        lowest = 1 if name == "T" else 2
        powers = lowest + np.arange(len(widths)) * (2 if blocks.symmetric else 1)
        matrix = np.linalg.inv(np.array(widths, float)[:, None] ** (-powers / 2))
        batches = np.stack([np.asarray(sample[name]) for sample in samples])
        variance = batches.var(1, ddof=1) / batches.shape[1]
        mean = np.tensordot(matrix, batches.mean(1), 1)
        error = np.sqrt(np.tensordot(matrix**2, variance, 1))
        for order, value, spread in zip(powers, mean, error, strict=True):
            if order <= (1 if name == "T" else 2):
                block = blocks.get(name, int(order))
                found[name] = (value - block) / spread, np.abs(block / spread)
    return found


@pytest.mark.slow
def test_third_and_fourth_derivatives_of_drawn_networks():
    for name, (z, signal) in scores(TANH, X[:2], (8, 16), 3000).items():
        assert np.sqrt(np.mean(z**2)) < 1.7, (name, z)
        assert signal.max() > 5, name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "points", "widths", "members"),
    [
        (TANH, 3, (16, 32), 6_000),
        (
            ww.MLP(3, "softplus", 1.2, 0.3, ("gaussian",) + ("uniform",) * 3, ratios=(1, 2, 0.5)),
            2,
            (16, 32),
            4_000,
        ),
        (
            ww.MLP(2, "softplus", 1.2, (0.3, 0.2, 0.1), ("gaussian", SKEWED, SKEWED)),
            1,
            (16, 32, 64),
            10_000,
        ),
    ],
)
def test_more_of_them(net, points, widths, members):
    for name, (z, signal) in scores(net, X[:points], widths, members).items():
        assert np.sqrt(np.mean(z**2)) < 1.6, (name, z)
        assert signal.max() > (10 if name == "U" else 1), name
