"""Blocks of deep networks against published digits and independent computations."""

import jax.numpy as jnp
import numpy as np
import pytest

import widthwise as ww
from widthwise.training.blocks import one_hidden_blocks
from widthwise.training.blocks.deep import deep_blocks
from widthwise.training.blocks.deep.pairs import pair_moments

SKEWED = ww.laws.Discrete([2.0, -0.5], [0.2, 0.8])
X = np.array([[1.0, 0.2], [-0.3, 1.0], [-0.8, -0.6], [0.5, 0.9]])


def network(depth: int, activation: str, law: str = "gaussian", **fields) -> ww.MLP:
    return ww.MLP(
        depth,
        activation,
        weight_std=(1.3,) * depth + (1.0,),
        bias_std=(0.4,) + (0.3,) * (depth - 1) + (0.0,),
        weight_law=("gaussian",) + (law,) * depth,
        **fields,
    )


def test_reference_numbers_at_depth_two():
    blocks = deep_blocks(network(2, "tanh"), X)
    printed = [
        (blocks.nngp[0, 1], 0.0575181881, 10),
        (blocks.ntk[0, 1], 0.1345128688, 10),
        (blocks.ntk[3, 0], 0.7198984089, 10),
        (blocks.values["FF", 2][0, 1], 0.0061499, 7),
        (blocks.values["D", 2][0, 1], 0.0232463, 7),
        (blocks.values["D", 2][3, 0], -0.0505177, 7),
        (blocks.values["FFFF", 2][0, 0, 1, 1], 0.410716, 6),
        (blocks.values["DFF", 2][0, 1, 2, 2], 0.062786, 6),
        (blocks.values["DD", 2][0, 1, 3, 2], -0.1034163, 7),
        (blocks.values["TF", 2][3, 0, 1, 2], 0.2797815, 7),
        (blocks.values["U", 2][3, 0, 1, 2], 0.9084141, 7),
        (blocks.values["U", 2][0, 0, 0, 0], -7.2632036, 7),
    ]
    for value, expected, digits in printed:
        assert value == pytest.approx(expected, abs=0.51 * 10.0**-digits), (value, expected)


