"""The kernels of the infinite width between all points: K (NNGP) and Θ (NTK), and Θ's spectrum."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from widthwise.experiments.quantities.quantity import (
    DATA,
    NETWORK,
    Arrays,
    Members,
    Result,
    memory_of_kernels,
    points_of,
)
from widthwise.experiments.quantities.setting import Setting
from widthwise.limit.kernels import limit_kernels


@dataclass(frozen=True)
class _LimitKernels:
    name: str = "limit_kernels"
    reads: tuple[str, ...] = (*DATA, *NETWORK)
    sampled: bool = False

    def compute(self, setting: Setting, members: Members) -> Arrays:
        """Kernels with their errors."""
        found = limit_kernels(setting.net, setting.x)
        return {
            "nngp": np.asarray(found.nngp),
            "ntk": np.asarray(found.ntk),
            "error": np.asarray(found.error),
            "eigenvalues": setting.flow.eigenvalues,
        }

    def merge(self, setting: Setting, blocks: Sequence[Arrays]) -> Result:
        """The one block."""
        (block,) = blocks
        pairs, points = ("point", "point2"), points_of(setting)["point"]
        return Result(
            {
                "nngp": (pairs, block["nngp"]),
                "ntk": (pairs, block["ntk"]),
                "kernel_error": (pairs, block["error"]),
                "eigenvalue": (("mode",), block["eigenvalues"]),
            },
            {"point": points, "point2": points, "mode": np.arange(len(block["eigenvalues"]))},
            {"eigenvalue": "off by at most the largest kernel_error times the train points"},
        )

    def work(self, setting: Setting, members: int) -> float:
        """Pairs of points times layers."""
        return float(len(setting.x) ** 2 * setting.net.depth)

    def memory(self, setting: Setting, members: int) -> float:
        """That of kernels."""
        return memory_of_kernels(setting)


QUANTITY = _LimitKernels()
