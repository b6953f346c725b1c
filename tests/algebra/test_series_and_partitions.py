"""Series in n^{-1/2}, set partitions, cumulants from moments."""

import mpmath
import numpy as np
import pytest

from widthwise.algebra.partitions import (
    joint_cumulant,
    mobius,
    multiset_partitions,
    set_partitions,
)
from widthwise.algebra.series import Series


def test_there_are_bell_many_partitions():
    assert [len(set_partitions(n)) for n in range(8)] == [1, 1, 2, 5, 15, 52, 203, 877]
    assert all(sorted(sum(p, ())) == list(range(5)) for p in set_partitions(5))


@pytest.mark.parametrize("counts", [(4,), (1, 1, 1), (2, 1), (3, 2), (2, 2, 1)])
def test_partitions_of_a_multiset_are_set_partitions_counted_by_what_they_hold(counts):
    values = [v for v, c in enumerate(counts) for _ in range(c)]
    found = {}
    for partition in set_partitions(len(values)):
        parts = [np.bincount([values[i] for i in B], minlength=len(counts)) for B in partition]
        held = tuple(sorted((tuple(map(int, part)) for part in parts), reverse=True))
        found[held] = found.get(held, 0) + 1
    assert dict(multiset_partitions(counts)) == found


def test_mobius_weights_of_a_constant_cancel():
    """Cumulants of a constant 1 beyond the first vanish."""
    for size in (2, 3, 4, 5):
        assert sum(mobius(len(p)) for p in set_partitions(size)) == 0


def test_joint_cumulant_of_exponential_variables():
    factorial = [1, 1, 2, 6, 24, 120, 720]
    for r in range(1, 7):
        assert joint_cumulant(lambda block: factorial[len(block)], r) == factorial[r - 1]


def test_series_evaluates_truncates_and_estimates_its_remainder():
    series = Series([1.0, 0.0, 2.0, 0.0, -60.0, 0.0, 5000.0])
    assert series.at(16) == pytest.approx(1 + 2 / 16 - 60 / 256 + 5000 / 4096)
    assert series.at(16, order=2) == 1.125
    assert series.optimal_order(16) == 1  # the term 2/n is the smallest
    assert series.optimal_order(10_000) == 6
    assert series.remainder(10_000) == pytest.approx(5000 / 1e12)
    assert series.at(1e14) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="order 7 was asked"):
        series.at(16, order=7)
    with pytest.raises(ValueError, match="width must be an integer"):
        series.at(0)


def test_an_exact_series_has_no_remainder():
    assert Series([0.0, 0.0, 6.0], exact=True).remainder(4) == 0.0


def test_series_arithmetic_against_numbers():
    """With ε small the truncated results differ from exact arithmetic by O(ε^{P+1})."""
    a = Series([2.0, 0.3, -0.7, 0.1], [0.0, 1e-3, 0.0, 0.0])
    b = Series([1.0, 0.0, 0.5, 0.2, 9.0])
    n = 10**8
    x, y = a.at(n), b.at(n, 3)
    assert (a + b).at(n) == pytest.approx(x + y, abs=1e-14)
    assert (a - b).at(n) == pytest.approx(x - y, abs=1e-14)
    assert (2.0 * a + 1.0).at(n) == pytest.approx(2 * x + 1, abs=1e-14)
    assert (a * b).at(n) == pytest.approx(x * y, abs=1e-14)
    assert (a * b).order == 3
    assert (a * b).error == pytest.approx([0, 1e-3, 0, 5e-4])
    assert a.shift(2).coefficients == pytest.approx([0, 0, 2.0, 0.3])
    exponential = a.compose([np.exp(2.0)] * 4)
    assert exponential.at(n) == pytest.approx(np.exp(x), rel=1e-14)
    with pytest.raises(ValueError, match="derivatives up to order 3"):
        a.compose([1.0])


def test_exactness_survives_only_where_nothing_is_cut():
    exact = Series([0.0, 0.0, 6.0], exact=True)
    assert (exact + exact).exact
    assert (exact * 2.0).exact
    assert not (exact * exact).exact
    assert not exact.shift(1).exact
    assert not (exact + Series([1.0, 0.0, 0.0])).exact


def test_noise_is_not_the_smallest_term():
    series = Series([1.0, 1e-17, 2.0, -1e-16, 3.0], [1e-15] * 5)
    assert series.optimal_order(100) == 4
    assert series.optimal(100).error == pytest.approx(3e-4, rel=1e-6)


def test_diagnosis_of_a_sum_taken_too_far():
    series = Series([1.0, 0.0, 2.0, 0.0, -600.0], [0.0, 0.0, 1e-9, 0.0, 1e-3])
    fine = series.diagnose(10**6)
    assert fine.warnings == ()
    assert str(fine) == "nothing speaks against this sum"
    assert fine.value == series.at(10**6)
    assert fine.numerical_error == pytest.approx(1e-15 + 1e-15)
    too_far = series.diagnose(16)
    assert too_far.optimal_order == 1
    assert "the sum to order 4 is worse; use order=1" in str(too_far)
    assert series.diagnose(16, order=1).warnings == ()


def test_diagnosis_of_a_small_width_and_of_lost_digits():
    assert "is small for this series" in str(Series([1.0, 0.0, 20.0, 0.0, 9.0]).diagnose(2))
    lost = Series([1.0, 0.0, 2.0, 0.0, 1.0], [0.0, 0.0, 0.5, 0.0, 0.1]).diagnose(100)
    assert "the coefficient of n^(-2/2), 2, is known to 5e-01 only" in str(lost)
    with pytest.raises(ValueError, match="order 7 was asked"):
        Series([1.0]).diagnose(16, order=7)


@pytest.mark.parametrize("power", [0, 3])
def test_pade_of_a_stieltjes_series(power):
    """∫ e^{−u} / (1 + u/n) du = Σ (−1)^k k! n^{−k}, whose truncations are useless at n = 2."""
    n, terms = 2, 10
    exact = float(n * mpmath.exp(n) * mpmath.e1(n))
    c = np.zeros(2 * terms + power)
    c[power::2] = [(-1) ** k * float(mpmath.factorial(k)) for k in range(terms)]
    resummed = Series(c).pade(n)
    assert resummed.safe
    assert resummed.reason == ""
    true = exact * n ** (-power / 2)
    assert abs(resummed.value - true) <= resummed.error
    assert abs(resummed.value - true) < 2e-3
    assert abs(Series(c).optimal(n).value - true) > 0.05


def test_pade_says_when_it_is_unsafe():
    growing = np.zeros(17)
    growing[::2] = [float(mpmath.factorial(k)) for k in range(9)]
    pole = Series(growing).pade(2)
    assert not pole.safe
    assert "pole" in pole.reason
    assert "needs three terms, the series has 2" in Series([0.0, 1.0, 2.0]).pade(9).reason
    geometric = Series(0.5 ** np.arange(6)).pade(4)  # 1/(1 − 1/4), a singular system
    assert not geometric.safe
    alternating = np.zeros(17)
    alternating[::2] = [(-1) ** k * float(mpmath.factorial(k)) for k in range(9)]
    noisy = Series(alternating, 0.9 * np.abs(alternating)).pade(2)
    assert not noisy.safe
    assert "numerical errors" in noisy.reason
