"""The law of training by the dense engine: tensors over four rows, any outputs, all cumulants."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise.training.blocks.value import Blocks
from widthwise.training.dynamics import Dynamics, GradientDescent
from widthwise.training.law.engine import Engine
from widthwise.training.law.law import LawErrors, TrainingLaw
from widthwise.training.law.reliability import Reliability, reliability
from widthwise.training.solution_map import SolutionMap

_DRAWS = 8


@dataclass(frozen=True, eq=False, repr=False)
class DenseLaw(TrainingLaw):
    """The law of the outputs from joint statistics at initialization; see :func:`training_law`.

    Args:
        solution: the solution map about Θ_∞.
        blocks: joint statistics at initialization.
        dynamics: gradient flow or descent, and when.
        order: highest power of n^{−1/2}.
    """

    solution: SolutionMap
    blocks: Blocks
    dynamics: Dynamics
    order: int

    @property
    def times(self) -> Float[np.ndarray, " times"]:
        """The times at which the law is known, of gradient descent the numbers of steps."""
        return np.asarray(self.dynamics.moments)

    @property
    def clock(self) -> str:
        """What the moments are, in words."""
        if isinstance(self.dynamics, GradientDescent):
            return f"steps={self.times.tolist()} of {self.dynamics.step:g}"
        return f"times={self.times.tolist()}"

    @property
    def outputs(self) -> int:
        """Components of the network's output."""
        return self.blocks.outputs

    @property
    def points(self) -> int:
        """Train and test points together."""
        return len(self.solution.ntk) // self.outputs

    @property
    def engine(self) -> str:
        """Which engine computed the statistics at initialization, and how."""
        return self.blocks.engine

    def __repr__(self) -> str:
        return (
            f"DenseLaw({self.solution.train // self.outputs} train and "
            f"{self.points - self.solution.train // self.outputs} test points, outputs="
            f"{self.outputs}, {self.clock}, order={self.order}; {self.engine})"
        )

    @cached_property
    def _engine(self) -> Engine:
        return Engine(self.solution, self.blocks, self.dynamics, self.order)

    # coefficients -------------------------------------------------------------------------------

    @cached_property
    def mean_coefficients(self) -> Float[np.ndarray, "orders times points outputs"]:
        """Coefficients of n^{−j/2}, j = 0 … order, of the mean."""
        return self._shaped(self._engine.cumulants(1), 1)

    @cached_property
    def covariance_coefficients(self) -> Float[np.ndarray, "..."]:
        """Coefficients of n^{−j/2} of the covariance, with the shape of :meth:`covariance`."""
        return self._shaped(self._engine.cumulants(2), 2)

    def coefficients(
        self, points: Sequence[int], components: Sequence[int] | None = None
    ) -> Float[np.ndarray, "orders times"]:
        rows, parts = self._numbered(points, components)
        flat = tuple(r * self.outputs + c for r, c in zip(rows, parts, strict=True))
        return self._engine.cumulant(flat)

    def _shaped(self, array: np.ndarray, degree: int) -> np.ndarray:
        each = (self.points, self.outputs)
        if degree == 2 and self.outputs == 1:
            each = (self.points,)
        return array.reshape(*array.shape[:2], *each * degree)

    # how good it is -----------------------------------------------------------------------------

    @cached_property
    def errors(self) -> LawErrors:
        """Errors of the coefficients of mean and covariance that come from the blocks.

        Standard errors over replicates where the blocks were averaged over random points, else what
        the estimated errors of the blocks and limit kernels amount to. What the series leaves out
        is not in them: see :meth:`reliability`.
        """
        return LawErrors(self._spread(1), self._spread(2))

    def _spread(self, degree: int) -> np.ndarray:
        """The error of the coefficients of mean (degree 1) or covariance (degree 2)."""
        own = self._engine.cumulants(degree)
        replicates = self.blocks.replicates or tuple(map(self._perturbed, range(_DRAWS)))
        others = np.array([self._engine.with_blocks(b).cumulants(degree) for b in replicates])
        if len(self.blocks.replicates) > 1:
            error = others.std(0, ddof=1) / np.sqrt(len(others))
        else:
            error = np.sqrt(((others - own) ** 2).mean(0))
        limits = np.array([engine.cumulants(degree)[0] for engine in self._other_limits])
        error[0] = np.sqrt(((limits - own[0]) ** 2).mean(0))
        return self._shaped(error, degree)

    def _perturbed(self, seed: int) -> Blocks:
        """The blocks with random errors of the estimated size."""
        rng, errors = np.random.default_rng(seed), self.blocks.errors
        values = {
            name: value + errors.get(name, 0.0) * rng.normal(size=value.shape)
            for name, value in self.blocks.values.items()
        }
        return replace(self.blocks, values=values)

    @cached_property
    def _other_limits(self) -> list[Engine]:
        """Engines of order 0 on limit kernels with random errors of the estimated size."""
        engines = []
        for seed in range(_DRAWS):
            rows = self.blocks.nngp.shape
            noise = np.random.default_rng(seed).normal(size=(2, *rows)) * self.blocks.kernel_error
            nngp, ntk = (noise + np.swapaxes(noise, 1, 2)) / np.sqrt(2)
            blocks = Blocks(self.blocks.nngp + nngp, self.blocks.ntk, {}, outputs=self.outputs)
            kernel = self.solution.ntk + ntk[:, : self.solution.train]
            solution = SolutionMap(kernel, self.solution.y)
            engines.append(Engine(solution, blocks, self.dynamics, 0))
        return engines

    def reliability(self, width: float) -> Reliability:
        """How far the law can be trusted at width n: see :class:`Reliability`."""
        return reliability(self._through_second, self.times, checks.width(width))

    @cached_property
    def _through_second(self) -> Engine:
        if self.order == 2:
            return self._engine
        return Engine(self.solution, self.blocks, self.dynamics, 2)
