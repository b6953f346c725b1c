r"""A network along the linear flow against the one it starts from, in verified bounds.

Ĵ and J_0 are the Jacobians at the two float64 parameters, Ĵ^f and J_0^f those of the computed
factors: |Ĵ - Ĵ^f| ≤ |δĴ|, |J_0 - J_0^f| ≤ |δJ_0|. With C = Ĵ^f J_0^fᵀ and the kernels Θ, as
computed,

    |(Θ - C - Cᵀ + Θ_0) - (Ĵ^f - J_0^f)(Ĵ^f - J_0^f)ᵀ| ≤ (γ_K + 8u)(√tr Θ + √tr Θ_0)²,

and every matrix that follows has a radius in spectral norm.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from widthwise.certify.rigorous.eigenvalues import UNIT, largest_eigenvalue
from widthwise.certify.rigorous.intervals import (
    Interval,
    at_most,
    ceiling,
    exact,
    floor,
    length,
    most,
    norm,
    root,
    times,
)
from widthwise.certify.rigorous.network import Verified


@dataclass(frozen=True, eq=False)
class Displaced:
    """One network near the linear reference, and how it differs from the start.

    Args:
        network: the one here.
        start: the one at θ_0.
        distance: bound of |θ - θ_lin(t)|, θ the float64 parameters here.
        nonlinear: bound of |f(θ) - f_0 - J_0(θ - θ_0)|.
    """

    network: Verified
    start: Verified
    distance: Interval
    nonlinear: Interval

    @cached_property
    def sigma(self) -> Interval:
        """σ_min(Ĵ) from below; 0 where none is certified."""
        low = exact(-largest_eigenvalue(-self.network.at.kernel)) - self.network.kernel_radius
        return floor(root(low)) if at_most(exact(0.0), low) else exact(0.0)

    @cached_property
    def beta(self) -> Interval:
        """|Ĵ| from above."""
        return ceiling(self.network.beta)

    @cached_property
    def jacobian_size(self) -> Interval:
        """|Ê| = |Ĵ - J_0| from above."""
        if self._unmoved:
            return exact(0.0)
        largest = exact(largest_eigenvalue(self._square)) + self._square_radius
        return ceiling(root(largest) + self._jacobian_errors)

    @cached_property
    def change_size(self) -> Interval:
        """|Θ - Θ_0| from above."""
        if self._unmoved:
            return exact(0.0)
        both = (exact(largest_eigenvalue(sign * self._change)) for sign in (1, -1))
        return ceiling(most(*both) + self._change_radius)

    def jacobian_change(self, v: Float[np.ndarray, " rows"]) -> Interval:
        """|Êᵀv| from above."""
        if self._unmoved:
            return exact(0.0)
        entries, size = [exact(value) for value in v], norm(v)
        image = times(self._square, entries)
        form = sum((a * b for a, b in zip(entries, image, strict=True)), exact(0.0))
        return root(form + self._square_radius * size**2) + self._jacobian_errors * size

    def forward_change(self, v: Float[np.ndarray, " rows"]) -> Interval:
        """|Ê J_0ᵀv| from above."""
        return self._image(self._forward, self._forward_radius, v)

    def kernel_change(self, v: Float[np.ndarray, " rows"]) -> Interval:
        """|(Θ - Θ_0)v| from above."""
        return self._image(self._change, self._change_radius, v)

    def _image(self, matrix: np.ndarray, radius: Interval, v: np.ndarray) -> Interval:
        if self._unmoved:
            return exact(0.0)
        return length(times(matrix, [exact(value) for value in v])) + radius * norm(v)

    @property
    def _unmoved(self) -> bool:
        return self.network.at is self.start.at

    @cached_property
    def _cross(self) -> np.ndarray:
        return self.network.at.cross_kernel(self.start.at)

    @cached_property
    def _square(self) -> np.ndarray:
        made = self.network.at.kernel - self._cross - self._cross.T + self.start.at.kernel
        return (made + made.T) / 2

    @cached_property
    def _forward(self) -> np.ndarray:
        return self._cross - self.start.at.kernel

    @cached_property
    def _change(self) -> np.ndarray:
        return self.network.at.kernel - self.start.at.kernel

    @cached_property
    def _roots(self) -> tuple[Interval, Interval]:
        return root(self.network.trace), root(self.start.trace)

    @cached_property
    def _products(self) -> Interval:
        """γ_K + 8u."""
        return most(self.network.gamma, self.start.gamma) + exact(8 * UNIT)

    @cached_property
    def _jacobian_errors(self) -> Interval:
        return self.network.jacobian_error + self.start.jacobian_error

    @cached_property
    def _square_radius(self) -> Interval:
        here, there = self._roots
        return ceiling(self._products * (here + there) ** 2)

    @cached_property
    def _forward_radius(self) -> Interval:
        (here, there), lost = self._roots, self.network.jacobian_error
        missed = self.start.jacobian_error
        inexact = lost * there + here * missed + lost * missed
        rounded = self._products * there * (here + there)
        return ceiling(rounded + inexact + self.start.kernel_radius)

    @cached_property
    def _change_radius(self) -> Interval:
        subtracted = exact(8 * UNIT) * (self.network.trace + self.start.trace)
        return ceiling(self.network.kernel_radius + self.start.kernel_radius + subtracted)
