r"""How far networks of width n are from their Gaussian limit, measured, before and during training.

The law of v · f_t at width n is compared with that of the time-dependent Gaussian process of
infinite width, N(v · c_t, vᵀA_tKA_tᵀv). Raw samples see nothing below 1.3 σ/√N. The estimators here
do, because each of them has noise that vanishes with the distance itself:

| method | for | noise of a member |
|---|---|---|
| ``"rao_blackwell"`` | t = 0, Gaussian readout, any depth | n^{-3/2} (see there) |
| ``"stein"`` | t = 0, readout law with a Stein kernel, any depth | n^{-1/2} |
| ``"paired"`` | any t, any network | 1/n (symmetric laws), n^{-1/2} (skewed) |
| ``"raw"`` | anything | 1 |
"""

import math
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import numpy as np

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.limit.flow import LinearFlow
from widthwise.limit.kernels import limit_kernels
from widthwise.measure.estimators.curve import MEASURED, Curve
from widthwise.measure.estimators.initial import initial_curve, suited
from widthwise.measure.estimators.means import Cumulants
from widthwise.measure.estimators.trained import Trained, paired_curves, raw_curves
from widthwise.measure.estimators.value import MeasuredDistance
from widthwise.measure.exact import directions
from widthwise.model.architecture import MLP, require_network
from widthwise.model.laws import Gaussian

Method: TypeAlias = Literal["auto", "rao_blackwell", "stein", "paired", "raw"]
_FEWEST = 320
_NEURONS = 2**31 - 3  # members use small numbers
_QUANTILE = 2.04  # of Student's t with as many degrees of freedom as batches
_VANISHES = 1e-12
_LARGE_CUT = 0.3
_OPTIONS = ("precision", "solver", "memory", "tolerance")


def measured_distance(
    net: MLP,
    x_train: ArrayLike,
    y_train: ArrayLike | None,
    x_test: ArrayLike | None,
    direction: ArrayLike | None,
    width: int,
    time: float,
    members: int,
    key: jax.Array,
    *,
    method: Method = "auto",
    metric: str = "wasserstein1",
    component: int = 0,
    **options: Any,
) -> MeasuredDistance:
    """The distance of direction · f_t from the time-dependent Gaussian process, from networks.

    Args:
        net: the architecture, of any depth, activation and laws; an output bias must be Gaussian.
        x_train: train points (train, inputs).
        y_train: labels (train, outputs), or (train,) for one output; may be ``None`` at time 0.
        x_test: test points (test, inputs), or ``None``.
        direction: one number per point, train points first; for the sliced metric ``None`` or
            directions (directions, points), scaled to length 1.
        width: n.
        time: gradient-flow time, at least 0 and finite.
        members: how many networks, at least 320.
        key: JAX random key; the networks are those of :func:`widthwise.simulate` with this key.
        method: see the module's table; ``"auto"`` takes the least noisy one.
        metric: ``"wasserstein1"``, ``"kolmogorov"``, ``"energy"`` or ``"sliced_wasserstein1"``.
        component: which output.
        options: ``precision``, ``solver``, ``memory`` or ``tolerance`` of ``simulate``.

    Returns:
        :class:`MeasuredDistance`: value, standard error, 95% interval, floor and curve.

    Raises:
        ValueError: for arguments that do not fit, or a method that the network does not allow.

    Source:
        the files of the methods, :mod:`.rao_blackwell`, :mod:`.stein`, :mod:`.paired`.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> from widthwise.measure.estimators import measured_distance
        >>> net, key = ww.MLP(depth=1, activation="tanh"), jax.random.key(0)
        >>> d = measured_distance(net, [[1.0]], None, None, None, 128, 0.0, 2000, key)
        >>> exact = ww.exact_distance(net, [[1.0]], None, 128).value
        >>> abs(d.value - exact) < 4 * d.error < 0.01 * exact
        True
    """
    (one,) = measured_distances(
        net,
        x_train,
        y_train,
        x_test,
        direction,
        width,
        [time],
        members,
        key,
        method=method,
        metric=metric,
        component=component,
        **options,
    )
    return one


