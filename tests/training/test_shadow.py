"""Shadow training against networks really trained: slopes in the width without seeds."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from training.mean_field import RULES, X_TEST, X, Y, limit_ntk, mean_field, slopes, trained
from widthwise.finite.dynamics import Descent, FixedSteps
from widthwise.training.shadow import run, shadow_training

ACTIVATIONS = {"tanh": jnp.tanh, "erf": jax.scipy.special.erf, "softplus": jax.nn.softplus}
ORDERS = {"symmetric": (-1.0, -1.0, -2.0), "skewed": (-0.5, -1.0, -1.5)}
CASES = [("tanh", "symmetric"), ("softplus", "skewed"), ("erf", "symmetric")]
CASES += [("softplus", "symmetric")]
SLOW = {("erf", "symmetric"), ("softplus", "symmetric")}


def cases():
    return [pytest.param(*c, marks=pytest.mark.slow if c in SLOW else ()) for c in CASES]


def errors(activation, law, n, *, descent):
    """Largest error of the orders 1, 2, 3, over train and test points."""
    net, parameters = mean_field(ACTIVATIONS[activation], law, n)
    if descent:
        largest = np.linalg.eigvalsh(limit_ntk(ACTIVATIONS[activation], law)[:3])[-1]
        options = {"steps": [5], "step": 1.5 / largest}
        found = shadow_training(net, parameters, X, Y, X_TEST, **options)
        plan = Descent.steps(np.array([5.0]), options["step"])
    else:
        found = shadow_training(net, parameters, X, Y, X_TEST, [2.0], tolerance=1e-12)
        plan = FixedSteps.flow(np.array([2.0]), found.step / 4)
    exact = trained(net, parameters, plan)[0]
    return [np.abs(found.outputs(k)[..., 0] - exact).max() for k in (1, 2, 3)]


@pytest.mark.parametrize(("activation", "law"), cases())
@pytest.mark.parametrize("descent", [False, True])
def test_errors_fall_with_their_powers_of_the_width(activation, law, descent):
    widths = 4.0 ** np.array([6, 7, 8, 9])
    found = np.array([errors(activation, law, n, descent=descent) for n in widths])
    for k, slope in enumerate(ORDERS[law]):
        clear = found[:, k] > 1e-11  # above rounding
        assert slopes(widths[clear], found[clear, k])[-1] == pytest.approx(slope, abs=0.03)


class MeanFieldConvolution(eqx.Module):
    """Channels of convolutions, distributed as μ + ν/√n like the neurons of ``mean_field``."""

    n: jax.Array
    weights: jax.Array

    def __call__(self, parameters, images):
        root = jnp.sqrt(self.n * self.weights)
        readout, filters = parameters[0] / root, parameters[1] / root
        layout = ("NHWC", "HWIO", "NHWC")
        h = jax.lax.conv_general_dilated(images, filters, (1, 1), "SAME", dimension_numbers=layout)
        return jnp.sqrt(self.n) * jnp.tanh(h).mean((1, 2)) @ (self.weights * readout)


def convolutional_errors(n):
    """Of the linearization and of the third order, after four steps of gradient descent."""
    rng = np.random.default_rng(6)
    images, y = rng.standard_normal((3, 4, 4, 1)), np.array([1.0, -0.5, 0.3])
    values, probabilities = RULES["symmetric"]
    readout = np.repeat(values, 30)
    filters = np.tile(rng.standard_normal((3, 3, 1, 30)) / 3, 3)
    mu = np.repeat(probabilities, 30) / 30
    nu = rng.uniform(-1.7, 1.7, len(mu))
    weights = mu * (1 + (nu - mu @ nu) / np.sqrt(n))
    net = MeanFieldConvolution(jnp.asarray(float(n)), jnp.asarray(weights))
    start = tuple(jnp.asarray(v * np.sqrt(n * weights)) for v in (readout, filters))
    found = shadow_training(net, start, images, y, steps=[4], step=0.8)
    moved = start
    for _ in range(4):
        moved = jax.tree.map(lambda p, g: p - 0.8 * g, moved, _loss_gradient(net, moved, images, y))
    truth = np.asarray(net(moved, images))
    return [np.abs(found.outputs(k)[0, :, 0] - truth).max() for k in (1, 3)]


@eqx.filter_jit
def _loss_gradient(net, parameters, images, y):
    return jax.grad(lambda p: 0.5 * jnp.sum((net(p, images) - y) ** 2))(parameters)


def test_errors_of_a_convolutional_network_fall_with_their_powers_of_the_width():
    widths = 4.0 ** np.array([6, 7, 8])
    found = np.array([convolutional_errors(n) for n in widths])
    for k, slope in enumerate((-1.0, -2.0)):
        assert slopes(widths, found[:, k])[-1] == pytest.approx(slope, abs=0.03)


def test_derivatives_that_are_not_finite_are_told_at_once(monkeypatch):
    """|z|^{5/2} at z = 0: the third derivative is infinite, and no time step mends that."""

    def apply(parameters, x):
        return x @ parameters[0] + jnp.abs(x @ parameters[1]) ** 2.5

    calls = []
    follow = run._follow
    monkeypatch.setattr(run, "_follow", lambda *a: calls.append(a) or follow(*a))
    parameters = (jnp.ones((1, 1)), jnp.zeros((1, 1)))
    with pytest.raises(ValueError, match="derivatives along training"):
        shadow_training(apply, parameters, [[1.0]], [0.5], times=[1.0])
    assert len(calls) == 1
    infinite = (jnp.ones((1, 1)) * jnp.inf, jnp.ones((1, 1)))
    with pytest.raises(ValueError, match="kernel of this network is not finite"):
        shadow_training(lambda p, x: p[0] * (x @ p[1]), infinite, [[1.0]], [0.5], times=[1.0])


@pytest.mark.parametrize("rows", [8, 40])
def test_a_step_just_above_the_stable_ones_is_refused(rows):
    """Linear features whose two largest eigenvalues differ by 1e-4: power iterations are slow."""
    values = np.linspace(0.5, 0.9, rows)
    values[:2] = 1.0, 1.0 - 1e-4
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((rows, rows)))[0]
    x = (Q * np.sqrt(values)) @ Q.T

    def train(step):
        return shadow_training(
            lambda w, x: x @ w, jnp.zeros((rows, 1)), x, np.ones(rows), steps=[1], step=step
        )

    with pytest.raises(ValueError, match="unstable"):
        train(2 * (1 + 1e-6))
    assert train(2 * (1 - 1e-5)).coefficients.shape == (3, 1, rows, 1)
