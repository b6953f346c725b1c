r"""One neuron of a hidden layer, given the layer below: polynomials in its conditional cumulants.

With Y = K δ_{r2} + δY the conditional cumulants of a neuron's channels, K the covariance at n = ∞,
and O a product of features,

    G_O(Y) = E[O | Y] = Σ_μ ∏_k δY_k^{μ_k} / (μ_k! (k!)^{μ_k}) · E_K[∂^{α(μ)} O].

E_K[∂^α O] falls into a function of the values z, whose derivatives are Hermite moments
(:mod:`widthwise.initial.recursion.preactivation`), and one monomial of degree at most two in the
tangents of each replica, which are independent of z and of each other at n = ∞: with Θ the limiting
kernel, E[ż_a ż_b] = Θ_ab and ∂_a ∂_b (ż_a ż_b) = 1 (2 if a = b).
"""

from collections.abc import Callable
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

    Args:
        channels: what a neuron carries.
        pivots: the channels that have keys: independent values, and all tangents.
        table: the monomials in δY, over the pivots by their position.
        cumulants: the joint cumulants of the blocks, a series for every monomial.
        tangent_kernel: Θ between all channels at n = ∞; only entries of one replica are read.
        degrees: the highest derivative with respect to values of a product of r features, by r.
        resolution: for every value among the pivots the deviation by whose powers derivatives
            divide rounding.
        moments: (factors, degree) ↦ E[∂^α O] (choices, alphas) over the values, α over the pivots
            among them in the order of ``multi_indices``.
    """

    def __init__(
        self,
        channels: Channels,
        pivots: tuple[int, ...],
        table: Monomials,
        cumulants: Float[np.ndarray, "orders monomials"],
        tangent_kernel: Float[np.ndarray, "channels channels"],
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
        self.polynomial = lru_cache(maxsize=None)(self._polynomial)

    def _polynomial(self, observable: Key) -> np.ndarray:
        """G of the product of the channels' features, of weight ≤ P + 2 − r."""
        table, channels = self.table, self.channels
        values = tuple(c for c in observable if channels.is_value(c))
        tangents = [c for c in observable if not channels.is_value(c)]
        slopes = tuple(sorted(channels.value(channels.inputs[c]) for c in tangents))
        factors = Factors(len(values), len(slopes))
        weight = table.order + 2 - len(observable)
        kept = slice(table.count[weight])
        row = factors.place(len(channels.values), values, slopes)
        derivatives = self._moments(factors, self._degrees[len(observable)])[row]
        result = derivatives[self._place[kept]] * table.coefficient[kept]
        for replica in range(len(channels.tangents)):
            own = [c for c in tangents if channels.replica[c] == replica]
            result = result * self._tangent_derivatives(replica, own)[kept]
        return result

    @cached_property
    def noise(self) -> Float[np.ndarray, " monomials"]:
        """How much rounding of E O is enlarged in every coefficient of its polynomial."""
        alpha = self.table.alpha[:, self._values]
        factorials = np.array([factorial(k) for k in range(alpha.max(initial=0) + 1)], dtype=float)
        enlarged = (np.sqrt(factorials)[alpha] / self._resolution**alpha).prod(1)
        return self.table.coefficient * enlarged

    def _tangent_derivatives(self, replica: int, own: list[int]) -> np.ndarray:
        """E[∂^α ∏ ż] of the tangents of one replica, for every monomial's α."""
        columns = [i for i, c in enumerate(self._pivots) if self.channels.replica[c] == replica]
        alpha = self.table.alpha[:, columns]
        order = alpha.sum(1)
        wanted = np.array([own.count(self._pivots[i]) for i in columns], dtype=int)
        twice = len(own) == 2 and own[0] == own[1]
        every = np.where((alpha == wanted).all(1), 2.0 if twice else 1.0, 0.0)
        if len(own) == 2:
            every = np.where(order == 0, self._kernel[own[0], own[1]], every)
        return every


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
