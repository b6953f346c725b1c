"""Time and memory of the cumulant recursion, and how it compares with the plain-Python program.

    python benchmarks/initialization.py                     the product's times
    python benchmarks/initialization.py --prototypes DIR    and their ratio to DIR/initialization.py
    python benchmarks/initialization.py --costs             a markdown table of costs

What is compared. The plain program computes one table: the joint cumulants of the conditional
cumulants Y of the outputs, every block (k₁ … k_q) of keys that matters at order P, at all inputs.
Both are asked for the output cumulants that determine this table: for every block the cumulant
κ(f_1(k₁), …, f_q(k_q)), the variables of key k_i taken from output component i. The ratio is the
time of all of these; the time of the plain program's table alone is printed too ("its table"), and
the library's for κ₂ and κ₄ at all inputs alone ("κ₂, κ₄"), which is what is usually wanted. The
library also gives every number an error, for which it runs the recursion twice, and it runs it on
every subset of inputs that occurs. "Differ" is the largest difference of two coefficients, relative
to the largest coefficient of their cumulant.

How. Every row runs in a process of its own, once on one data set ("first": imports are done,
compiled programs and index tables are not there yet) and once on other data of the same shape with
a new OutputCumulants ("warm"), so that no result is reused. Memory is the peak of that process,
Python and JAX included. The plain program is timed on the same data in its own process.
"""

import argparse
import importlib.util
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import time
from itertools import combinations_with_replacement
from math import inf
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from engine_sections.machine import machine

import widthwise as ww

jax.config.update("jax_enable_x64", True)

LIMIT = 120.0
FOURTH = {1: (0, 0, 0, 0), 2: (0, 0, 1, 1), 3: (0, 0, 1, 2), 4: (0, 1, 2, 3)}


class Row(NamedTuple):
    """One setting of depth 2 with biases and a Gaussian first layer, all of whose table is asked.

    Args:
        inputs: m.
        order: P.
        law: of the weights above the first layer.
        ratio: how many times faster than the plain program it has to be.
        seconds: the time allowed after warm-up.
        megabytes: the memory allowed.
        compared: whether the plain program runs in reasonable time.
    """

    inputs: int
    order: int
    law: str
    ratio: float = 0.0
    seconds: float = inf
    megabytes: float = inf
    compared: bool = True

    @property
    def name(self):
        return f"m = {self.inputs}, P = {self.order}, {self.law}"

    @property
    def net(self):
        laws = ("gaussian", self.law, self.law)
        return ww.MLP(2, "tanh", 1.3, 0.25, laws, outputs=self.order // 2 + 1)


ROWS = (
    Row(3, 4, "exponential", ratio=20.0),
    Row(2, 6, "gaussian", ratio=10.0),
    Row(1, 8, "exponential", seconds=0.3),
    Row(4, 4, "uniform", seconds=LIMIT, megabytes=4000, compared=False),
    Row(2, 6, "exponential", seconds=LIMIT, megabytes=4000, compared=False),
)


def data(points, seed):
    return np.random.default_rng(seed).normal(size=(points, 4))


def blocks(net, points, order):
    """The blocks of keys that matter at order P: 2(q − 1) + Σ (r_i − 2) ≤ P."""
    law = net.weight_law[-1]
    keys = [
        key
        for r in range(2, order + 3)
        if law.cumulant(r)
        for key in combinations_with_replacement(range(points), r)
    ]

    def grow(start, block, cost):
        for i in range(start, len(keys)):
            total = cost + 2 * bool(block) + len(keys[i]) - 2
            if total <= order:
                yield (*block, keys[i])
                yield from grow(i, (*block, keys[i]), total)

    return list(grow(0, (), 0))


def arguments(block):
    """Points and components of the output cumulant that stands for a block."""
    return sum(block, ()), sum(((i,) * len(key) for i, key in enumerate(block)), ())


def seconds(work, *args):
    start = time.perf_counter()
    result = work(*args)
    return time.perf_counter() - start, result


def peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# What the processes do. ---------------------------------------------------------------------------


def product_table(row, seed):
    cumulants = ww.output_cumulants(row.net, data(row.inputs, seed), row.order)
    series = [
        cumulants.cumulant(*arguments(block)) for block in blocks(row.net, row.inputs, row.order)
    ]
    return np.array([s.coefficients for s in series]), np.array([s.error for s in series])


def product_fourth(row, seed):
    cumulants = ww.output_cumulants(row.net, data(row.inputs, seed), row.order)
    return [cumulants.cumulant(points) for points in ((0, row.inputs - 1), FOURTH[row.inputs])]


def prototype_table(row, seed, folder):
    spec = importlib.util.spec_from_file_location("prototype", Path(folder) / "initialization.py")
    plain = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plain)
    laws = [plain.Law(name) for name in ("gaussian", row.law, row.law)]
    took, layers = seconds(
        plain.init_series, plain.Activation("tanh"), data(row.inputs, seed), 2, laws, 1.3, 0.25,
        row.order,
    )  # fmt: skip

    def outputs():
        for block in blocks(row.net, row.inputs, row.order):
            points, components = arguments(block)
            index = list(zip(components, points, strict=True))
            yield plain.output_cumulant(*layers[-1], index, row.order)

    longer, values = seconds(lambda: list(outputs()))
    return took, longer, np.array(values)


