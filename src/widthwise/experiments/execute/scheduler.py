"""The workers of a Dask scheduler that runs already, here or on a cluster."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from widthwise import _checks as checks
from widthwise.experiments.execute.dask_session import INSTALL, DaskSession, connected
from widthwise.experiments.execute.executor import ExecutionError
from widthwise.experiments.execute.outcome import Compute
from widthwise.experiments.store.provenance import arithmetic, versions


@dataclass(frozen=True)
class Scheduler:
    """An existing scheduler; its workers must have this version of widthwise and of its libraries.

    Args:
        address: such as ``"tcp://10.0.0.1:8786"``.
        patience: seconds to wait for the scheduler, and for its first worker.
        same: refuse workers whose libraries or rounding differ from this process's: their results
            would not be equal bit for bit.
    """

    address: str
    patience: float = 60.0
    same: bool = True

    def __post_init__(self):
        if not isinstance(self.address, str) or not self.address:
            raise ValueError(
                f"address must be that of a Dask scheduler, such as 'tcp://10.0.0.1:8786', got "
                f"{self.address!r}"
            )
        checks.positive(self.patience, "patience")

    @contextlib.contextmanager
    def session(self, compute: Compute) -> Iterator[DaskSession]:
        """A connection for this computation.

        Raises:
            ImportError: if dask.distributed is missing.
            ExecutionError: if no scheduler answers, it has no workers, or they differ.
        """
        try:
            import distributed  # noqa: F401
        except ImportError as error:
            raise ImportError(f"executor 'scheduler' {INSTALL}") from error
        with connected(self.address, self.patience) as client:
            try:
                client.wait_for_workers(1, timeout=self.patience)
            except TimeoutError as error:
                raise ExecutionError(
                    f"the scheduler at {self.address} has no workers; start some: "
                    f"dask worker {self.address} --nthreads 1"
                ) from error
            if self.same:
                _check_same(client.run(_arithmetic))
            yield DaskSession(client, compute)


def _arithmetic() -> dict[str, str]:
    """What the bits of a result depend on, as far as it can be told."""
    numerics = ("widthwise", "python", "jax", "jaxlib", "numpy", "scipy", "equinox")
    found = versions()
    return {name: found[name] for name in numerics if name in found} | {"arithmetic": arithmetic()}


def _check_same(workers: dict[str, dict[str, str]]) -> None:
    mine = _arithmetic()
    for worker, theirs in workers.items():
        other = [
            f"{name} {theirs.get(name, 'missing')} instead of {value}"
            for name, value in mine.items()
            if theirs.get(name) != value
        ]
        if other:
            raise ExecutionError(
                f"worker {worker} would not compute the same bits: {', '.join(other)}; give it "
                "this process's environment, or allow it by same=False"
            )
