"""The second-order solution map against numerical integration of the hierarchy it solves."""

import jax
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import widthwise as ww
from training.oracles.tangents import tangents
from widthwise.training.dynamics import GradientDescent, GradientFlow
from widthwise.training.solution_map import SolutionMap
from widthwise.training.terms import DESCENT_TERMS, TERMS, terms

TRAIN, ROWS = 3, 5
TIMES = np.array([0.4, 3.0])


def statistics(seed=0, duplicate=False):
    """F, Θ, D, T, U of no particular network; the second train row may copy the first."""
    rng = np.random.default_rng(seed)
    source = np.array([0, 0, *range(2, ROWS)]) if duplicate else np.arange(ROWS)

    def tensor(axes):
        values = rng.normal(size=(ROWS,) * axes)
        if axes > 1:
            values = values + np.swapaxes(values, 0, 1)
        values = values[np.ix_(*[source] * axes)]
        return values[(slice(None),) + (slice(TRAIN),) * (axes - 1)]

    features = rng.normal(size=(ROWS, 8))[source]
    ntk = features @ features[:TRAIN].T / 8
    F = rng.normal(size=ROWS)[source]
    y = rng.normal(size=TRAIN)
    return F, y, ntk, {"D": 0.3 * tensor(2), "T": 0.3 * tensor(3), "U": 0.3 * tensor(4)}


def integrated(F, y, ntk, tensors, times):
    """ḟ = −Θ r, Θ̇ = −T r, Ṫ = −U r."""
    m, p = TRAIN, ROWS
    shapes = [(p,), (p, m), (p, m, m)]
    ends = np.cumsum([int(np.prod(s)) for s in shapes])
    kernel = ntk + tensors.get("D", 0.0)
    start = np.concatenate([F, kernel.ravel(), tensors["T"].ravel()])

    def motion(_, state):
        f, theta, third = (
            part.reshape(s) for part, s in zip(np.split(state, ends[:-1]), shapes, strict=True)
        )
        r = f[:m] - y
        return -np.concatenate([theta @ r, (third @ r).ravel(), (tensors["U"] @ r).ravel()])

    run = solve_ivp(motion, (0, times[-1]), start, "DOP853", times, rtol=1e-12, atol=1e-13)
    return run.y[:p].T


