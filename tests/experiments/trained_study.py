"""A study that trains networks and keeps their power sums: ``python trained_study.py DIR KIND``."""

import json
import sys
from pathlib import Path

import jax
import numpy as np

from widthwise.experiments.execute import executor, run_jobs
from widthwise.experiments.jobs import Job
from widthwise.experiments.store import Store, provenance

MEMBERS = 16


def jobs(blocks: int = 12) -> list[Job]:
    """Blocks of members of two widths."""
    return [
        Job(f"{width:016x}", "outputs", block, json.dumps({"width": width, "block": block}))
        for block in range(blocks)
        for width in (16, 48)
    ]


def compute(payload: str) -> dict[str, np.ndarray]:
    """Outputs of trained members, and their power sums."""
    jax.config.update("jax_enable_x64", True)
    import widthwise as ww

    asked = json.loads(payload)
    x = np.random.default_rng(0).normal(size=(6, 3))
    runs = ww.simulate(
        ww.MLP(depth=2, activation="tanh", weight_std=1.5),
        asked["width"],
        x[:4],
        np.sin(x[:4, :1]),
        x[4:],
        [0.0, 1.0],
        MEMBERS,
        jax.random.fold_in(jax.random.key(0), asked["width"]),
        first=asked["block"] * MEMBERS,
    )
    outputs = np.asarray(runs.outputs)
    sums = ww.estimators.PowerSums.empty(np.zeros(6), order=3, groups=4)
    return {"outputs": outputs} | sums.update(outputs[:, -1, :, 0]).arrays()


def run(directory: str, kind: str) -> Store:
    """Begin or continue the study."""
    if (Path(directory) / "store.json").exists():
        store = Store.open(directory)
    else:
        store = Store.create(directory, spec="networks\n", provenance=provenance())
    run_jobs(jobs(), compute, store, executor(kind, **({"workers": 2} if kind == "local" else {})))
    return store


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2])
