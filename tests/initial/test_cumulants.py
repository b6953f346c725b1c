"""Exact cumulants of one hidden layer: published numbers, closed forms, brute force, simulation."""

import itertools

import jax
import numpy as np
import pytest

import widthwise as ww


def test_tanh_reference():
    net = ww.MLP(1, "tanh", weight_std=1.5, bias_std=0.3)
    c = ww.output_cumulants(net, [[1.0]], order=4)
    assert c.cumulant((0, 0)).at(7) == pytest.approx(1.321764690954, abs=1e-12)
    assert c.cumulant((0,) * 4).at(1) == pytest.approx(1.845689585, abs=1e-9)
    # the published sixth cumulant is right to 5e-9; a dense trapezoid sum has all digits
    assert c.cumulant((0,) * 6).at(1) == pytest.approx(-1.630337300642, abs=5e-9)
    u = np.linspace(-12, 12, 4001)
    w = np.exp(-u * u / 2) / np.exp(-u * u / 2).sum()
    m2, m4, m6 = (w @ np.tanh(np.sqrt(2.34) * u) ** p for p in (2, 4, 6))
    exact = 1.5**6 * (15 * m6 - 45 * m4 * m2 + 30 * m2**3)
    assert c.cumulant((0,) * 6).at(1) == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("law", ["gaussian", "uniform", "exponential"])
def test_linear_network_closed_form(law):
    """f = n^{-1/2} Σ W_i h_i with h ~ N(0, q): κ_4 = (3 μ_4(W) − 3) q² / n, and so on."""
    law = ww.laws.get(law)
    c = ww.output_cumulants(
        ww.MLP(1, "identity", weight_law=("gaussian", law)), [[1.0, 2.0]], order=4
    )
    q = 2.5
    assert c.cumulant((0,) * 4).at(10) == pytest.approx((3 * law.moment(4) - 3) * q**2 / 10)
    sixth = 15 * law.moment(6) - 15 * 3 * law.moment(4) - 0 * law.moment(3) + 30
    assert c.cumulant((0,) * 6).at(10) == pytest.approx(sixth * q**3 / 100)
    assert c.cumulant((0,) * 3).at(10) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("law", ["gaussian", "rademacher", "exponential"])
@pytest.mark.parametrize("components", [(0, 0, 0, 0), (0, 0, 1, 1), (0, 1, 0, 1), (0, 0, 0, 1)])
def test_joint_cumulants_equal_the_definition(law, components):
    """Two inputs, two outputs, relu: fourth joint cumulant by moments of one neuron."""
    net = ww.MLP(1, "relu", weight_std=1.3, bias_std=0.2, outputs=2,
                 weight_law=("gaussian", law))  # fmt: skip
    x = np.array([[1.0, 0.4], [-0.2, 0.9]])
    points = (0, 1, 1, 0)
    computed = ww.output_cumulants(net, x, order=4).cumulant(points, components).at(5)
    K = 0.04 + 1.69 * x @ x.T / 2
    u = np.linspace(-9, 9, 1501)
    w = np.exp(-u * u / 2)
    w /= w.sum()
    L = np.linalg.cholesky(K)
    h = [
        np.maximum(L[0, 0] * u[:, None] + 0 * u, 0),
        np.maximum(L[1, 0] * u[:, None] + L[1, 1] * u, 0),
    ]

    def moment(block):
        weight = np.prod(
            [net.weight_law[1].moment(sum(components[i] == k for i in block)) for k in (0, 1)]
        )
        return weight * (w @ np.prod([h[points[i]] for i in block], 0) @ w)

    pairs = [((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2))]
    exact = moment((0, 1, 2, 3)) - sum(moment(a) * moment(b) for a, b in pairs)
    exact *= 1.3**4 / 5
    assert computed == pytest.approx(exact, abs=2e-5)  # the grid above is good to that


def test_cumulants_are_symmetric_in_their_arguments():
    net = ww.MLP(1, "tanh", weight_law="uniform", bias_std=0.5, outputs=2)
    c = ww.output_cumulants(net, [[0.5, 1.0], [1.0, -1.0]])
    values = {
        round(c.cumulant(p, k).at(9), 10)
        for p, k in {
            tuple(zip(*order, strict=True))
            for order in itertools.permutations([(0, 0), (0, 0), (1, 1), (1, 1)])
        }
    }
    assert len(values) == 1


def test_non_gaussian_output_bias_does_not_shrink():
    net = ww.MLP(1, "erf", bias_std=(0.0, 0.5), bias_law="exponential")
    third = ww.output_cumulants(net, [[1.0]]).cumulant((0, 0, 0))
    assert third.at(10**14) == pytest.approx(0.125 * 2)


def test_order_below_the_leading_one_keeps_nothing_and_says_so():
    c = ww.output_cumulants(ww.MLP(1, "identity"), [[1.0]], order=1)
    fourth = c.cumulant((0,) * 4)
    assert fourth.at(5) == 0.0
    assert not fourth.exact


def test_width_ratio_multiplies_the_width():
    narrow = ww.output_cumulants(ww.MLP(1, "tanh", ratios=[0.5]), [[1.0]]).cumulant((0,) * 4)
    plain = ww.output_cumulants(ww.MLP(1, "tanh"), [[1.0]]).cumulant((0,) * 4)
    assert narrow.at(64) == pytest.approx(plain.at(32))


@pytest.mark.parametrize(
    ("activation", "law", "first"),
    [
        ("tanh", "uniform", "uniform"),
        ("relu", "exponential", "gaussian"),
        ("gelu", "laplace", "rademacher"),
    ],
)
def test_cumulants_against_sampled_networks(activation, law, first):
    net = ww.MLP(1, activation, weight_std=1.4, bias_std=(0.3, 0.0), weight_law=(first, law))
    x, n = np.array([[0.8, -0.5, 1.1]]), 4
    keys = jax.random.split(jax.random.key(7), 200_000)
    f = np.asarray(jax.jit(jax.vmap(lambda k: net.apply(net.init(k, n, 3), x)[0, 0]))(keys))
    c = ww.output_cumulants(net, x)
    for r, samples in ((2, f**2), (3, f**3), (4, f**4 - 3 * (f**2) * (f**2).mean() * 2)):
        exact = c.cumulant((0,) * r).at(n)
        if r == 4:  # κ_4 = E f⁴ − 3 (E f²)², linearized about the sample mean of f²
            exact -= 3 * (f**2).mean() ** 2
        z = (samples.mean() - exact) / (samples.std() / np.sqrt(len(f)))
        assert abs(z) < 4


def test_bad_input_says_what_to_do():
    c = ww.output_cumulants(ww.MLP(1, "tanh", weight_law=ww.laws.StudentT(5.0)), [[1.0]])
    with pytest.raises(ValueError, match="no moment of order 5"):
        c.cumulant((0,) * 6)
    with pytest.raises(ValueError, match="0 to 0"):
        c.cumulant((0, 1))
    with pytest.raises(ValueError, match="components must give one"):
        c.cumulant((0, 0), (0,))
    with pytest.raises(ValueError, match="order counts powers"):
        ww.output_cumulants(ww.MLP(1, "tanh"), [[1.0]], order=-1)