TWO = X[:2]
SCALES = {"weight_std": (1.3, 1.2, 0.9), "bias_std": (0.4, 0.3, 0.2)}
NETWORKS = {
    "tanh, uniform, ratios": ww.MLP(
        2, "tanh", weight_law=("gaussian", "uniform", "uniform"), ratios=(1.5, 0.5), **SCALES
    ),
    "softplus, skewed, ratios": ww.MLP(
        2,
        "softplus",
        weight_law=("gaussian", "exponential", ww.laws.Gamma(4.0)),
        ratios=(1.5, 0.5),
        **SCALES,
    ),
    "softplus, skewed output of two": ww.MLP(
        2, "softplus", weight_law=("gaussian", "uniform", "exponential"), outputs=2, **SCALES
    ),
    "softplus, standard parametrization": ww.MLP(
        2,
        "softplus",
        weight_law=("gaussian", "exponential", "uniform"),
        parametrization="standard",
        ratios=(1.5, 0.5),
        **SCALES,
    ),
    "softplus, biases that shrink": ww.MLP(
        2,
        "softplus",
        weight_law=("gaussian", "exponential", "uniform"),
        bias_scaling="fan_in",
        ratios=(1.5, 0.5),
        **SCALES,
    ),
    "softplus, skewed first layer and biases": ww.MLP(
        2,
        "softplus",
        weight_law=("exponential", "exponential", "uniform"),
        bias_law=("exponential", "exponential", "gaussian"),
        **SCALES,
    ),
    "PyTorch's default": ww.MLP.like_torch(2, "tanh"),
}
QUICK = ("tanh, uniform, ratios", "softplus, skewed, ratios", "softplus, skewed output of two")


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS]
)
def test_outputs_and_kernels_are_those_of_the_recursion_by_tangents(name):
    net = NETWORKS[name]
    blocks = deep_blocks(net, TWO)
    assert 0 < blocks.kernel_error < 1e-9
    outputs = ww.output_cumulants(net, TWO, order=2)
    kernels = ww.ntk_statistics(net, TWO, order=2)
    last = net.outputs - 1

    def agrees(letters, points, components, series):
        rows = tuple(p * net.outputs + c for p, c in zip(points, components, strict=True))
        for order in (1, 2):
            block = blocks.get(letters, order)
            value, allowed = 0.0, 1e-12
            if block is not None:
                allowed = 1e-9 * np.abs(block).max() + 5 * blocks.errors[letters, order][rows]
                value = block[rows]
            assert value == pytest.approx(series.coefficients[order], abs=allowed), letters

    for points in ((0, 0), (0, 1), (1, 1)):
        same = outputs.cumulant(points, (last, last))
        assert blocks.nngp[tuple(p * net.outputs + last for p in points)] == pytest.approx(
            same.coefficients[0], rel=1e-12
        )
        agrees("FF", points, (last, last), same)
        kernel = kernels.mean(*points, components=(last, last))
        assert blocks.ntk[tuple(p * net.outputs + last for p in points)] == pytest.approx(
            kernel.coefficients[0], rel=1e-12
        )
        agrees("D", points, (last, last), kernel)
    third = (last, last, last)
    agrees("FFF", (0, 0, 1), third, outputs.cumulant((0, 0, 1), third))
    agrees("DF", (0, 1, 1), third, kernels.cumulant([(0, 1)], (1,), third))
    for parts in {(0, 0, 0, 0), (0, 0, last, last), (0, last, 0, last)}:
        points = (0, 1, 1, 1)
        agrees("FFFF", points, parts, outputs.cumulant(points, parts))
        agrees("DD", points, parts, kernels.covariance((0, 1), (1, 1), parts))
        swapped = (*parts[2:], *parts[:2])
        agrees("DFF", points, parts, kernels.cumulant([(0, 1)], (1, 1), swapped))


def one_neuron_blocks(net: ww.MLP, x: np.ndarray) -> dict:
    """Every block of one hidden layer from the moments of one neuron, by a plain trapezoid rule.

    h = a φ(z), and κ, T, U are its derivatives along D_β = φ_β ∂_a + a φ'_β Σ_x k_xβ ∂_{z_x}.
    """
    p, d = x.shape
    inputs = np.concatenate([net.weight_std[0] * x / d**0.5, np.full((p, 1), net.bias_std[0])], 1)
    k = inputs @ inputs.T
    g = np.arange(-32, 33) * 0.25
    w = np.exp(-g * g / 2) / np.exp(-g * g / 2).sum()
    u = np.stack(np.meshgrid(*[g] * (d + 1), indexing="ij"), -1).reshape(-1, d + 1)
    weights = np.ones(1)
    for _ in range(d + 1):
        weights = np.outer(weights, w).ravel()
    a_nodes, a_weights = net.weight_law[1].quadrature(6)
    z = u @ inputs.T
    f = [np.asarray(net.activation.derivative(i)(z)) for i in range(4)]
    rows = {"optimize": True}
    total: dict = {}

    def add(name, value):
        total[name] = total.get(name, 0.0) + value

    s = net.weight_std[1]
    for a, a_weight in zip(a_nodes, a_weights, strict=True):
        h = s * a * f[0]
        kappa, T, U = neuron_derivatives(a, f, k)
        kappa, T, U = (s ** (j + 2) * v for j, v in enumerate((kappa, T, U)))
        W = weights * a_weight
        add("h", W @ h)
        add("D", np.tensordot(W, kappa, 1))
        add("T", np.tensordot(W, T, 1))
        add("U", np.tensordot(W, U, 1))
        flat = kappa.reshape(len(W), -1)
        add("hh", h.T @ (W[:, None] * h))
        add("hk", ((W[:, None] * h).T @ flat).reshape(p, p, p))
        add("hhh", np.einsum("n,na,nb,nc->abc", W, h, h, h, **rows))
        add("hhhh", np.einsum("n,na,nb,nc,nd->abcd", W, h, h, h, h, **rows))
        add("kk", (flat.T @ (W[:, None] * flat)).reshape(p, p, p, p))
        add("hhk", np.einsum("n,na,nb,ncd->cdab", W, h, h, kappa, **rows))
        add("Th", np.einsum("n,nabc,nd->abcd", W, T, h, **rows))
    K, theta = total["hh"], total["D"]
    outer = np.multiply.outer
    pairs = outer(K, K)
    wick = pairs + pairs.transpose(0, 2, 1, 3) + pairs.transpose(0, 3, 2, 1)
    return {
        "K": K,
        "theta": theta,
        ("FFF", 1): total["hhh"],
        ("DF", 1): total["hk"].transpose(1, 2, 0),
        ("T", 1): total["T"],
        ("FFFF", 2): total["hhhh"] - wick,
        ("DFF", 2): total["hhk"] - outer(theta, K),
        ("DD", 2): total["kk"] - outer(theta, theta),
        ("TF", 2): total["Th"],
        ("U", 2): total["U"],
    }


