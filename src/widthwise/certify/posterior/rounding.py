r"""Exact gradient descent near the iterates that were computed in floating point.

The iterates x_k of exact descent, x_{k+1} = x_k - η g(x_k), and the computed ones y_k, which differ
from y_k - η g(y_k) by at most ϱ per step, start at the same parameters. With δ = x - y,

    g(x) - g(y) = J_yᵀJ_y δ + (Σ r_i H̄_i) δ + (terms of second order),

r the residual at y and H̄ a mean Hessian between them, the terms of second order at most
(3/2) βLε² + L²ε³/2 where |δ| ≤ ε. Hence ε_{k+1} ≤ q ε_k + ϱ with

    q = max(1 + ημ, η(β² + h) - 1) + η(3βLε + L²ε²)/2,   μ ≥ -λ_min(Σ r_i H̄_i),   h ≥ |Σ r_i H̄_i|.

ϱ is bounded at every iterate. Constants are taken at one iterate of a stretch and carried to the
rest of it by L and L3. One layer uses the eigenvalues of the blocks of Σ r_i H_i; deeper networks
have μ, h ≤ L|r|.
"""

from collections.abc import Sequence

import numpy as np

from widthwise.certify.constants.ball import Bounds
from widthwise.certify.constants.shallow import ShallowBounds
from widthwise.certify.evaluation import SAFE, UNIT, Evaluation
from widthwise.certify.posterior.curve import gradient_error, residual_error
from widthwise.certify.posterior.spectrum import Spectrum

_HUGE = 1e100  # of constants with which nothing is bounded, and whose squares may overflow


def widened(width: float, stretch: Sequence[Evaluation], bounds: Bounds, step: float) -> float:
    """ε at the end of a stretch of computed iterates, from ε at its start; infinite if unbounded.

    A stretch that is too long for constants of its first iterate is halved.

    Args:
        width: ε at the first of them.
        stretch: the iterates, two at least.
        bounds: constants at the first of them.
        step: η.
    """
    whole = _carried(width, stretch, bounds, step)
    if np.isfinite(whole) or not np.isfinite(width) or len(stretch) == 2:
        return whole
    middle = len(stretch) // 2
    half = widened(width, stretch[: middle + 1], bounds, step)
    return widened(half, stretch[middle:], bounds.moved(stretch[middle]), step)


def _carried(width: float, stretch: Sequence[Evaluation], bounds: Bounds, step: float) -> float:
    """ε at the end of a stretch by the constants of its first iterate."""
    if not np.isfinite(width):
        return np.inf
    first = stretch[0]
    s, count = Spectrum.of(first), len(stretch) - 1
    radius = max(at.distance(first) for at in stretch)
    errors = s.residual_error + residual_error(stretch)
    R = (max(float(np.linalg.norm(at.residual)) for at in stretch) + errors) * SAFE
    turn = max(float(np.linalg.norm(at.residual - s.residual)) for at in stretch) + errors
    size = first.norm + radius

    def lost(beta: float) -> float:
        rounded = 4 * UNIT * (2 * size + step * beta * R)
        return (step * gradient_error(stretch, beta) + rounded) * SAFE

    extremes = bounds.weighted_hessian(s.residual) if isinstance(bounds, ShallowBounds) else None
    reach = 1.5 * width + 2 * count * lost(s.beta)
    for _ in range(60):
        L = bounds.jacobian(radius + reach)
        beta = (s.beta + L * radius) * SAFE
        if not all(value < _HUGE for value in (reach, L, beta)):
            return np.inf
        mu = h = L * R
        if extremes is not None and isinstance(bounds, ShallowBounds):
            change = L * turn + bounds.hessian(radius + reach) * R * (radius + reach)
            mu, h = (min(L * R, max(value, 0.0) + change) for value in extremes)
        second = step * (3 * beta * L * reach + L**2 * reach**2) / 2
        q = (max(1 + step * mu, step * (beta**2 + h) - 1) + second) * (1 + 4 * UNIT)
        growth = count * np.log(q)
        wider = (width + count * lost(beta)) * np.exp(growth) * SAFE if growth < 600 else np.inf
        if not np.isfinite(wider):
            return np.inf
        if wider <= reach:
            return float(wider)
        reach = wider * 1.05
    return np.inf
