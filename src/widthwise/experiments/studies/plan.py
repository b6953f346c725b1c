"""The plan of a study: its jobs, and the time and memory they will take.

Times come from jobs that are stored already, or from a short calibration: for every quantity the
cheapest job left is tried, with few networks, and its seconds are scaled by the work of the others.
Nothing is written.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np

from widthwise.experiments.execute.progress import spoken
from widthwise.experiments.execute.single_thread import one_thread
from widthwise.experiments.quantities import Quantity
from widthwise.experiments.quantities.payload import Request
from widthwise.experiments.quantities.quantity import Members
from widthwise.experiments.quantities.setting import Setting, setting
from widthwise.experiments.store import Store
from widthwise.experiments.studies.asked import Asked

PATIENCE = 20.0
"""Seconds after which no further quantity is calibrated."""

_TRIED = 32  # networks in a calibration, about one packet
_LEARNT = 64  # stored jobs whose seconds are read


@dataclass(frozen=True)
class Line:
    """One quantity of a plan.

    Args:
        quantity: its name.
        points: grid points.
        jobs: all of them.
        done: those that are stored.
        seconds: what is left, on one worker; ``None`` where it was not calibrated.
        memory: bytes of the largest job.
    """

    quantity: str
    points: int
    jobs: int
    done: int
    seconds: float | None
    memory: float


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Args:
        title: of the study.
        spec_hash: of its spec.
        lines: quantity by quantity.
        budget_seconds: of the spec, or ``None``.
        budget_memory: of the spec.
    """

    title: str
    spec_hash: str
    lines: tuple[Line, ...]
    budget_seconds: float | None
    budget_memory: float

    @property
    def jobs(self) -> int:
        """All jobs."""
        return sum(line.jobs for line in self.lines)

    @property
    def done(self) -> int:
        """Those that are stored."""
        return sum(line.done for line in self.lines)

    @property
    def seconds(self) -> float | None:
        """What is left on one worker, or ``None`` where a quantity was not calibrated."""
        each = [line.seconds for line in self.lines]
        return None if None in each else float(sum(s for s in each if s is not None))

    @property
    def memory(self) -> float:
        """Bytes of the largest job."""
        return max((line.memory for line in self.lines), default=0.0)

    def __str__(self) -> str:
        lines = [f"{self.title}  (spec {self.spec_hash})"]
        for line in self.lines:
            points = "1 grid point" if line.points == 1 else f"{line.points} grid points"
            left = "unknown time" if line.seconds is None else f"about {spoken(line.seconds)}"
            lines.append(
                f"  {line.quantity:<20} {points}, {line.jobs} jobs, {line.done} done; {left} left, "
                f"{line.memory / 1e9:.1f} GB"
            )
        whole = "unknown" if self.seconds is None else f"about {spoken(self.seconds)}"
        lines.append(f"{self.jobs} jobs, {self.done} done; time left on one worker: {whole}")
        if self.budget_seconds is not None:
            lines.append(f"the budget starts no job after {spoken(self.budget_seconds)}")
        return "\n".join(lines)


def plan(
    title: str,
    spec_hash: str,
    asked: Sequence[Asked],
    store: Store | None,
    budget: tuple[float | None, float],
    *,
    calibrate: bool = True,
) -> Plan:
    """The plan of what a store lacks; ``None`` is an empty one."""
    jax.config.update("jax_enable_x64", True)
    done = set() if store is None else store.done()
    start, lines = time.perf_counter(), []
    for each in asked:
        quantity, jobs = each.quantity, list(each.jobs())
        left = [job for job in jobs if job.name not in done]
        works, memory, each_request = {}, 0.0, {}
        for request in each.requests.values():
            place = setting(request)
            size = place.point.compute.block
            works[request.hash] = quantity.work(place, size)
            each_request[request.hash] = request
            memory = max(memory, quantity.memory(place, size))
        seconds: float | None = 0.0
        if left:
            rate = _learnt(store, [j for j in jobs if j.name in done], works)
            if rate is None and calibrate and time.perf_counter() - start < PATIENCE:
                first = {job.point: each_request[job.point] for job in left}
                order = sorted(first, key=lambda point: works[point])
                rate = _rate(quantity, [first[point] for point in order], start)
            seconds = None
            if rate is not None:
                fixed, slope = rate
                seconds = slope * sum(works[job.point] for job in left)
                seconds += fixed * len({job.point for job in left})
        points = len({request.hash for request in each.requests.values()})
        lines.append(Line(quantity.name, points, len(jobs), len(jobs) - len(left), seconds, memory))
    return Plan(title, spec_hash, tuple(lines), *budget)


def _learnt(store: Store | None, jobs: list, works: dict[str, float]) -> tuple[float, float] | None:
    """Seconds per grid point (0) and per work, from stored jobs."""
    if store is None or not jobs:
        return None
    some = jobs[:: max(1, len(jobs) // _LEARNT)]
    return 0.0, float(np.sum([store.seconds(job.name) for job in some])) / sum(
        works[job.point] for job in some
    )


def _rate(
    quantity: Quantity, requests: Sequence[Request], start: float
) -> tuple[float, float] | None:
    """The same from the first of some points that is not refused; where all are, it is nothing."""
    for request in requests:
        if time.perf_counter() - start > PATIENCE:
            return None
        # one thread, as in a run: what is computed here may be kept and used there
        with one_thread():
            rate = _tried(quantity, setting(request))
        if rate is not None:
            return rate
    return 0.0, 0.0


def _tried(quantity: Quantity, place: Setting) -> tuple[float, float] | None:
    """The same from one short computation; a second one tells what is paid once per point.

    ``None`` where the computation is refused.
    """
    size = min(place.point.compute.block, _TRIED)
    times = []
    try:
        for turn in range(2 if quantity.sampled else 1):
            start = time.perf_counter()
            quantity.compute(place, Members(turn * size, size))
            times.append(time.perf_counter() - start)
    except ValueError:
        return None
    work = max(quantity.work(place, size), 1e-300)
    return max(times[0] - times[-1], 0.0), times[-1] / work


def without_calibration(found: Plan) -> Plan:
    """The plan with no word about time."""
    return replace(found, lines=tuple(replace(line, seconds=None) for line in found.lines))
