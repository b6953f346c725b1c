"""Shadow training against networks really trained: slopes in the width without seeds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from training.mean_field import X_TEST, X, Y, limit_ntk, mean_field, slopes, trained
from widthwise.finite.dynamics import Descent, FixedSteps
from widthwise.training.shadow import shadow_training

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
