"""The predicted first-order deviation against trained networks."""

import jax
import numpy as np
import pytest

import widthwise as ww
from widthwise.training.first_order import first_order_mean_square

X, Y = np.array([[-1.0], [0.3], [1.2]]), np.array([1.0, -1.0, 0.5])
X_TEST = np.array([[-0.4], [2.0]])
TIMES = np.array([0.0, 0.5, 2.0])


@pytest.mark.parametrize(
    ("activation", "law", "bias"),
    [
        ("tanh", "gaussian", 0.0),
        pytest.param("softplus", "uniform", 0.4, marks=pytest.mark.slow),
    ],
)
def test_mean_square_deviation_of_wide_networks(activation, law, bias):
    net = ww.MLP(1, activation, (1.5, 1.0), (0.5, bias), weight_law=("gaussian", law))
    flow = ww.linear_flow(net, X, Y, X_TEST)
    points = np.concatenate([X, X_TEST])
    theory = first_order_mean_square(net, flow, points, TIMES, key=jax.random.key(1))
    n = 1024
    runs = ww.simulate(net, n, X, Y, X_TEST, TIMES, 400, jax.random.key(2), tolerance=1e-5)
    squares = (runs.outputs - flow.outputs(runs.initial, TIMES))[..., 0] ** 2
    error = np.hypot(squares.std(0) / 20, theory.error / n)
    z = ((squares.mean(0) - theory.value / n) / np.maximum(error, 1e-300))[1:]
    assert theory.value[0] == pytest.approx(np.zeros(5), abs=1e-20)
    # the next order is 1/n of the leading one, with a coefficient of a few tens here
    allowance = 30 / n * (theory.value / n / np.maximum(error, 1e-300))[1:]
    assert (np.abs(z) < 4 + allowance).all()


@pytest.mark.slow
def test_standard_error_covers_the_spread_over_keys():
    net = ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.0))
    flow = ww.linear_flow(net, X, Y, X_TEST)
    points = np.concatenate([X, X_TEST])
    runs = [
        first_order_mean_square(net, flow, points, TIMES, key=jax.random.key(k), neurons=4096)
        for k in range(12)
    ]
    spread = np.std([r.value[2] for r in runs], axis=0, ddof=1)
    assert spread == pytest.approx(np.mean([r.error[2] for r in runs], 0), rel=0.8)


def test_what_it_does_not_cover_is_refused():
    net = ww.MLP(1, "tanh", weight_law="exponential")
    flow = ww.linear_flow(net, X, Y)
    with pytest.raises(ValueError, match="symmetric readout law"):
        first_order_mean_square(net, flow, X, TIMES, key=jax.random.key(0))
