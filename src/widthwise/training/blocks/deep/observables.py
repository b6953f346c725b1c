r"""One neuron's observables of jet channels, and their response to the law of the layer below.

Let u, v, w be independent standard normal directions in parameter space. Channel (S, a) of a neuron
is the mixed derivative of its preactivation z(x_a) along the directions of S ⊆ {u, v, w}; S = ∅ is
z itself. What the next layer reads through its weights are the features (Faà di Bruno's formula)

    Φ_S(a) = Σ_{π ⊢ S} φ^{(|π|)}(z_a) ∏_{B∈π} z^B_a,                                             (1)

and the next layer's pair of channels (S, a), (T, b) averages the observable

    O_ST = Φ_S(a) Φ_T(b) + r Σ_{c∈S∩T} Φ_{S∖c}(a) Φ_{T∖c}(b),                                    (2)

the sum from the components of the directions at the weights themselves, r the weights' learning
rate. Observables are polynomials in jets whose coefficients are products of derivatives of φ. An
expectation over a neuron responds to a change δY of joint cumulants of channels by

    δ⟨O⟩ = ⟨ exp(Σ_k δY_k ∂_k / k!) O ⟩,      k over multisets of channels ("legs").            (3)

Parity (v → −v for every direction) leaves only z (covariance K) and equal single directions
(covariance Θ) correlated at leading order; higher jets are legs of a fluctuation or give nothing.
All of this is exact symbolic algebra, done once per observable.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations_with_replacement
from math import comb, factorial
from typing import NamedTuple, TypeAlias

from widthwise.algebra.partitions import set_partitions

Type: TypeAlias = tuple[int, ...]
"""The directions of a channel, increasing: () is z, (1,) its derivative along the first one."""

Leg: TypeAlias = tuple[Type, int]
"""A channel of a neuron: its type, and the slot that says at which input it is taken."""


class Monomial(NamedTuple):
    """∏_s φ^{(orders[s])}(z_s) times a product of jets."""

    orders: tuple[int, ...]
    jets: tuple[Leg, ...]


Observable: TypeAlias = tuple[tuple[Monomial, float], ...]
"""Monomials with their coefficients."""


class Term(NamedTuple):
    """⟨∏_s φ^{(orders[s])}(z_s)⟩ ∏ Θ(slots of a pair) ∏ δY(legs of a group)."""

    orders: tuple[int, ...]
    thetas: tuple[tuple[int, int], ...]
    groups: tuple[tuple[Leg, ...], ...]


def even(types: tuple[Type, ...]) -> bool:
    """Whether every direction occurs an even number of times: else the tensor vanishes."""
    return not any(count % 2 for count in Counter(c for S in types for c in S).values())


def feature(S: Type, slot: int, slots: int) -> Observable:
    """Φ_S at a slot, equation (1)."""
    found = []
    for partition in set_partitions(len(S)):
        orders = tuple(len(partition) if s == slot else 0 for s in range(slots))
        jets = tuple(sorted((tuple(S[i] for i in sorted(block)), slot) for block in partition))
        found.append((Monomial(orders, jets), 1.0))
    return tuple(found)


def product(*factors: Observable) -> Observable:
    """The product of observables over the same slots."""
    result = {Monomial((0,) * len(factors[0][0][0].orders), ()): 1.0}
    for factor in factors:
        collected: defaultdict[Monomial, float] = defaultdict(float)
        for one, c in result.items():
            for other, d in factor:
                orders = tuple(i + j for i, j in zip(one.orders, other.orders, strict=True))
                collected[Monomial(orders, tuple(sorted(one.jets + other.jets)))] += c * d
        result = collected
    return tuple(result.items())


@lru_cache(maxsize=4096)
def pair(S: Type, T: Type, places: tuple[int, int], slots: int, rate: float) -> Observable:
    """O_ST at two slots, equation (2), with r = ``rate``."""
    a, b = places
    terms = list(product(feature(S, a, slots), feature(T, b, slots)))
    for c in set(S) & set(T):
        left, right = (tuple(x for x in U if x != c) for U in (S, T))
        both = product(feature(left, a, slots), feature(right, b, slots))
        terms += [(monomial, rate * value) for monomial, value in both]
    return tuple(terms)


def _differentiated(
    monomial: Monomial, order: int
) -> Iterator[tuple[tuple[Leg, ...], Monomial, float]]:
    """Every ∂_k/k! of a monomial, |k| = ``order``: the legs k, what is left, its coefficient."""
    jets = Counter(monomial.jets)
    legs: list[Leg] = [((), s) for s in range(len(monomial.orders))]
    for group in combinations_with_replacement([*legs, *jets], order):
        taken = Counter(group)
        coefficient, left = 1.0, Counter(jets)
        orders = list(monomial.orders)
        for leg, count in taken.items():
            S, slot = leg
            if S:
                coefficient *= comb(jets[leg], count)
                left[leg] -= count
            else:
                coefficient /= factorial(count)
                orders[slot] += count
        if coefficient:
            rest = tuple(sorted(left.elements()))
            yield tuple(sorted(group)), Monomial(tuple(orders), rest), coefficient


@lru_cache(maxsize=4096)
def response(observable: Observable, sizes: tuple[int, ...]) -> dict[Term, float]:
    """The terms of (3) with one factor δY for every entry of ``sizes``, contracted with K and Θ.

    Args:
        observable: O.
        sizes: numbers of legs of the factors: () is ⟨O⟩ itself, (2,) the linear response to pairs.

    Returns:
        The coefficient of every term; two equal sizes have the 1/2 of the exponential.
    """
    state: dict[tuple, float] = {((), monomial): c for monomial, c in observable}
    for size in sizes:
        collected: defaultdict[tuple, float] = defaultdict(float)
        for (groups, monomial), c in state.items():
            for group, rest, d in _differentiated(monomial, size):
                collected[(*groups, group), rest] += c * d
        state = collected
    repeated = 1.0
    for count in Counter(sizes).values():
        repeated /= factorial(count)
    found: defaultdict[Term, float] = defaultdict(float)
    for (groups, monomial), c in state.items():
        thetas = _contracted(monomial.jets)
        if thetas is not None and c:
            ordered = tuple(sorted(groups, key=lambda group: (len(group), group)))
            found[Term(monomial.orders, thetas, ordered)] += repeated * c
    return dict(found)


def _contracted(jets: tuple[Leg, ...]) -> tuple[tuple[int, int], ...] | None:
    """The slots of the Θ's that single directions contract to; None if the mean vanishes."""
    if any(len(S) > 1 for S, _ in jets):
        return None
    by_direction: defaultdict[int, list[int]] = defaultdict(list)
    for (direction,), slot in jets:
        by_direction[direction].append(slot)
    if any(len(slots) != 2 for slots in by_direction.values()):
        return None
    return tuple(sorted((slots[0], slots[1]) for slots in map(sorted, by_direction.values())))