def neuron_derivatives(a: float, f: list, k: np.ndarray):
    """κ, T and U of neurons with readout a and derivatives f[i] (neurons, points) of φ."""

    def b(i, axis, count):
        shape = [len(f[i])] + [1] * count
        shape[1 + axis] = f[i].shape[1]
        return f[i].reshape(shape)

    def kk(i, j, count):
        shape = [1] * (count + 1)
        shape[1 + i] = shape[1 + j] = len(k)
        return k.reshape(shape)

    kappa = b(0, 0, 2) * b(0, 1, 2) + a**2 * b(1, 0, 2) * b(1, 1, 2) * kk(0, 1, 2)
    # polynomials in a and φ's: {(power of a, orders of x, β, γ): product of k's}
    state = {(0, (0, 0), ()): 1.0, (2, (1, 1), ((0, 1),)): 1.0}
    results = [kappa]
    for new in (2, 3):
        after: dict = {}

        def put(key, c, after=after):
            after[key] = after.get(key, 0.0) + c

        for (power, orders, edges), c in state.items():
            if power:
                put((power - 1, (*orders, 0), edges), c * power)
            for x in range(len(orders)):
                raised = tuple(o + (i == x) for i, o in enumerate(orders))
                put((power + 1, (*raised, 1), (*edges, (x, new))), c)
        state, count, value = after, new + 1, 0.0
        for (power, orders, edges), c in state.items():
            term = c * a**power
            for axis, i in enumerate(orders):
                term = term * b(i, axis, count)
            for i, j in edges:
                term = term * kk(i, j, count)
            value = value + term
        results.append(value)
    return results


