"""Power-law fits on data whose law is known."""

import numpy as np
import pytest

from widthwise.algebra import power_law
from widthwise.algebra.power_law import fit_slope

WIDTHS = np.array([32.0, 64.0, 128.0, 256.0, 512.0, 1024.0])


def noisy(slope, correction, relative, seed):
    exact = 3.0 * WIDTHS**slope * (1 + correction / WIDTHS)
    error = relative * exact
    return exact + error * np.random.default_rng(seed).standard_normal(len(WIDTHS)), error


@pytest.mark.parametrize(("slope", "correction"), [(-1.0, 0.0), (-0.5, 9.0), (-0.5, -8.0)])
def test_slope_is_unbiased_and_its_error_covers(slope, correction):
    z = []
    for seed in range(200):
        fit = fit_slope(WIDTHS, *noisy(slope, correction, 0.02, seed), theory=slope)
        z.append((fit.value - slope) / fit.error)
    assert abs(np.mean(z)) < 0.25
    assert np.std(z) == pytest.approx(1.0, abs=0.15)


def test_the_wrong_exponent_is_rejected():
    fit = fit_slope(WIDTHS, *noisy(-0.5, 2.0, 0.02, 0), theory=-1.0)
    assert not fit.agrees
    assert fit.chi2 > 10 * fit.degrees
    assert fit_slope(WIDTHS, *noisy(-0.5, 2.0, 0.02, 0), theory=-0.5).chi2 < 4 * 4


def test_too_few_clear_values_give_no_slope():
    assert fit_slope(WIDTHS[:1], np.ones(1), 0.1 * np.ones(1), -1.0) is None
    assert fit_slope(WIDTHS, 0.1 * np.ones(6), np.ones(6), -1.0) is None


def test_two_widths_are_a_straight_line():
    fit = fit_slope(np.array([10.0, 1000.0]), np.array([1.0, 0.01]), np.array([1e-3, 1e-5]), -1.0)
    assert fit.value == pytest.approx(-1.0)
    assert fit.degrees == 1


def test_a_fit_that_does_not_converge_gives_no_slope(monkeypatch):
    """Too few evaluations stand for values that send the fit to infinity."""
    values, errors = noisy(-0.5, 9.0, 0.02, 0)
    assert fit_slope(WIDTHS, values, errors, -0.5) is not None
    monkeypatch.setattr(power_law, "_EVALUATIONS", 3)
    assert fit_slope(WIDTHS, values, errors, -0.5) is None
