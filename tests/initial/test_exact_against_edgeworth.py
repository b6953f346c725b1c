"""The Edgeworth series against the exact law: its error falls with the order, as it should."""

import numpy as np
import pytest

import widthwise as ww

WIDTHS = (8, 32, 128)
ORDERS = (0, 2, 4)


def errors(activation, law_name, n, orders, curve="pdf"):
    """Largest error of every order, relative to the density's maximum for a pdf."""
    net = ww.MLP(1, activation, 1.5, (0.3, 0.0), weight_law=("gaussian", law_name))
    exact = ww.exact_law(net, [[1.0]], n)
    series = ww.edgeworth(ww.output_cumulants(net, [[1.0]], order=max(orders)))
    z = exact.std * np.linspace(-5, 5, 201)
    z = z[np.abs(z) > 0.2 * exact.std]  # relu with few neurons has a singularity at 0
    truth = getattr(exact, curve)(z)
    known = getattr(exact, curve + "_error")(z).max()
    scale = truth.max() if curve == "pdf" else 1.0
    sizes = [np.abs(getattr(series, curve)(z, n, order) - truth).max() / scale for order in orders]
    return np.array(sizes), known / scale, series.optimal_order(n)


CASES = [
    pytest.param(a, l, marks=() if a == "tanh" or l == "gaussian" else pytest.mark.slow)
    for a in ("tanh", "relu", "gelu")
    for l in ("gaussian", "uniform", "exponential")
]


@pytest.mark.parametrize(("activation", "law_name"), CASES)
def test_density_error_falls_up_to_the_optimal_order(activation, law_name):
    for n in WIDTHS:
        sizes, known, best = errors(activation, law_name, n, ORDERS)
        assert known < sizes.min() / 100
        upto = [size for order, size in zip(ORDERS, sizes, strict=True) if order <= best]
        assert (np.diff(upto) < 0).all(), (n, sizes, best)
    assert best >= 2


def test_gelu_times_exponential_falls_by_a_thousand():
    sizes, known, _ = errors("gelu", "exponential", 256, range(7), curve="cdf")
    assert known < 1e-12
    assert sizes[0] / sizes[6] > 1e3
