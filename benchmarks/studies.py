"""Studies: throughput of two workers, what the store costs, a million networks in little memory.

    python benchmarks/studies.py                         every section
    python benchmarks/studies.py --section million       one of them

Throughput compares one study of three times --blocks, computed serially (one core) and by two
worker processes; every block trains networks for about a second. "Steady" leaves out what the start
of the processes takes (imports and compilation), "whole" is the whole run. It says something only
where two cores are idle: the load before the start is printed, and a machine with less than two
cores to spare is refused.

Overhead is the time of a serial run that is not spent in the computation: encoding, checksums,
forcing blocks to the disk, and the verification at the start.

A million: networks of width 256 at initialization, m = 4 points, as power sums by block. The run is
a process of its own, whose peak memory is measured; its merged k-statistics are compared with those
of all outputs at once, and with scipy.stats.kstat, in another process.
"""

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from itertools import combinations_with_replacement

import jax
import numpy as np
import scipy.stats
from engine_sections.machine import machine

import widthwise as ww
from widthwise.experiments.execute import executor, run_jobs
from widthwise.experiments.execute.single_thread import one_thread
from widthwise.experiments.jobs import Job
from widthwise.experiments.store import Store

jax.config.update("jax_enable_x64", True)

X = np.random.default_rng(0).normal(size=(12, 8))


# A compute-bound study. ---------------------------------------------------------------------------


def train(payload):
    """Outputs of a few trained networks."""
    asked = json.loads(payload)
    net = ww.MLP(depth=2, activation="tanh", weight_std=1.5)
    runs = ww.simulate(
        net,
        asked["width"],
        X[:8],
        np.sin(X[:8, :1]),
        X[8:],
        [0.0, 2.0],
        asked["members"],
        jax.random.key(asked["block"]),
        first=asked["block"] * asked["members"],
    )
    return {"outputs": np.asarray(runs.outputs)}


def trainings(blocks, width=128, members=64, tag="a"):
    facts = {"width": width, "members": members}
    return [
        Job(f"{width:016x}", f"trained_{tag}", block, json.dumps(facts | {"block": block}))
        for block in range(blocks)
    ]


def new_store(folder, name):
    return Store.create(os.path.join(folder, name), spec="", provenance={})