def measure_row(number):
    row = ROWS[number]
    first, _ = seconds(product_table, row, 0)
    warm, (values, errors) = seconds(product_table, row, 1)
    fourth, _ = seconds(product_fourth, row, 2)
    scale = sizes(values)
    return {
        "first": first,
        "warm": warm,
        "fourth": fourth,
        "megabytes": peak_megabytes(),
        "cumulants": len(values),
        "error": float((errors / scale).max()),
        "values": values.tolist(),
    }


def sizes(values):
    """The largest coefficient of every cumulant; infinite where a symmetry makes it zero."""
    scale = np.abs(values).max(1, keepdims=True)
    return np.where(scale > 1e-9, scale, np.inf)


def measure_prototype(number, folder):
    table, outputs, values = prototype_table(ROWS[number], 1, folder)
    return {"table": table, "seconds": table + outputs, "values": values.tolist()}


def measure_evaluation():
    """Seconds of Series.at at two widths."""
    net = ww.MLP(2, "tanh", 1.3, 0.25)
    series = ww.output_cumulants(net, data(2, 0), 4).cumulant((0, 0, 1, 1))
    result = {}
    for width in (10.0, 1e14, 10.0, 1e14):
        times = [seconds(lambda n=width: [series.at(n) for _ in range(1000)])[0] for _ in range(20)]
        result[f"{width:g}"] = min(times) / 1000
    return result


def measure_kernel(points, depth, dense):
    """The corrections of the kernel at many points."""
    net = ww.MLP(depth, "tanh", 1.3, 0.25)
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(2, points, points))

    def work(seed):
        q = ww.kernel_corrections(net, data(points, seed))
        if dense:
            return np.asarray(q.second), np.asarray(q.vertex())
        return q.vertex_form(A + A.T, B + B.T)

    first, _ = seconds(work, 0)
    warm, _ = seconds(work, 1)
    return {"first": first, "warm": warm, "megabytes": peak_megabytes()}


def measure_ntk(points, order):
    """Mean and covariance of the tangent kernel at initialization."""
    net, last = ww.MLP(2, "tanh", 1.3, 0.25), points - 1

    def work(seed):
        h = ww.ntk_statistics(net, data(points, seed), order=order)
        return h.mean(0, last), h.covariance((0, last), (0, 0), components=(0, 0, 0, 0))

    first, _ = seconds(work, 0)
    warm, _ = seconds(work, 1)
    return {"first": first, "warm": warm, "megabytes": peak_megabytes()}


MEASURES = {
    "row": measure_row,
    "prototype": measure_prototype,
    "evaluation": measure_evaluation,
    "kernel": measure_kernel,
    "ntk": measure_ntk,
}


def in_process(*call):
    """The result of a measure made in a process of its own, or what went wrong there."""
    command = [sys.executable, __file__, "--measure", json.dumps(call)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1] if done.stderr else "no message"}
    return json.loads(done.stdout.splitlines()[-1])


# The report. --------------------------------------------------------------------------------------


def verdict(ok):
    return "" if ok is None else "met" if ok else "MISSED"


