"""What one projection of the outputs needs, and what speaks against the number."""

import math
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from widthwise.initial.required_width.bias import distance_of_the_limit
from widthwise.initial.required_width.deviation import Deviation, Metric, deviation
from widthwise.initial.required_width.projection import Projection
from widthwise.initial.required_width.search import MOST, smallest_width
from widthwise.initial.required_width.settled import ExactDistance
from widthwise.model.laws import Gaussian

Within: TypeAlias = Literal["limit", "corrected"]
_LARGE = 0.5  # of the tolerance: a remainder, or
_FEW_DIGITS = 0.05  # a numerical error, to warn of
_OPEN = 0.03  # what a series leaves out, to ask the exact law
_COARSE = 0.1  # a change of the distance by one neuron, to speak of


class Place(NamedTuple):
    """What one projection needs by itself.

    Without a series ``deviation`` is ``None``; ``exact`` is there where the exact law settled it.
    """

    projection: Projection
    width: int | float
    low: int | float
    high: int | float
    order: int
    deviation: Deviation | None
    warnings: tuple[str, ...]
    exact: ExactDistance | None = None


def open_to_the_exact_law(found: Place, tolerance: float, metric: Metric, within: Within) -> bool:
    """Whether there is an exact law, and the series leaves more than three percent open."""
    c, d = found.projection.cumulants, found.deviation
    known = c.net.depth == 1 and c.input_ratio is None and metric in ("wasserstein", "kolmogorov")
    if not known or d is None or within == "corrected" or math.isinf(found.width):
        return False
    return d.remainder(found.width) + d.numerical(found.width) > _OPEN * tolerance


def settled(found: Place, tolerance: float, metric: Metric, *, relative: bool) -> Place:
    """The place with the width that the exact law says, where that is known well enough."""
    assert found.deviation is not None
    std = float(found.projection.cumulant(2).coefficients[0]) ** 0.5
    unit = std if metric == "wasserstein" and not relative else 1.0
    exact = ExactDistance(found.projection, metric, std, unit)
    n = exact.settle(int(found.width), tolerance)
    if n is None:
        return found
    warnings: tuple[str, ...] = ()
    here = float(exact.at(n).value)
    before = float(exact.at(n - 1).value)
    if before - here > _COARSE * tolerance:
        warnings = (
            f"one neuron changes the distance by {(before - here) / tolerance:.0%} of the "
            f"tolerance: it is {before:.3g} at width {n - 1} and {here:.3g} at width {n}",
        )
    return found._replace(width=n, low=n, high=n, warnings=warnings, exact=exact)


def place(
    projection: Projection, tolerance: float, metric: Metric, within: Within, *, relative: bool
) -> Place:
    """The width that one projection needs.

    Raises:
        ValueError: for a limiting variance of 0, a lattice, or a limit that is not Gaussian and yet
            within the tolerance.
    """
    variance = float(projection.cumulant(2).coefficients[0])
    if variance <= 0:
        raise ValueError(
            f"the limiting variance of the output at {projection} is {variance:g}: there is "
            "nothing to compare with; leave it out"
        )
    if metric in ("wasserstein", "kolmogorov"):
        stuck = _not_gaussian(projection, tolerance, metric, variance**0.5, relative=relative)
        if stuck is not None:
            return stuck
    d = deviation(projection, metric, relative=relative)
    order, best = d.order, d.order
    width = _width(d, order, tolerance, within)
    while (best := _optimal(d, width)) < order:
        order = best
        width = _width(d, order, tolerance, within)
    low = _width(d, order, tolerance, within, -1)
    high = _width(d, order, tolerance, within, +1)
    warnings = _warnings(d, width, order, tolerance, within, high)
    return Place(projection, width, low, high, order, d, warnings)


def _width(
    d: Deviation, order: int, tolerance: float, within: Within, sign: int = 0
) -> int | float:
    """The width for the deviation, less or plus what is not known of it."""

    def left_out(n: int) -> float:
        return d.remainder(n) + d.numerical(n)

    def bound(n: int) -> float:
        if within == "corrected":
            return d.remainder(n) + (1 + sign) * d.numerical(n)
        sizes = d.terms.coefficients[: order + 1]
        return float(sizes @ float(n) ** (-0.5 * np.arange(order + 1))) + max(sign, 0) * left_out(n)

    def of_width(n: int) -> float:
        return bound(n) if within == "corrected" else d.at(n, order) + sign * left_out(n)

    return smallest_width(of_width, bound, tolerance)


def _optimal(d: Deviation, width: float) -> int:
    """The optimal order at this width; P where there is no width, or no term."""
    return d.order if math.isinf(width) or d.vanishes else d.terms.optimal_order(width)


def _warnings(
    d: Deviation, width: float, order: int, tolerance: float, within: Within, high: float
) -> tuple[str, ...]:
    found = []
    if math.isinf(width):
        reason = (
            f"the deviation tends to {d.limit:.3g} as n grows, because the output bias has a law "
            "that is not Gaussian; bias_law=(..., 'gaussian') or bias_std 0 in the last layer"
            if d.limit > tolerance
            else f"more than {MOST:.0e} neurons"
        )
        return (f"no width suffices: {reason}",)
    if not d.exact and d.vanishes:
        found.append(
            f"no correction up to n^({-d.order}/2) differs from 0: either this deviation "
            "is 0 at every width, or a higher order is needed to see it"
        )
    if order < d.order:
        found.append(
            f"at width {width:.4g} the terms grow after order {order}: those up to order {d.order} "
            f"make the series worse and were not used"
        )
    left_out = d.remainder(width)
    if within == "limit" and left_out > _LARGE * tolerance:
        found.append(
            f"width {width:.4g} is too small for this series: what it leaves out may be "
            f"{left_out:.1e}, against a tolerance of {tolerance:g}; take {high:.4g} to be safe, or "
            "measure real networks"
        )
    if d.numerical(width) > _FEW_DIGITS * tolerance:
        found.append(
            f"the coefficients are known to few digits: their errors are {d.numerical(width):.1e} "
            f"of a deviation of {d.at(width, order):.1e}"
        )
    return tuple(found)


def _not_gaussian(
    projection: Projection, tolerance: float, metric: Metric, std: float, *, relative: bool
) -> Place | None:
    """The answer where the limit itself is too far from Gaussian; ``None`` where it is Gaussian."""
    net = projection.cumulants.net.at_width(np.inf, inputs=1)
    last = net.depth
    if not net.has_bias(last) or isinstance(net.bias_law[last], Gaussian):
        return None
    law, share = net.bias_law[last], float(net.bias_std[last]) * sum(projection.direction)
    if abs(share) < 1e-14 * std:
        return None
    unit = std if metric == "wasserstein" and not relative else 1.0
    found = distance_of_the_limit(law, share, std, metric)
    limit, error = unit * float(found.value), unit * float(found.error)
    if limit - error <= tolerance:
        raise ValueError(
            f"the output bias has the law {law.name}, so the limit n → ∞ is not Gaussian: it is "
            f"{limit:.3g} from the Gaussian process, within the tolerance {tolerance:g}, but an "
            "expansion about a Gaussian does not exist; use a Gaussian bias in the last layer "
            "(bias_law=(..., 'gaussian')) or bias_std 0 there"
        )
    reason = (
        f"no width suffices: the output bias has the law {law.name}, so the limit n → ∞ is not "
        f"Gaussian but {limit:.3g} from the Gaussian process; use a Gaussian bias in the last "
        "layer (bias_law=(..., 'gaussian')) or bias_std 0 there"
    )
    return Place(projection, math.inf, math.inf, math.inf, 0, None, (reason,))
