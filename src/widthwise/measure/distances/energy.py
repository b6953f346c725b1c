"""The energy distance 2 E|X − Y| − E|X − X'| − E|Y − Y'|, estimated without bias.

On the line it is 2 ∫ (F − G)² dz (Székely and Rizzo 2013; the square of scipy's
``energy_distance``). In k dimensions |x| = C_k avg_v |v·x|, C_k = √π Γ((k + 1)/2)/Γ(k/2), makes it
C_k times the average over directions of that of the projections. The unbiased estimate subtracts
2/(N − 1) ∫ F_N (1 − F_N), and likewise for Y.
"""

import numpy as np
from scipy.special import gammaln

from widthwise._vocabulary import ArrayLike
from widthwise.measure.distances.directions import between, chosen
from widthwise.measure.distances.laws import Given
from widthwise.measure.distances.line import Difference, Sample, Side
from widthwise.measure.distances.sampling import Data, around, share, spread
from widthwise.measure.distances.sliced import along, pair
from widthwise.measure.distances.table import Table
from widthwise.measure.distances.value import Distance, known
from widthwise.measure.distances.wasserstein import described, side

_GRID = 160


def unbiased(F: Side, G: Side) -> float:
    """2 ∫ D², less what sampling adds to it."""
    bias = sum(
        2 * law.variability() / (len(law.x) - 1) for law in (F, G) if isinstance(law, Sample)
    )
    return 2 * Difference(F, G).square - bias


def null_error(F: Side, G: Side, size: float) -> float:
    """The standard deviation of the estimate for equal laws: 2 √(2 ∬ cov²)(1/N + 1/M)."""
    law = G if isinstance(G, Table) else F
    low, high = Difference(F, G).ends
    inner = law.ppf(np.array([1e-4, 1 - 1e-4])) if isinstance(law, Table) else (low, high)
    z = np.linspace(max(low, inner[0]), min(high, inner[1]), _GRID)
    P = law.cdf(z)
    covariance = np.minimum.outer(P, P) * (1 - np.maximum.outer(P, P))
    return float(2 * np.sqrt(2 * (covariance**2).sum()) * (z[1] - z[0]) * size)


def energy(
    x: Given,
    y: Given,
    *,
    directions: int | ArrayLike = 48,
    confidence: float = 0.95,
    seed: int = 0,
) -> Distance:
    """The energy distance 2 E|X − Y| − E|X − X'| − E|Y − Y'|, on the line 2 ∫ (F − G)² dz.

    Args:
        x: samples (members,) or (members, k), or a law (of several dimensions a :class:`Normal`).
        y: likewise.
        directions: in several dimensions, how many directions, or vectors (directions, k).
        confidence: of the interval, where anything is sampled.
        seed: of the directions.

    Returns:
        :class:`Distance`: an unbiased estimate, which may be negative; the floor is its standard
        deviation for equal laws.

    Raises:
        ValueError: for shapes that do not fit or too few samples.

    Source:
        Székely and Rizzo, "Energy statistics", J. Statist. Plann. Inference 143 (2013).

    Example:
        >>> import widthwise as ww
        >>> normal = ww.distances.Normal
        >>> ww.distances.energy(normal(0.0, 1.0), normal(1.0, 1.0)).value.__round__(6)
        0.541807
    """
    a, b, k = pair(x, y)
    method = described(a, b)
    if isinstance(a, Table) and isinstance(b, Table):
        difference = Difference(a, b)
        off = 4 * difference.largest[0] * (a.error + b.error) + 1e-15 * difference.square
        return known(2 * difference.square, off, "energy", method)
    v, drawn = chosen(directions, k, seed)
    constant = np.sqrt(np.pi) * np.exp(gammaln((k + 1) / 2) - gammaln(k / 2)) if k > 1 else 1.0
    values, null = [], []
    influence = [np.zeros(len(d)) if isinstance(d, np.ndarray) else None for d in (a, b)]
    for one in v:
        projected: list[Data] = [along(d, one) for d in (a, b)]
        F, G = (side(d) for d in projected)
        values.append(unbiased(F, G))
        null.append(null_error(F, G, share(a, b)))
        difference = Difference(F, G)
        for total, data in zip(influence, projected, strict=True):
            if total is not None:
                assert isinstance(data, np.ndarray)
                total += 4 * difference.integral(data) / len(v)
    if k > 1:
        method = f"{len(v)} directions, {method}"
    floor = float(constant * np.mean(null))
    first = constant**2 * sum(map(spread, influence))
    over = constant * between(np.array(values), k, drawn)
    error = float(np.sqrt(first + floor**2 + over**2))
    value = float(constant * np.mean(values))
    interval = around(value, error, confidence)
    return Distance(value, error, interval, confidence, floor, "energy", method)
