"""The predicted Wasserstein-1 distance of each followed output from the Gaussian process."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from widthwise.experiments.quantities.quantity import (
    DATA,
    FOLLOWED,
    NETWORK,
    TRAINING,
    WIDTH,
    Arrays,
    Members,
    Result,
    followed_of,
    memory_of_kernels,
)
from widthwise.experiments.quantities.setting import Setting
from widthwise.experiments.quantities.training_law import law_of
from widthwise.measure.predicted import predicted_distance


@dataclass(frozen=True)
class _PredictedDistances:
    name: str = "predicted_distances"
    reads: tuple[str, ...] = (*DATA, *NETWORK, *WIDTH, *TRAINING, *FOLLOWED)
    sampled: bool = False

    def compute(self, setting: Setting, members: Members) -> Arrays:
        """Distances (times, points, outputs) and their errors."""
        law = law_of(setting)
        shape = (len(setting.times), len(setting.followed), setting.net.outputs)
        value, error = np.empty(shape), np.empty(shape)
        for t, time in enumerate(setting.times):
            for p, row in enumerate(setting.followed):
                direction = np.zeros(law.points)
                direction[row] = 1.0
                for component in range(setting.net.outputs):
                    found = predicted_distance(
                        law, direction, setting.width, time, "wasserstein1", component=component
                    )
                    value[t, p, component], error[t, p, component] = found.value, found.error
        return {"wasserstein1": value, "wasserstein1_error": error}

    def merge(self, setting: Setting, blocks: Sequence[Arrays]) -> Result:
        """The one block."""
        (block,) = blocks
        axes = ("time", "point", "output")
        outputs = np.arange(setting.net.outputs)
        return Result(
            {name: (axes, values) for name, values in block.items()},
            {**followed_of(setting), "time": setting.times, "output": outputs},
        )

    def work(self, setting: Setting, members: int) -> float:
        """That of the law."""
        return float((len(setting.x) * setting.net.outputs) ** 3 * setting.net.depth**2)

    def memory(self, setting: Setting, members: int) -> float:
        """That of kernels."""
        return memory_of_kernels(setting)


QUANTITY = _PredictedDistances()
