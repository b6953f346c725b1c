"""Cumulants κ₂ … of one output at initialization as series in n^{-1/2}, and their values at n."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from widthwise.experiments.quantities.quantity import (
    DATA,
    FOLLOWED,
    NETWORK,
    WIDTH,
    Arrays,
    Members,
    Result,
    followed_of,
    memory_of_kernels,
)
from widthwise.experiments.quantities.setting import Setting
from widthwise.initial.cumulants import output_cumulants


@dataclass(frozen=True)
class _InitialSeries:
    name: str = "initial_series"
    reads: tuple[str, ...] = (*DATA, *NETWORK, *WIDTH, *FOLLOWED, "compute.order",
                              "compute.cumulants")  # fmt: skip
    sampled: bool = False

    def compute(self, setting: Setting, members: Members) -> Arrays:
        """Coefficients (cumulants, points, powers) and values at the width, with errors."""
        coefficients, errors, values, value_errors = [], [], [], []
        for r in range(2, setting.point.compute.cumulants + 1):
            for row in setting.followed:
                series = _cumulants(_Place(setting, row)).cumulant((0,) * r)
                at = series.optimal(setting.width)
                coefficients.append(np.asarray(series.coefficients))
                errors.append(np.broadcast_to(series.error, coefficients[-1].shape))
                values.append(at.value)
                value_errors.append(at.error)
        shape = (setting.point.compute.cumulants - 1, len(setting.followed))
        return {
            "coefficient": np.reshape(coefficients, (*shape, -1)),
            "coefficient_error": np.reshape(errors, (*shape, -1)),
            "value": np.reshape(values, shape),
            "value_error": np.reshape(value_errors, shape),
        }

    def merge(self, setting: Setting, blocks: Sequence[Arrays]) -> Result:
        """The one block."""
        (block,) = blocks
        axes = ("cumulant", "point", "power")
        powers = np.arange(block["coefficient"].shape[-1]) / 2
        return Result(
            {name: (axes[: values.ndim], values) for name, values in block.items()},
            {
                **followed_of(setting),
                "cumulant": np.arange(2, setting.point.compute.cumulants + 1),
                "power": powers,
            },
        )

    def work(self, setting: Setting, members: int) -> float:
        """Points, and a cost that grows with depth and order."""
        order = setting.point.compute.order
        return len(setting.followed) * (1.0 + (setting.net.depth - 1) * 4.0**order)

    def memory(self, setting: Setting, members: int) -> float:
        """That of kernels."""
        return memory_of_kernels(setting)


@dataclass(frozen=True)
class _Place:
    """A followed point of a setting, whose network, data and order name what is computed of it."""

    setting: Setting
    row: int

    @property
    def _key(self) -> tuple:
        compute = self.setting.point.compute
        return (
            self.setting.point.network.model_copy(update={"width": 1}),
            self.setting.x[self.row].tobytes(),
            compute.order,
        )

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Place) and self._key == other._key


@lru_cache(maxsize=64)
def _cumulants(place: _Place):
    setting = place.setting
    return output_cumulants(setting.net, setting.x[[place.row]], setting.point.compute.order)


QUANTITY = _InitialSeries()
