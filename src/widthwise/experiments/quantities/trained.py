"""Blocks of trained networks: the time step is found once per grid point and process."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np

from widthwise.experiments.quantities.quantity import Members, parameters
from widthwise.experiments.quantities.setting import Setting
from widthwise.finite.ensembles import more_members, simulate
from widthwise.finite.gradient import Task
from widthwise.finite.packets import member_numbers, packet_size
from widthwise.finite.runs import Runs

_KEPT = 4
_known: OrderedDict[tuple[str, tuple[str, ...]], Runs] = OrderedDict()
_lock = Lock()


def trained(setting: Setting, members: Members, record: Iterable[str] = ()) -> Runs:
    """The networks of a block, trained; the same bits as any other way to ask for them.

    Networks that diverge are not numbers (:attr:`Runs.diverged`).
    """
    names = tuple(record)
    place = (setting.drawn, names)
    with _lock:
        known = _known.get(place)
    if known is not None:
        return more_members(known, members.count, members.first, diverged="nan")
    training = setting.point.training
    options: dict[str, Any] = {"tolerance": training.tolerance} if training.method == "flow" else {}
    runs = simulate(
        setting.net,
        setting.width,
        *setting.data,
        setting.times,
        members.count,
        setting.key,
        method=training.method,
        step=training.step,
        record=("outputs", *names),
        first=members.first,
        diverged="nan",
        **options,
    )
    with _lock:
        _known[place] = replace(runs, outputs=runs.outputs[:0], initial=runs.initial[:0],
                                recorded={})  # fmt: skip
        while len(_known) > _KEPT:
            _known.popitem(last=False)
    return runs


def memory_of_training(setting: Setting, members: int) -> float:
    """Bytes: trajectories a few times over, and what a packet works on: it grows with the width."""
    recorded = len(setting.times) * len(setting.x) * setting.net.outputs
    k = min(setting.x.shape)  # coordinates in which a network of many inputs is trained
    x, x_train = setting.x[:, :k], setting.dataset.x_train[:, :k]
    task = Task(x_train, setting.dataset.y_train, x)
    size = packet_size(setting.net, setting.width, task)
    packet = size * float(member_numbers(setting.net, setting.width, task))
    drawn = size * parameters(setting)  # with all inputs
    return 5e8 + 8.0 * (6 * members * recorded + packet + drawn)


def work_of_training(setting: Setting, members: int) -> float:
    """Members times parameters times points times time (or steps): planning's rough measure."""
    fan = (setting.x.shape[1], *setting.net.widths(setting.width), setting.net.outputs)
    weights = float(np.sum(np.array(fan[:-1], float) * fan[1:]))
    return members * (weights * len(setting.x) + 1e4) * float(setting.times[-1])
