"""Distances from the Gaussian process: estimators, trained laws, and the rate on real data.

python benchmarks/measures.py                      every section that is there
python benchmarks/measures.py --section mission    one of them
"""

import argparse
import importlib
from pathlib import Path

from engine_sections.machine import machine

HERE = Path(__file__).parent / "measure_sections"
SECTIONS = sorted(path.stem for path in HERE.glob("*.py") if path.stem[0] != "_")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--section", choices=SECTIONS, action="append")
    options = parser.parse_args()
    print(f"machine: {machine()}")
    for name in options.section or SECTIONS:
        print()
        importlib.import_module(f"measure_sections.{name}").report()


if __name__ == "__main__":
    main()
