"""Printed bounds are on the safe side of the floats they stand for."""

import re
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certify.trained_networks import reference_parameters, sphere
from widthwise.certify import certify
from widthwise.certify.certificate import Certificate, Hypothesis
from widthwise.certify.outward import below, down, up
from widthwise.model.architecture import MLP

FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@given(FLOATS, st.integers(1, 17))
def test_decimals_enclose_the_float(value, digits):
    low, high = Decimal(down(value, digits)), Decimal(up(value, digits))
    assert low <= Decimal(value) <= high
    assert high - low <= Decimal(f"1.0001e{1 - digits}") * abs(Decimal(value))
    assert len(re.sub(r"e.*|[-.]", "", down(value, digits)).strip("0")) <= digits


@given(FLOATS, FLOATS, st.booleans())
def test_comparisons_stay_as_they_are(small, large, strict):
    left, right = below(small, large, strict=strict)
    true = small < large if strict else small <= large
    seen = Decimal(left) < Decimal(right) if strict else Decimal(left) <= Decimal(right)
    assert seen == true


def test_a_close_comparison_gets_the_digits_it_needs():
    assert str(Hypothesis("a", 0.1, "<", 0.2)).endswith("a: 0.100001 < 0.2")
    close = str(Hypothesis("a", 1 - 2.0**-40, "<", 1.0))
    assert close.startswith("holds")
    assert float(re.search(r"a: (\S+) <", close)[1]) < 1.0
    assert str(Hypothesis("a", np.nan, "<", 1.0)).startswith("FAILS")
    assert str(Hypothesis("a", 2.0000001, ">", 2.0)).endswith("2.00000009 > 2")


def test_conclusions_are_rounded_outward():
    third = 1 / 3
    made = Certificate(
        True,
        "trajectory",
        "descent",
        "",
        rate=third,
        movement=third,
        ntk_change=third,
        output_deviation=third,
        limit_deviation=third,
        step=third,
        largest_step=third,
    )
    text = str(made)
    assert "(1 - 0.333333)^k" in text.replace("(k - T)", "k")
    assert text.count("≤ 0.333334") == 4
    assert f"with step {third!r}" in text
    assert "every step up to 0.333333\n" in text


@pytest.mark.parametrize("method", ["path", "linear_reference"])
def test_the_statement_of_a_network_claims_no_more_than_its_numbers(method):
    x, y = sphere(3, 3)
    net = MLP(1, "erf")
    parameters = reference_parameters(2000, 3)
    labels = np.asarray(net.apply(parameters, x))[:, 0] + 0.01 * y
    made = certify(net, parameters, x, labels, method=method)
    text = str(made)
    for name, value in (
        ("|θ - θ_0|", made.movement),
        ("|Θ - Θ_0|", made.ntk_change),
        ("|f - f_lin|", made.output_deviation),
    ):
        printed = Decimal(re.search(rf"sup {re.escape(name)} ≤ (\S+)", text)[1])
        assert Decimal(value) <= printed <= Decimal(value * 1.00002)
    rate = Decimal(re.search(r"e\^\(-(\S+) \(t", text)[1])
    assert rate <= Decimal(made.rate)