def scaled(tensors, s, symmetric):
    powers = {"D": 1, "T": 2 if symmetric else 1, "U": 2}
    return {name: s ** powers[name] * tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("duplicate", [False, True])
def test_each_order_removes_one_power(symmetric, duplicate):
    F, y, ntk, tensors = statistics(1, duplicate)
    solution = SolutionMap(ntk, y)
    assert len(solution.eigenvalues) == TRAIN - duplicate
    errors = []
    for s in (0.02, 0.01):
        these = scaled(tensors, s, symmetric)
        exact = integrated(F, y, ntk, these, TIMES)
        orders = solution.expansion(GradientFlow(TIMES), F, these, symmetric=symmetric)
        errors.append(np.abs(np.cumsum(orders, 0) - exact).max((1, 2)))
    slopes = np.log2(errors[0] / errors[1])
    np.testing.assert_allclose(slopes, [1, 2, 3], atol=0.1)


def test_the_frozen_variant_has_no_order_one_error_in_symmetric_case():
    F, y, ntk, tensors = statistics(2)
    del tensors["D"]
    solution = SolutionMap(ntk, y)
    errors = []
    for s in (0.02, 0.01):
        these = scaled(tensors, s, symmetric=True)
        exact = integrated(F, y, ntk, these, TIMES)
        orders = solution.expansion(GradientFlow(TIMES), F, these, symmetric=True)
        errors.append(np.abs(np.cumsum(orders, 0) - exact).max((1, 2)))
    np.testing.assert_allclose(np.log2(errors[0] / errors[1]), [2, 2, 4], atol=0.1)
    assert {term.name for term in terms(symmetric=True, frozen=True)} == {"T", "U"}


def test_late_times_reach_infinity_and_time_zero_changes_nothing():
    F, y, ntk, tensors = statistics(3)
    solution = SolutionMap(ntk, y)
    late = 60 / solution.eigenvalues[0]
    orders = solution.expansion(GradientFlow([0.0, late, np.inf]), F, tensors, symmetric=False)
    np.testing.assert_allclose(orders[:, 0], [F, 0 * F, 0 * F], atol=1e-15)
    np.testing.assert_allclose(orders[:, 1], orders[:, 2], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(orders[0, 2, :TRAIN], y, atol=1e-14)
    np.testing.assert_allclose(orders[1:, 2, :TRAIN], 0, atol=1e-14)


def test_a_direction_that_does_not_train_stays_where_it_is():
    F, y, ntk, tensors = statistics(4, duplicate=True)
    orders = SolutionMap(ntk, y).expansion(GradientFlow(np.inf), F, tensors, symmetric=False)
    assert np.isfinite(orders).all()
    np.testing.assert_allclose(orders[0, 0], orders[0, 1], atol=1e-14)
    assert orders[0, :2] == pytest.approx(y[:2].mean())


def test_descent_of_a_constant_kernel():
    """(1 − η(Θ + sD))^k expanded in s: its error is of order s³."""
    F, y, ntk, tensors = statistics(5)
    solution = SolutionMap(ntk, y)
    step, steps = 1.5 / solution.eigenvalues[-1], 7
    errors = []
    for s in (0.02, 0.01):
        f, D = F, s * tensors["D"]
        for _ in range(steps):
            f = f - step * (ntk + D) @ (f[:TRAIN] - y)
        orders = solution.expansion(GradientDescent(steps, step), F, {"D": D}, symmetric=True)
        errors.append(np.abs(np.cumsum(orders, 0) - f).max(1))
    np.testing.assert_allclose(np.log2(errors[0] / errors[1]), [1, 2, 3], atol=0.1)


def descent_statistics(seed):
    """T, U, S, W, R, Q of no particular network; S and W and Q are symmetric in their steps."""
    F, y, ntk, tensors = statistics(seed)
    _, _, _, more = statistics(seed + 100)
    tensors["S"] = more["T"] + np.swapaxes(more["T"], 1, 2)
    for k, name in enumerate("WRQ"):
        tensors[name] = statistics(seed + 200 + k)[3]["U"]
    return F, y, ntk, tensors


def descended(F, y, ntk, tensors, step, steps):
    """The recursion of the hierarchy, step by step."""
    f, theta, third, second = F, ntk + tensors["D"], tensors["T"], tensors["S"]
    for _ in range(steps):
        r = f[:TRAIN] - y
        f, theta, third, second = (
            f
            - step * theta @ r
            + step**2 / 2 * second @ r @ r
            - step**3 / 6 * tensors["Q"] @ r @ r @ r,
            theta - step * third @ r + step**2 / 2 * tensors["W"] @ r @ r,
            third - step * tensors["U"] @ r,
            second - step * tensors["R"] @ r,
        )
    return f


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("size", [0.3, 1.6])
def test_each_order_of_descent_removes_one_power(symmetric, size):
    F, y, ntk, tensors = descent_statistics(7)
    solution = SolutionMap(ntk, y)
    step, steps = size / solution.eigenvalues[-1], 9
    powers = {"D": 1, **dict.fromkeys("TS", 2 if symmetric else 1), **dict.fromkeys("UWRQ", 2)}
    errors = []
    for s in (0.0008, 0.0004):
        these = {name: s ** powers[name] * tensor for name, tensor in tensors.items()}
        exact = descended(F, y, ntk, these, step, steps)
        orders = solution.expansion(GradientDescent(steps, step), F, these, symmetric=symmetric)
        errors.append(np.abs(np.cumsum(orders, 0) - exact).max(1))
    np.testing.assert_allclose(np.log2(errors[0] / errors[1]), [1, 2, 3], atol=0.1)


def test_small_steps_are_the_flow():
    """What descent adds falls with the step, and is large where the step is."""
    F, y, ntk, tensors = descent_statistics(8)
    solution, time, gaps = SolutionMap(ntk, y), 1.5, []
    flow = solution.expansion(GradientFlow(time), F, tensors, symmetric=False)
    for steps in (8, 800, 1600):
        dynamics = GradientDescent(steps, time / steps)
        gaps.append(solution.expansion(dynamics, F, tensors, symmetric=False) - flow)
    large, small, smaller = (np.abs(gap).max(1) for gap in gaps)
    assert small / smaller == pytest.approx([2, 2, 2], rel=0.02)
    assert (large > 20 * small).all()


def test_no_test_rows_and_one_point():
    F, y, ntk, tensors = statistics(6)
    both = SolutionMap(ntk, y).expansion(GradientFlow(TIMES), F, tensors, symmetric=False)
    train = {name: tensor[:TRAIN] for name, tensor in tensors.items()}
    alone = SolutionMap(ntk[:TRAIN], y).expansion(
        GradientFlow(TIMES), F[:TRAIN], train, symmetric=False
    )
    np.testing.assert_allclose(alone, both[..., :TRAIN], atol=1e-14)
    one = SolutionMap(np.array([[2.0]]), np.array([1.0]))
    assert one.mean(GradientFlow(1.0)) == pytest.approx([1 - np.exp(-2.0)])


def test_refusals():
    solution = SolutionMap(np.eye(2), np.zeros(2))
    with pytest.raises(ValueError, match=r"T term is one of gradient flow; take.*descent=True"):
        solution.weights(TERMS[1], GradientDescent(3, 0.1))
    with pytest.raises(ValueError, match=r"S term is one of gradient descent; take"):
        solution.weights(DESCENT_TERMS[2], GradientFlow(1.0))
    tensors = {"T": np.ones((2, 2, 2))}
    with pytest.raises(ValueError, match="belong together in gradient descent, got T; give all"):
        solution.expansion(GradientDescent(3, 0.1), np.ones(2), tensors, symmetric=False)
    with pytest.raises(ValueError, match=r"got shapes \(2, 3\) and \(3,\)"):
        SolutionMap(np.ones((2, 3)), np.zeros(3))


FOUR = (
    ww.Layer(np.array([[0.3], [-1.0], [0.7], [1.5]]), np.array([0.2, 0.5, -0.4, 1.0])),
    ww.Layer(np.array([[1.0, -0.5, 0.8, -1.2]]), None),
)


def test_reference_numbers_of_four_neurons():
    """One tanh network of four neurons: its tangents, and its training by a Runge–Kutta method."""
    net = ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.0))
    x = np.array([[-1.0], [0.3], [1.2], [-0.4], [2.0]])
    y = np.array([1.0, -1.0, 0.5])
    F, theta, third, fourth = (np.asarray(a) for a in tangents(net, FOUR, x, 3))
    expected = {(0, 1): -0.40097149, (4, 2): 1.20559084}
    assert [theta[i] for i in expected] == pytest.approx(list(expected.values()), abs=1e-8)
    expected = {(0, 1, 2): -0.10982604, (2, 1, 0): 0.02862011}
    assert [third[i] for i in expected] == pytest.approx(list(expected.values()), abs=1e-8)
    expected = {(0, 1, 2, 0): -0.0064429, (4, 2, 1, 0): -1.39613003}
    assert [fourth[i] for i in expected] == pytest.approx(list(expected.values()), abs=1e-8)

    trained = {
        0.5: [0.2299184, -0.44610468, -0.14550109, 0.03048333, -0.01707353],
        2.0: [0.46409951, -0.48947997, -0.19849996, 0.22319173, -0.07510295],
    }
    leaves, shape = jax.tree.flatten(FOUR)
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]

    def split(theta):
        return jax.numpy.split(theta, ends), leaves

    def loss(theta):
        parts = [part.reshape(a.shape) for part, a in zip(*split(theta), strict=True)]
        return ((net.apply(jax.tree.unflatten(shape, parts), x[:3])[:, 0] - y) ** 2).sum() / 2

    gradient = jax.jit(jax.grad(loss))
    start = np.concatenate([leaf.ravel() for leaf in leaves])
    run = solve_ivp(
        lambda _, v: -np.asarray(gradient(v)),
        (0, 2),
        start,
        "DOP853",
        list(trained),
        rtol=1e-11,
        atol=1e-12,
    )
    solution = SolutionMap(theta, y)
    orders = solution.expansion(
        GradientFlow(list(trained)), F, {"T": third, "U": fourth}, symmetric=True
    )
    for i, (end, expected) in enumerate(zip(run.y.T, trained.values(), strict=True)):
        parts = [part.reshape(a.shape) for part, a in zip(*split(end), strict=True)]
        f = np.asarray(net.apply(jax.tree.unflatten(shape, parts), x))[:, 0]
        assert f == pytest.approx(expected, abs=1e-8)
        errors = np.abs(np.cumsum(orders, 0)[[0, 2], i] - f).max(1)
        assert errors[1] < (0.25, 0.5)[i] * errors[0]
