"""Expectations of derivatives by Taylor arithmetic: closed forms, and Hermite moments as rival."""

from math import factorial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from widthwise.algebra import taylor
from widthwise.algebra.hermite import (
    NestedRule,
    hermite_moments,
    multi_indices,
    reach,
    to_derivatives,
)

Z = np.array([-2.1, -0.3, 0.0, 0.7, 3.0])


def test_coefficients_of_the_sine():
    found = taylor.taylor_coefficients(jnp.sin, Z, 6)
    for k in range(7):
        assert found[k] == pytest.approx(np.sin(Z + k * np.pi / 2) / factorial(k), abs=3e-15)


def test_a_function_without_taylor_rule():
    """softplus: its derivative is the sigmoid s, then s(1 − s), s(1 − s)(1 − 2s)."""
    s = 1 / (1 + np.exp(-Z))
    found = taylor.taylor_coefficients(jax.nn.softplus, Z, 3)
    expected = [np.log1p(np.exp(Z)), s, s * (1 - s) / 2, s * (1 - s) * (1 - 2 * s) / 6]
    assert found == pytest.approx(np.array(expected), abs=3e-15)


def test_powers_and_products():
    base = taylor.taylor_coefficients(jnp.exp, Z, 5)
    cubed = taylor.power_coefficients(base, 3)
    assert cubed == pytest.approx(taylor.taylor_coefficients(lambda z: jnp.exp(3 * z), Z, 5))
    assert taylor.multiplied(cubed, base) == pytest.approx(taylor.power_coefficients(base, 4))
    one = taylor.power_coefficients(base, 0)
    assert (one[0] == 1).all()
    assert not one[1:].any()


@pytest.mark.parametrize(("rank", "step"), [(1, 0.05), (2, 0.08), (3, 0.16)])
def test_equal_to_hermite_moments_where_those_keep_their_digits(rank, step):
    rng = np.random.default_rng(rank)
    L = 0.5 * (np.tril(rng.uniform(-0.4, 0.4, (rank, rank))) + np.eye(rank))
    degree, alphas = 4, multi_indices(rank, 4)
    z, weights = taylor.nodes(L, step, reach(4))
    factors = [taylor.taylor_coefficients(jnp.tanh, column, degree) for column in z.T]
    found = taylor.product_derivatives(factors, weights, alphas)
    found = found * np.array([np.prod([float(factorial(a)) for a in row]) for row in alphas])

    def values(z):
        return np.tanh(z).prod(1)[None]

    moments = hermite_moments(values, L, degree, NestedRule((), step, reach(8)))
    assert found == pytest.approx(to_derivatives(moments, L, degree)[0], abs=1e-12)


SMOOTH = {"tanh(8z)": lambda z: jnp.tanh(8 * z), "exp": jnp.exp, "gelu": jax.nn.gelu}
KINKED = {
    "relu": lambda z: jnp.where(z > 0, z, 0.0),
    "clip": lambda z: jnp.clip(z, -1, 1),
    "z|z|": lambda z: z * jnp.abs(z),
    "elu": jax.nn.elu,
}


@pytest.mark.parametrize("std", [0.2, 1.7])
def test_a_kink_is_noticed_where_derivatives_pass_it_over(std):
    assert all(taylor.differentiates(function, std, 6) for function in SMOOTH.values())
    assert not any(taylor.differentiates(function, std, 6) for function in KINKED.values())
