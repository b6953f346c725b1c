"""Interval arithmetic: bounds against fifty digits, and certificates that hold for all members."""

import importlib

import jax
import mpmath
import numpy as np
import pytest
from scipy.linalg import hilbert, invhilbert

import widthwise as ww
from certify.held_against import hold
from certify.plain_networks import Plain
from certify.trained_networks import assert_sound, reference_parameters, sphere
from widthwise.certify import certify
from widthwise.certify.constants.ball import bounds_at
from widthwise.certify.evaluation import evaluate
from widthwise.certify.posterior.certify import without_ties
from widthwise.certify.rigorous import eigenvalues, intervals
from widthwise.certify.rigorous.eigenvalues import (
    largest_eigenvalue,
    positive_definite,
    smallest_eigenvalue,
)
from widthwise.certify.rigorous.intervals import lower, upper
from widthwise.certify.rigorous.network import Verified

ERF = ww.MLP(1, "erf")


def true_eigenvalues(matrix):
    return mpmath.eigsy(mpmath.matrix(matrix.tolist()), eigvals_only=True)


def close_points(count, gap):
    """The kernel of points on a line, ``gap`` apart: eigenvalues fall like powers of the gap."""
    z = gap * np.arange(count)
    return np.exp(-0.5 * (z[:, None] - z) ** 2)


@pytest.mark.parametrize(
    "matrix",
    [hilbert(5), hilbert(10), hilbert(13), close_points(6, 0.3), close_points(4, 1e-3)],
    ids=["Hilbert 5", "Hilbert 10", "Hilbert 13", "points 0.3 apart", "points 1e-3 apart"],
)
def test_verified_eigenvalues_of_ill_conditioned_kernels(matrix):
    """Never above the true λ_min of the float64 matrix, never below λ_max, and close to both."""
    with mpmath.workdps(60):
        values = true_eigenvalues(matrix)
        low, high = smallest_eigenvalue(matrix), largest_eigenvalue(matrix)
        assert mpmath.mpf(low) < values[0]
        assert mpmath.mpf(high) > values[len(matrix) - 1]
        assert values[0] - low < max(1e-5 * abs(values[0]), 1e-5 * np.finfo(float).eps)
        assert high - values[len(matrix) - 1] < 1e-13 * high


def test_a_matrix_that_is_just_not_positive():
    """By one unit of rounding, either way; LAPACK cannot tell."""
    one = np.array([[1.0, 1.0], [1.0, 1.0 - 2.0**-53]])
    assert not positive_definite(one, 0.0)
    assert positive_definite(one, -(2.0**-53))
    assert not positive_definite(np.array([[1.0, 1.0], [1.0, 1.0]]), 0.0)
    inverse = invhilbert(8)
    with mpmath.workdps(60):
        assert smallest_eigenvalue(inverse) < true_eigenvalues(inverse)[0]


def test_large_matrices_are_bounded_by_lapack():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(150, 150)))[0]
    values = np.linspace(1e-3, 2.0, 150)
    matrix = (basis * values) @ basis.T
    matrix = (matrix + matrix.T) / 2
    low, high = smallest_eigenvalue(matrix), largest_eigenvalue(matrix)
    assert 1e-3 * (1 - 1e-8) < low < 1e-3
    assert 2.0 < high < 2.0 * (1 + 1e-11)


def test_the_zero_matrix():
    """Its row sums, and with them the unit of the trials, are 0."""
    zero = np.zeros((3, 3))
    assert -1e-280 < smallest_eigenvalue(zero) < 0
    assert 0 < largest_eigenvalue(zero) < 1e-280
    assert smallest_eigenvalue(np.diag([0.0, 1.0])) < 0


def test_no_bound_where_no_trial_succeeds(monkeypatch):
    monkeypatch.setattr(eigenvalues, "positive_definite", lambda matrix, shift: False)
    assert smallest_eigenvalue(np.eye(2)) == -np.inf

    def fails(matrix):
        raise np.linalg.LinAlgError

    monkeypatch.setattr(np.linalg, "cholesky", fails)
    assert largest_eigenvalue(np.eye(2)) == np.inf


