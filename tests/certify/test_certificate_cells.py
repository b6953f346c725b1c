"""The search of the certificate benchmark: the first width that holds, or an honest refusal."""

import importlib.util
import time
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "certificate_sections"


@pytest.fixture(scope="module")
def cells():
    spec = importlib.util.spec_from_file_location("certificate_cells", FOLDER / "_cells.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_first_width_that_holds(cells):
    tried = []
    cell = cells.smallest(lambda n: tried.append(n) or n >= 20, 64, 10)
    assert (cell.width, str(cell)) == (24, "24")
    assert tried == [4, 6, 8, 12, 16, 24]


def test_none_up_to_the_limit(cells):
    assert str(cells.smallest(lambda n: False, 64, 10)) == "> 64"
    assert str(cells.smallest(lambda n: False, 70, 10)) == "> 64"


def test_time_ends_a_search_and_the_last_refusal_is_named(cells):
    def holds(n):
        while n == 12:
            try:
                sum(range(1000))
            except Exception:
                continue
        return False

    start = time.process_time()
    cell = cells.smallest(holds, 64, 0.05)
    assert time.process_time() - start < 1
    assert str(cell) == "> 8 (time)"
    assert str(cells.smallest(lambda n: n == 16, 64, 10)) == "16"
