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

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from itertools import combinations_with_replacement
from itertools import product as choices
from math import comb, prod
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from widthwise.algebra.partitions import set_partitions
from widthwise.algebra.series import product, shifted
from widthwise.initial.recursion.channels import Channels
from widthwise.initial.recursion.monomials import Block, Key
from widthwise.initial.recursion.neuron import Neuron
from widthwise.model.laws import Law

_ROUNDING = 4e-16
_FEW = 10_000  # polynomials times their coefficients that take no longer than the calls for one
Shift = Callable[[Key], np.ndarray]
Groups = tuple[Block, ...]
Item = TypeVar("Item", bound=Hashable)


class Layer:
    """The step from one hidden layer to the conditional cumulants Y' of the next.

    What is asked is computed for all blocks, groups and products of one shape (the sizes of their
    keys) at once, and kept. Every number has the versions of the neuron below.

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
        self._cumulants: dict[Block, np.ndarray] = {}
        self._roundings: dict[Block, np.ndarray] = {}
        self._conditional: dict[Block, np.ndarray] = {}
        self._products: dict[Block, np.ndarray] = {}
        self._joint: dict[Groups, np.ndarray] = {}
        self._moments: dict[Groups, np.ndarray] = {}
        self._multiplied: dict[Groups, np.ndarray] = {}

    @property
    def sizes(self) -> tuple[int, ...]:
        """The r of the keys whose Y' fluctuates."""
        return key_sizes(self.law, self.order, self.number, self.shifted_sizes)

    def cumulants(self, blocks: Sequence[Block]) -> Float[np.ndarray, "orders versions blocks"]:
        """κ(Y'_k, k ∈ block) of every block, series."""
        return self._asked(self._cumulants, self._new_cumulants, blocks)

    def roundings(self, blocks: Sequence[Block]) -> Float[np.ndarray, "orders blocks"]:
        """What rounding may do to every κ(Y'_k, k ∈ block): what cancels in it, times 4e-16."""
        return self._asked(self._roundings, self._new_roundings, blocks)

    def _asked(self, store: dict[Block, np.ndarray], compute, blocks: Sequence[Block]):
        """The values of blocks; those of one shape, and their neighbours, are computed at once."""
        by_shape: dict[Hashable, list[Block]] = {}
        for block in dict.fromkeys(blocks):
            if block not in store:
                shape = _shape(block, self.neuron.channels)
                by_shape.setdefault(shape, []).append(block)
        for alike in by_shape.values():
            _remembered(store, compute, alike + self._neighbours(alike[0]))
        found = np.array([store[block] for block in blocks])
        return found.transpose(*range(1, found.ndim), 0)

    def _neighbours(self, block: Block) -> list[Block]:
        """The other blocks of a shape, where they cost next to nothing: they are asked next."""
        channels = self.neuron.channels
        counts = Counter(map(len, block))
        number = prod(comb(comb(len(channels) + r - 1, r) + q - 1, q) for r, q in counts.items())
        if channels.tangents or number * len(self.neuron.table) > _FEW:
            return []
        every = (
            combinations_with_replacement(
                combinations_with_replacement(range(len(channels)), r), counts[r]
            )
            for r in sorted(counts)
        )
        return [sum(parts, ()) for parts in choices(*every)]

    def _new_cumulants(self, blocks: list[Block]) -> np.ndarray:
        """Equation (2) for blocks of one shape."""
        total = np.zeros((self.order + 1, self.neuron.expectation.shape[1], len(blocks)))
        if len(blocks[0]) == 1:
            total += np.stack([self.shift(block[0]) for block in blocks], -1)[:, None]
        for alive, scale, powers, groups in self._terms(blocks):
            total[..., alive] += scale * shifted(self._get_joint(groups), powers)
        return total

    def _new_roundings(self, blocks: list[Block]) -> np.ndarray:
        """The sizes of what is added up in (2), and of the noise in its coefficients."""
        total = np.zeros((self.order + 1, len(blocks)))
        size, noise = np.abs(self.neuron.expectation[:, 0]), self.neuron.noise
        for alive, scale, powers, groups in self._terms(blocks):
            polynomials = np.abs(self._get_multiplied(groups)[0])
            kept = polynomials.shape[1]
            added = polynomials + polynomials.max(1, keepdims=True) * noise[:kept]
            total[:, alive] += np.abs(scale) * shifted(size[:, :kept] @ added.T, powers)
        return _ROUNDING * total

    def _terms(self, blocks: list[Block]):
        """The terms of (2), each for all blocks that it matters for: which, factor, powers of ε."""
        scales = np.array([self._scale(block) for block in blocks])
        alive = np.flatnonzero(scales)
        fluctuates, channels = len(self.neuron.table) > 1, self.neuron.channels
        every = [_partitions(blocks[i], channels, self.order, fluctuates) for i in alive]
        for terms in zip(*every, strict=True):
            below = terms[0][0]
            scale = scales[alive] * self.ratio ** (-below / 2)
            yield alive, scale, _excess(blocks[0]) + below, [groups for _, groups in terms]

    def _scale(self, block: Block) -> float:
        """∏ σ_w^r κ_r(W) ρ^{−(r−2)/2} of a block that matters, otherwise 0."""
        if _excess(block) + 2 * (len(block) - 1) > self.order:
            return 0.0
        if not self.neuron.channels.even(block):
            return 0.0
        kappas = (weight_cumulant(self.law, len(key), self.order, self.number) for key in block)
        scale = prod(
            self.weight_std ** len(key) * kappa for key, kappa in zip(block, kappas, strict=True)
        )
        return scale * self.ratio ** (-_excess(block) / 2)

    def _get_joint(self, groups: list[Groups]) -> np.ndarray:
        """κ_Y(C_B, B ∈ groups), exact up to the weight the groups leave."""
        return _remembered(self._joint, self._new_joint, groups)

    def _new_joint(self, every: list[Groups]) -> np.ndarray:
        if len(every[0]) == 1:
            return self.neuron.mean(self._get_conditional([groups[0] for groups in every]))
        total = self._get_moments(every)
        for part, rest in _proper_splits(len(every[0])):
            first = _chosen(every, part)
            reduced = self._get_joint(first) if len(part) > 1 else self._get_moments(first)
            total = total - product(reduced, self._get_moments(_chosen(every, rest)))
        total[: 2 * (len(every[0]) - 1)] = 0.0
        return total

    def _get_moments(self, groups: list[Groups]) -> np.ndarray:
        """E of the product of the C_B less their constant terms."""
        return _remembered(self._moments, self._new_moments, groups)

    def _new_moments(self, every: list[Groups]) -> np.ndarray:
        return self.neuron.mean(self._get_multiplied(every))

    def _get_multiplied(self, groups: list[Groups]) -> np.ndarray:
        """The product of the C_B less their constant terms, up to the weight the groups leave."""
        return _remembered(self._multiplied, self._new_multiplied, groups, axis=1)

    def _new_multiplied(self, every: list[Groups]) -> np.ndarray:
        if len(every[0]) == 1:
            polynomials = self._get_conditional([groups[0] for groups in every]).copy()
            polynomials[..., 0] = 0.0
            return polynomials
        weight = self.order - sum(_excess(group) + 2 * len(group) - 2 for group in every[0])
        first = self._get_multiplied([groups[:-1] for groups in every])
        last = self._get_multiplied([groups[-1:] for groups in every])
        return self.neuron.table.product(first, last, weight)

    def _get_conditional(self, groups: list[Block]) -> np.ndarray:
        """C_B(Y) for groups B."""
        return _remembered(self._conditional, self._new_conditional, groups, axis=1)

    def _new_conditional(self, groups: list[Block]) -> np.ndarray:
        """Equation (1), by κ(B) = E[B] − Σ_{first ∈ S ⊊ B} κ(S) E[B∖S]."""
        result = self._get_products(groups)
        weight = self.order + 2 - sum(map(len, groups[0]))
        for part, rest in _proper_splits(len(groups[0])):
            first = self._get_conditional(_chosen(groups, part))
            second = self._get_products(_chosen(groups, rest))
            result = result - self.neuron.table.product(first, second, weight)
        return result

    def _get_products(self, groups: list[Block]) -> np.ndarray:
        """G of ∏_{k ∈ group} O_k."""
        return _remembered(self._products, self._new_products, groups, axis=1)

    def _new_products(self, groups: list[Block]) -> np.ndarray:
        """Sums of products of features."""
        channels = self.neuron.channels
        every = [choices(*(channels.parts(key, self.rate) for key in group)) for group in groups]
        total = 0.0
        for alike in zip(*every, strict=True):
            coefficient = prod(coefficient for coefficient, _ in alike[0])
            observables = [_merged([key for _, key in chosen]) for chosen in alike]
            total = total + coefficient * self.neuron.polynomials(observables)
        return np.asarray(total)


