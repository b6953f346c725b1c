"""Extrapolation in the width: exact series, χ² that rejects, errors that cover."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import widthwise as ww
from widthwise.training.ensembles import (
    controlled_ensemble,
    controlled_ensembles,
    fit_powers,
    richardson,
)

WIDTHS = np.array([64, 128, 256, 512])


def test_series_of_the_powers_are_recovered():
    n = WIDTHS.astype(float)
    series = np.stack([3 * n**-0.5 - n**-1 + 7 * n**-1.5, 2 / n], 1)
    fit = fit_powers(WIDTHS, series, 1e-6 + 0 * series, (1, 2, 3))
    expected = np.array([[3, -1, 7], [0, 2, 0]]).T
    assert fit.coefficients == pytest.approx(expected, abs=1e-9)
    assert fit.fits
    assert fit.reason == ""
    assert fit.remainder == 4
    assert fit.coefficient(2).value == pytest.approx([-1, 2], abs=1e-9)
    with pytest.raises(ValueError, match=r"one of \(1, 2, 3\), got 4"):
        fit.coefficient(4)


def test_standard_errors_and_chi_squared_are_those_of_the_noise():
    rng = np.random.default_rng(0)
    n = WIDTHS.astype(float)[:, None]
    sigma = 1e-3 / n * np.array([[1], [2], [1], [3]])
    values = 0.7 / n - 2 / n**2 + sigma * rng.normal(size=(4, 4000))
    fit = fit_powers(WIDTHS, values, sigma + 0 * values, (2, 4))
    z = (fit.coefficients - np.array([[0.7], [-2]])) / fit.errors
    assert np.abs(z.mean(1)).max() < 4 / np.sqrt(4000)
    assert z.std(1) == pytest.approx([1, 1], rel=0.05)
    assert fit.chi2.mean() == pytest.approx(2, rel=0.1)
    assert fit.fits
    # the weights are used: the same without them is worse by this much
    equal = np.linalg.pinv(np.stack([1 / n[:, 0], 1 / n[:, 0] ** 2], 1))[0]
    assert np.sqrt((equal**2 * sigma[:, 0] ** 2).sum()) > 1.2 * fit.errors[0, 0]


def test_a_power_that_is_missing_is_noticed():
    n = WIDTHS.astype(float)
    fit = fit_powers(WIDTHS, 0.05 * n**-0.5 + 1 / n, 1e-4 / n**0.5, (2, 4))
    assert not fit.fits
    assert "leave out the smallest width" in fit.reason
    exact = fit_powers(WIDTHS[:2], 1 / n[:2], 1e-4 / n[:2], (2, 4))
    assert not exact.fits
    assert "add a width" in exact.reason
    assert exact.coefficient(2).value == pytest.approx(1)


def test_what_cannot_be_fitted_is_refused():
    n = WIDTHS.astype(float)
    for arguments, message in (
        ((WIDTHS, 1 / n, 0 / n, (2, 4)), "errors must be above 0"),
        ((WIDTHS, 1 / n, 1 / n, (4, 2)), "powers must be increasing"),
        ((WIDTHS[:1], 1 / n[:1], 1 / n[:1], (2, 4)), "2 powers need at least 2 different widths"),
        ((WIDTHS, 1 / n[:2], 1 / n[:2], (2,)), r"shape \(4, ...\)"),
    ):
        with pytest.raises(ValueError, match=message):
            fit_powers(*arguments)
    with pytest.raises(ValueError, match="at least one"):
        richardson([])


def test_ensembles_of_other_networks_or_data_are_refused():
    net, data = ww.MLP(1, "tanh", 1.2, 0.3), ([[-1.0]], [1.0], [[0.4]], [1.0])
    first = controlled_ensemble(net, 8, *data, 50, jax.random.key(0))
    rest = [replace(first, width=width) for width in (16, 32)]
    assert richardson([first, *rest]).widths == (8, 16, 32)
    x, y, test = first.data
    for change, message in (
        (
            {"net": ww.MLP(1, "erf", 1.2, 0.3)},
            "must be of one network, got activation erf and tanh; extrapolate",
        ),
        ({"data": (x + 1, y, test)}, r"share their train points, got \[\[0.0\]\] and"),
        ({"data": (x, 2 * y, test)}, r"share their labels"),
        ({"data": (x, y, test[:0])}, r"share their test points, got \[\] and"),
    ):
        with pytest.raises(ValueError, match=message):
            richardson([replace(first, **change), *rest])


@pytest.mark.slow
def test_the_shift_of_trained_tanh_networks():
    """Small: the 1/n coefficients of mean and variance, one train and one test point."""
    net = ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.0))
    data = ([[-1.0]], [1.0], [[0.4]], [1.0])
    ensembles = controlled_ensembles(net, (32, 64, 128), *data, 3000, jax.random.key(0))
    found, law = richardson(ensembles), ww.training_law(net, *data)
    assert found.fits
    assert found.mean.remainder == 6
    for fit, coefficients in (
        (found.mean, law.mean_coefficients),
        (found.covariance, law.covariance_coefficients),
    ):
        value, error = fit.coefficient(2)
        z = (value - coefficients[2]) / error
        assert np.abs(z).max() < 3.5
        assert np.abs(coefficients[2] / error).max() > 10
    with pytest.warns(RuntimeWarning, match="do not describe these widths"):
        richardson(ensembles, powers=(1,))
    other = controlled_ensembles(net, [16], *data[:3], [0.5], 60, jax.random.key(0))
    with pytest.raises(ValueError, match="share their times"):
        richardson([*ensembles.values(), *other.values()])
