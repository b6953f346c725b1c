"""Readout laws with atoms: the kernel of a·φ(z), Goldstein's bound, and what is not available."""

import numpy as np
import pytest

import widthwise as ww
from widthwise.measure import distances as d
from widthwise.measure.bounds import distance_bound
from widthwise.measure.bounds.atoms import summand_kernel
from widthwise.measure.exact import exact_distance
from widthwise.model import laws

ONE, X = np.array([[1.2]]), np.array([[-1.0], [0.3], [1.2]])
SKEWED = laws.Discrete([-1, 2], [2 / 3, 1 / 3])
TERNARY = laws.Discrete([-1, 0, 1], [0.2, 0.6, 0.2])


def network(activation, readout, bias=0.0):
    return ww.MLP(1, activation, (1.5, 1.0), (0.5, bias), ("gaussian", readout))


def variance(net):
    return float(np.asarray(ww.limit_kernels(net, ONE).nngp)[0, 0])


def exact(net, n, order=1):
    """The exact law, whose characteristic function is slow to invert for very few atoms."""
    law = ww.exact_law(net, ONE, n, (0,), np.ones(1))
    return d.wasserstein(law, d.Normal(0.0, variance(net)), order).value


def at_least(net, n, order=1):
    """The lower end of the interval from 200 000 networks."""
    rng, size = np.random.default_rng(n), (200_000, n)
    values, weights = net.weight_law[1].quadrature(1)
    z = rng.normal(size=size) * np.hypot(1.5 * ONE[0, 0], 0.5)
    a = rng.choice(values, size, p=weights)
    outputs = (a * np.asarray(net.activation(z))).sum(1) / np.sqrt(n)
    outputs += net.bias_std[1] * rng.normal(size=len(outputs))
    found = d.wasserstein(outputs, d.Normal(0.0, variance(net)), order)
    return found.interval[0]


@pytest.mark.parametrize(
    ("activation", "law", "bias"),
    [("tanh", "rademacher", 0.0), ("erf", SKEWED, 0.0), ("tanh", SKEWED, 0.3)],
)
def test_the_kernel_of_a_summand_bounds_the_exact_law(activation, law, bias):
    net = network(activation, law, bias)
    for n in (4, 64):
        bound = distance_bound(net, ONE, n)
        assert bound.method == "the Stein kernel of a·φ(z)"
        first = distance_bound(net, ONE, n, "wasserstein1")
        truth = (at_least if n == 4 else exact)(net, n)
        assert truth <= first.value < bound.value
    assert exact(net, 64, 2) <= bound.value


def test_signs_times_a_gaussian_are_gaussian():
    """±z has a constant kernel: the bound is 0 but for quadrature."""
    net = ww.MLP(1, "identity", weight_law=("gaussian", "rademacher"))
    moment, variance, why = summand_kernel(net, ONE)
    assert not why
    assert variance == pytest.approx(1.44)
    assert moment == pytest.approx(1.44**2, rel=1e-8)


def test_the_kernel_is_that_of_the_density_of_a_mixture():
    """|a| z of two sizes: S and p of two Gaussians, by plain quadrature in x."""
    net = ww.MLP(1, "identity", weight_law=("gaussian", SKEWED))
    moment, variance, _ = summand_kernel(net, np.array([[1.0]]))
    sizes, masses = np.array([0.5, 2.0]) ** 0.5, np.array([2 / 3, 1 / 3])
    x = np.linspace(0, 14, 400_001)
    normal = np.exp(-((x[:, None] / sizes) ** 2) / 2) / np.sqrt(2 * np.pi)
    S, p = normal @ (masses * sizes), normal @ (masses / sizes)
    kept = S > 0
    expected = 2 * np.trapezoid(np.where(kept, S**2 / np.where(kept, p, 1.0), 0.0), x)
    assert variance == pytest.approx(1.0)
    assert moment == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("activation", "law", "bias"),
    [("relu", "rademacher", 0.0), ("softplus", SKEWED, 0.0), ("softplus", TERNARY, 0.7)],
)
def test_goldstein_bounds_the_exact_law(activation, law, bias):
    net = network(activation, law, bias)
    for n in (4, 64):
        bound = distance_bound(net, ONE, n, "wasserstein1")
        assert bound.method == "Goldstein's bound"
        assert 0 < (at_least if n == 4 else exact)(net, n) <= bound.value
    assert not distance_bound(net, ONE, 64).available  # W2 has none


def test_goldstein_bounds_every_projection():
    net = network("tanh", TERNARY)
    bound = distance_bound(net, X, 64, "max_sliced_wasserstein1").value
    worst = max(exact_distance(net, X, v, 64).value for v in d.frames(3, 3))
    assert worst <= bound
    assert distance_bound(net, X, 64, "sliced_wasserstein1").value <= bound


def test_goldstein_is_about_projections_and_their_mean_is_no_better():
    """No coupling of all outputs stands behind it: the mean over directions has the same bound."""
    net = network("tanh", TERNARY)
    top, mean = (
        distance_bound(net, X, 64, metric)
        for metric in ("max_sliced_wasserstein1", "sliced_wasserstein1")
    )
    assert top.method == mean.method == "Goldstein's bound"
    assert mean.value == top.value


def test_several_points_with_atoms_have_no_bound():
    bound = distance_bound(network("tanh", "rademacher"), X, 64)
    assert (bound.value, bound.method) == (np.inf, "not available")
    assert "has atoms and therefore no Stein kernel" in bound.reason


@pytest.mark.parametrize(
    ("activation", "law", "word"),
    [
        ("softplus", "rademacher", "odd"),
        ("tanh", TERNARY, "atom at 0"),
        ("sin", "rademacher", "strictly increasing"),
    ],
)
def test_a_summand_without_a_kernel_says_why(activation, law, word):
    moment, _, why = summand_kernel(network(activation, law), ONE)
    assert np.isinf(moment)
    assert word in why
