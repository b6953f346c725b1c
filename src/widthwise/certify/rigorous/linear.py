r"""Theorem 2' with every number an interval.

The inequalities are those of :mod:`widthwise.certify.posterior.linear`; here every quantity on the
right of them is a float64 rounded outward from intervals, the linear flow is enclosed
(:mod:`.flow`), the matrices of the network along it have radii (:mod:`.displaced`). The Hessians of
one hidden layer have verified norms (:mod:`.curvature`); deeper, μ = L|r_lin| and ν = L|J_0ᵀr_lin|.
On each interval of time a guess of δ counts only if the step rules, evaluated in intervals, return
strictly less. θ_lin(t) itself is not a float64 vector: how far the evaluated one can be from it is
part of the way between the times.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from widthwise.certify.certificate import Certificate, Hypothesis, refusal
from widthwise.certify.outward import up
from widthwise.certify.posterior.linear import METHOD, Grid, settled
from widthwise.certify.rigorous.curvature import hessian_along, weighted_hessian
from widthwise.certify.rigorous.displaced import Displaced
from widthwise.certify.rigorous.eigenvalues import UNIT
from widthwise.certify.rigorous.flow import LinearFlow, Moment
from widthwise.certify.rigorous.intervals import (
    Interval,
    at_most,
    below,
    ceiling,
    context,
    exact,
    floor,
    gamma,
    least,
    lower,
    most,
    norm,
    root,
    upper,
)
from widthwise.certify.rigorous.network import Verified
from widthwise.certify.rigorous.tail import Tail, tail
from widthwise.certify.rigorous.theorems import ASSUMPTION, in_intervals, positivity

_GUESSES = 100
_TINY = 1e-13  # by which a guess is wider than its result


class _Sizes(NamedTuple):
    """Bounds of the tube around the linear reference at one time, N, W, A and δ."""

    residual: Interval
    range: Interval
    rest: Interval
    distance: Interval


class _Seen(NamedTuple):
    """Suprema so far of N and |Θ - Θ_0|."""

    residual: Interval
    kernel: Interval


@dataclass(frozen=True, eq=False)
class _Span:
    """What is known of the reference on one interval of time, from the network at its beginning."""

    node: Displaced
    length: Interval
    alpha: Interval
    size: Interval
    gradient: Interval
    turn: Interval
    turn_gradient: Interval
    way: Interval
    nonlinear: Interval
    first: Interval
    second: Interval
    force: Interval
    curvature: tuple[Interval, Interval]

    def advance(self, before: _Sizes, guess: Interval) -> tuple[_Sizes, Interval] | None:
        """Sizes at the end and the largest N; none where σ_min is lost."""
        node, R, way, h = self.node, self.size, self.way, self.length
        L = ceiling(node.network.lipschitz(way + guess))
        moved = ceiling(L * (way + guess))
        if not below(moved, node.sigma):
            return None
        a = floor(node.sigma - moved)
        E = ceiling(node.jacobian_size + L * way)
        F1 = ceiling(self.first + L * way * R + node.jacobian_size * self.turn)
        F2 = self.second + L * way * self.gradient + node.jacobian_size * self.turn_gradient
        mu, nu = self._curvatures(L, guess)
        P, Q = ceiling(F1 + mu * guess), ceiling(F2 + nu * guess)
        G = ceiling(self.force + (2 * node.beta * moved + moved**2) * R)
        N, highest = _residual(before.residual, a, P, Q, G, h)
        q = ceiling(self.nonlinear + E * way + (E + L * guess / 2) * guess)
        W, widest = _range(before.range, self.alpha, q, h)
        A = ceiling(before.rest + h * (F1 + E * highest + guess * (mu + L * highest)))
        return _Sizes(N, W, A, ceiling(widest + A)), highest

    def _curvatures(self, L: Interval, guess: Interval) -> tuple[Interval, Interval]:
        mu, nu = L * self.size, L * self.gradient
        L3 = self.node.network.hessian(self.way + guess)
        if L3 is None:
            return ceiling(mu), ceiling(nu)
        drift = L3 * (self.way + guess / 2)
        here, along = self.curvature
        return (
            least(mu, here + L * self.turn + drift * self.size),
            least(nu, along + L * self.turn_gradient + drift * self.gradient),
        )


def _residual(
    N: Interval, a: Interval, P: Interval, Q: Interval, G: Interval, h: Interval
) -> tuple[Interval, Interval]:
    """N at the end of an interval, and its largest value."""
    decay = context().exp(-(a**2) * h)
    start = most(N, P / (2 * a))
    by_decay = decay * start + (1 - decay) * (P / a + Q / a**2)
    by_growth = root(N**2 + h * P**2 / 2) + h * Q
    straight, level = N + h * G, G / a**2
    end = least(by_decay, by_growth, decay * N + (1 - decay) * level, straight)
    highest = least(by_growth, most(by_decay, start), straight, most(N, level))
    return end, most(N, highest)


def _range(W: Interval, alpha: Interval, q: Interval, h: Interval) -> tuple[Interval, Interval]:
    """W at the end of an interval, and its largest value."""
    decay = context().exp(-(alpha**2) * h)
    start = most(W, q / (2 * alpha))
    by_decay = decay * start + (1 - decay) * q / alpha
    by_growth = root(W**2 + h * q**2 / 2)
    return least(by_decay, by_growth), most(W, least(most(start, q / alpha), by_growth))


def linear_reference_in_intervals(network: Verified) -> Certificate:
    """Theorem 2' from these parameters."""
    positive = positivity(network)
    if not positive.holds:
        reason = "in interval arithmetic the kernel of the start is not certified positive"
        return in_intervals(refusal(METHOD, "flow", reason, positive))
    flow = LinearFlow(network)
    if not flow.settles:
        reason = "the linear flow of Θ_0 is not enclosed: its kernel is too singular"
        return in_intervals(refusal(METHOD, "flow", reason, positive))
    return _Tube(network, flow, positive).run()


