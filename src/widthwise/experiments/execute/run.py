"""Run the jobs of a study: compute what the store lacks, and store every result once.

The store decides what is left, this process alone writes, and a result is a function of its job's
payload; so the store ends the same bit for bit whatever the executor, the number of workers, the
order in which they end, and how often the run was killed on the way.
"""

import contextlib
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from widthwise.experiments.execute.build import executor as build
from widthwise.experiments.execute.estimate import Remaining
from widthwise.experiments.execute.executor import ExecutionError, Executor, Session
from widthwise.experiments.execute.outcome import Compute, Failed, Finished
from widthwise.experiments.execute.progress import Progress, Report
from widthwise.experiments.jobs import Job
from widthwise.experiments.store import Store


class JobsFailed(ExecutionError):
    """Some jobs could not be computed; all others are stored.

    Args:
        message: for people.
        failures: of the jobs that were tried.
    """

    def __init__(self, message: str, failures: tuple[Failed, ...]):
        super().__init__(message)
        self.failures = failures


class Interrupted(KeyboardInterrupt):
    """The run was stopped from outside; its message says what is kept and how to go on."""


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Args:
        total: jobs that were asked for.
        computed: jobs computed and stored by this run.
        damaged: blocks that were found damaged, and computed anew.
        seconds: that the run took.
        compute_seconds: sum over the jobs computed.
    """

    total: int
    computed: int
    damaged: int
    seconds: float
    compute_seconds: float


def run_jobs(
    jobs: Iterable[Job],
    compute: Compute,
    store: Store,
    executor: str | Executor = "serial",
    *,
    progress: Report | None = None,
    seconds: float | None = None,
    by_name: bool = False,
    note: str = "",
) -> Summary:
    """Compute all jobs that the store does not hold, and store them.

    A job that fails does not stop the others, except those of its quantity at its grid point.

    Args:
        jobs: of the study, in any order.
        compute: payload ↦ arrays; importable by worker processes, and a function of the payload
            alone.
        store: where results go, and which decides what is left.
        executor: a kind of :func:`executor`, or what it returns.
        progress: called with a :class:`Progress` at the start and after every block.
        seconds: after which no further job is started, and what is under way is given up; the rest
            is left to another run.
        by_name: whether a block of the same name is the one that is asked for, whatever its
            payload says, as where a data file lies elsewhere now.
        note: what the user should know at the start.

    Returns:
        :class:`Summary`.

    Raises:
        ValueError: for two different jobs of one name, or results that are not arrays of numbers.
        JobsFailed: at the end, if jobs failed.
        ExecutionError: if there are no workers to compute.
        StoreError: if the store is being written by another process, or cannot be written.
        Interrupted: after Ctrl-C or SIGTERM; a KeyboardInterrupt.

    Example:
        >>> import tempfile, numpy as np
        >>> from widthwise.experiments.execute import run_jobs
        >>> from widthwise.experiments.jobs import Job
        >>> from widthwise.experiments.store import Store
        >>> store = Store.create(tempfile.mkdtemp(), spec="", provenance={})
        >>> jobs = [Job("0" * 16, "length", i, "x" * i) for i in range(3)]
        >>> run_jobs(jobs, lambda payload: {"n": np.array(len(payload))}, store).computed
        3
    """
    start = time.perf_counter()
    where = build(executor) if isinstance(executor, str) else executor
    wanted = _by_name(jobs)
    run: _Run | None = None
    with store.writing():
        try:
            with _terminable():
                left = _left(store, wanted, by_name)
                damaged = len(store.damaged() & wanted.keys())
                run = _Run(store, wanted, left, progress)
                run.end = None if seconds is None else start + seconds
                anew = f"{damaged} damaged blocks are computed anew" if damaged else ""
                run.say("; ".join(filter(None, (note, anew))))
                if left:
                    with where.session(compute) as session:
                        run.through(session)
        except KeyboardInterrupt:
            stored = (
                f"what was stored in {store.directory} is kept"
                if run is None
                else f"{run.done} of {len(wanted)} blocks are stored in {store.directory}"
            )
            raise Interrupted(
                f"interrupted: {stored}; continue with: widthwise resume {store.directory}"
            ) from None
    if run.failures:
        raise JobsFailed(run.complaint(), tuple(run.failures))
    return Summary(
        len(wanted), run.computed, damaged, time.perf_counter() - start, run.compute_seconds
    )


class _Run:
    """The state of one run."""

    def __init__(
        self, store: Store, wanted: dict[str, Job], left: list[Job], progress: Report | None
    ):
        self.store, self.total, self.progress = store, len(wanted), progress
        self.queue = deque(left)
        self.done, self.computed, self.compute_seconds = len(wanted) - len(left), 0, 0.0
        self.failures: list[Failed] = []
        self.untried = 0
        self.workers = 1
        self.end: float | None = None
        self.late = False
        self.remaining = Remaining(left)
        if progress is not None:
            for name in wanted.keys() - {job.name for job in left}:
                self.remaining.learn(wanted[name], store.seconds(name))

    def through(self, session: Session) -> None:
        """Compute all; one job per worker is under way, so that none waits where one may die."""
        under_way = 0
        finished: Finished | None = None
        given_up: set[tuple[str, str]] = set()
        while True:
            self.workers = session.workers
            self.late = self.end is not None and time.perf_counter() > self.end
            while self.queue and under_way < self.workers and not self.late:
                job = self.queue.popleft()
                if (job.point, job.quantity) in given_up:
                    self.untried += 1
                    self.remaining.drop(job)
                else:
                    session.submit(job)
                    under_way += 1
            if finished is not None:  # written while its worker is at the next job
                self._keep(finished)
                finished = None
            if not under_way or self.late:
                return
            outcome = session.wait()
            under_way -= 1
            self.remaining.drop(outcome.job)
            if isinstance(outcome, Failed):
                self.failures.append(outcome)
                given_up.add((outcome.job.point, outcome.job.quantity))
                self.say(f"block {outcome.job.name} failed: {outcome.reason}")
            else:
                finished = outcome

    def _keep(self, finished: Finished) -> None:
        self.store.write(finished.job, finished.arrays, finished.seconds)
        self.done, self.computed = self.done + 1, self.computed + 1
        self.compute_seconds += finished.seconds
        self.remaining.learn(finished.job, finished.seconds)
        self.say()

    def say(self, message: str = "") -> None:
        if self.progress is not None:
            left = self.remaining.seconds(self.workers)
            failed = len(self.failures) + self.untried
            self.progress(Progress(self.done, self.total, failed, left, message))

    def complaint(self) -> str:
        shown = [f"  {f.job.name}: {f.reason}" for f in self.failures[:5]]
        more = len(self.failures) - len(shown)
        skipped = f" ({self.untried} more of their kind were not tried)" if self.untried else ""
        others = "those computed before the time was spent" if self.late else "all others"
        return "\n".join(
            [
                f"{len(self.failures)} of {self.total} blocks could not be computed{skipped}; "
                f"{others} are stored in {self.store.directory}:",
                *shown,
                *([f"  and {more} more"] if more else []),
            ]
        )


def _left(store: Store, wanted: dict[str, Job], by_name: bool) -> list[Job]:
    if not by_name:
        return store.pending(wanted.values())
    done = store.done()
    return [job for name, job in wanted.items() if name not in done]


def _by_name(jobs: Iterable[Job]) -> dict[str, Job]:
    found: dict[str, Job] = {}
    for job in jobs:
        if found.setdefault(job.name, job) != job:
            raise ValueError(
                f"two different jobs are called {job.name}; the block's number or the point's hash "
                "must tell them apart"
            )
    return found


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM, by which batch systems end a job, acts like Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