def report(prototypes):
    print(f"machine: {machine()}\n")
    print("All output cumulants of the table; depth 2, tanh, biases, Gaussian first layer")
    print(
        f"{'':27}{'cumulants':>10}{'first':>8}{'warm':>8}{'κ₂, κ₄':>8}{'peak':>8}{'error':>8}"
        f"{'plain':>8}{'its table':>11}{'ratio':>7}{'differ':>8}  wanted"
    )
    for number, row in enumerate(ROWS):
        got = in_process("row", number)
        if "failed" in got:
            print(f"{row.name:30}  failed: {got['failed']}")
            continue
        wanted, ok = [], True
        line = (
            f"{row.name:27}{got['cumulants']:10d}{got['first']:7.2f}s{got['warm']:7.2f}s"
            f"{got['fourth']:7.2f}s{got['megabytes']:6.0f}MB{got['error']:8.0e}"
        )
        if prototypes and row.compared:
            plain = in_process("prototype", number, prototypes)
            ratio = plain["seconds"] / got["warm"]
            values, other = np.array(got["values"]), np.array(plain["values"])
            differ = (np.abs(values - other) / sizes(values)).max()
            line += f"{plain['seconds']:7.2f}s{plain['table']:10.2f}s{ratio:6.1f}×{differ:8.0e}"
            if row.ratio:
                wanted.append(f"≥ {row.ratio:g}×")
                ok = ok and ratio >= row.ratio
        else:
            line += f"{'—':>8}{'—':>11}{'—':>7}{'—':>8}"
        if row.seconds < inf:
            wanted.append(f"≤ {row.seconds:g} s")
            ok = ok and got["warm"] <= row.seconds
        if row.megabytes < inf:
            wanted.append(f"≤ {row.megabytes:g} MB")
            ok = ok and got["megabytes"] <= row.megabytes
        print(f"{line}  {', '.join(wanted)} {verdict(ok if wanted else None)}", flush=True)
    if not prototypes:
        print("For ratios name the folder of the plain program: --prototypes DIR, or the variable")
        print("WIDTHWISE_PROTOTYPES. It has to hold initialization.py.")
    print("\nEvaluating a series at one width")
    for width, took in in_process("evaluation").items():
        print(f"  n = {width:6}{1e6 * took:8.2f} µs")
    for name, rows in (
        ("kernel_corrections", (("kernel", 40, 2, True), ("kernel", 300, 3, False))),
        ("ntk_statistics", tuple(("ntk", m, P) for m in (1, 2) for P in (2, 4))),
    ):
        print(f"\n{name}")
        if not hasattr(ww, name):
            print("  not in this version")
            continue
        for call in rows:
            got = in_process(*call)
            text = got.get("failed") or (
                f"first {got['first']:.2f}s, warm {got['warm']:.2f}s, peak {got['megabytes']:.0f}MB"
            )
            print(f"  {described(call):44}{text}", flush=True)


def described(call):
    if call[0] == "ntk":
        return f"m = {call[1]}, P = {call[2]}, mean and covariance"
    form = "dense, vertex()" if call[3] else "matrix-free, vertex_form"
    return f"m = {call[1]}, depth {call[2]}, {form}"


# Costs. -------------------------------------------------------------------------------------------


def cost(activation, law, depth, order, points):
    """Seconds and relative error of one fourth cumulant; a short first run is not the one counted.

    The error is that of the coefficient of 1/n, relative to it.
    """
    net = ww.MLP(depth, activation, 1.3, 0.25, ("gaussian", *(law,) * depth))

    def work(seed):
        return ww.output_cumulants(net, data(points, seed), order).cumulant(FOURTH[points])

    try:
        took, series = seconds(work, 1)
        if took < 5:
            took, series = seconds(work, 2)
    except ValueError as refusal:
        return None, str(refusal)
    scale = np.abs(series.coefficients)
    return took, float(series.error[2] / scale[2])


def serve(pipe):
    while True:
        pipe.send(cost(*pipe.recv()))


class Worker:
    """A process that answers one cost after the other, and is ended when one takes too long."""

    def __init__(self):
        self.process = None

    def cost(self, call, limit):
        """The answer, or None after ``limit`` seconds."""
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.pipe, other = context.Pipe()
            self.process = context.Process(target=serve, args=(other,), daemon=True)
            self.process.start()
        self.pipe.send(call)
        if self.pipe.poll(limit):
            return self.pipe.recv()
        self.close()
        return None

    def close(self):
        if self.process is not None:
            self.process.terminate()
            self.process.join()
            self.process = None


def not_smaller(call, other):
    """Whether a cost is of the same networks as another one and no part of it is smaller."""
    return call[:2] == other[:2] and all(a >= b for a, b in zip(call[2:], other[2:], strict=True))


def costs(limit):
    print(f"Seconds, and relative error of the coefficient of 1/n. {machine()}.")
    print(f"“refused”: says so at once; “slow”: more than {limit:g} s, or a smaller one was.\n")
    print("| activation | laws | depth | order | 1 input | 2 inputs | 3 inputs | 4 inputs |")
    print("|---|---|---|---|---|---|---|---|")
    worker, slow = Worker(), set()
    for activation in ("tanh", "relu"):
        for law in ("gaussian", "uniform", "exponential"):
            for depth in (2, 3):
                for order in (2, 4, 6):
                    cells = []
                    for points in (1, 2, 3, 4):
                        call = (activation, law, depth, order, points)
                        if any(not_smaller(call, other) for other in slow):
                            cells.append("slow")
                            continue
                        answer = worker.cost(call, limit)
                        if answer is None:
                            slow.add(call)
                            cells.append("slow")
                        elif answer[0] is None:
                            cells.append("refused")
                        else:
                            cells.append(f"{answer[0]:.2g} s ({answer[1]:.0e})")
                    row = (activation, law, str(depth), str(order), *cells)
                    print(f"| {' | '.join(row)} |", flush=True)
    worker.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prototypes", default=os.environ.get("WIDTHWISE_PROTOTYPES"))
    parser.add_argument("--costs", action="store_true", help="print the markdown table of costs")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds a cost may take")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        name, *args = json.loads(options.measure)
        print(json.dumps(MEASURES[name](*args)))
    elif options.costs:
        costs(options.limit)
    else:
        report(options.prototypes)


if __name__ == "__main__":
    main()