@lru_cache(maxsize=65536)
def _partitions(
    block: Block, channels: Channels, order: int, fluctuates: bool
) -> list[tuple[int, Groups]]:
    """The partitions of (2) that matter: 2 Σ (|B| − 1), and the groups ordered by their shapes."""
    found = []
    for partition in set_partitions(len(block)):
        below, together = 2 * (len(block) - len(partition)), 2 * (len(partition) - 1)
        if (fluctuates or not together) and _excess(block) + below + together <= order:
            groups = [tuple(block[i] for i in B) for B in partition]
            groups.sort(key=lambda B: (_shape(B, channels), B))
            found.append((below, tuple(groups)))
    return found


def _remembered(
    store: dict[Item, np.ndarray],
    compute: Callable[[list[Item]], np.ndarray],
    items: list[Item],
    axis: int = -1,
) -> np.ndarray:
    """The values of items of one shape along an axis; what is not in the store is computed."""
    missing = [item for item in dict.fromkeys(items) if item not in store]
    if missing:
        values = compute(missing)
        first = (
            values.swapaxes(0, 1) if axis == 1 else values.transpose(-1, *range(values.ndim - 1))
        )
        store.update(zip(missing, first, strict=True))
        if len(missing) == len(items):
            return values
    kept = np.array([store[item] for item in items])
    return kept.swapaxes(0, 1) if axis == 1 else kept.transpose(*range(1, kept.ndim), 0)


def _chosen(every: Sequence[tuple], part: tuple[int, ...]) -> list:
    return [tuple(groups[i] for i in part) for groups in every]


def _excess(block: Block) -> int:
    return sum(map(len, block)) - 2 * len(block)


def _shape(block: Block, channels: Channels) -> tuple:
    """What blocks computed at once have in common: their keys' sizes, and the tangents in them."""
    sizes = tuple(map(len, block))
    if not channels.tangents:
        return sum(sizes), sizes
    tangents = (sum(not channels.is_value(c) for c in key) for key in block)
    same = (channels.same_replica(key) for key in block)
    return sum(sizes), sizes, tuple(tangents), tuple(same)


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


@lru_cache(maxsize=32)
def _proper_splits(size: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """All (S, rest) of range(size) with 0 ∈ S and rest not empty."""
    splits = []
    for mask in range(2 ** (size - 1) - 1):
        part = (0, *(i for i in range(1, size) if mask >> (i - 1) & 1))
        splits.append((part, tuple(i for i in range(size) if i not in part)))
    return splits
