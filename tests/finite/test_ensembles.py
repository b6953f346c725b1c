"""Ensembles: the flow against an independent integrator, reproducibility, descent, bad input."""

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import widthwise as ww
from widthwise.model.architecture import Layer

X, Y = np.array([[-1.0], [0.3], [1.2]]), np.array([1.0, -1.0, 0.5])
X_TEST = np.array([[-0.4], [2.0]])
NET = ww.MLP(1, "tanh", weight_std=(1.5, 1.0), bias_std=(0.5, 0.0))
KEY = jax.random.key(0)


def run(members=5, times=(0.0, 0.5, 2.0), net=NET, width=16, **options):
    return ww.simulate(net, width, X, Y, X_TEST, times, members, KEY, **options)


def test_four_neurons_reference():
    """Configuration R trained from four given neurons: published outputs at two times."""
    from widthwise.finite.dynamics import FixedSteps, Task, negative_gradient

    a, w, b = [1, -0.5, 0.8, -1.2], [0.3, -1, 0.7, 1.5], [0.2, 0.5, -0.4, 1]
    parameters = (
        Layer(jnp.array(w, float)[:, None], jnp.array(b, float)),
        Layer(jnp.array([a], float), None),
    )
    points = jnp.concatenate([X, X_TEST])
    task = Task(jnp.asarray(X), jnp.asarray(Y)[:, None], points)
    plan = FixedSteps.flow(np.array([0.5, 2.0]), 0.005)
    f = plan.integrate(negative_gradient(NET, 4, task), lambda p: NET.apply(p, points), parameters)
    assert f[0, :, 0] == pytest.approx(
        [0.2299184, -0.44610468, -0.14550109, 0.03048333, -0.01707353], abs=6e-9
    )
    assert f[1, :, 0] == pytest.approx(
        [0.46409951, -0.48947997, -0.19849996, 0.22319173, -0.07510295], abs=6e-9
    )
    theta = ww.empirical_ntk(NET, parameters, points)
    assert theta[0, 1] == pytest.approx(-0.40097149, abs=6e-9)
    assert theta[4, 2] == pytest.approx(1.20559084, abs=6e-9)


@pytest.mark.parametrize("parametrization", ["ntk", "standard"])
def test_flow_against_scipy(parametrization):
    net = ww.MLP(2, "erf", weight_std=1.5, bias_std=0.3, parametrization=parametrization)
    runs = run(net=net, members=2, tolerance=1e-8)
    flat, unravel = jax.flatten_util.ravel_pytree(runs.parameters(1))
    rates = net.learning_rates(16, 1)
    loss = jax.jit(jax.grad(lambda p: 0.5 * jnp.sum((net.apply(unravel(p), X)[:, 0] - Y) ** 2)))
    scale, _ = jax.flatten_util.ravel_pytree(
        tuple(
            Layer(jnp.full(p.weight.shape, r.weight), jnp.full(p.bias.shape, r.bias))
            for p, r in zip(runs.parameters(1), rates, strict=True)
        )
    )
    solution = solve_ivp(
        lambda t, p: -np.asarray(scale * loss(jnp.asarray(p))), (0, 2), flat, rtol=1e-10, atol=1e-11
    )
    exact = net.apply(unravel(jnp.asarray(solution.y[:, -1])), np.concatenate([X, X_TEST]))
    assert np.abs(runs.outputs[1, -1] - exact).max() < 2e-8
    assert runs.integration_error <= 1e-8


def test_adaptive_solver_agrees():
    runs = run(tolerance=1e-8)
    adaptive = run(solver="adaptive", tolerance=1e-9)
    assert np.abs(runs.outputs - adaptive.outputs).max() < 1e-7


def test_descent_equals_a_loop():
    runs = run(times=(0, 1, 6), method="descent", step=0.2, members=3)
    parameters = runs.parameters(2)
    gradient = jax.jit(jax.grad(lambda p: 0.5 * jnp.sum((NET.apply(p, X)[:, 0] - Y) ** 2)))
    for _ in range(6):
        parameters = jax.tree.map(lambda p, g: p - 0.2 * g, parameters, gradient(parameters))
    assert np.abs(runs.outputs[2, 2, :3] - NET.apply(parameters, X)).max() < 1e-13
    assert runs.integration_error == 0.0


