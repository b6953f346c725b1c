r"""The neural tangent kernel at width n and initialization: mean, covariance, cumulants.

For a random direction v_c ~ N(0, 1) of the parameters, scaled by the roots of the learning rates,
the tangent ż^c = v_c · ∇_θ f is one more random output of the network, and Θ = E_v[ż ż]. Joint
cumulants of entries of Θ and of outputs are therefore joint cumulants of outputs and tangents, with
one independent replica v_c for every entry:

    κ(f_{i₁}(a₁) …, Θ_{kl}(a, b), Θ_{pq}(c, d), …)
        = κ(f_{i₁}(a₁) …, ż_k¹(a), ż_l¹(b), ż_p²(c), ż_q²(d), …).                               (1)

In a partition of the right side into more than one block, v_c → −v_c keeps both tangents of a
replica in one block, so the partition splits the left side as well: hence no other term in (1). The
right side comes from the cumulant recursion (:mod:`widthwise.initial.recursion`) over the channels
z and ż. With one hidden layer Θ is an average over neurons,

    Θ_{ik}(a, b) = δ_{ik} (σ_b² + σ_w²/n Σ_j h_a h_b) + σ_w²/n Σ_j W_ij W_kj φ'_a φ'_b Θ¹(a, b),

and its cumulants of order q are a single term n^{1−q}, exact at every n (NTK parametrization).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike, Points
from widthwise.algebra.series import Series
from widthwise.initial.recursion import Recursion, symmetric_readout, vanishes
from widthwise.model.architecture import MLP, require_network

Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class NTKStatistics:
    """Statistics of the empirical NTK of random networks, as series in n^{-1/2}.

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

    def mean(self, a: int, b: int, components: Sequence[int] = (0, 0)) -> Series:
        """E Θ_{kl}(x_a, x_b), the components (k, l) being output components.

        Example:
            >>> import jax; jax.config.update("jax_enable_x64", True)
            >>> import widthwise as ww
            >>> net = ww.MLP(depth=2, activation="relu", weight_std=2**0.5)
            >>> round(ww.ntk_statistics(net, [[1.0]], order=2).mean(0, 0).at(width=10), 9)
            6.0
        """
        return self.cumulant([(a, b)], components=components)

    def covariance(
        self, first: Sequence[int], second: Sequence[int], components: Sequence[int] = (0, 0, 0, 0)
    ) -> Series:
        """Cov(Θ_{kl}(x_a, x_b), Θ_{pq}(x_c, x_d)), first = (a, b), second = (c, d).

        Args:
            first: rows (a, b) of x.
            second: rows (c, d) of x.
            components: (k, l, p, q).
        """
        return self.cumulant([first, second], components=components)

    def output_covariance(
        self, outputs: Sequence[int], entry: Sequence[int], components: Sequence[int] = (0, 0, 0, 0)
    ) -> Series:
        """Cov(f_i(x_a) f_j(x_b), Θ_{kl}(x_c, x_d)), outputs = (a, b), entry = (c, d).

        Args:
            outputs: rows (a, b) of x.
            entry: rows (c, d) of x.
            components: (i, j, k, l).
        """
        if len(checks.indices(outputs, "outputs")) != 2:
            raise ValueError(f"outputs must name two rows of x, got {outputs!r}")
        return self.cumulant([entry], outputs, components)

    def cumulant(
        self,
        entries: Sequence[Sequence[int]],
        outputs: Sequence[int] = (),
        components: Sequence[int] | None = None,
    ) -> Series:
        """Joint cumulant of outputs f(x_a) and entries Θ(x_a, x_b) of the kernel.

        Args:
            entries: pairs (a, b) of rows of x, one per entry of Θ, at least one.
            outputs: rows of x, one per output; the means of outputs are 0.
            components: the output component of every output, then two for every entry; all 0 by
                default.

        Returns:
            :class:`Series` in n^{-1/2}, with the quadrature error of every coefficient.

        Raises:
            ValueError: for rows or components that do not exist, a law that lacks a moment, or more
                inputs at this order than can be handled.
        """
        pairs, rows, parts = self._checked(entries, outputs, components)
        distinct: dict[bytes, int] = {}
        x = np.asarray(self.x)
        for row in sorted({*rows, *sum(pairs, ())}):
            distinct.setdefault(x[row].tobytes(), row)
        inputs = tuple(distinct.values())
        place = {row: inputs.index(distinct[x[row].tobytes()]) for row in {*rows, *sum(pairs, ())}}
        count = len(rows)
        variables = sorted((place[row], part) for row, part in zip(rows, parts, strict=False))
        tangents = sorted(
            tuple(sorted((place[row], part) for row, part in zip(pair, own, strict=True)))
            for pair, own in zip(pairs, _in_twos(parts[count:]), strict=True)
        )
        at = tuple(tuple(sorted({point for point, _ in pair})) for pair in tangents)
        recursion = self._recursion(inputs, at)
        channels = [recursion.channels.value(point) for point, _ in variables]
        chosen = [part for _, part in variables]
        for replica, pair in enumerate(tangents):
            channels += [recursion.channels.tangent(replica, point) for point, _ in pair]
            chosen += [part for _, part in pair]
        if vanishes(chosen, symmetric=self._symmetric):
            return Series(np.zeros(self.order + 1), exact=True)
        value, error = recursion.cumulant(channels, chosen)
        return Series(value, error, exact=self._exact(len(pairs), count))

    def _exact(self, entries: int, outputs: int) -> bool:
        """Whether the series is a single term and holds it."""
        one_layer = self.net.depth == 1 and self.input_ratio is None
        return (
            one_layer
            and self.net.parametrization == "ntk"
            and 2 * entries + outputs - 2 <= self.order
        )

    @cached_property
    def _symmetric(self) -> bool:
        return symmetric_readout(self.net)

    @cached_property
    def _recursion(self):
        return lru_cache(maxsize=64)(
            lambda inputs, tangents: Recursion(
                self.net,
                np.asarray(self.x)[list(inputs)],
                self.order,
                self.tolerance,
                tangents=tangents,
                input_ratio=self.input_ratio,
            )
        )

    def _checked(self, entries, outputs, components):
        if not isinstance(entries, Sequence):
            raise ValueError(f"entries must be pairs (a, b) of rows of x, got {entries!r}")
        pairs = tuple(checks.indices(pair, "an entry of the kernel") for pair in entries)
        rows = checks.indices(outputs, "outputs")
        if not pairs or any(len(pair) != 2 for pair in pairs):
            raise ValueError(
                "entries must hold at least one pair (a, b) of rows of x, and nothing but pairs; "
                f"got {entries!r}"
            )
        if not all(0 <= row < len(self.x) for row in (*rows, *sum(pairs, ()))):
            raise ValueError(
                f"rows of x go from 0 to {len(self.x) - 1}, got {entries!r} and {outputs!r}"
            )
        number = len(rows) + 2 * len(pairs)
        parts = (0,) * number if components is None else checks.indices(components, "components")
        if len(parts) != number or not all(0 <= part < self.net.outputs for part in parts):
            raise ValueError(
                f"components must give {number} output components (0 to {self.net.outputs - 1}): "
                f"one per output ({len(rows)}), two per entry of the kernel, got {components!r}"
            )
        return pairs, rows, parts