class _Tube:
    def __init__(self, network: Verified, flow: LinearFlow, positive: Hypothesis):
        self.start, self.flow, self.positive = network, flow, positive
        self.alpha, self.beta = floor(network.alpha), ceiling(network.beta)
        zero = exact(0.0)
        self.moment = flow.at(0.0)
        self.node = Displaced(network, network, zero, zero)
        self.sizes, self.seen = _Sizes(zero, zero, zero, zero), _Seen(zero, zero)
        self.reached = zero

    def run(self) -> Certificate:
        alpha = lower(self.alpha)
        grid = Grid.of(self.start.at, float(upper(self.beta)) ** 2, alpha)
        while self.moment.time < grid.last:
            stopped = self._step(grid.after(self.moment.time))
            if stopped is not None:
                return self._refused(stopped)
            if self.moment.time * alpha**2 > 1:
                made = self._finish(grid.late(self.moment.time))
                if made is not None:
                    return made
        return self._refused("the tube around the linear flow never became narrow enough")

    def _refused(self, why: str) -> Certificate:
        reached, node = self.reached, self.node
        reach = ceiling(node.network.lipschitz(reached) * reached)
        name = f"L δ below σ_min after time {self.moment.time:.3g}"
        held = Hypothesis(name, upper(reach), "<", lower(node.sigma))
        reason = f"in interval arithmetic, {why}; a wider network or smaller labels may do"
        return in_intervals(refusal(METHOD, "flow", reason, self.positive, held))

    def _step(self, after: float) -> str | None:
        """Cross one interval of time; a sentence where that fails."""
        then = self.flow.at(after)
        new = self._displaced(then)
        span = self._span(then, new)
        guess = self.sizes.distance
        for _ in range(_GUESSES):
            guess = exact(upper(guess) * 1.002 + _TINY)
            self.reached = ceiling(span.way + guess)
            made = span.advance(self.sizes, guess)
            if made is None or not np.isfinite(upper(made[0].distance)):
                return "the tube around the linear flow reaches parameters with a singular kernel"
            if below(made[0].distance, guess):
                break
            guess = made[0].distance
        else:
            return "the bound of the distance from the linear flow does not close"
        sizes, highest = made
        radius = span.way + guess
        reach = ceiling(self.node.network.lipschitz(radius) * radius)
        kernel = new.change_size + 2 * new.beta * reach + reach**2
        self.seen = _Seen(most(self.seen.residual, highest), most(self.seen.kernel, kernel))
        self.sizes = sizes._replace(distance=guess)
        self.node, self.moment = new, then
        return None

    def _displaced(self, moment: Moment) -> Displaced:
        """The network near θ_lin(t), and how near."""
        start, v = self.start, moment.preimage
        at = start.at.moved(start.at.pull(v))
        distance = ceiling(
            self.beta * moment.preimage_error
            + self._pulled_error(v)
            + exact(2 * UNIT) * ceiling(exact(at.norm * (1 + 1e-9)))
        )
        network = start.moved(at)
        measured = norm(at.residual - moment.residual) * (1 + exact(2 * UNIT))
        nonlinear = measured + exact(at.rounding[0]) + moment.error + self.beta * distance
        return Displaced(network, start, distance, ceiling(nonlinear))

    def _pulled_error(self, v: np.ndarray) -> Interval:
        """How far the computed J_0ᵀv can be from the exact one."""
        start = self.start
        products = gamma(2 * start.at.problem.rows + 8) * root(start.trace)
        return ceiling((start.jacobian_error + products) * norm(v))

    def _span(self, then: Moment, new: Displaced) -> _Span:
        now, node = self.moment, self.node
        turn, turn_gradient = self.flow.turn(now, then)
        way = ceiling(self.flow.way(now, then) + node.distance + new.distance)
        r, lost = now.residual, now.error
        mu, nu = self._curvatures(r, lost)
        return _Span(
            node,
            exact(then.time) - exact(now.time),
            self.alpha,
            now.size,
            now.gradient,
            turn,
            turn_gradient,
            way,
            least(node.nonlinear, new.nonlinear),
            ceiling(node.jacobian_change(r) + node.jacobian_size * lost),
            ceiling(node.forward_change(r) + node.jacobian_size * self.beta * lost),
            ceiling(node.kernel_change(r) + node.change_size * (turn + lost)),
            (mu, nu),
        )

    def _curvatures(self, r: np.ndarray, lost: Interval) -> tuple[Interval, Interval]:
        """|Σ r_lin,i H_i| and |D²f[·, J_0ᵀr_lin]| at the network here."""
        now, node, start = self.moment, self.node, self.start
        L = node.network.lipschitz(exact(0.0))
        mu, nu = L * now.size, L * now.gradient
        if start.deep is not None:
            return ceiling(mu), ceiling(nu)
        weighted = weighted_hessian(node.network, r)
        if weighted is not None:
            mu = least(mu, weighted.largest + L * lost)
        along = hessian_along(node.network.at, start.at.pull(r))
        return ceiling(mu), least(nu, along + L * (self.beta * lost + self._pulled_error(r)))

    def _finish(self, late: bool) -> Certificate | None:
        """Theorem 1 from here, once what it adds is small or time is up."""
        node, now = self.node, self.moment
        delta = ceiling(self.sizes.distance + node.distance)
        change = ceiling(node.network.lipschitz(delta) * delta)
        if not below(change, node.sigma):
            return None
        left = floor(node.sigma - change)
        size = least(now.size + self.sizes.residual, self.start.residual)
        last = tail(left, size, lambda S: node.network.lipschitz(delta + S))
        if last is None:
            return None
        way = upper(self.flow.displacement())
        short = settled(upper(last.length), way) and at_most(size + now.size, self.seen.residual)
        if not short and not late:
            return None
        return self._certificate(delta, change, size, last)

    def _certificate(
        self, delta: Interval, change: Interval, size: Interval, last: Tail
    ) -> Certificate:
        node, now = self.node, self.moment
        beta = node.beta + change
        kernel = self.seen.kernel + 2 * beta * last.change + last.change**2
        movement = self.flow.displacement(now) + delta + last.length
        name = f"L δ below σ_min(J) at T = {now.time:.4g}, δ = {up(upper(delta), 3)}"
        return Certificate(
            True,
            METHOD,
            "flow",
            "gradient flow stays near the linear flow of Θ_0 and converges to zero loss",
            (
                self.positive,
                Hypothesis(name, upper(change), "<", lower(node.sigma)),
                last.condition,
            ),
            rate=last.rate,
            since=now.time,
            movement=upper(movement),
            ntk_change=upper(kernel),
            output_deviation=upper(most(self.seen.residual, size + now.size)),
            assumption=ASSUMPTION,
        )
