"""A slice of the published table: certified ≥ measured ≥ lower."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "bounds_table.py"


@pytest.fixture(scope="module")
def table():
    spec = importlib.util.spec_from_file_location("bounds_table", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_slice_of_the_table_is_in_order(table):
    rows = table.rows("tanh", "gaussian", 1, 32, members=400)
    assert [row.time for row in rows] == list(table.TIMES)
    assert all(row.ok for row in rows)
    assert rows[0].exact
    assert rows[0].lower > 0.9 * rows[0].measured
    assert rows[0].certified < 5 * rows[0].measured  # and not by chance
    assert str(rows[0]).count("|") == table.HEAD.splitlines()[0].count("|")


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["softplus", "relu"])
@pytest.mark.parametrize("depth", [1, 2])
def test_more_of_the_table_is_in_order(table, activation, depth):
    assert all(row.ok for row in table.rows(activation, "exponential", depth, 64))
