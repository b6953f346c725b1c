"""Rivals: dense quadrature over the sources, exact moments, the general route, symmetry."""

from itertools import combinations_with_replacement, product

import numpy as np
import pytest

from widthwise.algebra.gaussian import QuadratureError
from widthwise.limit import first_layer
from widthwise.limit.first_layer import fourier
from widthwise.limit.first_layer.lattice import bilinear, lattice
from widthwise.limit.first_layer.products import Function, Products
from widthwise.limit.first_layer.projection import project
from widthwise.model.architecture import MLP

LAWS = ["uniform", "exponential", "truncated_gaussian", "laplace"]


def data(points, inputs, seed=0):
    return np.random.default_rng(seed).normal(size=(points, inputs))


def choices(points, values, slopes=0):
    return [
        (a, b)
        for a in combinations_with_replacement(range(points), values)
        for b in combinations_with_replacement(range(points), slopes)
    ]


def columns(net, z, chosen):
    h, s = np.asarray(net.activation(z)), np.asarray(net.activation.derivative()(z))
    return np.stack([h[:, list(a)].prod(1) * s[:, list(b)].prod(1) for a, b in chosen], 1)


def assert_within(estimate, truth, error=0.0):
    slack = 1e-13 * np.maximum(1, np.abs(truth))
    assert np.all(np.abs(estimate.value - truth) <= estimate.error + error + slack)


