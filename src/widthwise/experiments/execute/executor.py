"""What an executor is: something that opens a session, which takes jobs and gives outcomes.

An executor decides where jobs are computed and nothing else: which jobs, how many at once, what is
stored and in what order is said in :mod:`.run`, so that results cannot depend on it.
"""

from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from widthwise.experiments.execute.outcome import Compute, Outcome
from widthwise.experiments.jobs import Job


class ExecutionError(RuntimeError):
    """Jobs cannot be computed; the message says why and what to do. What was stored is kept."""


@runtime_checkable
class Session(Protocol):
    """Jobs under way."""

    @property
    def workers(self) -> int:
        """How many jobs are computed at the same time."""
        ...

    def submit(self, job: Job) -> None:
        """Take a job; returns at once or when the job is computed."""
        ...

    def wait(self) -> Outcome:
        """The outcome of one of the jobs taken and not given back yet, whichever ends first."""
        ...


@runtime_checkable
class Executor(Protocol):
    """Where jobs are computed."""

    def session(self, compute: Compute) -> AbstractContextManager[Session]:
        """Workers for this computation, until the context ends; jobs under way then are dropped."""
        ...
