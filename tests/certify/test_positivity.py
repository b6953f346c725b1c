"""Smallest eigenvalues of limit kernels, and what makes them small."""

import math
import sys
from fractions import Fraction

import jax
import numpy as np
import pytest

import widthwise as ww
from certify.trained_networks import sphere
from widthwise.certify import kernel_positivity
from widthwise.certify.relations import from_below, groups_of

ERF = ww.MLP(1, "erf")


@pytest.mark.parametrize(("m", "d", "smallest"), [(5, 5, 0.10758313), (10, 5, 0.08586889)])
def test_published_eigenvalues(m, d, smallest):
    found = kernel_positivity(ERF, sphere(m, d)[0])
    assert found.positive
    assert found.smallest == pytest.approx(smallest, abs=5e-9)
    assert found.error < 1e-10
    assert found.least_loss is None


def test_duplicates_merge_or_contradict():
    x, y = sphere(5, 5)
    twice = np.concatenate([x, x[:1], x[:1]])
    agree = kernel_positivity(ERF, twice, np.append(y, [y[0], y[0]]))
    assert not agree.positive
    assert agree.least_loss == 0.0
    assert "points 0, 5, 6 have the same input" in agree.reason
    assert "count as one point" in agree.reason
    full = np.asarray(ww.limit_kernels(ERF, twice).ntk)
    assert agree.smallest == pytest.approx(np.linalg.eigvalsh(full)[2], abs=1e-10)
    labels = np.append(y, [0.3, -0.5])
    apart = kernel_positivity(ERF, twice, labels)
    group = np.array([y[0], 0.3, -0.5])
    assert apart.least_loss == pytest.approx(0.5 * ((group - group.mean()) ** 2).sum())
    assert "contradict" in apart.reason


@pytest.mark.parametrize(
    ("net", "x", "y", "least"),
    [
        (ERF, [[1.0, 2.0], [-1.0, -2.0]], [1.0, -1.0], 0.0),
        (ERF, [[1.0, 2.0], [-1.0, -2.0]], [1.0, 1.0], 1.0),
        (ww.MLP(2, "erf"), [[1.0, 2.0], [-1.0, -2.0]], [1.0, 0.0], 0.25),
        (ww.MLP(1, "cos"), [[1.0, 2.0], [-1.0, -2.0]], [1.0, 0.0], 0.25),
        (ERF, [[0.0, 0.0], [-1.0, -2.0]], [2.0, 1.0], 2.0),
        (ww.MLP(1, "relu"), [[1.0, 2.0], [3.0, 6.0]], [1.0, 3.0], 0.0),
        (ww.MLP(1, "relu"), [[1.0, 2.0], [3.0, 6.0]], [1.0, 2.0], 0.5 / 10),
        (ww.MLP(2, "polynomial(0, 0, 1)"), [[1.0, 2.0], [2.0, 4.0]], [1.0, 16.0], 0.0),
        (ww.MLP(2, "identity"), [[1.0, 2.0], [-2.0, -4.0]], [1.0, -2.0], 0.0),
        (ww.MLP(1, "abs"), [[1.0, 2.0], [-2.0, -4.0]], [1.0, 2.0], 0.0),
        (ww.MLP(1, "abs"), [[1.0, 2.0], [-2.0, -4.0]], [1.0, -2.0], 0.5 * (5 - 9 / 5)),
        (ww.MLP(2, "polynomial(0, 0, 0, 1)"), [[1.0], [-1.0]], [1.0, -1.0], 0.0),
        (ww.MLP(1, "relu"), [[49.0], [1.0]], [49.0, 1.0], 0.0),
        (ww.MLP(1, "erf"), [[0.0, 0.0], [-0.0, 0.0]], [0.0, 0.0], 0.0),
    ],
)
def test_parallel_inputs_without_bias(net, x, y, least):
    """The least loss is that of the best common output; the kernel of the pair is singular."""
    found = kernel_positivity(net, x, y)
    assert not found.positive
    assert found.least_loss == pytest.approx(least, abs=1e-14)
    values = np.linalg.eigvalsh(np.asarray(ww.limit_kernels(net, x).ntk))
    assert abs(values[0]) <= 1e-10 * values[-1]


