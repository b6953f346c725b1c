"""The blocks of one hidden layer against a sum over all neurons of a finite law."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import widthwise as ww
from training.oracles.tangents import along_gradients
from widthwise.training.blocks import Blocks, initial_blocks, one_hidden_blocks

X = np.array([[-1.0, 0.4], [0.3, -0.2], [1.2, 0.9]])
TRAIN = 2
SKEWED = ww.laws.Discrete([2.0, -0.5], [0.2, 0.8])
THREE = ww.laws.Discrete([-1.0, 0.0, 2.0], [0.5, 0.3, 0.2])


def one_neuron_cumulants(net, x, train):
    """Cumulants of h, κ, T, U of one neuron over all atoms of its weights, by autodiff of f."""
    d, o = x.shape[1], net.outputs
    laws = (net.weight_law[0],) * d + (net.bias_law[0],) + (net.weight_law[1],) * o
    lines = [law.quadrature(1) for law in laws]
    atoms = np.array(list(product(*(nodes for nodes, _ in lines))))
    weights = np.array([np.prod(w) for w in product(*(w for _, w in lines))])
    scales = np.concatenate(
        [
            np.full(d, net.weight_std[0] / np.sqrt(d)),
            [net.bias_std[0]],
            np.full(o, net.weight_std[1]),
        ]
    )

    def outputs(theta):
        w, b, a = theta[:d] * scales[:d], theta[d] * scales[d], theta[d + 1 :] * scales[d + 1 :]
        return (net.activation(x @ w + b)[:, None] * a).ravel()

    along = along_gradients(outputs, train * o)
    kernel = along(outputs)
    functions = (outputs, kernel, along(kernel), along(along(kernel)))
    h, kappa, T, U = (np.asarray(jax.jit(jax.vmap(f))(atoms)) for f in functions)
    mean = lambda subscripts, *terms: np.einsum(subscripts, weights, *terms, optimize=True)  # noqa: E731
    kappa = kappa - mean("q,qab->ab", kappa)
    K = mean("q,qa,qb->ab", h, h)
    pairs = sum(
        np.einsum(f"{a},{b}->abxy", K, K) for a, b in (("ab", "xy"), ("ax", "by"), ("ay", "bx"))
    )
    return {
        ("FFFF", 2): mean("q,qa,qb,qx,qy->abxy", h, h, h, h) - pairs,
        ("DFF", 2): mean("q,qab,qx,qy->abxy", kappa, h, h),
        ("DD", 2): mean("q,qab,qxy->abxy", kappa, kappa),
        ("TF", 2): mean("q,qabx,qy->abxy", T, h),
        ("U", 2): mean("q,qabxy->abxy", U),
        ("FFF", 1): mean("q,qa,qb,qx->abx", h, h, h),
        ("DF", 1): mean("q,qab,qx->abx", kappa, h),
        ("T", 1): mean("q,qabx->abx", T),
    }


@pytest.mark.parametrize("outputs", [1, 2])
def test_every_block_is_the_cumulant_of_a_neuron(outputs):
    laws = (THREE, SKEWED)
    net = ww.MLP(1, "softplus", (1.5, 1.3), (0.5, 0.0), laws, THREE, outputs=outputs)
    blocks = one_hidden_blocks(net, X, TRAIN)
    exact = one_neuron_cumulants(net, X, TRAIN)
    assert set(blocks.values) == set(exact)
    for name, value in exact.items():
        np.testing.assert_allclose(blocks.values[name], value, atol=1e-12, err_msg=str(name))


def test_symmetric_readout_has_even_orders_only_and_ratios_rescale():
    net = ww.MLP(1, "softplus", (1.5, 1.3), (0.5, 0.0), (THREE, "rademacher"), THREE)
    blocks = one_hidden_blocks(net, X, TRAIN)
    exact = one_neuron_cumulants(net, X, TRAIN)
    assert blocks.symmetric
    for name in blocks.values:
        np.testing.assert_allclose(blocks.values[name], exact[name], atol=1e-12)
    for name in {("FFF", 1), ("DF", 1), ("T", 1)}:
        np.testing.assert_allclose(exact[name], 0, atol=1e-14)
    wider = ww.MLP(1, "softplus", (1.5, 1.3), (0.5, 0.0), (THREE, SKEWED), THREE, ratios=(4.0,))
    narrow = ww.MLP(1, "softplus", (1.5, 1.3), (0.5, 0.0), (THREE, SKEWED), THREE)
    values = one_hidden_blocks(wider, X, TRAIN).values
    for (name, order), value in one_hidden_blocks(narrow, X, TRAIN).values.items():
        np.testing.assert_allclose(values[name, order], value / 2**order, atol=1e-13)


def test_odd_activation_of_symmetric_preactivations_counts_as_symmetric():
    net = ww.MLP(1, "tanh", 1.5, (0.5, 0.0), ("gaussian", SKEWED))
    assert one_hidden_blocks(net, X[:, :1], TRAIN).symmetric


def test_random_points_agree_with_the_rule_within_their_errors():
    few = ww.MLP(1, "erf", (1.2, 1.0), (0.5, 0.0))
    rule = one_hidden_blocks(few, X[:, :1], TRAIN)
    assert "refined rule" in rule.engine
    assert max(np.max(e) for e in rule.errors.values()) < 1e-6
    # the same preactivations, as six inputs of which five directions are seen
    many = ww.MLP(1, "erf", (1.2, 1.0), (0.5, 0.0))
    wide = np.random.default_rng(0).normal(size=(6, 6))
    random = one_hidden_blocks(many, wide, 2, samples=1 << 12)
    finer = one_hidden_blocks(many, wide, 2, samples=1 << 15, key=jax.random.key(5))
    assert "Sobol" in random.engine
    assert len(random.replicates) == 8
    for name, value in random.values.items():
        z = (value - finer.values[name]) / np.hypot(random.errors[name], finer.errors[name])
        assert 0.4 < np.sqrt(np.mean(z**2)) < 2.0, name
        np.testing.assert_allclose(
            np.mean([part.values[name] for part in random.replicates], axis=0), value, atol=1e-12
        )


def test_output_bias_moves_only_the_limit_or_its_first_correction():
    plain = one_hidden_blocks(ww.MLP(1, "erf", 1.2, (0.5, 0.0)), X[:, :1], TRAIN)
    biased = one_hidden_blocks(ww.MLP(1, "erf", 1.2, (0.5, 0.7)), X[:, :1], TRAIN)
    np.testing.assert_allclose(biased.nngp, plain.nngp + 0.49, atol=1e-12)
    np.testing.assert_allclose(biased.ntk, plain.ntk + 0.49, atol=1e-12)
    for name, value in plain.values.items():
        np.testing.assert_allclose(biased.values[name], value, atol=1e-12)
    net = ww.MLP(1, "erf", 1.2, (0.5, 0.7), bias_scaling="fan_in", ratios=(2.0,))
    scaled = one_hidden_blocks(net, X[:, :1], TRAIN)
    np.testing.assert_allclose(scaled.values["FF", 2], np.full((3, 3), 0.49 / 2), atol=1e-12)
    np.testing.assert_allclose(scaled.values["D", 2], np.full((3, 2), 0.49 / 2), atol=1e-12)


def kinked(z):
    return jnp.abs(z) * z


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"activation": "relu"}, "smooth activation, got relu with kinks"),
        ({"activation": kinked}, "seems to have a kink"),
        ({"activation": "tanh", "bias_std": 0.3, "bias_law": "uniform"}, "law uniform makes"),
        ({"activation": "tanh", "weight_law": ww.laws.StudentT(3)}, "up to order"),
        (
            {"activation": "softplus", "weight_law": (ww.laws.StudentT(3), "gaussian")},
            "has no mean",
        ),
    ],
)
def test_refusals_give_the_reason(network, message):
    with pytest.raises(ValueError, match=message):
        initial_blocks(ww.MLP(**network), X, TRAIN)


def test_random_neurons_without_a_standard_error_are_refused():
    net = ww.MLP(1, "softplus", weight_law=(ww.laws.StudentT(6), "gaussian"))
    assert one_hidden_blocks(net, X[:1, :1], 1).values["DD", 2] > 0
    with pytest.raises(ValueError, match="no standard error"):
        one_hidden_blocks(net, np.ones((1, 6)), 1, samples=256)


def test_too_many_rows_are_refused_before_they_are_computed():
    with pytest.raises(ValueError, match=r"at most 44 points and 64 rows .* got 40 points and 10"):
        one_hidden_blocks(ww.MLP(1, "tanh", outputs=10), np.ones((40, 2)), 20)


def test_blocks_check_their_shapes():
    K = np.eye(2)
    with pytest.raises(ValueError, match=r"block DF must have shape \(2, 1, 2\)"):
        Blocks(K, K, {("DF", 1): np.zeros((2, 2, 2))}, train=1)
    with pytest.raises(ValueError, match=r"got \('FD', 1\)"):
        Blocks(K, K, {("FD", 1): np.zeros((2, 2, 2))})


def test_of_the_standard_parametrization_only_the_readout_trains_to_leading_order():
    """κ = φφ' + a² φ'φ' (x·x' + 1)/n in the units of the readout, by a trapezoid rule in (w, b)."""
    net = ww.MLP(1, "tanh", (1.2, 0.8), (0.5, 0.0), ratios=(2.0,), parametrization="standard")
    x = X[:, :1]
    found = initial_blocks(net, x, TRAIN)
    s = np.arange(-7, 7.01, 0.1)
    weight = np.exp(-(s[:, None] ** 2 + s**2) / 2)
    weight /= weight.sum()
    z = 1.2 * s[:, None, None] * x[:, 0] + 0.5 * s[None, :, None]
    h, g = np.tanh(z), 1 / np.cosh(z) ** 2

    def mean(*factors):
        names = "abxy"[: len(factors)]
        spec = ",".join(["uv", *(f"uv{c}" for c in names)]) + "->" + names
        return np.einsum(spec, weight, *factors, optimize=True)

    pair, slopes, four = mean(h, h), mean(g, g), mean(h, h, h, h)
    s2 = 0.8**2
    assert found.nngp == pytest.approx(s2 * pair, abs=1e-9)
    scale = found.ntk[0, 0] / pair[0, 0]  # the readout's learning rate at n = ∞
    assert found.ntk == pytest.approx(scale * pair, abs=1e-9)
    DD = scale**2 * (four - np.multiply.outer(pair, pair))[:, :TRAIN, :, :TRAIN] / 2
    assert found.values["DD", 2] == pytest.approx(DD, abs=1e-8)
    inner = (x @ x.T + 1)[:, :TRAIN]
    assert found.values["D", 2] == pytest.approx(s2 * slopes[:, :TRAIN] * inner, abs=1e-8)
    assert not {("U", 2), ("TF", 2)} & set(found.values)
