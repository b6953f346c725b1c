"""Analytic NNGP and NTK: depth 3, 1000 × 1000 points of dimension 64, float64, one core.

neural-tangents runs in the environment whose python executable is given; both libraries are timed
in turn, round after round, each in a process of its own that is bound to one core. Compilation and
the first call are not counted. The medians are over all calls. widthwise also computes the error of
every entry. "square" is a kernel of a set with itself, "rectangle" one between two sets.
"""

import os
import pathlib
import statistics
import subprocess
import sys

ROUNDS, CALLS = 3, 5
ACTIVATIONS = ("relu", "erf", "tanh")
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}

_COMMON = """
import os, sys, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import jax; jax.config.update("jax_enable_x64", True)
import numpy as np
random = np.random.default_rng(0)
x, x2 = random.standard_normal((1000, 64)), random.standard_normal((1000, 64))
def timed(label, call, calls):
    call()
    for _ in range(calls):
        start = time.perf_counter(); call()
        print(label, time.perf_counter() - start, flush=True)
"""

_OURS = """
import widthwise as ww
for name in sys.argv[2].split(","):
    net = ww.MLP(3, name, 2**0.5, 0.1)
    timed(name + " square", lambda: ww.limit_kernels(net, x), int(sys.argv[1]))
    timed(name + " rectangle", lambda: ww.limit_kernels(net, x, x2), int(sys.argv[1]))
"""

_THEIRS = """
from neural_tangents import stax
for name, phi in (("relu", stax.Relu()), ("erf", stax.Erf())):
    layers = [stax.Dense(1, 2**0.5, 0.1), phi] * 3 + [stax.Dense(1, 2**0.5, 0.1)]
    kernel = jax.jit(stax.serial(*layers)[2], static_argnums=2)
    both = ("nngp", "ntk")
    timed(name + " square", lambda: jax.block_until_ready(kernel(x, None, both)), int(sys.argv[1]))
    timed(name + " rectangle", lambda: jax.block_until_ready(kernel(x, x2, both)), int(sys.argv[1]))
"""


def _run(python: str, program: str) -> dict[str, list[float]]:
    run = subprocess.run(
        [python, "-c", _COMMON + program, str(CALLS), ",".join(ACTIVATIONS)],
        env=os.environ | _ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    if run.returncode:
        raise RuntimeError(run.stderr)
    times: dict[str, list[float]] = {}
    for line in run.stdout.splitlines():
        name, shape, seconds = line.split()
        times.setdefault(f"{name} {shape}", []).append(float(seconds))
    return times


def report(rival: pathlib.Path | None) -> None:
    """Print medians and ratios; ``rival`` is the python executable that has neural-tangents."""
    ours: dict[str, list[float]] = {}
    theirs: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        programs = [(ours, sys.executable, _OURS)]
        programs += [(theirs, str(rival), _THEIRS)] if rival is not None else []
        for table, python, program in programs:
            for name, times in _run(python, program).items():
                table.setdefault(name, []).extend(times)
    print("Analytic NNGP + NTK, depth 3, 1000 x 1000 points of dimension 64, float64, one core")
    print("(medians; goals: 2 times faster than neural-tangents; tanh within 3 times erf)\n")
    print(f"{'':16}{'widthwise':>12}{'neural-tangents':>18}{'ratio':>8}{'to erf':>9}")
    for name in ours:
        own = statistics.median(ours[name])
        other = statistics.median(theirs[name]) if name in theirs else None
        erf = statistics.median(ours["erf " + name.split()[1]])
        compared = f"{other:15.3f} s {other / own:7.1f}" if other else f"{'':>26}"
        print(f"{name:16}{own:10.3f} s {compared}{own / erf:9.2f}")
    print()


if __name__ == "__main__":
    report(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None)
