r"""⟨∏_s φ^{(i_s)}(z_{a_s})⟩ at one layer for all inputs, with the errors of its quadrature.

Two factors come to rounding from :mod:`.pairs`. Three and four are matrix products over nodes: with
P_ij[x, (a, b)] = φ^{(i)}(z_a) φ^{(j)}(z_b) at node x, symmetric pairs stored once,

    ⟨φ^{(i)} φ^{(j)} φ^{(k)} φ^{(l)}⟩ = P_ijᵀ · weights · P_kl,

and the six kinds of fourth moments that the recursion takes (orders 0000, 0011, 1111, 0112, 1113,
1122) are two products of matrices, P_11 with P_11, P_02, P_13, P_22, and P_00 with P_00, P_11. They
take float32 where the points are random and their error is far above its rounding.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise._vocabulary import Array
from widthwise.algebra.gaussian import Rule
from widthwise.model.activations import Activation
from widthwise.training.blocks.deep.nodes import REPLICATES, Rules, derivatives

Orders: TypeAlias = tuple[int, ...]

_FOURTH: dict[Orders, tuple[Orders, Orders, Orders]] = {
    (0, 0, 0, 0): ((0, 0), (0, 0), (0, 1, 2, 3)),
    (0, 0, 1, 1): ((0, 0), (1, 1), (0, 1, 2, 3)),
    (1, 1, 1, 1): ((1, 1), (1, 1), (0, 1, 2, 3)),
    (0, 1, 1, 2): ((1, 1), (0, 2), (2, 0, 1, 3)),
    (1, 1, 1, 3): ((1, 1), (1, 3), (0, 1, 2, 3)),
    (1, 1, 2, 2): ((1, 1), (2, 2), (0, 1, 2, 3)),
}
"""The two pairs of derivatives, and the axes that sort them."""
_PRODUCTS: tuple[tuple[Orders, tuple[Orders, ...]], ...] = (
    ((0, 0), ((0, 0), (1, 1))),
    ((1, 1), ((1, 1), (0, 2), (1, 3), (2, 2))),
)
_DEGREE = 3
_NUMBERS_AT_ONCE = 16_000_000
_SPECTRAL = 11 / 9  # exponents of the errors of two refinements


@dataclass
class Moments:
    """The means at one layer.

    Args:
        activation: φ.
        pairs: ⟨φ^{(i)} φ^{(j)}⟩ as (i, j, points, points).
        pair_errors: their errors.
        rules: nodes for three and four factors.
        third: orders of the third moments that will be asked for, increasing; may be empty.
        seed: of the signs of deterministic errors.
    """

    activation: Activation
    pairs: Float[np.ndarray, "i j p p"]
    pair_errors: Float[np.ndarray, "i j p p"]
    rules: Rules
    third: frozenset[Orders]
    seed: int
    _expanded: dict[tuple[Orders, int | None], np.ndarray] = field(default_factory=dict)

    def mean(self, orders: Orders, replicate: int | None) -> np.ndarray:
        """The mean for derivatives ``orders``, one axis over the points for each factor.

        Args:
            orders: i_s of every factor, two to four of them.
            replicate: which of the independent estimates; None for the best one.
        """
        if len(orders) == 2:
            return self._pair(orders, replicate)
        order = tuple(int(k) for k in np.argsort(orders, kind="stable"))
        name = tuple(orders[k] for k in order)
        axes = tuple(order.index(k) for k in range(len(order)))
        if (name, replicate) not in self._expanded:
            self._expanded[name, replicate] = self._expand(name, replicate)
        return self._expanded[name, replicate].transpose(axes)

    def forget(self, replicate: int | None) -> None:
        """Drop the arrays that one replicate has expanded."""
        self._expanded = {key: v for key, v in self._expanded.items() if key[1] != replicate}

    def _pair(self, orders: Orders, replicate: int | None) -> np.ndarray:
        i, j = orders
        if replicate is None:
            return self.pairs[i, j]
        sign = _signs([self.seed, *sorted(orders)])[replicate]
        return self.pairs[i, j] + sign * self.pair_errors[i, j]

    def _expand(self, name: Orders, replicate: int | None) -> np.ndarray:
        if len(name) == 3:
            return self._totals[name[:2], name[2:]][0 if replicate is None else 1 + replicate]
        left, right, axes = _FOURTH[name]
        p = self.pairs.shape[-1]
        packed = self._totals[left, right][0 if replicate is None else 1 + replicate]
        full = packed[_places(p, left)][:, :, _places(p, right)]
        return np.ascontiguousarray(full.transpose(axes))

    @cached_property
    def _totals(self) -> dict[tuple, np.ndarray]:
        """Every mean, and behind it on the leading axis its replicates."""
        totals = [self._of_rule(rule) for rule in self.rules.rules]
        if self.rules.random:
            return {
                key: np.stack([np.mean([t[key] for t in totals], 0), *(t[key] for t in totals)])
                for key in totals[0]
            }
        result = {}
        for number, (key, value) in enumerate(totals[-1].items()):
            gap = value - totals[0][key]
            relative = np.abs(gap).max() / max(np.abs(value).max(), 1e-300)
            share = min(1.0, relative ** (_SPECTRAL - 1)) if relative else 0.0
            signs = _signs([self.seed, 100 + number])
            result[key] = np.stack([value, *(value + sign * share * gap for sign in signs)])
        return result

    def _of_rule(self, rule: Rule) -> dict[tuple, np.ndarray]:
        totals: dict[tuple, np.ndarray] = {}
        third = tuple(sorted(self.third))
        highest = max([_DEGREE, *(max(orders) for orders in third)])
        precision = np.float32 if self.rules.random else np.float64
        for weights, table in _blocks(self.activation, rule, highest, precision):
            for key, value in _sums(weights, table, third).items():
                totals[key] = totals.get(key, 0.0) + np.asarray(value, dtype=float)
        return totals


@partial(jax.jit, static_argnums=2)
def _sums(
    weights: Float[Array, " nodes"], table: Float[Array, "orders nodes p"], third: tuple
) -> dict[tuple, Array]:
    """Weighted sums over nodes of the products of four and of three factors."""
    sums: dict[tuple, Array] = {}
    for left, rights in _PRODUCTS:
        weighted = (_pairs(table, left) * weights[:, None]).T
        for right in rights:
            sums[left, right] = weighted @ _pairs(table, right)
    p = table.shape[-1]
    for i, j in sorted({orders[:2] for orders in third}):
        last = [k for *first, k in third if tuple(first) == (i, j)]
        weighted = (table[i][:, :, None] * table[j][:, None]).reshape(len(weights), -1)
        found = (weighted * weights[:, None]).T @ jnp.concatenate([table[k] for k in last], 1)
        for n, k in enumerate(last):
            sums[(i, j), (k,)] = found[:, n * p : (n + 1) * p].reshape(p, p, p)
    return sums


def _signs(seed: list[int]) -> Float[np.ndarray, " replicates"]:
    """Balanced signs, of the size at which the replicates' standard error is the error itself."""
    half = np.arange(REPLICATES) % 2 * 2.0 - 1
    return np.random.default_rng(seed).permutation(half) * (REPLICATES - 1) ** 0.5


