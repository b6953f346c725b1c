r"""From a hidden layer to the conditional cumulants of the next.

With G the conditional expectations of one neuron (:mod:`widthwise.initial.recursion.neuron`) and
O_k what Y'_k is averaged from,

    C_B(Y) = joint cumulant of the O_k, k ∈ B, of one neuron given Y
           = Σ_σ (−1)^{|σ|−1} (|σ|−1)! ∏_{S∈σ} G_{O_S}(Y),                                       (1)
    κ(Y'_{k₁} … Y'_{k_q}) = ∏ σ_w^{r_i} κ_{r_i}(W) · (ε²/ρ)^{Σ(r_i−2)/2}
                            · Σ_π ∏_{B∈π} (ε²/ρ)^{|B|−1} κ_Y(C_B : B ∈ π),                       (2)

the sum over set partitions π of {1..q}, and κ_Y the joint cumulant over the law of Y. Biases and
the tangents of biases add a constant to single Y'_k.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import product as choices
from math import prod

import numpy as np

from widthwise.algebra.partitions import set_partitions
from widthwise.algebra.series import product, shifted
from widthwise.initial.recursion.monomials import Block, Key
from widthwise.initial.recursion.neuron import Neuron
from widthwise.model.laws import Law

_ROUNDING = 4e-16
Shift = Callable[[Key], np.ndarray]


class Layer:
    """The step from one hidden layer to the conditional cumulants Y' of the next.

    Args:
        neuron: a neuron of the hidden layer.
        law: of the weights that read the layer.
        weight_std: σ_w of those weights.
        rate: learning rate of those weights, for tangents.
        shift: what biases add to Y'_k of every key k, a series.
        shifted_sizes: the sizes of the keys to which they add powers of n^{-1/2}.
        ratio: ρ, the layer's width over n.
        number: which hidden layer it is, for messages.
    """

    def __init__(
        self,
        neuron: Neuron,
        law: Law,
        weight_std: float,
        rate: float,
        shift: Shift,
        shifted_sizes: set[int],
        ratio: float,
        number: int,
    ):
        self.neuron, self.law, self.number = neuron, law, number
        self.weight_std, self.rate, self.ratio = weight_std, rate, ratio
        self.shift, self.shifted_sizes = shift, shifted_sizes
        self.order = neuron.table.order
        self.cumulant = lru_cache(maxsize=None)(self._cumulant)
        self._conditional = lru_cache(maxsize=None)(self._conditional_cumulant)
        self._joint = lru_cache(maxsize=None)(self._joint_cumulant)
        self._moment = lru_cache(maxsize=None)(self._centred_moment)
        self._multiplied = lru_cache(maxsize=None)(self._centred_product)
        self._product = lru_cache(maxsize=None)(self._of_product)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The r of the keys whose Y' fluctuates."""
        return key_sizes(self.law, self.order, self.number, self.shifted_sizes)

    def rounding(self, block: Block) -> np.ndarray:
        """What rounding may do to κ(Y'_k, k ∈ block): the terms that cancel in it, times 4e-16."""
        P, total = self.order, np.zeros(self.order + 1)
        excess = sum(len(key) - 2 for key in block)
        if excess + 2 * (len(block) - 1) > P or not self.neuron.channels.even(block):
            return total
        kappas = (weight_cumulant(self.law, len(key), P, self.number) for key in block)
        scale = prod(
            self.weight_std ** len(key) * abs(kappa)
            for key, kappa in zip(block, kappas, strict=True)
        )
        for partition in set_partitions(len(block)):
            below = 2 * sum(len(B) - 1 for B in partition)
            groups = _ordered(tuple(block[i] for i in B) for B in partition)
            if P - excess - below >= 2 * (len(partition) - 1):
                polynomial = np.abs(self._multiplied(groups))
                noise = polynomial.max() * self.neuron.noise[: len(polynomial)]
                size = np.abs(self.neuron.expectation[:, : len(polynomial)]) @ (polynomial + noise)
                total += shifted(size, excess + below) * self.ratio ** (-(excess + below) / 2)
        return _ROUNDING * scale * total

    def _cumulant(self, block: Block) -> np.ndarray:
        """κ(Y'_k, k ∈ block), a series: equation (2)."""
        P, total = self.order, np.zeros(self.order + 1)
        if not self.neuron.channels.even(block):
            return total
        if len(block) == 1:
            total = total + self.shift(block[0])
        excess = sum(len(key) - 2 for key in block)
        if excess + 2 * (len(block) - 1) > P:
            return total
        scale = prod(
            self.weight_std ** len(key) * weight_cumulant(self.law, len(key), P, self.number)
            for key in block
        )
        if not scale:
            return total
        fluctuation = np.zeros(P + 1)
        for partition in set_partitions(len(block)):
            below = 2 * sum(len(B) - 1 for B in partition)
            if P - excess - below < 2 * (len(partition) - 1):
                continue
            groups = (tuple(block[i] for i in B) for B in partition)
            joint = self._joint(_ordered(groups))
            fluctuation += shifted(joint, excess + below) * self.ratio ** (-below / 2)
        return total + scale * self.ratio ** (-excess / 2) * fluctuation

    def _conditional_cumulant(self, group: Block) -> np.ndarray:
        """Equation (1), by κ(B) = E[B] − Σ_{first ∈ S ⊊ B} κ(S) E[B∖S]."""
        result = self._product(group).copy()
        weight = self.order + 2 - sum(map(len, group))
        for part, rest in _proper_splits(len(group)):
            first = self._conditional(tuple(group[i] for i in part))
            second = self._product(tuple(group[i] for i in rest))
            result -= self.neuron.table.product(first, second, weight)
        return result

    def _of_product(self, group: Block) -> np.ndarray:
        """G of ∏_{k ∈ group} O_k: a sum of products of features."""
        parts = [self.neuron.channels.parts(key, self.rate) for key in group]
        return sum(
            prod(coefficient for coefficient, _ in chosen)
            * self.neuron.polynomial(_merged([key for _, key in chosen]))
            for chosen in choices(*parts)
        )  # pyright: ignore[reportReturnType]

    def _joint_cumulant(self, groups: tuple[Block, ...]) -> np.ndarray:
        """κ_Y(C_B, B ∈ groups), exact up to the weight the groups leave."""
        if len(groups) == 1:
            polynomial = self._conditional(groups[0])
            return self.neuron.expectation[:, : len(polynomial)] @ polynomial
        total = self._moment(groups).copy()
        for part, rest in _proper_splits(len(groups)):
            first = tuple(groups[i] for i in part)
            reduced = self._joint(first) if len(first) > 1 else self._moment(first)
            total -= product(reduced, self._moment(tuple(groups[i] for i in rest)))
        total[: 2 * (len(groups) - 1)] = 0.0
        return total

    def _centred_moment(self, groups: tuple[Block, ...]) -> np.ndarray:
        """E of the product of the C_B less their constant terms."""
        polynomial = self._multiplied(groups)
        return self.neuron.expectation[:, : len(polynomial)] @ polynomial

    def _centred_product(self, groups: tuple[Block, ...]) -> np.ndarray:
        if len(groups) == 1:
            polynomial = self._conditional(groups[0]).copy()
            polynomial[0] = 0.0
            return polynomial
        weight = self.order - sum(sum(map(len, group)) - 2 for group in groups)
        first, second = self._multiplied(groups[:-1]), self._multiplied(groups[-1:])
        return self.neuron.table.product(first, second, weight)