def exactly(weight, readout, x, y):
    """|r|, Θ and σ(J) of a tanh network without biases at fifty digits."""
    mp = mpmath.mpf
    n, d = weight.shape
    residual, rows = [], []
    c0, c1 = (mp(float(1 / np.sqrt(size))) for size in (d, n))
    for point, label in zip(x, y, strict=True):
        z = [c0 * sum(mp(w) * mp(p) for w, p in zip(row, point, strict=True)) for row in weight]
        h = [mpmath.tanh(value) for value in z]
        residual.append(c1 * sum(mp(a) * b for a, b in zip(readout, h, strict=True)) - mp(label))
        inner = [c1 * mp(a) * (1 - b**2) * c0 for a, b in zip(readout, h, strict=True)]
        rows.append([g * mp(p) for g in inner for p in point] + [c1 * b for b in h])
    J = mpmath.matrix(rows)
    return mpmath.norm(mpmath.matrix(residual)), J * J.T


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e6])
def test_bounds_of_a_network_enclose_fifty_digits(scale):
    """Weights of size ``scale`` that nearly cancel in the first layer."""
    rng = np.random.default_rng(7)
    pair = scale * rng.normal(size=(4, 1))
    weight = np.concatenate([pair, -pair], axis=1) + rng.normal(size=(4, 2))
    readout, x, y = rng.normal(size=4), rng.normal(size=(3, 2)), rng.normal(size=3)
    x[:, 1] = x[:, 0] + rng.normal(size=3) / scale
    parameters = ww.Layer(weight, None), ww.Layer(readout[None], None)
    at = evaluate(ww.MLP(1, "tanh"), parameters, x, y[:, None])
    network = Verified.of(at)
    with mpmath.workdps(50):
        size, theta = exactly(weight, readout, x, y)
        assert abs(size - mpmath.norm(mpmath.matrix(at.residual.tolist()))) <= at.rounding[0]
        assert size <= upper(network.residual)
        gap = mpmath.matrix(at.kernel.tolist()) - theta
        assert mpmath.mnorm(gap, "f") <= upper(network.kernel_radius)
        values = true_eigenvalues(np.array(theta.tolist(), dtype=object))
        assert lower(network.smallest) <= values[0]
        assert upper(network.beta) ** 2 >= values[2]
        assert lower(network.alpha) <= mpmath.sqrt(max(values[0], 0))
        assert upper(network.kernel_radius) < 1e6 * float(mpmath.mnorm(gap, "f"))


def test_the_lipschitz_constant_is_that_of_lemma_3():
    net = ww.MLP(1, "tanh", 1.2, [0.5, 0.0], outputs=2)
    rng = np.random.default_rng(5)
    x, parameters = rng.normal(size=(3, 2)), net.init(jax.random.key(1), 6, 2)
    at = evaluate(net, parameters, x, rng.normal(size=(3, 2)), np.sqrt([2.0, 1.0, 1.0]))
    for radius in (0.0, 0.7):
        found = Verified.of(at).lipschitz_above(radius)
        assert found == pytest.approx(bounds_at(at).jacobian(radius), rel=1e-7)


@pytest.mark.parametrize("dynamics", ["flow", "descent"])
def test_theorems_1_and_3_in_intervals(dynamics):
    rng = np.random.default_rng(2)
    net = ww.MLP(1, "tanh", bias_std=[0.5, 0.2], outputs=2)
    x, parameters = rng.normal(size=(3, 2)), net.init(jax.random.key(0), 300, 2)
    y = np.asarray(net.apply(parameters, x)) + 0.002 * rng.normal(size=(3, 2))
    made = certify(net, parameters, x, y, "path", dynamics, arithmetic="interval")
    rival = certify(net, parameters, x, y, "path", dynamics)
    assert made.holds
    assert_sound(net, parameters, x, y, made)
    assert made.rate == pytest.approx(rival.rate, rel=1e-5)
    assert made.movement == pytest.approx(rival.movement, rel=1e-5)
    assert made.ntk_change == pytest.approx(rival.ntk_change, rel=1e-5)
    assert made.output_deviation == pytest.approx(rival.output_deviation, rel=1e-4)
    assert "outward-rounded intervals" in str(made)
    assert "margins" in str(rival)


def test_a_narrow_network_by_its_iterates():
    x, y = sphere(5, 5)
    parameters = reference_parameters(8, 5)
    made = certify(ERF, parameters, x, y, dynamics="descent", arithmetic="interval")
    assert made.holds
    assert made.method == "descent_trajectory"
    assert made.since > 0
    assert "from the float64 iterate" in made.reason
    assert not made.from_start
    assert_sound(ERF, parameters, x, y, made)


