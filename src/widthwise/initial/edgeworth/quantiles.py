"""The distribution function of a standardized Edgeworth law, and its inverse.

    F(u) = Φ(u) − φ(u) Σ_{r≥1} w_r He_{r−1}(u),        F'(u) = φ(u) Σ_r w_r He_r(u).

F increases between the real roots of Σ_r w_r He_r where that is positive and decreases where it is
negative. A level that F takes exactly once has a quantile: Newton steps from the Cornish–Fisher
value u + λ₃(u²−1)/6 + λ₄(u³−3u)/24 − λ₃²(2u³−5u)/36, replaced by bisection wherever they leave the
bracket between two roots. A level taken several times, or never, has none.
"""

import numpy as np
from jaxtyping import Float
from numpy.polynomial import hermite_e
from scipy.special import ndtr, ndtri
from scipy.stats import norm

from widthwise._vocabulary import ArrayLike

_FAR = 39.0  # beyond it the Gaussian density is 0 in float64
_STEPS = 200


def clipped(u: ArrayLike) -> np.ndarray:
    """The values, those at which the Gaussian density is 0 in float64 brought to ±39."""
    return np.asarray(np.clip(np.asarray(u, dtype=float), -_FAR, _FAR))


def distribution(u: ArrayLike, weights: Float[np.ndarray, " degrees"]) -> np.ndarray:
    """F(u)."""
    correction = hermite_e.hermeval(u, weights[1:]) if len(weights) > 1 else 0.0
    return np.asarray(ndtr(u) - norm.pdf(u) * correction)


def sign_changes(weights: Float[np.ndarray, " degrees"]) -> Float[np.ndarray, " edges"]:
    """−39, the points in between where the density changes its sign, and 39."""
    trimmed = np.trim_zeros(weights, "b")
    roots = hermite_e.hermeroots(trimmed) if len(trimmed) > 1 else np.zeros(0)
    real = roots[np.abs(roots.imag) <= 1e-5 * (1 + np.abs(roots))].real
    edges = np.concatenate([[-_FAR], np.sort(real[np.abs(real) < _FAR]), [_FAR]])
    middle = (edges[1:] + edges[:-1]) / 2
    signs = np.sign(hermite_e.hermeval(middle, weights))
    changes = np.flatnonzero(signs[1:] != signs[:-1]) + 1
    inner = np.array([_polished(edges[i], weights) for i in changes])
    return np.concatenate([[-_FAR], inner, [_FAR]])


def _polished(root: float, weights: np.ndarray) -> float:
    """One root after a few Newton steps, which repair the rounding of the eigenvalue problem."""
    slope = hermite_e.hermeder(weights)
    best, size = root, abs(hermite_e.hermeval(root, weights))
    for _ in range(4):
        derivative = hermite_e.hermeval(best, slope)
        if not derivative:
            break
        new = best - hermite_e.hermeval(best, weights) / derivative
        reached = abs(hermite_e.hermeval(new, weights))
        if not reached < size or abs(new - root) > 1e-3 * (1 + abs(root)):
            break
        best, size = new, reached
    return float(best)


def cornish_fisher(
    q: Float[np.ndarray, " levels"], cumulants: Float[np.ndarray, " few"]
) -> Float[np.ndarray, " levels"]:
    """Approximate quantiles from κ_2 … κ_4 (those that are there), of mean 0."""
    u = ndtri(q)
    std = np.sqrt(max(cumulants[2], 1e-2))
    third, fourth = (cumulants[r] / std**r if len(cumulants) > r else 0.0 for r in (3, 4))
    inside = np.clip(u, -6, 6)
    shift = (
        third * (inside**2 - 1) / 6
        + fourth * (inside**3 - 3 * inside) / 24
        - third**2 * (2 * inside**3 - 5 * inside) / 36
    )
    return std * (u + shift)


def quantiles(
    q: Float[np.ndarray, " levels"],
    weights: Float[np.ndarray, " degrees"],
    start: Float[np.ndarray, " levels"],
    std: float,
    width: float,
    order: int,
) -> Float[np.ndarray, " levels"]:
    """The u with F(u) = q.

    Args:
        q: levels in [0, 1].
        weights: w_r, with the powers of the width in them.
        start: where to begin.
        std: of the projection, for messages.
        width: for messages.
        order: for messages.
    """
    edges = sign_changes(weights)
    heights = distribution(edges, weights)
    heights[0], heights[-1] = 0.0, 1.0
    interior = (q > 0) & (q < 1)
    between = (q[:, None] > heights[:-1]) & (q[:, None] <= heights[1:])
    falling = (q[:, None] <= heights[:-1]) & (q[:, None] > heights[1:])
    times = (between | falling).sum(1)
    bad = interior & ((times != 1) | ~between.any(1))
    if bad.any():
        raise ValueError(_refusal(q[bad], times[bad][0], edges * std, weights, width, order))
    u = np.where(q <= 0, -np.inf, np.inf)
    piece = between[interior].argmax(1)
    u[interior] = _solve(q[interior], weights, edges[piece], edges[piece + 1], start[interior])
    return u


def _solve(q, weights, low, high, start):
    """Safeguarded Newton for F(u) = q on brackets in which F increases."""
    low, high = low.copy(), high.copy()
    u = np.where((start > low) & (start < high), start, (low + high) / 2)
    step = high - low
    active = np.ones(len(q), dtype=bool)
    for _ in range(_STEPS):
        value = distribution(u, weights) - q
        low, high = np.where(value < 0, u, low), np.where(value < 0, high, u)
        slope = norm.pdf(u) * hermite_e.hermeval(u, weights)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            newton = u - value / slope
        inside = (newton > low) & (newton < high) & (np.abs(newton - u) < 0.5 * np.abs(step))
        new = np.where(value == 0, u, np.where(inside, newton, (low + high) / 2))
        step = np.where(active, new - u, 0.0)
        u = np.where(active, new, u)
        active = active & (np.abs(step) > 4e-16 * (1 + np.abs(u)))
        if not active.any():
            break
    return u


def _refusal(q, times, edges, weights, width, order) -> str:
    middle = (edges[1:] + edges[:-1]) / 2
    std = edges[-1] / _FAR
    negative = np.flatnonzero(hermite_e.hermeval(middle / std, weights) < 0)
    where = " and ".join(_interval(edges[i], edges[i + 1], edges[-1]) for i in negative)
    shown = ", ".join(f"{level:.6g}" for level in q[:4]) + (", …" if len(q) > 4 else "")
    how = f"{times} times" if times else "never"
    return (
        f"q = {shown} has no quantile: the distribution function of order {order} at width "
        f"{width:g} is not monotone there (its density is negative {where}) and takes the value "
        f"{q[0]:.6g} {how}; take a lower order (see diagnose) or a larger width"
    )


def _interval(a: float, b: float, far: float) -> str:
    if a <= -far:
        return f"below z = {b:.4g}"
    return f"above z = {a:.4g}" if b >= far else f"from z = {a:.4g} to {b:.4g}"
