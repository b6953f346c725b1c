"""A computation that tells a folder when it begins, so that a test can kill it in mid-block."""

import json
import os
import time
from pathlib import Path

import numpy as np

from widthwise.experiments.jobs import Job


def jobs(folder: Path, count: int, seconds: float) -> list[Job]:
    """Blocks that take so many seconds each."""
    facts = {"folder": str(folder), "seconds": seconds}
    return [
        Job("f" * 16, "watched", k, json.dumps(facts | {"seed": k}, sort_keys=True))
        for k in range(count)
    ]


def compute(payload: str) -> dict[str, np.ndarray]:
    """A fixed number; a file ``<process>.<seed>`` says who is at it."""
    asked = json.loads(payload)
    (Path(asked["folder"]) / f"{os.getpid()}.{asked['seed']}").touch()
    time.sleep(asked["seconds"])
    return {"x": np.random.default_rng(asked["seed"]).normal(size=3)}


def begun(folder: Path) -> list[tuple[int, int]]:
    """(process, seed) of all blocks that were begun, oldest first."""
    files = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return [(int(path.stem), int(path.suffix[1:])) for path in files]
