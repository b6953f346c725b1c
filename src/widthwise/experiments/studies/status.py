"""How far a study is, and what it could not compute."""

from collections.abc import Sequence
from dataclasses import dataclass

from widthwise.experiments.execute.progress import spoken
from widthwise.experiments.quantities import refusal
from widthwise.experiments.store import Store
from widthwise.experiments.studies.asked import Asked


@dataclass(frozen=True)
class Part:
    """One quantity: jobs, those that are done, the seconds these took, networks that diverged."""

    quantity: str
    jobs: int
    done: int
    seconds: float
    diverged: int = 0


@dataclass(frozen=True)
class Status:
    """The state of a study.

    Args:
        title: of the study.
        spec_hash: of its spec.
        parts: quantity by quantity.
        damaged: blocks that are not what was written; a run computes them anew.
        refused: (quantity, reason, grid points): what the theory does not cover.
    """

    title: str
    spec_hash: str
    parts: tuple[Part, ...]
    damaged: int
    refused: tuple[tuple[str, str, int], ...]

    @property
    def jobs(self) -> int:
        """All jobs of the study."""
        return sum(part.jobs for part in self.parts)

    @property
    def done(self) -> int:
        """Those that are stored."""
        return sum(part.done for part in self.parts)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to compute."""
        return self.done == self.jobs

    def __str__(self) -> str:
        lines = [f"{self.title}  (spec {self.spec_hash})"]
        for part in self.parts:
            took = f", {spoken(part.seconds)}" if part.done else ""
            lines.append(f"  {part.quantity:<20} {part.done} of {part.jobs} jobs done{took}")
        for part in self.parts:
            if part.diverged:
                lines.append(f"  {part.quantity}: {part.diverged} networks diverged, left out")
        if self.damaged:
            lines.append(f"  {self.damaged} damaged blocks, which a run computes anew")
        for quantity, reason, points in self.refused:
            where = "1 grid point" if points == 1 else f"{points} grid points"
            lines.append(f"  {quantity} has no result at {where}: {reason}")
        return "\n".join(lines)


def status(title: str, spec_hash: str, asked: Sequence[Asked], store: Store) -> Status:
    """The state of the store of a study."""
    done, parts = store.done(), []
    refused: dict[tuple[str, str], set[str]] = {}
    for each in asked:
        names = [job.name for job in each.jobs()]
        there = [name for name in names if name in done]
        seconds = sum(store.seconds(name) for name in there)
        lost = 0
        for name in there:
            arrays = store.read(name)
            lost += int(arrays.get("diverged", 0))
            if (reason := refusal(arrays)) is not None:
                refused.setdefault((each.quantity.name, reason), set()).add(name.partition("/")[0])
        parts.append(Part(each.quantity.name, len(names), len(there), seconds, lost))
    return Status(
        title,
        spec_hash,
        tuple(parts),
        len(store.damaged()),
        tuple((quantity, reason, len(points)) for (quantity, reason), points in refused.items()),
    )
