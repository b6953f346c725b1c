"""The two clocks of training, through the one function of λ each needs.

Gradient flow multiplies a residual along an eigenvector of eigenvalue λ by e^{−tλ}, gradient
descent with step η by (1 − ηλ)^k. Every factor of time in the perturbation theory of training is a
divided difference of that function (:mod:`widthwise.algebra.divided`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.algebra.divided import descent_divided_differences, divided_differences


@dataclass(frozen=True)
class GradientFlow:
    """Gradient flow of ½ Σ (f(x_a) − y_a)² observed at increasing or other times.

    Args:
        times: one time or several, at least 0; ``inf`` is the end of training.

    Example:
        >>> from widthwise.training.dynamics import GradientFlow
        >>> import numpy as np
        >>> GradientFlow([0.0, np.inf]).divided_differences(np.array([2.0]))
        array([1., 0.])
    """

    times: Float[np.ndarray, "*times"]

    def __init__(self, times: ArrayLike):
        object.__setattr__(self, "times", checks.times(times))

    @property
    def moments(self) -> Float[np.ndarray, "*times"]:
        """The times."""
        return self.times

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the times."""
        return self.times.shape

    def divided_differences(
        self, nodes: Float[np.ndarray, "*batch nodes"]
    ) -> Float[np.ndarray, "*times_batch"]:
        """e_t[nodes[..., 0], nodes[..., 1], …] at every time."""
        return divided_differences(self.times, nodes)


@dataclass(frozen=True)
class GradientDescent:
    """Gradient descent of ½ Σ (f(x_a) − y_a)² with step η, observed after k steps.

    Args:
        steps: one number of steps or several; ``inf`` is the end of training.
        step: η; it must be below 2/λ for every eigenvalue of the tangent kernel.
    """

    steps: Float[np.ndarray, "*times"]
    step: float

    def __init__(self, steps: ArrayLike | Sequence[int], step: float):
        object.__setattr__(self, "steps", checks.times(steps, "steps"))
        object.__setattr__(self, "step", checks.positive(step, "step"))

    @property
    def moments(self) -> Float[np.ndarray, "*times"]:
        """The numbers of steps."""
        return self.steps

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the numbers of steps."""
        return self.steps.shape

    def divided_differences(
        self, nodes: Float[np.ndarray, "*batch nodes"]
    ) -> Float[np.ndarray, "*times_batch"]:
        """The divided differences of λ ↦ (1 − ηλ)^k at the nodes, after every number of steps."""
        return descent_divided_differences(self.steps, nodes, step=self.step)


Dynamics: TypeAlias = GradientFlow | GradientDescent


def dynamics_of(times: ArrayLike | None, steps: ArrayLike | None, step: float | None) -> Dynamics:
    """Gradient flow at ``times``, or gradient descent after ``steps`` with ``step``.

    Raises:
        ValueError: unless exactly one of the two is given in full.
    """
    if times is not None and steps is None and step is None:
        return GradientFlow(checks.some_times(times))
    if times is None and steps is not None and step is not None:
        return GradientDescent(checks.some_times(steps, "steps"), step)
    raise ValueError(
        "give either times (gradient flow) or both steps and step (gradient descent); got "
        f"times={times!r}, steps={steps!r}, step={step!r}"
    )


def replace_moments(dynamics: Dynamics, moments: ArrayLike) -> Dynamics:
    """The same clock at other moments."""
    if isinstance(dynamics, GradientDescent):
        return GradientDescent(moments, dynamics.step)
    return GradientFlow(moments)