def throughput(blocks):
    idle = os.cpu_count() - os.getloadavg()[0]
    print(f"throughput: load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if idle < 1.7:
        print("  not measured: two cores are not idle")
        return
    with tempfile.TemporaryDirectory() as folder:
        jobs = trainings(3 * blocks, members=192)
        with one_thread():  # JAX computes first here, and takes its number of threads
            train(jobs[0].payload)  # compiled before the serial run is timed
        serial = new_store(folder, "serial")
        used = time.process_time()
        alone = run_jobs(jobs, train, serial)
        used = time.process_time() - used
        arrived = []
        two = new_store(folder, "two")
        start = time.perf_counter()
        run_jobs(
            jobs,
            train,
            two,
            executor("local", workers=2),
            progress=lambda state: arrived.append((state.done, time.perf_counter())),
        )
        whole = time.perf_counter() - start
        (first, begun), (last, ended) = arrived[3], arrived[-1]  # both workers have compiled
        steady = (last - first) / (ended - begun)
        assert serial.digest() == two.digest()
    rate = len(jobs) / alone.seconds
    print(
        f"  serial: {len(jobs)} blocks in {alone.seconds:.1f} s, {rate:.2f} blocks/s, "
        f"{used / alone.seconds:.2f} cores busy"
    )
    print(f"  two workers, whole:  {whole:.1f} s, {len(jobs) / whole / rate:.2f} times serial")
    print(f"  two workers, steady: {steady:.2f} blocks/s, {steady / rate:.2f} times serial")


def overhead(blocks):
    print("overhead of the store, serial")
    for members in (16, 64):
        with tempfile.TemporaryDirectory() as folder:
            jobs = trainings(blocks, members=members)
            train(jobs[0].payload)
            made = run_jobs(jobs, train, new_store(folder, "s"))
        each = made.compute_seconds / blocks
        lost = made.seconds - made.compute_seconds
        print(
            f"  blocks of {each:.2f} s: {100 * lost / made.seconds:.2f} % of the run, "
            f"{1000 * lost / blocks:.1f} ms per block"
        )


# A million networks. ------------------------------------------------------------------------------

POINTS = np.random.default_rng(1).normal(size=(4, 3))
NET = {depth: ww.MLP(depth=depth, activation="tanh", weight_std=1.5) for depth in (1, 2)}


def outputs(depth, width, first, members):
    """Outputs of untrained networks, (members, points)."""
    global _compiled
    if _compiled is None or _compiled[0] != (depth, width, members):

        def one(member):
            key = jax.random.fold_in(jax.random.key(7), member)
            net = NET[depth]
            return net.apply(net.init(key, width, POINTS.shape[1]), POINTS)[:, 0]

        _compiled = ((depth, width, members), jax.jit(jax.vmap(one)))
    return np.asarray(_compiled[1](first + np.arange(members)))


_compiled = None


def moments(payload):
    asked = json.loads(payload)
    f = outputs(asked["depth"], asked["width"], asked["first"], asked["members"])
    return ww.estimators.PowerSums.empty(np.zeros(4), order=4).update(f).arrays()


def initial_jobs(depth, members, block):
    return [
        Job(
            f"{depth:016x}",
            "initial",
            first // block,
            json.dumps({"depth": depth, "width": 256, "first": first, "members": block}),
        )
        for first in range(0, members, block)
    ]


def merge(store, names):
    total = None
    for name in names:
        part = ww.estimators.PowerSums.from_arrays(store.read(name))
        total = part if total is None else total.merge(part)
    return total


def cumulants(sums):
    keys = [k for r in (2, 3, 4) for k in combinations_with_replacement(range(4), r)]
    return {k: sums.cumulant(k).value for k in keys} | {(i,): sums.mean.value[i] for i in range(4)}


def stream(directory, depth, members, block, result):
    store = Store.create(directory, spec="", provenance={})
    jobs = initial_jobs(depth, members, block)
    made = run_jobs(jobs, moments, store)
    merged = cumulants(merge(store, [job.name for job in jobs]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result.put(
        (
            made.seconds,
            made.compute_seconds,
            peak / (1 << 20 if sys.platform == "linux" else 1 << 30),
            merged,
        )
    )


def at_once(depth, members, block, result):
    f = np.concatenate([outputs(depth, 256, first, block) for first in range(0, members, block)])
    sums = ww.estimators.PowerSums.empty(np.zeros(4), order=4).update(f)
    marginal = {(i,) * r: scipy.stats.kstat(f[:, i], r) for i in range(4) for r in (1, 2, 3, 4)}
    result.put((cumulants(sums), marginal))


def in_process(function, *arguments):
    spawn = multiprocessing.get_context("spawn")
    result = spawn.Queue()
    process = spawn.Process(target=function, args=(*arguments, result))
    process.start()
    found = result.get()
    process.join()
    return found


def million(members, depth, block=5000):
    print(f"{members:,} networks of depth {depth}, width 256, m = 4, at initialization")
    with tempfile.TemporaryDirectory() as folder:
        seconds, computing, gigabytes, merged = in_process(
            stream, os.path.join(folder, "s"), depth, members, block
        )
        size = sum(
            os.path.getsize(os.path.join(place, name))
            for place, _, names in os.walk(folder)
            for name in names
        )
    once, marginal = in_process(at_once, depth, members, block)
    print(f"  streamed in {seconds:.1f} s ({computing:.1f} s of them computing)")
    print(
        f"  peak memory {gigabytes:.2f} GB; store {size / 1e6:.0f} MB in {members // block} blocks"
    )
    for name, other in (("all at once", once), ("scipy.stats.kstat", marginal)):
        worst = max(abs(merged[key] - value) for key, value in other.items())
        print(f"  largest difference of k-statistics from {name}: {worst:.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--section", choices=["throughput", "overhead", "million"], action="append")
    parser.add_argument("--blocks", type=int, default=40)
    parser.add_argument("--members", type=int, default=1_000_000)
    parser.add_argument("--depth", type=int, choices=[1, 2], default=1)
    options = parser.parse_args()
    print(f"machine: {machine()}")
    wanted = options.section or ["throughput", "overhead", "million"]
    if "throughput" in wanted:
        throughput(options.blocks)
    if "overhead" in wanted:
        overhead(options.blocks)
    if "million" in wanted:
        million(options.members, options.depth)


if __name__ == "__main__":
    main()
