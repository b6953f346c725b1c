"""Power sums of samples, from which all cumulants follow: streaming, mergeable, storable.

Of every product B of at most ``order`` variables the sums Σ_j Π_{i∈B} (x_{j,i} − p_i) about a fixed
pivot p are kept, in some groups of samples. Adding samples and merging with another worker's sums
are additions; the order of merging changes the result by rounding alone. Cumulants are k-statistics
about the mean of all samples, and their standard errors a jackknife that leaves out one group at a
time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement

import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.algebra.gaussian import Estimate
from widthwise.finite.estimators.k_statistics import MOST, Key, k_statistic

_GROUPS = 32


@dataclass(frozen=True, eq=False)
class PowerSums:
    """Power sums of variables, in groups of samples.

    Args:
        order: of the cumulants they determine, at most 6.
        pivot: p, (..., variables); best near the mean, and the same for all workers.
        counts: samples in each group, (groups,).
        sums: (groups, products, ...), the products of variables in the order of
            ``itertools.combinations_with_replacement``, by their number of factors.

    Example:
        >>> import numpy as np, widthwise as ww
        >>> x = np.random.default_rng(0).normal(size=(1000, 1))
        >>> empty = ww.estimators.PowerSums.empty(pivot=[0.0], order=4)
        >>> both = empty.update(x[:400]).merge(empty.update(x[400:]))
        >>> both.count, bool(abs(both.cumulant((0, 0)).value - x.var(ddof=1)) < 1e-12)
        (1000, True)
    """

    order: int
    pivot: Float[np.ndarray, "*rest variables"]
    counts: Float[np.ndarray, " groups"]
    sums: Float[np.ndarray, "groups products *rest"]

    @classmethod
    def empty(cls, pivot: ArrayLike, order: int = 4, groups: int = _GROUPS) -> "PowerSums":
        """No samples yet.

        Args:
            pivot: p, (..., variables): the last axis holds the variables of joint cumulants, the
                axes before it independent sets of them.
            order: highest order of a cumulant, 1 to 6.
            groups: how many groups of samples the standard errors use, at least 2.

        Raises:
            ValueError: for an order above 6, or a pivot that is not finite.
        """
        p = np.atleast_1d(np.asarray(pivot, dtype=float))
        if not np.isfinite(p).all():
            raise ValueError(f"pivot must be finite, got {pivot!r}")
        if checks.positive_integer(order, "order") > MOST:
            raise ValueError(f"order must be at most {MOST}, got {order}")
        if checks.positive_integer(groups, "groups") < 2:
            raise ValueError(f"groups must be at least 2, got {groups}")
        shape = (groups, len(_products(p.shape[-1], order)), *p.shape[:-1])
        return cls(order, p, np.zeros(groups), np.zeros(shape))

    @property
    def count(self) -> int:
        """The number of samples."""
        return int(self.counts.sum())

    def update(self, block: Float[np.ndarray, "samples *rest variables"]) -> "PowerSums":
        """With more samples, (samples, ..., variables).

        Raises:
            ValueError: for samples of another shape, or not finite.
        """
        block = np.asarray(block, dtype=float)
        if block.ndim != self.pivot.ndim + 1 or block.shape[1:] != self.pivot.shape:
            raise ValueError(
                f"samples must have shape (samples, {', '.join(map(str, self.pivot.shape))}), like "
                f"the pivot, got {block.shape}"
            )
        if not np.isfinite(block).all():
            raise ValueError("samples must be finite; leave out networks that diverged")
        groups = len(self.counts)
        centred = block - self.pivot
        counts, sums = self.counts.copy(), self.sums.copy()
        for group in range(min(groups, len(block))):
            place = (self.count + group) % groups
            mine = np.moveaxis(centred[group::groups], -1, 0)
            powers: dict[Key, np.ndarray] = {}
            for number, product in enumerate(_products(len(mine), self.order)):
                before = powers.get(product[:-1])
                last = mine[product[-1]]
                powers[product] = last if before is None else before * last
                sums[place, number] += powers[product].sum(0)
            counts[place] += mine.shape[1]
        return PowerSums(self.order, self.pivot, counts, sums)

    def merge(self, other: "PowerSums") -> "PowerSums":
        """With the samples of another worker.

        Raises:
            ValueError: for another order, pivot or number of groups.
        """
        same = self.order == other.order and self.sums.shape == other.sums.shape
        if not same or not np.array_equal(self.pivot, other.pivot):
            raise ValueError(
                "only power sums of the same order, groups and pivot can be merged; start all "
                "workers from one PowerSums.empty(...)"
            )
        counts, sums = self.counts + other.counts, self.sums + other.sums
        return PowerSums(self.order, self.pivot, counts, sums)

    @property
    def mean(self) -> Estimate:
        """The means (..., variables) and their standard errors."""
        parts = [self.cumulant((i,)) for i in range(self.pivot.shape[-1])]
        return Estimate(*(np.stack(numbers, -1) for numbers in zip(*parts, strict=True)))

    @property
    def covariance(self) -> Estimate:
        """The unbiased covariances (..., variables, variables) and their standard errors."""
        variables = range(self.pivot.shape[-1])
        parts = [[self.cumulant((i, j)) for j in variables] for i in variables]
        return Estimate(
            *(np.stack([np.stack([p[k] for p in row], -1) for row in parts], -2) for k in range(2))
        )

    def cumulant(self, indices: Key) -> Estimate:
        """The joint cumulant of some variables, unbiased, and its standard error.

        Args:
            indices: variables, such as (0, 0, 1); 1 to ``order`` of them.

        Raises:
            ValueError: for too few samples, too many indices, or a variable there is not.
        """
        chosen = checks.indices(indices, "indices")
        variables = self.pivot.shape[-1]
        if not 1 <= len(chosen) <= self.order or not all(0 <= i < variables for i in chosen):
            raise ValueError(
                f"indices must be 1 to {self.order} numbers below {variables}, got {indices!r}"
            )
        filled = self.counts > 0
        kept = self.count - self.counts[filled]
        if filled.sum() < 2 or kept.min() < len(chosen):
            raise ValueError(
                f"a cumulant of order {len(chosen)} and its error need more samples than "
                f"{self.count}"
            )
        whole = self.sums.sum(0)
        names = _products(variables, self.order)
        total = {name: np.asarray(part) for name, part in zip(names, whole, strict=True)}
        without = dict(zip(names, np.moveaxis(whole - self.sums[filled], 1, 0), strict=True))
        if len(chosen) == 1:
            pivot = self.pivot[..., chosen[0]]
            value = pivot + total[chosen] / self.count
            parts = pivot + without[chosen] / _column(kept, without[chosen])
        else:
            shift = [np.asarray(total[(i,)] / self.count) for i in range(variables)]
            value = _about(chosen, self.count, total, shift)
            parts = _about(chosen, _column(kept, without[(0,)]), without, shift)
        parts = np.asarray(parts)
        G = len(parts)
        spread = ((parts - parts.mean(0)) ** 2).sum(0) * (G - 1) / G
        return Estimate(np.asarray(value), np.sqrt(spread))

    def arrays(self) -> dict[str, np.ndarray]:
        """Plain arrays to store, by ``numpy.savez`` or as lists in JSON."""
        numbers = {"pivot": self.pivot, "counts": self.counts, "sums": self.sums}
        return {"order": np.asarray(self.order), **numbers}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, ArrayLike]) -> "PowerSums":
        """What :meth:`arrays` stored."""
        pivot, counts, sums = (np.asarray(arrays[k], float) for k in ("pivot", "counts", "sums"))
        return cls(int(np.asarray(arrays["order"])), pivot, counts, sums)


def _products(variables: int, order: int) -> list[Key]:
    return [
        key
        for r in range(1, order + 1)
        for key in combinations_with_replacement(range(variables), r)
    ]


def _column(counts: np.ndarray, like: np.ndarray) -> np.ndarray:
    return counts.reshape(-1, *(1,) * (like.ndim - 1))


def _about(chosen: Key, count, sums: dict[Key, np.ndarray], shift: list[np.ndarray]):
    """The k-statistic from power sums moved by ``shift``."""
    moved: dict[Key, np.ndarray] = {}

    def power_sum(block: Key) -> np.ndarray:
        if block not in moved:
            total = 0.0
            for size in range(len(block) + 1):
                for kept in combinations(range(len(block)), size):
                    left = [block[i] for i in range(len(block)) if i not in kept]
                    term = sums[tuple(block[i] for i in kept)] if kept else count
                    for i in left:
                        term = term * -shift[i]
                    total = total + term
            moved[block] = np.asarray(total)
        return moved[block]

    return k_statistic(chosen, count, power_sum)
