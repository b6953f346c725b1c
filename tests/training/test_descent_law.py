"""The law of gradient descent: all networks of finite laws, the flow of small steps, ensembles."""

import jax
import numpy as np
import pytest
from scipy.special import expit

import widthwise as ww
from training.oracles import enumerated, trained
from widthwise.limit.first_layer.projection import project
from widthwise.training.blocks.descent import mean
from widthwise.training.blocks.moments import moments
from widthwise.training.blocks.monomials import TENSORS, times_output
from widthwise.training.blocks.neuron import Neuron

SKEWED = ww.laws.Discrete([2.0, -0.5], [0.2, 0.8])
LOG = (lambda z: np.logaddexp(0, z), expit)
TANH = (np.tanh, lambda z: 1 / np.cosh(z) ** 2)
X, Y = np.array([[-1.0], [0.3], [1.2]]), np.array([1.0, -1.0, 0.5])
X_TEST = np.array([[-0.4]])


@pytest.mark.parametrize(
    ("name", "functions", "readout", "outputs"),
    [
        ("softplus", LOG, SKEWED, 1),
        ("tanh", TANH, ww.laws.Rademacher(), 2),
    ],
    ids=["skewed", "two outputs"],
)
def test_against_all_networks_of_a_finite_law(name, functions, readout, outputs):
    """Every network of up to 80 neurons, trained by three large steps, no sampling."""
    x, y = np.array([0.9, -0.6, 1.4]), np.array([[0.7, -0.2], [-0.4, 0.5]])[:, :outputs]
    net = ww.MLP(1, name, 1.0, 0.0, ("rademacher", readout), outputs=outputs)
    flow = ww.linear_flow(net, x[:2, None], y)
    step, steps = 0.5 / flow.eigenvalues[-1], 3
    law = ww.training_law(net, x[:2, None], y, x[2:, None], steps=steps, step=step)
    points = ((0,), (2,), (0, 2), (2, 2), (0, 1, 2), (0, 1, 2, 2))
    components = ((0,), (0,), (0, 1), (1, 1), (0, 1, 1), (0, 1, 1, 0))
    chosen = [
        (rows, parts if outputs == 2 else (0,) * len(rows))
        for rows, parts in zip(points, components, strict=True)
    ]
    # (w, a) and (−w, −a) are one neuron if φ is odd and a symmetric
    first = (np.ones(1), np.ones(1)) if name == "tanh" else ww.laws.Rademacher().quadrature(1)
    atoms = enumerated.kinds(first, readout.quadrature(1), outputs)
    ladders = ((16, 22, 32, 45, 64, 80), (12, 16, 22, 32, 45, 64))
    fits = [
        enumerated.coefficients(
            widths, *atoms, functions, x, y, steps * step, steps, chosen, 5, descent=True
        )
        for widths in ladders
    ]
    uncertain = 5 * np.abs(fits[0] - fits[1]) + 1e-6
    found = np.array([law.coefficients(*each)[:, 0] for each in chosen])
    assert (np.abs(found - fits[0]) < uncertain).all()
    # what this cannot tell apart is small, and smaller than what the step brings
    assert (uncertain < 0.1 * np.abs(found).max(0) + 1e-5).all()
    slow = ww.training_law(net, x[:2, None], y, x[2:, None], steps * step)
    flows = np.array([slow.coefficients(*each)[:, 0] for each in chosen])
    assert (np.abs(flows - found) > 10 * uncertain)[:, [0, 2]].any(0).all()


def test_monomials_are_the_derivatives_of_the_flow():
    """T, U and E T h by the product rule are those written by hand; so is the kernel."""
    net = ww.MLP(1, "softplus", (1.1, 1.3), (0.5, 0.0), ("gaussian", SKEWED), outputs=2)
    x = np.concatenate([X[:2], X_TEST])
    projection = project(net, x)
    (moment,), _ = moments(net.activation, projection, key=jax.random.key(0))
    k = 1.1**2 * x @ x.T + 0.25
    neuron = Neuron(net, net, k, 2, True)
    by_hand = neuron.blocks(moment)
    with_output = times_output(TENSORS["T"], "y")
    for name, order, found in (
        ("T", 1, mean(neuron, moment, TENSORS["T"])),
        ("U", 2, mean(neuron, moment, TENSORS["U"])),
        ("TF", 2, mean(neuron, moment, with_output, "y")),
    ):
        assert found == pytest.approx(by_hand[name, order], abs=1e-12), name
        assert np.abs(found).max() > 0.1


