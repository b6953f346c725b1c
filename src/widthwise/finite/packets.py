"""An ensemble trained in packets: how many networks at once, and on what.

A packet is a few networks trained by one compiled program. Its size depends on the network and the
data alone, and packet k always holds the members k c, …, (k + 1) c − 1, so a member's bits depend
neither on the memory allowed, nor on how many members are asked for, nor on the devices: these
decide only how many packets are under way at once. Where JAX sees several devices, one packet runs
on each (``jax.sharding``); on a single CPU device, one on each core.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float, Int

from widthwise._vocabulary import Array
from widthwise.finite.dynamics import Plan
from widthwise.finite.gradient import Task, negative_gradient
from widthwise.finite.recording import Seen, observer
from widthwise.model.architecture import MLP, Layer, Parameters

_MOST = 8  # members of a packet
_NUMBERS = 1_000_000  # numbers a packet works on, about what stays in cache
_COPIES = 13  # of the parameters, in a step of order 8


class Training(eqx.Module):
    """What all members of an ensemble share.

    Args:
        net, width: the networks.
        task: data, in the coordinates the networks see.
        basis: orthonormal directions (inputs, coordinates) that span the data, or ``None``.
        inputs: the input dimension d of the data as given.
        key: member i draws from fold_in(key, i).
        plan: how they are trained.
        names: what is recorded besides the outputs.
        limit: Θ_∞ between all points and the train points, if recorded.
        single: train in float32.
    """

    net: MLP
    width: int = eqx.field(static=True)
    task: Task
    basis: Float[Array, "inputs coordinates"] | None
    inputs: int = eqx.field(static=True)
    key: jax.Array
    plan: Plan
    names: tuple[str, ...] = eqx.field(static=True)
    limit: Float[Array, "points train"] | None
    single: bool = eqx.field(static=True)

    def start(self, member) -> Parameters:
        """Initial parameters of one member, in the coordinates of the task."""
        first, *rest = self.net.init(jax.random.fold_in(self.key, member), self.width, self.inputs)
        if self.basis is not None:
            first = Layer(first.weight @ self.basis, first.bias)
        dtype = jnp.float32 if self.single else jnp.float64
        return jax.tree.map(lambda leaf: leaf.astype(dtype), (first, *rest))

    def one(self, member, *, trained: bool = False) -> Seen | Parameters:
        """What is recorded of one member, and its outputs before training under "initial"."""
        velocity, task, start = self._velocity(), self.task, self.start(member)
        key = jax.random.fold_in(self.key, member)
        if trained:
            path = self.plan.integrate(velocity, lambda p: p, start, key)
            return jax.tree.map(lambda leaf: leaf[-1], path)
        net = self.net.at_width(self.width, self.inputs)
        observe = observer(net, self.width, task, velocity, self.names, start, self.limit)
        initial = velocity.outputs(start, task.x)
        return {"initial": initial, **self.plan.integrate(velocity, observe, start, key)}

    def _velocity(self):
        inputs = self.inputs if self.basis is None else self.task.x.shape[1]
        net = self.net.at_width(self.width, self.inputs)
        velocity = negative_gradient(net, self.width, self.task, inputs)
        if not self.single:
            return velocity
        return jax.tree.map(
            lambda leaf: leaf.astype(jnp.float32) if eqx.is_array(leaf) else leaf, velocity
        )


def packet_size(net: MLP, width: int, task: Task) -> int:
    """Members of a packet: 1, 2, 4 or 8, by the size of the network and the data."""
    widths = net.widths(width)
    fan = (task.x.shape[1], *widths, net.outputs)
    parameters = sum(a * b + b for a, b in pairwise(fan))
    numbers = _COPIES * parameters + 6 * len(task.x) * sum(widths)
    return max(1, min(_MOST, 2 ** int(np.log2(max(_NUMBERS / numbers, 1)))))


def packet_bytes(training: Training, size: int) -> float:
    """Bytes one packet works on, what it records included."""
    net, task = training.net, training.task
    points, train = len(task.x), len(task.x_train)
    fan = (training.inputs, *net.widths(training.width), net.outputs)
    parameters = sum(a * b + b for a, b in pairwise(fan))
    record = points * (net.outputs + (train if "ntk" in training.names else 1)) + train + net.depth
    times = len(jax.tree.leaves(training.plan)[0])
    numbers = (_COPIES + 3) * parameters + 8 * points * sum(fan[1:]) + times * record
    return (4 if training.single else 8) * size * numbers


@eqx.filter_jit
def train(training: Training, members: Int[Array, " members"]) -> Seen:
    """What is recorded of a packet of members, (members, ...)."""
    if len(members) == 1:
        return jax.tree.map(lambda leaf: leaf[None], training.one(members[0]))
    return jax.vmap(training.one)(members)


@eqx.filter_jit
def trained(training: Training, members: Int[Array, " members"]) -> Parameters:
    """The parameters of a packet of members after training."""
    if len(members) == 1:
        return jax.tree.map(lambda leaf: leaf[None], training.one(members[0], trained=True))
    return jax.vmap(partial(training.one, trained=True))(members)


def in_packets(
    training: Training, first: int, last: int, size: int, memory: float
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """(first member, records) of consecutive packets that cover members first … last − 1."""
    devices = jax.local_devices()
    starts = range(first // size * size, last, size)
    if len(devices) > 1:
        yield from _on_devices(training, starts, size, devices)
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    useful = (cores or 1) if devices[0].platform == "cpu" else 1
    workers = int(np.clip(memory // packet_bytes(training, size), 1, min(useful, len(starts))))

    def work(start: int) -> dict[str, np.ndarray]:
        seen = train(training, np.arange(start, start + size))
        return {name: np.asarray(leaf) for name, leaf in seen.items()}

    if workers == 1:
        yield from ((start, work(start)) for start in starts)
        return
    with ThreadPoolExecutor(workers) as pool:
        tasks = [pool.submit(work, start) for start in starts]
        try:
            for start, task in zip(starts, tasks, strict=True):
                yield start, task.result()
        finally:
            for task in tasks:
                task.cancel()


def _on_devices(training: Training, starts: range, size: int, devices):
    """One packet on each device at once."""
    mesh = Mesh(np.array(devices), ("members",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec("members"))
    arrays, static = eqx.partition(training, eqx.is_array)

    @jax.jit
    @partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec("members")),
        out_specs=PartitionSpec("members"),
        check_vma=False,
    )
    def everywhere(arrays, members):
        return train(eqx.combine(arrays, static), members)

    for begin in range(0, len(starts), len(devices)):
        start = starts[begin]
        members = np.arange(start, start + size * len(devices))
        seen = everywhere(arrays, jax.device_put(members, sharding))
        whole = {name: np.asarray(leaf) for name, leaf in seen.items()}
        for place in range(min(len(devices), len(starts) - begin)):
            part = slice(place * size, (place + 1) * size)
            yield start + place * size, {name: leaf[part] for name, leaf in whole.items()}