def _in_twos(parts: tuple[int, ...]) -> list[tuple[int, int]]:
    return list(zip(parts[::2], parts[1::2], strict=True))


def ntk_statistics(
    net: MLP,
    x: ArrayLike,
    order: int = 4,
    *,
    tolerance: float | None = None,
    input_ratio: float | None = None,
) -> NTKStatistics:
    """Mean, covariance and cumulants of the finite-width NTK at initialization.

    Everything is computed when asked, from the distinct inputs of the question alone; the cost
    grows quickly with their number and with the order. In the standard parametrization Θ is the
    kernel of the flow with learning rate 1/n (:class:`MLP`).

    Args:
        net: the architecture.
        x: data (points, inputs).
        order: P, the highest power of n^{-1/2} kept; covariances start at n^{-1}.
        tolerance: relative tolerance of the quadratures; by default the best attainable, with the
            error reached reported by every series.
        input_ratio: ρ₀ where the input dimension d = ρ₀n grows with the width, as in
            :func:`output_cumulants`.

    Returns:
        :class:`NTKStatistics`; ask it for ``mean(a, b)`` and ``covariance((a, b), (c, d))``.

    Raises:
        ValueError: for bad shapes, a negative order or a ratio that is not positive.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net = ww.MLP(depth=2, activation="relu", weight_std=2**0.5)
        >>> statistics = ww.ntk_statistics(net, [[1.0]], order=4)
        >>> statistics.covariance((0, 0), (0, 0)).coefficients.round(8)
        array([  0.,   0., 232.,   0., 452.])
    """
    checks.require_x64()
    require_network(net)
    x = np.asarray(checks.points(x))
    allowed = None if tolerance is None else checks.positive(tolerance, "tolerance")
    ratio = None if input_ratio is None else checks.positive(input_ratio, "input_ratio")
    return NTKStatistics(net, x, checks.order(order), allowed, ratio)