@pytest.mark.parametrize(
    ("net", "x"),
    [
        (ww.MLP(1, "erf", bias_std=0.5), [[1.0, 2.0], [-1.0, -2.0]]),
        (ww.MLP(1, "softplus"), [[1.0, 2.0], [-1.0, -2.0]]),
        (ERF, [[1.0, 2.0], [2.0, 4.0]]),
        (ww.MLP(1, "relu"), [[1.0, 2.0], [-1.0, -2.0]]),
        (ww.MLP(1, "relu"), [[1.0, 2.0], [3.0, 6.01]]),
        (ww.MLP(1, "relu"), [[1.0, 2.0], [-3.0, -6.0]]),
        (ww.MLP(1, "erf", bias_std=[0.0, 0.5]), [[1.0, 2.0], [-1.0, -2.0]]),
        (ww.MLP(1, "cos", bias_std=[0.5, 0.0]), [[1.0, 2.0], [-1.0, -2.0]]),
    ],
)
def test_pairs_that_are_not_tied(net, x):
    found = kernel_positivity(net, x)
    assert found.groups == ()
    assert found.positive


@pytest.mark.parametrize(
    ("kind", "bias", "inputs", "rank"),
    [
        ("identity", 0.0, 3, 3),
        ("identity", 0.5, 3, 4),
        ("polynomial(0, 0, 1)", 0.0, 2, 3),
        ("polynomial(0, 1, 1)", 0.5, 2, 6),
        ("polynomial(1, 0, 1)", [0.0, 0.5], 2, 4),
        ("polynomial(0, 1, 0, 1)", 0.0, 2, 6),
        ("polynomial(0, 0, 1)", [0.0, 0.5], 2, 4),
    ],
)
def test_rank_of_polynomial_activations(kind, bias, inputs, rank):
    x = np.random.default_rng(0).normal(size=(8, inputs))
    net = ww.MLP(1, kind, bias_std=bias)
    found = kernel_positivity(net, x)
    values = np.linalg.eigvalsh(np.asarray(ww.limit_kernels(net, x).ntk))
    assert found.rank_bound == rank
    assert (values > 1e-9 * values[-1]).sum() == rank
    assert not found.positive
    assert f"rank is at most {rank}" in found.reason


def test_near_duplicates_are_named_not_merged():
    x, y = sphere(6, 4)
    x[4] = x[2] + 1e-9
    y[4] = -y[2]
    found = kernel_positivity(ERF, x, y)
    assert not found.positive
    assert found.groups == ()
    assert found.least_loss == 0.0
    assert found.pair[:2] == (2, 4)
    assert set(found.support) == {2, 4}
    assert "points 2 and 4" in str(found)


@pytest.mark.parametrize("bias", [0.0, 0.4])
def test_the_pair_named_bounds_the_eigenvalue_from_above(bias):
    """Without bias x and 2x are nearer to parallel than the pair that makes λ_min small."""
    x = np.array([[1.0, 0.0], [2.0, 0.0], [0.3, 1.0], [0.3, 1.001]])
    found = kernel_positivity(ww.MLP(1, "erf", bias_std=bias), x)
    assert found.pair[:2] == (2, 3)
    theta = np.asarray(ww.limit_kernels(ww.MLP(1, "erf", bias_std=bias), x).ntk)
    least = np.linalg.eigvalsh(theta[2:, 2:])[0]
    assert found.pair_bound == pytest.approx(least, rel=1e-6)
    assert found.smallest <= found.pair_bound
    assert set(found.support) == {2, 3}


def test_labels_agree_in_rational_numbers():
    """1/49 rounded, times 49, is not 1: the labels agree all the same; 0.1 is not 0.3 / 3."""
    relu = ww.MLP(1, "relu")
    x = [[49.0, 49.0], [1.0, 1.0], [7.0, 7.0]]
    assert kernel_positivity(relu, x, [49.0, 1.0, 7.0]).least_loss == 0.0
    assert 0 < kernel_positivity(relu, [[3.0], [1.0]], [0.3, 0.1]).least_loss < 1e-30


def test_labels_that_differ_by_less_than_any_loss_still_contradict():
    """¼(y - y')² is below every float here; the points are refused, not merged."""
    x, y = np.array([[1.0, 0.5], [1.0, 0.5], [0.0, 1.0]]), np.array([0.0, 1e-200, 1.0])
    net = ww.MLP(1, "tanh", bias_std=0.3)
    found = kernel_positivity(net, x, y)
    assert found.least_loss == 0.0
    assert "the loss is above 0" in found.reason
    made = ww.certify(net, net.init(jax.random.key(0), 8, 2), x, y)
    assert not made.holds
    assert "contradict each other, so that the loss is above 0" in made.reason
    assert not made.hypotheses[0].holds
    group = groups_of(net, x)[0]
    assert group.exact_loss(y[:, None]) == Fraction(1e-200) ** 2 / 4


def test_least_losses_are_rounded_down():
    value = Fraction(1, 3)
    assert Fraction(from_below(value)) <= value < Fraction(math.nextafter(from_below(value), 1))
    assert from_below(Fraction(2, 3)) < Fraction(2, 3)
    assert from_below(Fraction(10) ** 400) == sys.float_info.max
    assert from_below(Fraction(1, 10**400)) == 0.0
