"""Certificates and convergence: how often a proof is found, and how often training converges.

Of every network it is counted whether :func:`widthwise.certify` proves that its training reaches
zero loss, and whether its loss at the last recorded time, over that of outputs 0, is below a bound;
that of a network that diverges is infinite.
A network that is not certified may well converge; one that is certified does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from widthwise.certify import certify
from widthwise.experiments.quantities.moments import diverged
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
        dynamics = compute.dynamics or training.method
        step = training.step if dynamics == training.method == "descent" else None
        x, y, _ = setting.data
        zero = 0.5 * float((y**2).sum())
        lost = runs.diverged
        loss = np.where(lost, np.inf, np.asarray(runs.losses)[:, -1] / zero)
        lines = []
        for i in range(runs.members):
            found = certify(
                setting.net,
                runs.parameters(i),
                x,
                y,
                method=compute.certificate,
                dynamics=dynamics,
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
            "diverged": np.asarray(lost.sum()),
        }

    def merge(self, setting: Setting, blocks: Sequence[Arrays]) -> Result:
        """Probabilities with standard errors (Agresti and Coull's), and medians."""
        whole = {name: np.concatenate([block[name] for block in blocks]) for name in _OF_A_NETWORK}
        count = len(whole["loss"])
        made: dict[str, Any] = {"members": ((), count), "diverged": diverged(blocks)}
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
        chosen = {"loss": whole["loss"]} | {
            name: whole[name][whole["certified"]] for name in ("rate", "movement")
        }
        for name, values in chosen.items():
            value, error = median(values)
            made[f"median_{name}"], made[f"median_{name}_error"] = ((), value), ((), error)
        return Result(made)

    def work(self, setting: Setting, members: int) -> float:
        """That of training."""
        return work_of_training(setting, members)

    def memory(self, setting: Setting, members: int) -> float:
        """That of training."""
        return memory_of_training(setting, members)


def median(values: np.ndarray) -> tuple[float, float]:
    """The median, and half the distance of the values at the ranks N/2 ± √N/2 as its error.

    The number of values below the true median is binomial, with standard deviation √N/2. The error
    is not a number for fewer than four values; the median of none is not a number either.
    """
    ordered, count = np.sort(values), len(values)
    if count == 0:
        return np.nan, np.nan
    value = ordered[(count - 1) // 2] / 2 + ordered[count // 2] / 2
    if count < 4:
        return float(value), np.nan
    low = int(np.floor((count - np.sqrt(count)) / 2))
    below, above = ordered[low], ordered[count - 1 - low]
    return float(value), float((above - below) / 2) if np.isfinite(above) else np.nan


_OF_A_NETWORK = ("certified", "converged", "rate", "movement", "loss")


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)


QUANTITY = _Certificates()
