"""Index tables of the polynomials in the conditional cumulants, made once and kept.

Given the layer below, a preactivation has the conditional cumulants Y_k, k = (a₁ ≤ … ≤ a_r) a
multiset of r ≥ 2 channels: a **key**. The recursion works with polynomials in δY_k, truncated by
weight: wt(δY_k) = max(1, r − 2), and a monomial of weight w has an expectation O(ε^w). Cumulants of
monomials of Y's,

    κ(Y_{k₁} … Y_{k_q}) = O(ε^{2(q−1)+Σ(r_i−2)}),

matter for the **blocks** (k₁ … k_q) with 2(q − 1) + Σ (r_i − 2) ≤ P only. Every block is also a
monomial, so polynomials, cumulants and moments are all arrays over one list of monomials, sorted by
weight. Channels may belong to replicas (:mod:`widthwise.initial.recursion.channels`); no monomial
holds one replica more than twice. This file knows that list and three tables over it:

* ``alpha`` and ``coefficient``: exp(Σ_k δY_k ∂^k / k!) = Σ_monomials coefficient · monomial · ∂^α;
* :meth:`Monomials.product`: which pairs of monomials multiply to which;
* :meth:`Monomials.moments`: E[x₁ x_S] = Σ_{T ⊆ S} κ(x₁, x_T) E[x_{S∖T}].
"""

from collections.abc import Sequence
from functools import cached_property, lru_cache
from math import factorial, prod
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from widthwise.algebra.series import product as series_product

TWICE = 2  # the most that one replica appears in anything
_MOST_MONOMIALS = 500_000
_BASE = np.uint64(0x9E3779B97F4A7C15)
_MOST_PAIRS = 40_000_000
_TERMS_AT_ONCE = 4_000_000

Key = tuple[int, ...]
Block = tuple[Key, ...]


def block_order(block: Sequence[Key]) -> int:
    """The power of n^{-1/2} at which the joint cumulant of a block starts."""
    return 2 * (len(block) - 1) + sum(len(key) - 2 for key in block)


@lru_cache(maxsize=16)
def monomials(
    keys: tuple[Key, ...], degrees: tuple[tuple[int, ...], ...], order: int
) -> "Monomials":
    """The monomials of weight at most ``order``, cached.

    Args:
        keys: the keys that exist, the shorter ones first; empty where nothing fluctuates.
        degrees: for every channel its degree in each replica; empty rows without replicas.
        order: P.

    Raises:
        ValueError: if there are too many to be handled.
    """
    return Monomials(keys, degrees, order)


