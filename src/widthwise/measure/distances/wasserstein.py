"""Wasserstein distances on the line.

    W₁(F, G) = ∫ |F − G| dz,        W₂²(F, G) = ∫_0^1 (F⁻¹ − G⁻¹)² du.

The test function of W₁ has slope −sign(F − G). The estimate of W₂² has to first order the error of
Ê_F φ + Ê_G ψ with the potentials φ' = 2(z − T(z)), T the map that carries F to G (del Barrio and
Loubes, Annals of Probability 47, 2019), and it is too large by what the same number of samples of
one law are apart, E W₂²(F_N, F) + E W₂²(G_M, G): their means over random halves are subtracted.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.polynomial import legendre

from widthwise.measure.distances.laws import Given, is_law, samples
from widthwise.measure.distances.line import Difference, Sample, Side
from widthwise.measure.distances.sampling import (
    Data,
    assessed,
    halves,
    quantile,
    share,
    spread,
    widest_slope,
)
from widthwise.measure.distances.table import Table, tabulated
from widthwise.measure.distances.value import Distance, known

_HALVINGS = 8
_FALLS = 1e-10
_UNSEEN = 1e-12


def on_line(given: Given, name: str) -> Data:
    """Samples (members,), or the table of a law.

    Raises:
        ValueError: for samples of several dimensions.
    """
    if is_law(given):
        return tabulated(given)  # pyright: ignore[reportArgumentType]
    x = samples(given, name)  # pyright: ignore[reportArgumentType]
    if x.shape[1] > 1:
        raise ValueError(
            f"{name} holds samples of {x.shape[1]} dimensions; this distance is one on the line: "
            "project them (x @ direction), or take sliced_wasserstein, energy, mmd or "
            "bounded_lipschitz"
        )
    return x[:, 0]


def side(data: Data) -> Side:
    """A distribution function: of samples, or the table itself."""
    if isinstance(data, np.ndarray):
        return Sample.of(data)
    assert isinstance(data, Table)
    return data


@dataclass(frozen=True, eq=False)
class Slopes:
    """A piecewise linear test function: values at knots, constant outside."""

    knots: Float[np.ndarray, " knots"]
    values: Float[np.ndarray, " knots"]

    def at(self, x: np.ndarray) -> np.ndarray:
        return np.interp(x, self.knots, self.values)

    def under(self, law: Data) -> float:
        assert isinstance(law, Table)
        slopes = np.diff(self.values) / np.diff(self.knots)
        survival = np.diff(self.knots) - np.diff(law.integral(self.knots))
        return float(self.values[0] + slopes @ survival)


def first(x: Data, y: Data) -> tuple[float, Slopes]:
    """W₁ and its test function."""
    difference = Difference(side(x), side(y))
    z, areas = difference.pieces
    h = np.append(0.0, np.cumsum(-np.sign(areas) * np.diff(z)))
    # beyond the data the last slopes go on: halves are evaluated there
    reach = z[-1] - z[0]
    ends = h[0] + np.sign(areas[0]) * reach, h[-1] - np.sign(areas[-1]) * reach
    knots = np.concatenate([[z[0] - reach], z, [z[-1] + reach]])
    return difference.absolute, Slopes(knots, np.concatenate([[ends[0]], h, [ends[1]]]))


def first_floor(x: Data, y: Data) -> float:
    """E ∫ |F_N − F_M| for samples of one law: √(2/π) ∫ √(P(1 − P)) dz √(1/N + 1/M)."""
    laws = [data for data in (x, y) if isinstance(data, Table)]
    if laws:
        P, w = laws[0].panels.values, laws[0].panels.weights
        size = float((w * np.sqrt(np.clip(P * (1 - P), 0.0, None))).sum())
    else:
        pooled = np.sort(np.concatenate([x, y]))  # pyright: ignore[reportCallIssue, reportArgumentType]
        P = np.arange(1, len(pooled)) / len(pooled)
        size = float(np.sqrt(P * (1 - P)) @ np.diff(pooled))
    return float(np.sqrt(2 / np.pi * share(x, y)) * size)


def squared(x: Data, y: Data) -> float:
    """W₂²."""
    F, G = side(x), side(y)
    if isinstance(F, Sample) and isinstance(G, Sample):
        u = np.union1d(np.arange(len(F.x) + 1) / len(F.x), np.arange(len(G.x) + 1) / len(G.x))
        middle = (u[1:] + u[:-1]) / 2
        i = np.minimum((middle * len(F.x)).astype(int), len(F.x) - 1)
        j = np.minimum((middle * len(G.x)).astype(int), len(G.x) - 1)
        return float(np.square(F.x[i] - G.x[j]) @ np.diff(u))
    if isinstance(F, Table) and isinstance(G, Table):
        return of_tables(F, G)[0]
    if isinstance(F, Table):
        F, G = G, F
    assert isinstance(F, Sample)
    assert isinstance(G, Table)
    _require_monotone(G)
    n, c = len(F.x), G.mean
    q = G.ppf(np.arange(1, n) / n)
    u = np.arange(n + 1) / n
    partial = np.concatenate([[0.0], (q - c) * u[1:-1] - G.integral(q), [0.0]])
    moments = np.diff(partial)
    return float(((F.x - c) ** 2).mean() - 2 * (F.x - c) @ moments + G.variance())


def of_tables(F: Table, G: Table) -> tuple[float, float]:
    """W₂² of two laws and its error.

    An error e of a distribution function moves a quantile by e/density. Tails that hold less than
    ``_UNSEEN`` are left out; they are of the size of their mass times the square of the last gap.
    """
    for table in (F, G):
        _require_monotone(table)
    _, w = legendre.leggauss(16)
    z = G.panels.nodes
    density = np.maximum(G.density(z), 0.0)
    level = G.panels.values
    seen = (level > _UNSEEN) & (level < 1 - _UNSEEN) & (density > 0)
    mass = (G.panels.half[:, None] * w * density)[seen]
    gap = np.abs(F.ppf(level[seen]) - z[seen])
    moved = np.minimum((F.loosest + G.loosest) / density[seen], G.high - G.low)
    last = gap[[level[seen].argmin(), level[seen].argmax()]]
    error = mass @ (2 * gap * moved + moved**2) + 4 * _UNSEEN * (last**2).sum()
    error += abs(1 - mass.sum()) * (gap**2).max()  # where a kink is not resolved
    return float(mass @ gap**2), float(error)


def _require_monotone(table: Table) -> None:
    if table.falls > _FALLS:
        raise ValueError(
            f"a distribution function here falls by {table.falls:.1e} (a truncated series may) and "
            "has no quantiles, so no Wasserstein-2 distance; take a larger width, another order, "
            "or order=1"
        )


def _map(x: np.ndarray, other: Data) -> np.ndarray:
    """T just above every order statistic but the last."""
    u = np.arange(1, len(x)) / len(x)
    if isinstance(other, np.ndarray):
        y = np.sort(other)
        return y[np.minimum(np.ceil(u * len(y) - 1e-9).astype(int) - 1, len(y) - 1)]
    assert isinstance(other, Table)
    return other.ppf(u)


def potential(x: np.ndarray, other: Data) -> np.ndarray:
    """φ at the samples x, in ascending order."""
    x = np.sort(x)
    T = _map(x, other)
    return np.append(0.0, np.cumsum((x[1:] - T) ** 2 - (x[:-1] - T) ** 2))


def second_floor(x: Data, y: Data, distance=squared) -> float:
    """E W₂²(F_N, F) + E W₂²(G_M, G): a quarter of what random halves are apart, for each."""
    return sum(
        float(np.mean([distance(*halves(data, seed)) for seed in range(_HALVINGS)])) / 4
        for data in (x, y)
        if isinstance(data, np.ndarray)
    )


def second(x: Data, y: Data, confidence: float, method: str) -> Distance:
    """W₂ with its interval."""
    if isinstance(x, Table) and isinstance(y, Table):
        value, off = of_tables(x, y)
        root = float(np.sqrt(value))
        return known(root, off / max(2 * root, np.sqrt(off), 1e-300), "Wasserstein-2", method)
    value = squared(x, y)
    sampled = [
        spread(potential(one, other)) if isinstance(one, np.ndarray) else 0.0
        for one, other in ((x, y), (y, x))
    ]
    return of_square(value, float(np.sqrt(sum(sampled))), second_floor(x, y), confidence, method)


def of_square(
    value: float,
    error: float,
    bias: float,
    confidence: float,
    method: str,
    metric: str = "Wasserstein-2",
) -> Distance:
    """A distance from an estimate of its square, the error and the bias of that."""
    z = quantile(confidence)
    root = float(np.sqrt(value))
    low = float(np.sqrt(max(value - bias - z * error, 0.0)))
    high = float(np.sqrt(value + z * error))
    size = error / (2 * root) if root > 0 else float(np.sqrt(error))
    return Distance(root, size, (low, high), confidence, float(np.sqrt(bias)), metric, method)


def wasserstein(
    x: Given, y: Given, order: Literal[1, 2] = 1, *, confidence: float = 0.95
) -> Distance:
    """The Wasserstein distance of two laws on the line.

    W₁ = ∫ |F − G| dz,    W₂ = (∫ (F⁻¹ − G⁻¹)² du)^{1/2}.

    Args:
        x: samples (members,), or a law with ``cdf`` and ``ppf``.
        y: likewise.
        order: 1 or 2.
        confidence: of the interval, where anything is sampled.

    Returns:
        :class:`Distance`; its ``floor`` is what equal laws would give.

    Raises:
        ValueError: for samples of several dimensions or too few, a law without a mean, or, for
            order 2, a distribution function that is not monotone.

    Source:
        Vallender (1974) for W₁ on the line; del Barrio, Giné and Matrán (1999) for its limit law.

    Example:
        >>> import widthwise as ww
        >>> normal = ww.distances.Normal
        >>> ww.distances.wasserstein(normal(0.0, 1.0), normal(0.5, 1.0)).value.__round__(12)
        0.5
    """
    if order not in (1, 2):
        raise ValueError(f"order must be 1 or 2, got {order!r}")
    a, b = on_line(x, "x"), on_line(y, "y")
    method = described(a, b)
    if order == 2:
        return second(a, b, confidence, method)
    if isinstance(a, Table) and isinstance(b, Table):
        value = Difference(a, b).absolute
        return known(value, a.error + b.error + 1e-15 * (a.high - a.low), "Wasserstein-1", method)
    return assessed(
        first,
        a,
        b,
        metric="Wasserstein-1",
        method=method,
        confidence=confidence,
        widest=widest_slope(a, b),
        floor=first_floor(a, b),
        numerical=sum(data.error for data in (a, b) if isinstance(data, Table)),
    )


def described(a: Data, b: Data) -> str:
    """Which data a distance is between."""
    names = [f"{len(d)} samples" if isinstance(d, np.ndarray) else "a law" for d in (a, b)]
    return " and ".join(names)
