"""Biases over the root of the fan-in: at every width the network is one with constant biases."""

import numpy as np
import pytest

import widthwise as ww

X = [[1.0, 0.2, -0.4], [0.3, -0.8, 0.9]]
LAWS = ("gaussian", "exponential", "exponential")


def test_one_hidden_layer_is_exact():
    net = ww.MLP(1, "tanh", 1.2, 0.8, bias_law="exponential", ratios=(2.0,), bias_scaling="fan_in")
    c = ww.output_cumulants(net, X, order=4)
    for points in [(0, 0), (0, 1), (0, 0, 1), (0, 0, 1, 1)]:
        series = c.cumulant(points)
        assert series.exact
        for n in (4, 25):
            same = ww.output_cumulants(net.at_width(n, 3), X, order=4).cumulant(points)
            assert series.at(n) == pytest.approx(same.at(n), rel=1e-10)
    assert not c.cumulant((0,) * 5).exact  # its bias has n^{-5/2}


@pytest.mark.parametrize("bias_law", ["gaussian", "exponential"])
@pytest.mark.parametrize("parametrization", ["ntk", "standard"])
def test_deep_networks_agree_with_constant_biases_up_to_the_order(bias_law, parametrization):
    net = ww.MLP(2, "tanh", 1.2, 0.9, LAWS, bias_law, (1.5, 0.8), 1, parametrization, "fan_in")
    widths, order, differences = (256, 1024), 3, []
    for n in widths:
        sized, found = net.at_width(n, 3), []
        for ask in (
            lambda m: ww.output_cumulants(m, X, order).cumulant((0, 1)),
            lambda m: ww.output_cumulants(m, X, order).cumulant((0, 0, 1)),
            lambda m: ww.output_cumulants(m, X, order).cumulant((0, 0, 1, 1)),
            lambda m: ww.ntk_statistics(m, X[:1], order).mean(0, 0),
        ):
            found.append(ask(net).at(n) - ask(sized).at(n))
        differences.append(np.abs(found))
    # what is left out is O(n^{-2}): a term forgotten at 1/n would show as 500, at n^{-3/2} as 16
    scaled = np.array(differences) * np.square(widths)[:, None]
    assert (scaled[1] < np.maximum(1.3 * scaled[0], 1.5)).all(), scaled
    assert (scaled < 12).all(), scaled


def test_the_limit_keeps_the_first_bias_only():
    net = ww.MLP(2, "tanh", 1.2, 0.9, bias_law="uniform", bias_scaling="fan_in")
    limit = ww.MLP(2, "tanh", 1.2, (0.9 / 3**0.5, 0.0, 0.0), bias_law="uniform")
    k, expected = ww.limit_kernels(net, X), ww.limit_kernels(limit, X)
    assert k.nngp == pytest.approx(expected.nngp, rel=1e-12)
    assert k.ntk == pytest.approx(expected.ntk, rel=1e-12)
    assert ww.edgeworth(ww.output_cumulants(net, X[:1], order=2)).std == pytest.approx(
        expected.nngp[0, 0] ** 0.5
    )
