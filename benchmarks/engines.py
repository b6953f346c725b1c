"""The engines against their rivals: medians and ratios, both measured in one run.

    python benchmarks/engines.py                      every section that is there
    python benchmarks/engines.py --section ntk        one of them
    python benchmarks/engines.py --rival PYTHON       neural-tangents' interpreter

The rivals' environment, .venv-rivals, is built by `make bench` where Python 3.11 or 3.10 is found.
Without it the sections print what they can.
"""

import argparse
import importlib
from pathlib import Path

from engine_sections.machine import machine

SECTIONS = ("kernels", "ntk", "ensembles")
HERE = Path(__file__).parent
RIVAL = HERE.parent / ".venv-rivals" / "bin" / "python"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rival", type=Path, help="Python of an environment with neural-tangents")
    parser.add_argument("--section", choices=SECTIONS, action="append")
    options = parser.parse_args()
    rival = options.rival or (RIVAL if RIVAL.exists() else None)
    print(f"machine: {machine()}")
    if rival is None:
        print("rivals: none; `make bench` builds .venv-rivals where it finds Python 3.11 or 3.10")
    for name in options.section or SECTIONS:
        if (HERE / "engine_sections" / f"{name}.py").exists():
            print()
            importlib.import_module(f"engine_sections.{name}").report(rival)


if __name__ == "__main__":
    main()
