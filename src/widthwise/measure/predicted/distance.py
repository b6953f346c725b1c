"""The distance from the Gaussian limit that the series predicts, with its leading law in n."""

from dataclasses import dataclass

import numpy as np

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.initial.cumulants import OutputCumulants
from widthwise.measure.distances.sliced import steepest
from widthwise.measure.distances.value import Distance
from widthwise.measure.exact import SLICED, directions
from widthwise.measure.predicted import joint
from widthwise.measure.predicted.line import METRICS, Line
from widthwise.measure.predicted.source import Table, table_of
from widthwise.training.law import TrainingLaw

_VANISHES = 1e-12


@dataclass(frozen=True)
class PredictedDistance(Distance):
    """A predicted distance, and how it falls with the width.

    Args:
        rate: p of the leading law constant · n^{−p}: ½, 1, … (for the energy distance twice that).
        constant: lim n^p distance.
    """

    rate: float = np.nan
    constant: float = np.nan


def predicted_distance(
    cumulants_or_law: OutputCumulants | TrainingLaw,
    direction: ArrayLike | None,
    width: float,
    time: float | None = None,
    metric: str = "wasserstein1",
    order: int = 2,
    *,
    component: int = 0,
) -> PredictedDistance:
    """The distance of direction · outputs from its Gaussian limit, by the Edgeworth series.

    F_n − Φ = −φ(u) (p₁(u) n^{-1/2} + p₂(u)/n + …), u = z/σ; every distance is a norm of this.

    Args:
        cumulants_or_law: :func:`output_cumulants` at initialization, or :func:`training_law`: then
            the distance of the outputs at a time from the time-dependent Gaussian process. Mean and
            covariance corrections count.
        direction: one number per point; for sliced metrics ``None`` or directions
            (directions, points), scaled to length 1; ``None`` with ``"wasserstein2"`` is the joint
            law of all points.
        width: n.
        time: one of the times of the law; may be left out if there is one.
        metric: ``"wasserstein1"``, ``"wasserstein2"``, ``"kolmogorov"``, ``"energy"``,
            ``"sliced_wasserstein1"``, ``"sliced_wasserstein2"``, ``"max_sliced_wasserstein1"``.
        order: the last power of n^{-1/2} in F_n; 2 is through 1/n. The joint W₂ is its leading
            term only.
        component: which output.

    Returns:
        :class:`PredictedDistance`: value, the estimated error of numerics and of what the series
        leaves out, ``rate`` and ``constant`` of the leading law.

    Raises:
        ValueError: for arguments that do not fit, a limit that is not Gaussian or does not vary in
            the direction, outputs on a lattice, or a law without third and fourth cumulants.

    Source:
        Petrov (1975), ch. VI, for the series; Peyre (2018) for W₂ and Ḣ^{-1} norms.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> c = ww.output_cumulants(ww.MLP(depth=2, activation="tanh"), [[1.0]], order=2)
        >>> d = ww.predicted_distance(c, None, width=256)
        >>> d.rate, round(d.constant, 4), d.value < 1e-3
        (1.0, 0.1265, True)
    """
    given = cumulants_or_law
    if not isinstance(given, OutputCumulants | TrainingLaw):
        raise ValueError(
            "cumulants_or_law must come from output_cumulants or training_law, got "
            f"{type(given).__name__}"
        )
    last = checks.order(order)
    if not last:
        raise ValueError("order must be at least 1: at order 0 the law is its limit, got 0")
    n = float(checks.width(width))
    points = len(given.x) if isinstance(given, OutputCumulants) else given.points
    if metric == "wasserstein2" and direction is None and points > 1:
        table = table_of(given, tuple(range(points)), component, time, last)
        return _joint(table, n)
    v = directions(direction, points, metric, [*METRICS, *SLICED])
    rows = tuple(int(i) for i in np.flatnonzero(np.any(v != 0, axis=0)))
    table = table_of(given, rows, component, time, last)
    v = v[:, list(rows)]
    name = SLICED.get(metric, metric)
    epsilon = n**-0.5
    if metric == "max_sliced_wasserstein1":
        v = steepest(lambda one: _line(table, one).at(name, epsilon, last), v)[None]
    lines = [_line(table, one) for one in v]
    return _summed(lines, name, metric, n, last)


