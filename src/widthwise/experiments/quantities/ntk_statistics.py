"""Mean and variance of entries of the finite-width NTK at initialization, by the recursion."""

from collections.abc import Sequence
from dataclasses import dataclass

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
from widthwise.initial.tangents import ntk_statistics


@dataclass(frozen=True)
class _NTKStatistics:
    name: str = "ntk_statistics"
    reads: tuple[str, ...] = (*DATA, *NETWORK, *WIDTH, *FOLLOWED, "compute.order")
    sampled: bool = False

    def compute(self, setting: Setting, members: Members) -> Arrays:
        """Θ(x, x) of every followed point: (points, mean and variance, powers), and at n."""
        coefficients, values, errors = [], [], []
        for row in setting.followed:
            found = ntk_statistics(setting.net, setting.x[[row]], setting.point.compute.order)
            for series in (found.mean(0, 0), found.covariance((0, 0), (0, 0))):
                at = series.optimal(setting.width)
                coefficients.append(np.asarray(series.coefficients))
                values.append(at.value)
                errors.append(at.error)
        shape = (len(setting.followed), 2)
        return {
            "coefficient": np.reshape(coefficients, (*shape, -1)),
            "value": np.reshape(values, shape),
            "value_error": np.reshape(errors, shape),
        }

    def merge(self, setting: Setting, blocks: Sequence[Arrays]) -> Result:
        """The one block."""
        (block,) = blocks
        powers = np.arange(block["coefficient"].shape[-1]) / 2
        made = {}
        for i, kind in enumerate(("mean", "variance")):
            made[f"{kind}_coefficient"] = (("point", "power"), block["coefficient"][:, i])
            made[kind] = (("point",), block["value"][:, i])
            made[f"{kind}_error"] = (("point",), block["value_error"][:, i])
        return Result(made, {**followed_of(setting), "power": powers})

    def work(self, setting: Setting, members: int) -> float:
        """Points, and a cost that grows with depth and order."""
        order = setting.point.compute.order
        return len(setting.followed) * setting.net.depth * 4.0**order

    def memory(self, setting: Setting, members: int) -> float:
        """That of kernels."""
        return memory_of_kernels(setting)


QUANTITY = _NTKStatistics()
