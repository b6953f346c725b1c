"""What a study asks: for every quantity and place on its axes one request, and the jobs of all.

A quantity that reads none of an axis' fields is asked once for the whole axis.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from widthwise.experiments.jobs import Job
from widthwise.experiments.quantities import QUANTITIES, Quantity
from widthwise.experiments.quantities.payload import Request, request
from widthwise.experiments.spec import Axis, StudySpec


@dataclass(frozen=True, eq=False)
class Asked:
    """One quantity of a study.

    Args:
        quantity: what.
        axes: those of the study of which it reads a field.
        requests: place on these axes → what is asked there.
        blocks: place → how many jobs that makes.
    """

    quantity: Quantity
    axes: tuple[Axis, ...]
    requests: Mapping[tuple[int, ...], Request]
    blocks: Mapping[tuple[int, ...], int]

    def jobs(self) -> Iterator[Job]:
        """All jobs of the quantity, each once: two places may ask the same."""
        seen: set[str] = set()
        for place, asked in self.requests.items():
            if asked.hash in seen:
                continue
            seen.add(asked.hash)
            for block in range(self.blocks[place]):
                yield job(asked, block)


def job(asked: Request, block: int) -> Job:
    """One block of a request."""
    payload = replace(asked, block=block).text
    return Job(asked.hash, asked.quantity, block, payload)


def questions(
    spec: StudySpec,
    base_folder: Path,
    known: Mapping[str, str] | None = None,
    kept: Path | None = None,
) -> tuple[Asked, ...]:
    """Everything a study asks, quantity by quantity in the order of the theory.

    Args:
        spec: of the study.
        base_folder: where relative paths of data files start.
        known: data file → hash of the content it had when the study was run.
        kept: the folder of the points that were drawn from files.
    """
    made = []
    for name, quantity in QUANTITIES.items():
        if name not in spec.compute.quantities:
            continue
        mine = [any(field in quantity.reads for field in axis.fields) for axis in spec.axes]
        axes = tuple(axis for axis, chosen in zip(spec.axes, mine, strict=True) if chosen)
        requests, blocks = {}, {}
        for place in itertools.product(*(range(len(axis)) for axis in axes)):
            here = iter(place)
            point = spec.at(tuple(next(here) if chosen else 0 for chosen in mine))
            requests[place] = request(point, name, quantity.reads, base_folder, known, kept)
            size = point.compute.block
            blocks[place] = -(-spec.budget.members // size) if quantity.sampled else 1
        made.append(Asked(quantity, axes, requests, blocks))
    return tuple(made)
