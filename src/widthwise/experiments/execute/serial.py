"""One job after the other, in this process."""

import contextlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from widthwise.experiments.execute.outcome import Compute, Outcome, attempt
from widthwise.experiments.execute.single_thread import one_thread
from widthwise.experiments.jobs import Job


@dataclass(frozen=True)
class Serial:
    """The simplest executor, and the reference for all others."""

    @contextlib.contextmanager
    def session(self, compute: Compute) -> Iterator["_Session"]:
        """A queue of jobs; :meth:`wait` computes the first."""
        with one_thread():
            yield _Session(compute)


@dataclass(frozen=True, eq=False)
class _Session:
    compute: Compute
    queue: deque[Job] = field(default_factory=deque)
    workers: int = 1

    def submit(self, job: Job) -> None:
        self.queue.append(job)

    def wait(self) -> Outcome:
        return attempt(self.compute, self.queue.popleft())
