"""Predictions of single networks against their real training: the root mean square error by order.

Orders 0, 1 and 2 in n^{-1/2} about the network's own tangent kernel, averaged over points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from widthwise.experiments.quantities.moments import diverged, merged, root, sums
from widthwise.experiments.quantities.quantity import (
    DATA,
    NETWORK,
    SAMPLED,
    TRAINING,
    WIDTH,
    Arrays,
    Members,
    Result,
)
from widthwise.experiments.quantities.setting import Setting
from widthwise.experiments.quantities.trained import (
    memory_of_training,
    trained,
    work_of_training,
)
from widthwise.training.prediction import predict

_ORDERS = 3


@dataclass(frozen=True)
class _Predictions:
    name: str = "predictions"
    reads: tuple[str, ...] = (*DATA, *NETWORK, *WIDTH, *TRAINING, *SAMPLED)
    sampled: bool = True

    def compute(self, setting: Setting, members: Members) -> Arrays:
        """Power sums of the mean square errors (orders, times)."""
        runs, training = trained(setting, members), setting.point.training
        clock: dict[str, Any] = {"times": setting.times}
        if training.method == "descent":
            clock = {"steps": setting.times, "step": training.step}
        lost = runs.diverged
        squares = np.full((runs.members, _ORDERS, len(setting.times)), np.nan)
        for i in np.flatnonzero(~lost):
            found = predict(
                setting.net,
                runs.parameters(int(i)),
                *setting.data,
                width=setting.width,
                **clock,
            )
            off = np.cumsum(found.orders, axis=0) - runs.outputs[i]
            squares[i] = (off**2).mean(axis=(2, 3))
        found = sums("squares", squares[..., None], 0.0, 1, members.first, lost)
        return found | {"diverged": np.asarray(lost.sum())}

    def merge(self, setting: Setting, blocks: Sequence[Arrays]) -> Result:
        """Errors with standard errors."""
        found = merged("squares", blocks)
        value, error = root(found.mean.value[..., 0], found.mean.error[..., 0])
        axes = ("prediction_order", "time")
        return Result(
            {
                "members": ((), found.count),
                "diverged": diverged(blocks),
                "prediction_error": (axes, value),
                "prediction_error_error": (axes, error),
            },
            {"prediction_order": np.arange(len(value)), "time": setting.times},
        )

    def work(self, setting: Setting, members: int) -> float:
        """That of training."""
        return work_of_training(setting, members)

    def memory(self, setting: Setting, members: int) -> float:
        """That of training."""
        return memory_of_training(setting, members)


QUANTITY = _Predictions()
