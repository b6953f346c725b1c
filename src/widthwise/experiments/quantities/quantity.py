"""What a quantity is: the fields it reads, how a block is computed, how blocks become a result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from widthwise.experiments.quantities.setting import Setting
from widthwise.experiments.spec.study.sections import (
    StudyData,
    StudyNetwork,
    TrainingSpec,
)

Arrays: TypeAlias = dict[str, np.ndarray]
"""What a block is stored as."""

DATA = tuple(f"data.{f}" for f in StudyData.model_fields)
NETWORK = tuple(f"network.{f}" for f in StudyNetwork.model_fields if f != "width")
WIDTH = ("network.width",)
TRAINING = tuple(f"training.{f}" for f in TrainingSpec.model_fields)
FOLLOWED = ("compute.points",)
SAMPLED = ("seed", "compute.block")


@dataclass(frozen=True)
class Members:
    """The networks of one block: numbers first … first + count − 1."""

    first: int
    count: int


@dataclass(frozen=True)
class Result:
    """A quantity at one grid point: arrays with the names of their axes, before any label.

    Args:
        variables: name → (axes, values).
        coordinates: axis → its labels.
        notes: what has to be said about it, in words.
    """

    variables: Mapping[str, tuple[tuple[str, ...], Any]]
    coordinates: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Quantity(Protocol):
    """One quantity: an object of this kind stands in each file beside this one."""

    @property
    def name(self) -> str:
        """As the spec names it."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """Paths of the fields of a grid point on which it depends."""
        ...

    @property
    def sampled(self) -> bool:
        """Whether it is split into blocks of networks."""
        ...

    def compute(self, setting: Setting, members: Members) -> Arrays:
        """One block; a quantity that is not sampled has one and ignores ``members``."""
        ...

    def merge(self, setting: Setting, blocks: Sequence[Arrays]) -> Result:
        """The result of some blocks, in their order."""
        ...

    def work(self, setting: Setting, members: int) -> float:
        """About how much a block computes, in units of its own: planning compares grid points."""
        ...

    def memory(self, setting: Setting, members: int) -> float:
        """About how many bytes a block takes."""
        ...


def points_of(setting: Setting) -> dict[str, Any]:
    """Labels of all points: train first, then test."""
    train, test = len(setting.dataset.x_train), len(setting.dataset.x_test)
    return {"point": [f"train {i}" for i in range(train)] + [f"test {i}" for i in range(test)]}


def followed_of(setting: Setting) -> dict[str, Any]:
    """Labels of the test points whose laws are followed."""
    return {"point": [f"test {i}" for i in setting.point.compute.points]}


def parameters(setting: Setting) -> float:
    """Numbers in one network."""
    fan = (setting.x.shape[1], *setting.net.widths(setting.width), setting.net.outputs)
    return float(sum(a * b for a, b in pairwise(fan)))


def memory_of_kernels(setting: Setting) -> float:
    """Bytes of a computation with kernels and a few tensors of all outputs."""
    rows = len(setting.x) * setting.net.outputs
    return 2e8 + 8.0 * 20 * len(setting.times) * rows**2