def test_refusals_in_intervals(monkeypatch, unchecked):
    x, y = sphere(3, 3)
    parameters = reference_parameters(24, 3)
    made = certify(ERF, parameters, x, y, "textbook", arithmetic="interval")
    assert not made.holds
    assert "method 'textbook' is not built in interval arithmetic" in made.reason
    assert "intervals" in made.assumption
    kinked = ww.MLP(1, "relu")
    made = certify(kinked, parameters, x, y, arithmetic="interval")
    assert "activations with a kink are not certified in interval arithmetic" in made.reason
    near = x.copy()
    near[1] = near[0] * (1 + 1e-9)
    singular = certify(ERF, parameters, near, y, "path", arithmetic="interval")
    assert not singular.holds
    assert not singular.hypotheses[0].holds
    assert "the closest pair is points 0 and 1, |cosine|" in singular.reason
    assert "intervals" in singular.assumption
    deep = ww.MLP(2, "erf")
    layers = deep.init(jax.random.key(0), 8, 3)
    made = certify(deep, layers, x, y, "trajectory", arithmetic="interval")
    assert "known here for one hidden layer only" in made.reason
    assert "intervals" in made.assumption
    with pytest.raises(ValueError, match="arithmetic must be 'margins' or 'interval', got 'exact'"):
        certify(ERF, parameters, x, y, arithmetic="exact")
    intervals.context.cache_clear()

    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ValueError, match=r"pip install 'widthwise\[interval\]'"):
        certify(ERF, parameters, x, y, arithmetic="interval")
    intervals.context.cache_clear()


def test_a_search_in_float64_that_fails_is_not_called_one_in_intervals():
    """Twice the largest stable step: the residual grows, and nothing was checked in intervals."""
    x, y = sphere(3, 3)
    parameters = reference_parameters(24, 3)
    largest = np.linalg.eigvalsh(np.asarray(ww.empirical_ntk(ERF, parameters, x)))[-1]
    made = certify(
        ERF, parameters, x, y, "trajectory", "descent", 40 / largest, arithmetic="interval"
    )
    assert not made.holds
    assert made.reason.startswith("the search in float64 found no iterate")
    assert "intervals" not in made.assumption


def test_a_zero_kernel_in_intervals():
    """Without readout and saturated everywhere: no parameter moves the outputs."""
    net = ww.MLP(1, "tanh", bias_std=[1.0, 0.0])
    layers = (
        ww.Layer(np.zeros((4, 2)), np.full(4, 1e3)),
        ww.Layer(np.zeros((1, 4)), None),
    )
    x = np.array([[1.0, 0.2], [-0.3, 1.1]])
    for dynamics in ("flow", "descent"):
        made = certify(net, layers, x, [1.0, -1.0], "path", dynamics, arithmetic="interval")
        assert not made.holds
        assert "not certified positive" in made.reason


def test_tied_points_in_intervals():
    """A point given twice counts twice: the certificate of the merged ones holds for training."""
    x, _ = sphere(3, 3)
    x, parameters = np.concatenate([x, x[:1]]), reference_parameters(64, 3)
    labels = np.asarray(ERF.apply(parameters, x)) - np.array([[0.02], [-0.01], [0.015], [0.02]])
    made = certify(ERF, parameters, x, labels, "linear_reference", arithmetic="interval")
    assert made.holds
    hold(made, Plain("erf", parameters, 0.0, x, labels))
    narrow = reference_parameters(32, 3)
    descent = certify(ERF, narrow, x, [1, -1, 1, 1], dynamics="descent", arithmetic="interval")
    assert descent.holds


def test_rounding_of_the_residual_of_tied_points():
    """The root of 18 is rounded too; tanh is 1 here, so the output is the readout."""
    y, readout = 1.0013569383701026, -1.0900358269894073e-16
    x = np.full((18, 1), 0.7)
    layers = ww.Layer(np.array([[60.0]]), None), ww.Layer(np.array([[readout]]), None)
    merged, labels, root = without_ties(ww.MLP(1, "tanh"), x, np.full((18, 1), y), "flow")
    at = evaluate(ww.MLP(1, "tanh"), layers, merged, labels, root)
    with mpmath.workdps(50):
        exact = mpmath.sqrt(18) * abs(mpmath.mpf(readout) - mpmath.mpf(y))
        error = float(abs(abs(mpmath.mpf(float(at.residual[0]))) - exact))
    assert 0.4 * at.rounding[0] < error <= at.rounding[0]
