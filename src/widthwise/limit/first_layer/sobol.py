"""Randomized Sobol points over the sources: always feasible, error estimated, but only statistical.

The mean over 16 independently scrambled copies; its standard error is the error. Uniform points
become sources through the inverse distribution function, for a law with a density the cubic Hermite
interpolant of the points (F(s), s), whose slopes 1/density are known.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy import stats
from scipy.interpolate import CubicHermiteSpline
from scipy.special import gammaincinv, ndtri
from scipy.stats import qmc

from widthwise.algebra.gaussian import Estimate, QuadratureError
from widthwise.limit.first_layer.projection import Projection
from widthwise.limit.first_layer.rules import panel_edges
from widthwise.model.laws import Exponential, Gamma, Gaussian, Laplace, Law, StudentT, Uniform

BEST = 1e-7  # an error that random points do not improve on
_COPIES = 16
_LARGEST_COPY = 16
_NUMBERS_AT_ONCE = 1 << 23
_CELLS = 200
_LOST = 1e-9  # probability the interpolant's cells may miss


def mean(projection: Projection, observable: Callable[[np.ndarray], np.ndarray]) -> Estimate:
    """E observable(z) and its standard error; observable: (nodes, p) → (nodes,) or (nodes, k)."""
    copies = np.array([np.asarray(observable(z)).mean(0) for z in samples(projection)])
    return of_copies(copies)


def of_copies(copies: np.ndarray) -> Estimate:
    """The mean of independent estimates, and its standard error."""
    return Estimate(copies.mean(0), copies.std(0, ddof=1) / np.sqrt(len(copies)))


def samples(projection: Projection, most: int = 1 << _LARGEST_COPY) -> Iterator[np.ndarray]:
    """Copy after copy of z (nodes, p), of at most so many nodes."""
    p, q = projection.coefficients.shape
    exponent = int(np.log2(min(most, _NUMBERS_AT_ONCE / (p + q))))
    transforms = [quantile(law) for law in projection.laws]
    for seed in range(_COPIES):
        engine = qmc.Sobol(q, seed=seed)  # pyright: ignore[reportCallIssue]
        u = np.clip(engine.random_base2(exponent), 1e-15, 1 - 1e-15)
        sources = np.stack([f(u[:, j]) for j, f in enumerate(transforms)], 1)
        yield sources @ projection.coefficients.T


def _exact_quantile(law: Law) -> Callable[[np.ndarray], np.ndarray] | None:
    """The inverse distribution function where scipy knows it."""
    match law:
        case Gamma(shape=shape):
            return lambda u: (gammaincinv(shape, u) - shape) / np.sqrt(shape)
        case Exponential():
            return lambda u: -np.log1p(-u) - 1
        case Uniform():
            return lambda u: np.sqrt(3) * (2 * u - 1)
        case Laplace():
            return lambda u: np.sign(u - 0.5) * -np.log1p(-2 * np.abs(u - 0.5)) / np.sqrt(2)
        case StudentT(df=df):
            return lambda u: stats.t.ppf(u, df) * np.sqrt((df - 2) / df)
    return None


@lru_cache(maxsize=32)
def quantile(law: Law) -> Callable[[np.ndarray], np.ndarray]:
    """The inverse distribution function of a law."""
    if isinstance(law, Gaussian):
        return ndtri
    exact = _exact_quantile(law)
    if exact is not None:
        return exact
    if law.discrete:
        atoms, probabilities = law.quadrature(1)
        below = np.cumsum(probabilities)[:-1]
        return lambda u: atoms[np.searchsorted(below, u, side="right")]
    edges = panel_edges(law)
    s = np.unique(np.concatenate([np.linspace(a, b, _CELLS) for a, b in pairwise(edges)]))
    x, g = np.polynomial.legendre.leggauss(8)
    half = np.diff(s)[:, None] / 2
    mass = (half * g * law.density(s[:-1, None] + half * (1 + x))).sum(1)
    if abs(mass.sum() - 1) > _LOST:
        raise QuadratureError(
            f"the density of {law.name} is too rough to be inverted for random points: its cells "
            f"hold {mass.sum():.9f} of the probability"
        )
    F = np.concatenate([[0.0], np.cumsum(mass)]) / mass.sum()
    kept = np.concatenate([[True], np.diff(F) > 1e-15])
    s, F = s[kept], F[kept]
    slope = mass.sum() / np.maximum(law.density(s), 1e-300)
    steepest = 3 * np.diff(s) / np.diff(F)  # keeps the interpolant monotone (Fritsch and Carlson)
    limit = np.minimum(np.append(steepest, np.inf), np.append(np.inf, steepest))
    return CubicHermiteSpline(F, s, np.minimum(slope, limit))
