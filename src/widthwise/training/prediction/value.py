"""What :func:`widthwise.predict` returns."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from widthwise.training.prediction.reliability import Reliability

Reference: TypeAlias = Literal["frozen", "limit"]
Engine: TypeAlias = Literal["tensors", "shadow", "linearization"]


@dataclass(frozen=True, eq=False)
class Prediction:
    """The predicted training of one network; points are train first, then test.

    Args:
        times: gradient-flow times, or numbers of gradient-descent steps.
        orders: what the orders 0, 1 and 2 in n^{−1/2} add to the outputs (3, times, points,
            outputs); what is above ``order`` is 0.
        initial: f₀ (points, outputs).
        error: an estimate of what is left out of the outputs (times, points, outputs): about Θ_n(0)
            from the network itself (:mod:`widthwise.training.realization.remainder`), about Θ_∞ the
            last order times its ratio to the one before; ``nan`` for order 0 about Θ_∞.
        movement: ‖θ_t − θ₀‖ (times,); in the standard parametrization of an MLP, √n times the
            movement of the weights that frameworks train.
        reliability: signs of failure and a verdict.
        order: the highest order kept.
        reference: the kernel expanded about: the network's own ("frozen") or Θ_∞ ("limit").
        engine: "tensors", "shadow" or "linearization".
        integration_error: of the shadow training of gradient flow; otherwise 0.
        initial_ntk: Θ_n(0) (rows, train rows), rows being points × outputs flattened by point.
    """

    times: Float[np.ndarray, " times"]
    orders: Float[np.ndarray, "3 times points outputs"] = field(repr=False)
    initial: Float[np.ndarray, "points outputs"] = field(repr=False)
    error: Float[np.ndarray, "times points outputs"] = field(repr=False)
    movement: Float[np.ndarray, " times"]
    reliability: Reliability
    order: int
    reference: Reference
    engine: Engine
    integration_error: float
    initial_ntk: Float[np.ndarray, "rows train"] = field(repr=False)
    _drift: Float[np.ndarray, "times rows train"] | None = field(repr=False, default=None)

    @property
    def outputs(self) -> Float[np.ndarray, "times points outputs"]:
        """The prediction: the sum of its orders."""
        return self.orders.sum(0)

    @property
    def ntk_drift(self) -> Float[np.ndarray, "times rows train"]:
        """Θ_n(t) − Θ_n(0) between rows and train rows (points × outputs, flattened by point).

        Raises:
            ValueError: where only the linearization is known, whose kernel does not move.
        """
        if self._drift is None:
            why = self.reliability.reason or f"order={self.order} keeps the linearization alone"
            raise ValueError(f"the drift of the kernel is not available: {why}")
        return self._drift

    def __str__(self) -> str:
        start = "its own kernel" if self.reference == "frozen" else "the limit kernel"
        return (
            f"Prediction of order {self.order} about {start} ({self.engine}), "
            f"{len(self.times)} times, {self.orders.shape[2]} points. {self.reliability.verdict}"
        )
