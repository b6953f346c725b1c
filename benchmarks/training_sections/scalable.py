"""The law of hundreds of points: seconds and memory from a cold start, and Monte Carlo's seconds.

    python benchmarks/training_sections/scalable.py

Diabetes data, inputs scaled to unit variance, erf, weight_std (1.5, 1), bias_std (0.5, 0), t = 0.5;
the standard error aimed at is 2 % of the 1/n coefficient of the mean, both root mean squares over
all points. Every row is a process of its own, compilation and kernels included, and its peak
memory. The exponent is that of seconds against train points, without test points.

Monte Carlo of equal accuracy: networks of width 512 are trained by ``simulate``, some of them, and
their seconds are scaled to the number whose mean has the same standard error,
(n σ / error)² with σ² the mean variance of an output.
"""

import json
import resource
import subprocess
import sys
import time

ROWS = ((60, 0), (100, 100), (300, 0))
GOALS = {(60, 0): 60, (100, 100): 120, (300, 0): 600}
TIME, TOLERANCE, WIDTH = 0.5, 0.02, 512


def problem(train, test):
    """The network, and train and test points of the diabetes data."""
    import jax

    jax.config.update("jax_enable_x64", True)
    from sklearn.datasets import load_diabetes

    import widthwise as ww

    data = load_diabetes()
    x = data.data * len(data.data) ** 0.5
    y = (data.target - data.target.mean()) / data.target.std()
    net = ww.MLP(1, "erf", (1.5, 1.0), (0.5, 0.0))
    return net, x[:train], y[:train], x[train : train + test] if test else None


def measure(train, test):
    """One law in this process: seconds, memory, and what was reached."""
    start = time.perf_counter()
    import jax
    import numpy as np

    from widthwise.training.neurons import scalable_law

    given = problem(train, test)
    law = scalable_law(*given, [TIME], key=jax.random.key(0), tolerance=TOLERANCE)
    seconds = time.perf_counter() - start
    size, error = (float(np.sqrt((v[2] ** 2).mean())) for v in (law.mean, law.mean_error))
    return {
        "seconds": seconds,
        "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "size": size,
        "error": error,
        "neurons": law.neurons,
        "cubic": law.cubic,
        "disagreement": law.disagreement,
        "deviation": float(np.sqrt(np.trace(law.covariance[0, 0]) / len(law.mean[0, 0]))),
    }


def trained(train, members=64):
    """Seconds per trained network of width 512."""
    import jax

    import widthwise as ww

    net, x, y, _ = problem(train, 0)

    def run(key):
        found = ww.simulate(net, WIDTH, x, y, None, [TIME], members, key, tolerance=1e-4)
        return jax.block_until_ready(found.outputs)

    run(jax.random.key(0))
    start = time.perf_counter()
    run(jax.random.key(1))
    return {"seconds": (time.perf_counter() - start) / members}


def _apart(what, *numbers):
    command = [sys.executable, __file__, what, *map(str, numbers)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def rows():
    """Every row measured, as (train, test, what was measured)."""
    for train, test in ROWS:
        yield train, test, _apart("law", train, test)


def report() -> None:
    """Print the section."""
    from math import log

    found = {}
    for train, test, row in rows():
        found[train, test] = row
        print(
            f"m = {train} + {test} test: {row['seconds']:6.1f} s (goal {GOALS[train, test]}), "
            f"{row['gigabytes']:.2f} GB (goal 2), standard error {row['error'] / row['size']:.1%} "
            f"of {row['size']:.3g}, {row['neurons']} neurons, cubic term {row['cubic']}, two forms "
            f"differ by {row['disagreement']:.2f} standard errors",
            flush=True,
        )
    small, large = found[60, 0], found[300, 0]
    exponent = log(large["seconds"] / small["seconds"]) / log(300 / 60)
    print(f"seconds grow like m^{exponent:.1f} from m = 60 to 300, at 2 % of another coefficient")
    one = _apart("trained", 60)["seconds"]
    members = (WIDTH * small["deviation"] / small["error"]) ** 2
    print(
        f"Monte Carlo of the same error at m = 60, n = {WIDTH}: {members:.1e} networks, "
        f"{members * one:.1e} s; ratio {members * one / small['seconds']:.0f}"
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work = {"law": measure, "trained": trained}[sys.argv[1]]
        print(json.dumps(work(*map(int, sys.argv[2:]))))
    else:
        report()
