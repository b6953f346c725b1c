"""Hermite moments against derivatives known in closed form."""

import numpy as np
import pytest
from scipy.stats import norm

from widthwise.algebra.hermite import (
    NestedRule,
    hermite_moments,
    multi_indices,
    reach,
    to_derivatives,
)

K = np.array([[1.3, 0.4, -0.2], [0.4, 0.9, 0.1], [-0.2, 0.1, 0.7]])


def derivatives(g, covariance, degree, rule, parity=None):
    L = np.linalg.cholesky(covariance)
    moments = hermite_moments(lambda z: g(z)[None], L, degree, rule, parity)
    return to_derivatives(moments, L, degree)[0]


@pytest.mark.parametrize("p", [1, 2, 3])
def test_derivatives_of_an_exponential(p):
    """E ∂^α e^{s·z} = s^α e^{s·K s / 2}."""
    s, degree = np.array([0.3, -0.5, 0.2])[:p], 8
    rule = NestedRule((), 0.35, reach(degree + 6))
    found = derivatives(lambda z: np.exp(z @ s), K[:p, :p], degree, rule)
    exact = np.prod(s ** multi_indices(p, degree), axis=1) * np.exp(s @ K[:p, :p] @ s / 2)
    assert found == pytest.approx(exact, abs=1e-10)


def test_derivatives_of_a_kinked_function():
    """φ(z) = max(z − k, 0): E φ' = P(z > k), E φ'' is the density at k, and so on."""
    k, s = 0.4, 1.3**0.5
    rule = NestedRule((k,), 28, reach(8))
    found = derivatives(lambda z: np.maximum(z[:, 0] - k, 0), K[:1, :1], 4, rule)
    p = norm.pdf(k / s) / s
    exact = [s**2 * p - k * norm.sf(k / s), norm.sf(k / s), p, k / s**2 * p]
    assert found[:4] == pytest.approx(exact, abs=1e-13)
    assert found[4] == pytest.approx((k**2 / s**4 - 1 / s**2) * p, abs=1e-13)


@pytest.mark.parametrize("kinks", [(), (0.0,)])
@pytest.mark.parametrize("parity", [0, 1])
def test_half_of_the_nodes_suffices_with_a_parity(kinks, parity):
    rule = NestedRule(kinks, 20 if kinks else 0.25, reach(8))

    def g(z):
        return np.abs(z[:, 0]) * z[:, 1] ** (2 + parity) if kinks else np.cos(z @ [1.0, 2.0]) * (
            z[:, 0] if parity else 1.0
        )  # fmt: skip

    whole = derivatives(g, K[:2, :2], 5, rule)
    half = derivatives(g, K[:2, :2], 5, rule, parity)
    assert half == pytest.approx(whole, abs=1e-12)
    assert not half[multi_indices(2, 5).sum(1) % 2 != parity].any()
