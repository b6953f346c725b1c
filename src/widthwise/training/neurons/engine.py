r"""From sums over neurons to coefficients of the mean and the covariance.

A program of :mod:`.programs` leaves forcings summed over neurons; here they pass through the
response, in float64, and the outer products through A_t.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise.training.neurons.panels import Panels
from widthwise.training.neurons.problem import Problem
from widthwise.training.neurons.programs import (
    Program,
    Sums,
    accumulate,
    constants,
    nodes,
    nothing,
    responses,
)


class Terms(NamedTuple):
    """Contributions to a coefficient at the requested times.

    Args:
        mean: to that of the mean.
        covariance: to that of the covariance.
        first_order: to Var f₁, the part of the variance that the first deviation makes alone.
    """

    mean: Float[np.ndarray, "times points"]
    covariance: Float[np.ndarray, "times points points"]
    first_order: Float[np.ndarray, "times points"]

    def __add__(self, other: "Terms") -> "Terms":  # pyright: ignore[reportIncompatibleMethodOverride]
        return Terms(*(one + two for one, two in zip(self, other, strict=True)))

    def scaled(self, factor: float) -> "Terms":
        return Terms(*(factor * part for part in self))


class Draw(NamedTuple):
    """Neurons and initial outputs as independent numbers s and ξ, and weights of their average."""

    s: Float[np.ndarray, "nodes sources"]
    xi: Float[np.ndarray, "nodes fields"]
    weights: Float[np.ndarray, " nodes"]


class Maps(NamedTuple):
    """Matrices with z = sources · s and F = fields · ξ."""

    sources: Float[np.ndarray, "points sources"]
    fields: Float[np.ndarray, "points fields"]


@dataclass(frozen=True, eq=False)
class Engine:
    """Sums over neurons for one problem, on one grid of time, in one precision."""

    of: Problem
    times: Float[np.ndarray, " times"]
    grid: Panels
    maps: Maps
    dtype: np.dtype

    @cached_property
    def _maps(self):
        return jax.tree.map(jnp.asarray, tuple(self.maps))

    @cached_property
    def _shared(self):
        return constants(self.of, self.dtype)

    @cached_property
    def _nodes(self):
        return nodes(self.grid, self.dtype)

    @cached_property
    def _exact(self):
        kind = np.dtype(float)
        return constants(self.of, kind), nodes(self.grid, kind)

    @cached_property
    def _propagators(self) -> np.ndarray:
        return self.of.flow.propagator(self.times)

    def total(self, program: Program, a: float, draws: Iterable[Draw]) -> Terms:
        """The weighted sum of a program over neurons with readout weight ±a."""
        sums = nothing(program, self._shared, self._nodes)
        for draw in draws:
            sums = accumulate(
                sums,
                jnp.full(len(draw.s), a),
                jnp.asarray(draw.s),
                jnp.asarray(draw.xi),
                jnp.asarray(draw.weights),
                self._maps,
                self._shared,
                self._nodes,
                program=program,
                derivatives=self.of.derivatives,
                scale=self.of.scale,
                bias_variance=self.of.bias_variance,
            )
        return self._finish(sums)

    def _finish(self, sums: Sums) -> Terms:
        crossed = sums["F"] + sums["h"] if "h" in sums else sums["F"]
        forcing = jnp.concatenate([sums["mean"][:, :, None], crossed], 2).astype(float)
        rows = np.asarray(responses(*self._exact, forcing))[self.grid.ends]
        product = np.asarray(jnp.asarray(self._propagators) @ rows[:, 1:])
        covariance = product + np.swapaxes(product, 1, 2)
        first_order = np.zeros_like(rows[:, 0])
        if "g" in sums:
            square = np.asarray(sums["g"], float)[self.grid.ends]
            covariance = covariance + square
            first_order = np.diagonal(square, axis1=1, axis2=2)
        return Terms(rows[:, 0], covariance, first_order)
