"""From the cumulants of a network's outputs to the law of what a user asks for."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.initial.cumulants import OutputCumulants
from widthwise.initial.edgeworth.bias import output_bias
from widthwise.initial.edgeworth.expansion import projected, require_feasible
from widthwise.initial.edgeworth.joint import JointEdgeworth
from widthwise.initial.edgeworth.projection import Edgeworth
from widthwise.initial.edgeworth.readout import Readout


def edgeworth(
    cumulants: OutputCumulants,
    points: Sequence[int] = (0,),
    direction: ArrayLike | None = None,
    components: int | Sequence[int] = 0,
) -> Edgeworth | JointEdgeworth:
    """The Edgeworth law of direction · outputs(points), or the joint law of several outputs.

    The outputs are f_{components[i]}(x_{points[i]}), i = 1 … p. One of them, or a vector
    ``direction`` (p,), has a law on the line; several of them, or a matrix ``direction`` (k, p),
    have a joint law.

    An output bias whose law is not Gaussian does not become Gaussian at any width: it is left out
    of the series and added to it exactly. Biases that shrink with the width
    (``bias_scaling="fan_in"``, as in :meth:`MLP.like_torch`) are at common widths much of the
    variance: at width n the series is that of the network with the biases it has there, and the law
    with its limiting variance is not used (:meth:`Edgeworth.at_width`).

    Args:
        cumulants: from :func:`output_cumulants`; its order is the order of the series.
        points: rows of the data.
        direction: ``None`` for the outputs themselves, one number per output for a projection, or
            one row per projection.
        components: output component of every point, or one for all.

    Returns:
        :class:`Edgeworth` on the line, :class:`JointEdgeworth` for several coordinates (and for
        every matrix).

    Raises:
        ValueError: for a direction of the wrong shape, or when the limiting covariance (without
            an output bias that is not Gaussian) is singular.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net = ww.MLP(depth=1, activation="identity")
        >>> law = ww.edgeworth(ww.output_cumulants(net, [[1.0]]))
        >>> float(law.pdf(1.0, width=10).round(3))
        0.226
    """
    rows = checks.indices(points, "points")
    parts = checks.indices(components, "components")
    if isinstance(components, int | np.integer):
        parts = parts * len(rows)
    if len(parts) != len(rows):
        raise ValueError(
            f"components must give one output component per point ({len(rows)}), or one for all, "
            f"got {components!r}"
        )
    if not all(0 <= part < cumulants.net.outputs for part in parts):
        raise ValueError(
            f"components must be among the {cumulants.net.outputs} of the output, 0 to "
            f"{cumulants.net.outputs - 1}, got {components!r}"
        )
    matrix = _matrix(direction, len(rows))
    require_feasible(len(matrix), cumulants.order)
    seen = np.any(matrix != 0, axis=0)
    if not seen.any():
        raise ValueError(f"direction must not be 0, got {direction!r}")
    rows = tuple(row for row, kept in zip(rows, seen, strict=True) if kept)
    parts = tuple(part for part, kept in zip(parts, seen, strict=True) if kept)
    one = len(seen) == 1 if direction is None else np.ndim(direction) == 1
    kind = Edgeworth if one else JointEdgeworth
    return _law(kind, cumulants, rows, parts, matrix[:, seen])


def _law(
    kind: type[Edgeworth] | type[JointEdgeworth],
    cumulants: OutputCumulants,
    rows: tuple[int, ...],
    parts: tuple[int, ...],
    matrix: np.ndarray,
) -> Edgeworth | JointEdgeworth:
    """The law of matrix · outputs."""
    net, bias = cumulants.net, None
    sized: Callable[[int], Any] | None = None
    if _shrinks(cumulants):

        def of_width(width: int) -> Edgeworth | JointEdgeworth:
            ratio, d = cumulants.input_ratio, np.shape(cumulants.x)[1]
            there = net.at_width(width, d if ratio is None else ratio * width)
            return _law(kind, replace(cumulants, net=there), rows, parts, matrix)

        sized = lru_cache(maxsize=32)(of_width)
    elif net.bias_scaling == "constant":
        bias = output_bias(net, parts, matrix)
    if bias is not None:
        without = replace(net, bias_std=(*net.bias_std[:-1], 0.0))
        cumulants = replace(cumulants, net=without)
    readout = Readout(cumulants, net, rows, parts, matrix)
    table, errors = readout.table()
    table, errors = projected(table, matrix), projected(errors, np.abs(matrix))
    return kind(table, errors, readout, bias, sized)


def _shrinks(cumulants: OutputCumulants) -> bool:
    """Whether there are biases that shrink with the width."""
    net = cumulants.net
    if net.bias_scaling == "constant":
        return False
    fixed = 1 if cumulants.input_ratio is None else 0
    return any(map(net.has_bias, range(fixed, net.depth + 1)))


def _matrix(direction: ArrayLike | None, count: int) -> np.ndarray:
    if direction is None:
        return np.eye(count)
    v = np.asarray(direction, dtype=float)
    if v.ndim not in (1, 2) or v.shape[-1] != count or not v.size or not np.isfinite(v).all():
        raise ValueError(
            f"direction must hold one finite number per output ({count}), or rows of as many for "
            f"several projections, got {direction!r}"
        )
    return np.atleast_2d(v)
