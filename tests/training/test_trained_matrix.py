"""The law of training against really trained networks, for eight kinds of networks."""

import numpy as np
import pytest

from training.trained_matrix import NETS, measured, rows
from widthwise.training.ensembles import richardson

NAMES = tuple(NETS)
HARDLY_SEEN = {("softplus", "skewed", 2, "covariance", 2): 2}
"""In errors; 14 times the networks make it 3."""


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES, ids=["-".join(map(str, name)) for name in NAMES])
def test_measured_coefficients_are_those_of_the_law(name):
    law, ensembles = measured(name)
    free = richardson(ensembles)
    assert free.mean.fits
    assert free.covariance.fits
    for power in (p for p in free.mean.powers if p <= 2):
        for fit, expected in (
            (free.mean, law.mean_coefficients),
            (free.covariance, law.covariance_coefficients),
        ):
            value, error = fit.coefficient(power)
            assert (np.abs(value - expected[power]) < 3 * error).all()
    table = rows(law, ensembles, name[2])
    for row in table:
        assert abs(row.z) < 3, row
    # and mean and covariance are measured well enough to be wrong
    for cumulant in ("mean", "covariance"):
        for order in {row.power for row in table}:
            of = [row for row in table if (row.cumulant, row.power) == (cumulant, order)]
            seen = max(abs(row.theory) / row.error for row in of)
            assert seen > HARDLY_SEEN.get((*name, cumulant, order), 5), (cumulant, order)
