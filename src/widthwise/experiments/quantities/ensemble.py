"""Trained networks: cumulants of the outputs, their deviation from the linear flow, convergence.

All streamed: power sums of f_t(x) at all points, joint ones at the followed points, and of the
deviation f_t − f_t^lin, f_t^lin the linear flow of Θ_∞ from the same initial outputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from widthwise.experiments.quantities.moments import diverged, merged, root, sums
from widthwise.experiments.quantities.quantity import (
    DATA,
    FOLLOWED,
    NETWORK,
    SAMPLED,
    TRAINING,
    WIDTH,
    Arrays,
    Members,
    Result,
    points_of,
)
from widthwise.experiments.quantities.setting import Setting
from widthwise.experiments.quantities.trained import (
    memory_of_training,
    trained,
    work_of_training,
)


@dataclass(frozen=True)
class _Ensemble:
    name: str = "ensemble"
    reads: tuple[str, ...] = (*DATA, *NETWORK, *WIDTH, *TRAINING, *FOLLOWED, *SAMPLED,
                              "compute.cumulants", "compute.keep_members")  # fmt: skip
    sampled: bool = True

    def compute(self, setting: Setting, members: Members) -> Arrays:
        """Power sums; the outputs themselves if they are to be kept."""
        runs = trained(setting, members)
        outputs, lost = np.asarray(runs.outputs), runs.diverged
        mean = setting.flow.mean(**setting.clock)
        order, rows = setting.point.compute.cumulants, list(setting.followed)
        deviation = outputs - setting.flow.outputs(runs.initial, **setting.clock)
        both = np.stack([deviation, deviation**2], axis=-1)
        followed = np.moveaxis(outputs[:, :, rows], 2, -1)
        found = sums("outputs", outputs[..., None], mean[..., None], order, members.first, lost)
        found |= sums("joint", followed, np.moveaxis(mean[:, rows], 1, -1), 2, members.first, lost)
        found |= sums("deviation", both, 0.0, 1, members.first, lost)
        found["diverged"] = np.asarray(lost.sum())
        found["integration_error"] = np.asarray(runs.integration_error)
        if setting.point.compute.keep_members:
            found["members"] = outputs
        return found

    def merge(self, setting: Setting, blocks: Sequence[Arrays]) -> Result:
        """Cumulants and deviations with standard errors."""
        outputs, joint = merged("outputs", blocks), merged("joint", blocks)
        deviation = merged("deviation", blocks).mean
        cumulants = np.arange(1, outputs.order + 1)
        each = [outputs.cumulant((0,) * r) for r in cumulants]
        axes, covariance = ("time", "point", "output"), joint.covariance
        rms, rms_error = root(deviation.value[..., 1], deviation.error[..., 1])
        pairs = ("time", "output", "followed", "followed2")
        names = [f"test {i}" for i in setting.point.compute.points]
        made = {
            "members": ((), outputs.count),
            "diverged": diverged(blocks),
            "cumulant_measured": (("cumulant", *axes), np.stack([e.value for e in each])),
            "cumulant_measured_error": (("cumulant", *axes), np.stack([e.error for e in each])),
            "covariance": (pairs, covariance.value),
            "covariance_error": (pairs, covariance.error),
            "deviation": (axes, rms),
            "deviation_error": (axes, rms_error),
            "mean_shift": (axes, deviation.value[..., 0]),
            "mean_shift_error": (axes, deviation.error[..., 0]),
            "integration_error": ((), max(float(b["integration_error"]) for b in blocks)),
        }
        coordinates = {
            **points_of(setting),
            "time": setting.times,
            "output": np.arange(setting.net.outputs),
            "cumulant": cumulants,
            "followed": names,
            "followed2": names,
        }
        if "members" in blocks[0]:
            kept = np.concatenate([block["members"] for block in blocks])
            made["outputs"] = (("member", *axes), kept)
            coordinates["member"] = np.arange(len(kept))
        return Result(made, coordinates)

    def work(self, setting: Setting, members: int) -> float:
        """That of training."""
        return work_of_training(setting, members)

    def memory(self, setting: Setting, members: int) -> float:
        """That of training."""
        return memory_of_training(setting, members)


QUANTITY = _Ensemble()
