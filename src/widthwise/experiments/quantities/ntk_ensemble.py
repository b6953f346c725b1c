"""The tangent kernel of real networks: ‖Θ_t − Θ_∞‖ and ‖Θ_t − Θ_0‖ over ‖Θ_∞‖ (Frobenius).

Both between all points and the train points; their root mean squares over networks, streamed.
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

_KINDS = ("ntk_limit_distance", "ntk_change")


@dataclass(frozen=True)
class _NTKEnsemble:
    name: str = "ntk_ensemble"
    reads: tuple[str, ...] = (*DATA, *NETWORK, *WIDTH, *TRAINING, *SAMPLED)
    sampled: bool = True

    def compute(self, setting: Setting, members: Members) -> Arrays:
        """Power sums of the two norms and of their squares, (kinds, times)."""
        runs = trained(setting, members, _KINDS)
        size = float(np.linalg.norm(setting.flow.ntk))
        norms = np.stack([runs.recorded[kind] for kind in _KINDS], axis=1) / size
        largest = norms.max(axis=-1, keepdims=True)
        norms = np.concatenate([norms, largest], axis=-1)
        both, lost = np.stack([norms, norms**2], axis=-1), runs.diverged
        found = sums("norms", both, 0.0, 1, members.first, lost)
        return found | {"diverged": np.asarray(lost.sum())}

    def merge(self, setting: Setting, blocks: Sequence[Arrays]) -> Result:
        """Root mean squares with standard errors, and the largest over times."""
        found = merged("norms", blocks)
        mean = found.mean
        made: dict[str, Any] = {"members": ((), found.count), "diverged": diverged(blocks)}
        for i, name in enumerate(("deviation", "drift")):
            value, error = root(mean.value[i, :, 1], mean.error[i, :, 1])
            made[name] = (("time",), value[:-1])
            made[f"{name}_error"] = (("time",), error[:-1])
            made[f"largest_{name}"] = ((), value[-1])
            made[f"largest_{name}_error"] = ((), error[-1])
            made[f"mean_{name}"] = (("time",), mean.value[i, :-1, 0])
            made[f"mean_{name}_error"] = (("time",), mean.error[i, :-1, 0])
        return Result(made, {"time": setting.times})

    def work(self, setting: Setting, members: int) -> float:
        """That of training, and kernels of the recorded times."""
        return work_of_training(setting, members)

    def memory(self, setting: Setting, members: int) -> float:
        """That of training."""
        return memory_of_training(setting, members)


QUANTITY = _NTKEnsemble()
