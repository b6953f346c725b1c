"""Activations: declared properties hold, names and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import widthwise as ww
from widthwise.model import activations

Z = np.linspace(-6, 6, 4001)
NAMED = [*(name for name in activations.names() if name != "polynomial"),
         "leaky_relu(0.3)", "polynomial(0, 1, 0, -0.2)"]  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_declared_properties_hold(name):
    phi = activations.get(name)
    values, off = np.asarray(phi(Z)), np.abs(Z) > 1e-9
    if phi.parity:
        sign = -1 if phi.parity == "odd" else 1
        assert np.abs(phi(-Z) - sign * values)[off].max() < 1e-12
    if phi.homogeneity is not None:
        assert np.abs(phi(3 * Z) - 3.0**phi.homogeneity * values).max() < 1e-11
    if phi.sup_norms:
        for order, bound in enumerate(phi.sup_norms):
            if np.isfinite(bound):
                largest = np.abs(phi.derivative(order)(Z))[off].max()
                assert 0.999 * bound <= largest + 1e-12 or bound <= 1.0
                assert largest <= bound * (1 + 1e-6)


@pytest.mark.parametrize("name", [n for n in NAMED if not activations.get(n).kinks])
def test_derivatives_by_jax_equal_differences(name):
    phi = activations.get(name)
    h = 1e-5
    difference = (phi(Z + h) - phi(Z - h)) / (2 * h)
    assert phi.derivative()(Z) == pytest.approx(np.asarray(difference), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", NAMED)
def test_value_and_slope_are_the_function_and_its_derivative(name):
    phi = activations.get(name)
    value, slope = jax.jit(phi.value_and_slope)(jnp.asarray(Z))
    size = np.maximum(1.0, np.abs(phi(Z)))
    assert (np.abs(np.asarray(value) - phi(Z)) <= 1e-15 * size).all()
    assert (np.abs(np.asarray(slope) - phi.derivative()(Z)) <= 1e-15 * size).all()
    single = phi.value_and_slope(jnp.asarray(Z[::800], jnp.float32))
    assert all(part.dtype == jnp.float32 for part in single)


def test_gelu_is_the_exact_one():
    assert float(activations.get("gelu")(jnp.array(1.0))) == pytest.approx(0.8413447460685429)


def test_functions_with_kinks():
    hard = ww.activations.get(lambda z: jnp.clip(z, -1, 1), kinks=(1.0, -1.0))
    assert hard.kinks == (-1.0, 1.0)
    assert hash(hard)
    assert jax.jit(hard)(jnp.array(3.0)) == 1.0


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("tan", "unknown activation 'tan'; known are"),
        ("polynomial", "needs coefficients"),
        ("leaky_relu(a)", "cannot read the numbers"),
        (lambda z: z.sum(), "elementwise"),
        (lambda z: jnp.log(z), "not finite"),
    ],
)
def test_bad_input_says_what_to_do(bad, message):
    with pytest.raises(ValueError, match=message):
        activations.get(bad)


def test_kinks_with_a_name_are_refused():
    with pytest.raises(ValueError, match="declares its own"):
        activations.get("relu", kinks=(0.0,))
