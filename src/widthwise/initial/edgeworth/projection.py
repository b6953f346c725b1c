"""The law of one projection of the outputs, as an Edgeworth series.

p(z) = N(z; 0, σ²) Σ_r c_r He_r(z; σ²),
P(Z ≤ z) = Φ(z/σ) − N(z; 0, σ²) Σ_{r≥1} c_r He_{r−1}(z; σ²),        He_r(z; σ²) = σ^{−r} He_r(z/σ)

and averages of these over an output bias whose law is not Gaussian (:mod:`.bias`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.algebra.series import Series
from widthwise.initial.edgeworth import diagnosis, draws, quantiles
from widthwise.initial.edgeworth.diagnosis import LawDiagnosis
from widthwise.initial.edgeworth.draws import Draws, Method
from widthwise.initial.edgeworth.expansion import Expansion, expansion
from widthwise.initial.edgeworth.law import EdgeworthLaw
from widthwise.initial.edgeworth.line import Line
from widthwise.initial.edgeworth.readout import require_no_lattice


@dataclass(frozen=True, eq=False)
class Edgeworth(EdgeworthLaw):
    """The law of one projection of the outputs, corrected for finite width.

    Args:
        cumulants: coefficients of κ_r in powers of n^{-1/2}: row r, column k; rows 0 and 1 are 0.
        errors: of the coefficients; all 0 by default.
        readout: the outputs this is the law of; without it no verdict on Cramér's condition.
        bias: an output bias whose law is not Gaussian, which the cumulants do not hold.
        sized: where biases shrink with the width, the law with the biases of width n
            (:meth:`at_width`).

    Raises:
        ValueError: when the limiting variance is not above 0, or the limit is not Gaussian.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net = ww.MLP(depth=2, activation="tanh", weight_std=1.5)
        >>> law = ww.edgeworth(ww.output_cumulants(net, [[1.0]]))
        >>> law.ppf([0.05, 0.5, 0.95], width=32).round(3) + 0.0
        array([-1.615,  0.   ,  1.615])
    """

    cumulants: Float[np.ndarray, "orders_plus_3 orders_plus_1"]
    errors: Float[np.ndarray, "orders_plus_3 orders_plus_1"] | None = None

    def __post_init__(self) -> None:
        if self.cumulants[2, 0] <= 0:
            raise ValueError(
                f"the limiting variance of direction · outputs is {self.cumulants[2, 0]:g}: there "
                "is no density; choose a direction in which the outputs vary"
            )
        if np.any(self.cumulants[3:, 0]):
            raise ValueError(
                "a cumulant beyond the variance does not vanish as n → ∞, so the limit is not "
                f"Gaussian and has no Edgeworth series about one: got {self.cumulants[:, 0]}"
            )

    @property
    def std(self) -> float:
        """σ, of the limiting Gaussian; an output bias that is not Gaussian comes on top."""
        return float(np.sqrt(self.cumulants[2, 0]))

    def cumulant(self, r: int) -> Series:
        """κ_r of the projection as a series in n^{-1/2}; it is of higher order for r > P + 2."""
        values, errors = np.zeros((2, self.order + 1))
        if checks.positive_integer(r, "r") < len(self.cumulants):
            values = self.cumulants[r].copy()
            errors = errors if self.errors is None else self.errors[r]
        if self.bias is not None and r > 1:
            values[0] += self.bias.cumulant((0,) * r)
        return Series(values, errors)

    def moments(self, width: float, order: int | None = None) -> Float[np.ndarray, " moments"]:
        """E Z^r for r = 0 … 3P + 4 of the density at width n, truncated like it.

        E Z^m = Σ_r c_r m!/(m−r)! σ^{m−r} E u^{m−r}, u standard normal: the true moments up to
        terms beyond ``order``.
        """
        law = self.at_width(width)
        weights = law._weights(width)[:, : self._last(order) + 1].sum(1)
        count = len(weights) + 2
        even = np.cumprod([1.0, *range(1, count, 2)])
        normal = np.zeros(count)
        normal[::2] = even[: len(normal[::2])]
        factorials = np.cumprod([1.0, *range(1, count)])
        expanded = [
            sum(
                comb(m, r) * factorials[r] * weights[r] * normal[m - r]
                for r in range(min(m + 1, len(weights)))
            )
            for m in range(count)
        ]
        moments = np.array(expanded) * law.std ** np.arange(count)
        if law.bias is None:
            return moments
        added = law.bias.moments(count)
        return np.array(
            [
                sum(comb(m, r) * moments[r] * added[m - r] for r in range(m + 1))
                for m in range(count)
            ]
        )

    def pdf(self, z: ArrayLike, width: float, order: int | None = None) -> np.ndarray:
        """The density at values z for width n, with terms up to ``order`` (all by default).

        Returns:
            An array of the shape of z; it can be negative where the series fails: ask
            :meth:`diagnose`.

        Raises:
            ValueError: when the output lies on a lattice, or for an order beyond P.
        """
        require_no_lattice(self.readout, "density")
        law, values = self.at_width(width), np.asarray(z, dtype=float)
        line = law._line(width).summed(self._last(order))
        return np.asarray(line.density(values / law.std) / law.std)

    def cdf(self, z: ArrayLike, width: float, order: int | None = None) -> np.ndarray:
        """P(Z ≤ z) for width n, with terms up to ``order`` (all by default).

        Raises:
            ValueError: when the output lies on a lattice, or for an order beyond P.
        """
        require_no_lattice(self.readout, "distribution function")
        law, values = self.at_width(width), np.asarray(z, dtype=float)
        return law._line(width).summed(self._last(order)).distribution(values / law.std)

    def ppf(self, q: ArrayLike, width: float, order: int | None = None) -> np.ndarray:
        """The quantiles z with P(Z ≤ z) = q, from a Cornish–Fisher start by safeguarded Newton.

        Args:
            q: probabilities, of any shape; 0 and 1 give −∞ and ∞.
            width: n.
            order: the last order of the series; all by default.

        Returns:
            An array of the shape of q.

        Raises:
            ValueError: where the truncated distribution function takes the level q more than once
                or not at all (it is not monotone there), saying where; for q outside [0, 1]; when
                the output lies on a lattice.
        """
        require_no_lattice(self.readout, "quantiles")
        levels = np.asarray(q, dtype=float)
        if not np.all((levels >= 0) & (levels <= 1)):
            raise ValueError(f"q must be probabilities between 0 and 1, got {q!r}")
        law, last = self.at_width(width), self._last(order)
        k = np.array([0.0, 0.0, *(law.cumulant(r).at(width, last) for r in (2, 3, 4))])
        start = quantiles.cornish_fisher(levels.ravel(), k / law.std ** np.arange(5))
        line = law._line(width).summed(last)
        u = quantiles.quantiles(levels.ravel(), line, start, law.std, float(width), last)
        return np.asarray(law.std * u.reshape(levels.shape))

    def sample(
        self,
        key: PRNGKeyArray,
        width: float,
        count: int,
        order: int | None = None,
        *,
        method: Method = "signed",
    ) -> Draws:
        """Random draws with weights.

        ``method="signed"``: draws of N(0, σ²) with the weights Σ_r c_r He_r, which may be negative;
        weighted means have the expectation of the truncated series, exactly.
        ``method="mixture"``, for Gaussian readout weights: Z | S ~ N(0, S), S a gamma variable that
        has the mean, the variance and where possible the third cumulant of the conditional
        variance, κ_r(S) = 2^r r!/(2r)! κ_{2r}(Z). Weights are 1, and the law is a probability.

        Args:
            key: a JAX random key.
            width: n.
            count: how many.
            order: the last order of the series; all by default.
            method: ``"signed"`` or ``"mixture"``.

        Returns:
            :class:`Draws`: samples (count,), weights, what is matched.

        Raises:
            ValueError: for a mixture where the readout is not Gaussian, or the truncated series
                gives the conditional variance no positive variance.
        """
        law, last = self.at_width(width), self._last(order)
        n, count = float(width), checks.positive_integer(count, "count")
        if draws.method(method) == "mixture":
            draws.require_gaussian(law.readout)
            k = law.cumulants[:, : last + 1] @ n ** (-0.5 * np.arange(last + 1))
            drawn = draws.scale_mixture(key, k, count, last)
        else:
            drawn = draws.signed(key, law._factor, law._expansion, n, last, count)
        drawn = draws.moved(drawn, key, law.bias)
        return Draws(drawn.samples[:, 0], drawn.weights, drawn.matched)

    def diagnose(self, width: float, order: int | None = None) -> LawDiagnosis:
        """What speaks against this law at width n; ``str()`` says it in sentences.

        Args:
            width: n.
            order: the last order of the series; all by default.

        Returns:
            :class:`LawDiagnosis`.
        """
        law, last = self.at_width(width), self._last(order)
        return diagnosis.of_projection(law._line(width), law.std, float(width), last, law.readout)

    def optimal_order(self, width: float) -> int:
        """The order before the one whose contribution to the density is smallest.

        Contributions are measured in L¹; orders that contribute nothing are passed over.
        """
        sizes = diagnosis.sizes_on_line(self.at_width(width)._line(width))
        return diagnosis.optimal_order(sizes)

    @cached_property
    def _expansion(self) -> Expansion:
        """The law of u = Z/σ."""
        scale = self.std ** -np.arange(len(self.cumulants), dtype=float)[:, None]
        errors = np.zeros_like(self.cumulants) if self.errors is None else self.errors
        return expansion(self.cumulants * scale, errors * scale, 1)

    @cached_property
    def coefficients(self) -> Float[np.ndarray, "degrees orders_plus_1"]:
        """c_r by power of ε: row r, column k."""
        c = self._expansion.coefficients[: 3 * self.order + 1]
        return c * self.std ** np.arange(len(c))[:, None]

    def _weights(self, width: float) -> np.ndarray:
        """Standardized c_r σ^{−r} ε^k: row r, column k."""
        powers = float(width) ** (-0.5 * np.arange(self.order + 1))
        return self._expansion.coefficients[: max(3 * self.order, 1) + 1] * powers

    def _line(self, width: float) -> Line:
        """The standardized law, a function for every order."""
        values, shares = self._shifts
        return Line(self._weights(width), values[:, 0] / self.std, shares)

    def _of_points(self, fn: Callable[[np.ndarray], np.ndarray]) -> Callable:
        return lambda z: np.asarray(fn(z[:, 0]))

    @cached_property
    def _factor(self) -> np.ndarray:
        return np.array([[self.std]])
