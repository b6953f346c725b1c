"""A study that is quick to compute: ``python light_study.py DIRECTORY KIND ROUNDS``."""

import json
import signal
import sys
from pathlib import Path

import numpy as np

from widthwise.experiments.execute import Interrupted, executor, run_jobs
from widthwise.experiments.jobs import Job
from widthwise.experiments.store import Store, provenance

SPEC = "seed = 3\n"


def jobs(count: int = 24, rounds: int = 30) -> list[Job]:
    """Blocks of two quantities at two points; ``rounds`` says how long each takes."""
    return [
        Job(
            point=f"{k % 2:016x}",
            quantity=("mean", "spread")[k // 2 % 2],
            block=k // 4,
            payload=json.dumps({"seed": k, "rounds": rounds}),
        )
        for k in range(count)
    ]


def compute(payload: str) -> dict[str, np.ndarray]:
    """Numbers that depend on the payload alone."""
    asked = json.loads(payload)
    draw = np.random.default_rng(asked["seed"])
    x = draw.normal(size=(64, 64))
    for _ in range(asked["rounds"]):
        x = np.tanh(x @ draw.normal(size=(64, 64)) / 8)
    return {"sum": x.sum(0), "squares": (x**2).sum(), "count": np.array(len(x))}


def run(directory: str, kind: str = "serial", rounds: int = 30, **options) -> Store:
    """Begin or continue the study."""
    if (Path(directory) / "store.json").exists():
        store = Store.open(directory)
    else:
        store = Store.create(directory, spec=SPEC, provenance=provenance())
    run_jobs(jobs(rounds=rounds), compute, store, executor(kind, **options))
    return store


if __name__ == "__main__":
    # a shell that runs the tests in its background hands the signal down ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    directory, kind, rounds = sys.argv[1:]
    options = {"workers": 2} if kind in ("local", "threads") else {}
    try:
        run(directory, kind, int(rounds), **options)
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        sys.exit(130)
