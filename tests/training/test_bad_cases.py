"""Tiny eigenvalues, late times, equal points, heavy tails and kinks: what is said of each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import widthwise as ww
from widthwise.training.blocks.measured import measured_blocks
from widthwise.training.smoothness import kinked

NET = ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.0))
X, Y = np.array([[-1.0], [0.3], [1.2]]), np.array([1.0, -1.0, 0.5])
NEAR = np.array([[-1.0], [0.3], [0.3 + 1e-5]])  # λ_min = 1e-10, with labels far apart
X_TEST = np.array([[-0.4]])
PARAMETERS = NET.init(jax.random.key(0), 64, inputs=1)
TIMES = [1.0, 1e6, np.inf]


def shallow(phi):
    def apply(parameters, x):
        w, v = parameters
        return phi(1.5 * x @ w) @ v / v.shape[0] ** 0.5

    return apply


def start(key, n, readout=None):
    hidden, last = jax.random.split(key)
    law = ww.laws.Gaussian() if readout is None else readout
    return jax.random.normal(hidden, (1, n)), law.sample(last, (n, 1))


def test_the_law_of_nearly_equal_points_with_other_labels():
    verdicts = ww.training_law(NET, NEAR, Y, X_TEST, TIMES).reliability(64).verdicts
    assert verdicts == ("reliable", "unreliable", "unreliable")


def test_the_prediction_for_nearly_equal_points_with_other_labels():
    early, _, end = (ww.predict(NET, PARAMETERS, NEAR, Y, X_TEST, t) for t in TIMES)
    assert early.reliability.trusted
    assert end.reliability.verdict.startswith("Not reliable")
    assert (end.error[0, 3:] >= np.abs(end.orders[2, 0, 3:])).all()
    assert np.abs(end.orders[2, 0, 3]) > 1e3  # nonsense, and called so
    early, _, end = (
        ww.predict(NET, PARAMETERS, NEAR, Y, X_TEST, t, reference="limit") for t in TIMES
    )
    assert "slowest mode" in end.reliability.verdict
    assert "slowest mode by up to 0." in early.reliability.verdict or early.reliability.trusted


def test_what_a_prediction_leaves_out_of_train_points_is_learnt_in_the_end():
    times = [0.0, 1.0, 10.0, 100.0, 1e4, np.inf]
    found = ww.predict(NET, PARAMETERS, X, Y, X_TEST, times)
    train = np.sqrt((found.error[:, :3, 0] ** 2).mean(1))
    assert train[0] == 0
    assert train[4] < 1e-12
    assert train[5] == 0
    assert found.error[4, 3] == pytest.approx(found.error[5, 3], rel=1e-6)
    late = [10.0, 100.0]
    runs = ww.simulate(NET, 64, X, Y, X_TEST, late, 1, jax.random.key(3), tolerance=1e-9)
    own = ww.predict(NET, runs.parameters(0), X, Y, X_TEST, late)
    missed = np.abs(own.outputs - runs.outputs[0])[:, :3].max((1, 2))
    assert (missed < 3 * own.error[:, :3].max((1, 2))).all()


def test_shadow_training_to_a_time_it_cannot_reach():
    with pytest.raises(ValueError, match=r"to t = 1e\+06 takes .* steps .* closed form"):
        ww.shadow_training(NET, PARAMETERS, X, Y, None, TIMES[1])


@pytest.mark.parametrize("points", [1, 3])
@pytest.mark.parametrize(
    ("phi", "kink"),
    [
        (jax.nn.relu, True),
        (jax.nn.elu, True),  # of its derivative
        (jnp.tanh, False),
        (lambda z: jax.nn.softplus(10 * z) / 10, False),
    ],
)
def test_kinks_of_unknown_functions_are_seen(phi, kink, points):
    apply, x = shallow(phi), jnp.asarray(X[:points])
    parameters, key = start(jax.random.key(0), 8), jax.random.key(1)
    assert kinked(apply, parameters, x, key, 24) is kink


def test_unknown_functions_with_kinks_are_refused():
    apply, parameters = shallow(jax.nn.relu), start(jax.random.key(0), 64)
    with pytest.raises(ValueError, match=r"seems to have a kink.*linearization"):
        ww.shadow_training(apply, parameters, X, Y, None, [1.0])
    found = ww.predict(apply, parameters, X, Y, None, [1.0])
    assert found.engine == "linearization"
    assert "seems to have a kink" in found.reliability.verdict
    with pytest.raises(ValueError, match=r"seems to have a kink.*train an ensemble"):
        measured_blocks(apply, start, X[:1], widths=(4, 8), members=160)


@pytest.mark.slow
def test_heavy_tails_of_measured_networks_are_seen():
    def heavy(key, n):
        return start(key, n, ww.laws.StudentT(3.0))

    with pytest.raises(ValueError, match="so heavy tails has no covariance of the tangent kernel"):
        measured_blocks(shallow(jnp.tanh), heavy, X[:1], widths=(4, 8), members=4000)


def test_rates_of_networks_with_equal_points():
    """Equal points with other labels: what no parameter moves is not waited for."""
    x = np.array([[-1.0], [0.3], [0.3]])
    found = ww.ntk_rates(NET, x, Y, [16, 64], 4, key=jax.random.key(0))
    assert np.isfinite([rate.values for rate in found.rates]).all()


def test_rates_over_times_that_are_not_reached():
    with pytest.raises(ValueError, match=r"t = 1e\+06 takes more than 100000 steps"):
        ww.ntk_rates(NET, X, Y, [16, 64], 4, key=jax.random.key(0), times=TIMES[:2])
