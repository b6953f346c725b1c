"""The flow tube in intervals, against its float64 sums, real training, and where it must refuse."""

import numpy as np
import pytest

import widthwise as ww
from certify.held_against import hold
from certify.plain_networks import Plain
from certify.trained_networks import reference_parameters, sphere
from widthwise.certify import certify
from widthwise.certify.constants.shallow import ShallowBounds
from widthwise.certify.evaluation import evaluate
from widthwise.certify.posterior.curve import Around, advance, defect, node
from widthwise.certify.posterior.spectrum import Spectrum
from widthwise.certify.posterior.tube import certify_trajectory
from widthwise.certify.rigorous import tube
from widthwise.certify.rigorous.intervals import exact, upper
from widthwise.certify.rigorous.network import Verified
from widthwise.certify.rigorous.tail import tail

ERF = ww.MLP(1, "erf")


@pytest.mark.parametrize("third", [3.0, np.inf])
def test_the_defect_of_a_panel_is_that_of_its_arcs(third):
    x, y = sphere(3, 3)
    first = node(evaluate(ERF, reference_parameters(16, 3), x, y[:, None]))
    second, one = advance(first, 0.01)
    _, other = advance(second, 0.02)
    around = Around(0.9, third, 1.3, 2.0, 0.4, 1e-12)
    summed = upper(tube._Sums.of((one, other)).defect(around))
    arcs = defect(one, around) + defect(other, around)
    assert arcs * (1 - 1e-8) < summed < arcs * (1 + 1e-12)


def test_the_tail_is_a_path_that_closes():
    """α S - ½ L S² = |r| at the smallest S, here 2|r|/(α + √(α² - 2L|r|)); none beyond α²/2L."""
    alpha, L = exact(0.5), exact(2.0)
    made = tail(alpha, exact(0.05), lambda S: L)
    assert made is not None
    S = 2 * 0.05 / (0.5 + (0.25 - 0.2) ** 0.5)
    assert S < upper(made.length) < S * (1 + 1e-7)
    assert made.rate == pytest.approx((0.5 - 2 * S) ** 2, rel=1e-7)
    assert 0.2 < made.condition.number < 0.2 * (1 + 1e-12)
    assert tail(alpha, exact(0.0625), lambda S: L) is None
    assert tail(exact(0.0), exact(0.05), lambda S: L) is None


@pytest.mark.parametrize(
    ("m", "n"), [(2, 64), pytest.param(3, 24, marks=pytest.mark.slow)], ids=["2 points", "3 points"]
)
def test_a_narrow_network_by_its_trajectory(m, n):
    x, y = sphere(m, 3)
    parameters = reference_parameters(n, 3)
    made = certify(ERF, parameters, x, y, "trajectory", arithmetic="interval")
    at = evaluate(ERF, parameters, x, y[:, None])
    rival = certify_trajectory(at, ShallowBounds(at), Spectrum.of(at))
    assert made.holds
    assert rival.holds
    for name in ("rate", "since", "movement", "ntk_change"):
        assert getattr(made, name) == pytest.approx(getattr(rival, name), rel=1e-4), name
    assert made.output_deviation < 1.5 * rival.output_deviation
    assert made.limit_deviation is None
    assert "intervals" in made.assumption
    seen = hold(made, Plain("erf", parameters, 0.0, x, y[:, None]))
    assert made.ntk_change < 3 * seen["ntk_change"]


def test_a_tube_that_is_not_followed_to_a_tail_is_refused(monkeypatch):
    x, y = sphere(3, 3)
    network = Verified.of(evaluate(ERF, reference_parameters(24, 3), x, y[:, None]))
    monkeypatch.setattr(tube, "PANELS", 2)
    monkeypatch.setattr(tube, "TOLERANCES", (1e-3,))
    made = tube.trajectory_in_intervals(network)
    assert not made.holds
    assert "2 panels reach time" in made.reason
    assert "in interval arithmetic" in made.reason
    monkeypatch.setattr(tube, "END", 0.0)
    assert "no tail is certified until time" in tube.trajectory_in_intervals(network).reason
    monkeypatch.setattr(tube, "END", 60.0)
    monkeypatch.setattr(tube, "_EXPONENT", 0.0)
    assert "is not bounded at time 0" in tube.trajectory_in_intervals(network).reason
    monkeypatch.setattr(tube, "weighted_hessian", lambda network, u: None)
    assert "the Hessian is not bounded" in tube.trajectory_in_intervals(network).reason


def test_a_singular_kernel_is_refused():
    x, y = sphere(3, 3)
    x[1] = x[0] * (1 + 1e-12)
    made = certify(ERF, reference_parameters(24, 3), x, y, "trajectory", arithmetic="interval")
    assert not made.holds
    network = Verified.of(evaluate(ERF, reference_parameters(24, 3), x, y[:, None]))
    assert "not certified positive" in tube.trajectory_in_intervals(network).reason
