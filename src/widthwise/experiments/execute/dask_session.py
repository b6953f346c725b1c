"""Jobs on the workers of a Dask scheduler, whoever started it.

Dask computes a job again when its worker dies. A job whose workers die again and again is given up:
it probably needs more memory than there is. Results come back to this process, which alone writes.
"""

import contextlib
import uuid
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

from widthwise.experiments.execute.executor import ExecutionError
from widthwise.experiments.execute.outcome import Compute, Failed, Outcome, attempt
from widthwise.experiments.execute.single_thread import settle
from widthwise.experiments.jobs import Job

INSTALL = "needs dask.distributed: pip install 'widthwise[cluster]'"


def attempt_in_worker(compute: Compute, job: Job) -> Outcome:
    """Compute a job in a worker, on one thread."""
    settle()
    return attempt(compute, job)


class DaskSession:
    """Jobs under way at a Dask scheduler.

    Args:
        client: a connected ``distributed.Client``.
        compute: of the jobs.
        workers: how many jobs are computed at the same time; as the scheduler says by default.
    """

    def __init__(self, client: Any, compute: Compute, workers: int | None = None):
        from distributed import as_completed

        self._client, self._compute, self._fixed = client, compute, workers
        self._completed = as_completed(loop=client.loop)
        self._jobs: dict[str, Job] = {}
        self._run = uuid.uuid4().hex  # a scheduler remembers the keys of other runs
        self._count = 0

    @property
    def workers(self) -> int:
        """How many threads of workers there are now."""
        return self._fixed or max(1, sum(self._client.nthreads().values()))

    def submit(self, job: Job) -> None:
        """Give a job to the scheduler."""
        self._count += 1
        key = f"{job.name}-{self._run}-{self._count}"
        self._jobs[key] = job
        self._completed.add(
            self._client.submit(attempt_in_worker, self._compute, job, key=key, pure=False)
        )

    def wait(self) -> Outcome:
        """The outcome of the job that ends first.

        Raises:
            ExecutionError: if the scheduler is gone.
        """
        from distributed import KilledWorker

        future = next(self._completed)
        job = self._jobs.pop(future.key)
        try:
            return future.result()
        except KilledWorker as error:
            deaths = f"{error.allowed_failures + 1} workers died"
            return Failed(job, f"{deaths} while they computed it; it may need more memory")
        except (CancelledError, OSError) as error:
            raise ExecutionError(
                f"the Dask scheduler is gone ({type(error).__name__}: {error}); start it and "
                "resume the study"
            ) from error
        except Exception as error:  # the worker could not read the job, or its result be read here
            return Failed(job, f"{type(error).__name__}: {error}")
        finally:
            future.release()


@contextlib.contextmanager
def connected(address: Any, timeout: float) -> Iterator[Any]:
    """A client of a scheduler or cluster, closed at the end.

    Raises:
        ExecutionError: if none answers.
    """
    from distributed import Client

    try:
        client = Client(address, timeout=timeout, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ExecutionError(
            f"no Dask scheduler answers at {address!r} ({error}); give the address that "
            "`dask scheduler` prints, such as tcp://10.0.0.1:8786"
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=5)
