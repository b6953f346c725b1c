r"""Networks sampled at initialization: joint cumulants of followed outputs, streamed.

Of every network the outputs at the followed points are added to power sums, from which all joint
cumulants follow. The marginal ones of a network's first output are also estimated through its last
hidden layer: given it, the output is a sum of independent terms with the cumulants
Y_r = σ_w^r κ_r(W) n^{1−r/2} M_r, so that

    κ₂ = E Y₂ (+ σ_b²),      κ₄ = E Y₄ + 3 Var Y₂ (+ σ_b⁴ κ₄(b)),

whose noise is as small as the signal (:mod:`widthwise.finite.estimators.conditional`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations_with_replacement
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from widthwise.experiments.quantities.moments import merged, sums
from widthwise.experiments.quantities.quantity import (
    DATA,
    FOLLOWED,
    NETWORK,
    SAMPLED,
    WIDTH,
    Arrays,
    Members,
    Result,
    followed_of,
    parameters,
)
from widthwise.experiments.quantities.setting import Setting
from widthwise.finite.estimators import PowerSums
from widthwise.model.architecture import MLP

_NUMBERS = 2_000_000  # of parameters drawn at once
_JOINT = 70  # joint cumulants are listed up to so many


@dataclass(frozen=True)
class _InitialEnsemble:
    name: str = "initial_ensemble"
    reads: tuple[str, ...] = (*DATA, *NETWORK, *WIDTH, *FOLLOWED, *SAMPLED, "compute.cumulants",
                              "compute.keep_members")  # fmt: skip
    sampled: bool = True

    def compute(self, setting: Setting, members: Members) -> Arrays:
        """Power sums of the outputs, and of Y₂ and Y₄."""
        outputs, second, fourth = _sample(setting, members)
        order = setting.point.compute.cumulants
        net = setting.net.at_width(setting.width, setting.x.shape[1])
        last, n = net.depth, net.widths(setting.width)[-1]
        scale = float(net.weight_std[-1])
        excess = net.weight_law[last].cumulant(4)
        Y = np.stack([scale**2 * second, scale**4 * excess / n * fourth], axis=-1)
        pivot = np.array([scale**2, 0.0])
        found = sums("outputs", np.moveaxis(outputs, -1, -2), 0.0, order, members.first)
        found |= sums("conditional", Y, pivot, 2, members.first)
        if setting.point.compute.keep_members:
            found["members"] = outputs
        return found

    def merge(self, setting: Setting, blocks: Sequence[Arrays]) -> Result:
        """Cumulants with standard errors."""
        outputs, conditional = merged("outputs", blocks), merged("conditional", blocks)
        m = len(setting.followed)
        cumulants = np.arange(1, outputs.order + 1)
        marginal = [[outputs.cumulant((p,) * r) for p in range(m)] for r in cumulants]
        made: dict[str, Any] = {"members": ((), outputs.count)}
        for i, name in enumerate(("cumulant_measured", "cumulant_measured_error")):
            values = np.array([[estimate[i] for estimate in row] for row in marginal])
            made[name] = (("cumulant", "point", "output"), values)
        made |= _conditional(setting, conditional)
        coordinates: dict[str, Any] = {
            **followed_of(setting),
            "cumulant": cumulants,
            "output": np.arange(setting.net.outputs),
        }
        joint = _joint(m, outputs.order)
        if joint:
            found = [outputs.cumulant(rows) for rows in joint]
            made["joint"] = (("joint_rows", "output"), np.stack([e.value for e in found]))
            made["joint_error"] = (("joint_rows", "output"), np.stack([e.error for e in found]))
            names = setting.point.compute.points
            coordinates["joint_rows"] = [" ".join(str(names[r]) for r in rows) for rows in joint]
        if "members" in blocks[0]:
            kept = np.concatenate([block["members"] for block in blocks])
            made["outputs"] = (("member", "point", "output"), kept)
            coordinates["member"] = np.arange(len(kept))
        return Result(made, coordinates)

    def work(self, setting: Setting, members: int) -> float:
        """Parameters drawn."""
        return members * parameters(setting)

    def memory(self, setting: Setting, members: int) -> float:
        """Bytes of the parameters drawn at once, and of a few copies of the outputs."""
        outputs = len(setting.followed) * setting.net.outputs
        return 2e8 + 8.0 * (4 * max(_NUMBERS, parameters(setting)) + 20 * members * outputs)


def _joint(m: int, order: int) -> list[tuple[int, ...]]:
    """Rows of the joint cumulants that are listed: of more than one point, of orders 2 to 4."""
    orders = range(2, min(order, 4) + 1)
    found = [
        rows
        for r in orders
        for rows in combinations_with_replacement(range(m), r)
        if len(set(rows)) > 1
    ]
    return found if len(found) <= _JOINT else [rows for rows in found if len(rows) == 2]


def _conditional(setting: Setting, sums_: PowerSums) -> dict:
    """κ₂ and κ₄ of the first output through the last hidden layer."""
    net = setting.net.at_width(setting.width, setting.x.shape[1])
    last, bias = net.depth, float(net.bias_std[-1])
    constant = bias**4 * net.bias_law[last].cumulant(4) if bias else 0.0
    mean, spread = sums_.mean, sums_.cumulant((0, 0))
    second = mean.value[..., 0] + bias**2
    fourth = mean.value[..., 1] + 3 * spread.value + constant
    error = np.hypot(mean.error[..., 1], 3 * spread.error)
    return {
        "second_cumulant": (("point",), second),
        "second_cumulant_error": (("point",), mean.error[..., 0]),
        "fourth_cumulant": (("point",), fourth),
        "fourth_cumulant_error": (("point",), error),
    }


def _sample(setting: Setting, members: Members) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outputs (members, points, outputs), and M₂ and M₄ of the last layer (members, points)."""
    numbers = max(parameters(setting), 1.0)
    size = int(2 ** np.floor(np.log2(np.clip(_NUMBERS / numbers, 1, 1024))))
    size = min(size, members.count)
    x = jnp.asarray(setting.x[list(setting.followed)])
    parts = []
    for begin in range(members.first, members.first + members.count, size):
        found = _block(setting.net, setting.width, x, setting.key, begin + jnp.arange(size))
        parts.append([np.asarray(part) for part in found])
    outputs, second, fourth = (np.concatenate(p)[: members.count] for p in zip(*parts, strict=True))
    return outputs, second, fourth


@eqx.filter_jit
def _block(net: MLP, n: int, x: jax.Array, key: jax.Array, numbers: jax.Array):
    return jax.vmap(partial(_one, net, n, x, key))(numbers)


def _one(net: MLP, n: int, x: jax.Array, key: jax.Array, number: jax.Array):
    drawn = net.init(jax.random.fold_in(key, number), n, x.shape[1])
    h = net.activation(net.apply(drawn[:-1], x)) ** 2
    return net.apply(drawn, x), h.mean(-1), (h**2).mean(-1)


QUANTITY = _InitialEnsemble()