def measured_distances(
    net: MLP,
    x_train: ArrayLike,
    y_train: ArrayLike | None,
    x_test: ArrayLike | None,
    direction: ArrayLike | None,
    width: int,
    times: ArrayLike,
    members: int,
    key: jax.Array,
    *,
    method: Method = "auto",
    metric: str = "wasserstein1",
    component: int = 0,
    **options: Any,
) -> tuple[MeasuredDistance, ...]:
    """:func:`measured_distance` at several times, from one ensemble.

    Args:
        net: as there, like all that is not listed here.
        x_train: train points.
        y_train: labels.
        x_test: test points, or ``None``.
        direction: v.
        width: n.
        times: increasing, finite times.
        members: how many networks.
        key: JAX random key.
        method: at times above 0; ``"auto"`` is the best one at initialization at time 0.
        metric: which distance.
        component: which output.
        options: likewise.

    Returns:
        one :class:`MeasuredDistance` per time. They share the networks and are not independent.

    Raises:
        ValueError: as :func:`measured_distance`.
    """
    problem = _problem(net, x_train, y_train, x_test, direction, metric, component, times)
    n, count = checks.width(width), checks.positive_integer(members, "members")
    checks.key(key)
    if count < _FEWEST:
        raise ValueError(f"members must be at least {_FEWEST} for standard errors, got {members}")
    unknown = set(options) - set(_OPTIONS)
    if unknown:
        raise ValueError(f"options may be {', '.join(_OPTIONS)}, got {sorted(unknown)}")
    best = suited(net)
    allowed = ("auto", *best, "paired")
    if method not in allowed:
        why = f" (the readout law is {net.weight_law[-1].name})" if method in _NAMES else ""
        raise ValueError(f"method must be one of {', '.join(allowed)}{why}, got {method!r}")
    if method in ("stein", "rao_blackwell") and problem.times.any():
        raise ValueError(
            f"method {method!r} is for time 0, got times {problem.times.tolist()}; take 'paired'"
        )
    chosen = "paired" if method == "auto" else method
    found: list[tuple[Curve, str, np.ndarray]] = []
    start = problem.times == 0 if method != "paired" else np.zeros(len(problem.times), bool)
    if start.any():
        first = best[0] if method == "auto" else method
        curve = _at_start(problem, n, count, key, first)
        found += [(curve, first, np.zeros(len(problem.directions)))] * int(start.sum())
    if not start.all():
        data = Trained(
            net=net,
            width=n,
            x_train=problem.x_train,
            y_train=problem.y_train,
            x_test=problem.x_test,
            times=problem.times[~start],
            directions=problem.directions,
            component=problem.component,
            members=count,
            key=key,
            flow=problem.flow,
            options=options,
        )
        if chosen == "raw":
            found += [(c, "raw", np.zeros(len(problem.directions))) for c in raw_curves(data)]
        else:
            found += [(c, f"paired, {how}", cut) for c, how, cut in paired_curves(data, best[0])]
    return tuple(
        _value(curve, metric, how, cut, n, float(t), count)
        for (curve, how, cut), t in zip(found, problem.times, strict=True)
    )


_NAMES = ("rao_blackwell", "stein")


class _Problem(NamedTuple):
    """The checked arguments."""

    net: MLP
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray | None
    directions: np.ndarray
    component: int
    times: np.ndarray
    flow: LinearFlow

    @property
    def x(self) -> np.ndarray:
        if self.x_test is None:
            return self.x_train
        return np.concatenate([self.x_train, self.x_test])


