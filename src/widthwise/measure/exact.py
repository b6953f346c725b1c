r"""Distances of the exact law of a projection from its Gaussian limit, at one width.

The law of v · f at width n is known without expansion (:mod:`widthwise.initial.exact`): for one
hidden layer through the characteristic function of one neuron to the power n, with the difference
from a Gaussian's inverted (Gil-Pelaez), for deep linear and relu networks at one input through
Mellin transforms. Against N(0, vᵀKv), K the NNGP kernel, every distance on the line follows.

The **linear flow** f_t = A_t f₀ + c_t of the same network needs nothing new: v · f_t is A_tᵀv · f₀
plus a number, and its limit N(v·c_t, vᵀA_tKA_tᵀv) is moved by the same number. It is not the law of
the trained network, whose kernel fluctuates; see :func:`widthwise.predicted_distance` for that.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.initial.exact import exact_law
from widthwise.limit.flow import LinearFlow
from widthwise.limit.kernels import limit_kernels
from widthwise.measure.distances.bounded_lipschitz import bounded_lipschitz
from widthwise.measure.distances.directions import frames
from widthwise.measure.distances.energy import energy
from widthwise.measure.distances.kolmogorov import kolmogorov
from widthwise.measure.distances.laws import Normal
from widthwise.measure.distances.sliced import steepest
from widthwise.measure.distances.value import Distance, known
from widthwise.measure.distances.wasserstein import wasserstein
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian

Metric: TypeAlias = Literal[
    "wasserstein1",
    "wasserstein2",
    "kolmogorov",
    "energy",
    "bounded_lipschitz",
    "sliced_wasserstein1",
    "sliced_wasserstein2",
    "max_sliced_wasserstein1",
]
_ON_LINE: dict[str, Callable[..., Distance]] = {
    "wasserstein1": wasserstein,
    "wasserstein2": lambda x, y: wasserstein(x, y, 2),
    "kolmogorov": kolmogorov,
    "energy": energy,
    "bounded_lipschitz": bounded_lipschitz,
}
SLICED = {
    "sliced_wasserstein1": "wasserstein1",
    "sliced_wasserstein2": "wasserstein2",
    "max_sliced_wasserstein1": "wasserstein1",
}
_DIRECTIONS = 24
_SETTLED = 1e-9


def directions(direction: ArrayLike | None, points: int, metric: str, known_metrics) -> np.ndarray:
    """Directions (directions, points): one for a metric on the line.

    Raises:
        ValueError: for an unknown metric, or a direction that does not fit it.
    """
    names = [*known_metrics]
    if metric not in names:
        raise ValueError(f"metric must be one of {', '.join(names)}, got {metric!r}")
    if direction is None:
        if metric in SLICED:
            return frames(points, _DIRECTIONS)
        if points > 1:
            raise ValueError(
                f"direction must hold one number per point ({points}) for the metric {metric!r}; "
                "give it, or take a sliced metric"
            )
        return np.ones((1, 1))
    v = checks.numbers(direction, "direction")
    wanted = 2 if metric in SLICED else 1
    if v.ndim not in (1, wanted) or v.shape[-1] != points or not np.atleast_2d(v).any(1).all():
        shape = f"({points},)" if wanted == 1 else f"(directions, {points})"
        raise ValueError(
            f"direction must have shape {shape} and not be 0 for the metric {metric!r}, one number "
            f"per point, got shape {v.shape}"
        )
    if metric in SLICED:
        v = np.atleast_2d(v) / np.linalg.norm(np.atleast_2d(v), axis=1, keepdims=True)
    return np.atleast_2d(v)


def exact_distance(
    net: MLP,
    x: ArrayLike,
    direction: ArrayLike | None,
    width: float,
    metric: Metric = "wasserstein1",
    *,
    component: int = 0,
    flow: LinearFlow | None = None,
    time: float | None = None,
) -> Distance:
    """The distance of direction · outputs from its Gaussian limit at one width, not expanded in n.

    Args:
        net: one hidden layer with any laws and activation; or deep, with activation identity, abs
            or relu, Gaussian weights and no biases, for one input. An output bias must be Gaussian.
        x: data (points, inputs).
        direction: one number per point; for sliced metrics ``None`` or directions
            (directions, points), scaled to length 1, over which the average or the largest is
            taken (the largest is then climbed to from the best of them).
        width: n.
        metric: ``"wasserstein1"``, ``"wasserstein2"``, ``"kolmogorov"``, ``"energy"``,
            ``"bounded_lipschitz"``, ``"sliced_wasserstein1"``, ``"sliced_wasserstein2"`` or
            ``"max_sliced_wasserstein1"``.
        component: which output.
        flow: with ``time``, the linear flow on the points x (train first): then the distance of
            its outputs at that time from the time-dependent Gaussian process.
        time: gradient-flow time, ``inf`` allowed.

    Returns:
        :class:`Distance` with its numerical error. An average over directions is that over the
        directions taken, without error for their choice.

    Raises:
        ValueError: for a network whose law is not known exactly or has no Gaussian limit, or
            arguments that do not fit.

    Source:
        Gil-Pelaez (1951) for the inversion.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net = ww.MLP(depth=1, activation="identity")
        >>> d = ww.exact_distance(net, [[1.0]], None, width=1000)
        >>> round(1000 * d.value, 4), d.error < 1e-12
        (0.3773, True)
    """
    checks.require_x64()
    data, n = np.asarray(checks.points(x)), checks.width(width)
    v = directions(direction, len(data), metric, [*_ON_LINE, *SLICED])
    if net.has_bias(net.depth) and not isinstance(net.bias_law[net.depth], Gaussian):
        raise ValueError(
            f"the output bias has the law {net.bias_law[net.depth].name}, so the limit is not "
            "Gaussian; compare ww.exact_law with a law of your choice by ww.distances"
        )
    K, A = _limit(net, data, flow, time)
    distance = _ON_LINE[SLICED.get(metric, metric)]
    rows = tuple(range(len(data)))

    def of(one: np.ndarray) -> Distance:
        w = one if A is None else A.T @ one
        law = exact_law(net, data, n, rows, w, component)
        return distance(law, Normal(0.0, float(w @ K @ w)))

    if metric == "max_sliced_wasserstein1":
        v = steepest(lambda one: of(one).value, v, 1)[None]
    found = [of(one) for one in v]
    power = 2 if metric == "sliced_wasserstein2" else 1
    values, errors = np.array([d.value for d in found]), np.array([d.error for d in found])
    value = float((values**power).mean() ** (1 / power))
    notes = () if A is None else ("of the linear flow, not of the trained network",)
    method = f"exact law, width {n}" + (f", {len(v)} directions" if len(v) > 1 else "")
    return known(value, float(errors.mean()), metric, method, notes)


def _limit(
    net: MLP, x: np.ndarray, flow: LinearFlow | None, time: float | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """K on the points, and A_t."""
    if (flow is None) != (time is None):
        raise ValueError(f"give flow and time together, got flow={flow!r} and time={time!r}")
    K = np.asarray(limit_kernels(net, x).nngp)
    if flow is None:
        return K, None
    if flow.nngp.shape != K.shape or np.abs(flow.nngp - K).max() > _SETTLED * np.abs(K).max():
        raise ValueError(
            "flow must be the linear flow of this network on these points (train points first, "
            f"then test): its kernel has shape {flow.nngp.shape} and differs from that of the "
            f"network on x, of shape {K.shape}"
        )
    if not isinstance(time, int | float | np.number):
        raise ValueError(f"time must be one number, got {time!r}")
    return K, flow.propagator(time)
