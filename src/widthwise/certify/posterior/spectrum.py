"""Eigenvalues of the tangent kernel with a margin, and the linear flow they drive.

The computed kernel is off by at most

    margin = (4 n (L + 1) + 40 m + 100) u tr Θ + 2 β |δJ| + |δJ|²

in spectral norm: inner products and the eigenvalue solver, then the rounding of the network itself.
By Weyl's inequality λ_min(Θ) ≥ λ̂_min - margin. The linear flow r_lin(t) = e^{-Θ_0 t} r_0 is
computed from the eigenpairs; with d = |δr_0| and λ = λ_min - margin its exact values differ by at
most

    |δr_lin(t)| ≤ margin |r_0|/(eλ) + d,
    |δΔ_lin(t)| ≤ β (margin |r_0|/λ² + d/λ) + |δJ| |r_0|/λ.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise.certify.certificate import Hypothesis
from widthwise.certify.evaluation import SAFE, UNIT, Evaluation


def kernel_margin(at: Evaluation) -> float:
    """How far the computed kernel of a network can be from the exact one, in spectral norm."""
    theta, (_, jacobian) = at.kernel, at.rounding
    widest = max(block.weight.shape[1] for block in at.blocks)
    terms = 4 * widest * len(at.blocks) + 40 * at.problem.rows + 100
    trace = float(np.trace(theta))
    return (terms * UNIT * trace + 2 * np.sqrt(trace) * jacobian + jacobian**2) * SAFE


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The kernel of one network, decomposed.

    Args:
        values: computed eigenvalues, increasing, at least 0.
        vectors: eigenvectors in columns.
        margin: bound of the error of every eigenvalue.
        residual: computed residual.
        residual_error: bound of its error.
        jacobian_error: bound of the error of the Jacobian.
    """

    values: Float[np.ndarray, " rows"]
    vectors: Float[np.ndarray, "rows rows"]
    margin: float
    residual: Float[np.ndarray, " rows"]
    residual_error: float
    jacobian_error: float

    @classmethod
    def of(cls, at: Evaluation) -> "Spectrum":
        """The spectrum of a network's kernel on its train points."""
        values, vectors = np.linalg.eigh(at.kernel)
        return cls(np.maximum(values, 0.0), vectors, kernel_margin(at), at.residual, *at.rounding)

    @property
    def smallest(self) -> float:
        """Lower bound of λ_min."""
        return float(self.values[0]) - self.margin

    @property
    def alpha(self) -> float:
        """Lower bound of the smallest singular value of J; 0 where none is certified."""
        return float(np.sqrt(max(self.smallest, 0.0))) / SAFE

    @property
    def beta(self) -> float:
        """Upper bound of |J|."""
        return float(np.sqrt(self.values[-1] + self.margin)) * SAFE

    @property
    def size(self) -> float:
        """Upper bound of |r|."""
        return (float(np.linalg.norm(self.residual)) + self.residual_error) * SAFE

    @property
    def positive(self) -> Hypothesis:
        """That the kernel is certified positive."""
        return Hypothesis("λ_min(Θ_0) above its margin", float(self.values[0]), ">", self.margin)


class LinearReference:
    """The linear flow of Θ_0, each number an upper bound of the exact one."""

    def __init__(self, spectrum: Spectrum):
        self._s = spectrum
        self._c = spectrum.vectors.T @ spectrum.residual
        self._values = np.maximum(spectrum.values, spectrum.smallest)
        s, low = spectrum, spectrum.smallest
        size, beta = s.size, s.beta
        self.residual_slack = (s.margin * size / (np.e * low) + s.residual_error) * SAFE
        self.displacement_slack = SAFE * (
            beta * (s.margin * size / low**2 + s.residual_error / low)
            + s.jacobian_error * size / low
        )

    def residual(self, t: float) -> Float[np.ndarray, " rows"]:
        """The computed r_lin(t), off by at most ``residual_slack``."""
        return self._s.vectors @ (np.exp(-self._s.values * t) * self._c)

    def size(self, t: float) -> float:
        """|r_lin(t)|."""
        decayed = np.exp(-self._s.values * t) * self._c
        bound = (float(np.linalg.norm(decayed)) + self.residual_slack) * SAFE
        return min(bound, self._s.size * float(np.exp(-self._s.smallest * t)) * SAFE)

    def gradient(self, t: float) -> float:
        """|J_0ᵀ r_lin(t)|."""
        decayed = np.exp(-self._s.values * t) * self._c
        square = ((self._s.values + self._s.margin) * decayed**2).sum()
        return (float(np.sqrt(square)) + self._s.beta * self.residual_slack) * SAFE

    def displacement(self, t: float, since: float = 0.0) -> float:
        """|Δ_lin(t) - Δ_lin(since)|; t may be infinite."""
        decay = np.exp(-self._s.values * since)
        change = decay * np.expm1(-self._s.values * (t - since)) * self._c
        slack = (2 if since else 1) * self.displacement_slack
        return (float(np.linalg.norm(change / np.sqrt(self._values))) + slack) * SAFE

    def preimage(self, t: float) -> Float[np.ndarray, " rows"]:
        """v(t) with Δ_lin(t) = -J_0ᵀ v(t)."""
        s = self._s
        return s.vectors @ (-np.expm1(-s.values * t) / self._values * self._c)
