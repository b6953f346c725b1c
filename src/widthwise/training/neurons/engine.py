r"""From sums over neurons to coefficients of the mean and the covariance.

A program of :mod:`.programs` leaves forcings summed over neurons; here they pass through the
response, in float64, and the outer products through A_t.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise.training.neurons.panels import Panels
from widthwise.training.neurons.problem import Problem
from widthwise.training.neurons.programs import Program, accumulate, constants, nodes, nothing


class Terms(NamedTuple):
    """Contributions to a coefficient of the mean and of the covariance at the requested times."""

    mean: Float[np.ndarray, "times points"]
    covariance: Float[np.ndarray, "times points points"]

    def __add__(self, other: "Terms") -> "Terms":  # pyright: ignore[reportIncompatibleMethodOverride]
        return Terms(self.mean + other.mean, self.covariance + other.covariance)

    def scaled(self, factor: float) -> "Terms":
        return Terms(factor * self.mean, factor * self.covariance)


class Draw(NamedTuple):
    """Neurons z and initial outputs F with the weights of their average."""

    z: Float[np.ndarray, "nodes points"]
    F: Float[np.ndarray, "nodes points"]
    weights: Float[np.ndarray, " nodes"]


@dataclass(frozen=True, eq=False)
class Engine:
    """Sums over neurons for one problem, on one grid of time, in one precision."""

    of: Problem
    times: Float[np.ndarray, " times"]
    grid: Panels
    dtype: np.dtype

    @cached_property
    def _shared(self):
        return constants(self.of, self.dtype)

    @cached_property
    def _nodes(self):
        return nodes(self.grid, self.dtype)

    @cached_property
    def _propagators(self) -> np.ndarray:
        return self.of.flow.propagator(self.times)

    def total(self, program: Program, a: float, draws: Iterable[Draw]) -> Terms:
        """The weighted sum of a program over neurons with readout weight ±a."""
        sums = nothing(program, self._shared, self._nodes)
        for draw in draws:
            sums = accumulate(
                sums,
                jnp.full(len(draw.z), a),
                jnp.asarray(draw.z),
                jnp.asarray(draw.F),
                jnp.asarray(draw.weights),
                self._shared,
                self._nodes,
                program=program,
                derivatives=self.of.derivatives,
                scale=self.of.scale,
                bias_variance=self.of.bias_variance,
            )
        return self._finish({name: np.asarray(v, dtype=float) for name, v in sums.items()})

    def _finish(self, sums: dict[str, np.ndarray]) -> Terms:
        mean = self.respond(sums["mean"])
        crossed = self.respond(sums["F"] + sums["h"] if "h" in sums else sums["F"])
        covariance = self.symmetrized(crossed)
        if "g" in sums:
            covariance = covariance + sums["g"][self.grid.ends]
        return Terms(mean, covariance)

    def respond(self, forcing: Float[np.ndarray, "panels stages *rest points"]) -> np.ndarray:
        """Resp of a forcing at the requested times."""
        return self.of.back(self.grid.respond(self.of.rotate(forcing))[self.grid.ends, -1])

    def symmetrized(
        self, crossed: Float[np.ndarray, "times points points"]
    ) -> Float[np.ndarray, "times points points"]:
        """A_t X + (A_t X)ᵀ."""
        product = self._propagators @ crossed
        return product + np.swapaxes(product, 1, 2)
