r"""The bounded-Lipschitz distance sup { E_μ h − E_ν h : |h| ≤ 1, Lip(h) ≤ 1 } ≤ W₁.

On the line h is taken piecewise linear between knots, a linear program

    max_h Σ_j m_j h_j,    |h_j| ≤ 1,    |h_{j+1} − h_j| ≤ z_{j+1} − z_j,

m_j = E_μ − E_ν of the hat function at knot j, exact through ∫D. This is a lower bound, and what
other h could add is at most Σ_cells ∫ |D − its mean|, which is the numerical error.

In several dimensions every test function gives a lower bound. Those of

    ψ(x) = min(1, s) sin((v·x − c)/s),    min(1, s) cos((v·x − c)/s),

are unbiased and have known Gaussian expectations; the interval is simultaneous over all of them.
"""

import numpy as np
import scipy.sparse as sparse
from scipy.optimize import linprog

from widthwise._vocabulary import ArrayLike
from widthwise.measure.distances.directions import chosen
from widthwise.measure.distances.laws import Given, Normal
from widthwise.measure.distances.line import Difference, Sample
from widthwise.measure.distances.sampling import (
    Data,
    assessed,
    quantile,
    share,
    spread,
    widest_slope,
)
from widthwise.measure.distances.sliced import pair
from widthwise.measure.distances.table import Table
from widthwise.measure.distances.value import Distance, known
from widthwise.measure.distances.wasserstein import Slopes, described, side

_INNER, _OUTER = 300, 40
_WITHIN = 8
_SCALES = (0.5, 1.0, 2.0)
_LARGEST = 2.0


def _knots(difference: Difference) -> np.ndarray:
    """Dense where the mass is, sparse in the tails."""
    low, high = difference.ends
    levels = np.array([0.002, 0.998])
    inner = []
    for law in (difference.F, difference.G):
        inner.append(np.quantile(law.x, levels) if isinstance(law, Sample) else law.ppf(levels))
    a, b = min(i[0] for i in inner), max(i[1] for i in inner)
    ramp = np.linspace(0, 1, _OUTER) ** 2
    return np.unique(
        np.concatenate([a - (a - low) * ramp, np.linspace(a, b, _INNER), b + (high - b) * ramp])
    )


def program(x: Data, y: Data) -> tuple[float, Slopes]:
    """The value of the linear program, and its test function."""
    difference = Difference(side(x), side(y))
    z = _knots(difference)
    h = np.diff(z)
    slopes = np.diff(difference.integral(z)) / h  # the mean of D on every cell
    masses = np.append(slopes, 0.0) - np.append(0.0, slopes)
    D = sparse.csr_array(np.diff(np.eye(len(z)), axis=0))
    found = linprog(
        masses,
        A_ub=sparse.vstack([D, -D]),
        b_ub=np.concatenate([h, h]),
        bounds=(-1, 1),
        method="highs",
    )
    return float(-found.fun), Slopes(z, -found.x)


def discretization(x: Data, y: Data) -> float:
    """Σ_cells ∫ |D − mean| ≤ Σ h (max D − min D)/2."""
    difference = Difference(side(x), side(y))
    z = _knots(difference)
    fine = np.concatenate([z[:-1] + np.diff(z) * s for s in np.arange(_WITHIN) / _WITHIN])
    samples = [law.x for law in (difference.F, difference.G) if isinstance(law, Sample)]
    points = np.unique(np.concatenate([fine, *samples]))
    points = points[(points >= z[0]) & (points < z[-1])]
    D = difference.F.cdf(points) - difference.G.cdf(points)
    start = np.searchsorted(points, z[:-1])
    last = difference.F.below(z[1:]) - difference.G.below(z[1:])
    top = np.maximum(np.maximum.reduceat(D, start), last)
    bottom = np.minimum(np.minimum.reduceat(D, start), last)
    return float(np.diff(z) @ (top - bottom) / 2)


