"""How far a run is: a value after every block, a bar on a terminal, else plain lines."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from rich.console import Console


@dataclass(frozen=True)
class Progress:
    """The state of a run.

    Args:
        done: blocks that are stored, those of earlier runs too.
        total: blocks of the study.
        failed: blocks that could not be computed.
        seconds_left: estimate for what is left, from the seconds of blocks of the same kind that
            are done; ``None`` before the first.
        message: what the user should know, or empty.
    """

    done: int
    total: int
    failed: int = 0
    seconds_left: float | None = None
    message: str = ""

    def __str__(self) -> str:
        parts = [f"[{self.done}/{self.total}]"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.message:
            parts.append(self.message)
        if self.seconds_left is not None and self.done + self.failed < self.total:
            parts.append(f"about {spoken(self.seconds_left)} left")
        return " ".join(parts[:1]) + " " + ", ".join(parts[1:] or ["blocks done"])


Report: TypeAlias = Callable[[Progress], None]


def spoken(seconds: float) -> str:
    """A duration for people: 8 s, 3 min, 2.5 h, 4.1 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 129600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


@contextlib.contextmanager
def shown(console: Console | None = None, every: float = 10.0) -> Iterator[Report]:
    """Show progress on stderr.

    Args:
        console: where else.
        every: seconds between plain lines; the first, the last and messages are always shown.

    Yields:
        What :func:`run_jobs` takes as ``progress``.
    """
    place = console or Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    if not place.is_terminal:
        last = [-float("inf")]

        def line(state: Progress) -> None:
            now = time.monotonic()
            ended = state.done + state.failed >= state.total
            if ended or state.message or now - last[0] >= every:
                last[0] = now
                place.print(str(state))

        yield line
        return

    from rich import progress as bars

    columns = (
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        bars.TextColumn("{task.description}", markup=False),
    )
    with bars.Progress(*columns, console=place, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def update(state: Progress) -> None:
            said = str(state).partition("] ")[2]
            bar.update(task, completed=state.done, total=state.total, description=said)
            if state.message:
                place.print(state.message)

        yield update
