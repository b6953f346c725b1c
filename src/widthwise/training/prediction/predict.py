"""Predict how one network trains."""

from collections.abc import Callable
from typing import get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.limit.kernels import limit_kernels
from widthwise.model.architecture import MLP
from widthwise.training.dynamics import dynamics_of
from widthwise.training.prediction.engines import (
    Answer,
    Question,
    by_shadow,
    by_solution_map,
    choose,
)
from widthwise.training.prediction.reliability import Reliability, ratio_of_orders
from widthwise.training.prediction.value import Prediction, Reference
from widthwise.training.symmetry import third_is_of_order_one_over_n
from widthwise.training.task import NetworkTask, network_task


def predict(
    net: MLP | Callable,
    parameters: PyTree,
    x_train: ArrayLike,
    y_train: ArrayLike,
    x_test: ArrayLike | None = None,
    times: ArrayLike | None = None,
    order: int = 2,
    reference: Reference = "frozen",
    *,
    steps: ArrayLike | None = None,
    step: float | None = None,
    engine: str = "auto",
    tolerance: float = 1e-8,
    width: int | None = None,
) -> Prediction:
    """Predict the outputs, kernel and parameters of one network during training, without training.

    f_t = f_t^{(0)} + f_t^{(1)} + f_t^{(2)} + …, orders in n^{−1/2} about the network's own tangent
    kernel Θ_n(0) or about Θ_∞. Errors after order 0, 1, 2 about Θ_∞: n^{−1/2}, n^{−1}, n^{−3/2}.
    About Θ_n(0), where order 0 is the linearized network: n^{−1}, n^{−1}, n^{−2} if the mean of O₃
    vanishes (symmetric readout law, or odd activation), else n^{−1/2}, n^{−1}, n^{−3/2}.

    Args:
        net: an :class:`MLP`, or any ``apply(parameters, x) -> (points, outputs)``, three times
            differentiable, that treats every point by itself.
        parameters: its parameters at initialization; floating-point arrays train.
        x_train: train points (train, ...).
        y_train: labels (train, outputs), or (train,) for one output.
        x_test: test points, or ``None``.
        times: gradient-flow times of the loss ½ Σ (f − y)²; ``inf`` where the engine has a closed
            form.
        order: 0, 1 or 2, in powers of n^{−1/2}.
        reference: "frozen" (about Θ_n(0), the more accurate) or "limit" (about Θ_∞, for an MLP).
        steps: instead of ``times``, numbers of steps of gradient descent.
        step: its learning rate η.
        engine: "tensors", "shadow", "linearization", or the one that suits the size.
        tolerance: of the integration of shadow training.
        width: n of an MLP whose ratios are not 1, in the standard parametrization.

    Returns:
        :class:`Prediction`.

    Raises:
        ValueError: for bad shapes or ranges, a reference or an order that is not available for this
            network, with the reason.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net = ww.MLP(depth=1, activation="tanh")
        >>> parameters = net.init(jax.random.key(0), width=64, inputs=1)
        >>> ww.predict(net, parameters, [[1.0]], [0.5], [[2.0]], [1.0, 4.0]).outputs.shape
        (2, 2, 1)
    """
    checks.require_x64()
    if checks.order(order) > 2:
        raise ValueError(f"order must be 0, 1 or 2, got {order!r}")
    if reference not in get_args(Reference):
        raise ValueError(f"reference must be 'frozen' or 'limit', got {reference!r}")
    allowed = checks.positive(tolerance, "tolerance")
    task = network_task(net, parameters, x_train, y_train, x_test, width)
    if reference == "limit" and task.net is None:
        raise ValueError(
            "reference='limit' needs the limit kernel Θ_∞, which is known for a widthwise.MLP; for "
            "any other function use reference='frozen', its own kernel"
        )
    dynamics = dynamics_of(times, steps, step)
    limit = None if task.net is None else _limit(task.net, task)
    symmetric = task.net is not None and third_is_of_order_one_over_n(task.net)
    if task.kinks:
        order = _order_with_kinks(order, symmetric, reference, task.kinks)
    question = Question(task, dynamics, order, symmetric, reference, limit, allowed)
    chosen = choose(question, engine)
    answer = by_shadow(question) if chosen == "shadow" else by_solution_map(question, chosen)
    initial = np.asarray(task.function(task.trained, jnp.asarray(task.x)))
    orders = answer.orders.reshape(3, len(answer.movement), *initial.shape)
    ratio, error = _left_out(question, answer, orders, initial)
    return Prediction(
        times=np.atleast_1d(dynamics.moments),
        orders=orders,
        initial=initial,
        error=error,
        movement=answer.movement,
        reliability=_reliability(question, answer, ratio),
        order=order,
        reference=reference,
        engine=chosen,
        integration_error=answer.integration_error,
        initial_ntk=answer.ntk,
        _drift=answer.drift,
    )


