"""Expectations of the controls: values and errors against repetition, other widths, and orders."""

import jax
import numpy as np
import pytest

import widthwise as ww
from widthwise.algebra.gaussian import Estimate
from widthwise.initial.cumulants import output_cumulants
from widthwise.training.ensembles.controls import Quadratic
from widthwise.training.ensembles.expectations import Running, averaged
from widthwise.training.ensembles.neurons import neuron_expectations
from widthwise.training.ensembles.problem import problem
from widthwise.training.ensembles.samples import cumulant
from widthwise.training.ensembles.series import Few, known_neuron, known_series, lowest

X, Y, X_TEST = np.array([[-1.0], [0.4]]), np.array([1.0, -0.7]), np.array([[1.5]])
TIMES = [0.5, 2.0]
SKEWED = ww.laws.Gamma(4.0)
SOFTPLUS = ww.MLP(1, "softplus", (1.2, 1.0), (0.5, 0.3), ("gaussian", SKEWED))


def test_errors_of_sampled_neurons_are_their_spread():
    """Sixteen times with other neurons: points in six directions, where there is no rule."""
    x = np.random.default_rng(0).normal(size=(6, 6))
    net = ww.MLP(1, "softplus", (1.2, 1.0), (0.5, 0.3), ("gaussian", SKEWED))
    p = problem(net, x[:4], [1.0, -0.5, 0.3, 0.8], x[4:], TIMES)
    found = []
    for k in range(16):
        known = known_neuron(net, x, 4, key=jax.random.key(k), samples=1 << 10)
        found.append(lowest(p.controls, known(50)))
    for parts in zip(*found, strict=True):
        values, errors = (
            np.stack([getattr(part, name) for part in parts]) for name in Estimate._fields
        )
        spread, stated = values.var(0, ddof=1), (errors**2).mean(0)
        live = stated > 1e-18
        assert live.any()
        ratio = np.sqrt(spread[live] / stated[live])
        assert 0.75 < np.sqrt(np.mean(ratio**2)) < 1.25


def test_errors_of_unknown_sign_are_bounded_by_the_worst_of_them():
    """Entry by entry: the sum of what each error can do, and not many times more."""
    p = problem(SOFTPLUS, X, Y, X_TEST, TIMES)
    exact, rng = p.known(30), np.random.default_rng(1)
    noisy = [
        Estimate(part.value, 1e-5 * (1 + rng.random(part.value.shape))) for part in exact.parts
    ]
    bound = lowest(p.controls, Few(*noisy))
    worst = [np.zeros_like(part.value) for part in bound]
    for k, part in enumerate(noisy):
        for entry in np.ndindex(part.value.shape):
            moved = part.value.copy()
            moved[entry] += part.error[entry]
            parts = [Estimate(each.value, 0 * each.value) for each in noisy]
            parts[k] = Estimate(moved, 0 * moved)
            for size, old, new in zip(worst, bound, lowest(p.controls, Few(*parts)), strict=True):
                size += np.abs(new.value - old.value)
    for size, part in zip(worst, bound, strict=True):
        assert (part.error > 0.9999 * size).all()
        assert (part.error < 10 * size).all()
        assert (size > 1e-7).all()


def test_rounded_widths_are_those_of_the_network():
    """A third of 64 neurons are 21: what a network of ratio 1 has at width 21."""
    third = ww.MLP(1, "softplus", (1.2, 1.0), (0.5, 0.3), ("gaussian", SKEWED), ratios=(1 / 3,))
    assert third.widths(64) == (21,)
    x = np.concatenate([X, X_TEST])
    found, expected = known_neuron(third, x, 2)(64), known_neuron(SOFTPLUS, x, 2)(21)
    for ours, theirs in zip(found.parts, expected.parts, strict=True):
        assert ours.value == pytest.approx(theirs.value, rel=1e-10, abs=1e-14)
    assert np.abs(found.kernel_output.value).max() > 0.01


@pytest.mark.parametrize("width", [16, 64])
def test_a_coefficient_that_vanishes_by_parity_is_no_remainder(width):
    """K_n of a skewed readout has integer powers only: none at n^{−3/2}, but one at n^{−2}."""
    net = ww.MLP(
        2, "tanh", 1.3, 0.3, ("gaussian", "gaussian", SKEWED), ("gaussian", SKEWED, "gaussian")
    )
    x = X[:1]
    ntk = np.asarray(ww.limit_kernels(net, x).ntk)
    second = known_series(net, x, ntk, integer=False)(width).second
    series = output_cumulants(net, x, 4).cumulant((0, 0))
    assert series.coefficients[3] == pytest.approx(0.0, abs=1e-12)
    left_out = abs(series.at(width) - second.value.item())
    assert left_out > 1e-6
    assert left_out < 5 * second.error.item()


def test_what_vanishes_by_symmetry_is_not_sampled():
    p = problem(ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.0)), X, Y, X_TEST, TIMES)
    found = neuron_expectations(
        p.net, 20, p.x, p.nngp, p.controls, jax.random.key(0), even=True, known=None
    )
    for part in (found.linear_cumulants[3], found.first_order, found.third):
        assert not part.value.any()
        assert not part.error.any()
    for k in (3, 4):
        together = found.linear_cumulants[k].value + k * found.mixed_cumulants[k].value
        assert found.cumulants[k].value == pytest.approx(together)
        assert found.cumulants[k].error.all()


@pytest.mark.parametrize("net", [SOFTPLUS, ww.MLP(1, "tanh", 1.5, 0.3)], ids=["skewed", "even"])
def test_polynomials_in_the_outputs_against_samples_of_narrow_networks(net):
    """κ(g, …, g, q(F)) of a polynomial of no particular kind, of 100 thousand networks."""
    p, n, rng = problem(net, X, Y, X_TEST, [0.5]), 5, np.random.default_rng(0)
    found = neuron_expectations(
        net, n, p.x, p.nngp, p.controls, jax.random.key(0), even=p.even, known=None
    )
    square = rng.normal(size=(1, 3, 2, 2))
    square = square + np.swapaxes(square, -1, -2)
    q = Quadratic(rng.normal(size=(1, 3, 2)), square, np.zeros((2, 2)))
    draw, size = np.random.default_rng(1), 100_000
    w, b = draw.normal(size=(2, size, n, 1))
    law = net.weight_law[1]
    a = np.asarray(law.sample(jax.random.key(2), (size, n)))
    z = net.weight_std[0] * w * p.x[:, 0] + net.bias_std[0] * b
    F = net.weight_std[1] / np.sqrt(n) * np.einsum("mi,mix->mx", a, np.asarray(net.activation(z)))
    F = F + net.bias_std[1] * draw.normal(size=(size, 1))
    g, values = p.controls.carried(F)[:, 0], q(p.controls.modes(F))[:, 0]
    for k in (3, 4):
        sampled = cumulant([g] * (k - 1) + [values]).estimate
        ours = (found.cumulant(k, q).value - found.cumulants[k].value)[0] / k
        z_score = (ours - sampled.value) / sampled.error
        assert np.abs(z_score).max() < 4
        assert np.abs(ours / sampled.error).max() > 5


def test_running_averages_are_averages():
    values = np.random.default_rng(0).normal(3.0, 0.1, size=(50, 4))
    running = Running()
    for block in (values[:1], values[1:7], values[7:]):
        running.add(block)
    for ours, theirs in zip(running.estimate, averaged(values), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-12)
