"""Workers in jobs of a Slurm cluster, through dask-jobqueue.

This process is the scheduler: run it on a login node or in a small job of its own. Slurm starts and
ends the workers; where one ends before the study does (its time is over), another is asked for.
"""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from widthwise import _checks as checks
from widthwise.experiments.execute.dask_session import DaskSession, connected
from widthwise.experiments.execute.outcome import Compute
from widthwise.experiments.execute.single_thread import environment

_INSTALL = "executor 'slurm' needs dask-jobqueue: pip install 'widthwise[cluster]'"


@dataclass(frozen=True)
class Slurm:
    """Slurm jobs, each of them with one worker process per core.

    Args:
        interface: the network by which nodes reach this process, such as ``"ib0"``; the scheduler
            listens there and nowhere else.
        jobs: how many Slurm jobs.
        cores: of each.
        memory: of each, such as ``"8GB"``.
        walltime: of each, such as ``"04:00:00"``.
        queue: Slurm's partition.
        account: Slurm's account.
        directives: further lines for ``#SBATCH``, such as ``"--constraint=avx2"``.
        prologue: shell lines before the worker starts, such as ``"module load python"``.
        log_directory: for the workers' output.
        python: the interpreter on the nodes; this one by default.
        deaths: a job is given up when more workers than this have died computing it.
    """

    interface: str | None = None
    jobs: int = 1
    cores: int = 1
    memory: str = "4GB"
    walltime: str = "01:00:00"
    queue: str | None = None
    account: str | None = None
    directives: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    log_directory: str | None = None
    python: str = sys.executable
    deaths: int = 5

    def __post_init__(self):
        if not self.interface:
            raise ValueError(
                "interface must name the network by which the nodes reach this host, such as "
                f"'ib0' or 'eth0' (see `ip address`), got {self.interface!r}"
            )
        for name in ("jobs", "cores", "deaths"):
            checks.positive_integer(getattr(self, name), name)

    def job_script(self, address: str = "tcp://SCHEDULER:PORT") -> str:
        """The script that is given to ``sbatch``, for a scheduler at this address.

        Raises:
            ImportError: if dask-jobqueue is missing.
        """
        try:
            from dask_jobqueue.slurm import SLURMJob
        except ImportError as error:
            raise ImportError(_INSTALL) from error
        return SLURMJob(scheduler=address, name="widthwise", **self._options()).job_script()

    @contextlib.contextmanager
    def session(self, compute: Compute) -> Iterator[DaskSession]:
        """A cluster for this computation.

        Raises:
            ImportError: if dask-jobqueue is missing.
        """
        try:
            from dask import config
            from dask_jobqueue.slurm import SLURMCluster
        except ImportError as error:
            raise ImportError(_INSTALL) from error
        settings: dict[str, Any] = {
            "distributed.scheduler.allowed-failures": self.deaths,
            "distributed.scheduler.http.routes": [],
        }
        cluster: Any
        with (
            config.set(settings),
            SLURMCluster(
                scheduler_options={"dashboard": False, "dashboard_address": ":0"},
                **self._options(),
            ) as cluster,
            connected(cluster, timeout=60) as client,
        ):
            cluster.scheduler.http_server.stop()
            # as many as asked for, always: what Slurm has ended is replaced
            cluster.adapt(minimum_jobs=self.jobs, maximum_jobs=self.jobs)
            yield DaskSession(client, compute, self.jobs * self.cores)

    def _options(self) -> dict[str, Any]:
        exports = [f"export {name}={value!r}" for name, value in environment().items()]
        return {
            "interface": self.interface,
            "cores": self.cores,
            "processes": self.cores,
            "memory": self.memory,
            "walltime": self.walltime,
            "queue": self.queue,
            "account": self.account,
            "job_name": "widthwise",
            "job_extra_directives": list(self.directives),
            "job_script_prologue": [*exports, *self.prologue],
            "log_directory": self.log_directory,
            "python": self.python,
            "worker_extra_args": ["--no-dashboard"],
        }
