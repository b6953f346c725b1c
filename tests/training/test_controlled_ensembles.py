"""Control variates of trained networks against exact laws, plain averages and one another."""

from itertools import combinations_with_replacement

import jax
import numpy as np
import pytest

import widthwise as ww
from training.oracles import linear
from widthwise.training.dynamics import GradientFlow
from widthwise.training.ensembles import controlled_ensemble, controlled_ensembles
from widthwise.training.ensembles.controls import Controls, quadratic
from widthwise.training.ensembles.draws import drawn
from widthwise.training.ensembles.neurons import neuron_expectations
from widthwise.training.ensembles.problem import problem
from widthwise.training.ensembles.samples import cumulant, joint_cumulant
from widthwise.training.ensembles.untrained import untrained_expectations
from widthwise.training.solution_map import SolutionMap
from widthwise.training.symmetry import integer_powers

X, Y, X_TEST = np.array([[-1.0], [0.4]]), np.array([1.0, -0.7]), np.array([[1.5]])
TIMES = [0.5, 2.0]
GAMMA = ww.laws.Gamma(4.0)
TANH = ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.0))
SOFTPLUS = ww.MLP(1, "softplus", (1.2, 1.0), (0.5, 0.3), ("gaussian", GAMMA))


def test_sample_cumulants_are_k_statistics_with_their_jackknife_error():
    x = np.random.default_rng(0).gamma(3.0, size=(4000, 3))
    x[:, 2] += x[:, 0]
    sums = ww.estimators.PowerSums.empty(x.mean(0)).update(x)
    for degree in (1, 2, 3, 4):
        for which in combinations_with_replacement(range(3), degree):
            ours, theirs = cumulant([x[:, i] for i in which]).estimate, sums.cumulant(which)
            assert ours.value == pytest.approx(theirs.value, rel=1e-9)
            assert ours.error == pytest.approx(theirs.error, rel=0.45)  # of 32 groups


def test_errors_of_sums_know_that_the_members_are_the_same():
    rng = np.random.default_rng(1)
    a = rng.normal(size=2000)
    b = a + 0.01 * rng.normal(size=2000)
    difference = cumulant([a, a]).plus(cumulant([b, b]), -1.0).estimate
    assert difference.error < 0.05 * cumulant([a, a]).estimate.error
    fifth = joint_cumulant([a**2 - (a**2).mean()] * 5)
    direct = a**2 - (a**2).mean()
    m2, m3, m5 = (np.mean(direct**k) for k in (2, 3, 5))
    assert fifth == pytest.approx(m5 - 10 * m2 * m3)


def test_controls_are_the_first_terms_of_the_solution_map():
    rng = np.random.default_rng(2)
    root = rng.normal(size=(4, 4))
    theta = (root @ root.T)[:, :3]
    solution, dynamics = SolutionMap(theta, rng.normal(size=3)), GradientFlow([0.3, 2.0])
    controls = Controls(solution, dynamics)
    F, change = rng.normal(size=(5, 4)), rng.normal(size=(5, 4, 3))
    change[:, :3] += np.swapaxes(change[:, :3], 1, 2)
    g, h = controls.linear(F), controls.first_order(F, change)
    for member in range(5):
        orders = solution.expansion(dynamics, F[member], {"D": change[member]}, symmetric=True)
        assert g[member] == pytest.approx(orders[0], abs=1e-12)
        assert h[member] == pytest.approx(orders[1], abs=1e-12)


def test_the_polynomial_finds_itself():
    rng = np.random.default_rng(3)
    F = rng.normal(size=(200, 2))
    values = 1 + F[:, 0] - 2 * F[:, 0] * F[:, 1] + 0.5 * F[:, 1] ** 2
    q = quadratic(F, values[:, None, None], np.eye(2))
    pieces = quadratic(F, values[:, None, None], np.eye(2), memory=1.0)
    assert pieces.square == pytest.approx(q.square, abs=1e-13)
    assert q.linear[0, 0] == pytest.approx([1, 0], abs=1e-12)
    assert q.square[0, 0] == pytest.approx(np.array([[0, -1], [-1, 0.5]]), abs=1e-12)
    assert q(F)[:, 0, 0] == pytest.approx(values - 1.5, abs=1e-12)