def key_sizes(
    law: Law, order: int, layer: int, shifted_sizes: Iterable[int] = ()
) -> tuple[int, ...]:
    """The r ≤ P + 2 with κ_r not zero, of the weights that read a hidden layer or of its biases.

    Raises:
        ValueError: for a law without the moment of some order r, with that r.
    """
    weights = {r for r in range(2, order + 3) if weight_cumulant(law, r, order, layer)}
    return tuple(sorted(weights | set(shifted_sizes)))


def weight_cumulant(law: Law, r: int, order: int, layer: int) -> float:
    """κ_r of the weights that read a hidden layer, with a message that says what needs it."""
    try:
        return law.cumulant(r)
    except ValueError as error:
        raise ValueError(
            f"order {order} needs the moment of order {r} of the weights that read hidden layer "
            f"{layer}: {error}"
        ) from error


def _merged(keys: Sequence[Key]) -> Key:
    return tuple(sorted(sum(keys, ())))


def _ordered(groups) -> tuple[Block, ...]:
    return tuple(sorted(groups, key=lambda B: (sum(map(len, B)), len(B), B)))


@lru_cache(maxsize=32)
def _proper_splits(size: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """All (S, rest) of range(size) with 0 ∈ S and rest not empty."""
    splits = []
    for mask in range(2 ** (size - 1) - 1):
        part = (0, *(i for i in range(1, size) if mask >> (i - 1) & 1))
        splits.append((part, tuple(i for i in range(size) if i not in part)))
    return splits
