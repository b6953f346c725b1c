"""The three ways to the orders of a prediction, and the choice among them."""

from typing import NamedTuple, get_args

import numpy as np
from jaxtyping import Float

from widthwise.training.dynamics import Dynamics, GradientDescent
from widthwise.training.prediction.value import Engine, Reference
from widthwise.training.realization import (
    Realization,
    kernel_drift,
    movement,
    realize,
    remainder,
)
from widthwise.training.shadow.run import follow
from widthwise.training.task import NetworkTask

_MOST_ROWS = 12  # train rows of the tensor engine; terms with two O₃ take train⁴ weights
_MOST_NUMBERS = 2e8  # of the second derivatives of one Jacobian: rows × train × parameters


class Question(NamedTuple):
    """What is asked of one network.

    Args:
        task: the network and its data.
        dynamics: gradient flow or descent, and when.
        order: the highest order in n^{−1/2}.
        symmetric: whether the mean of O₃ vanishes.
        reference: the kernel expanded about.
        limit: Θ_∞ (rows, train), if it is known.
        tolerance: of the integration of shadow training.
    """

    task: NetworkTask
    dynamics: Dynamics
    order: int
    symmetric: bool
    reference: Reference
    limit: Float[np.ndarray, "rows train"] | None
    tolerance: float

    @property
    def beyond_linear(self) -> bool:
        """Whether O₃ or O₄ enter."""
        return self.order > (1 if self.symmetric else 0)


class Answer(NamedTuple):
    """Orders, what moves, the kernel at initialization, and an estimate of what is left out."""

    orders: Float[np.ndarray, "3 times rows"]
    movement: Float[np.ndarray, " times"]
    ntk: Float[np.ndarray, "rows train"]
    drift: Float[np.ndarray, "times rows train"] | None
    remainder: Float[np.ndarray, "times rows"] | None
    integration_error: float = 0.0


def choose(question: Question, engine: str) -> Engine:
    """The engine for a question, or the refusal of the one asked for.

    Raises:
        ValueError: where the engine asked for, or every engine, cannot answer, with the reason.
    """
    if engine != "auto" and engine not in get_args(Engine):
        known = ", ".join(map(repr, get_args(Engine)))
        raise ValueError(f"engine must be 'auto' or one of {known}, got {engine!r}")
    descent = isinstance(question.dynamics, GradientDescent)
    if question.task.kinks or not question.beyond_linear:
        best: Engine = "linearization"
    elif question.reference == "limit" or not (descent or _too_large(question.task)):
        best = "tensors"
    else:
        best = "shadow"
    chosen: Engine = best if engine == "auto" else engine  # pyright: ignore[reportAssignmentType]
    if chosen == "linearization" and best != "linearization":
        raise ValueError(
            f"engine='linearization' keeps order {0 if not question.symmetric else 1} alone, but "
            f"order={question.order} was asked for; ask for that order, or leave engine='auto'"
        )
    if best == "linearization" and chosen != best:
        why = question.task.kinks or f"order={question.order} needs the linearization alone"
        raise ValueError(f"engine={engine!r} does not apply: {why}")
    if chosen == "tensors" and descent:
        raise ValueError(
            "O3 and O4 do not describe gradient descent: a step also moves the kernel at second "
            "order in the step; use reference='frozen' and engine='shadow', which is exact"
        )
    if chosen == "shadow" and question.reference == "limit":
        raise ValueError("engine='shadow' expands about the network's own kernel: 'frozen'")
    if chosen == "tensors" and question.reference == "limit" and _too_large(question.task):
        raise ValueError(
            f"about Θ_∞ order {question.order} needs the tensors O3 and O4, too large for "
            f"{question.task.rows[1]} train rows; use reference='frozen', which needs none"
        )
    return chosen


def _too_large(task: NetworkTask) -> bool:
    rows, train = task.rows
    return train > _MOST_ROWS or rows * train * task.size > _MOST_NUMBERS


def by_solution_map(question: Question, engine: Engine) -> Answer:
    """In closed form, with tensors or without."""
    tensors = engine == "tensors"
    task, dynamics, symmetric = question.task, question.dynamics, question.symmetric
    network: Realization = realize(task, tensors=tensors)
    limit = question.limit if question.reference == "limit" else None
    orders = network.expansion(dynamics, symmetric=symmetric, limit=limit)
    orders[question.order + 1 :] = 0.0
    drift = None
    if tensors and not isinstance(dynamics, GradientDescent):
        drift = kernel_drift(network, dynamics, symmetric=symmetric)
    left_out = None
    if limit is None:
        degree = {0: 1, 1: 1 if symmetric else 2, 2: 3}[question.order] if tensors else 1
        left_out = remainder(task, network, dynamics, degree)
    return Answer(orders, movement(network, dynamics), network.ntk, drift, left_out)


def by_shadow(question: Question) -> Answer:
    """Step by step, about the network's own kernel."""
    task, dynamics = question.task, question.dynamics
    found = follow(task, dynamics, question.tolerance)
    c = found.coefficients.reshape(3, len(found.times), -1)
    start = np.broadcast_to(found.initial.ravel(), c.shape[1:])
    if question.symmetric:
        orders = np.stack([start + c[0], 0 * c[0], c[1] + c[2]])
    else:
        orders = np.stack([start + c[0], c[1], c[2]])
    orders[question.order + 1 :] = 0.0
    initial = realize(task, tensors=False).ntk
    drift = np.stack(
        [
            realize(task.at(found.trained(k)), tensors=False).ntk - initial
            for k in range(len(found.times))
        ]
    )
    kept, left_out = (3, found.remainder) if question.order == 2 else (2, found.coefficients[2])
    left_out = left_out.reshape(len(found.times), -1)
    return Answer(orders, found.movement(kept), initial, drift, left_out, found.integration_error)
