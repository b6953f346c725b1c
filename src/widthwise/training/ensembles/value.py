"""An ensemble of trained networks of one width, seen through its controls."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise.algebra.gaussian import Estimate
from widthwise.model.architecture import MLP


@dataclass(frozen=True, eq=False, repr=False)
class Controlled:
    """One cumulant of the trained outputs.

    Args:
        value: the estimate, f⁽⁰⁾ and f⁽¹⁾ taken from the members and their expectations put back.
        error: its standard error, that of the expectations included.
        limit: its value at infinite width.
        plain_error: the standard error the same members give without controls.
    """

    value: Float[np.ndarray, "..."]
    error: Float[np.ndarray, "..."]
    limit: Float[np.ndarray, "..."]
    plain_error: Float[np.ndarray, "..."]

    @property
    def reduction(self) -> Float[np.ndarray, "..."]:
        """By what factor the variance of the estimate is smaller than without controls.

        It grows like n or n²; below 1, at small widths and late times, the controls do harm.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return (self.plain_error / self.error) ** 2


@dataclass(frozen=True, eq=False, repr=False)
class ControlledEnsemble:
    """Mean, covariance, third and fourth cumulants of trained networks of width n.

    Args:
        net: the architecture.
        width: n.
        times: moments of gradient flow.
        members: how many networks were trained.
        mean: E f_t (times, points, outputs).
        covariance: Cov f_t (times, points, points), or (times, points, outputs, points, outputs)
            for several outputs.
        third: κ₃ of every single output (times, points, outputs).
        fourth: κ₄ of every single output, likewise.
        bias: largest error of an output by integration and rounding, not in the standard errors.
        integer_powers: whether only integer powers of 1/n can occur.
        expectations: in words, where the expectations of the controls come from.
        polynomial: in words, whether a polynomial in F is part of the controls (of third and fourth
            cumulants for one hidden layer only); it takes 50 members for each of its coefficients.
        data: train points, labels and test points.
    """

    net: MLP
    width: int
    times: Float[np.ndarray, " times"]
    members: int
    mean: Controlled
    covariance: Controlled
    third: Controlled
    fourth: Controlled
    bias: float
    integer_powers: bool
    expectations: str
    polynomial: str
    data: tuple[np.ndarray, np.ndarray, np.ndarray]

    def __repr__(self) -> str:
        later = self.times > 0
        gains = [c.reduction[later] for c in (self.mean, self.covariance)]
        said = [f"{np.median(gain):.0f}" if gain.size else "1" for gain in gains]
        return (
            f"ControlledEnsemble({self.members} trained networks of width {self.width}; controls "
            f"divide the variance of the mean by {said[0]}, of the covariance by {said[1]}; "
            f"polynomial control: {self.polynomial}; expectations: {self.expectations})"
        )


def rows_to_points(values: np.ndarray, outputs: int, degree: int) -> np.ndarray:
    """Axes of rows (points × outputs, point by point) as axes of points and of outputs.

    Args:
        values: (times, rows) or (times, rows, rows).
        outputs: components of the output.
        degree: how many axes of rows.
    """
    if degree == 2 and outputs == 1:
        return values
    points = values.shape[-1] // outputs
    return values.reshape(len(values), *(points, outputs) * degree)


def estimate(
    sampled: Estimate, expected: Estimate, limit: np.ndarray, plain: np.ndarray, shape
) -> Controlled:
    """What was sampled plus what is expected of the controls, with axes of points."""
    value, error = sampled.value + expected.value, np.hypot(sampled.error, expected.error)
    return Controlled(*(shape(np.asarray(v)) for v in (value, error, limit, plain)))