def _problem(net, x_train, y_train, x_test, direction, metric, component, times) -> _Problem:
    checks.require_x64()
    require_network(net)
    x = np.asarray(checks.points(x_train, "x_train"))
    test = None
    everything = x
    if x_test is not None:
        test = np.asarray(checks.points(x_test, "x_test"))
        checks.same_inputs(x, test, "x_train", "x_test")
        everything = np.concatenate([x, test])
    moments = np.atleast_1d(checks.times(times))
    if not moments.size or not np.isfinite(moments).all() or (np.diff(moments) < 0).any():
        raise ValueError(f"times must be finite and increasing, got {times!r}")
    if y_train is None:
        if moments.any():
            raise ValueError(f"y_train must be given for times above 0, got None and times {times}")
        y = np.zeros((len(x), net.outputs))
    else:
        y = checks.targets(y_train, len(x), net.outputs, "y_train")
    last = net.depth
    if net.has_bias(last) and not isinstance(net.bias_law[last], Gaussian):
        raise ValueError(
            f"the output bias has the law {net.bias_law[last].name}, so the limit is not "
            "Gaussian; use a Gaussian output bias or none"
        )
    if metric not in MEASURED:
        raise ValueError(f"metric must be one of {', '.join(MEASURED)}, got {metric!r}")
    v = directions(direction, len(everything), metric, MEASURED)
    (output,) = checks.indices((component,), "component")
    if not 0 <= output < net.outputs:
        raise ValueError(
            f"component must be one of the {net.outputs} outputs, 0 to {net.outputs - 1}, got "
            f"{component!r}"
        )
    kernels = limit_kernels(net, everything)
    K, theta = np.asarray(kernels.nngp), np.asarray(kernels.ntk)[:, : len(x)]
    flow = LinearFlow(K, theta, y, float(np.max(kernels.error)))
    for t in moments:
        w = v @ flow.propagator(float(t))
        variance = np.einsum("da,ab,db->d", w, K, w)
        lost = variance <= _VANISHES * np.trace(K) * (v**2).sum(1)
        if lost.any():
            raise ValueError(
                f"the limit does not vary in the direction {v[lost][0]} at time {t:g} (its "
                f"variance is {variance[lost][0]:.1e}); choose another direction or an earlier time"
            )
    return _Problem(net, x, y, test, v, output, moments, flow)


def _at_start(problem: _Problem, n: int, members: int, key: jax.Array, method: str) -> Curve:
    v, K = problem.directions, problem.flow.nngp
    std = np.sqrt(np.einsum("da,ab,db->d", v, K, v))
    used = np.flatnonzero((v != 0).any(0))
    x, v = problem.x[used], v[:, used]
    cumulants = Cumulants(problem.net, x, problem.component, jax.random.fold_in(key, _NEURONS))
    return initial_curve(
        problem.net, n, x, v, std, problem.component, key, members, method, cumulants
    )


def _value(
    curve: Curve, metric: str, how: str, cut: np.ndarray, n: int, t: float, members: int
) -> MeasuredDistance:
    read = curve.read(metric)
    error = math.hypot(read.error, read.numerical)
    reach = _QUANTILE * read.error + read.numerical
    low = read.value - reach
    interval = (low if metric == "energy" else max(low, 0.0), read.value + reach)
    left = float((curve.std * cut).mean())
    whole = float(curve.distance("wasserstein1", curve.value))
    notes = []
    if left > _LARGE_CUT * whole:
        notes.append(
            f"the Hermite degrees 5 and 6 add {left:.2g} to a Wasserstein-1 distance of "
            f"{whole:.2g}: the trained law is too far from Gaussian for the projection; take "
            "method='raw' with more members, a larger width or an earlier time"
        )
    many = f", {len(curve.std)} directions" if len(curve.std) > 1 else ""
    return MeasuredDistance(
        read.value,
        error,
        interval,
        0.95,
        read.floor,
        metric,
        f"{how}, {members} networks of width {n}{many}",
        tuple(notes),
        curve=curve,
        width=n,
        time=t,
        members=members,
        cut=left,
    )