def test_drawn_networks_are_the_simulated_ones():
    key = jax.random.key(0)
    for net in (SOFTPLUS, ww.MLP(2, "tanh", outputs=2, bias_std=0.2, parametrization="standard")):
        y = np.repeat(Y[:, None], net.outputs, 1)
        runs = ww.simulate(net, 7, X, y, X_TEST, [0.0], 5, key, record="ntk")
        blocks = list(drawn(net, 7, np.concatenate([X, X_TEST]), 2, key, 5))
        F = np.concatenate([block.outputs[:, 0] for block in blocks])
        theta = np.concatenate([block.ntk[:, 0] for block in blocks])
        assert np.asarray(runs.initial).reshape(5, -1) == pytest.approx(F, abs=1e-12)
        c = net.outputs
        averaged = sum(theta[:, i::c, i::c] for i in range(c)) / c
        assert averaged == pytest.approx(runs.recorded["ntk"][:, 0], abs=1e-12)


KINKED = ww.MLP(1, "relu", (1.2, 1.0), (0.5, 0.3), ("gaussian", GAMMA))


@pytest.mark.parametrize(
    "net",
    [
        TANH,
        pytest.param(SOFTPLUS, marks=pytest.mark.slow),
        pytest.param(KINKED, marks=pytest.mark.slow),
    ],
    ids=["even", "skewed", "kinked"],
)
def test_neurons_and_untrained_networks_expect_the_same(net):
    """Two programs: cumulants of one neuron, and sample moments of networks of width 12."""
    p, key = problem(net, X, Y, X_TEST, TIMES), jax.random.key(5)
    common = (net, 12, p.x, p.nngp, p.controls, key)
    exact = neuron_expectations(*common, even=p.even)
    found = untrained_expectations(*common, 20_000, even=p.even, known=None)
    pairs = [(getattr(exact, name), getattr(found, name)) for name in ("first_order", "mixed")]
    pairs += [(exact.second, found.second), (exact.third, found.third)]
    for k in (3, 4):
        pairs.append((exact.linear_cumulants[k], found.linear_cumulants[k]))
        pairs.append((exact.mixed_cumulants[k], found.mixed_cumulants[k]))
    clear = 0
    for ours, theirs in pairs:
        error = np.hypot(ours.error, theirs.error) + 1e-12
        assert (np.abs(ours.value - theirs.value) < 4.5 * error).all()
        clear += (np.abs(theirs.value) > 10 * error).any()
    assert clear >= (4 if p.even else 7)


def test_cumulants_of_a_linear_network_of_width_24():
    """Against its exact law at this width, by quadrature."""
    net, time, y, n = ww.MLP(1, "identity", (1.1, 0.9)), 0.7, 0.8, 24
    e = controlled_ensemble(net, n, [[1.3]], [y], None, [time], 8000, jax.random.key(1))
    exact = linear.cumulants(n, 1.3 * 0.99, y, time)
    for part, value in zip((e.mean, e.covariance, e.third, e.fourth), exact, strict=True):
        z = (part.value.item() - value) / part.error.item()
        assert abs(z) < 3.5
    assert e.mean.reduction.item() > 20
    assert e.covariance.reduction.item() > 2
    # the shifts from infinite width are seen, not only allowed
    for part in (e.mean, e.covariance):
        assert np.abs((part.value - part.limit) / part.error).min() > 10


@pytest.mark.parametrize(
    "net",
    [
        pytest.param(ww.MLP(2, "relu", (1.4, 1.4, 1.0), (0.2, 0.2, 0.0)), marks=pytest.mark.slow),
        ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.3), outputs=2, parametrization="standard"),
    ],
    ids=["kinked, deep", "two outputs, standard"],
)
def test_plain_averages_of_the_same_networks_agree(net):
    n, count, key = 48, 600, jax.random.key(7)
    y = np.repeat(Y[:, None], net.outputs, 1)
    e = controlled_ensemble(net, n, X, y, X_TEST, [0.5], count, key, untrained=2000)
    tolerance = 1e-5 if net.activation.kinks else 1e-7
    runs = ww.simulate(net, n, X, y, X_TEST, [0.5], count, key, tolerance=tolerance)
    plain = np.asarray(runs.outputs).mean(0)
    spread = np.asarray(runs.outputs).std(0) / np.sqrt(count)
    assert e.mean.plain_error == pytest.approx(spread, rel=0.01)
    assert (np.abs(e.mean.value - plain) < 4 * spread).all()
    assert (e.mean.reduction > 5).all()
    assert np.median(e.covariance.reduction) > 5
    if net.outputs == 1:
        outputs = np.asarray(runs.outputs)[:, 0, :, 0]
        gap = e.covariance.value[0] - np.cov(outputs.T)
        assert (np.abs(gap) < 4 * e.covariance.plain_error[0]).all()
        # the networks differ from infinitely wide ones by more than they differ from the average
        shift = (e.covariance.value - e.covariance.limit) / e.covariance.error
        assert np.abs(shift).max() > 5
    assert "untrained" in e.expectations
    assert "48" in repr(e)


