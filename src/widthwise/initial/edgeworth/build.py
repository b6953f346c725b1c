"""From the cumulants of a network's outputs to the law of what a user asks for."""

from collections.abc import Sequence

import numpy as np

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.initial.cumulants import OutputCumulants
from widthwise.initial.edgeworth.expansion import projected, require_feasible
from widthwise.initial.edgeworth.joint import JointEdgeworth
from widthwise.initial.edgeworth.projection import Edgeworth
from widthwise.initial.edgeworth.readout import Readout
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian


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
        ValueError: for a direction of the wrong shape, when the limiting covariance is singular,
            or when an output bias of a non-Gaussian law makes the limit itself non-Gaussian.

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
    _require_gaussian_limit(cumulants.net)
    matrix = _matrix(direction, len(rows))
    require_feasible(len(matrix), cumulants.order)
    seen = np.any(matrix != 0, axis=0)
    if not seen.any():
        raise ValueError(f"direction must not be 0, got {direction!r}")
    readout = Readout(
        cumulants,
        tuple(row for row, kept in zip(rows, seen, strict=True) if kept),
        tuple(part for part, kept in zip(parts, seen, strict=True) if kept),
        matrix[:, seen],
    )
    table, errors = readout.table()
    table = projected(table, readout.matrix)
    errors = projected(errors, np.abs(readout.matrix))
    one = len(rows) == 1 if direction is None else np.ndim(direction) == 1
    return (Edgeworth if one else JointEdgeworth)(table, errors, readout)


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


def _require_gaussian_limit(net: MLP) -> None:
    last = net.depth
    net = net.at_width(np.inf, inputs=1)
    if net.has_bias(last) and not isinstance(net.bias_law[last], Gaussian):
        raise ValueError(
            f"the output bias has the law {net.bias_law[last].name}, so the limit n → ∞ is not "
            "Gaussian and an Edgeworth series about a Gaussian does not exist; use a Gaussian bias "
            "in the last layer (bias_law=(..., 'gaussian')) or bias_std 0 there"
        )
