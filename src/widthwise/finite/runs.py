"""Trained networks as a value: outputs f_t(x) of every member, and what they came from.

A member is known by its number i under the key: its parameters are drawn again from fold_in(key, i)
when asked for, and trained again for their final values, so that runs hold outputs alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from widthwise._vocabulary import Trajectories
from widthwise.finite.gradient import Task
from widthwise.finite.ntk import mlp_ntk
from widthwise.finite.packets import Training, packet_size, trained
from widthwise.model.architecture import MLP, Layer, Parameters


@dataclass(frozen=True, eq=False)
class Runs:
    """Trained networks.

    Args:
        net, width, key: what they were drawn from; member 0 here is number ``first`` of the key.
        times: gradient-flow times, or numbers of gradient-descent steps.
        outputs: (members, times, points, outputs), train points first.
        initial: outputs before training, (members, points, outputs).
        integration_error: error of the integration in the outputs: the largest difference, over a
            first packet of members, all times and points, from shorter steps of known accuracy
            (adaptive: from a tenth of the tolerance; gradient descent: 0).
        step: longest time step of the integration, or η (adaptive: nan).
        task: the data.
        recorded: name → what else was recorded, (members, times, ...).
        rounding_error: of float32, the largest difference of its outputs from float64's over a
            first packet of members; float64: 0.
        outside_theory: why no theory of this library describes these runs, or ``None``.
        first: number of the first member.
    """

    net: MLP
    width: int
    key: jax.Array = field(repr=False)
    times: Float[np.ndarray, " times"]
    outputs: Trajectories = field(repr=False)
    initial: Float[np.ndarray, "members points outputs"] = field(repr=False)
    integration_error: float
    step: float
    task: Task = field(repr=False)
    recorded: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    rounding_error: float = 0.0
    outside_theory: str | None = None
    first: int = 0
    _training: Training | None = field(default=None, repr=False)

    @property
    def members(self) -> int:
        """The number of networks."""
        return len(self.outputs)

    def parameters(self, member: int) -> Parameters:
        """The parameters of one member, numbered from 0 in these runs, before training."""
        number = self._number(member)
        block = _draw(self.net, self.width, self.task.x.shape[1], self.key, jnp.array([number]))
        return jax.tree.map(lambda leaf: leaf[0], block)

    def trained_parameters(self, member: int) -> Parameters:
        """The parameters of one member at the last recorded time; it is trained once more."""
        if self._training is None:
            raise ValueError("these runs do not know how they were trained; make them by simulate")
        size = packet_size(self.net, self.width, self._training.task)
        number = self._number(member)
        packet = trained(self._training, np.arange(size) + number // size * size)
        last = jax.tree.map(lambda leaf: leaf[number % size], packet)
        basis = self._training.basis
        if basis is None:
            return last
        before = self.parameters(member)[0]
        change = last[0].weight - before.weight @ basis  # what is orthogonal to the data stays
        return (Layer(before.weight + change @ basis.T, last[0].bias), *last[1:])

    def _number(self, member: int) -> int:
        """Its number under the key."""
        if not isinstance(member, Integral) or not 0 <= member < self.members:
            raise ValueError(f"member must be an integer below {self.members}, got {member!r}")
        return self.first + int(member)

    @cached_property
    def ntk(self) -> Float[np.ndarray, "members points train"]:
        """The empirical NTK of every member before training, computed when first asked for."""
        task = self.task
        kernels = (
            mlp_ntk(self.net, self.parameters(i), task.x, task.x_train, self.width)
            for i in range(self.members)
        )
        return np.stack([np.asarray(kernel) for kernel in kernels])

    @property
    def diverged(self) -> Bool[np.ndarray, " members"]:
        """Which members diverged: all that is recorded of them along training is not a number."""
        return np.asarray(np.isnan(np.asarray(self.outputs)).any((1, 2, 3)))

    @property
    def residuals(self) -> Float[np.ndarray, "members times train outputs"]:
        """f_t(x_a) − y_a on the train points."""
        y = np.asarray(self.task.y_train)
        return np.asarray(self.outputs)[:, :, : len(y)] - y

    @property
    def losses(self) -> Float[np.ndarray, "members times"]:
        """½ Σ (f_t(x_a) − y_a)²."""
        return 0.5 * (self.residuals**2).sum((2, 3))


@eqx.filter_jit
def _draw(net: MLP, width: int, inputs: int, key: jax.Array, members: jax.Array) -> Parameters:
    """Parameters of a block of members, stacked."""
    return jax.vmap(lambda i: net.init(jax.random.fold_in(key, i), width, inputs))(members)
