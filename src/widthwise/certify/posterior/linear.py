r"""Theorem 2': the network evaluated along the path of the linear flow.

With θ_lin(t) = θ_0 + Δ_lin(t), Ê = J(θ_lin) - J_0, σ̂ = σ_min(J(θ_lin)),
q̂ = f(θ_lin) - f_0 - J_0 Δ_lin, F1 = |Êᵀr_lin|, F2 = |Ê J_0ᵀr_lin|, all measured, and
δ ≥ |θ_t - θ_lin(t)|, the distance N = |r - r_lin| and δ ≤ W + A obey

    ½(N²)' ≤ sup_{x ≥ aN} (-x² + x P) + N Q,     a = σ̂ - Lδ,  P = F1 + μδ,  Q = F2 + νδ,
    N' ≤ -a²N + G,        G = |(Θ(θ_lin) - Θ_0) r_lin| + (2β̂ Lδ + L²δ²)|r_lin|,
    ½(W²)' ≤ sup_{x ≥ αW} (-x² + x q),           q = |q̂| + (|Ê| + ½Lδ)δ,
    A' = F1 + |Ê| N + (μ + LN)δ,

with μ ≥ |Σ r_lin,i H_i| and ν ≥ |D²f[·, J_0ᵀr_lin]| on the ball of radius δ around θ_lin. On an
interval of length h with the worst values of its ends,

    N₊ = min(e^{-a²h} max(N, P/2a) + (1 - e^{-a²h})(P/a + Q/a²),  √(N² + hP²/2) + hQ,
             e^{-a²h} N + (1 - e^{-a²h}) G/a²).

A guess of δ is inflated until the rules return less: then the true flow stays below it. At the end
Theorem 1 takes over. What the grid leaves out is L times the way of θ_lin between its points; the
grid is refined with the width, its first interval too, because the certified distances fall like
1/n and that way does not.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from widthwise.certify.certificate import Certificate, Hypothesis, refusal
from widthwise.certify.constants.ball import Bounds
from widthwise.certify.constants.shallow import ShallowBounds
from widthwise.certify.evaluation import SAFE, UNIT, Evaluation
from widthwise.certify.outward import up
from widthwise.certify.posterior.curve import gradient_error
from widthwise.certify.posterior.path import Path, shortest_path
from widthwise.certify.posterior.spectrum import LinearReference, Spectrum, kernel_margin

METHOD = "linear_reference"
_START = 1e-2  # first time at width 1000 and below, in units of 1/λ_max
_END = 24.0  # last time, in units of 1/α²
_RATIO = 0.04  # relative length of an interval at width 1000 and below
_LATE = 0.9  # part of the last time, from which any tail will do
_SETTLED = 0.002  # of the way of the linear flow, below which a tail adds little
_RELIABLE = 1e3  # λ_min must exceed its margin by this factor


class Grid(NamedTuple):
    """Times at which the network is evaluated, refined with its width.

    Args:
        first: the first of them.
        finest: relative length of an interval.
        last: where the tube ends, certified or not.
    """

    first: float
    finest: float
    last: float

    @classmethod
    def of(cls, at: Evaluation, largest: float, alpha: float) -> "Grid":
        """The grid for a network whose kernel has these λ_max and √λ_min."""
        width = min(block.weight.shape[1] for block in at.blocks[1:])
        finest = _RATIO * min(1.0, (1000 / width) ** 0.5)
        return cls(_START * finest / _RATIO / largest, finest, _END / alpha**2)

    def after(self, t: float) -> float:
        """The time after t."""
        if t == 0:
            return self.first
        return t + max(t * self.finest, min(self.first, t * _RATIO))

    def late(self, t: float) -> bool:
        """Whether it is time to be content with a long tail."""
        return t > _LATE * self.last


def settled(path: float, way: float) -> bool:
    """Whether the tail of this length adds little to the way of the linear flow."""
    return bool(path < _SETTLED * way)


class _Sizes(NamedTuple):
    """Bounds of the tube around the linear reference at one time."""

    residual: float = 0.0
    range: float = 0.0
    rest: float = 0.0
    distance: float = 0.0


@dataclass(frozen=True, eq=False)
class _Node:
    """The network at one point of the linear reference, compared with the start."""

    at: Evaluation
    bounds: Bounds
    square: np.ndarray
    forward: np.ndarray
    change: np.ndarray
    change_size: float
    sigma: float
    beta: float
    jacobian_size: float
    floor: float
    nonlinear: float

    @classmethod
    def of(cls, at: Evaluation, bounds: Bounds, start: Evaluation, nonlinear: float) -> "_Node":
        theta, cross = at.kernel, at.cross_kernel(start)
        square = theta - cross - cross.T + start.kernel
        here, there = kernel_margin(at), kernel_margin(start)
        floor = float(np.sqrt(2 * (here + there))) + at.rounding[1] + start.rounding[1]
        values = np.linalg.eigvalsh(theta)
        change = theta - start.kernel
        size = float(np.sqrt(max(np.linalg.eigvalsh(square)[-1], 0.0)))
        return cls(
            at,
            bounds,
            square,
            cross - start.kernel,
            change,
            float(np.abs(np.linalg.eigvalsh(change)).max()) + here + there,
            float(np.sqrt(max(values[0] - here, 0.0))),
            float(np.sqrt(values[-1] + here)) * SAFE,
            size + floor if at is not start else 0.0,
            floor if at is not start else 0.0,
            nonlinear,
        )


@dataclass(frozen=True, eq=False)
class _Interval:
    """What is known of the reference on one interval of time."""

    node: _Node
    length: float
    residual: np.ndarray
    size: float
    gradient: float
    turn: float
    turn_gradient: float
    way: float
    curvature: tuple[float, float] | None
    alpha: float
    nonlinear: float

    def advance(self, before: _Sizes, guess: float) -> tuple[_Sizes, float] | None:
        """Sizes at the end and the largest N; ``None`` where σ_min is lost."""
        node, R, g, way, h = self.node, self.size, self.gradient, self.way, self.length
        L = node.bounds.jacobian(way + guess)
        a = node.sigma - L * (way + guess)
        if not a > 0:
            return None
        E = node.jacobian_size + L * way
        seen = max(float(self.residual @ node.square @ self.residual), 0.0) ** 0.5
        first = seen + node.floor * R
        F1 = first + L * way * R + E * self.turn
        seen = float(np.linalg.norm(node.forward @ self.residual))
        second = seen + node.floor * node.beta * R
        F2 = second + L * way * g + E * self.turn_gradient
        mu, nu = self._curvatures(L, guess)
        P, Q = F1 + mu * guess, F2 + nu * guess
        N, highest = self._residual(before.residual, a, P, Q, L * (way + guess))
        q = self.nonlinear + (E + L * way) * way + (E + L * guess / 2) * guess
        W, widest = _range(before.range, self.alpha, q, h)
        A = (before.rest + h * (F1 + E * highest + guess * (mu + L * highest))) * SAFE
        after = _Sizes(N * SAFE, W * SAFE, A, (widest + A) * SAFE)
        return after, float(highest) * SAFE

    def _curvatures(self, L: float, guess: float) -> tuple[float, float]:
        mu, nu = L * self.size, L * self.gradient
        bounds = self.node.bounds
        if self.curvature is None or not isinstance(bounds, ShallowBounds):
            return mu, nu
        L3 = bounds.hessian(self.way + guess)
        drift = L3 * (self.way + guess / 2)
        here, along = self.curvature
        return (
            min(mu, here + L * self.turn + drift * self.size),
            min(nu, along + L * self.turn_gradient + drift * self.gradient),
        )

    def _residual(self, N: float, a: float, P: float, Q: float, moved: float):
        h, node, R = self.length, self.node, self.size
        decay = np.exp(-a * a * h)
        level = P / a + Q / a**2
        start = max(N, P / (2 * a))
        by_decay = decay * start + (1 - decay) * level
        by_growth = np.sqrt(N * N + h * P * P / 2) + h * Q
        force = np.linalg.norm(node.change @ self.residual) + node.change_size * self.turn
        if node.floor:
            force += node.floor**2 * R
        G = force + (2 * node.beta * moved + moved**2) * R
        by_force = min(decay * N + (1 - decay) * G / a**2, N + h * G)
        end = min(by_decay, by_growth, by_force)
        highest = min(by_growth, max(by_decay, start), N + h * G, max(N, G / a**2))
        return end, max(N, highest)


def _range(W: float, alpha: float, q: float, h: float) -> tuple[float, float]:
    """W at the end of an interval, and its largest value."""
    decay = np.exp(-alpha * alpha * h)
    start = max(W, q / (2 * alpha))
    by_decay, by_growth = decay * start + (1 - decay) * q / alpha, np.sqrt(W * W + h * q * q / 2)
    return min(by_decay, by_growth), max(W, min(max(start, q / alpha), by_growth))


class _Supremum:
    """What has been seen so far of N, |Θ - Θ_0| and δ."""

    def __init__(self):
        self.residual = self.kernel = self.distance = 0.0

    def see(self, highest: float, kernel: float, distance: float) -> None:
        self.residual = max(self.residual, highest)
        self.kernel = max(self.kernel, kernel)
        self.distance = max(self.distance, distance)


def certify_linear_reference(at: Evaluation, bounds: Bounds, spectrum: Spectrum) -> Certificate:
    """Theorem 2' from these parameters."""
    reliable = Hypothesis(
        "λ_min(Θ_0) above 1000 margins", float(spectrum.values[0]), ">", _RELIABLE * spectrum.margin
    )
    if not reliable.holds:
        reason = "the linear flow of Θ_0 cannot be computed reliably: its kernel is too singular"
        return refusal(METHOD, "flow", reason, reliable)
    return _Tube(at, bounds, spectrum).run(reliable)


