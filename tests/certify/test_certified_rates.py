"""How certified distances fall with the width: 1/n for symmetric laws, n^{-1/2} for skewed ones."""

import pytest

from certify.certified_rates import COLUMNS, NETS, certified, fitted, slope


@pytest.mark.slow
def test_symmetric_laws_fall_like_the_inverse_width():
    """The power is nearer to -1 than to -1/2 by three errors.

    The largest of n readout weights, which enters L, adds a power of log n: about 0.05 here.
    """
    found = certified(NETS["symmetric"])
    for quantity in (0, 1):
        power, error = slope(found[:, :, quantity])
        assert power + 3 * error < -0.75


@pytest.mark.slow
def test_skewed_laws_have_a_term_of_its_root():
    """A n^{-1/2} + B/n has A above 0 by more than five errors, and 1/n alone is excluded."""
    found = certified(NETS["skewed"])
    for quantity in (0, 1):
        coefficients, errors = fitted(found[:, :, quantity], COLUMNS)
        assert coefficients[0] > 5 * errors[0]
        power, error = slope(found[:, :, quantity])
        assert power - 3 * error > -1