@pytest.mark.parametrize("law", ["uniform", "exponential"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_products_are_the_general_route(activation, law):
    net, x = MLP(2, activation, 1.2, 0.2, law), data(2, 2)
    chosen = choices(2, 2, 1)
    found = Products(net, x).expectations(chosen)
    slow = first_layer.expectation(net, x, lambda z: columns(net, z, chosen))
    assert found.error.max() < 1e-10
    assert_within(found, slow.value, slow.error)


@pytest.mark.parametrize("law", LAWS)
def test_the_lattice_agrees_with_panels(law):
    """Two routes with nothing in common, on three sources and with kinks."""
    net, x = MLP(2, "relu", 1.2, 0.2, law), data(2, 2)
    here = Products(net, x)
    chosen = [((0, 1), ()), ((0, 1, 1), (0,)), ((), (0, 1))]
    panels = here.expectations(chosen)
    functions = [here._functions(choice) for choice in chosen]
    p = here.projection
    places = fourier.circle(p, 0), fourier.circle(p, 1)
    series = here._law((0, 1))._plane(places, functions)
    assert panels.error.max() < 1e-10
    assert series.error.max() < 1e-5
    assert_within(series, panels.value, panels.error)


@pytest.mark.parametrize("law", ["uniform", "exponential", "laplace"])
def test_one_source_by_dense_quadrature(law):
    net = MLP(2, "relu", 1.3, 0.0, law)
    x = np.array([[0.8, 0.0], [0.0, -1.7]])
    u, w = np.polynomial.legendre.leggauss(40)
    low, high = (max(-40.0, net.weight_law[0].support[0]), min(60.0, net.weight_law[0].support[1]))
    edges = np.union1d(np.linspace(low, high, 25), [0.0])
    half = np.diff(edges)[:, None] / 2
    s = (edges[:-1, None] + half * (1 + u)).ravel()
    w = (half * w).ravel() * net.weight_law[0].density(s)
    chosen = choices(2, 3, 2)
    found = Products(net, x).expectations(chosen)
    scale = 1.3 / np.sqrt(2)
    truth = []
    for a, b in chosen:
        sides = []
        for i, factor in ((0, 0.8), (1, -1.7)):
            z = scale * factor * s
            sides.append(w @ (np.maximum(z, 0) ** a.count(i) * (z > 0) ** float(b.count(i))))
        truth.append(sides[0] * sides[1])
    assert found.error.max() < 1e-9
    assert_within(found, np.array(truth))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("d", [3, 8])
def test_polynomials_have_exact_moments(law, d):
    net, x = MLP(2, "identity", 1.2, 0.0, law), data(2, d)
    c = 1.2 / np.sqrt(d) * x
    K = c @ c.T
    third = net.weight_law[0].cumulant(3) * np.einsum("i,i,i", c[0], c[1], c[1])
    fourth = net.weight_law[0].cumulant(4) * np.sum(c[0] ** 2 * c[1] ** 2)
    truth = [K[0, 1], third, fourth + K[0, 0] * K[1, 1] + 2 * K[0, 1] ** 2]
    found = Products(net, x).expectations([((0, 1), ()), ((0, 1, 1), (0,)), ((0, 0, 1, 1), ())])
    assert found.error[0] < 1e-10
    assert found.error[-1] < 1e-7  # fourth powers out to the end of an exponential tail
    assert_within(found, np.array(truth))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("d", [1, 3, 8, 30])
def test_smooth_products_reach_ten_digits(law, d):
    net, x = MLP(2, "tanh", 1.2, 0.2, law), data(2, d)
    found = Products(net, x).expectations(choices(2, 6) + choices(2, 2, 2))
    assert found.error.max() < 1e-10


def test_odd_products_of_symmetric_laws_vanish():
    net = MLP(2, "tanh", 1.2, 0.2, "uniform")
    found = Products(net, data(2, 4)).expectations(choices(2, 3))
    assert_within(found, np.zeros(4))


def test_equal_opposite_and_zero_inputs_are_one_point():
    net = MLP(2, "relu", 1.2, 0.0, "exponential")
    x = data(1, 3)
    four = Products(net, np.concatenate([x, x, -2 * x, 0 * x]))
    alone = Products(net, x).expectations([((0, 0), ())])
    found = four.expectations([((0, 1), ()), ((0, 2), ()), ((0, 3), ()), ((0,), (1, 2)), ((), ())])
    assert_within(found, np.array([alone.value[0], 0, 0, 0, 1]), alone.error[0] + 1e-12)


def test_three_points_share_one_sample_with_honest_errors():
    net, x = MLP(2, "identity", 1.2, 0.0, "uniform"), data(3, 9)
    c = 0.4 * x
    K = c @ c.T
    chosen = [((0, 0, 1, 2), ()), ((0, 1, 1, 2), ())]
    truth = []
    for (a, b, e, f), _ in chosen:
        wick = K[a, b] * K[e, f] + K[a, e] * K[b, f] + K[a, f] * K[b, e]
        truth.append(wick + net.weight_law[0].cumulant(4) * np.sum(c[a] * c[b] * c[e] * c[f]))
    found = Products(net, x).expectations(chosen)
    assert np.all(np.abs(found.value - truth) < 5 * found.error)
    with pytest.raises(QuadratureError, match="larger tolerance"):
        Products(net, x, 1e-10).expectations(chosen)


def test_bilinear_is_the_double_sum():
    p = project(MLP(2, "tanh", 1.2, 0.2, "exponential"), data(2, 5))
    places = fourier.Circle(8.0, 13.0), fourier.Circle(9.0, 15.0)
    rng = np.random.default_rng(1)
    f, g = (rng.normal(size=(n, 2)) + 1j * rng.normal(size=(n, 2)) for n in (21, 19))
    f[0], g[0] = f[0].real, g[0].real
    grid = lattice(p, places, (20, 18), complete=True)
    value, _ = bilinear(grid, f, g, np.array([[0, 1], [1, 1]]))
    for (i, j), v in zip([(0, 1), (1, 1)], value, strict=True):
        total = 0.0
        for k, l in product(range(-20, 21), range(-18, 19)):
            a = f[k, i] if k >= 0 else f[-k, i].conj()
            b = g[l, j] if l >= 0 else g[-l, j].conj()
            at = np.array([[places[0].step * k, places[1].step * l]])
            total += (a * b * fourier.characteristic(p, at)[0]).real
        assert abs(v - total) < 1e-9


def test_a_function_of_copies_multiplies_them():
    here = Products(MLP(2, "tanh", 1.0, 0.0, "uniform"), np.array([[1.0, 2.0], [0.5, 1.0]]))
    (function,) = here._functions(((0, 1), (1,)))
    assert function == Function((0.5, 1.0), (0.5,))
    z = np.array([0.3, -1.1])
    slope = 1 - np.tanh(z / 2) ** 2
    table = here._law((0,)).table(z, [function])[:, 0]
    assert np.allclose(table, np.tanh(z) * np.tanh(z / 2) * slope, rtol=0, atol=1e-15)
