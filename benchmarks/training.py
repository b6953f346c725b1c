"""Predictions of training: seconds, memory and accuracy, each measured in one run.

python benchmarks/training.py                      every section that is there
python benchmarks/training.py --section shadow     one of them
"""

import argparse
import importlib
from pathlib import Path

from engine_sections.machine import machine

HERE = Path(__file__).parent / "training_sections"
SECTIONS = sorted(path.stem for path in HERE.glob("*.py") if path.stem[0] != "_")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--section", choices=SECTIONS, action="append")
    options = parser.parse_args()
    print(f"machine: {machine()}")
    for name in options.section or SECTIONS:
        print()
        importlib.import_module(f"training_sections.{name}").report()


if __name__ == "__main__":
    main()
