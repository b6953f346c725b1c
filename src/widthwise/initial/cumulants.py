"""Joint cumulants of the outputs at initialization, as series in n^{-1/2}, computed when asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike, Points
from widthwise.algebra.series import Series
from widthwise.initial.recursion import Recursion, symmetric_readout, vanishes
from widthwise.initial.shallow import ShallowCumulants
from widthwise.model.architecture import MLP, require_network


@dataclass(frozen=True, eq=False)
class OutputCumulants:
    """The joint cumulants of the outputs of a network on data, to a given order.

    Args:
        net: the architecture.
        x: data (points, inputs).
        order: P, the highest power of n^{-1/2} kept.
        tolerance: relative tolerance of the quadratures, ``None`` for the best attainable.
        input_ratio: d/n where the input dimension scales with the width, else ``None``.
    """

    net: MLP
    x: Points
    order: int
    tolerance: float | None = None
    input_ratio: float | None = None

    def cumulant(self, points: Sequence[int], components: Sequence[int] | None = None) -> Series:
        """Joint cumulant of the outputs at rows ``points`` of the data.

        Args:
            points: rows of x, one per variable, repeated as needed: (0, 0, 1, 1) is
                κ(f(x₀), f(x₀), f(x₁), f(x₁)).
            components: output component of every variable; all 0 by default.

        Returns:
            :class:`Series` in n^{-1/2}, with the quadrature error of every coefficient.

        Raises:
            ValueError: for rows or components that do not exist, a law that lacks a moment (said
                which), or more inputs at this order than can be handled.
        """
        rows, parts = self._checked(points, components)
        r = len(rows)
        coefficients, errors = np.zeros((2, self.order + 1))
        if r == 1:
            return Series(coefficients, errors, exact=True)
        if self.net.depth > 1 or self.input_ratio is not None:
            return self._deep(rows, parts)
        if r - 2 <= self.order:
            neuron = self._shallow.cumulant(rows, parts)
            coefficients[r - 2], errors[r - 2] = neuron.value, neuron.error
        power, bias = self._shallow.bias_cumulant(parts)
        if power <= self.order:
            coefficients[power] += bias
        return Series(coefficients, errors, exact=max(r - 2, power) <= self.order)

    def _deep(self, rows: tuple[int, ...], parts: tuple[int, ...]) -> Series:
        """By the recursion on the distinct inputs alone: the others do not change the cumulant."""
        x = np.asarray(self.x)
        distinct: dict[bytes, int] = {}
        for row in sorted(set(rows)):
            distinct.setdefault(x[row].tobytes(), row)
        inputs = tuple(distinct.values())
        channels = [inputs.index(distinct[x[row].tobytes()]) for row in rows]
        variables = sorted(zip(channels, parts, strict=True))
        points, components = zip(*variables, strict=True)
        if vanishes(components, symmetric=self._symmetric):
            return Series(np.zeros(self.order + 1), exact=True)
        return Series(*self._recursion(inputs).cumulant(points, components))

    @cached_property
    def _symmetric(self) -> bool:
        return symmetric_readout(self.net)

    @cached_property
    def _recursion(self):
        return lru_cache(maxsize=64)(
            lambda inputs: Recursion(
                self.net,
                np.asarray(self.x)[list(inputs)],
                self.order,
                self.tolerance,
                input_ratio=self.input_ratio,
            )
        )

    @cached_property
    def _shallow(self) -> ShallowCumulants:
        return ShallowCumulants(self.net, np.asarray(self.x), self.tolerance)

    def _checked(self, points, components) -> tuple[tuple[int, ...], tuple[int, ...]]:
        rows = checks.indices(points, "points")
        parts = (0,) * len(rows) if components is None else checks.indices(components, "components")
        if not rows or not all(0 <= row < len(self.x) for row in rows):
            raise ValueError(
                f"points must name at least one row of x, 0 to {len(self.x) - 1}, got {points!r}"
            )
        if len(parts) != len(rows) or not all(0 <= part < self.net.outputs for part in parts):
            raise ValueError(
                f"components must give one output component (0 to {self.net.outputs - 1}) per "
                f"entry of points ({len(rows)}), got {components!r}"
            )
        return rows, parts


def output_cumulants(
    net: MLP,
    x: ArrayLike,
    order: int = 4,
    *,
    tolerance: float | None = None,
    input_ratio: float | None = None,
) -> OutputCumulants:
    """Joint cumulants of the outputs at initialization as series in n^{-1/2}.

    For one hidden layer every cumulant is exact at any width: a single power of n^{-1/2}, plus the
    cumulant of a non-Gaussian output bias (:mod:`widthwise.initial.shallow`). Deeper networks go
    through the cumulant recursion (:mod:`widthwise.initial.recursion`), truncated after n^{-P/2};
    it runs when a cumulant is first asked for, on the distinct inputs of that cumulant alone, and
    its cost grows quickly with their number and with the order.

    Args:
        net: the architecture.
        x: data (points, inputs).
        order: P, the highest power of n^{-1/2} kept.
        tolerance: relative tolerance of the quadratures; by default the best attainable, with the
            error reached reported by every series.
        input_ratio: ρ₀ where the input dimension is d = ρ₀n and grows with the width; then the
            first layer is expanded like all others, with x standing for data of any such d. By
            default d is fixed and the first layer's law is exact; do not give a ratio for that.

    Returns:
        :class:`OutputCumulants`; ask it for ``cumulant((0, 0, 1, 1))``.

    Raises:
        ValueError: for bad shapes, a negative order or a ratio that is not positive.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net = ww.MLP(depth=1, activation="identity")
        >>> round(ww.output_cumulants(net, [[1.0]]).cumulant((0, 0, 0, 0)).at(width=10), 12)
        0.6
        >>> deep = ww.MLP(depth=3, activation="identity")
        >>> ww.output_cumulants(deep, [[1.0]]).cumulant((0, 0, 0, 0)).coefficients.round(9)
        array([ 0.,  0., 18.,  0., 36.])
    """
    checks.require_x64()
    require_network(net)
    x = np.asarray(checks.points(x))
    allowed = None if tolerance is None else checks.positive(tolerance, "tolerance")
    ratio = None if input_ratio is None else checks.positive(input_ratio, "input_ratio")
    return OutputCumulants(net, x, checks.order(order), allowed, ratio)