def bounded_lipschitz(
    x: Given,
    y: Given,
    *,
    directions: int | ArrayLike = 32,
    confidence: float = 0.95,
    seed: int = 0,
) -> Distance:
    """The bounded-Lipschitz distance sup { E h(X) − E h(Y) : |h| ≤ 1, Lip(h) ≤ 1 }.

    Args:
        x: samples (members,) or (members, k), or a law (of several dimensions a :class:`Normal`).
        y: likewise.
        directions: in several dimensions, how many directions of test functions, or vectors.
        confidence: of the interval, where anything is sampled.
        seed: of the directions.

    Returns:
        :class:`Distance`. In several dimensions ``value`` is the best of the test functions tried
        and the interval holds a lower limit only (its upper end is 2, which is always true).

    Raises:
        ValueError: for shapes that do not fit or too few samples.

    Source:
        Dudley, *Real Analysis and Probability* (2002), §11.3, with max(sup |h|, Lip h) ≤ 1.

    Example:
        >>> import widthwise as ww
        >>> normal = ww.distances.Normal
        >>> near = ww.distances.bounded_lipschitz(normal(0.0, 0.04), normal(0.1, 0.04))
        >>> near.value.__round__(3)  # W₁ is 0.1
        0.1
    """
    a, b, k = pair(x, y)
    if k > 1:
        return _by_test_functions(a, b, directions, k, confidence, seed)
    gap = discretization(a, b)
    if isinstance(a, Table) and isinstance(b, Table):
        value, _ = program(a, b)
        error = gap + a.error + b.error + 1e-9 * value
        return known(value, error, "bounded-Lipschitz", described(a, b))
    return assessed(
        program,
        a,
        b,
        metric="bounded-Lipschitz",
        method=described(a, b),
        confidence=confidence,
        widest=min(widest_slope(a, b), float(np.sqrt(share(a, b)))),
        numerical=gap,
    )


def _by_test_functions(a: Data, b: Data, directions, k: int, confidence, seed) -> Distance:
    v, _ = chosen(directions, k, seed)
    count = 2 * len(_SCALES) * len(v)
    z = quantile(1 - (1 - confidence) / count)
    centre = b.mean if isinstance(b, Normal) else np.asarray(b).mean(0)
    best, low, error, floor = 0.0, 0.0, 0.0, 0.0
    for s in _SCALES:
        means, errors = zip(*(_waves(data, v, centre, s) for data in (a, b)), strict=True)
        gaps = min(1.0, s) * np.abs(means[0] - means[1])
        standard = min(1.0, s) * np.sqrt(errors[0] + errors[1])
        if gaps.max() > best:
            best, error = float(gaps.max()), float(standard.flat[gaps.argmax()])
        low = max(low, float((gaps - z * standard).max()))
        # the largest of many normal numbers
        floor = max(floor, float(standard.max() * np.sqrt(2 * np.log(count))))
    note = f"a lower bound: the best of {count} test functions"
    return Distance(
        best,
        error,
        (max(low, 0.0), _LARGEST),
        confidence,
        floor,
        "bounded-Lipschitz",
        f"test functions, {described(a, b)}",
        (note,),
    )


def _waves(data: Data, v: np.ndarray, centre: np.ndarray, s: float) -> tuple[np.ndarray, ...]:
    """Means of cos and sin of (v·(x − c))/s (2, directions), and their squared errors."""
    if isinstance(data, Normal):
        phase = data.characteristic(v / s) * np.exp(-1j * (v @ centre) / s)
        return np.stack([np.real(phase), np.imag(phase)]), np.zeros((2, len(v)))
    assert isinstance(data, np.ndarray)
    parts = [[], []]
    for one in v:
        angle = (data - centre) @ one / s
        waves = np.stack([np.cos(angle), np.sin(angle)])
        parts[0].append(waves.mean(1))
        parts[1].append([spread(wave) for wave in waves])
    return np.array(parts[0]).T, np.array(parts[1]).T
