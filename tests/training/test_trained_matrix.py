"""The law of training against really trained networks, for eight kinds of networks."""

import numpy as np
import pytest

from training.trained_matrix import NETS, WIDTHS, measured, rows
from widthwise.training.ensembles import richardson

NAMES = tuple(NETS)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES, ids=["-".join(map(str, name)) for name in NAMES])
def test_measured_coefficients_are_those_of_the_law(name):
    found, law, ensembles = measured(name)
    wide = richardson({n: ensembles[n] for n in WIDTHS if n >= 128}) if name[2] == 1 else None
    table = rows(found, law, name[2], wide)
    assert found.mean.fits
    assert found.covariance.fits
    for row in table:
        assert abs(row.z) < 3, row
    # and each kind of number is measured well enough to be wrong
    for cumulant in ("mean", "covariance"):
        for power in {row.power for row in table}:
            of = [row for row in table if (row.cumulant, row.power) == (cumulant, power)]
            clear = max(abs(row.theory) / row.error for row in of)
            assert clear > 5, (cumulant, power)
    assert np.isfinite([row.error for row in table]).all()