def test_which_laws_bring_half_integer_powers():
    odd, other = "tanh", "softplus"
    assert integer_powers(ww.MLP(2, other, 1.0, 0.3, ("exponential", "gaussian", "gaussian")))
    assert not integer_powers(ww.MLP(1, other, 1.0, 0.3, ("gaussian", "exponential")))
    assert integer_powers(ww.MLP(1, odd, 1.0, 0.3, ("gaussian", "exponential")))
    assert not integer_powers(ww.MLP(1, odd, 1.0, 0.3, "exponential"))
    skewed = ("gaussian", "exponential", "gaussian")
    assert not integer_powers(ww.MLP(2, other, 1.0, 0.0, skewed))
    assert integer_powers(ww.MLP(2, odd, 1.0, 0.0, skewed))
    half = ("exponential", "gaussian", "gaussian")  # W¹ is turned together with b¹ and W²
    assert integer_powers(ww.MLP(2, odd, 1.0, (0.3, 0.3, 0.0), skewed, half))
    biased = ("exponential", "exponential", "gaussian")
    assert not integer_powers(ww.MLP(2, odd, 1.0, (0.3, 0.3, 0.0), skewed, biased))
    shrinking = ww.MLP(1, odd, 1.0, 0.3, bias_law="exponential", bias_scaling="fan_in")
    assert not integer_powers(shrinking)
    # two mirrored layers compensate each other: the first layer need not be symmetric
    twice = ("exponential", "exponential", "exponential")
    assert integer_powers(ww.MLP(2, odd, 1.0, 0.0, twice))


def test_memory_does_not_change_the_numbers():
    net = ww.MLP(2, "softplus", 1.2, 0.3, GAMMA, outputs=2)
    arguments = (net, 8, X[:1], [[1.0, -0.5]], X_TEST, TIMES, 100, jax.random.key(3))
    large, small = (
        controlled_ensemble(*arguments, untrained=50, memory=memory) for memory in (5e8, 4e5)
    )
    for name in ("mean", "covariance", "third", "fourth"):
        ours, theirs = getattr(large, name), getattr(small, name)
        for part in ("value", "error", "limit", "plain_error"):
            first, second = getattr(ours, part), getattr(theirs, part)
            assert second == pytest.approx(first, rel=1e-9, abs=1e-12), (name, part)


def test_a_polynomial_that_is_left_out_is_said():
    arguments = (TANH, 8, X[:1], Y[:1], None, [0.5])
    few, many = (controlled_ensemble(*arguments, M, jax.random.key(0)) for M in (149, 150))
    assert few.polynomial == "left out, 1 train modes need 150 members"
    assert f"polynomial control: {few.polynomial}" in repr(few)
    assert "polynomial control: fitted" in repr(many)


def test_refusals(unchecked):
    data = (X, Y, X_TEST, TIMES)
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="members must be at least 50"):
        controlled_ensemble(TANH, 32, *data, 20, key)
    with pytest.raises(ValueError, match=r"gradient flow\), got \['method'\]"):
        controlled_ensemble(TANH, 32, *data, 100, key, method="descent")
    with pytest.raises(ValueError, match="finite number, increasing"):
        controlled_ensemble(TANH, 32, X, Y, X_TEST, np.inf, 100, key)
    with pytest.raises(ValueError, match="one or more different widths"):
        controlled_ensembles(TANH, [32, 32], *data, 100, key)
    with pytest.raises(ValueError, match=r"one number or one per width \(2\)"):
        controlled_ensembles(TANH, [32, 64], *data, [100], key)
    with pytest.raises(ValueError, match="untrained must be at least 50, got 10"):
        controlled_ensemble(ww.MLP(2, "tanh"), 8, *data, 60, key, untrained=10)
