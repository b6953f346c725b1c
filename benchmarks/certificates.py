"""How tight certificates are: certified widths, constants and rates, and what they cost.

    python benchmarks/certificates.py                     everything, less than an hour of one core
    python benchmarks/certificates.py --part constants    one part
    python benchmarks/certificates.py --part table --only digits --seconds 20

The parts: `table`, the smallest certified width by method and data set; `depths`, the same at depth
2 and 3; `constants`, Lipschitz constants of the Jacobian over the largest second derivative found;
`rates`, powers of n over ten seeds; `times`. Every cell of `table` and `depths` is a search with a
limit of CPU time, `--seconds`.
"""

import argparse

import jax

jax.config.update("jax_enable_x64", True)

from certificate_sections import constants, rates, times, widths
from certificate_sections._cells import data_sets
from engine_sections.machine import machine

PARTS = {
    "table": widths.report,
    "depths": widths.report_depths,
    "constants": constants.report,
    "rates": rates.report,
    "times": times.report,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--only", default="", help="data sets whose name holds this word")
    parser.add_argument("--seconds", type=float, default=60, help="CPU time of a cell")
    options = parser.parse_args()
    if not any(options.only in data.name for data in data_sets()):
        parser.error(f"--only {options.only!r} is in none of the names of the data sets")
    if not options.seconds > 0:
        parser.error(f"--seconds {options.seconds:g} leaves no time; a cell needs some, such as 60")
    print(f"machine: {machine()}")
    for part in options.part or PARTS:
        print(f"\n{part}\n")
        PARTS[part](options)


if __name__ == "__main__":
    main()
