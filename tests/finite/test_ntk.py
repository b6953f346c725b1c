"""The layerwise empirical NTK against the Jacobian, and its infinite-width limit."""

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

import widthwise as ww

X = np.random.default_rng(0).standard_normal((5, 3))


@pytest.mark.parametrize(
    "net",
    [
        ww.MLP(1, "tanh", weight_std=1.3, bias_std=0.4),
        ww.MLP(3, "relu", weight_std=(1.0, 1.5, 1.2, 0.7), bias_std=(0.0, 0.3, 0.0, 0.1)),
        ww.MLP(2, "gelu", bias_std=0.2, outputs=3, ratios=(1.0, 0.5)),
    ],
)
def test_layerwise_formula_equals_the_jacobian(net):
    parameters = net.init(jax.random.key(1), 32, 3)
    fast = ww.empirical_ntk(net, parameters, X, X[:2])
    plain = ww.empirical_ntk(lambda p, x: net.apply(p, x), parameters, X, X[:2])
    assert np.abs(fast - plain).max() < 1e-12
    assert np.abs(ww.empirical_ntk(net.apply, parameters, X, X[:2]) - fast).max() == 0.0


def test_any_function_of_any_tree():
    def apply(tree, x):
        return jnp.tanh(x @ tree["w"]) * tree["scale"]

    tree = {"w": jnp.ones((3, 2)), "scale": jnp.array(0.5)}
    theta = ww.empirical_ntk(apply, tree, X)
    flat, unravel = jax.flatten_util.ravel_pytree(tree)
    J = jax.jacobian(lambda p: apply(unravel(p), jnp.asarray(X)))(flat)
    assert np.abs(theta - jnp.einsum("aki,bki->ab", J, J) / 2).max() < 1e-13


@pytest.mark.parametrize("law", ["gaussian", "uniform", "rademacher"])
def test_wide_networks_approach_the_limit_kernel(law):
    net = ww.MLP(2, "erf", weight_std=1.5, bias_std=0.3, weight_law=("gaussian", law, law))
    limit = ww.limit_kernels(net, X).ntk
    keys = jax.random.split(jax.random.key(2), 30)
    kernels = np.array([ww.empirical_ntk(net, net.init(k, 1024, 3), X) for k in keys])
    error = kernels.std(0) / np.sqrt(len(keys))
    assert (np.abs(kernels.mean(0) - limit) < 4 * error + 5 * limit.max() / 1024).all()
