"""The perceptron: shapes, formula, laws, and every wrong field."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import widthwise as ww

X = np.random.default_rng(0).standard_normal((5, 3))


def test_apply_is_the_formula():
    net = ww.MLP(2, "tanh", weight_std=(1.1, 1.2, 1.3), bias_std=(0.1, 0.0, 0.3), outputs=2,
                 ratios=(1.0, 0.5))  # fmt: skip
    p = net.init(jax.random.key(0), width=8, inputs=3)
    assert [layer.weight.shape for layer in p] == [(8, 3), (4, 8), (2, 4)]
    assert p[1].bias is None
    h = np.tanh(0.1 * p[0].bias + 1.1 / np.sqrt(3) * X @ p[0].weight.T)
    h = np.tanh(1.2 / np.sqrt(8) * h @ p[1].weight.T)
    assert net.apply(p, X) == pytest.approx(0.3 * p[2].bias + 1.3 / 2 * h @ p[2].weight.T)


def test_outputs_have_the_limit_variance():
    net = ww.MLP(2, "relu", weight_std=2**0.5, bias_std=0.3,
                 weight_law=("uniform", "laplace", "rademacher"), bias_law="gaussian")  # fmt: skip
    keys = jax.random.split(jax.random.key(1), 4000)
    f = jax.jit(jax.vmap(lambda k: net.apply(net.init(k, 64, 3), X)[:, 0]))(keys)
    f = np.asarray(f)
    variance, error = (f**2).mean(0), (f**2).std(0) / np.sqrt(len(f))
    assert (np.abs(variance - np.diag(ww.limit_kernels(net, X).nngp)) < 4 * error).all()


def test_networks_are_pytrees_of_their_scales():
    net = ww.MLP(1, "tanh", weight_std=1.5)
    gradient = jax.grad(lambda s: ww.MLP(1, "tanh", weight_std=s).apply(p, X).sum())
    p = net.init(jax.random.key(0), 8, 3)
    assert jnp.isfinite(gradient(1.5))


def test_standard_parametrization_has_the_same_outputs_and_its_own_rates():
    net = ww.MLP(1, "tanh", weight_std=(1.5, 2.0), bias_std=(0.5, 0.0), parametrization="standard")
    native = ww.MLP(1, "tanh", weight_std=(1.5, 2.0), bias_std=(0.5, 0.0))
    p = net.init(jax.random.key(0), 64, 3)
    assert (net.apply(p, X) == native.apply(p, X)).all()
    rates = net.learning_rates(64, 3)
    assert rates[0] == (3 / 64 / 2.25, 1 / 64 / 0.25)
    assert rates[1] == (1 / 4.0, 0.0)
    assert native.learning_rates(64, 3) == ((1.0, 1.0), (1.0, 1.0))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"depth": 0}, "depth must be an integer of at least 1, got 0"),
        ({"weight_std": 0.0}, "weight_std must be finite and above 0"),
        ({"weight_std": (1.0, 2.0, 3.0)}, r"one per layer \(depth \+ 1 = 2\), got 3"),
        ({"bias_std": -0.1}, "bias_std must be finite and at least 0"),
        ({"weight_law": "cauchy"}, "cauchy"),
        ({"weight_law": ("gaussian",)}, "one per layer"),
        ({"ratios": (1.0, 2.0)}, "one number per hidden layer"),
        ({"ratios": (0.0,)}, "ratios must be a finite number above 0"),
        ({"outputs": 0}, "outputs must be an integer"),
        ({"activation": "tan"}, "unknown activation"),
    ],
)
def test_every_wrong_field_is_named(fields, message):
    with pytest.raises(ValueError, match=message):
        ww.MLP(**fields)


def test_width_zero_is_refused():
    with pytest.raises(ValueError, match="width must be an integer of at least 1, got 0"):
        ww.MLP(1).init(jax.random.key(0), 0, 3)


def test_wrong_types_are_named_too(unchecked):
    with pytest.raises(ValueError, match="'ntk' or 'standard', got 'mup'"):
        ww.MLP(1, parametrization="mup")
    with pytest.raises(ValueError, match=r"depth must be an integer of at least 1, got 1\.5"):
        ww.MLP(1.5)
    with pytest.raises(ValueError, match="bias_std must be finite and at least 0, got 'big'"):
        ww.MLP(1, bias_std="big")
    with pytest.raises(ValueError, match=r"or a function, got 3\.0"):
        ww.MLP(1, activation=3.0)