class Monomials:
    """All multisets of keys of weight at most P, by weight; see the module's text.

    Args:
        keys: the keys.
        degrees: for every channel its degree in each replica.
        order: P.
    """

    def __init__(self, keys: tuple[Key, ...], degrees: tuple[tuple[int, ...], ...], order: int):
        self.channels, self.order = len(degrees), order
        self.keys = [key for key in keys if max(1, len(key) - 2) <= order]
        self.key_weight = np.array([max(1, len(key) - 2) for key in self.keys], dtype=int)
        replicas = len(degrees[0]) if degrees else 0
        each = [np.sum([degrees[c] for c in key], axis=0) for key in self.keys]
        none = np.zeros(replicas, dtype=int)
        self._key_degree = np.array([*each, none], dtype=int).reshape(len(each) + 1, replicas)
        self._refuse_if_too_many()
        self.members, self.weight = self._listed()
        self._codes = self._code(self.members)
        self._by_code = np.argsort(self._codes)
        self._sorted_codes = self._codes[self._by_code]
        assert (np.diff(self._sorted_codes) > 0).all(), "two monomials with one code"
        # entry T: how many monomials have weight at most T
        self.count = np.searchsorted(self.weight, np.arange(order + 1), side="right")
        self.degree = (self.members < len(self.keys)).sum(1)

    def __len__(self) -> int:
        return len(self.weight)

    def _refuse_if_too_many(self) -> None:
        number = np.zeros((self.order + 1, *(TWICE + 1,) * self._key_degree.shape[1]))
        number.flat[0] = 1.0
        for w, degree in zip(self.key_weight, self._key_degree, strict=False):
            to = tuple(slice(int(g), None) for g in degree)
            of = tuple(slice(None, TWICE + 1 - int(g)) for g in degree)
            for k in range(w, self.order + 1):
                number[(k, *to)] += number[(k - w, *of)].copy()
        if number.sum() > _MOST_MONOMIALS:
            raise ValueError(
                f"order {self.order} with {self.channels} channels (inputs, tangents) needs "
                f"{number.sum():.0f} monomials of conditional cumulants, more than "
                f"{_MOST_MONOMIALS}; take a lower order, fewer inputs at a time, or symmetric laws"
            )

    def _listed(self) -> tuple[np.ndarray, np.ndarray]:
        """Members (monomials, P): sorted key numbers, filled up with len(keys); and weights."""
        none = len(self.keys)
        by_weight = [np.full((1, self.order), none)]
        for w in range(1, self.order + 1):
            parts = [np.zeros((0, self.order), dtype=int)]
            for v in range(w):
                rows = by_weight[v]
                filled = (rows < none).sum(1)
                last = np.where(filled > 0, rows[np.arange(len(rows)), filled - 1], 0)
                new = np.flatnonzero(self.key_weight == w - v)
                pair, chosen = np.nonzero(last[:, None] <= new)
                grown = rows[pair]
                grown[np.arange(len(pair)), filled[pair]] = new[chosen]
                parts.append(grown[self._exists(grown)])
            by_weight.append(np.concatenate(parts))
        weight = np.repeat(np.arange(self.order + 1), [len(rows) for rows in by_weight])
        return np.concatenate(by_weight), weight

    def _exists(self, rows: np.ndarray) -> np.ndarray:
        """Whether no replica appears too often."""
        if not self._key_degree.shape[1]:
            return np.ones(len(rows), dtype=bool)
        return (self._key_degree[rows].sum(1) <= TWICE).all(1)

    def _code(self, rows: np.ndarray) -> np.ndarray:
        """A number for every monomial: a polynomial modulo 2⁶⁴, all different here."""
        code = np.zeros(len(rows), dtype=np.uint64)
        for column in rows.T:
            code = code * _BASE + column.astype(np.uint64)
        return code

    def find(self, rows: Int[np.ndarray, "n p"]) -> Int[np.ndarray, " n"]:
        """Positions of monomials given as key numbers in any order, filled up with len(keys)."""
        rows = np.sort(rows, axis=1)
        if rows.shape[1] < self.order:
            fill = np.full((len(rows), self.order - rows.shape[1]), len(self.keys))
            rows = np.concatenate([rows, fill], 1)
        codes = self._code(rows[:, : self.order])
        return self._by_code[np.searchsorted(self._sorted_codes, codes)]

    @cached_property
    def blocks(self) -> list[tuple[int, Block]]:
        """Position and keys of every monomial that is a block, the empty one left out."""
        return [
            (int(position), tuple(self.keys[k] for k in row[:degree]))
            for position, row, degree in self._block_rows
        ]

    @property
    def _block_rows(self):
        for position in np.flatnonzero(self._is_block):
            yield position, self.members[position], self.degree[position]

    @cached_property
    def _is_block(self) -> np.ndarray:
        excess = np.array([len(key) - 2 for key in self.keys] + [0])
        start = 2 * (self.degree - 1) + excess[self.members].sum(1)
        return (self.degree > 0) & (start <= self.order)

    @cached_property
    def _counts(self) -> np.ndarray:
        """α of every key, and of none."""
        rows = [np.bincount(np.array(key), minlength=self.channels) for key in self.keys]
        return np.array([*rows, np.zeros(self.channels, dtype=int)]).reshape(
            len(rows) + 1, self.channels
        )

    @cached_property
    def alpha(self) -> Int[np.ndarray, "monomials channels"]:
        """α of every monomial: how often each channel appears."""
        return self._counts[self.members].sum(1)

    @cached_property
    def coefficient(self) -> Float[np.ndarray, " monomials"]:
        """∏_k 1 / (μ_k! (k!)^{μ_k}) over the keys k and their multiplicities μ_k."""
        each = [1.0 / prod(factorial(int(c)) for c in row) for row in self._counts]
        value = np.array(each)[self.members].prod(1)
        run = np.ones(len(self))
        for p in range(1, self.order):
            same = (self.members[:, p] == self.members[:, p - 1]) & (p < self.degree)
            run = np.where(same, run + 1, 1.0)
            value = value / run
        return value

    @cached_property
    def _pairs(self) -> "_Pairs":
        """All pairs of monomials whose product has weight at most P, sorted by their product."""
        sizes = np.diff(self.count, prepend=0)
        number = sum(
            int(sizes[v]) * int(sizes[w - v]) for w in range(self.order + 1) for v in range(w + 1)
        )
        if number > _MOST_PAIRS:
            raise ValueError(
                f"order {self.order} with {self.channels} channels (inputs, tangents) needs "
                f"{number} products of monomials, more than {_MOST_PAIRS}; take a lower order or "
                "fewer inputs at a time"
            )
        by_weight = [self._pairs_of_weight(w) for w in range(self.order + 1)]
        first, second, result = (np.concatenate(column) for column in zip(*by_weight, strict=True))
        return _Pairs(first, second, np.searchsorted(result, np.arange(len(self) + 1)))

    def _pairs_of_weight(self, w: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """i, j and the position of their product, sorted by that, for products of weight w."""
        bounds = np.concatenate([[0], self.count])
        first, second, result = [], [], []
        for v in range(w + 1):
            i, j = np.meshgrid(
                np.arange(bounds[v], bounds[v + 1]),
                np.arange(bounds[w - v], bounds[w - v + 1]),
                indexing="ij",
            )
            i, j = i.ravel(), j.ravel()
            rows = np.concatenate([self.members[i, :v], self.members[j, : w - v]], 1)
            if self._key_degree.shape[1]:
                kept = self._exists(rows)
                i, j, rows = i[kept], j[kept], rows[kept]
            first.append(i.astype(np.int32))
            second.append(j.astype(np.int32))
            result.append(self.find(rows).astype(np.int32))
        products = np.concatenate(result)
        order = np.argsort(products, kind="stable")
        return np.concatenate(first)[order], np.concatenate(second)[order], products[order]

    def product(
        self,
        a: Float[np.ndarray, "*polynomials left"],
        b: Float[np.ndarray, "*polynomials right"],
        weight: int,
    ) -> Float[np.ndarray, "*polynomials kept"]:
        """The products of polynomials, truncated above ``weight``."""
        i, j, starts = self._pairs
        kept = self.count[weight]
        used = starts[kept]
        left, right = a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])
        result = np.empty((len(left), kept))
        step = max(1, _TERMS_AT_ONCE // int(used))
        for start in range(0, len(left), step):
            rows = slice(start, start + step)
            terms = np.take(left[rows], i[:used], 1) * np.take(right[rows], j[:used], 1)
            result[rows] = np.add.reduceat(terms, starts[:kept], axis=1)
        return result.reshape(*a.shape[:-1], kept)

    @cached_property
    def _splits(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """By degree: monomial x₁ x_S, the block x₁ x_T and the rest x_{S∖T}, for all T ⊆ S."""
        none, tables = len(self.keys), []
        for degree in range(1, int(self.degree.max(initial=0)) + 1):
            here = np.flatnonzero(self.degree == degree)
            members = self.members[here, :degree]
            parts = []
            for mask in range(2 ** (degree - 1)):
                taken = np.array([True, *(bool(mask >> p & 1) for p in range(degree - 1))])
                block = self.find(np.where(taken, members, none))
                kept = self._is_block[block]
                rest = self.find(np.where(taken, none, members[kept]))
                parts.append(np.stack([here[kept], block[kept], rest]))
            table = np.concatenate(parts, 1)
            first, second, third = table[:, np.argsort(table[0], kind="stable")]
            tables.append((first, second, third))
        return tables

    def moments(
        self, cumulants: Float[np.ndarray, "orders *versions monomials"]
    ) -> Float[np.ndarray, "orders *versions monomials"]:
        """E of every monomial, a series in n^{-1/2}, from the cumulants of the blocks."""
        result = np.zeros_like(cumulants)
        result[0, ..., 0] = 1.0
        for monomial, block, rest in self._splits:
            terms = series_product(cumulants[..., block], result[..., rest])
            starts = np.flatnonzero(np.diff(monomial, prepend=-1))
            result[..., monomial[starts]] = np.add.reduceat(terms, starts, axis=-1)
        return result


class _Pairs(NamedTuple):
    """Pairs of monomials (i, j), sorted by their product; those of product k begin at starts[k]."""

    first: Int[np.ndarray, " pairs"]
    second: Int[np.ndarray, " pairs"]
    starts: Int[np.ndarray, " monomials_plus_1"]
