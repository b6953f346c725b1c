"""The rational error function against mpmath and JAX's."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
from jax.scipy.special import erf

from widthwise.algebra.error_function import erf_slope, rational_erf

NEAR_ZERO = np.logspace(-300, 0.8, 300)
Z = np.concatenate([np.linspace(-7, 7, 1001), NEAR_ZERO, -NEAR_ZERO, [0.0, 40.0, -1e300]])


def test_it_is_the_error_function_to_1e_15_of_its_value():
    with mpmath.workdps(30):
        exact = np.array([float(mpmath.erf(mpmath.mpf(float(z)))) for z in Z])
    function = jax.jit(rational_erf)
    ours = np.asarray(function(Z))
    assert (np.abs(ours - exact) <= 1e-15 * np.abs(exact)).all()
    assert np.abs(ours).max() == 1.0
    assert (ours == -np.asarray(function(-Z))).all()


def test_what_is_not_finite_has_the_values_of_the_error_function():
    ours = np.asarray(rational_erf(jnp.array([np.inf, -np.inf, np.nan])))
    np.testing.assert_array_equal(ours, [1.0, -1.0, np.nan])


def test_every_derivative_is_that_of_the_error_function():
    ours, theirs = rational_erf, erf
    z = jnp.linspace(-3, 3, 25)
    for _ in range(4):
        ours, theirs = (jax.grad(f) for f in (ours, theirs))
        gap = jax.vmap(ours)(z) - jax.vmap(theirs)(z)
        assert np.abs(gap).max() < 1e-13
    np.testing.assert_allclose(erf_slope(z), jax.vmap(jax.grad(erf))(z), rtol=1e-14)
