"""What shadow training returns."""

from dataclasses import dataclass, field

import jax
import numpy as np
from jaxtyping import Float, PyTree

from widthwise import _checks as checks
from widthwise.training.task import NetworkTask


@dataclass(frozen=True, eq=False)
class ShadowTraining:
    """The predicted training of one network, order by order in the deviation.

    Args:
        times: gradient-flow times, or numbers of gradient-descent steps.
        initial: f₀ on all points (points, outputs), train first.
        coefficients: c₁, c₂, c₃ (3, times, points, outputs).
        movements: ‖δ₁‖, ‖δ₁ + δ₂‖, ‖δ₁ + δ₂ + δ₃‖ (3, times).
        remainder: outputs of the network at the predicted parameters minus the prediction, (times,
            points, outputs): of the size of the orders left out.
        integration_error: largest change of an output when the time step was halved (gradient
            descent: 0).
        step: the time step, or η.
    """

    times: Float[np.ndarray, " times"]
    initial: Float[np.ndarray, "points outputs"] = field(repr=False)
    coefficients: Float[np.ndarray, "3 times points outputs"] = field(repr=False)
    movements: Float[np.ndarray, "3 times"] = field(repr=False)
    remainder: Float[np.ndarray, "times points outputs"] = field(repr=False)
    integration_error: float
    step: float
    _task: NetworkTask = field(repr=False)
    _predicted: PyTree = field(repr=False)

    def outputs(self, order: int = 3) -> Float[np.ndarray, "times points outputs"]:
        """f₀ + c₁ + … + c_order; 0 is the network as initialized, 1 its linearization.

        Raises:
            ValueError: for an order other than 0, 1, 2 or 3.
        """
        summed = self.coefficients[: _order(order)].sum(0)
        return self.initial + summed

    def movement(self, order: int = 3) -> Float[np.ndarray, " times"]:
        """‖θ_t − θ₀‖, the distance parameters have moved, to an order in the deviation."""
        order = _order(order)
        return self.movements[order - 1] if order else np.zeros(len(self.times))

    def parameters(self, time: int) -> PyTree:
        """θ₀ + δ₁ + δ₂ + δ₃ at the time of this index, as the network's ``apply`` takes them."""
        return self._task.given(self.trained(time))

    def trained(self, time: int) -> PyTree:
        """The same as the variable u in which the network trains by plain gradient flow."""
        return jax.tree.map(lambda leaf: leaf[time], self._predicted)


def _order(order: object) -> int:
    number = checks.order(order)
    if number > 3:
        raise ValueError(f"shadow training has orders 0, 1, 2 and 3, got {order!r}")
    return number
