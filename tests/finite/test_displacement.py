"""Steps that move layers as products are the steps that move all parameters, to rounding."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import widthwise as ww
from widthwise.finite.dynamics import FixedSteps
from widthwise.finite.gradient import Task, negative_gradient
from widthwise.finite.runge_kutta import advance, scheme_for

RNG = np.random.default_rng(2)
X, X_TEST = RNG.normal(size=(3, 2)), RNG.normal(size=(1, 2))
NETS = {
    "shallow": ww.MLP(1, "tanh", 1.5, (0.3, 0.0)),
    "narrow": ww.MLP(3, "erf", 1.4, 0.2, ratios=(1, 0.125, 1), outputs=2),
    "standard": ww.MLP(2, "softplus", 1.3, (0.0, 0.4, 0.2), parametrization="standard"),
}


def relative_difference(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(jnp.abs(a - b).max() / jnp.abs(b).max()) for a, b in pairs)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("scheme", ["dormand_prince_8", "kutta_4"])
def test_a_step_of_products_is_the_step_of_all_parameters(name, scheme):
    net, width = NETS[name], 64
    y = RNG.normal(size=(3, net.outputs))
    task = Task(jnp.asarray(X), jnp.asarray(y), jnp.concatenate([X, X_TEST]))
    velocity = negative_gradient(net, width, task)
    size = jnp.asarray(0.3)
    members = jax.vmap(lambda key: net.init(key, width, 2))(jax.random.split(jax.random.key(1), 2))

    def step(scheme):
        return eqx.filter_jit(jax.vmap(lambda p: advance(scheme, velocity, p, size)))(members)

    plain = step(scheme)
    assert relative_difference(step(f"{scheme}_products"), plain) < 1e-13
    moved = [
        jnp.abs(a - b).max()
        for a, b in zip(jax.tree.leaves(members), jax.tree.leaves(plain), strict=True)
    ]
    assert min(moved) > 1e-5


def test_products_where_they_are_few():
    smooth, kinked = ww.MLP(2, "tanh"), ww.MLP(2, "relu")
    schemes = [scheme_for(smooth, n, m) for n, m in ((64, 3), (16, 3), (1024, 3), (1024, 64))]
    assert schemes == [
        "dormand_prince_8_products",
        "dormand_prince_8",
        "dormand_prince_8_products",
        "kutta_4_products",
    ]
    schemes = [scheme_for(kinked, n, m) for n, m in ((64, 3), (16, 8), (1024, 64))]
    assert schemes == ["kutta_4_products", "kutta_4", "kutta_4_products"]


def test_the_first_steps_are_shorter_where_the_flow_is_faster_there():
    """Of two intervals of one length the first has more steps; the error is what it says."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3, 3)), rng.normal(size=(3, 1))
    net, times, key = ww.MLP(1, "tanh", 1.5, 0.3), [0.5, 1.0, 2.0], jax.random.key(0)
    runs, exact = (
        ww.simulate(net, 64, x, y, None, times, 32, key, tolerance=tolerance)
        for tolerance in (1e-6, 1e-11)
    )
    error = np.abs(runs.outputs - exact.outputs).max()
    assert error <= 1.1 * runs.integration_error
    assert runs.integration_error <= 1e-6
    training = runs._training
    assert training is not None
    assert isinstance(training.plan, FixedSteps)
    counts = np.asarray(training.plan.counts)
    assert counts[0] > counts[1]
