"""One network's O3 and O4, and the solution map on them, against published numbers and training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import widthwise as ww
from training.mean_field import X_TEST, X, Y, limit_ntk, limiting_slope, mean_field, trained
from widthwise.finite.dynamics import FixedSteps
from widthwise.model.architecture import Layer
from widthwise.training.dynamics import GradientFlow
from widthwise.training.realization import kernel_drift, movement, realize
from widthwise.training.task import network_task

ACTIVATIONS = {"tanh": jnp.tanh, "erf": jax.scipy.special.erf, "softplus": jax.nn.softplus}
CASES = [("softplus", "skewed"), ("tanh", "symmetric"), ("erf", "symmetric")]
CASES += [("softplus", "symmetric")]


def four_neurons():
    """Config R of the reference numbers."""
    net = ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.0))
    a, w, b = [1, -0.5, 0.8, -1.2], [0.3, -1, 0.7, 1.5], [0.2, 0.5, -0.4, 1]
    hidden = Layer(jnp.array(w)[:, None], jnp.array(b, dtype=float))
    return net, (hidden, Layer(jnp.array(a)[None], None))


def test_four_neurons_against_reference_numbers():
    net, parameters = four_neurons()
    found = realize(network_task(net, parameters, X, Y, X_TEST))
    assert found.ntk[0, 1] == pytest.approx(-0.40097149, abs=1e-8)
    assert found.ntk[4, 2] == pytest.approx(1.20559084, abs=1e-8)
    assert found.third[0, 1, 2] == pytest.approx(-0.10982604, abs=1e-8)
    assert found.third[2, 1, 0] == pytest.approx(0.02862011, abs=1e-8)
    assert found.fourth[0, 1, 2, 0] == pytest.approx(-0.0064429, abs=1e-8)
    assert found.fourth[4, 2, 1, 0] == pytest.approx(-1.39613003, abs=1e-8)


def test_four_neurons_really_trained():
    net, parameters = four_neurons()
    plan = FixedSteps.flow(np.array([0.5, 2.0]), 0.01)
    outputs = trained(net.apply, parameters, plan, single=False)[0][..., 0]
    early = [0.2299184, -0.44610468, -0.14550109, 0.03048333, -0.01707353]
    late = [0.46409951, -0.48947997, -0.19849996, 0.22319173, -0.07510295]
    assert np.asarray(outputs) == pytest.approx(np.array([early, late]), abs=1e-8)


def size(array, axes=None):
    """The root mean square: where the largest entry is reached may change with n."""
    return np.sqrt(np.mean(np.square(array), axes))


def deviations(activation, law, n, seed):
    """Errors of every prediction at t = 2, of one mean-field network."""
    phi = ACTIVATIONS[activation]
    net, parameters = mean_field(phi, law, n, seed=seed)
    network = realize(network_task(net, parameters, X, Y, X_TEST))
    exact, end = trained(net, parameters, FixedSteps.flow(np.array([2.0]), 0.01))
    end = jax.tree.map(lambda leaf: leaf[0], end)
    flow, limit, symmetric = GradientFlow([2.0]), limit_ntk(phi, law), law == "symmetric"
    about_limit = network.expansion(flow, symmetric=symmetric, limit=limit).cumsum(0)
    frozen = network.expansion(flow, symmetric=symmetric).cumsum(0)
    after = realize(network_task(net, end, X, Y, X_TEST), tensors=False).ntk
    drift = kernel_drift(network, flow, symmetric=symmetric)[0]
    moved = np.sqrt(sum(jnp.sum((p - q) ** 2) for p, q in zip(end, parameters, strict=True)))
    return {
        "limit": size(about_limit - exact, (1, 2)),
        "frozen": size(frozen - exact, (1, 2)),
        "ntk": size(network.ntk - limit),
        "drift": size(after - network.ntk),
        "drift error": size(after - network.ntk - drift),
        "movement error": abs(movement(network, flow)[0] - moved),
    }


SLOPES = {
    "symmetric": {
        "limit": (-0.5, -1.0, -1.5),
        "frozen": (-1.0, -1.0, -2.0),
        "ntk": -0.5,
        "drift": -1.0,
        "drift error": -2.0,
        "movement error": -1.0,
    },
    "skewed": {
        "limit": (-0.5, -1.0, -1.5),
        "frozen": (-0.5, -1.0, -1.5),
        "ntk": -0.5,
        "drift": -0.5,
        "drift error": -1.5,
        "movement error": -1.0,
    },
}


def check_slopes(activation, law, widths, seed):
    found = [deviations(activation, law, n, seed) for n in widths]
    for name, expected in SLOPES[law].items():
        errors = np.array([np.atleast_1d(f[name]) for f in found])
        for k, slope in enumerate(np.atleast_1d(expected)):
            clear = errors[:, k] > 1e-11  # above rounding
            limit = limiting_slope(np.asarray(widths)[clear], errors[clear, k])
            assert limit == pytest.approx(slope, abs=0.03), (name, k)


def test_errors_fall_with_their_powers_of_the_width():
    check_slopes("softplus", "skewed", 4.0 ** np.array([6, 7, 8]), 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("activation", "law"), CASES)
def test_errors_fall_from_256_to_a_million(activation, law, seed):
    check_slopes(activation, law, 4.0 ** np.arange(4, 11), seed)
