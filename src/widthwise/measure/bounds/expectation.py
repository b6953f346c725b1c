r"""Expectations of many functions of one neuron at once, block by block of a rule.

Rules over the sources of the preactivations (:mod:`widthwise.limit.first_layer.rules`) as long as
they are few, refined until two agree; otherwise randomized Sobol points, whose error is a standard
error, which the result says: a bound that adds :data:`MARGIN` of them holds with a confidence below
1. Tables of moments have hundreds of columns, so nodes are taken some at a time, and a rule
that would be too much work ends the refinement.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from widthwise.algebra.gaussian import Rule
from widthwise.limit.first_layer import rules, sobol
from widthwise.limit.first_layer.projection import Projection

TOLERANCE = 1e-7
MARGIN = 3.0
"""Errors of an expectation that a bound adds."""
RANDOM_CONFIDENCE = 0.99
"""Of a bound by random points: 3 standard errors of 16 copies, Student's t of 15 degrees."""
_ACCEPTED = 1e-4
_BLOCK = 1 << 13
_WORK = 6e8  # nodes times columns
_SOBOL = 1 << 14
_MOST_SMOOTH, _MOST_KINKED = 4, 3
_PANELS = (6, 9, 14, 21)

Observable = Callable[[np.ndarray], np.ndarray]


class Expectation(NamedTuple):
    """Numbers, the estimated absolute error of each, and whether that is a standard error."""

    value: np.ndarray
    error: np.ndarray
    random: bool = False


def expectation(
    projection: Projection, observable: Observable, kinks: tuple[float, ...]
) -> Expectation:
    """E observable(z) and its estimated error, column by column.

    Args:
        projection: the law of the preactivations z.
        observable: (nodes, points) → (nodes, k).
        kinks: values of any z at which it is not smooth.
    """
    columns = observable(np.zeros((1, len(projection.coefficients)))).shape[1]
    best = _by_rules(projection, observable, kinks, columns)
    if best is not None and _relative(best) <= _ACCEPTED:
        return best
    random = _by_sobol(projection, observable, columns)
    if best is None or _relative(random) < _relative(best):
        return random
    return best


def _relative(found: Expectation) -> float:
    return float(np.max(found.error / np.maximum(np.abs(found.value).max(), 1e-300)))


def _by_rules(projection: Projection, observable, kinks, columns: int) -> Expectation | None:
    kinked = bool(kinks) and projection.continuous > 0
    most = _MOST_KINKED if kinked else _MOST_SMOOTH
    if projection.atoms > rules.MOST_ATOMS or projection.continuous > most:
        return None
    made = (
        rules.panel_rules(projection, kinks, _PANELS) if kinked else rules.product_rules(projection)
    )

    def affordable() -> Iterator[Rule]:
        for rule in made:
            if len(rule.weights) * columns > _WORK:
                return
            yield rule

    def integral(rule: Rule) -> tuple[np.ndarray, np.ndarray]:
        total, size = np.zeros(columns), np.zeros(columns)
        for start in range(0, len(rule.weights), _BLOCK):
            part = slice(start, start + _BLOCK)
            values = observable(rule.nodes[part] @ projection.coefficients.T)
            total += rule.weights[part] @ values
            size += rule.weights[part] @ np.abs(values)
        return total, size

    found = rules.refined(projection, integral, kinks, TOLERANCE, choice=affordable())
    return None if found is None else Expectation(*found)


def _by_sobol(projection: Projection, observable, columns: int) -> Expectation:
    size = int(np.clip(_WORK / (16 * columns), 1 << 10, _SOBOL))
    copies = []
    for z in sobol.samples(projection, size):
        starts = range(0, len(z), _BLOCK)
        copies.append(sum(observable(z[i : i + _BLOCK]).sum(0) for i in starts) / len(z))
    return Expectation(*sobol.of_copies(np.array(copies)), random=True)
