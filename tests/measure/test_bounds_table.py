"""A slice of the published table: certified ≥ measured ≥ lower."""

import importlib.util
from itertools import product
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATH = ROOT / "benchmarks" / "bounds_table.py"
PAGE = ROOT / "docs" / "bounds.md"


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


def test_the_published_table_is_whole_and_in_order(table):
    head, _ = table.HEAD.splitlines()
    lines = PAGE.read_text().split(head, 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    asked = product(table.ACTIVATIONS, table.LAWS, table.DEPTHS, table.WIDTHS, table.TIMES)
    assert sorted(tuple(row[:5]) for row in rows) == sorted(
        (a, law, str(depth), str(n), f"{t:g}") for a, law, depth, n, t in asked
    )
    for row in rows:
        certified, measured, lower, looseness = (float(cell) for cell in row[5:9])
        assert certified >= measured >= lower, row
        assert looseness == pytest.approx(certified / measured, rel=0.011), row


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["softplus", "relu"])
@pytest.mark.parametrize("depth", [1, 2])
def test_more_of_the_table_is_in_order(table, activation, depth):
    assert all(row.ok for row in table.rows(activation, "exponential", depth, 64))
