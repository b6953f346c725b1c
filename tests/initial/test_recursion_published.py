"""The cumulant recursion against published coefficients and the numbers of an earlier program."""

import numpy as np
import pytest

import widthwise as ww

TWO = 2**0.5
UNIFORM = ("gaussian", "uniform", "uniform", "uniform")
EXPONENTIAL = ("gaussian", "exponential", "exponential")
MIXED = ("gaussian", "exponential", "uniform", "exponential")
X2 = [[1.0, 0.2, -0.4], [0.3, -0.8, 0.9]]

PUBLISHED = {  # setting: (net, {number of variables: {power of n^{-1/2}: coefficient}})
    "linear": (ww.MLP(3, "identity"), {4: {2: 18, 4: 36, 6: 24}, 6: {4: 1440, 6: 7200, 8: 15840}}),
    "linear, uniform": (
        ww.MLP(3, "identity", weight_law=UNIFORM),
        {4: {2: 14.4, 4: 4.32, 6: -4.224}, 6: {4: 6264 / 7, 6: 806.4}},
    ),
    "linear, exponential": (
        ww.MLP(2, "identity", weight_law=EXPONENTIAL),
        {4: {2: 30, 4: 210}, 6: {4: 5160, 6: 105720}},
    ),
    "linear, a law per layer": (
        ww.MLP(3, "identity", weight_law=MIXED),
        {4: {2: 36, 4: 129.6, 6: 268.8}, 6: {4: 7080, 6: 63648}},
    ),
    "relu, depth 2": (
        ww.MLP(2, "relu", weight_std=(1.0, TWO, 2.0)),
        {2: {0: 2}, 4: {2: 120, 4: 300}, 6: {4: 28560, 6: 158400, 8: 232320}},
    ),
    "relu, depth 3": (
        ww.MLP(3, "relu", weight_std=(TWO, TWO, TWO, TWO)),
        {2: {0: 2}, 4: {2: 180, 4: 900, 6: 1500}, 6: {4: 69840, 6: 835200, 8: 4260960}},
    ),
}


@pytest.mark.parametrize("setting", PUBLISHED)
def test_published_coefficients(setting):
    net, published = PUBLISHED[setting]
    order = 8 if "exponential" not in setting and "law" not in setting else 6
    c = ww.output_cumulants(net, [[1.0]], order=order)
    for r, terms in published.items():
        series = c.cumulant((0,) * r)
        expected = np.zeros(order + 1)
        for power, value in terms.items():
            expected[power] = value
        known = slice(max(terms) + 1) if r == 6 else slice(None)
        error = np.abs(series.coefficients - expected)[known]
        assert (error <= series.error[known] + 1e-13 * np.abs(expected).max()).all()
        assert (series.error <= 1e-9 * max(np.abs(expected).max(), 1)).all()


def test_published_two_outputs():
    net = ww.MLP(3, "identity", outputs=2)
    series = ww.output_cumulants(net, [[1.0]], order=6).cumulant((0, 0, 0, 0), (0, 0, 1, 1))
    assert series.coefficients == pytest.approx([0, 0, 6, 0, 12, 0, 8], abs=1e-12)


def test_published_relu_kernel_correction_and_vertex():
    net = ww.MLP(2, "relu", weight_std=TWO, outputs=2)
    c = ww.output_cumulants(net, X2, order=2)
    K0 = {(0, 0): 0.8, (0, 1): 0.40639932054, (1, 1): 1.02666666667}
    K2 = {(0, 0): 0.0, (0, 1): -0.311677466538, (1, 1): 0.0}
    V = {(0, 0, 0, 0): 6.4, (0, 0, 0, 1): 1.9728724557, (0, 0, 1, 1): 0.309098009096,
         (0, 1, 0, 1): 1.77765174942, (0, 1, 1, 1): 2.53185298482}  # fmt: skip
    for pair, value in K0.items():
        assert c.cumulant(pair).coefficients == pytest.approx([value, 0, K2[pair]], abs=6e-12)
    for points, value in V.items():
        assert c.cumulant(points, (0, 0, 1, 1)).coefficients[2] == pytest.approx(value, abs=6e-11)


def test_the_numbers_of_the_first_program():
    """Made once with an independent pure-Python program (trapezoid, 81 nodes a dimension)."""
    x = [[0.7, -0.3], [0.2, 1.1]]
    net = ww.MLP(
        2, "tanh", weight_std=1.3, bias_std=0.25, weight_law=EXPONENTIAL, ratios=(1.5, 0.8)
    )
    c = ww.output_cumulants(net, x, order=4)
    for points, expected in FIRST_PROGRAM.items():
        assert c.cumulant(points).coefficients == pytest.approx(expected, abs=2e-9)


FIRST_PROGRAM = {
    (0, 0): [0.552921226267, 0.0, -0.251670109612, 0.0, 0.452159233731],
    (0, 1): [0.0574810973919, 0.0, 0.0711211676751, 0.0, -0.134511387626],
    (1, 1): [0.646861169574, 0.0, -0.27353569564, 0.0, 0.38488370456],
    (0, 0, 0, 0): [0.0, 0.0, 4.14975682292, 0.0, -1.71691602544],
    (0, 0, 1, 1): [0.0, 0.0, 3.14659483612, 0.0, 0.69158229928],
    (0, 1, 1, 1): [0.0, 0.0, -0.0720943653142, 0.0, 0.243960759293],
    (0, 0, 0, 0, 1, 1): [0.0, 0.0, 0.0, 0.0, 103.842905272],
}  # fmt: skip
