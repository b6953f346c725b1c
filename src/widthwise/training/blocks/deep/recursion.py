r"""The recursion from layer to layer: eleven covariances of pair kernels and a few means.

Given layer l, the neurons of layer l + 1 are independent with conditional cumulants Y of their
channels: Y_ST = β² [S = T, |S| ≤ 1] + σ² avg O_ST of pairs, and Y_r = σ^r κ_r n^{1−r/2} avg ∏Φ of
r ≥ 3 channels (:mod:`.observables`). With ε = n^{-1/2} and V = n Cov(Y_ST, Y_S'T'),

    V'   = σ⁴ { (⟨OO'⟩ − ⟨O⟩⟨O'⟩)/ρ + 𝒟·V·𝒟' },          𝒟 the linear response to pairs,         (1)
    Y'_r = σ^r κ_r ρ^{1−r/2} ε^{r−2} (e_0 + ε e_1 + ε² e_2)[∏Φ],      Y'_ST = σ² e[O_ST] + β²,

    e_1 = ½ Y^{(1)}∂² + ⅙ T_1 ∂³,        T = Y_3,
    e_2 = ½ Y^{(2)}∂² + ⅛ (V + Y^{(1)}Y^{(1)})∂⁴ + 1/24 Y_4 ∂⁴ + ⅙ T_2 ∂³
          + 1/12 Y^{(1)}T_1 ∂⁵ + 1/72 T_1T_1 ∂⁶.                                                 (2)

Exact in the coefficients of ε and ε², which are what training at 1/n takes. In V every direction
occurs twice in the four channels together, not in each pair: the response of an odd pair such as
(z, u) feeds the covariance of (z, u) with itself. Tensors are made when asked for and kept. They
contain the V, D, F, A, B, P and Q of Roberts, Yaida and Hanin (2022), *The Principles of Deep
Learning Theory*, ch. 8 and 11.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from widthwise.training.blocks.deep.layers import Link
from widthwise.training.blocks.deep.moments import Moments, Orders
from widthwise.training.blocks.deep.names import canonical
from widthwise.training.blocks.deep.observables import (
    Leg,
    Observable,
    Type,
    even,
    feature,
    pair,
    product,
    response,
)

Group: TypeAlias = tuple[Leg, ...]
Factors: TypeAlias = list[tuple[np.ndarray, tuple[int, ...]]] | None
"""Tensors with the slots of their axes; None where one of them vanishes."""

Z: Type = ()
VALUES: tuple[Type, ...] = (Z, Z)
TANGENTS: tuple[Type, ...] = ((1,), (1,))


class Recursion:
    """Tensors over the channels of every layer, for one choice of quadrature errors.

    Args:
        chain: links, from the inputs to the outputs.
        ntk: Θ of the hidden layers (points, points), first layer first.
        moments: means at the hidden layers.
        first_shift: the coefficient of 1/n in the first layer's Θ, if it depends on the width.
        replicate: which of the independent estimates of the moments to take; None for the best.
    """

    def __init__(
        self,
        chain: tuple[Link, ...],
        ntk: Sequence[Float[np.ndarray, "p p"]],
        moments: Sequence[Moments],
        first_shift: Float[np.ndarray, "p p"] | None = None,
        replicate: int | None = None,
    ):
        self.chain, self.ntk, self.moments = chain, ntk, moments
        self.first_shift, self.replicate = first_shift, replicate
        self.skewed = any(link.third for link in chain)
        self.points = len(ntk[0])
        self._kept: dict[tuple, np.ndarray | None] = {}
        self._responses: dict[tuple, dict[Group, np.ndarray]] = {}

    @property
    def outputs(self) -> int:
        """The number of the output layer."""
        return len(self.chain)

    def average(self, layer: int, types: tuple[Type, ...], order: int) -> np.ndarray | None:
        """The coefficient of ε^order ≥ 1 in the mean of Y; None where it vanishes.

        Args:
            layer: whose channels, 1 to :attr:`outputs`.
            types: of two to four channels, one axis over the points for each.
            order: 1 or 2.
        """
        if not even(types):
            return None
        name, axes = canonical(types)
        key = ("average", layer, name, order)
        if key not in self._kept:
            self._kept[key] = self._average(layer, name, order)
        kept = self._kept[key]
        return None if kept is None else kept.transpose(axes)

    def covariance(self, layer: int, types: tuple[Type, ...]) -> np.ndarray | None:
        """V = n Cov(Y of the first two channels, Y of the last two) at leading order.

        Args:
            layer: whose channels, 1 to :attr:`outputs`.
            types: of four channels, one axis over the points for each.
        """
        if layer == 1 or not even(types):
            return None
        name, axes = canonical(types, pairs=True)
        key = ("covariance", layer, name)
        if key not in self._kept:
            self._kept[key] = self._covariance(layer, name)
        kept = self._kept[key]
        return None if kept is None else kept.transpose(axes)

    def _average(self, layer: int, types: tuple[Type, ...], order: int) -> np.ndarray | None:
        link, size = self.chain[layer - 1], len(types)
        if layer == 1:
            return self.first_shift if types == TANGENTS and order == 2 else None
        if order == 1 and not self.skewed:
            return None
        if size == 2:
            observable = self._pair(layer, types, (0, 1), 2)
            shift = {VALUES: link.shift_value, TANGENTS: link.shift_tangent}.get(types, 0.0)
            mean = link.weight * self._mean(layer - 1, observable, order)
            return mean + shift if order == 2 else mean
        cumulant = {3: link.third, 4: link.fourth}[size]
        if not cumulant or order < size - 2:
            return None
        factor = link.weight ** (size / 2) * cumulant * link.ratio ** (1 - size / 2)
        return factor * self._mean(layer - 1, features(types), order - (size - 2))

    def _pair(self, layer: int, types: tuple[Type, ...], slots: tuple[int, int], count: int):
        S, T = types
        return pair(S, T, slots, count, self.chain[layer - 1].rate)

    # --- means over a neuron --------------------------------------------------------------------

    def _mean(self, layer: int, observable: Observable, order: int) -> np.ndarray:
        """e_order[observable] at a layer, equation (2)."""
        if order == 0:
            return self._terms(layer, observable, (), lambda groups: [])
        total = np.zeros((self.points,) * len(observable[0][0].orders))
        sizes = {1: ((2,), (3,)), 2: ((2,), (3,), (4,), (2, 2), (2, 3), (3, 3))}[order]
        for some in sizes:
            each = 1 if len(some) > 1 else order
            total += self._terms(layer, observable, some, self._means_of(layer, each))
        if order == 2 and layer > 1:
            total += self._terms(layer, observable, (2, 2), self._fluctuation(layer))
        return total

    def _means_of(self, layer: int, order: int) -> Callable[[tuple[Group, ...]], Factors]:
        def factors(groups: tuple[Group, ...]) -> Factors:
            found = []
            for group in groups:
                tensor = self.average(layer, tuple(S for S, _ in group), order)
                if tensor is None:
                    return None
                found.append((tensor, tuple(slot for _, slot in group)))
            return found

        return factors

    def _fluctuation(self, layer: int) -> Callable[[tuple[Group, ...]], Factors]:
        def factors(groups: tuple[Group, ...]) -> Factors:
            legs = groups[0] + groups[1]
            tensor = self.covariance(layer, tuple(S for S, _ in legs))
            return None if tensor is None else [(tensor, tuple(slot for _, slot in legs))]

        return factors

    def _terms(
        self,
        layer: int,
        observable: Observable,
        sizes: tuple[int, ...],
        tensors: Callable[[tuple[Group, ...]], Factors],
    ) -> np.ndarray:
        """Σ coefficient · mean · ∏ Θ · ∏ tensors(groups) over the terms of a response."""
        slots = len(observable[0][0].orders)
        total = np.zeros((self.points,) * slots)
        if sizes and layer == 1 and self.first_shift is None:
            return total
        for term, coefficient in response(observable, sizes).items():
            found = tensors(term.groups)
            if found is None:
                continue
            value = np.asarray(coefficient)
            for theta in term.thetas:
                value = value * aligned(self.ntk[layer - 1], theta, slots)
            for tensor, places in found:
                value = value * aligned(tensor, places, slots)
            total += value * self._moment(layer, term.orders)
        return total

    def _moment(self, layer: int, orders: Orders) -> np.ndarray:
        return self.moments[layer - 1].mean(orders, self.replicate)

    # --- covariances ----------------------------------------------------------------------------

    def _covariance(self, layer: int, types: tuple[Type, ...]) -> np.ndarray:
        """Equation (1)."""
        link, below = self.chain[layer - 1], layer - 1
        first, second = types[:2], types[2:]
        both = product(self._pair(layer, first, (0, 1), 4), self._pair(layer, second, (2, 3), 4))
        total = self._mean(below, both, 0)
        if even(first):
            means = [self._mean(below, self._pair(layer, S, (0, 1), 2), 0) for S in (first, second)]
            total -= np.multiply.outer(*means)
        total /= link.ratio
        if below > 1:
            self._respond(total, layer, first, second)
        return link.weight**2 * total

    def _respond(
        self, total: np.ndarray, layer: int, first: tuple[Type, ...], second: tuple[Type, ...]
    ) -> None:
        """Add 𝒟·V·𝒟', the right pair's response first."""
        right = self._linear(layer, second)
        for left, slope in self._linear(layer, first).items():
            inner = None
            for group, other in right.items():
                legs = left + group
                tensor = self.covariance(layer - 1, tuple(S for S, _ in legs))
                if tensor is None:
                    continue
                places = tuple(s for _, s in left) + tuple(s + 2 for _, s in group)
                term = aligned(tensor, places, 4) * other
                inner = term if inner is None else inner + term
            if inner is not None:
                total += inner * slope[:, :, None, None]

    def _linear(self, layer: int, types: tuple[Type, ...]) -> dict[Group, np.ndarray]:
        """The response of O_ST to every pair of legs, as (points, points)."""
        if (layer, types) not in self._responses:
            found: defaultdict[Group, np.ndarray] = defaultdict(
                lambda: np.zeros((self.points, self.points))
            )
            observable = self._pair(layer, types, (0, 1), 2)
            for term, coefficient in response(observable, (2,)).items():
                value = coefficient * self._moment(layer - 1, term.orders)
                for theta in term.thetas:
                    value = value * aligned(self.ntk[layer - 2], theta, 2)
                found[term.groups[0]] += value
            self._responses[layer, types] = dict(found)
        return self._responses[layer, types]


def features(types: tuple[Type, ...]) -> Observable:
    """∏ Φ over the channels of given types, a slot for each."""
    return product(*(feature(S, slot, len(types)) for slot, S in enumerate(types)))


def aligned(tensor: np.ndarray, slots: tuple[int, ...], count: int) -> np.ndarray:
    """A view of a tensor whose axes are the slots 0 … count − 1; diagonals where a slot repeats."""
    present = sorted(set(slots))
    view = np.einsum(tensor, list(slots), present)
    return view[tuple(slice(None) if s in present else None for s in range(count))]
