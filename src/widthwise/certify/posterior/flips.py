r"""Theorem 2 for one hidden layer of ReLU type: the linear flow, and the sign flips around it.

Gradient flow of a network with kinks is any absolutely continuous solution of θ' = -J_tᵀr, J_t an
element of the Clarke Jacobian; along it r' = -J_tJ_tᵀr for almost all t (Bolte and Pauwels, Math.
Programming 2021). Let ℓ ≥ |J_t - J_0| (:mod:`widthwise.certify.constants.kinks`) be evaluated at
ρ ≥ sup|θ - θ_0| and I ≥ ∫|r|, a = α - ℓ > 0, R = |r_lin|, g = |J_0ᵀr_lin|. Then N ≥ |r - r_lin|,
|f - f_0 - J_0(θ - θ_0)| ≤ ℓρ, and

    ½(N²)' ≤ sup_{x ≥ aN} (-x² + xℓR) + ℓgN,   ρ ≤ D(t) + ℓρ/α + ∫ℓ|r|,   I' ≤ min(|r_0|, R + N),

with D(t) the way of the linear flow: from e = r - r_lin, e·(Θ_t - Θ_0)r_lin =
(J_tᵀe)·(J_t - J_0)ᵀr_lin + ((J_t - J_0)ᵀe)·(J_0ᵀr_lin). On an interval of length h

    N₊ = min(e^{-a²h} max(N, P/2a) + (1 - e^{-a²h})(P/a + Q/a²),  √(N² + hP²/2) + hQ),

P = ℓR, Q = ℓg. Guesses of ρ and I are inflated until the rules return less. From a time T on a
guess for all later times closes if ρ_T + |r_T|/a_∞ and I_T + |r_T|/a_∞² are below it: then
|r_t| ≤ |r_0| e^{-a_∞² t} for all t. The root of the share of neurons that flip enters ℓ, which
therefore falls like n^{-1/4} only: the width needed is large.
"""

from typing import NamedTuple

import numpy as np

from widthwise.certify.certificate import Certificate, Hypothesis, refusal
from widthwise.certify.constants.kinks import FlipBounds
from widthwise.certify.evaluation import SAFE, Evaluation
from widthwise.certify.posterior.spectrum import LinearReference, Spectrum

METHOD = "sign_flips"
_FIRST = 1e-3  # first time, in units of 1/λ_max
_RATIO = 1.04
_LAST = 14.0  # last time, in units of 1/α²
_SETTLED = 1e-3  # the tail is taken where |r_T| is below this part of |r_0|
_RELIABLE = 1e3  # λ_min must exceed its margin by this factor


class _State(NamedTuple):
    """Bounds at one time: N and its supremum so far, ρ, I, ∫ℓ|r| and ℓ."""

    apart: float = 0.0
    highest: float = 0.0
    reach: float = 0.0
    integral: float = 0.0
    drift: float = 0.0
    change: float = 0.0


class _Tail(NamedTuple):
    """What holds for all times: ρ, ℓ and a."""

    reach: float
    change: float
    slowest: float


def certify_flips(at: Evaluation, spectrum: Spectrum) -> Certificate:
    """Theorem 2 from these parameters, for one hidden layer with a piecewise linear activation."""
    reliable = Hypothesis(
        "λ_min(Θ_0) above 1000 margins", float(spectrum.values[0]), ">", _RELIABLE * spectrum.margin
    )
    if not reliable.holds:
        reason = "the linear flow of Θ_0 cannot be computed reliably: its kernel is too singular"
        return refusal(METHOD, "flow", reason, reliable)
    bounds, linear = FlipBounds(at), LinearReference(spectrum)
    state, time, tail = _State(), 0.0, None
    after, end = _FIRST / spectrum.beta**2, _LAST / spectrum.alpha**2
    while time < end:
        moved = _advance(bounds, spectrum, linear, state, time, after)
        if moved is None:
            break
        state, time, after = moved, after, after * _RATIO
        size = min(linear.size(time) + state.apart, spectrum.size)
        if time * spectrum.alpha**2 > 1:
            tail = _tail(bounds, spectrum.alpha, state, size)
            if tail is not None and size < _SETTLED * spectrum.size:
                break
    if tail is None:
        lost = Hypothesis(f"ℓ below α at time {time:.3g}", state.change, "<", spectrum.alpha)
        reason = (
            f"preactivations that may change sign move the Jacobian by {state.change:.3g} until "
            f"time {time:.3g}, too near α = {spectrum.alpha:.3g} to go on; with a kink the width "
            "needed is large: a wider network, smaller labels or a smooth activation may do"
        )
        return refusal(METHOD, "flow", reason, reliable, lost)
    return _certificate(spectrum, linear, reliable, state, time, tail)


