"""What becomes of a job: arrays and seconds, or the reason why not.

:func:`attempt` runs where the computation runs, in this process or in a worker. An exception of the
computation is a value here: it must not look like the death of a worker, and it has to cross
between processes whatever its class.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from widthwise.experiments.jobs import Job

Compute: TypeAlias = Callable[[str], dict[str, np.ndarray]]
"""Payload ↦ arrays: importable, and a function of the payload alone, bit for bit."""


@dataclass(frozen=True, eq=False)
class Finished:
    """A job's arrays, and the seconds their computation took."""

    job: Job
    arrays: dict[str, np.ndarray]
    seconds: float


@dataclass(frozen=True)
class Failed:
    """Why a job has no arrays."""

    job: Job
    reason: str


Outcome: TypeAlias = Finished | Failed


def attempt(compute: Compute, job: Job) -> Outcome:
    """Compute a job."""
    start = time.perf_counter()
    try:
        arrays = compute(job.payload)
    except Exception as error:
        return Failed(job, f"{type(error).__name__}: {error}")
    return Finished(job, arrays, time.perf_counter() - start)
