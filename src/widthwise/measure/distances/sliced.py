r"""Wasserstein distances of several dimensions through their projections.

    SW_p^p = avg_v W_p^p(v·X, v·Y),        max-sliced W_p = max_v W_p(v·X, v·Y),
    W_2²(X, Y) ≥ avg_v W_2²(v·X, v·Y) / λ_max(avg_v v vᵀ),

over unit vectors v. The last holds because |x|² λ_max ≥ avg_v (v·x)², and is √k SW₂ ≤ W₂ for
directions that come in orthonormal frames.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

from widthwise._vocabulary import ArrayLike
from widthwise.measure.distances.directions import between, chosen
from widthwise.measure.distances.laws import Given, Normal, is_law, samples
from widthwise.measure.distances.sampling import Data, assessed, spread
from widthwise.measure.distances.table import Table, tabulated
from widthwise.measure.distances.value import Distance
from widthwise.measure.distances.wasserstein import (
    Slopes,
    described,
    first,
    first_floor,
    of_square,
    potential,
    second_floor,
    squared,
)

_STARTS = 3
_VANISHES = 1e-13


def pair(x: Given, y: Given) -> tuple[Data, Data, int]:
    """Two data sets or laws of one dimension k; those on the line as samples (members,) or tables.

    Raises:
        ValueError: for dimensions that differ, or two laws of several dimensions.
    """
    found: list = [
        given if is_law(given) else samples(given, name)  # pyright: ignore[reportArgumentType]
        for given, name in ((x, "x"), (y, "y"))
    ]
    sizes = [
        d.shape[1] if isinstance(d, np.ndarray) else d.dimension if isinstance(d, Normal) else 1
        for d in found
    ]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"x has {sizes[0]} dimensions and y has {sizes[1]}; compare laws of the same outputs"
        )
    if sizes[0] == 1:
        on_line = [d[:, 0] if isinstance(d, np.ndarray) else tabulated(d) for d in found]
        return on_line[0], on_line[1], 1
    if not any(isinstance(d, np.ndarray) for d in found):
        raise ValueError(
            "two laws of several dimensions are not compared here; draw samples of one of them, "
            "or compare projections of both on the line"
        )
    return found[0], found[1], sizes[0]


def along(data: Data, v: np.ndarray) -> Data:
    """The projection v · X."""
    if isinstance(data, np.ndarray):
        return data if data.ndim == 1 else data @ v
    if isinstance(data, Table):
        return data
    if v @ data.covariance @ v <= _VANISHES * np.trace(data.covariance):
        raise ValueError(
            f"the Normal law does not vary in the direction {v}: give directions in which it does"
        )
    return tabulated(data.along(v))


@dataclass(frozen=True, eq=False)
class Average:
    """A test function of several dimensions: the average of test functions of projections."""

    directions: Float[np.ndarray, "directions k"]
    parts: tuple[Slopes, ...]

    def at(self, x: np.ndarray) -> np.ndarray:
        return np.mean(
            [
                h.at(np.asarray(along(x, v)))
                for v, h in zip(self.directions, self.parts, strict=True)
            ],
            axis=0,
        )

    def under(self, law: Data) -> float:
        values = [h.under(along(law, v)) for v, h in zip(self.directions, self.parts, strict=True)]
        return float(np.mean(values))


def _each(a: Data, b: Data, v: np.ndarray) -> tuple[np.ndarray, Average]:
    """W₁ in every direction, and the test functions."""
    values, parts = zip(*(first(along(a, one), along(b, one)) for one in v), strict=True)
    return np.array(values), Average(v, tuple(parts))


def _mean_of_first(v: np.ndarray):
    def evaluate(a: Data, b: Data) -> tuple[float, Average]:
        values, h = _each(a, b, v)
        return float(values.mean()), h

    return evaluate


def sliced_wasserstein(
    x: Given,
    y: Given,
    order: Literal[1, 2] = 1,
    *,
    directions: int | ArrayLike = 48,
    confidence: float = 0.95,
    seed: int = 0,
) -> Distance:
    """The sliced Wasserstein distance (avg_v W_p^p(v·X, v·Y))^{1/p}, p = 1 or 2.

    Args:
        x: samples (members, k), or a :class:`Normal`.
        y: likewise; at least one of the two is sampled.
        order: p.
        directions: how many directions, in random orthonormal frames, whose number is then part of
            the error; or vectors (directions, k), over which the distance is the average.
        confidence: of the interval.
        seed: of the directions.

    Returns:
        :class:`Distance`.

    Raises:
        ValueError: for shapes that do not fit or too few samples.

    Source:
        Rabin, Peyré, Delon and Bernot (2012); Bonneel et al. (2015).

    Example:
        >>> import numpy as np, widthwise as ww
        >>> x = np.random.default_rng(0).normal(size=(2000, 3))
        >>> d = ww.distances.sliced_wasserstein(x, ww.distances.Normal(np.zeros(3), np.eye(3)))
        >>> d.at_floor
        True
    """
    a, b, k = pair(x, y)
    v, drawn = chosen(directions, k, seed)
    method = f"{len(v)} directions, {described(a, b)}"
    if order == 2:
        return _second(a, b, v, drawn, confidence, method)
    values, _ = _each(a, b, v)
    return assessed(
        _mean_of_first(v),
        a,
        b,
        metric="sliced Wasserstein-1",
        method=method,
        confidence=confidence,
        widest=float(np.sqrt(_largest_spread(a, v) + _largest_spread(b, v))),
        floor=float(np.mean([first_floor(along(a, one), along(b, one)) for one in v])),
        between=between(values, k, drawn),
    )


def _squares(a: Data, b: Data, v: np.ndarray) -> tuple[np.ndarray, float, float]:
    """W₂² in every direction, the sampling error of their average, and its bias."""
    values = np.array([squared(along(a, one), along(b, one)) for one in v])
    total = 0.0
    for one, other in ((a, b), (b, a)):
        if isinstance(one, np.ndarray):
            potentials = np.zeros(len(one))
            for w in v:
                projected = np.asarray(along(one, w))
                potentials[np.argsort(projected)] += potential(projected, along(other, w))
            total += spread(potentials / len(v))
    bias = np.mean([second_floor(along(a, one), along(b, one)) for one in v])
    return values, float(np.sqrt(total)), float(bias)


def _second(a, b, v, drawn, confidence, method) -> Distance:
    values, error, bias = _squares(a, b, v)
    error = float(np.hypot(error, between(values, v.shape[1], drawn)))
    metric = "sliced Wasserstein-2"
    return of_square(float(values.mean()), error, bias, confidence, method, metric)


def max_sliced_wasserstein(
    x: Given,
    y: Given,
    *,
    directions: int | ArrayLike = 24,
    confidence: float = 0.95,
    seed: int = 0,
) -> Distance:
    """The max-sliced Wasserstein distance max_v W₁(v·X, v·Y) over unit vectors v.

    The best of some directions is improved by descent. The lower end of the interval uses
    directions found on one half of the samples and tested on the other.

    Args:
        x: samples (members, k), or a :class:`Normal`.
        y: likewise; at least one of the two is sampled.
        directions: how many directions to start from, or vectors (directions, k).
        confidence: of the interval.
        seed: of the directions.

    Returns:
        :class:`Distance`; its floor is measured on random halves of the samples.

    Raises:
        ValueError: for shapes that do not fit or too few samples.

    Source:
        Deshpande et al. (2019).

    Example:
        >>> import numpy as np, widthwise as ww
        >>> x = np.random.default_rng(0).normal(size=(2000, 2)) + [0.0, 1.0]
        >>> d = ww.distances.max_sliced_wasserstein(x, ww.distances.Normal(np.zeros(2), np.eye(2)))
        >>> d.interval[0] < 1 < d.interval[1]
        True
    """
    a, b, k = pair(x, y)
    v, _ = chosen(directions, k, seed)

    def evaluate(one: Data, other: Data) -> tuple[float, Average]:
        best = steepest(lambda w: first(along(one, w), along(other, w))[0], v)
        values, h = _each(one, other, best[None])
        return float(values[0]), h

    return assessed(
        evaluate,
        a,
        b,
        metric="max-sliced Wasserstein-1",
        method=f"from {len(v)} directions, {described(a, b)}",
        confidence=confidence,
        widest=float(np.sqrt(_largest_spread(a, None) + _largest_spread(b, None))),
    )


def _largest_spread(data: Data, directions: np.ndarray | None) -> float:
    """The largest squared standard error of the mean of avg_v ± v · x, or of one v · x."""
    if not isinstance(data, np.ndarray):
        return 0.0
    C = np.atleast_2d(np.cov(data.T))
    axes = np.linalg.eigh(C)[1].T
    if directions is None:
        means = axes
    else:
        towards = np.concatenate([axes, directions])
        means = np.sign(towards @ directions.T) @ directions / len(directions)
    return float(np.einsum("ij,jk,ik->i", means, C, means).max() / len(data))


def steepest(fn, starts: np.ndarray, climbs: int = _STARTS) -> np.ndarray:
    """The unit vector at which fn is largest: climbs from the best of some."""
    if starts.shape[1] == 1:
        return starts[0]
    heights = np.array([fn(v) for v in starts])
    size = max(heights.max(), 1e-300)
    best, top = starts[heights.argmax()], heights.max()

    def loss(w: np.ndarray) -> float:
        return -fn(w / np.linalg.norm(w)) / size

    for i in np.argsort(-heights)[:climbs]:
        found = minimize(loss, starts[i], method="L-BFGS-B", options={"maxiter": 60, "eps": 1e-6})
        if -found.fun * size > top:
            best, top = found.x / np.linalg.norm(found.x), -found.fun * size
    return best


def wasserstein2_lower_bound(
    x: Given,
    y: Given,
    *,
    directions: int | ArrayLike = 48,
    confidence: float = 0.95,
    seed: int = 0,
) -> Distance:
    """A lower bound of W₂ of several dimensions, from projections.

    W₂² ≥ avg_v W₂²(v·X, v·Y) / λ_max(avg_v v vᵀ) for any unit vectors v.

    Args:
        x: samples (members, k), or a :class:`Normal`.
        y: likewise; at least one of the two is sampled.
        directions: how many directions in orthonormal frames, or vectors (directions, k).
        confidence: of the interval for the bound.
        seed: of the directions.

    Returns:
        :class:`Distance`: the bound; the lower end of its interval bounds W₂ with that confidence.

    Raises:
        ValueError: for shapes that do not fit or too few samples.

    Example:
        >>> import numpy as np, widthwise as ww
        >>> x = np.random.default_rng(0).normal(size=(2000, 2)) + 1.0
        >>> normal = ww.distances.Normal(np.zeros(2), np.eye(2))
        >>> 1.3 < ww.distances.wasserstein2_lower_bound(x, normal).interval[0] < 2**0.5
        True
    """
    a, b, k = pair(x, y)
    v, _ = chosen(directions, k, seed)
    values, error, bias = _squares(a, b, v)
    largest = float(np.linalg.eigvalsh(v.T @ v / len(v))[-1])
    return of_square(
        float(values.mean() / largest),
        error / largest,
        bias / largest,
        confidence,
        f"{len(v)} directions, {described(a, b)}",
        "Wasserstein-2 lower bound",
    )
