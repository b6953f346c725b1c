"""Pair expectations by quadrature against the closed forms, far from and close to parallel."""

import jax.numpy as jnp
import numpy as np
import pytest

from widthwise.algebra.bivariate import pair_moments
from widthwise.algebra.gaussian import QuadratureError
from widthwise.limit.closed_forms import closed_form
from widthwise.model import activations


def triples():
    x = np.random.default_rng(1).standard_normal((8, 4))
    x[1] = x[0] + 1e-4 * x[1]  # nearly parallel
    x[2] = -x[0]
    x[3] = 0.0
    K = 0.5 * x @ x.T + 0.01
    i, j = np.triu_indices(len(x))
    return np.stack([K[i, i], K[i, j], K[j, j]], 1)


NAMES = ["erf", "gelu", "relu", "leaky_relu(0.2)", "abs", "sin", "cos", "exp", "step", "sign"]


@pytest.mark.parametrize("name", [*NAMES, "polynomial(0.3, 0.5, -0.2, 0.1)", "identity"])
def test_quadrature_equals_closed_form(name):
    activation, covariance = activations.get(name), triples()
    moments = pair_moments(
        activation.function, activation.derivative(), activation.kinks, covariance
    )
    value, slope = closed_form(activation)(activation, *jnp.asarray(covariance.T))
    for computed, exact in ((moments.value, value), (moments.derivative, slope)):
        assert (np.abs(computed - exact) < 1e-11 * np.maximum(1, np.abs(exact))).all()


def test_shift_moves_both_variables():
    relu = activations.get("relu")
    moments = pair_moments(
        relu.function, relu.derivative(), relu.kinks, np.array([[1.0, 1.0, 1.0]]), shift=0.7
    )
    u = np.linspace(-10, 10, 2_000_001)
    weight = np.exp(-u * u / 2) / np.sqrt(2 * np.pi)
    assert abs(moments.value[0] - np.trapezoid(np.maximum(u + 0.7, 0) ** 2 * weight, u)) < 1e-10


def test_steep_tanh_meets_its_tolerance():
    steep = activations.get(lambda z: jnp.tanh(3 * z))
    covariance = np.array([[2.0, 1.999, 2.0], [4.0, 1.0, 0.5]])
    moments = pair_moments(steep.function, steep.derivative(), (), covariance)
    u = np.linspace(-9.5, 9.5, 3001)
    w = np.exp(-u * u / 2)
    w /= w.sum()
    for row, value in zip(covariance, moments.value, strict=True):
        L = np.linalg.cholesky(row[[0, 1, 1, 2]].reshape(2, 2))
        second = np.tanh(3 * (L[1, 0] * u[:, None] + L[1, 1] * u))
        exact = (np.tanh(3 * L[0, 0] * u) * w) @ (second @ w)
        assert abs(value - exact) < 1e-12


def test_undeclared_kink_is_refused():
    jump = activations.get(lambda z: jnp.where(z > 0.3, 1.0, 0.0))
    with pytest.raises(QuadratureError, match="declare the activation's kinks"):
        pair_moments(jump.function, jump.derivative(), (), np.array([[1.0, 0.5, 1.0]]))
