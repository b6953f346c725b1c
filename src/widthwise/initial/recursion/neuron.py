r"""One neuron of a hidden layer, given the layer below: polynomials in its conditional cumulants.

With Y = K δ_{r2} + δY the conditional cumulants of a neuron's channels, K the covariance at n = ∞,
and O a product of features,

    G_O(Y) = E[O | Y] = Σ_μ ∏_k δY_k^{μ_k} / (μ_k! (k!)^{μ_k}) · E_K[∂^{α(μ)} O].

E_K[∂^α O] falls into a function of the values z, whose derivatives are Hermite moments
(:mod:`widthwise.initial.recursion.preactivation`), and one monomial of degree at most two in the
tangents of each replica, which are independent of z and of each other at n = ∞: with Θ the limiting
kernel, E[ż_a ż_b] = Θ_ab and ∂_a ∂_b (ż_a ż_b) = 1 (2 if a = b).
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from math import factorial

import numpy as np
from jaxtyping import Float

from widthwise.algebra.hermite import multi_indices
from widthwise.initial.recursion.channels import Channels
from widthwise.initial.recursion.monomials import Key, Monomials
from widthwise.initial.recursion.preactivation import Factors

Moments = Callable[[Factors, int], np.ndarray]


class Neuron:
    """A neuron's conditional law as polynomials in δY, and the law of δY.

    Every number has two versions, of a finer and of a coarser quadrature.

    Args:
        channels: what a neuron carries.
        pivots: the channels that have keys: independent values, and all tangents.
        table: the monomials in δY, over the pivots by their position.
        cumulants: the joint cumulants of the blocks, a series for every monomial.
        tangent_kernel: Θ between all channels at n = ∞; only entries of one replica are read.
        degrees: the highest derivative with respect to values of a product of r features, by r.
        resolution: for every value among the pivots the deviation by whose powers derivatives
            divide rounding.
        moments: (factors, degree) ↦ E[∂^α O] (versions, choices, alphas) over the values, α over
            the pivots among them in the order of ``multi_indices``.
    """

    def __init__(
        self,
        channels: Channels,
        pivots: tuple[int, ...],
        table: Monomials,
        cumulants: Float[np.ndarray, "orders versions monomials"],
        tangent_kernel: Float[np.ndarray, "versions channels channels"],
        degrees: tuple[int, ...],
        resolution: Float[np.ndarray, " values"],
        moments: Moments,
    ):
        self.channels, self.table = channels, table
        self.expectation = table.moments(cumulants)
        self._pivots, self._kernel = pivots, tangent_kernel
        self._values = [i for i, c in enumerate(pivots) if channels.is_value(c)]
        self._degrees, self._resolution = degrees, resolution
        self._place = _places(table.alpha[:, self._values])
        self._moments = lru_cache(maxsize=None)(moments)
        self._derivatives = lru_cache(maxsize=None)(self._tangent_derivatives)

    def mean(
        self, polynomials: Float[np.ndarray, "versions polynomials kept"]
    ) -> Float[np.ndarray, "orders versions polynomials"]:
        """E over the law of δY, series."""
        expectation = self.expectation[..., : polynomials.shape[-1]].transpose(1, 2, 0)
        return (polynomials @ expectation).transpose(2, 0, 1)

    def polynomials(
        self, observables: Sequence[Key]
    ) -> Float[np.ndarray, "versions observables kept"]:
        """G of products of r features, equally many of them of tangents, of weight ≤ P + 2 − r.

        An observable is named by the channels of its features.
        """
        table, channels, m = self.table, self.channels, len(self.channels.values)
        size, own = len(observables[0]), [_split(key, m) for key in observables]
        factors = Factors(len(own[0][0]), len(own[0][1]))
        kept = slice(table.count[table.order + 2 - size])
        rows = [
            factors.place(m, values, tuple(sorted(channels.value(channels.inputs[c]) for c in ts)))
            for values, ts in own
        ]
        derivatives = self._moments(factors, self._degrees[size])
        result = derivatives[:, rows][..., self._place[kept]] * table.coefficient[kept]
        for replica in range(len(channels.tangents)):
            each = [
                self._derivatives(replica, tuple(c for c in ts if channels.replica[c] == replica))
                for _, ts in own
            ]
            result = result * np.stack(each, 1)[..., kept]
        return result

    @cached_property
    def noise(self) -> Float[np.ndarray, " monomials"]:
        """How much rounding of E O is enlarged in every coefficient of its polynomial."""
        alpha = self.table.alpha[:, self._values]
        factorials = np.array([factorial(k) for k in range(alpha.max(initial=0) + 1)], dtype=float)
        enlarged = (np.sqrt(factorials)[alpha] / self._resolution**alpha).prod(1)
        return self.table.coefficient * enlarged

    def _tangent_derivatives(
        self, replica: int, own: tuple[int, ...]
    ) -> Float[np.ndarray, "versions monomials"]:
        """E[∂^α ∏ ż] of the tangents of one replica, for every monomial's α."""
        columns = [i for i, c in enumerate(self._pivots) if self.channels.replica[c] == replica]
        alpha = self.table.alpha[:, columns]
        order = alpha.sum(1)
        wanted = np.array([own.count(self._pivots[i]) for i in columns], dtype=int)
        twice = len(own) == 2 and own[0] == own[1]
        every = np.where((alpha == wanted).all(1), 2.0 if twice else 1.0, 0.0)
        if len(own) == 2:
            return np.where(order == 0, self._kernel[:, own[0], own[1], None], every)
        return np.broadcast_to(every, (len(self._kernel), len(every)))


def _split(key: Key, values: int) -> tuple[Key, Key]:
    """The value channels and the tangent channels of a sorted key."""
    cut = bisect_left(key, values)
    return key[:cut], key[cut:]


def _places(alphas: np.ndarray) -> np.ndarray:
    """Position of every α in ``multi_indices(dimension, degree)``, whatever the degree."""
    dimension = alphas.shape[1]
    if not dimension:
        return np.zeros(len(alphas), dtype=int)
    table = multi_indices(dimension, int(alphas.sum(1).max(initial=0)))
    base = int(alphas.max(initial=0)) + 1
    powers = base ** np.arange(dimension)
    place = {int(code): i for i, code in enumerate(table @ powers)}
    return np.array([place[int(code)] for code in alphas @ powers])