@pytest.mark.parametrize(("activation", "law"), [("tanh", "gaussian"), ("softplus", "exponential")])
def test_one_hidden_layer_is_one_neuron(activation, law):
    net = ww.MLP(1, activation, (1.1, 1.2), (0.4, 0.0), weight_law=("gaussian", law))
    x = np.array([[0.8], [-0.5], [1.3]])
    blocks, oracle = deep_blocks(net, x), one_neuron_blocks(net, x)
    np.testing.assert_allclose(blocks.nngp, oracle.pop("K"), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(blocks.ntk, oracle.pop("theta"), rtol=1e-10, atol=1e-12)
    kept = {name for name, value in oracle.items() if np.abs(value).max() > 1e-9}
    assert set(blocks.values) == kept
    for name in kept:
        scale = np.abs(oracle[name]).max()
        np.testing.assert_allclose(blocks.values[name], oracle[name], atol=1e-8 * scale)


def test_two_outputs_of_one_hidden_layer():
    net = ww.MLP(1, "softplus", (1.1, 1.2), (0.4, 0.2), ("gaussian", SKEWED), outputs=2)
    x = np.array([[0.8], [-0.5]])
    deep, one = deep_blocks(net, x, 1), one_hidden_blocks(net, x, 1)
    np.testing.assert_allclose(deep.nngp, one.nngp, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(deep.ntk, one.ntk, rtol=1e-11, atol=1e-13)
    assert set(deep.values) == set(one.values)
    for name, value in one.values.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(deep.values[name], value, atol=1e-8 * scale)


def test_odd_activations_do_not_see_skewed_weights():
    net = network(2, "tanh", "exponential")
    blocks = deep_blocks(net, TWO, samples=20_000)
    assert {order for _, order in blocks.values} == {2}
    symmetric = deep_blocks(network(2, "tanh", "laplace"), TWO, samples=20_000)
    assert blocks.values["DD", 2] != pytest.approx(symmetric.values["DD", 2], rel=1e-3)


def test_errors_of_random_points():
    x = np.random.default_rng(1).normal(size=(5, 7))
    rough, fine = (deep_blocks(network(2, "tanh"), x, samples=1 << k) for k in (12, 18))
    for name in ("FFFF", "DD", "TF", "U"):
        z = (rough.values[name, 2] - fine.values[name, 2]) / rough.errors[name, 2]
        assert 0.3 < np.median(np.abs(z)) < 1.6, name
    assert fine.errors["U", 2].mean() < 0.2 * rough.errors["U", 2].mean()


def test_one_point_at_the_origin():
    """No bias and no input: all is 0 but for what the layers above add."""
    net = ww.MLP(2, "tanh", 1.1, (0.0, 0.5, 0.2))
    blocks = deep_blocks(net, [[0.0, 0.0]])
    assert all(np.isfinite(value).all() for value in blocks.values.values())
    kernels = ww.ntk_statistics(net, [[0.0, 0.0]], order=2)
    assert blocks.values["DD", 2].item() == pytest.approx(
        kernels.covariance((0, 0), (0, 0)).coefficients[2], rel=1e-8
    )


@pytest.mark.parametrize(
    ("net", "x", "message"),
    [
        (ww.MLP(2, "relu"), X, "has kinks at"),
        (ww.MLP(2, lambda z: np.pi * jnp.maximum(z, 0.0) ** 2), X, "one of them jumps"),
        (ww.MLP(2, "tanh", bias_std=0.1, bias_law="uniform"), X, "output bias has the law uniform"),
        (ww.MLP(2, "tanh", weight_law=ww.laws.StudentT(3.5)), X, "four moments"),
        (
            ww.MLP(2, "softplus", weight_law=(ww.laws.StudentT(6), "gaussian", "gaussian")),
            np.ones((1, 6)),
            "no standard error",
        ),
        (ww.MLP(2, "tanh", outputs=20), X, "make 80 rows"),
        (ww.MLP(2, "tanh"), X[0], "shape"),
    ],
)
def test_refusals(net, x, message):
    with pytest.raises(ValueError, match=message):
        deep_blocks(net, x)


def test_pair_moments_over_an_exponential_bias():
    """Far nodes of the bias, where derivatives vanish, are no failure; against a plain sum."""
    shifts, weights = ww.laws.Exponential().quadrature(40)
    bias, covariance = (0.3 * np.asarray(shifts), np.asarray(weights)), np.diag([0.9, 0.4])
    found, error = pair_moments(ww.activations.get("tanh"), covariance, 2, bias)
    assert np.isfinite(error).all()
    u = np.arange(-60, 61) * 0.15
    gauss = 0.15 * np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi)
    means = np.zeros((len(weights), 2, 2))  # of φ and φ' given the bias, which the two points share
    for point, std in enumerate(np.sqrt([0.9, 0.4])):
        z = std * u + bias[0][:, None]
        means[:, 0, point], means[:, 1, point] = np.tanh(z) @ gauss, np.cosh(z) ** -2 @ gauss
    expected = np.einsum("b,bi,bj->ij", bias[1], means[:, :, 0], means[:, :, 1])
    assert found[:2, :2, 0, 1] == pytest.approx(expected, abs=1e-10)
