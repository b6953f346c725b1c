"""The predicted first-order deviation against trained networks."""

import jax
import numpy as np
import pytest

import widthwise as ww
from widthwise.training.blocks import initial_blocks
from widthwise.training.dynamics import GradientFlow
from widthwise.training.first_order import first_order_mean_square
from widthwise.training.law.engine import Engine
from widthwise.training.solution_map import SolutionMap

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


def test_the_error_of_the_sum_knows_that_the_neurons_are_the_same():
    """Repeated: the spread over keys, of points so close that their errors are the same."""
    net, x = ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.0)), np.array([[1.0], [1.02], [0.98], [1.01]])
    flow = ww.linear_flow(net, x[:1], [1.0], x[1:])
    runs = [
        first_order_mean_square(net, flow, x, TIMES[1:], key=jax.random.key(k), neurons=1024)
        for k in range(60)
    ]
    assert runs[0].total == pytest.approx(runs[0].value.sum(1))
    spread = np.std([r.total for r in runs], axis=0, ddof=1)
    stated = np.sqrt(np.mean([r.total_error**2 for r in runs], axis=0))
    assert spread == pytest.approx(stated, rel=0.25)  # of 60 draws: 9%
    independent = np.sqrt(np.mean([(r.error**2).sum(1) for r in runs], axis=0))
    assert (spread > 1.5 * independent).all()


def test_what_it_does_not_cover_is_refused():
    net = ww.MLP(1, "tanh", weight_law="exponential")
    flow = ww.linear_flow(net, X, Y)
    with pytest.raises(ValueError, match="symmetric readout law"):
        first_order_mean_square(net, flow, X, TIMES, key=jax.random.key(0))


def test_it_is_the_first_order_variance_of_the_law():
    """The law has it from tensors, without sampling neurons, but not for activations with kinks."""
    net = ww.MLP(1, "softplus", (1.5, 1.0), (0.5, 0.4), weight_law=("gaussian", "uniform"))
    points = np.concatenate([X[:2], X_TEST[:1]])
    flow = ww.linear_flow(net, X[:2], Y[:2], X_TEST[:1])
    blocks = initial_blocks(net, points, 2)
    solution = SolutionMap(blocks.ntk[:, :2], Y[:2])
    exact = Engine(solution, blocks, GradientFlow(TIMES), 2).first_order_variance()
    found = first_order_mean_square(net, flow, points, TIMES, key=jax.random.key(1))
    assert (np.abs(found.value - exact) < 4 * found.error + 1e-12).all()
    fluctuation = np.einsum("ijij->", blocks.values["DD", 2])
    assert abs(found.kernel - fluctuation) < 4 * found.kernel_error
    assert (found.error[1:] < 0.05 * exact[1:].max(1, keepdims=True)).all()
