r"""Theorem 4: a validated tube around gradient flow, one hidden layer.

Known at time t: a point θ̂ with |θ_t - θ̂| ≤ ε, and |r_t| ≤ R. One step of the linear flow of θ̂,

    θ̂₊ = θ̂ - Ĵᵀ Θ̂^{-1}(I - e^{-Θ̂τ}) r̂,   ε₊ = ε e^{(μ + L²e₁²/16)τ} + local,
    local = |q| min(1/α̂, √(2τ/e), β̂τ) + ∫ |Eᵀr|,   R₊ = R e^{-[σ̂ - L(ρ + e₁)]₊² τ},

with ρ the length of the step, e₁ ≥ sup ε on it, μ ≥ max_k -λ_min of the blocks of Σ r_i H_i: two
flows obey |δ|' ≤ μ|δ| + L²|δ|³/16. The tube only has to keep Lε below σ_min. As soon as Theorem 1
holds for every point of it, the tail converges to zero loss.

The method is of first order: ε grows like the length of the steps, their number like one over it.
Long steps are tried first; they suffice where the network is wide.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from widthwise.certify.certificate import Certificate, Hypothesis, refusal
from widthwise.certify.constants.shallow import ShallowBounds
from widthwise.certify.evaluation import SAFE, UNIT, Evaluation
from widthwise.certify.posterior.path import Path, shortest_path
from widthwise.certify.posterior.spectrum import LinearReference, Spectrum

_METHOD = "trajectory"
TOLERANCES = (2e-2, 6e-3, 2e-3)  # lengths of a step in parameters, tried in turn
_SHARE = 0.3  # and at most this part of 1/λ_min
_STEPS = 10_000
_SETTLED = 0.9  # the tail's rate is a^2 with a at least this part of σ_min, or no better is found
_EXTRA = 200  # in so many steps
_END = 60.0  # last time, in units of 1/α_0²
_UNAVAILABLE = (
    "not available: the flow tube is built for one hidden layer; the linear reference and gradient "
    "descent are certified at any depth"
)


class _Step(NamedTuple):
    """One step of the tube: its duration, radii, and what it does to ε and R."""

    duration: float
    radius: float
    lipschitz: float
    width: float
    residual: float
    point: Evaluation


@dataclass(frozen=True)
class _Tube:
    """The tube at one time, and what has been bounded along it."""

    at: Evaluation
    bounds: ShallowBounds
    time: float = 0.0
    width: float = 0.0
    residual: float = np.inf
    reached: float = 0.0
    kernel: float = 0.0
    deviation: float = 0.0


class _Failed(Exception):
    """The tube cannot be continued, for the reason given."""


def certify_trajectory(at: Evaluation, bounds: object, spectrum: Spectrum) -> Certificate:
    """Theorem 4 from these parameters."""
    if not isinstance(bounds, ShallowBounds):
        return refusal(_METHOD, "flow", _UNAVAILABLE)
    if not spectrum.alpha > 0:
        reason = "the kernel at the start is not certified positive"
        return refusal(_METHOD, "flow", reason, spectrum.positive)
    made = refusal(_METHOD, "flow", "no step was tried")
    for tolerance in TOLERANCES:
        made = _follow(at, bounds, spectrum, tolerance)
        if made.holds:
            break
    return made


def _follow(
    at: Evaluation, bounds: ShallowBounds, spectrum: Spectrum, tolerance: float
) -> Certificate:
    """The tube with steps of one length."""
    linear, tube = LinearReference(spectrum), _Tube(at, bounds, residual=spectrum.size)
    current, made, extra = spectrum, None, 0
    try:
        for _ in range(_STEPS):
            tube, left, path = _tail(tube, current)
            if np.isfinite(path.length):
                made, extra = _certificate(at, tube, current, linear, left, path), extra + 1
                if path.slack > _SETTLED * left or extra > _EXTRA:
                    return made
            if tube.time * spectrum.alpha**2 > _END:
                raise _Failed(f"no tail is certified until time {tube.time:.3g}")
            step = _step(tube, current, tolerance)
            tube = _moved(tube, step, at, current, spectrum, linear)
            current = Spectrum.of(tube.at)
        raise _Failed(f"{_STEPS} steps reach time {tube.time:.3g} only, and no tail is certified")
    except _Failed as failed:
        if made is not None:
            return made
        reach = tube.bounds.jacobian(tube.width) * tube.width
        held = Hypothesis("L ε below σ_min(Ĵ)", reach, "<", current.alpha)
        remedy = f"{failed}; |r| is then at most {tube.residual:.3g}; a wider network may do"
        return refusal(_METHOD, "flow", remedy, held)


def _tail(tube: _Tube, spectrum: Spectrum) -> tuple[_Tube, float, Path]:
    """Theorem 1 for every point of the tube."""
    width, bounds = tube.width, tube.bounds
    change = bounds.jacobian(width) * width
    left = (spectrum.alpha - change) / SAFE
    if not left > 0:
        raise _Failed("the tube is wider than σ_min(Ĵ)/L" if width else "the kernel is singular")
    here = spectrum.size + (spectrum.beta + change) * width
    tube = replace(tube, residual=min(tube.residual, here * SAFE))
    path = shortest_path(left, tube.residual, lambda S: bounds.jacobian(width + S))
    return tube, left, path


def _step(tube: _Tube, s: Spectrum, tolerance: float) -> _Step:
    linear = LinearReference(s)
    tau = min(tolerance / linear.gradient(0.0), _SHARE / s.alpha**2)
    way = linear.displacement(tau)
    working = 1.5 * tube.width + 4 * way
    L, L3 = tube.bounds.jacobian(working), tube.bounds.hessian(working)
    negative, largest = tube.bounds.weighted_hessian(s.residual)
    negative, largest = (value + L * s.residual_error for value in (negative, largest))
    size, beta = s.size, s.beta
    rho, local = _local(way, tau, s, L, L3, largest)
    e1 = tube.width * 1.2 + 1e-300
    for _ in range(50):
        drift = L3 * size * (rho + e1) if np.isfinite(L3) else 2 * L * size
        mu = negative + drift + L * (beta + L * rho) * rho + L**2 * e1**2 / 16
        wider = tube.width * np.exp(mu * tau) * SAFE
        if wider <= e1:
            break
        e1 = wider * 1.05 + 1e-300
    else:
        raise _Failed("the spread of neighbouring flows is not bounded")
    if rho + e1 > working:
        raise _Failed("one step leaves the ball on which its constants hold")
    left = max(s.alpha - L * (rho + e1), 0.0)
    residual = tube.residual * np.exp(-left * left * tau) * SAFE
    point = tube.at.moved(tube.at.pull(linear.preimage(tau)))
    rounding = (
        4 * UNIT * (tube.at.norm + point.norm) + len(s.residual) * 16 * UNIT * tau * beta * size
    )
    rounding += tau * (
        beta * (s.margin * tau * size / 2 + s.residual_error) + s.jacobian_error * size
    )
    return _Step(tau, rho + e1, L, float(wider + local + rounding) * SAFE, float(residual), point)


def _local(
    way: float, tau: float, s: Spectrum, L: float, L3: float, largest: float
) -> tuple[float, float]:
    """Radius of the step from θ̂ itself, and its distance from the linear step."""
    rho = way * 1.05
    for _ in range(50):
        change, nonlinear = L * rho, L * rho * rho / 2
        drift = largest + L * (s.beta + change) * rho + L3 * rho * s.size / 2
        force = rho * (min(L * s.size, drift) if np.isfinite(L3) else L * s.size)
        short = min(1 / s.alpha, np.sqrt(2 * tau / np.e), s.beta * tau)
        local = (nonlinear * short + tau * force) * SAFE
        if way + local <= rho:
            return rho, local
        rho = (way + local) * 1.01
    raise _Failed("one step of the tube does not close")


def _moved(
    tube: _Tube,
    step: _Step,
    start: Evaluation,
    s: Spectrum,
    first: Spectrum,
    linear: LinearReference,
) -> _Tube:
    """The tube after a step, with the bounds that hold during it."""
    after = tube.time + step.duration
    change = step.lipschitz * step.radius
    gap = tube.at.kernel - start.kernel
    kernel = float(np.abs(np.linalg.eigvalsh(gap)).max()) + s.margin + first.margin
    before, then = linear.residual(tube.time), linear.residual(after)
    apart = float(np.linalg.norm(tube.at.residual - before) + np.linalg.norm(before - then))
    apart += (s.beta + change) * step.radius + s.residual_error + 2 * linear.residual_slack
    return _Tube(
        step.point,
        tube.bounds.moved(step.point),
        after,
        step.width,
        step.residual,
        max(tube.reached, tube.at.distance(start) + step.radius),
        max(tube.kernel, (kernel + 2 * s.beta * change + change**2) * SAFE),
        max(tube.deviation, apart * SAFE),
    )


def _certificate(
    start: Evaluation, tube: _Tube, s: Spectrum, linear: LinearReference, left: float, path: Path
) -> Certificate:
    here = tube.at.distance(start) + tube.width + path.length
    change = path.lipschitz * (tube.width + path.length)
    gap = float(np.abs(np.linalg.eigvalsh(tube.at.kernel - start.kernel)).max())
    first = Spectrum.of(start)
    kernel = gap + s.margin + first.margin + 2 * s.beta * change + change**2
    return Certificate(
        True,
        _METHOD,
        "flow",
        "gradient flow stays in a validated tube and converges to zero loss",
        (
            Hypothesis("L ε below σ_min(Ĵ) at T", s.alpha - left, "<", s.alpha),
            Hypothesis("2 L |r_T| below σ²", 2 * path.lipschitz * tube.residual, "<", left**2),
        ),
        rate=float(path.slack**2),
        since=float(tube.time),
        movement=float(max(tube.reached, here)) * SAFE,
        ntk_change=float(max(tube.kernel, kernel)) * SAFE,
        output_deviation=float(max(tube.deviation, tube.residual + linear.size(tube.time))) * SAFE,
    )
