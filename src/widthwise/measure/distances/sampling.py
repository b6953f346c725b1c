"""Intervals for distances that are suprema over test functions, d(μ, ν) = sup_h E_μ h − E_ν h.

The estimate from samples is biased upwards, because h is chosen on the data it is evaluated on. An
h chosen on one half and evaluated on the other gives

    E[Ê_other h] ≤ d,

so the interval runs from the average of both such halves less z standard errors to the estimate
plus z standard errors. The standard error is that of Ê_μ h − Ê_ν h for the h of all samples, which
is the first order of the estimate's fluctuation (the envelope theorem).
"""

from collections.abc import Callable
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from scipy.special import ndtri

from widthwise.measure.distances.laws import Normal
from widthwise.measure.distances.table import Table
from widthwise.measure.distances.value import Distance

Data: TypeAlias = np.ndarray | Table | Normal
_HALVINGS = 4
_NEAR = 5.0  # floors


@runtime_checkable
class Witness(Protocol):
    """A test function that attains a distance."""

    def at(self, x: np.ndarray, /) -> np.ndarray:
        """Its values at samples."""
        ...

    def under(self, law: Data, /) -> float:
        """Its expectation under a law."""
        ...


Evaluate: TypeAlias = Callable[[Data, Data], tuple[float, Witness]]


def quantile(confidence: float) -> float:
    """The z of a two-sided interval.

    Raises:
        ValueError: for a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, such as 0.95, got {confidence!r}")
    return float(ndtri((1 + confidence) / 2))


def halves(x: Data, seed: int = 0) -> tuple[Data, Data]:
    """Two random halves of samples; a law is its own half."""
    if not isinstance(x, np.ndarray):
        return x, x
    order = np.random.default_rng(seed).permutation(len(x))
    return x[order[::2]], x[order[1::2]]


def spread(values: np.ndarray | None) -> float:
    """The squared standard error of a mean; 0 where nothing was sampled."""
    return 0.0 if values is None else float(values.var(ddof=1) / len(values))


def widest_slope(x: Data, y: Data) -> float:
    """The largest standard error of h with slopes up to 1, on the line: Var h(X) ≤ Var X."""
    return float(np.sqrt(sum(spread(d) for d in (x, y) if isinstance(d, np.ndarray))))


def around(value: float, error: float, confidence: float) -> tuple[float, float]:
    """The interval of an unbiased estimate of a squared distance.

    Its error grows like its root, so the upper end is that of the root: v + ze + (ze)²/4v.
    """
    moved = quantile(confidence) * error
    bend = moved**2 / (4 * max(value, error)) if error else 0.0
    return max(value - moved, 0.0), max(value + moved + bend, 0.0)


def share(x: Data, y: Data) -> float:
    """1/N + 1/M over what is sampled."""
    return sum(1 / len(data) for data in (x, y) if isinstance(data, np.ndarray))


def _gap(h: Witness, x: Data, y: Data) -> float:
    one, other = (
        float(h.at(d).mean()) if isinstance(d, np.ndarray) else h.under(d) for d in (x, y)
    )
    return one - other


def floor_by_halves(evaluate: Evaluate, x: Data, y: Data) -> float:
    """The mean estimate of samples of one law, from random halves of those given."""
    total = []
    for data in (x, y):
        if isinstance(data, np.ndarray):
            found = [evaluate(*halves(data, seed))[0] for seed in range(_HALVINGS)]
            total.append(np.mean(found) * np.sqrt(len(data) / 4))
    return float(np.mean(total) * np.sqrt(share(x, y)))


def assessed(
    evaluate: Evaluate,
    x: Data,
    y: Data,
    *,
    metric: str,
    method: str,
    confidence: float,
    widest: float,
    floor: float | None = None,
    numerical: float = 0.0,
    between: float = 0.0,
    notes: tuple[str, ...] = (),
) -> Distance:
    """The estimate with its interval and floor.

    Args:
        evaluate: the distance of two data sets or laws, and a test function that attains it.
        x: samples or a law.
        y: samples or a law.
        metric: name of the distance.
        method: how it is computed.
        confidence: of the interval.
        widest: the largest standard error of Ê_x h − Ê_y h for any test function h.
        floor: if known; otherwise from random halves.
        numerical: error of the numerics.
        between: standard error from what else was drawn at random, such as directions.
        notes: sentences for the user.
    """
    z = quantile(confidence)
    value, h = evaluate(x, y)
    errors = [spread(h.at(d)) if isinstance(d, np.ndarray) else 0.0 for d in (x, y)]
    error = float(np.sqrt(sum(errors) + between**2))
    crossed = []
    (xa, xb), (ya, yb) = halves(x), halves(y, 1)
    for (x1, y1), (x2, y2) in (((xa, ya), (xb, yb)), ((xb, yb), (xa, ya))):
        crossed.append(_gap(evaluate(x1, y1)[1], x2, y2))
    floor = floor_by_halves(evaluate, x, y) if floor is None else floor
    if value < _NEAR * floor:
        error = float(np.hypot(widest, between))
    low = max(min(float(np.mean(crossed)), value) - z * error - numerical, 0.0)
    high = value + z * error + numerical
    return Distance(value, error + numerical, (low, high), confidence, floor, metric, method, notes)
