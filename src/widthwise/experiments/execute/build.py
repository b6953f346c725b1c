"""Executors by name, as a spec or a command line gives them."""

from dataclasses import fields
from typing import Any

from widthwise.experiments.execute.executor import Executor
from widthwise.experiments.execute.local import Local
from widthwise.experiments.execute.scheduler import Scheduler
from widthwise.experiments.execute.serial import Serial
from widthwise.experiments.execute.slurm import Slurm
from widthwise.experiments.execute.threads import Threads

EXECUTORS: dict[str, type] = {
    "serial": Serial,
    "threads": Threads,
    "local": Local,
    "scheduler": Scheduler,
    "slurm": Slurm,
}


def executor(kind: str, **options: Any) -> Executor:
    """An executor by its name.

    Args:
        kind: ``"serial"``, ``"threads"``, ``"local"`` (processes), ``"scheduler"`` or ``"slurm"``.
        options: fields of :class:`Threads`, :class:`Local`, :class:`Scheduler`, :class:`Slurm`.

    Raises:
        ValueError: for another kind, or an option it does not have.

    Example:
        >>> from widthwise.experiments.execute import executor
        >>> executor("threads", workers=4)
        Threads(workers=4)
    """
    if kind not in EXECUTORS:
        raise ValueError(f"executor must be one of {', '.join(EXECUTORS)}, got {kind!r}")
    cls = EXECUTORS[kind]
    known = [field.name for field in fields(cls)]
    for name, value in options.items():
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise ValueError(f"executor {kind!r} has no option {name} = {value!r}; {has}")
    if kind == "scheduler" and "address" not in options:
        raise ValueError(
            "executor 'scheduler' needs address = that of a Dask scheduler, such as "
            "'tcp://10.0.0.1:8786', got none"
        )
    lists = {name: tuple(value) for name, value in options.items() if isinstance(value, list)}
    return cls(**options | lists)
