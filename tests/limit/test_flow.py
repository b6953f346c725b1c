"""The linear flow against its differential equation, published numbers, and degenerate kernels."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import widthwise as ww
from widthwise.limit.flow import LinearFlow

INF = float("inf")


def configuration_r():
    net = ww.MLP(1, "tanh", weight_std=(1.5, 1.0), bias_std=(0.5, 0.0))
    return ww.linear_flow(net, [[-1.0], [0.3], [1.2]], [1.0, -1.0, 0.5], [[-0.4], [2.0]])


def test_configuration_r_reference():
    flow = configuration_r()
    assert flow.mean(2.0)[:, 0] == pytest.approx(
        [0.613239, -0.282007, -0.122908, 0.318251, -0.027554], abs=6e-7
    )
    assert np.diag(flow.covariance(2.0)) == pytest.approx(
        [0.009611, 0.023154, 0.005504, 0.048634, 0.02597], abs=6e-7
    )


def test_outputs_solve_the_differential_equation():
    flow = configuration_r()
    f0 = np.random.default_rng(0).standard_normal((5, 1))
    solution = solve_ivp(
        lambda t, f: -flow.ntk @ (f[:3] - flow.y[:, 0]),
        (0, 3),
        f0[:, 0],
        rtol=1e-11,
        atol=1e-12,
        t_eval=[0.7, 3.0],
    )
    assert flow.outputs(f0, [0.7, 3.0])[..., 0] == pytest.approx(solution.y.T, abs=1e-9)


def test_gradient_descent_equals_its_iteration():
    flow = configuration_r()
    f = f0 = np.random.default_rng(1).standard_normal((5, 1))
    step = 0.6
    for k in range(30):
        if k in (0, 1, 7):
            assert flow.outputs(f0, steps=k, step=step) == pytest.approx(f, abs=1e-12)
        f = f - step * flow.ntk @ (f[:3] - flow.y)
    assert flow.outputs(f0, steps=30, step=step) == pytest.approx(f, abs=1e-11)
    assert (step * flow.eigenvalues > 1).any()  # an oscillating direction was among them


def test_many_small_steps_follow_the_flow():
    flow = configuration_r()
    assert flow.mean(steps=2_000_000, step=1e-6) == pytest.approx(flow.mean(2.0), abs=1e-5)


def test_infinite_time_interpolates_and_is_the_limit_of_long_times():
    flow = configuration_r()
    assert flow.mean(INF)[:3, 0] == pytest.approx([1.0, -1.0, 0.5], abs=1e-12)
    assert flow.mean(INF) == pytest.approx(flow.mean(400.0), abs=1e-10)
    assert flow.covariance(INF)[:3, :3] == pytest.approx(np.zeros((3, 3)), abs=1e-12)
    assert flow.mean(steps=INF, step=0.5) == pytest.approx(flow.mean(INF), abs=1e-10)


def test_a_duplicated_point_is_harmless_at_every_time():
    net = ww.MLP(1, "relu", weight_std=2**0.5)
    x, y = np.array([[1.0, 0.5], [-0.3, 1.0]]), np.array([1.0, -0.5])
    plain = ww.linear_flow(net, x, y, [[0.4, 0.2]])
    doubled = ww.linear_flow(net, x[[0, 1, 1]], y[[0, 1, 1]], [[0.4, 0.2]])
    assert doubled.eigenvalues[0] == 0.0
    assert doubled.mean(INF)[[0, 1, 3]] == pytest.approx(plain.mean(INF), abs=1e-10)
    assert np.isfinite(doubled.mean([0.0, 1e-8, 1.0, 1e8, INF])).all()
    assert np.isfinite(doubled.covariance([0.0, 1.0, INF])).all()


def test_tiny_eigenvalues_keep_their_digits():
    ntk = np.diag([1.0, 1e-13])
    ntk = np.concatenate([ntk, [[0.5, 1e-14]]])
    flow = LinearFlow(np.eye(3), ntk, np.array([[1.0], [1.0]]))
    assert flow.mean(3.0)[1, 0] == pytest.approx(3e-13, rel=1e-3)
    assert flow.mean(3.0)[2, 0] == pytest.approx(0.5 * -np.expm1(-3.0) + 3e-14, rel=1e-12)


def test_time_zero_is_the_initial_process():
    flow = configuration_r()
    assert flow.covariance(0.0) == pytest.approx(flow.nngp, abs=1e-14)
    assert flow.mean(0.0) == pytest.approx(np.zeros((5, 1)), abs=1e-14)


def test_several_outputs_train_side_by_side():
    net = ww.MLP(1, "erf", outputs=2)
    x, y = np.array([[1.0], [-2.0]]), np.array([[1.0, 0.0], [0.0, 2.0]])
    flow = ww.linear_flow(net, x, y)
    single = ww.linear_flow(ww.MLP(1, "erf"), x, y[:, 1])
    assert flow.mean([0.5, 1.0])[..., 1:] == pytest.approx(single.mean([0.5, 1.0]))
    assert flow.outputs(np.zeros((4, 7, 2, 2)), [0.5, 1.0, 2.0]).shape == (4, 7, 3, 2, 2)


def test_bad_input_says_what_to_do():
    flow = configuration_r()
    with pytest.raises(ValueError, match=r"below 2/λ_max"):
        flow.mean(steps=3, step=1.0)
    with pytest.raises(ValueError, match="give either a time t"):
        flow.mean()
    with pytest.raises(ValueError, match="give either a time t"):
        flow.mean(1.0, steps=3, step=0.1)
    with pytest.raises(ValueError, match="counts gradient-descent steps"):
        flow.mean(steps=1.5, step=0.1)
    with pytest.raises(ValueError, match="at least 0"):
        flow.mean(-1.0)
    with pytest.raises(ValueError, match="f0 must end in shape"):
        flow.outputs(np.zeros((3, 1)), 1.0)
    with pytest.raises(ValueError, match="one row per train point"):
        ww.linear_flow(ww.MLP(1, jnp.tanh), [[1.0]], [1.0, 2.0])
