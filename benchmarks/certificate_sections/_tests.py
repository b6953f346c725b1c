"""What the tests measure with, for benchmarks that print the same numbers."""

import sys
from pathlib import Path


def add_tests():
    """Let ``certify`` and its like be imported from the tests."""
    path = str(Path(__file__).parents[2] / "tests")
    if path not in sys.path:
        sys.path.insert(0, path)
