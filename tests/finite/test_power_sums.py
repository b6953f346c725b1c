"""k-statistics by enumeration and against scipy; streaming, merging, storing; errors that cover."""

import itertools
import json
import math

import numpy as np
import pytest
from scipy.stats import kstat

from widthwise.algebra.partitions import set_partitions
from widthwise.finite.estimators import PowerSums, bootstrap, jackknife
from widthwise.finite.estimators.k_statistics import k_statistic


def of(samples, order=6, groups=32, pivot=None):
    centre = samples.mean(0) if pivot is None else pivot
    return PowerSums.empty(pivot=centre, order=order, groups=groups).update(samples)


def exact_cumulant(values, probabilities, indices):
    """From joint moments of a discrete law of vectors."""
    total = 0.0
    for blocks in set_partitions(len(indices)):
        b = len(blocks)
        term = (-1.0) ** (b - 1) * np.prod(np.arange(1, b))
        for block in blocks:
            term *= probabilities @ np.prod([values[:, indices[i]] for i in block], axis=0)
        total += term
    return total


@pytest.mark.parametrize("order", range(2, 7))
def test_unbiased_by_summing_over_all_samples_of_a_small_law(order):
    values = np.array([[-1.0, 0.5], [0.3, 2.0], [2.0, -0.7]])
    probabilities = np.array([0.5, 0.2, 0.3])
    for indices in {(0,) * order, tuple(sorted(i % 2 for i in range(order)))}:
        expected = 0.0
        for sample in itertools.combinations_with_replacement(range(3), order + 1):
            x, times = values[list(sample)], np.bincount(sample, minlength=3)
            orders = math.factorial(len(sample)) / np.prod([math.factorial(t) for t in times])
            k = k_statistic(indices, len(x), lambda b, x=x: np.prod(x[:, b], axis=1).sum())
            expected += orders * probabilities[list(sample)].prod() * k
        assert expected == pytest.approx(
            exact_cumulant(values, probabilities, indices), rel=1e-10, abs=1e-10
        )


def test_equal_to_scipy_to_order_four():
    x = np.random.default_rng(0).standard_exponential((57, 3)) * 0.3 + 1
    sums = of(x[..., None], order=4)
    for order in range(1, 5):
        estimate = sums.cumulant((0,) * order)
        assert estimate.value == pytest.approx(kstat(x, order, axis=0), rel=1e-11)
    assert of(x, order=2).covariance.value == pytest.approx(np.cov(x.T), rel=1e-12)
    assert of(x, order=2).mean.value == pytest.approx(x.mean(0), rel=1e-14)


def test_joint_cumulants_are_symmetric_and_multilinear():
    x = np.random.default_rng(1).gamma(2.0, size=(40, 2))
    y = np.stack([x[:, 0] + 2 * x[:, 1], x[:, 1]], 1)
    a, b = of(x, order=5), of(y, order=5)
    assert a.cumulant((0, 1, 0, 1, 1)).value == pytest.approx(a.cumulant((1, 1, 1, 0, 0)).value)
    expected = a.cumulant((0, 1, 1, 1)).value + 2 * a.cumulant((1,) * 4).value
    assert b.cumulant((0, 1, 1, 1)).value == pytest.approx(expected, rel=1e-10)


def test_streaming_merging_and_storing_change_rounding_only(tmp_path):
    rng = np.random.default_rng(2)
    x = 1e4 + rng.standard_normal((1000, 2, 2))  # far from zero: the pivot keeps the digits
    empty = PowerSums.empty(pivot=np.full((2, 2), 1e4), order=6)
    whole = empty.update(x)
    first, second = empty.update(x[:1]).update(x[1:300]), empty.update(x[300:])
    for other in (first.merge(second), second.merge(first)):
        assert other.count == 1000
        for indices in [(0,), (0, 1), (0, 0, 1, 1), (0,) * 6]:
            a, b = whole.cumulant(indices), other.cumulant(indices)
            assert b.value == pytest.approx(a.value, rel=1e-11, abs=1e-12)
    assert whole.cumulant((0, 0)).value == pytest.approx(x[..., 0].var(0, ddof=1), rel=1e-11)
    np.savez(tmp_path / "sums.npz", **whole.arrays())
    with np.load(tmp_path / "sums.npz") as stored:
        again = PowerSums.from_arrays(stored)
    text = json.dumps({name: values.tolist() for name, values in whole.arrays().items()})
    for back in (again, PowerSums.from_arrays(json.loads(text))):
        assert (back.cumulant((0, 1, 1)).value == whole.cumulant((0, 1, 1)).value).all()


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_standard_errors_cover_the_truth(order):
    rng = np.random.default_rng(order)
    sums = of(rng.standard_exponential((1500, 400, 1)), order, pivot=np.ones((400, 1)))
    estimate = sums.cumulant((0,) * order)
    truth = [1.0, 1.0, 2.0, 6.0][order - 1]
    assert abs(estimate.value.mean() - truth) < 4 * estimate.value.std() / 20
    assert np.sqrt((estimate.error**2).mean()) == pytest.approx(estimate.value.std(), rel=0.2)


def test_jackknife_and_bootstrap_of_a_mean():
    x = np.random.default_rng(3).standard_normal(200)
    exact = x.std(ddof=1) / np.sqrt(200)
    assert jackknife(np.mean, x).error == pytest.approx(exact, rel=1e-12)
    assert bootstrap(np.mean, x, resamples=1000).error == pytest.approx(exact, rel=0.1)
    assert jackknife(np.mean, x, groups=20).error == pytest.approx(exact, rel=0.5)


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda: PowerSums.empty(pivot=[0.0], order=7), "at most 6, got 7"),
        (lambda: PowerSums.empty(pivot=[np.nan]), "pivot must be finite"),
        (lambda: of(np.ones((9, 2))).update(np.ones((3, 3))), "samples must have shape"),
        (lambda: of(np.ones((9, 1))).update(np.full((1, 1), np.inf)), "must be finite"),
        (lambda: of(np.ones((9, 1))).merge(of(np.zeros((9, 1)))), "same order, groups and pivot"),
        (lambda: of(np.ones((9, 1))).cumulant((1,)), "numbers below 1"),
        (lambda: of(np.ones((4, 1))).cumulant((0,) * 4), "more samples than 4"),
        (lambda: jackknife(np.mean, np.ones(1)), "jackknife needs"),
    ],
)
def test_bad_input_says_what_to_do(work, message):
    with pytest.raises(ValueError, match=message):
        work()
