"""The benchmark of the rate on real data: its data, and what its verdict says of known laws."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "measure_sections" / "mission.py"


@pytest.fixture(scope="module")
def mission():
    spec = importlib.util.spec_from_file_location("mission", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(mission, case, q, spread):
    """Distances n^{-p} (log n)^q with noise, beside predictions without a logarithm."""
    rng, found = np.random.default_rng(4), []
    for t in mission.TIMES:
        for n in mission.WIDTHS:
            law = n**-case.power
            value = law * np.log(n) ** q
            noisy = value * (1 + spread * rng.normal())
            found.append(mission.Row(n, t, noisy, spread * value, law, 0.0, "known"))
    return found


def fits(mission, case, q, spread=0.02):
    made = rows(mission, case, q, spread)
    return [mission.fit([r for r in made if r.time == t], case) for t in mission.TIMES]


@pytest.mark.parametrize("number", [0, 1])
def test_the_verdict_tells_a_logarithm_from_none(mission, number):
    case = mission.CASES[number]
    without = mission.verdict(fits(mission, case, 0.0), case.power)
    assert "no logarithm is needed, and a whole one is excluded at every time" in without
    with_one = mission.verdict(fits(mission, case, 1.0), case.power)
    assert "the plain law does not describe the data" in with_one
    unsure = mission.verdict(fits(mission, case, 0.0, spread=0.4), case.power)
    assert "do not exclude one" in unsure


def test_train_points_are_not_parallel_and_no_point_is_used_twice(mission):
    x, y, xs = mission.data()
    assert (len(x), len(y), len(xs)) == (4, 4, 1)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosines = np.abs(unit @ unit.T - np.eye(4))
    assert cosines.max() < mission.PARALLEL
    assert np.abs(x - xs).max(1).min() > 0


def test_a_row_scales_the_distance_as_the_statement_does(mission):
    row = mission.Row(64, 1.0, 0.25, 0.01, 0.25, 0.0, "known")
    assert row.root == pytest.approx(2.0)
    assert row.scaled == pytest.approx(2.0 / np.log(64) ** 1.1)
    assert row.top == pytest.approx(1.08)
