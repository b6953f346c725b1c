"""What can be compared: samples, and laws with a distribution function.

A law on the line is anything with ``cdf`` and ``ppf``: a frozen distribution of scipy, an
:class:`~widthwise.ExactLaw`, a :class:`Normal`, a series at one width (:func:`at_width`). A
:class:`Normal` of several dimensions is a law for the distances that look at projections.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.initial.edgeworth import Edgeworth, JointEdgeworth


@runtime_checkable
class LineLaw(Protocol):
    """A law on the line."""

    def cdf(self, z, /) -> np.ndarray:
        """P(Z ≤ z)."""
        ...

    def ppf(self, q, /) -> np.ndarray:
        """The smallest z with P(Z ≤ z) ≥ q."""
        ...


Given: TypeAlias = ArrayLike | LineLaw | Edgeworth | JointEdgeworth


@dataclass(frozen=True, eq=False, init=False)
class Normal:
    """The Gaussian law N(mean, covariance), of one or several dimensions.

    Args:
        mean: a number, or (k,).
        covariance: the variance, or a positive semidefinite matrix (k, k).

    Raises:
        ValueError: for shapes that do not fit or a covariance that is none.

    Example:
        >>> import widthwise as ww
        >>> ww.distances.Normal(0.0, 4.0).ppf([0.025, 0.975]).round(3)
        array([-3.92,  3.92])
    """

    mean: Float[np.ndarray, " k"]
    covariance: Float[np.ndarray, "k k"]

    def __init__(self, mean: ArrayLike = 0.0, covariance: ArrayLike = 1.0):
        m = np.atleast_1d(checks.numbers(mean, "mean"))
        K = np.atleast_2d(checks.numbers(covariance, "covariance"))
        if m.ndim != 1 or K.shape != (len(m), len(m)):
            raise ValueError(
                f"covariance must have shape ({len(m)}, {len(m)}) for a mean of shape {m.shape}, "
                f"got {np.shape(covariance)}"
            )
        values = np.linalg.eigvalsh((K + K.T) / 2)
        size = max(np.abs(values).max(), 1e-300)
        if np.abs(K - K.T).max() > 1e-9 * size or values[0] < -1e-9 * size or values[-1] <= 0:
            raise ValueError(
                "covariance must be symmetric and positive semidefinite and not 0, got one with "
                f"eigenvalues {values}"
            )
        object.__setattr__(self, "mean", m)
        object.__setattr__(self, "covariance", (K + K.T) / 2)

    @property
    def dimension(self) -> int:
        """The dimension k."""
        return len(self.mean)

    @property
    def std(self) -> float:
        """The standard deviation, of one dimension."""
        return float(np.sqrt(self._one().covariance[0, 0]))

    def _one(self) -> "Normal":
        if self.dimension > 1:
            raise ValueError(
                f"this Normal has {self.dimension} dimensions and no distribution function on the "
                "line; project it: normal.along(direction)"
            )
        return self

    def cdf(self, z: ArrayLike) -> np.ndarray:
        """P(Z ≤ z), of one dimension."""
        return np.asarray(ndtr((np.asarray(z, dtype=float) - self._one().mean[0]) / self.std))

    def ppf(self, q: ArrayLike) -> np.ndarray:
        """The quantiles, of one dimension."""
        return np.asarray(self._one().mean[0] + self.std * ndtri(np.asarray(q, dtype=float)))

    def along(self, direction: ArrayLike) -> "Normal":
        """The law of direction · Z."""
        v = checks.numbers(direction, "direction")
        return Normal(v @ self.mean, v @ self.covariance @ v)

    def characteristic(self, t: ArrayLike) -> np.ndarray:
        """E e^{it·Z} at rows t (…, k), or numbers in one dimension."""
        t = np.asarray(t, dtype=float)
        t = t[..., None] if self.dimension == 1 and (not t.ndim or t.shape[-1] != 1) else t
        return np.asarray(np.exp(1j * (t @ self.mean) - ((t @ self.covariance) * t).sum(-1) / 2))


@dataclass(frozen=True, eq=False)
class AtWidth:
    """An Edgeworth series at one width, as a law; see :func:`at_width`."""

    series: Edgeworth
    width: int
    order: int | None = None

    mean = 0.0

    @cached_property
    def std(self) -> float:
        return float(self.series.at_width(self.width).std)

    def cdf(self, z: ArrayLike) -> np.ndarray:
        return np.asarray(self.series.cdf(z, self.width, self.order))

    def ppf(self, q: ArrayLike) -> np.ndarray:
        return self.series.ppf(q, self.width, self.order)


def at_width(series: Edgeworth, width: float, order: int | None = None) -> AtWidth:
    """The law an Edgeworth series gives at one width, to be compared with others.

    Args:
        series: from :func:`widthwise.edgeworth`, of one projection.
        width: n.
        order: the last order of the series; all by default.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net = ww.MLP(depth=1, activation="identity")
        >>> series = ww.edgeworth(ww.output_cumulants(net, [[1.0]], order=4))
        >>> exact, law = ww.exact_law(net, [[1.0]], 64), ww.distances.at_width(series, 64)
        >>> ww.distances.wasserstein(exact, law).value < 1e-4
        True
    """
    if not isinstance(series, Edgeworth):
        raise ValueError(
            "series must be the Edgeworth law of one projection (ww.edgeworth with one point or a "
            f"direction), got {type(series).__name__}"
        )
    return AtWidth(series, checks.width(width), None if order is None else checks.order(order))


def is_law(given: object) -> bool:
    """Whether this is a law, not samples; a series without a width is refused."""
    if isinstance(given, Edgeworth | JointEdgeworth):
        raise ValueError(
            "an Edgeworth series is a law only at a width; give "
            "ww.distances.at_width(series, width) of one projection"
        )
    return isinstance(given, LineLaw)


def samples(given: ArrayLike, name: str) -> Float[np.ndarray, "members k"]:
    """Samples (members, k), from (members,) or (members, k)."""
    x = checks.numbers(given, name)
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or not x.shape[1]:
        raise ValueError(
            f"{name} must be samples of shape (members,) or (members, k), or a law with cdf and "
            f"ppf, got shape {np.shape(given)}"
        )
    if len(x) < 8:
        raise ValueError(f"{name} holds {len(x)} samples; an interval needs at least 8")
    return x
