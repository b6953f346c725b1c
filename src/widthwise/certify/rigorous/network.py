r"""What the theorems need of a network at its parameters, as verified bounds.

Float64 sums of n terms are off by at most γ_n = nu/(1 - nu) times the sum of the absolute values,
in whatever order they are formed. :class:`~widthwise.certify.evaluation.Evaluation` propagates this
through the network into |δr| and |δJ|_F; these are sums and products of nonnegative numbers, each
with at most a few million roundings, which the outward factor 1 + 1e-9 covers. The kernel adds

    |Θ̂ - ĴĴᵀ| ≤ γ_K tr ĴĴᵀ,   K = 2 max width + L + 16,   |ĴĴᵀ - Θ| ≤ 2|Ĵ||δJ| + |δJ|²,

and for the Gram matrix K of d extended inputs its entrywise powers are off by pγ_{d+8} tr K^{∘p}.
The eigenvalues of the float64 matrices are bounded in :mod:`.eigenvalues`, the Lipschitz constant
of networks of two and more hidden layers in :mod:`.deep`. Taken for granted: IEEE
arithmetic; that the float64 values of φ, φ' and φ'' are within 64 units of rounding, relative to
the size of value and argument; and the declared sup-norms of φ', φ'' and φ'''. The network is the
one whose scales (weight_std over the root of the fan-in) are the float64 numbers used.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from widthwise.certify.constants.shallow import extended_inputs
from widthwise.certify.evaluation import SAFE, Evaluation, Problem
from widthwise.certify.rigorous.deep import DeepConstants
from widthwise.certify.rigorous.eigenvalues import (
    largest_eigenvalue,
    smallest_eigenvalue,
)
from widthwise.certify.rigorous.intervals import Interval, exact, gamma, norm, root, upper

_COVERED = 4_000_000  # roundings in a row that 1 + 1e-9 covers with room


@dataclass(frozen=True, eq=False)
class Verified:
    """Bounds of one network, each an interval of which one end counts.

    Args:
        at: the network and its derivative in float64.
        powers: √λ_max of K, K∘K and K∘K∘K from above, which depend on the data alone.
        deep: the constants of a network of two or more hidden layers.
    """

    at: Evaluation
    powers: tuple[Interval, Interval, Interval]
    deep: DeepConstants | None = None

    @classmethod
    def of(cls, at: Evaluation) -> "Verified":
        """The bounds of a network."""
        deep = DeepConstants.of(at) if at.problem.depth > 1 else None
        return cls(at, verified_powers(at.problem), deep)

    def moved(self, at: Evaluation) -> "Verified":
        """The bounds of the network at other parameters."""
        return Verified(at, self.powers, None if self.deep is None else self.deep.moved(at))

    @property
    def uncovered(self) -> str | None:
        """Why the bounds do not cover this network, if they do not."""
        if sum(block.weight.size for block in self.at.blocks) > _COVERED * len(self.at.blocks):
            return "the network is too large for the error bounds of interval arithmetic"
        return None

    @cached_property
    def residual(self) -> Interval:
        """|r| from above."""
        return norm(self.at.residual) + exact(self.at.rounding[0])

    @cached_property
    def jacobian_error(self) -> Interval:
        """|δJ|, how far the computed Jacobian can be from the exact one."""
        return exact(self.at.rounding[1])

    @cached_property
    def gamma(self) -> Interval:
        """γ_K of the inner products in a kernel."""
        widest = max(block.weight.shape[1] for block in self.at.blocks)
        return gamma(2 * widest + self.at.problem.depth + 16)

    @cached_property
    def trace(self) -> Interval:
        """Tr ĴĴᵀ of the computed Jacobian, from above."""
        computed = sum((exact(value) for value in np.diag(self.at.kernel)), exact(0.0))
        return computed * (1 + 2 * self.gamma)

    @cached_property
    def kernel_radius(self) -> Interval:
        """How far the float64 kernel can be from Θ, in spectral norm."""
        jacobian = self.jacobian_error
        return self.gamma * self.trace + 2 * root(self.trace) * jacobian + jacobian**2

    @cached_property
    def smallest(self) -> Interval:
        """λ_min(Θ) from below; may be negative."""
        return exact(smallest_eigenvalue(self.at.kernel)) - self.kernel_radius

    @cached_property
    def alpha(self) -> Interval:
        """σ_min(J) from below; 0 where none is certified."""
        return root(self.smallest)

    @cached_property
    def beta(self) -> Interval:
        """|J| from above."""
        return root(exact(largest_eigenvalue(self.at.kernel)) + self.kernel_radius)

    def lipschitz(self, radius: Interval) -> Interval:
        """L(R), the Lipschitz constant of J on the ball of this radius."""
        if self.deep is not None:
            return self.deep.jacobian(radius)
        p = self.at.problem
        first, second, _ = self.powers
        a = (self.column + radius) * exact(p.bounds.curvature) * second
        b = exact(p.bounds.slope) * first
        return exact(p.scales[-1]) * (a + root(a**2 + 4 * b**2)) / 2

    def hessian(self, radius: Interval) -> Interval | None:
        """L3(R), the Lipschitz constant of the Hessian on that ball; none where it is unknown."""
        p = self.at.problem
        if self.deep is not None or not np.isfinite(p.bounds.third):
            return None
        cubic = (self.column + radius) * exact(p.bounds.third) * self.powers[2]
        return exact(p.scales[-1]) * (cubic + 3 * exact(p.bounds.curvature) * self.powers[1])

    @cached_property
    def column(self) -> Interval:
        """The largest norm of a neuron's readout weights."""
        weight: Float[np.ndarray, "outputs width"] = self.at.blocks[-1].weight
        return exact(float(np.sqrt((weight**2).sum(0).max())) * SAFE)

    def lipschitz_above(self, radius: float) -> float:
        """L(R) as a float64 from above."""
        return upper(self.lipschitz(exact(radius)))


def verified_powers(problem: Problem) -> tuple[Interval, Interval, Interval]:
    """√λ_max of K, K∘K and K∘K∘K from above."""
    inputs = extended_inputs(problem)
    gram = inputs @ inputs.T
    weights = np.outer(problem.root, problem.root)

    def bound(power: int) -> Interval:
        matrix = weights * gram**power
        rounded = power * gamma(inputs.shape[1] + 8) * exact(float(np.trace(matrix)) * SAFE)
        return root(exact(largest_eigenvalue(matrix)) + rounded)

    return bound(1), bound(2), bound(3)
