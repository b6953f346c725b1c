"""The empirical NTK of a perceptron against NumPy's closed form and neural-tangents' best.

Depth 2, width 1024, 100 points of dimension 64, float64, one core and one thread each. The three
are asked in turn, so that a slow moment of the machine meets all; every time is the median of the
calls' processor time, which other processes' share of the machine leaves alone, compilation apart,
of the library its public function with all its checks. The bound is the time of the matrix
products alone, at the rate of NumPy's in the same round: forward and backward through every layer,
and the upper halves of the Gram matrices. Where neural-tangents takes less than three times the
bound, no kernel made of these products at this rate is three times as fast: the number in brackets
beside the bound says it.
"""

import pathlib
import sys
import tempfile

import numpy as np

from engine_sections.workers import Worker

HERE = pathlib.Path(__file__).parent
ROUNDS = 8
WIDTH, POINTS, INPUTS = 1024, 100, 64
FASTER_THAN_STRUCTURED = 3.0
OPERATIONS = 2 * POINTS * WIDTH * (INPUTS + 2 * WIDTH) + POINTS**2 * (INPUTS + 4 * WIDTH)


def report(rival: pathlib.Path | None) -> None:
    """Print medians and ratios."""
    print("Empirical NTK: depth 2, width 1024, 100 points of dimension 64, float64, one core")
    with tempfile.TemporaryDirectory() as folder:
        file = str(pathlib.Path(folder) / "network.npz")
        np.savez(file, **network())
        worker = HERE / "ntk_worker.py"
        workers = {
            "library": Worker(sys.executable, worker, "library", file),
            "NumPy": Worker(sys.executable, worker, "numpy", file),
        }
        if rival is not None:
            script = HERE.parent / "rivals" / "ntk.py"
            workers["neural-tangents"] = Worker(rival, script, file)
        heads = "".join(f"{name:>22}" for name in workers)
        print(f"{'':8}{heads}   share of the bound (rival over bound)   largest difference")
        for activation in ("relu", "tanh", "erf"):
            print(line(activation, workers), flush=True)
        for process in workers.values():
            process.close()


def network():
    """Standardized weights and biases, their scales, and points."""
    random = np.random.default_rng(0)
    fan = (INPUTS, WIDTH, WIDTH, 1)
    layers = {f"weight{l}": random.standard_normal((fan[l + 1], fan[l])) for l in range(3)}
    layers |= {f"bias{l}": random.standard_normal(fan[l + 1]) for l in range(3)}
    return layers | {
        "x": random.standard_normal((POINTS, INPUTS)),
        "weight_std": np.array(1.5),
        "bias_std": np.array(0.3),
    }


def line(activation, workers):
    """One row of the table: milliseconds, and how many times the library's."""
    for worker in workers.values():
        worker.ask(activation)
    workers["NumPy"].ask("product")
    answers, products = [], []
    for _ in range(ROUNDS):
        answers.append({name: w.ask(activation) for name, w in workers.items()})
        products += workers["NumPy"].ask("product")["seconds"]
    bound = OPERATIONS / (2 * POINTS * WIDTH**2) * np.median(products)
    median = {
        name: np.median([second for answer in answers for second in answer[name]["seconds"]])
        for name in workers
    }
    theta = {name: np.array(answers[0][name]["theta"]) for name in workers}
    scale = np.abs(theta["NumPy"]).max()
    differ = max(np.abs(other - theta["library"]).max() for other in theta.values()) / scale
    cells = (f"{1e3 * t:10.2f} ms ({t / median['library']:5.2f}×)" for t in median.values())
    met = median["NumPy"] >= median["library"] and differ < 1e-12
    rival = ""
    if "neural-tangents" in median:
        rival = f" ({median['neural-tangents'] / bound:.2f}×)"
        met = met and median["neural-tangents"] >= FASTER_THAN_STRUCTURED * median["library"]
    return (
        f"{activation:8}"
        + "".join(f"{c:>22}" for c in cells)
        + (
            f"   {bound / median['library']:.0%} of {1e3 * bound:.1f} ms{rival}   {differ:.0e}"
            f"   wanted: ≥ 1×, ≥ {FASTER_THAN_STRUCTURED:g}×, < 1e-12 "
            f"{'met' if met else 'MISSED'}"
        )
    )
