"""Mean and variance of trained outputs through 1/n: coefficients, and values at the width n."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from widthwise.experiments.quantities.quantity import (
    DATA,
    NETWORK,
    TRAINING,
    WIDTH,
    Arrays,
    Members,
    Result,
    memory_of_kernels,
    points_of,
)
from widthwise.experiments.quantities.setting import Setting
from widthwise.training.law import TrainingLaw, training_law

_ERROR = (
    "the error is that of the coefficients; what the series leaves out beyond 1/n is not known "
    "(TrainingLaw.reliability estimates it)"
)


@dataclass(frozen=True)
class _TrainedLaw:
    name: str = "training_law"
    reads: tuple[str, ...] = (*DATA, *NETWORK, *WIDTH, *TRAINING)
    sampled: bool = False

    def compute(self, setting: Setting, members: Members) -> Arrays:
        """Means and variances of all outputs at all times."""
        law = law_of(setting)
        errors = np.asarray(law.errors.mean), np.asarray(law.errors.covariance)
        spread = np.stack([variances(c, law) for c in errors[1]])
        powers = float(setting.width) ** (-0.5 * np.arange(len(spread)))
        return {
            "mean": np.asarray(law.mean(setting.width)),
            "variance": variances(law.covariance(setting.width), law),
            "mean_coefficient": np.asarray(law.mean_coefficients),
            "variance_coefficient": np.stack(
                [variances(c, law) for c in law.covariance_coefficients]
            ),
            "mean_error": np.tensordot(powers, errors[0], 1),
            "variance_error": np.tensordot(powers, spread, 1),
            "mean_coefficient_error": errors[0],
            "variance_coefficient_error": spread,
        }

    def merge(self, setting: Setting, blocks: Sequence[Arrays]) -> Result:
        """The one block."""
        (block,) = blocks
        axes = ("power", "time", "point", "output")
        return Result(
            {name: (axes[-values.ndim :], values) for name, values in block.items()},
            {
                **points_of(setting),
                "time": setting.times,
                "output": np.arange(setting.net.outputs),
                "power": np.arange(len(block["mean_coefficient"])) / 2,
            },
            dict.fromkeys(("mean", "variance"), _ERROR),
        )

    def work(self, setting: Setting, members: int) -> float:
        """Cubic in the outputs, more in deep networks."""
        return float((len(setting.x) * setting.net.outputs) ** 3 * setting.net.depth**2)

    def memory(self, setting: Setting, members: int) -> float:
        """That of kernels."""
        return memory_of_kernels(setting)


def law_of(setting: Setting) -> TrainingLaw:
    """The law of the trained outputs; that of another width is the same one."""
    point = setting.point
    network = point.network.model_copy(update={"width": 1})
    return _law(_Task(network, point.training, setting.dataset.hash, setting))


def variances(covariance: np.ndarray, law: TrainingLaw) -> np.ndarray:
    """The diagonal (times, points, outputs) of a covariance of the law."""
    times = len(covariance)
    rows = law.points * law.outputs
    diagonal = np.diagonal(np.asarray(covariance).reshape(times, rows, rows), axis1=1, axis2=2)
    return diagonal.reshape(times, law.points, law.outputs)


@dataclass(frozen=True, eq=False)
class _Task:
    network: object
    training: object
    data: str
    setting: Setting

    def __hash__(self) -> int:
        return hash((self.network, self.training, self.data))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Task) and (self.network, self.training, self.data) == (
            other.network,
            other.training,
            other.data,
        )


@lru_cache(maxsize=8)
def _law(task: _Task) -> TrainingLaw:
    setting = task.setting
    return training_law(setting.net, *setting.data, setting.times)


QUANTITY = _TrainedLaw()
