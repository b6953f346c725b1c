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


def test_biases_that_scale_with_the_fan_in_are_constant_ones_at_one_width():
    net = ww.MLP(2, "tanh", 1.2, 0.7, ratios=(2.0, 0.5), bias_scaling="fan_in")
    sized = net.at_width(16, inputs=3)
    assert sized.bias_scaling == "constant"
    assert sized.bias_std == pytest.approx((0.7 / 3**0.5, 0.7 / 32**0.5, 0.7 / 8**0.5))
    assert net.at_width(np.inf, inputs=3).bias_std == pytest.approx((0.7 / 3**0.5, 0.0, 0.0))
    parameters, x = net.init(jax.random.key(0), 16, 3), jnp.array([[1.0, 0.2, -0.4], [0.3, 1, 2]])
    outputs = np.asarray(sized.apply(parameters, x))
    assert np.asarray(net.apply(parameters, x)) == pytest.approx(outputs, rel=1e-14)
    assert np.asarray(ww.empirical_ntk(net, parameters, x)) == pytest.approx(
        np.asarray(ww.empirical_ntk(jax.tree_util.Partial(sized.apply), parameters, x)), rel=1e-12
    )
    constant = ww.MLP(1)
    assert constant.at_width(5, 2) is constant


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_bias_scaling_is_refused():
    with pytest.raises(ValueError, match="bias_scaling must be"):
        ww.MLP(1, bias_scaling="none")


def test_default_networks_of_other_libraries():
    """Bounds of PyTorch's Linear: ±1/√fan_in for weights and biases. Flax: truncated, no bias."""
    torch = ww.MLP.like_torch(depth=2)
    x = jnp.zeros((1, 4))
    parameters = torch.init(jax.random.key(0), 100, 4)
    effective = torch.weight_std[1] / 100**0.5 * parameters[1].weight
    assert float(jnp.abs(effective).max()) == pytest.approx(0.1, rel=1e-3)
    only_bias = torch.apply((parameters[0]._replace(weight=parameters[0].weight * 0),), x)
    assert float(jnp.abs(only_bias).max()) == pytest.approx(0.5, rel=0.05)
    rates = torch.learning_rates(100, 4)
    assert rates[1].bias == pytest.approx(3.0)  # moves σ_b b/√n at the rate 1/n
    flax = ww.MLP.like_flax(depth=1)
    assert flax.weight_law[0].support == pytest.approx((-2.2737, 2.2737), abs=1e-4)
    assert not flax.has_bias(0)
