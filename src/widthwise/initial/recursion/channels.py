r"""What the recursion carries from layer to layer: the channels of one neuron.

A channel is a random variable that every neuron of a layer has. The inputs give one **value**
channel each, the preactivation z(a). To speak of the neural tangent kernel, **replicas** add
tangent channels

    ż^c(a) = v_c · ∇_θ z(a),        v_c ~ N(0, 1), independent for every replica c and of θ,

the derivative of z(a) along a random direction of the parameters, scaled by the root of their
learning rates. As E_v[ż_i^c(a) ż_j^c(b)] = Θ_ij(a, b), kernels are covariances of tangents, and
the network of values and tangents is again a random network, whose neurons are read through

    φ(z(a)) for z(a),        φ'(z(a)) ż^c(a) for ż^c(a).

The directions of the weights themselves add φ(z(a)) φ(z(b)) to what the pair (ż^c(a), ż^c(b)) is
averaged from (:meth:`Channels.parts`). Every joint cumulant asked for holds each replica twice or
not at all, and everything below it at most twice: keys of higher degree do not exist.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement

import numpy as np

from widthwise.initial.recursion.monomials import TWICE, Key


@dataclass(frozen=True)
class Channels:
    """The channels of one neuron: first the values, then the tangents, replica by replica.

    Args:
        values: the inputs, by their number, with a value channel.
        tangents: for every replica, the inputs with a tangent channel; each also has a value.
    """

    values: tuple[int, ...]
    tangents: tuple[tuple[int, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.inputs)

    @cached_property
    def inputs(self) -> tuple[int, ...]:
        """The input of every channel."""
        return self.values + sum(self.tangents, ())

    @cached_property
    def replica(self) -> tuple[int, ...]:
        """The replica of every channel, counted from 0; −1 for a value."""
        replicas = (c for c, inputs in enumerate(self.tangents) for _ in inputs)
        return (-1,) * len(self.values) + tuple(replicas)

    @cached_property
    def degrees(self) -> tuple[tuple[int, ...], ...]:
        """For every channel the degree it has in each replica: a row of zeros and ones."""
        return tuple(
            tuple(int(own == c) for c in range(len(self.tangents))) for own in self.replica
        )

    def value(self, point: int) -> int:
        """The value channel of an input."""
        return self.values.index(point)

    def tangent(self, replica: int, point: int) -> int:
        """The channel of a replica's tangent at an input."""
        before = sum(map(len, self.tangents[:replica]))
        return len(self.values) + before + self.tangents[replica].index(point)

    def is_value(self, channel: int) -> bool:
        return channel < len(self.values)

    def same_replica(self, key: Key) -> bool:
        """Whether a key is a pair of tangents of one replica, whose cumulant is a kernel."""
        return len(key) == 2 and self.replica[key[0]] == self.replica[key[1]] >= 0

    def parts(self, key: Key, rate: float) -> tuple[tuple[float, Key], ...]:
        """What Y_k is averaged from: Σ coefficient · ∏ features of the channels of a key.

        Args:
            key: the channels.
            rate: learning rate of the weights that read the layer.
        """
        if not self.same_replica(key):
            return ((1.0, key),)
        values = tuple(sorted(self.value(self.inputs[c]) for c in key))
        return ((1.0, key), (rate, values))

    def even(self, keys: Sequence[Key]) -> bool:
        """Whether every replica appears an even number of times: v → −v changes no other sign."""
        replicas = [self.replica[c] for key in keys for c in key if self.replica[c] >= 0]
        return all(replicas.count(c) % 2 == 0 for c in set(replicas))

    def keys(self, size: int, values: Sequence[int]) -> Iterator[Key]:
        """All keys of a size over some of the value channels and all tangents."""
        tangents = range(len(self.values), len(self))
        for key in combinations_with_replacement([*values, *tangents], size):
            degree = np.sum([self.degrees[c] for c in key], axis=0)
            if np.all(degree <= TWICE):
                yield key