def _order_with_kinks(order: int, symmetric: bool, reference: Reference, kinks: str) -> int:
    """The highest order that holds without O₃ and O₄; about Θ_∞ more than that is refused."""
    highest = 1 if symmetric else 0
    if reference == "limit" and order > highest:
        raise ValueError(
            f"order {order} about Θ_∞ is not available: {kinks}; use order={highest}, or "
            "reference='frozen' for the linearization of the network"
        )
    return min(order, highest)


def _limit(net: MLP, task: NetworkTask) -> Float[np.ndarray, "rows train"]:
    """Θ_∞ on rows: the same for every output, none between two."""
    theta = np.asarray(limit_kernels(net, task.x).ntk)[:, : len(task.y)]
    return np.kron(theta, np.eye(net.outputs))


def _left_out(
    question: Question, answer: Answer, orders: np.ndarray, initial: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """By how much orders shrink (times,), and what is left out (times, points, outputs)."""
    linear = orders[0] - initial
    if answer.remainder is not None:
        error = np.abs(answer.remainder.reshape(orders.shape[1:]))
        if not question.beyond_linear:
            return ratio_of_orders(error, linear), error
        last = orders[1:].sum(0)
        shrinks = np.minimum(ratio_of_orders(last, linear), 1.0)  # as orders did, so will the next
        error = np.maximum(error, shrinks[:, None, None] * np.abs(last))
        return ratio_of_orders(error, last), error
    if question.order == 0:
        unknown = np.full(orders.shape[1:], np.nan)
        return unknown[:, 0, 0], unknown
    before = orders[1] if question.order == 2 else linear
    ratio = ratio_of_orders(orders[question.order], before)
    return ratio, np.abs(orders[question.order]) * np.minimum(ratio, 1.0)[:, None, None]


def _reliability(question: Question, answer: Answer, ratio: np.ndarray) -> Reliability:
    reason = question.task.kinks or ""
    distance, labels = np.full((2, len(ratio)), np.nan)
    if question.limit is not None and question.task.width is not None:
        distance, labels = _against_limit(question, answer)
    return Reliability(ratio, distance, labels, question.reference == "limit", reason)


def _against_limit(question: Question, answer: Answer) -> tuple[np.ndarray, np.ndarray]:
    """What Δ does along the slowest mode, and ρ, at every time."""
    task = question.task
    assert question.limit is not None
    assert task.net is not None
    assert task.width is not None
    train = task.rows[1]
    theta, own = question.limit[:train], answer.ntk[:train]
    distance = np.linalg.norm(own - theta, 2) * _learnt(question, _live(theta)[0]).max(
        -1, initial=0
    )
    values, vectors = _live(own)
    pull = _learnt(question, values)
    y, narrowest = vectors.T @ task.y.ravel(), min(task.net.ratios) * task.width
    return distance, (y**2 * values * pull**2).sum(-1) / narrowest


def _learnt(question: Question, values: np.ndarray) -> Float[np.ndarray, "times live"]:
    """(1 − e^{−λt})/λ, or what it is for gradient descent."""
    return -question.dynamics.divided_differences(np.stack([0 * values, values], -1))


def _live(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues that are not zero to rounding, and their eigenvectors."""
    values, vectors = np.linalg.eigh((theta + theta.T) / 2)
    live = values > 8 * np.finfo(float).eps * len(theta) * max(values[-1], 0.0)
    return values[live], vectors[:, live]
