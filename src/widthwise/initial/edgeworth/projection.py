"""The law of one projection of the outputs, as an Edgeworth series.

p(z) = N(z; 0, σ²) Σ_r c_r He_r(z; σ²),
P(Z ≤ z) = Φ(z/σ) − N(z; 0, σ²) Σ_{r≥1} c_r He_{r−1}(z; σ²),        He_r(z; σ²) = σ^{−r} He_r(z/σ)
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np
from jaxtyping import Float, PRNGKeyArray
from numpy.polynomial import hermite_e
from scipy.stats import norm

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.algebra.series import Series
from widthwise.initial.edgeworth import diagnosis, draws, expectations, quantiles
from widthwise.initial.edgeworth.diagnosis import LawDiagnosis
from widthwise.initial.edgeworth.draws import Draws, Method
from widthwise.initial.edgeworth.expansion import Expansion, expansion, last_order
from widthwise.initial.edgeworth.expectations import Expectation
from widthwise.initial.edgeworth.readout import Readout, require_no_lattice


@dataclass(frozen=True, eq=False)
class Edgeworth:
    """The law of one projection of the outputs, corrected for finite width.

    Args:
        cumulants: coefficients of κ_r in powers of n^{-1/2}: row r, column k; rows 0 and 1 are 0.
        errors: of the coefficients; all 0 by default.
        readout: the outputs this is the law of; without it no verdict on Cramér's condition.

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
    readout: Readout | None = None

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
    def order(self) -> int:
        """P, the highest power of n^{-1/2} kept."""
        return self.cumulants.shape[1] - 1

    @property
    def std(self) -> float:
        """σ, the standard deviation of the limiting Gaussian."""
        return float(np.sqrt(self.cumulants[2, 0]))

    @property
    def lattice(self) -> str:
        """Why there is no density, where the output plainly lies on a lattice; else empty."""
        return "" if self.readout is None else self.readout.lattice

    def cumulant(self, r: int) -> Series:
        """κ_r of the projection as a series in n^{-1/2}; it is of higher order for r > P + 2."""
        if checks.positive_integer(r, "r") >= len(self.cumulants):
            return Series(np.zeros(self.order + 1))
        return Series(self.cumulants[r], None if self.errors is None else self.errors[r])

    def moments(self, width: float, order: int | None = None) -> Float[np.ndarray, " moments"]:
        """E Z^r for r = 0 … 3P + 4 of the density at width n, truncated like it.

        E Z^m = Σ_r c_r m!/(m−r)! σ^{m−r} E u^{m−r}, u standard normal: the true moments up to
        terms beyond ``order``.
        """
        weights = self._at(width, order)
        count = len(weights) + 2
        even = np.cumprod([1.0, *range(1, count, 2)])
        normal = np.zeros(count)
        normal[::2] = even[: len(normal[::2])]
        factorials = np.cumprod([1.0, *range(1, count)])
        moments = [
            sum(
                comb(m, r) * factorials[r] * weights[r] * normal[m - r]
                for r in range(min(m + 1, len(weights)))
            )
            for m in range(count)
        ]
        return np.array(moments) * self.std ** np.arange(count)

    def pdf(self, z: ArrayLike, width: float, order: int | None = None) -> np.ndarray:
        """The density at values z for width n, with terms up to ``order`` (all by default).

        Returns:
            An array of the shape of z; it can be negative where the series fails: ask
            :meth:`diagnose`.

        Raises:
            ValueError: when the output lies on a lattice, or for an order beyond P.
        """
        require_no_lattice(self.readout, "density")
        u = quantiles.clipped(np.asarray(z, dtype=float) / self.std)
        density = norm.pdf(u) / self.std
        return np.asarray(density * hermite_e.hermeval(u, self._at(width, order)))

    def cdf(self, z: ArrayLike, width: float, order: int | None = None) -> np.ndarray:
        """P(Z ≤ z) for width n, with terms up to ``order`` (all by default).

        Raises:
            ValueError: when the output lies on a lattice, or for an order beyond P.
        """
        require_no_lattice(self.readout, "distribution function")
        u = quantiles.clipped(np.asarray(z, dtype=float) / self.std)
        return quantiles.distribution(u, self._at(width, order))

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
        weights, n = self._at(width, order), float(checks.width(width))
        last = self._last(order)
        k = self.cumulants[:, : last + 1] @ n ** (-0.5 * np.arange(last + 1))
        start = quantiles.cornish_fisher(levels.ravel(), k[:5] / self.std ** np.arange(len(k[:5])))
        u = quantiles.quantiles(levels.ravel(), weights, start, self.std, n, last)
        return np.asarray(self.std * u.reshape(levels.shape))

    def expectation(
        self,
        fn: Callable[[np.ndarray], np.ndarray],
        width: float,
        order: int | None = None,
        kinks: tuple[float, ...] = (),
        *,
        tolerance: float | None = None,
    ) -> Expectation:
        """E fn(Z) at width n, with its error and the contribution of every order.

        Args:
            fn: maps values z (nodes,) to values (nodes,).
            width: n.
            order: the last order of the series; all by default.
            kinks: values of z at which fn is not smooth.
            tolerance: numerical error allowed, relative to E|fn|; 1e-10 by default.

        Returns:
            :class:`Expectation`: value, error, series.

        Raises:
            QuadratureError: when the tolerance is not reached, mostly for undeclared kinks.
            ValueError: for a function of the wrong shape, or a kinked one of a lattice law.

        Example:
            >>> import numpy as np, widthwise as ww
            >>> kappa = np.zeros((5, 3))
            >>> kappa[2, 0], kappa[4, 2] = 1.0, 6.0  # variance 1, fourth cumulant 6/n
            >>> law = ww.Edgeworth(kappa)
            >>> float(round(law.expectation(lambda z: z**4, width=10).value, 9))
            3.6
        """
        if kinks:
            require_no_lattice(self.readout, "expectations of functions with kinks")
        series, scale = expectations.contributions(
            lambda z: np.asarray(fn(z[:, 0])), np.array([[self.std]]), self._expansion, kinks,
            tolerance,
        )  # fmt: skip
        return expectations.summed(series, float(checks.width(width)), self._last(order), scale)

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
        n, last = float(checks.width(width)), self._last(order)
        count = checks.positive_integer(count, "count")
        if draws.method(method) == "mixture":
            draws.require_gaussian(self.readout)
            k = self.cumulants[:, : last + 1] @ n ** (-0.5 * np.arange(last + 1))
            return draws.scale_mixture(key, k, count, last)
        signed = draws.signed(key, np.array([[self.std]]), self._expansion, n, last, count)
        return Draws(signed.samples[:, 0], signed.weights, signed.matched)

    def diagnose(self, width: float, order: int | None = None) -> LawDiagnosis:
        """What speaks against this law at width n; ``str()`` says it in sentences.

        Args:
            width: n.
            order: the last order of the series; all by default.

        Returns:
            :class:`LawDiagnosis`.
        """
        return diagnosis.of_projection(
            self._weights(width), self.std, float(checks.width(width)), self._last(order),
            self.readout,
        )  # fmt: skip

    def optimal_order(self, width: float) -> int:
        """The order before the one whose contribution to the density is smallest.

        Contributions are measured in L¹; orders that contribute nothing are passed over.
        """
        return diagnosis.optimal_order(diagnosis.sizes_on_line(self._weights(width)))

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
        powers = float(checks.width(width)) ** (-0.5 * np.arange(self.order + 1))
        return self._expansion.coefficients[: max(3 * self.order, 1) + 1] * powers

    def _at(self, width: float, order: int | None) -> np.ndarray:
        return self._weights(width)[:, : self._last(order) + 1].sum(1)

    def _last(self, order: int | None) -> int:
        return last_order(order, self.order)