def test_members_do_not_depend_on_blocks_or_on_their_number():
    whole, blocks = run(members=40), run(members=40, memory=1.0)
    assert np.abs(whole.outputs - blocks.outputs).max() < 1e-9
    assert np.abs(whole.initial[:4] - run(members=4).initial).max() < 1e-12


def test_same_key_same_networks_and_time_zero_is_the_initial_output():
    first, second = run(), run()
    assert (first.outputs == second.outputs).all()
    assert (first.outputs[:, 0] == first.initial).all()
    assert first.losses.shape == (5, 3)
    assert (np.diff(first.losses, axis=1) < 0).all()


def test_wide_networks_follow_the_linear_flow():
    times = (0.5, 2.0)
    flow = ww.linear_flow(NET, X, Y, X_TEST)
    deviation = [
        np.sqrt(np.mean((runs.outputs - flow.outputs(runs.initial, times)) ** 2))
        for runs in (run(members=40, times=times, width=n) for n in (64, 1024))
    ]
    assert deviation[1] < deviation[0] / 2.8  # n^{-1/2} over a factor of 16 is 4


def test_ntk_on_demand_several_outputs_and_no_test_points():
    net = ww.MLP(2, "relu", weight_std=2**0.5, outputs=2)
    runs = ww.simulate(net, 8, X, np.stack([Y, -Y], 1), None, [1.0], 3, KEY)
    assert runs.outputs.shape == (3, 1, 3, 2)
    assert runs.ntk.shape == (3, 3, 3)
    assert np.abs(runs.ntk[1] - ww.empirical_ntk(net, runs.parameters(1), X)).max() < 1e-13


def test_progress_reaches_the_number_of_members():
    seen = []
    run(members=40, memory=1.0, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (40, 40)
    assert len(seen) > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width must be an integer of at least 1"),
        ({"members": 0}, "members must be an integer"),
        ({"times": (2.0, 1.0)}, "at least one finite number, increasing"),
        ({"times": (float("inf"),)}, "at least one finite number, increasing"),
        ({"method": "descent"}, "needs step="),
        ({"method": "descent", "step": 0.1, "times": (0.5,)}, "counts gradient-descent steps"),
        ({"method": "descent", "step": 1e6, "times": (400,)}, "diverged"),
        ({"method": "descent", "step": 0.1, "times": (1,), "solver": "adaptive"}, "solver belongs"),
        ({"method": "descent", "step": 0.1, "times": (1,), "momentum": 1.0}, "momentum must be"),
        ({"solver": "adaptive", "step": 0.1}, "leave step out, got step=0.1"),
    ],
)
def test_bad_input_says_what_to_do(options, message):
    with pytest.raises(ValueError, match=message):
        run(**options)


def test_unknown_methods_are_named(unchecked):
    with pytest.raises(ValueError, match="'flow' or 'descent', got 'sgd'"):
        run(method="sgd")
    with pytest.raises(ValueError, match="'runge_kutta' or 'adaptive', got 'euler'"):
        run(solver="euler")
    with pytest.raises(ValueError, match="one name or several, got 3"):
        run(record=3)
    for key, got in ((0, "got 0"), (jax.random.split(KEY, 2), r"got an array of shape \(2,\)")):
        with pytest.raises(ValueError, match=got):
            ww.simulate(NET, 8, X, Y, None, [1.0], 2, key)
    with pytest.raises(ValueError, match=r"such as \[64, 256\], got 8"):
        ww.simulate_widths(NET, 8, X, Y, None, [1.0], 2, KEY)


def test_members_are_numbered_from_zero(unchecked):
    """A number too large used to name a network that was never trained."""
    runs = run(members=2, times=(1,), method="descent", step=0.1, first=np.int64(3))
    for member in (2, -1):
        with pytest.raises(ValueError, match=f"an integer below 2, got {member}"):
            runs.parameters(member)
        with pytest.raises(ValueError, match=f"an integer below 2, got {member}"):
            runs.trained_parameters(member)
