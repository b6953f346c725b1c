"""Several jobs at once in threads of this process: for computations that release the GIL, as XLA's.

Threads cannot be stopped: when the session ends, jobs under way are computed to their end (and
dropped).
"""

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from widthwise import _checks as checks
from widthwise.experiments.execute.outcome import Compute, Outcome, attempt
from widthwise.experiments.execute.single_thread import one_thread
from widthwise.experiments.jobs import Job


@dataclass(frozen=True)
class Threads:
    """Args: workers: how many threads; as many as cores by default."""

    workers: int | None = None

    def __post_init__(self):
        if self.workers is not None:
            checks.positive_integer(self.workers, "workers")

    @contextlib.contextmanager
    def session(self, compute: Compute) -> Iterator["_Session"]:
        """A pool of threads."""
        count = self.workers or os.cpu_count() or 1
        with one_thread(count):
            pool = ThreadPoolExecutor(count, thread_name_prefix="widthwise")
            try:
                yield _Session(compute, pool, count)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, eq=False)
class _Session:
    compute: Compute
    pool: ThreadPoolExecutor
    workers: int
    futures: set[Future[Outcome]] = field(default_factory=set)

    def submit(self, job: Job) -> None:
        self.futures.add(self.pool.submit(attempt, self.compute, job))

    def wait(self) -> Outcome:
        future = next(iter(wait(self.futures, return_when=FIRST_COMPLETED).done))
        self.futures.remove(future)
        return future.result()
