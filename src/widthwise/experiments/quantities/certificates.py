"""Certificates and convergence: how often a proof is found, and how often training converges.

Of every network it is counted whether :func:`widthwise.certify` proves that its training reaches
zero loss, and whether its loss at the last recorded time, over that of outputs 0, is below a bound.
A network that is not certified may well converge; one that is certified does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from widthwise.certify import certify
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


@dataclass(frozen=True)
class _Certificates:
    name: str = "certificates"
    reads: tuple[str, ...] = (*DATA, *NETWORK, *WIDTH, *TRAINING, *SAMPLED, "compute.dynamics",
                              "compute.certificate", "compute.loss")  # fmt: skip
    sampled: bool = True

    def compute(self, setting: Setting, members: Members) -> Arrays:
        """One line per network: certified, converged, rate, movement, last relative loss."""
        runs = trained(setting, members)
        compute, training = setting.point.compute, setting.point.training
        step = training.step if compute.dynamics == training.method == "descent" else None
        x, y, _ = setting.data
        zero = 0.5 * float((y**2).sum())
        loss = np.asarray(runs.losses)[:, -1] / zero
        lines = []
        for i in range(runs.members):
            found = certify(
                setting.net,
                runs.parameters(i),
                x,
                y,
                method=compute.certificate,
                dynamics=compute.dynamics,
                step=step,
            )
            lines.append([found.holds, *(_number(v) for v in (found.rate, found.movement))])
        table = np.array(lines, dtype=float)
        return {
            "certified": table[:, 0] > 0,
            "converged": loss < compute.loss,
            "rate": table[:, 1],
            "movement": table[:, 2],
            "loss": loss,
        }

    def merge(self, setting: Setting, blocks: Sequence[Arrays]) -> Result:
        """Probabilities with standard errors (Agresti and Coull's), and medians."""
        whole = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
        count = len(whole["loss"])
        made: dict[str, Any] = {"members": ((), count)}
        for name in ("certified", "converged"):
            hits = int(whole[name].sum())
            p = (hits + 2) / (count + 4)
            made[f"{name}_count"] = ((), hits)
            made[f"{name}_probability"] = ((), hits / count)
            made[f"{name}_probability_error"] = ((), np.sqrt(p * (1 - p) / (count + 4)))
        made["certified_and_not_converged"] = (
            (),
            int((whole["certified"] & ~whole["converged"]).sum()),
        )
        made["median_loss"] = ((), float(np.median(whole["loss"])))
        for name in ("rate", "movement"):
            proven = whole[name][whole["certified"]]
            made[f"median_{name}"] = ((), float(np.median(proven)) if len(proven) else np.nan)
        return Result(made)

    def work(self, setting: Setting, members: int) -> float:
        """That of training."""
        return work_of_training(setting, members)

    def memory(self, setting: Setting, members: int) -> float:
        """That of training."""
        return memory_of_training(setting, members)


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)


QUANTITY = _Certificates()