def _advance(
    bounds: FlipBounds, s: Spectrum, linear: LinearReference, at: _State, t: float, after: float
) -> _State | None:
    """The bounds after one interval; ``None`` where none close."""
    h, R, g = after - t, min(linear.size(t), s.size), linear.gradient(t)
    way = linear.displacement(after)
    reach = max(at.reach, way) * 1.001 + 1e-12
    integral = at.integral + h * min(R + at.apart, s.size) * 1.001 + 1e-300
    for _ in range(200):
        change = bounds.jacobian_change(reach, integral)
        a = (s.alpha - change) / SAFE
        if not a > 0:
            return None
        apart, highest = _residual(at.apart, a, change * R, change * g, h)
        size = min(R + highest, s.size)
        total = (at.integral + h * size) * SAFE
        drift = (at.drift + h * change * size) * SAFE
        needed = (way + change * reach / s.alpha + drift) * SAFE
        if needed <= reach and total <= integral:
            return _State(apart, max(at.highest, highest), reach, integral, drift, change)
        reach = max(reach, needed * 1.001 + 1e-13)
        integral = max(integral, total * 1.001)
        if not np.isfinite(reach):
            return None
    return None


def _residual(N: float, a: float, P: float, Q: float, h: float) -> tuple[float, float]:
    """N at the end of an interval, and its largest value in it."""
    decay = np.exp(-a * a * h)
    start, level = max(N, P / (2 * a)), P / a + Q / a**2
    growth = np.sqrt(N * N + h * P * P / 2) + h * Q
    end = min(decay * start + (1 - decay) * level, growth)
    return float(end) * SAFE, float(max(N, min(growth, max(start, level)))) * SAFE


def _tail(bounds: FlipBounds, alpha: float, at: _State, size: float) -> _Tail | None:
    """A guess for all later times that closes."""
    reach = at.reach + 1.1 * size / (alpha - at.change)
    integral = at.integral + 1.1 * size / (alpha - at.change) ** 2
    for _ in range(100):
        change = bounds.jacobian_change(reach, integral)
        a = (alpha - change) / SAFE
        if not a > 0:
            return None
        far, total = (at.reach + size / a) * SAFE, (at.integral + size / a**2) * SAFE
        if far <= reach and total <= integral:
            return _Tail(reach, change, a)
        reach, integral = max(reach, far * 1.001), max(integral, total * 1.001)
    return None


def _certificate(
    s: Spectrum,
    linear: LinearReference,
    reliable: Hypothesis,
    state: _State,
    time: float,
    tail: _Tail,
) -> Certificate:
    kernel = 2 * s.beta * tail.change + tail.change**2
    later = state.apart + 2 * linear.size(time)
    return Certificate(
        True,
        METHOD,
        "flow",
        "too few preactivations change sign to make the kernel singular, and gradient flow "
        "converges to zero loss",
        (reliable, Hypothesis("ℓ = sup |J - J_0| below α", tail.change, "<", s.alpha)),
        rate=float(tail.slowest**2),
        movement=float(tail.reach) * SAFE,
        ntk_change=float(kernel) * SAFE,
        output_deviation=float(max(state.highest, later)) * SAFE,
    )
