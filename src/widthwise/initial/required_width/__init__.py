r"""How wide is wide enough for the Gaussian process at initialization.

The output f = Σ_a v_a f(x_a) at width n has a law that tends to N(0, σ²); the corrected law says
how fast. To leading order, with λ_r the standardized cumulants times n^{r/2−1},

    W₁ ≈ 0.161314 σ |λ₃| n^{-1/2},     KS ≈ 0.066490 |λ₃| n^{-1/2}     (skewed),
    W₁ ≈ 0.062917 σ |λ₄| n^{-1},       KS ≈ 0.022941 |λ₄| n^{-1}       (symmetric, fixed variance),

because ∫|He₂|φ/6 = 4φ(1)/6 and ∫|He₃|φ/24 = φ(0)(1 + 4e^{-3/2})/12. All orders that are known are
used together (:mod:`.deviation`), and the distance of the corrected law from its limit is exact
(:mod:`widthwise.algebra.perturbation`). The width returned is the smallest from which on the
deviation stays within the tolerance (:mod:`.search`). With one hidden layer the exact law settles
it to one neuron where the series leaves it open (:mod:`.settled`).
"""

from typing import get_args

import numpy as np

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.initial.cumulants import output_cumulants
from widthwise.initial.required_width.deviation import METRICS, Metric
from widthwise.initial.required_width.place import (
    Place,
    Within,
    open_to_the_exact_law,
    place,
    settled,
)
from widthwise.initial.required_width.projection import projections
from widthwise.initial.required_width.value import RequiredWidth
from widthwise.limit.layer import has_gaussian_bias
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian

__all__ = ["RequiredWidth", "required_width"]

_MOST_SETTLED = 8


def required_width(
    net: MLP,
    x: ArrayLike,
    tolerance: float,
    metric: Metric = "wasserstein",
    directions: ArrayLike | None = None,
    *,
    order: int = 4,
    within: Within = "limit",
    relative: bool = True,
    input_ratio: float | None = None,
) -> RequiredWidth:
    r"""The smallest width at which the law of the outputs is within a tolerance of the GP.

    Every point, or every projection Σ_a v_a f(x_a), is asked by itself, and the worst decides:

        n* = min {n : d(n') ≤ tolerance for all n' ≥ n}.

    The deviation d is that of the series. At small widths, where it leaves more than 3 % of
    the tolerance open, a network with one hidden layer is asked for its exact law instead (at the
    eight widest places): then the answer is right to one neuron, and says so where one neuron is
    more than a tenth of the tolerance.

    All components of the output have the same law; joint laws of several are not compared.

    Args:
        net: the architecture.
        x: data (points, inputs).
        tolerance: the deviation allowed, in the units of the metric.
        metric: ``"wasserstein"``, ∫|F − Φ| between distribution functions, as a share of the
            Gaussian process's standard deviation σ at that place (see ``relative``);
            ``"kolmogorov"``, the largest difference of probabilities sup|F − Φ|;
            ``"relative_variance"``, |κ₂(n)/κ₂(∞) − 1|; ``"excess_kurtosis"``, |κ₄/κ₂²|.
        directions: v (directions, points), or one of them (points,); by default every point alone.
        order: P, the highest power of n^{-1/2} of the corrections, at least 2.
        within: ``"limit"``, of the Gaussian process; ``"corrected"``, of the corrected law: the
            width from which on what the corrections leave out, estimated by their smallest term, is
            within the tolerance.
        relative: ``False`` measures the Wasserstein distance in units of the output.
        input_ratio: d/n where the input dimension grows with the width, as in
            :func:`output_cumulants`.

    Returns:
        :class:`RequiredWidth`.

    Raises:
        ValueError: for bad shapes, an unknown metric, an order below 2, a law that lacks a moment,
            a place whose limiting variance is 0, more points in one direction than can be handled,
            and, for the two distances, an output on a lattice.

    Source:
        Petrov 1975, ch. VI; Carvalho et al. 2023, arXiv:2304.03385.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net = ww.MLP(depth=2, activation="relu", weight_std=2**0.5)
        >>> ww.required_width(net, [[1.0, 0.5]], tolerance=0.01).width
        187
    """
    tolerance = checks.positive(tolerance, "tolerance")
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}")
    if within not in get_args(Within):
        raise ValueError(f"within must be 'limit' or 'corrected', got {within!r}")
    if checks.order(order) < 2:
        raise ValueError(f"order must be at least 2, where the first correction is, got {order}")
    c = output_cumulants(net, x, order, input_ratio=input_ratio)
    if directions is None:
        rows, of = _distinct(net, np.asarray(c.x))
        asked = projections(c, np.eye(len(c.x))[rows])
    else:
        asked = projections(c, _directions(directions, len(c.x)))
        of = np.arange(len(asked))
    found = [place(p, tolerance, metric, within, relative=relative) for p in asked]
    _settle(found, tolerance, metric, within, relative=relative)
    widths = np.array([float(f.width) for f in found])[of]
    worst = int(np.argmax(widths))
    at = found[of[worst]]
    return RequiredWidth(
        width=at.width,
        uncertainty=(max(f.low for f in found), max(f.high for f in found)),
        worst=worst,
        place=f"point {worst}" if directions is None else f"direction {worst}: {at.projection}",
        widths=widths,
        order=at.order,
        tolerance=tolerance,
        metric=metric,
        unit=_unit(metric, relative),
        within=within,
        warnings=at.warnings,
        settled=at.exact is not None,
        _deviation=at.deviation,
        _exact=at.exact,
    )


def _settle(
    found: list[Place], tolerance: float, metric: Metric, within: Within, *, relative: bool
) -> None:
    """Ask the exact law where the answer may depend on it, the largest widths first."""
    order = sorted(range(len(found)), key=lambda i: -found[i].high)
    largest = 0.0
    for i in order[:_MOST_SETTLED]:
        if found[i].high < largest:
            break
        if open_to_the_exact_law(found[i], tolerance, metric, within):
            found[i] = settled(found[i], tolerance, metric, relative=relative)
        largest = max(largest, found[i].width)


def _directions(directions: ArrayLike, points: int) -> np.ndarray:
    """Directions as an array (directions, points)."""
    v = np.atleast_2d(np.asarray(directions, dtype=float))
    if v.ndim != 2 or v.shape[1] != points or not len(v) or not np.isfinite(v).all():
        raise ValueError(
            f"directions must hold finite numbers of shape (directions, {points}), one column per "
            f"point, got shape {np.shape(directions)}"
        )
    if not v.any(axis=1).all():
        raise ValueError(f"directions: row {int(np.argmin(v.any(axis=1)))} is 0 everywhere")
    return v


def _distinct(net: MLP, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of different laws, and which of them every point is like.

    Where the first layer is Gaussian the law of one output depends on |x|² alone.
    """
    alike = x
    if isinstance(net.weight_law[0], Gaussian) and has_gaussian_bias(net, 0):
        alike = np.array([[float(f"{row @ row:.12e}")] for row in x])
    _, rows, of = np.unique(alike, axis=0, return_index=True, return_inverse=True)
    return rows, of.ravel()


def _unit(metric: Metric, relative: bool) -> str:
    """How the tolerance is to be read."""
    if metric != "wasserstein":
        return ""
    return ", as a share of its standard deviation" if relative else ", in units of the output"
