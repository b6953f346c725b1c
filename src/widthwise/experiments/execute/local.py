"""Worker processes on this host: a Dask LocalCluster that only this host can reach.

Dask's nannies start a new process where one has died. Everything binds to 127.0.0.1. Dask serves
its state over HTTP even without a dashboard, by default on port 8787; this is switched off here.
A script that uses it needs the usual ``if __name__ == "__main__":``, as the processes import it.
"""

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Any

from widthwise import _checks as checks
from widthwise.experiments.execute.dask_session import INSTALL, DaskSession, connected
from widthwise.experiments.execute.executor import ExecutionError
from widthwise.experiments.execute.outcome import Compute
from widthwise.experiments.execute.single_thread import environment

_HERE = "127.0.0.1"


@dataclass(frozen=True)
class Local:
    """Processes of one thread each.

    Args:
        workers: how many; as many as cores by default.
        memory: of each worker, such as ``"4GB"``, beyond which it is stopped; the host's memory
            shared out by default.
        deaths: a job is given up when more workers than this have died computing it, and the run
            when the processes have died more often than this before they had started.
        dashboard: port of Dask's dashboard on this host; ``None``: no dashboard.
    """

    workers: int | None = None
    memory: str | float = "auto"
    deaths: int = 5
    dashboard: int | None = None

    def __post_init__(self):
        if self.workers is not None:
            checks.positive_integer(self.workers, "workers")
        checks.positive_integer(self.deaths, "deaths")

    @contextlib.contextmanager
    def session(self, compute: Compute) -> Iterator[DaskSession]:
        """A cluster for this computation.

        Raises:
            ImportError: if dask.distributed is missing.
            ExecutionError: if the processes die before they have started, again and again.
        """
        try:
            from dask import config
            from distributed import LocalCluster, Nanny
        except ImportError as error:
            raise ImportError(f"executor 'local' {INSTALL}") from error

        class Brief(Nanny):
            """All results are here when it closes: a worker need not be waited for."""

            async def close(self, timeout: float = 0.5, reason: str = "closed") -> Any:
                return await super().close(timeout=timeout, reason=reason)

        count = self.workers or os.cpu_count() or 1
        shown = self.dashboard is not None
        options: dict[str, Any] = {
            "distributed.nanny.pre-spawn-environ": environment(),
            "distributed.scheduler.allowed-failures": self.deaths,
            "distributed.worker.daemon": True,
            # without a dashboard nobody asks for Dask's pages
            **({} if shown else {"distributed.scheduler.http.routes": []}),
            "distributed.worker.http.routes": [],
        }

        def cluster() -> Any:
            return LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                worker_class=Brief,
                host=_HERE,
                memory_limit=self.memory,
                dashboard_address=f"{_HERE}:{self.dashboard if shown else 0}",
                scheduler_kwargs={"dashboard": shown},
                silence_logs=logging.CRITICAL,
            )

        with (
            config.set(options),
            self._started(cluster) as made,
            connected(made, timeout=60) as client,
        ):
            if not shown:
                made.scheduler.http_server.stop()
            yield DaskSession(client, compute, count)

    def _started(self, cluster: Callable[[], Any]) -> Any:
        """A cluster; a worker that dies before it has started spoils it, and all start again."""
        reasons = []
        while len(reasons) <= self.deaths:
            try:
                with _interrupts_held():
                    return cluster()
            except RuntimeError as error:
                reasons.append(error.__cause__ or error)
        raise ExecutionError(
            f"worker processes did not start, {len(reasons)} times ({reasons[-1]}); there may be "
            "too little memory for so many: give fewer workers"
        ) from reasons[-1]


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits meanwhile; threads and processes that begin here never see it.

    A terminal sends it to all processes of the run: this one alone answers.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # where it began in here, it would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
