r"""Upper bounds of the distance of trained networks from the time-dependent Gaussian process."""

import math
from typing import Literal, TypeAlias

import jax
import numpy as np

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.measure.bounds.expectation import RANDOM_CONFIDENCE
from widthwise.measure.bounds.initial import InitialBounds, one_row
from widthwise.measure.bounds.metrics import require_metric
from widthwise.measure.bounds.statistical import METRIC, Question, certificate
from widthwise.measure.bounds.uniform import not_covered, training_constants
from widthwise.measure.bounds.value import DistanceBound, Hypothesis, unavailable
from widthwise.model.architecture import MLP, require_network

Kind: TypeAlias = Literal["proven", "statistical"]
TrainedMetric: TypeAlias = Literal["bounded_lipschitz", "wasserstein1"]
_PROVEN_METRICS = ("bounded_lipschitz", "wasserstein1")
_FEWEST = 8


def trained_distance_bound(
    net: MLP,
    x_train: ArrayLike,
    y_train: ArrayLike,
    width: float,
    x_test: ArrayLike | None = None,
    *,
    kind: Kind = "proven",
    metric: TrainedMetric = "bounded_lipschitz",
    times: ArrayLike | None = None,
    members: int = 1000,
    key: jax.Array | None = None,
    confidence: float = 0.99,
    direction: ArrayLike | None = None,
    grid: int = 0,
) -> DistanceBound:
    """An upper bound of the distance of trained outputs f_t from N(c_t, A_t K A_tᵀ).

    ``kind="proven"`` is Theorem T: uniform over all t ≥ 0, train outputs, explicit constants at the
    rate n^{-1/2} that are far too large for real widths. ``kind="statistical"`` trains networks of
    this width and bounds what they show, valid at a finite number of them.

    Args:
        net: the architecture.
        x_train: train points (train, inputs).
        y_train: labels (train, outputs), or (train,) for one output.
        width: n.
        x_test: test points, for ``kind="statistical"``.
        kind: ``"proven"`` or ``"statistical"``.
        metric: ``"bounded_lipschitz"`` (sup over |h| ≤ 1, Lip(h) ≤ 1), or ``"wasserstein1"`` for
            ``kind="proven"``.
        times: increasing gradient-flow times, for ``kind="statistical"``.
        members: how many networks are trained.
        key: JAX random key, which must not depend on earlier results.
        confidence: of all statements of the result together (many inputs leave random points for
            the expectations at initialization, which cost another .01 each).
        direction: one number per point (train first): the bound is then of direction · outputs.
        grid: with one hidden layer of a smooth activation, so many more times are recorded and the
            bound holds at all times of [0, max(times)]; in ``constants["all_times"]`` at all times,
            where there are no test points.

    Returns:
        :class:`DistanceBound`; ``values`` at ``times`` for ``kind="statistical"``.

    Raises:
        ValueError: for arguments that do not fit.

    Source:
        :mod:`widthwise.measure.bounds.uniform`, :mod:`widthwise.measure.bounds.statistical`.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> from widthwise.measure.bounds import trained_distance_bound
        >>> net = ww.MLP(1, "tanh", bias_std=(0.5, 0.0))
        >>> trained_distance_bound(net, [[1.0]], [0.5], width=10**12).value < 0.01
        True
    """
    checks.require_x64()
    require_network(net)
    x = np.asarray(checks.points(x_train, "x_train"))
    y = checks.targets(y_train, len(x), net.outputs, "y_train")
    n = checks.width(width)
    if kind == "proven":
        require_metric(metric, _PROVEN_METRICS)
        given = {"x_test": x_test, "times": times, "direction": direction, "key": key}
        wrong = [name for name, value in given.items() if value is not None]
        if wrong or grid:
            raise ValueError(
                f"{wrong[0] if wrong else 'grid'} belongs to kind='statistical': Theorem T is "
                "about all train outputs at all times"
            )
        return _proven(net, x, y, n, metric)
    if kind != "statistical":
        raise ValueError(f"kind must be 'proven' or 'statistical', got {kind!r}")
    require_metric(metric, (METRIC,))
    test = None
    if x_test is not None:
        test = np.asarray(checks.points(x_test, "x_test"))
        checks.same_inputs(x, test, "x_train", "x_test")
    if times is None or key is None:
        raise ValueError(
            f"kind='statistical' needs times and a random key, got times={times!r}, key={key!r}"
        )
    checks.key(key)
    asked = checks.some_times(times)
    if not np.isfinite(asked).all() or (np.diff(asked) <= 0).any():
        raise ValueError(f"times must be finite and increasing, got {times!r}")
    number = checks.positive_integer(members, "members")
    if number < _FEWEST:
        raise ValueError(f"members must be at least {_FEWEST}, got {members!r}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, such as 0.99, got {confidence!r}")
    if isinstance(grid, bool) or not isinstance(grid, int) or grid < 0:
        raise ValueError(f"grid must be an integer of at least 0, got {grid!r}")
    if grid and not asked.max() > 0:
        raise ValueError(f"grid needs a time above 0, got times={times!r}")
    points = len(x) + (0 if test is None else len(test))
    v = None if direction is None else one_row(direction, points)
    return certificate(Question(net, n, x, y, test, asked, number, key, float(confidence), v, grid))


def _proven(net: MLP, x: np.ndarray, y: np.ndarray, n: int, metric: str) -> DistanceBound:
    initial = InitialBounds(net, x, n)
    reason = initial.obstacle or not_covered(net)
    if reason:
        return unavailable(metric, n, reason)
    start = initial.bound(np.eye(len(x)), "wasserstein1")
    if not start.available:
        return start
    found = training_constants(initial.net, x, y[:, 0])
    if found.smallest <= 0:
        return unavailable(
            metric, n, f"Theorem T needs λ_min(Θ_∞) > 0, which is {found.smallest:.3g} here"
        )
    terms = found.coupling(initial.last, metric)
    value = start.value + terms["coupling"]
    if metric == METRIC:
        value = min(value, 2.0)
    names = {"initial": start.value, **terms, "lambda": found.smallest, "nu": found.relative}
    names |= {"v_Theta": found.fluctuation, "neurons": float(initial.last)}
    phi = net.activation
    hypotheses = (
        Hypothesis("all t ≥ 0 together, train outputs, gradient flow"),
        Hypothesis(f"at initialization: {start.method}"),
        Hypothesis(f"λ_min(Θ_∞) ≥ {found.smallest:.4g} > 0"),
        Hypothesis(f"|φ|, |φ'|, |φ''| ≤ {phi.sup_norms} for {phi.name}"),
        Hypothesis(f"8 moments of the readout law {net.weight_law[1].name}"),
    )
    sure = start.confidence - (1 - RANDOM_CONFIDENCE if found.random else 0.0)
    if sure < 1:
        hypotheses += (Hypothesis("expectations by random points, 3 standard errors (added)"),)
    if math.isclose(terms["P_bad"], 1.0):
        hypotheses += (
            Hypothesis("P_bad is at its cap 1: this width is too small to say anything"),
        )
    return DistanceBound(value, metric, n, "Theorem T (uniform in time)", names, hypotheses, sure)
