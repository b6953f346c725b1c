r"""Neurons and initial outputs at randomized Sobol points, and the rule in a readout weight.

A neuron's preactivations are z = A s with independent numbers s, and an initial output at n = ∞ is
F = Σ_j √μ_j e_j ξ_j (μ, e: eigenvalues and vectors of K, ξ standard normal). Sobol points serve the
leading directions of both, at most 200 of s and 24 of ξ; the others are plain draws. Every
replicate is scrambled on its own, so the spread over replicates is an honest error.

The sums are even polynomials of degree 4 in a: the two atoms a² = μ₄ with probability 1/μ₄ and
a = 0 otherwise have their moments E a² = 1 and E a⁴ = μ₄.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri
from scipy.stats import qmc

from widthwise.limit.first_layer.sobol import quantile
from widthwise.training.neurons.problem import Problem

_SOURCES, _FIELDS = 200, 24
_EDGE = 1e-12


def readout_atoms(fourth_moment: float) -> list[tuple[float, float]]:
    """(a, probability) of the two atoms; one if a² is constant."""
    if fourth_moment <= 1 + 1e-12:
        return [(1.0, 1.0)]
    return [(fourth_moment**0.5, 1 / fourth_moment), (0.0, 1 - 1 / fourth_moment)]


@dataclass(frozen=True, eq=False)
class Sampler:
    """Maps of uniform points to neurons and initial outputs."""

    of: Problem

    @cached_property
    def _sources(self) -> np.ndarray:
        """A; Gaussian sources rotated to the principal directions of the points."""
        A, laws = self.of.sources.coefficients, self.of.sources.laws
        if not self.of.sources.gaussian:
            return A
        left, scales, _ = np.linalg.svd(A, full_matrices=False)
        return left * scales if len(laws) else A

    @cached_property
    def _fields(self) -> np.ndarray:
        values, vectors = np.linalg.eigh(self.of.flow.nngp)
        kept = values > values[-1] * 1e-14
        return (vectors * np.sqrt(np.where(kept, values, 0.0)))[:, ::-1][:, : max(kept.sum(), 1)]

    @property
    def dimensions(self) -> tuple[int, int]:
        """How many directions of s and of ξ are Sobol points."""
        return (
            min(self._sources.shape[1], _SOURCES),
            min(self._fields.shape[1], _FIELDS),
        )

    def stream(self, seed: np.random.SeedSequence) -> "Stream":
        sobol, plain = seed.spawn(2)
        engine = qmc.Sobol(sum(self.dimensions), rng=np.random.default_rng(sobol))
        return Stream(self, engine, np.random.default_rng(plain))

    def neurons(self, u: Float[np.ndarray, "nodes q"]) -> Float[np.ndarray, "nodes points"]:
        A, laws = self._sources, self.of.sources.laws
        if self.of.sources.gaussian:
            return ndtri(u) @ A.T
        return np.stack([quantile(law)(u[:, j]) for j, law in enumerate(laws)], 1) @ A.T

    def fields(self, xi: Float[np.ndarray, "nodes q"]) -> Float[np.ndarray, "nodes points"]:
        return xi @ self._fields.T


@dataclass
class Stream:
    """The points of one replicate, in order: a Sobol engine remembers where it is."""

    sampler: Sampler
    engine: qmc.Sobol
    plain: np.random.Generator

    def draw(
        self, count: int
    ) -> tuple[Float[np.ndarray, "count points"], Float[np.ndarray, "count points"]]:
        """The next z and F."""
        sampler = self.sampler
        few, leading = sampler.dimensions
        u = np.clip(self.engine.random(count), _EDGE, 1 - _EDGE)
        rest = self.plain.random((count, sampler._sources.shape[1] - few))
        xi = self.plain.standard_normal((count, sampler._fields.shape[1] - leading))
        z = sampler.neurons(np.concatenate([u[:, :few], np.clip(rest, _EDGE, 1 - _EDGE)], 1))
        return z, sampler.fields(np.concatenate([ndtri(u[:, few:]), xi], 1))
