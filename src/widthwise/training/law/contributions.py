r"""The connected contributions to a joint cumulant of the outputs during training.

Every output is order 0, a linear map of F, plus terms of the solution map (:data:`TERMS`), each a
product of initial statistics and residuals r = F − y. A joint cumulant of outputs is a sum

* over one term for each output,
* over F or −y for each residual,
* over the set partitions of all these factors whose blocks **connect the outputs**,

each block standing for the joint cumulant of its factors at initialization (the cumulants of
products of Leonov and Shiryaev). A block of order ε^o is one of :class:`Blocks`, the total order is
the sum over blocks, and only the few that stay within the order wanted are listed here, as index
expressions without numbers: they depend on which blocks a network has, not on data or times.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations, product
from typing import NamedTuple

from widthwise.training.blocks.value import LETTERS, Name
from widthwise.training.terms import Term, terms

_LETTERS = "abcdefghijklmnopqrsuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"  # without t, the axis of times


class Factor(NamedTuple):
    """One factor: its letter (F, D, T, U, …), its indices, the kind of each, and its output.

    Kinds: "f" an output row of F, "c" a channel of the solution map, "t" a train mode.
    """

    letter: str
    indices: str
    kinds: str
    output: int


class Block(NamedTuple):
    """A joint cumulant at initialization: its name and order, indices and kinds of its axes."""

    name: str
    order: int
    indices: str
    kinds: str


class Contribution(NamedTuple):
    """One summand: sign · ∏ weights · ∏ blocks · ∏ labels, indices not in ``outputs`` summed.

    Args:
        terms: a term and its index string for each output beyond order 0.
        blocks: the cumulants at initialization.
        labels: indices of the labels y in the train modes.
        outputs: one index per output, those of order 0 first.
        sign: (−1)^(number of labels).
        order: the power of n^{−1/2}.
    """

    terms: tuple[tuple[Term, str], ...]
    blocks: tuple[Block, ...]
    labels: str
    outputs: str
    sign: int
    order: int


@lru_cache(maxsize=64)
def contributions(
    degree: int, order: int, available: frozenset[Name], *, descent: bool = False
) -> tuple[tuple[Contribution, ...], ...]:
    """All contributions to the joint cumulant of ``degree`` outputs through an order.

    Args:
        degree: how many outputs.
        order: the highest power of n^{−1/2}.
        available: the blocks that do not vanish, (name, order), with ("FF", 0).
        descent: whether training is gradient descent.

    Returns:
        For b = 0, 1, …, the contributions in which b outputs, the last ones, are beyond order 0.
    """
    symmetric = not {("T", 1), ("S", 1)} & available
    higher = terms(symmetric=symmetric, descent=descent)
    found = []
    for beyond in range(min(degree, order) + 1):
        chosen = (
            some
            for some in product(higher, repeat=beyond)
            if sum(term.order for term in some) <= order
        )
        each = (c for some in chosen for c in _of_terms(degree, some, order, available))
        found.append(tuple(each))
    return tuple(found)


def _of_terms(
    degree: int, chosen: tuple[Term, ...], order: int, available: frozenset[Name]
) -> Iterator[Contribution]:
    """The contributions with these terms in the last outputs."""
    names = iter(_LETTERS)
    plain = degree - len(chosen)
    outputs = "".join(next(names) for _ in range(plain))
    fixed = [Factor("F", outputs[i], "f", i) for i in range(plain)]
    residuals: list[tuple[str, int]] = []
    weights = []
    for i, term in enumerate(chosen, start=plain):
        letter = {old: next(names) for old in "x" + term.indices}
        weights.append((term, "".join(letter[old] for old in "x" + term.indices)))
        outputs += letter["x"]
        for name, indices in term.factors:
            mapped = "".join(letter[old] for old in indices)
            if name == "r":
                residuals.append((mapped, i))
            else:
                kinds = ("c" if indices[0] == "x" else "t") + "t" * (len(indices) - 1)
                fixed.append(Factor(name, mapped, kinds, i))
    for taken in product((False, True), repeat=len(residuals)):
        labels = [index for (index, _), label in zip(residuals, taken, strict=True) if label]
        factors = fixed + [
            Factor("F", index, "t", i)
            for (index, i), label in zip(residuals, taken, strict=True)
            if not label
        ]
        sign = (-1) ** len(labels)
        for groups, total in _partitions(factors, order, available):
            if _connects([group for group, _ in groups], degree):
                blocks = tuple(_block(group, o) for group, o in groups)
                yield Contribution(tuple(weights), blocks, "".join(labels), outputs, sign, total)


def _name(group: list[Factor]) -> str:
    return "".join(sorted((factor.letter for factor in group), key=LETTERS.index))


def _block(group: list[Factor], order: int) -> Block:
    ordered = sorted(group, key=lambda factor: LETTERS.index(factor.letter))
    indices = "".join(factor.indices for factor in ordered)
    return Block(_name(group), order, indices, "".join(factor.kinds for factor in ordered))


Groups = list[tuple[list[Factor], int]]


def _partitions(
    factors: list[Factor], budget: int, available: frozenset[Name]
) -> Iterator[tuple[Groups, int]]:
    """Set partitions into available blocks, an order for each, of total order within the budget."""
    if not factors:
        yield [], 0
        return
    first, rest = factors[0], factors[1:]
    for size in range(min(4, len(factors))):
        for others in combinations(range(len(rest)), size):
            group = [first, *(rest[i] for i in others)]
            left = [factor for i, factor in enumerate(rest) if i not in others]
            for order in range(budget + 1):
                if (_name(group), order) in available:
                    for groups, total in _partitions(left, budget - order, available):
                        yield [(group, order), *groups], order + total


def _connects(groups: list[list[Factor]], degree: int) -> bool:
    """Whether the blocks join all outputs."""
    reached, pending = {0}, [0]
    members = [{factor.output for factor in group} for group in groups]
    while pending:
        output = pending.pop()
        for outputs in members:
            if output in outputs:
                pending += outputs - reached
                reached |= outputs
    return len(reached) == degree
