"""Rates: exponents recovered with their errors, hypotheses kept and rejected as they should be."""

import numpy as np
import pytest

import widthwise as ww
from widthwise.measure.exact import exact_distance
from widthwise.measure.predicted import predicted_distance
from widthwise.measure.rates import fit_rate

WIDTHS = 2.0 ** np.arange(4, 12)


def kept(fit):
    return {(h.power, h.log_power) for h in fit.hypotheses if not h.rejected}


def test_the_error_of_the_exponent_is_honest():
    """Over 80 noisy data sets with a next order, p lies within two errors 95% of the time."""
    inside, plain = 0, 0
    for seed in range(80):
        noise = 1 + 0.02 * np.random.default_rng(seed).normal(size=len(WIDTHS))
        values = 0.4 * WIDTHS**-0.5 * (1 - 0.8 * WIDTHS**-0.5) * noise
        fit = fit_rate(WIDTHS, values, 0.02 * values)
        inside += abs(fit.power - 0.5) < 1.96 * fit.error
        plain += abs(fit.plain_power - 0.5) < 1.96 * fit.plain_error
    assert inside >= 71
    assert plain < 40  # a pure power is biased, and its error does not say so


def test_a_logarithm_in_the_data_is_found_and_one_that_is_not_there_rejected():
    with_log = WIDTHS**-0.5 * np.log(WIDTHS)
    fit = fit_rate(WIDTHS, with_log, 1e-3 * with_log)
    assert (0.5, 1.0) in kept(fit)
    assert not {(0.5, 0.0), (1.0, 0.0), (1.0, 1.0)} & kept(fit)
    assert any("not confirmed" in note for note in fit.notes)
    without = WIDTHS**-0.5
    fit = fit_rate(WIDTHS, without, 1e-3 * without)
    assert kept(fit) == {(0.5, 0.0)}
    assert "rejected" in str(fit)


def test_boundedness_tells_an_upper_bound_that_holds_from_one_that_fails():
    falling = WIDTHS**-0.5 * np.log(WIDTHS)
    assert fit_rate(WIDTHS, falling, 0.01 * falling).bounded.holds
    slow = WIDTHS**-0.2
    fit = fit_rate(WIDTHS, slow, 0.01 * slow)
    assert not fit.bounded.holds
    assert "they grow" in str(fit.bounded)
    assert fit.bounded.at_width == 2048


def test_the_ratio_tests_exponent_and_constant():
    truth = 0.3 / WIDTHS
    noise = 1 + 0.01 * np.random.default_rng(0).normal(size=len(WIDTHS))
    values = truth * (1 - 3 / WIDTHS) * noise
    good = fit_rate(WIDTHS, values, 0.01 * truth, predicted=truth).ratio
    assert abs(good.limit - 1) < 3 * good.error < 0.05
    assert not good.rejected
    constant = fit_rate(WIDTHS, values, 0.01 * truth, predicted=1.1 * truth).ratio
    assert constant.rejected
    exponent = fit_rate(WIDTHS, values, 0.01 * truth, predicted=truth * (WIDTHS / 200) ** 0.1)
    assert exponent.ratio.rejected


@pytest.mark.parametrize(("readout", "power"), [("gaussian", 1.0), ("exponential", 0.5)])
def test_exact_distances_of_a_network(readout, power):
    """Seen through 1% errors: the exponent, and the two-term prediction."""
    net = ww.MLP(1, "softplus", weight_std=1.5, weight_law=("gaussian", readout))
    c = ww.output_cumulants(net, [[1.0]], order=2)
    exact = [exact_distance(net, [[1.0]], None, n).value for n in WIDTHS]
    predicted = [predicted_distance(c, None, n).value for n in WIDTHS]
    fit = fit_rate(WIDTHS[2:], exact[2:], 0.01 * np.array(exact[2:]), predicted=predicted[2:])
    assert abs(fit.power - power) < 2 * fit.error < 0.2
    assert (power, 0.0) in kept(fit)
    assert abs(fit.ratio.limit - 1) < 2 * fit.ratio.error
    assert not fit.ratio.rejected
    assert fit.bounded.holds


def test_values_within_their_errors_are_left_out():
    values = np.append(1 / WIDTHS, 1e-5)
    widths, errors = np.append(WIDTHS, 4096), np.append(0.01 / WIDTHS, 1e-4)
    fit = fit_rate(widths, values, errors)
    assert fit.widths == len(WIDTHS)
    assert "4096" in fit.notes[0]


def test_three_widths_have_no_next_order():
    fit = fit_rate(WIDTHS[:3], 1 / WIDTHS[:3], 0.01 / WIDTHS[:3])
    assert fit.power == pytest.approx(1.0)
    assert "biased" in str(fit)


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(ValueError, match="same length"):
        fit_rate(WIDTHS, 1 / WIDTHS, [0.1])
    with pytest.raises(ValueError, match=r"errors must be above 0, got 0"):
        fit_rate(WIDTHS, 1 / WIDTHS, 0 / WIDTHS)
    with pytest.raises(ValueError, match="widths must be different"):
        fit_rate([8, 8, 16], [1.0, 1.0, 0.5], [0.1, 0.1, 0.1])
    with pytest.raises(ValueError, match="three widths"):
        fit_rate(WIDTHS, 1 / WIDTHS, 10 / WIDTHS)
