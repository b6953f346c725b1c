"""The Edgeworth series: from cumulants in powers of n^{-1/2} to a law.

For a linear projection of the outputs with cumulants κ_r = Σ_k ε^k κ_r^{(k)}, ε = n^{-1/2}, and
limiting variance σ² = κ_2^{(0)}, put Λ(t) = Σ_r (κ_r − σ² 1[r = 2]) t^r / r! = O(ε). Then

    exp Λ(t) = Σ_r c_r(ε) t^r,
    p(z) = N(z; 0, σ²) Σ_r c_r He_r(z; σ²),
    P(Z ≤ z) = Φ(z/σ) − N(z; 0, σ²) Σ_{r≥1} c_r He_{r−1}(z; σ²),

with He_r(z; σ²) = σ^{−r} He_r(z/σ) and every c_r truncated after ε^P (Petrov 1975, ch. VI;
McCullagh 1987, ch. 5). The series is asymptotic: a truncation can be negative in the tails, and at
a small width a lower order may be better than the highest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from math import factorial

import numpy as np
from jaxtyping import Float
from numpy.polynomial import hermite_e
from scipy.signal import convolve2d
from scipy.stats import norm

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.initial.cumulants import OutputCumulants
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian


@dataclass(frozen=True, eq=False)
class Edgeworth:
    """The law of one projection of the outputs, corrected for finite width.

    Args:
        cumulants: coefficients of κ_r in powers of n^{-1/2}: row r, column k; rows 0 and 1 are 0.
    """

    cumulants: Float[np.ndarray, "orders_plus_3 orders_plus_1"]

    @property
    def order(self) -> int:
        """P, the highest power of n^{-1/2} kept."""
        return self.cumulants.shape[1] - 1

    @property
    def std(self) -> float:
        """σ, the standard deviation of the limiting Gaussian."""
        return float(np.sqrt(self.cumulants[2, 0]))

    @cached_property
    def coefficients(self) -> Float[np.ndarray, "degrees orders_plus_1"]:
        """c_r by power of ε: row r, column k."""
        P = self.order
        exponent = np.zeros((3 * P + 1, P + 1))
        for r in range(2, P + 3):
            if r <= 3 * P:
                exponent[r] = self.cumulants[r] / factorial(r)
        if len(exponent) > 2:
            exponent[2, 0] = 0.0
        total = term = np.eye(*exponent.shape)[:, :1] * np.eye(1, P + 1)
        for j in range(1, P + 1):
            term = convolve2d(term, exponent)[: 3 * P + 1, : P + 1] / j
            total = total + term
        return total

    def pdf(self, z: ArrayLike, width: float, order: int | None = None) -> np.ndarray:
        """The density at values z for width n, with terms up to ``order`` (all by default).

        Returns:
            An array of the shape of z; it can be negative where the series fails.
        """
        u = np.asarray(z, dtype=float) / self.std
        density = norm.pdf(u) / self.std
        return np.asarray(density * hermite_e.hermeval(u, self._standardized(width, order)))

    def cdf(self, z: ArrayLike, width: float, order: int | None = None) -> np.ndarray:
        """P(Z ≤ z) for width n, with terms up to ``order`` (all by default)."""
        u = np.asarray(z, dtype=float) / self.std
        weights = self._standardized(width, order)[1:]
        correction = hermite_e.hermeval(u, weights) if len(weights) else 0.0
        return np.asarray(norm.cdf(u) - norm.pdf(u) * correction)

    def optimal_order(self, width: float) -> int:
        """The order before the one whose contribution to the density is smallest.

        Contributions are measured in L¹; orders that contribute nothing are passed over.
        """
        z = np.linspace(-8, 8, 1601)
        weights = self._weights(width)
        sizes = np.array(
            [
                np.abs(norm.pdf(z) * hermite_e.hermeval(z, weights[:, k])).mean() * 16
                for k in range(1, self.order + 1)
            ]
        )
        present = np.flatnonzero(sizes > 1e-14)
        if not len(present) or sizes[present[0]] >= 1:
            return self.order if not len(present) else 0
        smallest = present[np.argmin(sizes[present])]
        return self.order if smallest == present[-1] else int(smallest)

    def _weights(self, width: float) -> np.ndarray:
        """Standardized c_r σ^{−r} ε^k: row r, column k."""
        n = float(checks.width(width))
        powers = n ** (-0.5 * np.arange(self.order + 1))
        return self.coefficients * powers * self.std ** -np.arange(len(self.coefficients))[:, None]

    def _standardized(self, width: float, order: int | None) -> np.ndarray:
        last = self.order if order is None else checks.order(order)
        if last > self.order:
            raise ValueError(f"order {last} was asked of a series computed to order {self.order}")
        return self._weights(width)[:, : last + 1].sum(1)


def edgeworth(
    cumulants: OutputCumulants,
    points: Sequence[int] = (0,),
    direction: Sequence[float] | None = None,
    component: int = 0,
) -> Edgeworth:
    """The Edgeworth law of direction · outputs(points), one output component.

    Args:
        cumulants: from :func:`output_cumulants`; its order is the order of the series.
        points: rows of the data.
        direction: one number per point; may be left out for a single point.
        component: which output.

    Returns:
        :class:`Edgeworth`.

    Raises:
        ValueError: without a direction for several points, when the limiting variance is zero, when
            an output bias of a non-Gaussian law makes the limit itself non-Gaussian, or when the
            output lies on a lattice.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net = ww.MLP(depth=1, activation="identity")
        >>> law = ww.edgeworth(ww.output_cumulants(net, [[1.0]]))
        >>> float(law.pdf(1.0, width=10).round(3))
        0.226
    """
    rows = checks.indices(points, "points")
    _has_edgeworth_series(cumulants.net)
    if direction is None and len(rows) > 1:
        raise ValueError(
            f"direction must give one number per point ({len(rows)} points); "
            "for one output alone pass a single point"
        )
    v = np.ones(1) if direction is None else np.asarray(direction, dtype=float)
    if v.shape != (len(rows),):
        raise ValueError(
            f"direction must hold one number per point ({len(rows)}), got {direction!r}"
        )
    P = cumulants.order
    table = np.zeros((P + 3, P + 1))
    for r in range(2, P + 3):
        for chosen in combinations_with_replacement(range(len(rows)), r):
            counts = np.bincount(chosen, minlength=len(rows))
            weight = factorial(r) / np.prod([float(factorial(c)) for c in counts])
            weight *= np.prod(v**counts)
            if weight:
                indices = [rows[i] for i in chosen]
                table[r] += weight * cumulants.cumulant(indices, (component,) * r).coefficients
    if table[2, 0] <= 0:
        raise ValueError(
            f"the limiting variance of direction · outputs is {table[2, 0]:g}: there is no "
            "density; choose a direction in which the outputs vary"
        )
    return Edgeworth(table)


def _has_edgeworth_series(net: MLP) -> None:
    """Raise unless the limit is Gaussian and the law not on a lattice, by what is known at once."""
    last = net.depth
    net = net.at_width(np.inf, inputs=1)
    if net.has_bias(last) and not isinstance(net.bias_law[last], Gaussian):
        raise ValueError(
            f"the output bias has the law {net.bias_law[last].name}, so the limit n → ∞ is not "
            "Gaussian and an Edgeworth series about a Gaussian does not exist; use a Gaussian bias "
            "in the last layer (bias_law=(..., 'gaussian')) or bias_std 0 there"
        )
    steps = net.activation.name in ("step", "sign")
    if steps and net.weight_law[last].discrete and not net.has_bias(last):
        raise ValueError(
            f"readout weights of the discrete law {net.weight_law[last].name} times "
            f"{net.activation.name} put the output on a lattice: it has no density, and the "
            "Edgeworth series misses the steps of its distribution function (Cramér's condition "
            "fails); use another readout law or an output bias"
        )
