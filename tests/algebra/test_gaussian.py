"""Gaussian quadrature against closed forms, and its honesty where it cannot succeed."""

import numpy as np
import pytest
from scipy.integrate import dblquad
from scipy.stats import norm

from widthwise.algebra.gaussian import QuadratureError, expectation, factor


def covariance(size, seed=0):
    a = np.random.default_rng(seed).standard_normal((size, size + 1))
    return a @ a.T / size


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_polynomials_follow_isserlis(size):
    K = covariance(size)
    z = expectation(lambda z: z[:, 0] ** 2 * z[:, -1] ** 2, K)
    exact = K[0, 0] * K[-1, -1] + 2 * K[0, -1] ** 2
    assert abs(z.value - exact) < 1e-11 * exact
    assert abs(z.value - exact) <= z.error + 1e-14


def test_steep_tanh_needs_and_gets_a_fine_rule():
    K = np.array([[2.25]])
    estimate = expectation(lambda z: np.tanh(3 * z[:, 0]) ** 2, K)
    u = np.linspace(-12, 12, 400_001)
    exact = np.trapezoid(np.tanh(4.5 * u) ** 2 * norm.pdf(u), u)
    assert abs(estimate.value - exact) < 1e-12


@pytest.mark.parametrize("correlation", [0.0, 0.7, -0.999, 0.99999])
def test_kinks_are_integrated_exactly(correlation):
    K = np.array([[1.3, correlation * np.sqrt(1.3 * 0.8)], [correlation * np.sqrt(1.3 * 0.8), 0.8]])
    angle = np.arccos(correlation)
    root = np.sqrt(1.3 * 0.8)
    exact = root * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)
    estimate = expectation(lambda z: np.maximum(z, 0).prod(1), K, kinks=(0.0,))
    assert abs(estimate.value - exact) < 1e-11
    assert estimate.error < 1e-10


def test_three_relus_against_nested_integration():
    K = covariance(3, seed=4)
    estimate = expectation(lambda z: np.maximum(z, 0).prod(1), K, kinks=(0.0,))
    rho = K / np.sqrt(np.outer(np.diag(K), np.diag(K)))
    conditional = K[2, 2] - K[2, :2] @ np.linalg.solve(K[:2, :2], K[:2, 2])
    slope = np.linalg.solve(K[:2, :2], K[:2, 2])
    density = np.linalg.inv(K[:2, :2])
    normalization = 2 * np.pi * np.sqrt(np.linalg.det(K[:2, :2]))

    def integrand(b, a):
        mean, std = slope @ (a, b), np.sqrt(conditional)
        third = mean * norm.cdf(mean / std) + std * norm.pdf(mean / std)
        v = np.array([a, b])
        return a * b * third * np.exp(-v @ density @ v / 2) / normalization

    exact, _ = dblquad(integrand, 0, 12, 0, 12, epsabs=1e-11)
    assert abs(rho).max() <= 1 + 1e-12
    assert abs(estimate.value - exact) < 1e-9


def test_singular_covariance_is_integrated_in_its_rank():
    direction = np.array([1.0, -2.0, 0.5])
    K = np.outer(direction, direction)
    estimate = expectation(lambda z: z[:, 0] ** 2 * z[:, 1] ** 2, K)
    assert factor(K).shape == (3, 1)
    assert abs(estimate.value - 3 * 4.0) < 1e-11


def test_zero_covariance_is_a_point():
    assert expectation(lambda z: np.cos(z[:, 0]), np.zeros((2, 2))).value == 1.0


def test_five_dimensions_come_with_a_standard_error():
    K = covariance(5, seed=2)
    estimate = expectation(lambda z: z[:, 0] * z[:, 4] + z[:, 1] ** 2, K)
    assert 0 < estimate.error < 1e-3
    assert abs(estimate.value - K[0, 4] - K[1, 1]) < 5 * estimate.error


def test_undeclared_jump_is_refused_rather_than_returned():
    with pytest.raises(QuadratureError, match="kinks"):
        expectation(lambda z: np.sign(z[:, 0] - 0.3), np.eye(1))