def _line(table: Table, v: np.ndarray) -> Line:
    cumulants, errors = table.along(v[None])
    if cumulants[2, 0] <= _VANISHES * np.trace(table.covariance) * (v @ v):
        raise ValueError(
            f"the limit does not vary in the direction {v} (its variance is "
            f"{cumulants[2, 0]:.1e}): there is no density to expand; choose another direction"
        )
    return Line(cumulants, errors)


def _summed(lines: list[Line], name: str, metric: str, n: float, last: int) -> PredictedDistance:
    """The distance averaged over directions."""
    epsilon, power = n**-0.5, 2 if metric == "sliced_wasserstein2" else 1

    def mean(values: list[float]) -> float:
        return float((np.array(values) ** power).mean() ** (1 / power))

    value = mean([line.at(name, epsilon, last) for line in lines])
    errors = [
        line.numerical(name, epsilon, last) + _remainder(line, name, epsilon, last)
        for line in lines
    ]
    error = float(np.mean(errors))
    found = [k for line in lines if (k := line.leading(last)) is not None]
    notes, rate, constant = [], np.nan, np.nan
    if found:
        k = min(found)
        constant = mean([line.distance(name, line.polynomials[:, k]) for line in lines])
        rate = k if name == "energy" else k / 2
    else:
        notes.append(f"no order up to {last} adds anything: the distance is of higher order")
    if error > 0.5 * value:
        notes.append(
            f"the error {error:.2g} is not small against the value: the series is at its end at "
            f"width {n:g}"
        )
    interval = (max(value - error, 0.0), value + error)
    many = f", {len(lines)} directions" if len(lines) > 1 else ""
    method = f"series through n^(-{last}/2), width {n:g}{many}"
    return PredictedDistance(
        value, error, interval, 1.0, 0.0, metric, method, tuple(notes), rate, constant
    )


def _remainder(line: Line, name: str, epsilon: float, last: int) -> float:
    """What the series leaves out: the orders beyond, where known, or an estimate of the next one.

    Orders multiply like those of an exponential: the next contribution is about the last one times
    what the first one does to the density. Orders that come anew, as in training, fall at least as
    the last one against the one before it; the larger of the two ratios counts.
    """
    beyond = line.weights(epsilon, last + 1, line.order) if line.order > last else np.zeros(1)
    if beyond.any():
        size = line.distance(name, beyond)
        if name == "energy":
            size += 2 * np.sqrt(size * line.at(name, epsilon, last))
        return size
    k = line.leading(last)
    if k is None:
        return line.distance(name, np.full(1, epsilon ** (last + 1)))

    def sizes(metric: str) -> list[float]:
        orders = range(k, last + 1)
        found = [line.distance(metric, line.polynomials[:, j] * epsilon**j) for j in orders]
        return [size for size in found if size > 0]

    ratio, moves = line.density_size(k) * epsilon**k, sizes("wasserstein1")
    if len(moves) > 1:
        ratio = max(ratio, moves[-1] / moves[-2])
    return sizes(name)[-1] * ratio * (2 if name == "energy" else 1)


def _joint(table: Table, n: float) -> PredictedDistance:
    k, constant, off, dropped = joint.leading(table)
    notes = ["the leading term alone: what follows is smaller by n^(-1/2) and not computed"]
    if dropped:
        notes.append(f"{dropped} combinations of outputs do not vary in the limit and are left out")
    if k is None:
        notes.append("no order computed adds anything: the distance is of higher order")
        rate, value, error = np.nan, 0.0, off * n**-0.5
    else:
        rate, value = k / 2, constant * n ** (-k / 2)
        error = off * n ** (-k / 2) + value * n**-0.5
    interval = (max(value - error, 0.0), value + error)
    method = f"leading term, width {n:g}"
    return PredictedDistance(
        value, error, interval, 1.0, 0.0, "wasserstein2", method, tuple(notes), rate, constant
    )
