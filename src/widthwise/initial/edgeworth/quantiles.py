"""The inverse of the distribution function F of a standardized Edgeworth law (:mod:`.line`).

F increases between the points where its density changes sign wherever that is positive, and
decreases where it is negative. A level that F takes exactly once has a quantile: Newton steps from
the Cornish–Fisher value u + λ₃(u²−1)/6 + λ₄(u³−3u)/24 − λ₃²(2u³−5u)/36, replaced by bisection
wherever they leave the bracket between two such points. A level taken several times, or never, has
none.
"""

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from widthwise.initial.edgeworth.line import Line

_STEPS = 200


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
    law: Line,
    start: Float[np.ndarray, " levels"],
    std: float,
    width: float,
    order: int,
) -> Float[np.ndarray, " levels"]:
    """The u with F(u) = q.

    Args:
        q: levels in [0, 1].
        law: with the powers of the width in its weights.
        start: where to begin.
        std: of the projection, for messages.
        width: for messages.
        order: for messages.
    """
    edges = law.sign_changes()
    heights = law.distribution(edges)
    heights[0], heights[-1] = 0.0, 1.0
    interior = (q > 0) & (q < 1)
    between = (q[:, None] > heights[:-1]) & (q[:, None] <= heights[1:])
    falling = (q[:, None] <= heights[:-1]) & (q[:, None] > heights[1:])
    times = (between | falling).sum(1)
    bad = interior & ((times != 1) | ~between.any(1))
    if bad.any():
        raise ValueError(_refusal(q[bad], times[bad][0], edges, law, std, width, order))
    u = np.where(q <= 0, -np.inf, np.inf)
    piece = between[interior].argmax(1)
    u[interior] = _solve(q[interior], law, edges[piece], edges[piece + 1], start[interior])
    return u


def _solve(q, law: Line, low, high, start):
    """Safeguarded Newton for F(u) = q on brackets in which F increases."""
    low, high = low.copy(), high.copy()
    u = np.where((start > low) & (start < high), start, (low + high) / 2)
    step = high - low
    active = np.ones(len(q), dtype=bool)
    for _ in range(_STEPS):
        value = law.distribution(u) - q
        low, high = np.where(value < 0, u, low), np.where(value < 0, high, u)
        slope = law.density(u)
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


def _refusal(q, times, edges, law: Line, std, width, order) -> str:
    negative = np.flatnonzero(law.density((edges[1:] + edges[:-1]) / 2) < 0)
    z = std * edges
    where = " and ".join(_interval(z[i], z[i + 1], z[-1]) for i in negative)
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
