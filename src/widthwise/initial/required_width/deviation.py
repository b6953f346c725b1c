r"""How far the law of one projection of the outputs is from its Gaussian limit, at any width.

Every metric is a norm of what the corrections add to the limit, a vector-valued polynomial in
ε = n^{-1/2}:

    d(n) = ‖Σ_{k≥1} ε^k w_k‖,

===================  =========================================  =================================
metric               w_k                                        ‖·‖
===================  =========================================  =================================
wasserstein          Hermite coefficients of F − Φ              ∫ |F − Φ|, in units of σ or not
kolmogorov           the same                                   sup |F − Φ|
relative_variance    the coefficients of κ₂/κ₂^{(0)} − 1        absolute value
excess_kurtosis      the coefficients of κ₄/κ₂²                 absolute value
===================  =========================================  =================================

with F the Edgeworth distribution function of the projection over its limiting standard deviation σ.
The terms alone, ‖w_k‖ ε^k, are a series with the usual rules: an optimal order, and a remainder
estimated by the smallest term (:class:`~widthwise.algebra.series.Series`).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float
from scipy.signal import convolve2d

from widthwise.algebra import perturbation
from widthwise.algebra.series import Series
from widthwise.initial.edgeworth import Edgeworth, edgeworth
from widthwise.initial.required_width.projection import Projection

Metric: TypeAlias = Literal["wasserstein", "kolmogorov", "relative_variance", "excess_kurtosis"]
METRICS: tuple[Metric, ...] = (
    "wasserstein",
    "kolmogorov",
    "relative_variance",
    "excess_kurtosis",
)
_NORMS = {
    "wasserstein": (perturbation.wasserstein, perturbation.wasserstein_bound),
    "kolmogorov": (perturbation.kolmogorov, perturbation.kolmogorov_bound),
    "relative_variance": (lambda w: float(abs(w[0])), lambda w: float(w[0])),
    "excess_kurtosis": (lambda w: float(abs(w[0])), lambda w: float(w[0])),
}


@dataclass(frozen=True, eq=False)
class Deviation:
    """The deviation of one projection from its Gaussian limit as a function of the width.

    Args:
        metric: which one.
        weights: w_k: column k.
        errors: bounds on their numerical errors.
        scale: the unit of the deviation: σ for an absolute Wasserstein distance, else 1.
        exact: whether the sum of all terms is the deviation, with no remainder.
    """

    metric: Metric
    weights: Float[np.ndarray, "degrees orders"]
    errors: Float[np.ndarray, "degrees orders"]
    scale: float
    exact: bool

    @property
    def order(self) -> int:
        """P, the highest power of n^{-1/2} kept."""
        return self.weights.shape[1] - 1

    @cached_property
    def terms(self) -> Series:
        """‖w_k‖, the deviations that single orders make, with their numerical errors."""
        norm, bound = _NORMS[self.metric]
        sizes = [self.scale * norm(w) for w in self.weights.T]
        errors = [self.scale * bound(e) for e in self.errors.T]
        return Series(sizes, errors, exact=self.exact)

    @property
    def limit(self) -> float:
        """The deviation at n = ∞."""
        return float(self.terms.coefficients[0])

    def at(self, width: float, order: int | None = None) -> float:
        """d(n) with the terms up to ``order`` (all by default)."""
        last = self.order if order is None else order
        powers = float(width) ** (-0.5 * np.arange(last + 1))
        return self.scale * _NORMS[self.metric][0](self.weights[:, : last + 1] @ powers)

    def numerical(self, width: float) -> float:
        """A bound on what the numerical errors of the coefficients do to d(n)."""
        return float(self.terms.error @ float(width) ** (-0.5 * np.arange(self.order + 1)))

    @cached_property
    def vanishes(self) -> bool:
        """Whether no term differs from 0 by more than its numerical error."""
        return bool((self.terms.coefficients <= self.terms.error).all())

    def remainder(self, width: float) -> float:
        """What the corrected law leaves out at width n: the smallest term beyond the first."""
        return 0.0 if self.vanishes else self.terms.remainder(width)


def deviation(projection: Projection, metric: Metric, *, relative: bool = True) -> Deviation:
    """The deviation of a projection of the outputs in one metric.

    Args:
        projection: from :class:`Projection`.
        metric: one of :data:`METRICS`.
        relative: a Wasserstein distance in units of the limiting standard deviation.

    Raises:
        ValueError: where the limiting variance is 0, or where no Edgeworth series exists (a
            lattice).
    """
    if metric in ("relative_variance", "excess_kurtosis"):
        series = _of_moments(projection, metric)
        weights, errors = series.coefficients[None], series.error[None]
        return Deviation(metric, weights, errors, 1.0, series.exact)
    return _of_law(projection, metric, relative)


def _of_law(projection: Projection, metric: Metric, relative: bool) -> Deviation:
    law = edgeworth(projection.cumulants, projection.rows, projection.direction)
    assert isinstance(law, Edgeworth)  # a direction is one projection
    if law.lattice:
        raise ValueError(
            f"{law.lattice}, so a distance between distributions has no series; ask for "
            'metric="relative_variance" or "excess_kurtosis"'
        )
    degrees, orders = law.coefficients.shape
    kappa = projection.tables(orders + 1)
    factorials = np.cumprod([1.0, *range(1, orders + 2)])
    exponent_error = np.zeros((degrees, orders))
    rows = min(degrees, orders + 2)
    exponent_error[:rows] = (kappa.error / factorials[:, None])[:rows]
    exponent_error[2:3, 0] = 0.0  # σ is the unit of the law and of its limit
    errors = convolve2d(np.abs(law.coefficients), exponent_error)[:degrees, :orders]
    units = law.std ** -np.arange(degrees, dtype=float)[:, None]
    weights = law.coefficients * units
    weights[:, 0] = 0.0
    kept = slice(1, None) if degrees > 1 else slice(None)
    scale = 1.0 if relative or metric == "kolmogorov" else law.std
    return Deviation(metric, weights[kept], (errors * units)[kept], scale, exact=False)


def _of_moments(projection: Projection, metric: Metric) -> Series:
    variance = projection.cumulant(2)
    constant = Series([variance.coefficients[0]], [variance.error[0]])
    size = float(constant.coefficients[0])
    if metric == "relative_variance":
        changes = variance.coefficients.copy()
        changes[0] = 0.0
        errors = variance.error.copy()
        errors[0] = 0.0
        return Series(changes / size, errors / size, exact=variance.exact)
    fourth = projection.cumulant(4)
    if not variance.coefficients[1:].any() and variance.exact:
        relative = variance.error[0] / size
        errors = fourth.error / size**2 + 2 * relative * np.abs(fourth.coefficients) / size**2
        return Series(fourth.coefficients / size**2, errors, exact=fourth.exact)
    derivatives = [size**-2.0]
    for k in range(variance.order):
        derivatives.append(-(k + 2) / size * derivatives[-1])
    return fourth * variance.compose(derivatives)
