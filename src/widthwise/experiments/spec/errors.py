"""What is wrong with a spec, as values that read as sentences."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a spec: where, what was received (as text, or ``None``), what to do."""

    path: str
    received: str | None
    remedy: str

    def __str__(self) -> str:
        head = self.path if self.received is None else f"{self.path} = {self.received}"
        return f"  {head}\n      {self.remedy}" if head else f"  {self.remedy}"


class SpecError(ValueError):
    """Everything that is wrong with a spec, as a readable list.

    Args:
        source: the file, or what stands in its place.
        problems: all of them, in the order of the file's sections.
    """

    def __init__(self, source: str, problems: Sequence[Problem]):
        self.source, self.problems = source, tuple(problems)
        count = f"{len(self.problems)} things" if len(self.problems) > 1 else "one thing"
        super().__init__("\n".join([f"{source}: {count} to correct", *map(str, self.problems)]))