def test_small_steps_are_the_flow_and_no_step_is_the_start():
    net = ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.0))
    flow = ww.training_law(net, X, Y, X_TEST, [0.0, 0.6])
    gaps = []
    for steps in (6, 60, 120):
        law = ww.training_law(net, X, Y, X_TEST, steps=[0, steps], step=0.6 / steps)
        assert law.mean_coefficients[:, 0] == pytest.approx(flow.mean_coefficients[:, 0])
        gaps.append(np.abs(law.mean_coefficients - flow.mean_coefficients)[2, 1].max())
        gaps[-1] += np.abs(law.covariance_coefficients - flow.covariance_coefficients)[2, 1].max()
    assert gaps[1] / gaps[2] == pytest.approx(2, rel=0.1)
    assert gaps[0] > 5 * gaps[1]
    assert "steps=[0.0, 120.0] of 0.005" in repr(law)
    assert "at k = 0, 120" in law.reliability(10**6).verdict
    assert law.cumulant((0, 1, 3), 120, 100) != 0


def test_refusals():
    net, deep = ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.0)), ww.MLP(2, "tanh")
    for arguments, options, message in (
        ((net, X, Y, None), {"steps": 5}, "either times .* or both steps and step"),
        ((net, X, Y, None, 1.0), {"steps": 5, "step": 0.1}, "either times .* or both steps"),
        ((net, X, Y), {"steps": 5, "step": 2.0}, "needs a step above 0 and below 2/λ"),
        ((net, X, Y), {"steps": 1.5, "step": 0.1}, "steps counts gradient-descent steps"),
        ((net, X, Y), {"steps": 5, "step": 0.1, "engine": "neurons"}, "engine='dense'"),
        ((deep, X, Y), {"steps": 5, "step": 0.1}, r"one hidden layer.*got depth=2.*times instead"),
    ):
        with pytest.raises(ValueError, match=message):
            ww.training_law(*arguments, **options)


@pytest.mark.slow
def test_against_sampled_networks():
    """Six steps with ηλ_max = 1.5: 1/n coefficients of mean and covariance of trained networks.

    Steps this large make large next orders: at n = 64 the 1/n³ term of the mean is 6 %.
    """
    net = ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.0))
    eigenvalues = ww.linear_flow(net, X, Y, X_TEST).eigenvalues
    step, steps, widths = 1.5 / eigenvalues[-1], 6, (128, 256, 512, 1024)
    law = ww.training_law(net, X, Y, X_TEST, steps=steps, step=step)
    A = law.solution.propagator(law.dynamics)
    measured = []
    for n in widths:
        options = {"method": "descent", "step": step, "tolerance": None}
        key = jax.random.key(9000 + n)
        runs = ww.simulate(net, n, X, Y, X_TEST, [steps], 120_000, key, **options)
        initial, end = (np.asarray(v, float)[..., 0] for v in (runs.initial, runs.outputs))
        linear = np.einsum("txa,na->ntx", A, initial) + law.solution.mean(law.dynamics)
        measured.append((trained.mean_shift(end, linear), trained.covariance_shift(end, linear)))
    flow = ww.training_law(net, X, Y, X_TEST, steps * step)
    for kind, name in enumerate(("mean_coefficients", "covariance_coefficients")):
        shifts = [shift[kind] for shift in measured]
        value, error = trained.extrapolated(widths, shifts, 1, (-1, -2))
        expected = getattr(law, name)[2].reshape(value.shape)
        z = (value - expected) / error
        assert np.sqrt(np.mean(z**2)) < 1.6
        assert np.abs(z).max() < 4
        assert np.abs((getattr(flow, name)[2].reshape(value.shape) - expected) / error).max() > 10
