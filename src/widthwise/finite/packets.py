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
from widthwise.finite.runge_kutta import scheme_for
from widthwise.model.architecture import MLP, Layer, Parameters

_MOST = 32  # members of a packet
_NUMBERS = 500_000  # numbers a packet works on, about what stays in cache
_STAGES = 12  # of a step of order 8


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

    def one(self, member, start: Parameters) -> Seen:
        """What is recorded of one member, and its outputs before training under "initial"."""
        velocity, task = self._velocity(), self.task
        key = jax.random.fold_in(self.key, member)
        net = self.net.at_width(self.width, self.inputs)
        observe = observer(net, self.width, task, velocity, self.names, start, self.limit)
        initial = velocity.outputs(start, task.x)
        return {"initial": initial, **self.plan.integrate(velocity, observe, start, key)}

    def last(self, member, start: Parameters) -> Parameters:
        """The parameters of one member at the last recorded time."""
        key = jax.random.fold_in(self.key, member)
        path = self.plan.integrate(self._velocity(), lambda p: p, start, key)
        return jax.tree.map(lambda leaf: leaf[-1], path)

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
    """Members of a packet: a power of 2 up to 32, by the size of the network and the data."""
    numbers = member_numbers(net, width, task)
    return max(1, min(_MOST, 2 ** int(np.log2(max(_NUMBERS / numbers, 1)))))


def member_numbers(net: MLP, width: int, task: Task) -> int:
    """Numbers on which the training of one member works."""
    widths = net.widths(width)
    fan = (task.x.shape[1], *widths, net.outputs)
    parameters = sum(a * b + b for a, b in pairwise(fan))
    points = len(task.x)
    if scheme_for(net, width, len(task.x_train)) == "dormand_prince_8_products":
        return 3 * parameters + 2 * _STAGES * points * sum(widths)
    return (_STAGES + 1) * parameters + 6 * points * sum(widths)


def packet_bytes(training: Training, size: int) -> float:
    """Bytes one packet works on, what it records included."""
    net, task = training.net, training.task
    points, train = len(task.x), len(task.x_train)
    fan = (training.inputs, *net.widths(training.width), net.outputs)
    parameters = sum(a * b + b for a, b in pairwise(fan))
    record = points * (net.outputs + (train if "ntk" in training.names else 1)) + train + net.depth
    times = len(jax.tree.leaves(training.plan)[0])
    numbers = (_STAGES + 4) * parameters + 2 * _STAGES * points * sum(fan[1:]) + times * record
    return (4 if training.single else 8) * size * numbers


def start(training: Training, members: Int[Array, " members"]) -> Parameters:
    """Initial parameters of a packet of members, in the coordinates of the task."""
    t = training
    return _draw(t.net, t.width, t.inputs, t.key, t.basis, t.single, members)


def train(training: Training, members: Int[Array, " members"]) -> Seen:
    """What is recorded of a packet of members, (members, ...)."""
    return _train(training, members, start(training, members))


@eqx.filter_jit
def trained(training: Training, members: Int[Array, " members"]) -> Parameters:
    """The parameters of a packet of members after training."""
    return _each(training.last, members, start(training, members))


@eqx.filter_jit
def _draw(net: MLP, width: int, inputs: int, key, basis, single: bool, members) -> Parameters:
    """A program of its own, which all plans and records of an ensemble share."""

    def one(member):
        first, *rest = net.init(jax.random.fold_in(key, member), width, inputs)
        if basis is not None:
            first = Layer(first.weight @ basis, first.bias)
        dtype = jnp.float32 if single else jnp.float64
        return jax.tree.map(lambda leaf: leaf.astype(dtype), (first, *rest))

    return jax.vmap(one)(members)


@eqx.filter_jit
def _train(training: Training, members, parameters: Parameters) -> Seen:
    return _each(training.one, members, parameters)


def _each(work, members, parameters: Parameters):
    """All members at once; a single one without the axis, for plain matrix products."""
    if len(members) > 1:
        return jax.vmap(work)(members, parameters)
    alone = work(members[0], jax.tree.map(lambda leaf: leaf[0], parameters))
    return jax.tree.map(lambda leaf: leaf[None], alone)


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

    def work(begin: int) -> dict[str, np.ndarray]:
        seen = train(training, np.arange(begin, begin + size))
        return {name: np.asarray(leaf) for name, leaf in seen.items()}

    if workers == 1:
        yield from ((begin, work(begin)) for begin in starts)
        return
    with ThreadPoolExecutor(workers) as pool:
        tasks = [pool.submit(work, begin) for begin in starts]
        try:
            for begin, task in zip(starts, tasks, strict=True):
                yield begin, task.result()
        finally:
            for task in tasks:
                task.cancel()


def _on_devices(training: Training, starts: range, size: int, devices):
    """One packet on each device at once."""
    mesh = Mesh(np.array(devices), ("members",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec("members"))
    arrays, static = eqx.partition(training, eqx.is_array)

    shared, split = PartitionSpec(), PartitionSpec("members")
    everywhere = partial(jax.shard_map, mesh=mesh, out_specs=split, check_vma=False)

    def starting(arrays, members):
        return start(eqx.combine(arrays, static), members)

    def training_from(arrays, members, parameters):
        return _train(eqx.combine(arrays, static), members, parameters)

    draw = jax.jit(everywhere(starting, in_specs=(shared, split)))
    work = jax.jit(everywhere(training_from, in_specs=(shared, split, split)))

    for begin in range(0, len(starts), len(devices)):
        first = starts[begin]
        members = jax.device_put(np.arange(first, first + size * len(devices)), sharding)
        seen = work(arrays, members, draw(arrays, members))
        whole = {name: np.asarray(leaf) for name, leaf in seen.items()}
        for place in range(min(len(devices), len(starts) - begin)):
            part = slice(place * size, (place + 1) * size)
            yield first + place * size, {name: leaf[part] for name, leaf in whole.items()}
