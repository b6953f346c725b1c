"""How training answers a deviation, against explicit steps."""

import jax
import numpy as np
import pytest

import widthwise as ww
from widthwise.training.dynamics import GradientDescent, GradientFlow
from widthwise.training.realization.response import answered
from widthwise.training.solution_map import SolutionMap

RNG = np.random.default_rng(0)
J = RNG.normal(size=(5, 2))  # three train rows of rank two: one direction is not learnt
THETA = J @ J[:3].T / 2
SOLUTION = SolutionMap(THETA, np.zeros(3))
MOMENTS = np.array([3.0, 4.0, 9.0])
DEVIATION = RNG.normal(size=(3, 5))


def stepped(step, per_unit):
    """Parameters δ, moved by the residuals c = J δ + g with g growing linearly between moments."""
    delta, found, before, start = np.zeros(2), [], 0.0, np.zeros(5)
    for moment, end in zip(MOMENTS, DEVIATION, strict=True):
        count = round((moment - before) * per_unit)
        for k in range(count):
            g = start + (end - start) * k / count
            delta = delta - step * J[:3].T @ (J[:3] @ delta / 2 + g[:3])
        found.append(J @ delta / 2 + end)
        before, start = moment, end
    return np.array(found)


def test_gradient_descent_is_exact():
    dynamics = GradientDescent(MOMENTS, 0.4)
    found = answered(SOLUTION, dynamics, MOMENTS, DEVIATION)
    assert found == pytest.approx(stepped(0.4, 1), abs=1e-12)


def test_gradient_flow_is_the_limit_of_small_steps():
    found = answered(SOLUTION, GradientFlow(MOMENTS), MOMENTS, DEVIATION)
    rough, fine = (stepped(1 / n, n) for n in (2000, 4000))
    assert found == pytest.approx(2 * fine - rough, abs=1e-6)


def test_at_the_end_train_modes_are_learnt():
    moments = np.append(MOMENTS, np.inf)
    deviation = np.concatenate([DEVIATION, DEVIATION[-1:]])
    found = answered(SOLUTION, GradientFlow(moments), moments, deviation)
    late = np.append(MOMENTS, 1e4)
    assert found[-1] == pytest.approx(
        answered(SOLUTION, GradientFlow(late), late, deviation)[-1], abs=1e-3
    )
    assert found[-1, :3] @ SOLUTION.eigenvectors == pytest.approx(np.zeros(2), abs=1e-12)
    assert np.abs(found[-1, :3]).max() > 0.01


def test_late_times_leave_out_what_the_end_of_training_does():
    """Deviations of train points are unlearnt, so late predictions are not feared."""
    net = ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.0))
    x, y, test = np.array([[-1.0], [1.2]]), np.array([1.0, -1.0]), np.array([[0.4]])
    parameters = net.init(jax.random.key(0), 256, 1)
    slowest = SolutionMap(ww.limit_kernels(net, x).ntk, y).eigenvalues[0]
    times = [1 / slowest, 30 / slowest, np.inf]
    found = ww.predict(net, parameters, x, y, test, times)
    early, late, end = found.error[..., 0]
    assert np.abs(late[:2]).max() < 1e-6 * np.abs(early[:2]).max()
    assert late[2] == pytest.approx(end[2], rel=1e-3)
