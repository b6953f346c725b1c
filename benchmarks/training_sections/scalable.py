"""The law of hundreds of points: seconds and memory from a cold start, and Monte Carlo's seconds.

    python benchmarks/training.py --section scalable

Diabetes data, inputs scaled to unit variance, erf, weight_std (1.5, 1), bias_std (0.5, 0), t = 0.5;
the standard error aimed at is 2 % of the 1/n coefficient of the mean, both root mean squares over
all points. Every row is a process of its own, one at a time: seconds with imports, compilation and
kernels, and peak memory. Seconds per neuron are those after the first round, without compilation.
Exponents are least-squares slopes in the number of train points over the rows without test points.

Monte Carlo of equal accuracy (:mod:`._against_networks`): three train and two test points at depth
one and two, and the first row of the diabetes data.
"""

import json
import resource
import subprocess
import sys
import time

ROWS = ((60, 0), (100, 100), (150, 0), (300, 0))
GOALS = {(60, 0): 60, (100, 100): 120, (300, 0): 600}
TIME, TOLERANCE, MEMORY = 0.5, 0.02, 2.0


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
    seen = []

    def progress(done, expected):
        seen.append((time.perf_counter(), done))

    law = scalable_law(
        *given, [TIME], key=jax.random.key(0), tolerance=TOLERANCE, progress=progress
    )
    seconds = time.perf_counter() - start
    size, error = (float(np.sqrt((v[2] ** 2).mean())) for v in (law.mean, law.mean_error))
    (first, few), (last, all_) = seen[0], seen[-1]
    return {
        "seconds": seconds,
        "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "size": size,
        "error": error,
        "neurons": law.neurons,
        "cubic": law.cubic,
        "disagreement": law.disagreement,
        "per_neuron": (last - first) / (all_ - few) if all_ > few else None,
    }


def against(train, depth):
    """The law against trained networks: three points, or diabetes data."""
    import jax

    jax.config.update("jax_enable_x64", True)
    from _against_networks import compare

    import widthwise as ww

    if train == 3:
        net = ww.MLP(depth, "tanh", (1.5,) * depth + (1.0,), (0.5,) * depth + (0.0,))
        x, y, test = [[-1.0], [0.3], [1.2]], [1.0, -1.0, 0.5], [[-0.4], [2.0]]
        return compare(net, x, y, test, TIME)
    return compare(*problem(train, 0), TIME, engine="neurons", tolerance=TOLERANCE)


def _apart(what, *numbers):
    """One measurement in a process of its own."""
    command = [sys.executable, __file__, what, *map(str, numbers)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def exponent(points, values):
    """The slope of log values in log points, and the largest relative misfit of the power law."""
    import numpy as np

    p, v = np.log(points), np.log(values)
    line = np.polyfit(p, v, 1)
    return line[0], np.abs(np.expm1(v - np.polyval(line, p))).max()


def laws():
    """Print every row, and the fit of the cost."""
    found = {}
    for train, test in ROWS:
        row = found[train, test] = _apart("law", train, test)
        goal = f" (goal {GOALS[train, test]})" if (train, test) in GOALS else ""
        print(
            f"m = {train} + {test} test: {row['seconds']:6.1f} s{goal}, "
            f"{row['gigabytes']:.2f} GB (goal {MEMORY:g}), standard error "
            f"{row['error'] / row['size']:.1%} of {row['size']:.3g}, {row['neurons']} neurons, "
            f"cubic term {row['cubic']}, two forms differ by {row['disagreement']:.2f} standard "
            "errors",
            flush=True,
        )
    alone = {train: row for (train, test), row in found.items() if not test}
    if len(alone) < 2:
        return
    for what, name in (("seconds", "seconds at 2 %"), ("per_neuron", "seconds per neuron")):
        rows = {m: row[what] for m, row in alone.items() if row[what]}
        if len(rows) > 1:
            power, misfit = exponent(list(rows), list(rows.values()))
            values = ", ".join(f"{v:.3g} at m = {m}" for m, v in rows.items())
            print(f"{name} grow like m^{power:.2f} (within {misfit:.0%}): {values}", flush=True)


def report() -> None:
    """Print the section."""
    from training_sections._against_networks import line

    laws()
    first = ROWS[0][0]
    cases = [("m = 3, depth 1", 3, 1), ("m = 3, depth 2", 3, 2), (f"m = {first}", first, 1)]
    for name, train, depth in cases:
        print(line(name, _apart("against", train, depth)), flush=True)


if __name__ == "__main__":  # one measurement, as _apart asks for it
    work = {"law": measure, "against": against}[sys.argv[1]]
    print(json.dumps(work(*map(int, sys.argv[2:]))))
