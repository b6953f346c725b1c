"""How long the blocks that are left will take.

Blocks of one quantity at one grid point are alike: one that is left counts with their mean seconds,
or with the mean of all where none of its kind is done yet.
"""

from collections import Counter
from collections.abc import Iterable

from widthwise.experiments.jobs import Job

_Kind = tuple[str, str]


class Remaining:
    """Seconds left of a run; :meth:`done` and :meth:`drop` keep it up to date."""

    def __init__(self, left: Iterable[Job]):
        self._left: Counter[_Kind] = Counter(_kind(job) for job in left)
        self._seconds: dict[_Kind, float] = {}
        self._count: Counter[_Kind] = Counter()

    def learn(self, job: Job, seconds: float) -> None:
        """A block of this kind took so long."""
        kind = _kind(job)
        self._seconds[kind] = self._seconds.get(kind, 0.0) + seconds
        self._count[kind] += 1

    def drop(self, job: Job) -> None:
        """This one is not left any more."""
        self._left[_kind(job)] -= 1

    def seconds(self, workers: int) -> float | None:
        """The estimate for so many workers; ``None`` if no block is done yet."""
        count = self._count.total()
        if not count:
            return None
        common = sum(self._seconds.values()) / count
        total = sum(
            number * (self._seconds[kind] / self._count[kind] if self._count[kind] else common)
            for kind, number in self._left.items()
        )
        return total / workers


def _kind(job: Job) -> _Kind:
    return job.point, job.quantity
