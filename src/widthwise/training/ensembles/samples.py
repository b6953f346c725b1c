r"""Joint cumulants of samples, each with its influence: what every member adds to the estimate.

With x, y, … centred by their sample means and m_{xy…} the means of their products,

    κ(x, y) = m_xy,      κ(x, y, z) = m_xyz,
    κ(x, y, z, w) = m_xyzw − m_xy m_zw − m_xz m_yw − m_xw m_yz,

times the factor that removes the bias of order 1/M of M members (k-statistics). The influence of a
member is the derivative of the estimate by its weight, so that a sum of estimates from the same
members has the standard error of the sum of influences, correlations included:

    error² = Var(influence) / M.

Source: Efron and Tibshirani, *An Introduction to the Bootstrap* (1993), chapter 21.
"""

from collections.abc import Sequence
from itertools import combinations
from math import prod
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from widthwise.algebra.gaussian import Estimate
from widthwise.algebra.partitions import mobius, set_partitions


class Influence(NamedTuple):
    """An estimate and what every member adds to it, of mean 0; they add and scale."""

    value: Float[np.ndarray, "*rest"]
    members: Float[np.ndarray, "members *rest"]

    def plus(self, other: "Influence", factor: float = 1.0) -> "Influence":
        """This estimate plus ``factor`` times another one from the same members."""
        return Influence(self.value + factor * other.value, self.members + factor * other.members)

    @property
    def estimate(self) -> Estimate:
        """The value and its standard error."""
        count = len(self.members)
        return Estimate(np.asarray(self.value), self.members.std(0, ddof=1) / np.sqrt(count))


def cumulant(variables: Sequence[np.ndarray]) -> Influence:
    """The joint cumulant of one to four variables (members, ...), elementwise in the other axes."""
    count, degree = len(variables[0]), len(variables)
    if degree == 1:
        mean = np.mean(variables[0], 0)
        return Influence(mean, variables[0] - mean)
    x = [v - np.mean(v, 0) for v in variables]
    every = tuple(range(degree))
    product = {
        S: prod(x[i] for i in S) for r in range(2, degree + 1) for S in combinations(every, r)
    }
    mean = {S: np.mean(p, 0) for S, p in product.items()}
    value, influence = mean[every], product[every] - mean[every]
    if degree == 2:
        value = value * count / (count - 1)
    if degree == 3:
        value = value * count**2 / ((count - 1) * (count - 2))
    if degree == 4:
        pairs = sum(mean[0, i] * mean[_without(every, 0, i)] for i in (1, 2, 3))
        factor = count**2 / ((count - 1) * (count - 2) * (count - 3))
        value = factor * ((count + 1) * value - (count - 1) * pairs)
        for i in (1, 2, 3):
            a, b = (0, i), _without(every, 0, i)
            influence = influence - product[a] * mean[b] - mean[a] * product[b]
            influence = influence + 2 * mean[a] * mean[b]
    if degree > 2:
        for i in every:
            influence = influence - x[i] * mean[_without(every, i)]
    return Influence(value, influence)


def _without(every: tuple[int, ...], *left: int) -> tuple[int, ...]:
    return tuple(i for i in every if i not in left)


def joint_cumulant(centred: Sequence[np.ndarray]) -> np.ndarray:
    """The joint cumulant of many samples of any number of centred variables (samples, ...)."""
    total: np.ndarray | float = 0.0
    for partition in set_partitions(len(centred)):
        if all(len(block) > 1 for block in partition):
            means = (np.mean(prod(centred[i] for i in block), 0) for block in partition)
            total = total + mobius(len(partition)) * prod(means)
    return np.asarray(total)
