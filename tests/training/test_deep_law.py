"""The law of training of deep networks, at initialization and against trained ensembles."""

import jax
import numpy as np
import pytest

import widthwise as ww
from training.oracles import trained
from widthwise.training.law import training_law
from widthwise.training.solution_map import SolutionMap

X, Y = np.array([[1.0, 0.2], [-0.3, 1.0], [-0.8, -0.6]]), np.array([1.0, -1.0, 0.5])
X_TEST = np.array([[0.5, 0.9]])
SKEWED = ww.laws.Gamma(9.0)
TANH = ww.MLP(2, "tanh", (1.3, 1.3, 1.0), (0.4, 0.3, 0.0))
SOFTPLUS = ww.MLP(2, "softplus", (1.1, 1.0, 1.0), (0.4, 0.2, 0.0), ("gaussian", SKEWED, SKEWED))
STANDARD = ww.MLP(2, "erf", 1.3, (0.4, 0.3, 0.0), ratios=(1.5, 1.0), parametrization="standard")
ONE_STANDARD = ww.MLP(1, "tanh", 1.3, (0.4, 0.0), parametrization="standard")


def test_at_time_zero_it_is_the_law_at_initialization():
    law = training_law(SOFTPLUS, X[:1], Y[:1], X_TEST, 0.0)
    initial = ww.output_cumulants(SOFTPLUS, np.concatenate([X[:1], X_TEST]), order=2)
    for points in ((1,), (0, 1), (1, 1), (0, 1, 1), (0, 0, 1, 1)):
        expected = initial.cumulant(points).coefficients
        assert law.coefficients(points)[:, 0] == pytest.approx(expected, abs=1e-8)


def test_train_points_are_learned_and_duplicates_stay():
    law = training_law(TANH, X[:2], Y[:2], np.concatenate([X[:1], X_TEST]), [0.5, np.inf])
    mean, covariance = law.mean_coefficients[..., 0], law.covariance_coefficients
    assert mean[:, :, 0] == pytest.approx(mean[:, :, 2], abs=1e-9)
    assert covariance[:, :, 0] == pytest.approx(covariance[:, :, 2], abs=1e-9)
    assert mean[0, 1, :2] == pytest.approx(Y[:2])
    assert np.abs(mean[1:, 1, :3]).max() < 1e-10
    assert np.abs(covariance[:, 1, :3]).max() < 1e-10
    assert np.abs(mean[2, 0]).max() > 0.1


def test_skewed_hidden_weights_under_a_symmetric_readout_shift_the_limit_kernels():
    net = ww.MLP(2, "softplus", 1.1, (0.4, 0.2, 0.0), ("gaussian", SKEWED, "gaussian"))
    law = training_law(net, X[:2], Y[:2], X_TEST, [0.5], order=1)
    step = 1e-4

    def linear(s):
        kernel = law.solution.ntk + s * law.blocks.get("D", 1)
        moved = SolutionMap(kernel, law.solution.y)
        nngp, A = law.blocks.nngp + s * law.blocks.get("FF", 1), moved.propagator(law.dynamics)
        return moved.mean(law.dynamics), A @ nngp @ np.swapaxes(A, 1, 2)

    found = law.mean_coefficients[1, ..., 0], law.covariance_coefficients[1]
    for later, earlier, value in zip(linear(step), linear(-step), found, strict=True):
        assert value == pytest.approx((later - earlier) / (2 * step), abs=1e-6)
        assert np.abs(value).max() > 0.01
    assert not law.coefficients((0, 0, 2))[1].any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "widths", "members"),
    [
        (TANH, (32, 64, 128), (40_000, 30_000, 12_000)),
        (STANDARD, (32, 64, 128), (20_000, 15_000, 6_000)),
        (ONE_STANDARD, (32, 64, 128), (20_000, 15_000, 6_000)),
        (SOFTPLUS, (32, 64, 128), (12_000, 9_000, 4_000)),
    ],
)
def test_against_trained_networks(net, widths, members):
    times = [0.5, 1.0]
    law = training_law(net, X, Y, X_TEST, times)
    A = law.solution.propagator(law.dynamics)
    shifts = []
    for n, count in zip(widths, members, strict=True):
        key = jax.random.key(n)
        runs = ww.simulate(net, n, X, Y, X_TEST, times, count, key, precision="float32")
        initial, end = (np.asarray(v, float)[..., 0] for v in (runs.initial, runs.outputs))
        linear = np.einsum("txa,na->ntx", A, initial) + law.solution.mean(law.dynamics)
        shifts.append((trained.mean_shift(end, linear), trained.covariance_shift(end, linear)))
    mean, covariance = law.mean_coefficients[..., 0], law.covariance_coefficients.copy()
    for order in (1, 2):  # what the linear flow carries of the initial covariance
        initial = law.blocks.get("FF", order)
        if initial is not None:
            covariance[order] -= A @ initial @ np.swapaxes(A, 1, 2)
    skewed = net is SOFTPLUS
    for kind, coefficients in enumerate((mean, covariance)):
        for order, other, power in ((1, 2, -1), (2, 1, -0.5)) if skewed else ((2, 1, -1),):
            rest = [
                (shift[kind][0] - coefficients[other] / n ** (other / 2), shift[kind][1])
                for n, shift in zip(widths, shifts, strict=True)
            ]
            value, error = trained.extrapolated(widths, rest, order / 2, (power,))
            z = (value - coefficients[order]) / error
            assert np.sqrt(np.mean(z**2)) < 1.7
            assert np.abs(z).max() < 4
            if order == 1 or not skewed:
                assert np.abs(coefficients[order] / error).max() > 4
