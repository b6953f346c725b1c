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
from widthwise.training.neurons.engine import Maps
from widthwise.training.neurons.problem import Problem

_SOURCES, _FIELDS = 200, 24
_EDGE = 1e-12
_ROUNDING = 1e-14


def readout_atoms(fourth_moment: float) -> list[tuple[float, float]]:
    """(a, probability) of the two atoms; one if a² is constant."""
    if fourth_moment <= 1 + 1e-12:
        return [(1.0, 1.0)]
    return [(fourth_moment**0.5, 1 / fourth_moment), (0.0, 1 - 1 / fourth_moment)]


@dataclass(frozen=True, eq=False)
class Sampler:
    """Uniform points as numbers s and ξ, and the matrices that make z and F of them."""

    of: Problem

    @cached_property
    def maps(self) -> Maps:
        """A and √μ_j e_j; Gaussian sources are turned to the principal directions of the points."""
        A = self.of.sources.coefficients
        if self.of.sources.gaussian and A.shape[1]:
            left, scales, _ = np.linalg.svd(A, full_matrices=False)
            A = left * scales
        values, vectors = np.linalg.eigh(self.of.flow.nngp)
        kept = max(1, int((values > values[-1] * _ROUNDING).sum()))
        fields = (vectors * np.sqrt(np.maximum(values, 0.0)))[:, ::-1][:, :kept]
        return Maps(A, fields)

    @property
    def dimensions(self) -> tuple[int, int]:
        """How many of s and of ξ are Sobol points."""
        sources, fields = self.maps
        return min(sources.shape[1], _SOURCES), min(fields.shape[1], _FIELDS)

    def stream(self, seed: np.random.SeedSequence) -> "Stream":
        sobol, plain = seed.spawn(2)
        engine = qmc.Sobol(sum(self.dimensions), rng=np.random.default_rng(sobol))
        return Stream(self, engine, np.random.default_rng(plain))


@dataclass
class Stream:
    """The points of one replicate, in order: a Sobol engine remembers where it is."""

    sampler: Sampler
    engine: qmc.Sobol
    plain: np.random.Generator

    def draw(
        self, count: int
    ) -> tuple[Float[np.ndarray, "count sources"], Float[np.ndarray, "count fields"]]:
        """The next s and ξ."""
        (few, leading), maps = self.sampler.dimensions, self.sampler.maps
        u = np.clip(self.engine.random(count), _EDGE, 1 - _EDGE)
        rest = self.plain.random((count, maps.sources.shape[1] - few))
        s = np.concatenate([u[:, :few], np.clip(rest, _EDGE, 1 - _EDGE)], 1)
        sources = self.sampler.of.sources
        if sources.gaussian:
            s = ndtri(s)
        else:
            s = np.stack([quantile(law)(s[:, j]) for j, law in enumerate(sources.laws)], 1)
        xi = self.plain.standard_normal((count, maps.fields.shape[1] - leading))
        return s, np.concatenate([ndtri(u[:, few:]), xi], 1)
