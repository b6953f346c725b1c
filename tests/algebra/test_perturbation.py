"""Distances of Φ from a Hermite perturbation of it against brute force and closed forms."""

import numpy as np
import pytest
from numpy.polynomial import hermite_e
from scipy.special import gammaln

from widthwise.algebra.perturbation import (
    kolmogorov,
    kolmogorov_bound,
    wasserstein,
    wasserstein_bound,
)

U = np.linspace(-14.0, 14.0, 700_001)
DENSITY = np.exp(-U * U / 2) / (2 * np.pi) ** 0.5


def test_the_leading_constants_of_both_distances():
    third, fourth = np.array([0, 0, 1 / 6]), np.array([0, 0, 0, 1 / 24])
    phi = (2 * np.pi) ** -0.5
    assert wasserstein(third) == pytest.approx(4 * phi * np.exp(-0.5) / 6, rel=1e-14)
    assert wasserstein(fourth) == pytest.approx(2 * phi * (1 + 4 * np.exp(-1.5)) / 24, rel=1e-14)
    assert wasserstein(third) == pytest.approx(0.161314, abs=5e-7)
    assert wasserstein(fourth) == pytest.approx(0.062917, abs=5e-7)
    assert kolmogorov(third) == pytest.approx(0.066490, abs=5e-7)
    assert kolmogorov(fourth) == pytest.approx(0.022941, abs=5e-7)


def test_a_shift_and_a_change_of_variance():
    phi = (2 * np.pi) ** -0.5
    assert wasserstein(np.array([0.3])) == pytest.approx(0.3, rel=1e-14)
    assert kolmogorov(np.array([0.3])) == pytest.approx(0.3 * phi, rel=1e-14)
    assert wasserstein(np.array([0.0, 0.1])) == pytest.approx(0.2 * phi, rel=1e-14)
    assert kolmogorov(np.array([0.0, 0.1])) == pytest.approx(0.1 * phi * np.exp(-0.5), rel=1e-14)


@pytest.mark.parametrize("seed", range(12))
def test_random_perturbations_with_coefficients_of_very_different_sizes(seed):
    rng = np.random.default_rng(seed)
    degree = int(rng.integers(2, 25))
    j = np.arange(degree + 1)
    sizes = 10 ** (-rng.uniform(0, 14) * j / degree) / np.exp(gammaln(j + 1) / 2)
    q = rng.normal(size=degree + 1) * sizes
    delta = np.abs(DENSITY * hermite_e.hermeval(U, q))
    assert wasserstein(q) == pytest.approx(np.trapezoid(delta, U), rel=1e-10)
    assert kolmogorov(q) == pytest.approx(delta.max(), rel=2e-9)  # of the grid
    assert wasserstein(q) <= wasserstein_bound(np.abs(q))
    assert kolmogorov(q) <= kolmogorov_bound(np.abs(q))


def test_a_double_root_and_leading_coefficients_that_vanish():
    square = hermite_e.poly2herme([1.0, -2.0, 1.0])  # (u − 1)²
    assert wasserstein(square) == pytest.approx(2.0, rel=1e-13)
    padded = np.concatenate([square, [1e-300, 0.0, 0.0]])
    assert wasserstein(padded) == pytest.approx(2.0, rel=1e-13)
    assert kolmogorov(padded) == pytest.approx(kolmogorov(square), rel=1e-13)


def test_nothing_is_at_no_distance():
    assert wasserstein(np.zeros(4)) == kolmogorov(np.zeros(4)) == 0.0
    assert wasserstein(np.zeros(1)) == kolmogorov(np.zeros(1)) == 0.0
