r"""What is known of the controls without training: the cumulants they bring back.

With g = A_t F and h = f⁽¹⁾ the estimates of :mod:`.build` need, at one width n,

    E F F = K_n,   κ(F, F, F),   E h,   κ(g, h),
    κ(g, g, g),   κ(g, g, h),   κ(g, g, g, g),   κ(g, g, g, h),

the last four at one row at a time. E F = 0 always, as readout weights have mean 0. Each comes with
the error of its source: :mod:`.neurons` for one hidden layer, :mod:`.untrained` for all others.

Where a change of sign of parameters turns f into −f and leaves their law alone
(:func:`~widthwise.training.symmetry.third_vanishes_in_mean`, and an output bias of symmetric law),
every cumulant of Θ_n with an odd number of F vanishes exactly.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from widthwise.algebra.gaussian import Estimate
from widthwise.training.ensembles.controls import Quadratic


class Polynomial(NamedTuple):
    """What a polynomial in F adds to a cumulant, batch by batch of the same neurons.

    Args:
        plain: κ_k(g) + k κ(g, …, g, h) (batches, times, rows).
        linear: κ(g, …, g, F_j) (batches, times, rows, modes).
        square: κ(g, …, g, F_j F_l) (batches, times, rows, modes, modes).
    """

    plain: Float[np.ndarray, "batches times rows"]
    linear: Float[np.ndarray, "batches times rows modes"]
    square: Float[np.ndarray, "batches times rows modes modes"]


@dataclass(frozen=True, eq=False)
class Expectations:
    """Cumulants of the controls at one width, each with its error.

    Args:
        second: K_n (rows, rows).
        third: κ(F, F, F), first axis all rows, the others train modes (rows, modes, modes).
        first_order: E h (times, rows).
        mixed: κ(g_a, h_x) (times, rows, rows), a first.
        linear_cumulants: k → κ_k(g) (times, rows), k = 3, 4.
        mixed_cumulants: k → κ(g, …, g, h) with k − 1 times g (times, rows), k = 3, 4.
        cumulants: k → κ_k(g) + k κ(g, …, g, h) (times, rows), k = 3, 4; the two parts come from
            the same networks or neurons.
        source: in words, where they come from.
        polynomials: k → :class:`Polynomial` where a polynomial in F can be part of h in third and
            fourth cumulants; empty elsewhere.
    """

    second: Estimate
    third: Estimate
    first_order: Estimate
    mixed: Estimate
    linear_cumulants: dict[int, Estimate]
    mixed_cumulants: dict[int, Estimate]
    cumulants: dict[int, Estimate]
    source: str
    polynomials: dict[int, Polynomial] = field(default_factory=dict)

    def cumulant(self, k: int, q: Quadratic) -> Estimate:
        """κ_k(g) + k κ(g, …, g, h + q), without q where it is not known."""
        if k not in self.polynomials:
            return self.cumulants[k]
        plain, linear, square = self.polynomials[k]
        added = np.einsum("btxj,txj->btx", linear, q.linear)
        added = added + np.einsum("btxjl,txjl->btx", square, q.square)
        return averaged(plain + k * added)


def averaged(batches: Float[np.ndarray, "batches *rest"]) -> Estimate:
    """The mean of independent batches and its standard error."""
    batches = np.asarray(batches)
    return Estimate(batches.mean(0), batches.std(0, ddof=1) / np.sqrt(len(batches)))


class Running:
    """The same of batches that come in blocks and are not kept (Chan, Golub and LeVeque, 1983)."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, np.zeros(()), np.zeros(())

    def add(self, block: Float[np.ndarray, "batches *rest"]) -> None:
        """Take a block into account."""
        count, mean = len(block), np.mean(block, 0)
        total, gap = self.count + count, mean - self.mean
        squares = ((block - mean) ** 2).sum(0)
        self.squares = self.squares + squares + gap**2 * (self.count * count / total)
        self.mean = self.mean + gap * (count / total)
        self.count = total

    @property
    def estimate(self) -> Estimate:
        """The mean of all batches and its standard error."""
        variance = self.squares / (self.count - 1)
        return Estimate(np.asarray(self.mean), np.sqrt(variance / self.count))