def _blocks(
    activation: Activation, rule: Rule, degree: int, precision: type
) -> Iterator[tuple[np.ndarray, Float[np.ndarray, "orders nodes p"]]]:
    """Weights and derivatives of φ, some nodes at a time."""
    count, p = rule.nodes.shape
    step = min(_NUMBERS_AT_ONCE // (4 * p * p), count)
    step = 1 << max(8, step.bit_length() - (step & (step - 1) == 0))
    for start in range(0, count, step):
        part = slice(start, start + step)
        z, weights = (np.zeros((step, *v.shape[1:])) for v in rule)
        z[: count - start], weights[: count - start] = rule.nodes[part], rule.weights[part]
        table = derivatives(activation, z.ravel(), degree).reshape(degree + 1, *z.shape)
        yield weights.astype(precision), table.astype(precision)


def _pairs(table: Float[Array, "orders nodes p"], orders: Orders) -> Array:
    """φ^{(i)}(z_a) φ^{(j)}(z_b): of all pairs, or a ≤ b alone where i = j."""
    i, j = orders
    p = table.shape[-1]
    if i != j:
        return (table[i][:, :, None] * table[j][:, None]).reshape(-1, p * p)
    a, b = np.triu_indices(p)
    return table[i][:, a] * table[i][:, b]


def _places(p: int, orders: Orders) -> np.ndarray:
    """Where the pair (a, b) is stored, (p, p)."""
    if orders[0] != orders[1]:
        return np.arange(p * p).reshape(p, p)
    places = np.zeros((p, p), dtype=int)
    a, b = np.triu_indices(p)
    places[a, b] = places[b, a] = np.arange(len(a))
    return places