class _Tube:
    def __init__(self, at: Evaluation, bounds: Bounds, spectrum: Spectrum):
        self.start, self.spectrum = at, spectrum
        self.reference = LinearReference(spectrum)
        self.grid = Grid.of(at, float(spectrum.values[-1]), spectrum.alpha)
        self.node = _Node.of(at, bounds, at, 0.0)
        self.gradient_error = gradient_error([at], spectrum.beta)
        self.sizes, self.seen, self.time, self.reached = _Sizes(), _Supremum(), 0.0, 0.0

    def run(self, reliable: Hypothesis) -> Certificate:
        alpha = self.spectrum.alpha
        while self.time < self.grid.last:
            stopped = self._step(self.grid.after(self.time))
            if stopped is not None:
                return refusal(METHOD, "flow", stopped, reliable, self._failed())
            made = self._finish(reliable) if self.time * alpha**2 > 1 else None
            if made is not None:
                return made
        reason = "the tube around the linear flow never became narrow enough for Theorem 1"
        return refusal(METHOD, "flow", reason, reliable, self._failed())

    def _failed(self) -> Hypothesis:
        reach = self.node.bounds.jacobian(self.reached) * self.reached * SAFE
        name = f"L δ below σ_min after time {self.time:.3g}"
        return Hypothesis(name, reach, "<", self.node.sigma)

    def _step(self, after: float) -> str | None:
        """Cross one interval; a sentence where that fails."""
        new = self._node_at(after)
        interval = self._interval(after, new.nonlinear)
        guess = max(self.sizes.distance, self.sizes.range + self.sizes.rest) * 1.001 + 1e-13
        for _ in range(100):
            self.reached = interval.way + guess
            made = interval.advance(self.sizes, guess)
            if made is None or not np.isfinite(made[0].distance):
                return "the tube around the linear flow reaches parameters with a singular kernel"
            if made[0].distance <= guess:
                break
            guess = made[0].distance * 1.002 + 1e-13
        else:
            return "the bound of the distance from the linear flow does not close"
        sizes, highest = made
        reach = self.node.bounds.jacobian(interval.way + guess) * (interval.way + guess) * SAFE
        kernel = new.change_size + 2 * new.beta * reach + reach**2
        self.seen.see(highest, kernel, guess)
        self.sizes = sizes._replace(distance=guess)
        self.node, self.time = new, after
        return None

    def _node_at(self, t: float) -> _Node:
        s, r = self.spectrum, self.reference
        at = self.start.moved(self.start.pull(r.preimage(t)))
        linear = r.residual(t) - s.residual
        measured = at.residual - self.start.residual - linear
        slack = at.rounding[0] + s.residual_error + 2 * r.residual_slack
        nonlinear = float(np.linalg.norm(measured)) + slack
        return _Node.of(at, self.node.bounds.moved(at), self.start, nonlinear)

    def _interval(self, after: float, nonlinear: float) -> _Interval:
        r, s, t = self.reference, self.spectrum, self.time
        now, then = r.residual(t), r.residual(after)
        turn = now - then
        square = float(turn @ self.start.kernel @ turn) + s.margin * float(turn @ turn)
        slack = 2 * r.residual_slack
        wander = 8 * UNIT * (self.start.norm + self.node.at.norm) + r.displacement_slack
        rounding = len(now) * 16 * UNIT * s.beta * s.size / s.smallest
        bounds, curvature = self.node.bounds, None
        if isinstance(bounds, ShallowBounds):
            direction = self.start.pull(now)
            curvature = (bounds.weighted_hessian(now)[1], bounds.hessian_along(direction))
        return _Interval(
            self.node,
            after - t,
            now,
            r.size(t),
            r.gradient(t),
            (float(np.linalg.norm(turn)) + slack) * SAFE,
            (float(np.sqrt(max(square, 0.0))) + s.beta * slack + self.gradient_error) * SAFE,
            r.displacement(after, t) + wander + rounding,
            curvature,
            s.alpha,
            nonlinear + s.beta * (wander + rounding),
        )

    def _finish(self, reliable: Hypothesis) -> Certificate | None:
        """Theorem 1 from here, once what it adds is small or time is up."""
        r, s, node, t = self.reference, self.spectrum, self.node, self.time
        delta = self.sizes.distance + r.displacement_slack + 8 * UNIT * self.start.norm
        left = node.sigma - node.bounds.jacobian(delta) * delta
        size = min(r.size(t) + self.sizes.residual, s.size)
        path = shortest_path(left, size, lambda S: node.bounds.jacobian(delta + S))
        if not np.isfinite(path.length):
            return None
        way = r.displacement(np.inf)
        short = settled(path.length, way) and size + r.size(t) <= self.seen.residual
        if not short and not self.grid.late(self.time):
            return None
        return self._certificate(reliable, delta, left, size, path)

    def _certificate(
        self, reliable: Hypothesis, delta: float, left: float, size: float, path: Path
    ) -> Certificate:
        r, node, t, sigma = self.reference, self.node, self.time, self.node.sigma
        change = path.lipschitz * path.length * SAFE
        beta = node.beta + node.bounds.jacobian(delta) * delta
        return Certificate(
            True,
            METHOD,
            "flow",
            "gradient flow stays near the linear flow of Θ_0 and converges to zero loss",
            (
                reliable,
                Hypothesis(
                    f"L δ below σ_min(J) at T = {t:.4g}, δ = {up(delta, 3)}",
                    sigma - left,
                    "<",
                    sigma,
                ),
                Hypothesis("2 L |r_T| below σ²", 2 * path.lipschitz * size, "<", left**2),
            ),
            rate=float(path.slack**2),
            since=float(t),
            movement=float(r.displacement(t) + delta + path.length),
            ntk_change=float(self.seen.kernel + 2 * beta * change + change**2),
            output_deviation=float(max(self.seen.residual, size + r.size(t))),
        )
