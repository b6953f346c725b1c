r"""Theorem 4 with every number an interval: a validated tube around gradient flow.

The curve, its arcs and how they are cut into panels are those of
:mod:`widthwise.certify.posterior.tube`: sizes of differences of float64 parameters and gradients,
with the bounds of their rounding. What is concluded from them is evaluated in intervals: with
constants that hold around a panel, sums over its arcs, s the length of an arc in time,

    ∫|d| ≤ |δg| Σ s + min(Σ s³|d''|/12, Σ s²|d'|/4),

    ε₊ ≤ (ε + ∫|d|) e^{(μ + L²e²/16) Σ s},     e an upper bound of ε₊ itself, strictly.

The distance from the linear flow is measured at every fourth point. From one of them on it grows
by |Θ_t - Θ_0||r_t| per time at most, because the semigroup of Θ_0 contracts:

    (r - r_lin)' = -Θ_0 (r - r_lin) - (Θ_t - Θ_0) r.
"""

from dataclasses import dataclass

import numpy as np

from widthwise.certify.certificate import Certificate, Hypothesis, refusal
from widthwise.certify.constants.shallow import ShallowBounds
from widthwise.certify.evaluation import Evaluation
from widthwise.certify.outward import up
from widthwise.certify.posterior.curve import (
    Arc,
    Around,
    Node,
    gradient_error,
    node,
    residual_error,
)
from widthwise.certify.posterior.spectrum import Spectrum
from widthwise.certify.posterior.tube import (
    CHECK,
    END,
    EXTRA,
    METHOD,
    PANELS,
    SETTLED,
    TOLERANCES,
    UNAVAILABLE,
    Unfollowed,
    first_pace,
    laid,
    next_pace,
)
from widthwise.certify.rigorous.curvature import weighted_hessian
from widthwise.certify.rigorous.displaced import Displaced
from widthwise.certify.rigorous.flow import LinearFlow
from widthwise.certify.rigorous.intervals import (
    Interval,
    below,
    ceiling,
    context,
    exact,
    floor,
    least,
    lower,
    most,
    norm,
    upper,
)
from widthwise.certify.rigorous.network import Verified
from widthwise.certify.rigorous.tail import Tail, tail
from widthwise.certify.rigorous.theorems import ASSUMPTION, in_intervals, positivity

_GUESSES = 60
_EVERY = 4  # points between two distances from the linear flow
_EXPONENT = 600.0  # of the growth over a panel, beyond which nothing is bounded


@dataclass(frozen=True)
class _Start:
    """What the tube is compared with."""

    network: Verified
    bounds: ShallowBounds
    flow: LinearFlow

    def displaced(self, at: Evaluation) -> Displaced:
        """Another network against the start."""
        zero = exact(0.0)
        return Displaced(self.network.moved(at), self.network, zero, zero)


@dataclass(frozen=True)
class _Tube:
    """The tube at one time, and what has been bounded along it."""

    node: Node
    time: Interval
    width: Interval
    reached: Interval
    kernel: Interval
    deviation: Interval
    panels: int = 0

    @property
    def clock(self) -> str:
        """The time, to be read."""
        return f"{max(lower(self.time), 0.0):.3g}"


@dataclass(frozen=True)
class _Panel:
    """Points of the curve and the arcs between them, with bounds that hold around all of them."""

    nodes: tuple[Node, ...]
    arcs: tuple[Arc, ...]
    around: Around
    width: Interval


def trajectory_in_intervals(network: Verified) -> Certificate:
    """Theorem 4 from these parameters."""
    if network.deep is not None:
        return in_intervals(refusal(METHOD, "flow", UNAVAILABLE))
    positive = positivity(network)
    flow = LinearFlow(network) if positive.holds else None
    if flow is None or not flow.settles:
        reason = "in interval arithmetic the kernel of the start is not certified positive"
        return in_intervals(refusal(METHOD, "flow", reason, positive))
    start = _Start(network, ShallowBounds(network.at), flow)
    made = refusal(METHOD, "flow", "no step was tried")
    for tolerance in TOLERANCES:
        made = _follow(start, tolerance)
        if made.holds:
            break
    return in_intervals(made)


def _follow(start: _Start, tolerance: float) -> Certificate:
    """The tube with arcs of one accuracy."""
    zero = exact(0.0)
    tube = _Tube(node(start.network.at), zero, zero, zero, zero, zero)
    current, alpha = Spectrum.of(start.network.at), lower(start.network.alpha)
    pace, made, extra = first_pace(tube.node, start.bounds, current, tolerance), None, 0
    try:
        for _ in range(PANELS):
            left, size, last = _tail(start, tube)
            if last is not None:
                made, extra = _certificate(start, tube, left, size, last), extra + 1
                if last.rate > (SETTLED * lower(left)) ** 2 or extra > EXTRA:
                    return made
            if upper(tube.time) * alpha**2 > END:
                raise Unfollowed(f"no tail is certified until time {tube.clock}")
            bounds, width = start.bounds.moved(tube.node.at), upper(tube.width)
            panel = _validated(start, tube, *laid(tube.node, width, bounds, current, pace))
            tube, current = _moved(start, tube, panel), Spectrum.of(panel.nodes[-1].at)
            pace = next_pace(panel.arcs[-1], panel.around, pace, tolerance)
        raise Unfollowed(f"{PANELS} panels reach time {tube.clock} only, no tail is certified")
    except Unfollowed as failed:
        if made is not None:
            return made
        here = start.displaced(tube.node.at)
        reach = ceiling(here.network.lipschitz(tube.width) * tube.width)
        held = Hypothesis("L ε below σ_min(J)", upper(reach), "<", lower(here.sigma))
        size = float(np.linalg.norm(tube.node.at.residual))
        reason = (
            f"in interval arithmetic {failed}; |r| is then about {size:.3g}; a wider network may do"
        )
        return refusal(METHOD, "flow", reason, held)


def _tail(start: _Start, tube: _Tube) -> tuple[Interval, Interval, Tail | None]:
    """Theorem 1 for every point of the tube."""
    here, width = start.displaced(tube.node.at), tube.width
    change = ceiling(here.network.lipschitz(width) * width)
    size = ceiling(here.network.residual + (here.beta + change) * width)
    if not below(change, here.sigma):
        return exact(0.0), size, None
    left = floor(here.sigma - change)
    return left, size, tail(left, size, lambda S: here.network.lipschitz(width + S))


def _validated(
    start: _Start, tube: _Tube, nodes: tuple[Node, ...], arcs: tuple[Arc, ...], centre: Evaluation
) -> _Panel:
    network, points = start.network.moved(centre), [one.at for one in nodes]
    half = exact(max(arc.length for arc in arcs)) / 2
    radius = ceiling(exact(max(at.distance(centre) for at in points)) + half)
    extremes = weighted_hessian(network, centre.residual)
    if extremes is None:
        raise Unfollowed(f"the Hessian is not bounded at time {tube.clock}")
    errors = exact(residual_error(points))
    largest = most(*(norm(at.residual) for at in points))
    turned = most(*(norm(at.residual - centre.residual) for at in points))
    sums, guess = _Sums.of(arcs), exact(upper(tube.width) * 1.2 + 1e-300)
    for _ in range(_GUESSES):
        L, L3 = network.lipschitz(radius + guess), network.hessian(radius + guess)
        beta = ceiling(network.beta + L * radius)
        R = ceiling(largest + 2 * errors + beta * half)
        turn = ceiling(turned * (1 + exact(2.0**-52)) + 2 * errors + beta * half)
        mu = bent = L * R
        if L3 is not None:
            change = L * turn + L3 * R * (radius + guess)
            mu, bent = least(mu, extremes.negative + change), least(bent, extremes.largest + change)
        around = Around(
            upper(L),
            np.inf if L3 is None else upper(L3),
            upper(beta),
            upper(R),
            upper(bent),
            gradient_error(points, upper(beta)),
        )
        growth = ceiling((mu + L**2 * guess**2 / 16) * sums.time)
        if not upper(growth) < _EXPONENT:
            break
        wider = ceiling((tube.width + sums.defect(around)) * context().exp(growth))
        if below(wider, guess):
            return _Panel(nodes, arcs, around, wider)
        guess = exact(upper(wider) * 1.05 + 1e-300)
        if not np.isfinite(upper(guess)):
            break
    raise Unfollowed(f"the distance from the computed curve is not bounded at time {tube.clock}")


@dataclass(frozen=True)
class _Sums:
    """Sums over the arcs of a panel: s, s²|p''|, s²|p'|, s³|p'''|, s³|p'|², s³|p''|."""

    time: Interval
    bend: Interval
    speed: Interval
    twist: Interval
    square: Interval
    straight: Interval

    @classmethod
    def of(cls, arcs: tuple[Arc, ...]) -> "_Sums":
        made = [exact(0.0)] * 6
        for arc in arcs:
            s, speed, bend = exact(arc.duration), exact(arc.speed), exact(arc.bend)
            terms = (
                s,
                s**2 * bend,
                s**2 * speed,
                s**3 * exact(arc.twist),
                s**3 * speed**2,
                s**3 * bend,
            )
            made = [a + b for a, b in zip(made, terms, strict=True)]
        return cls(*map(ceiling, made))

    def defect(self, around: Around) -> Interval:
        """Bound of the sum of ∫|d| over the arcs."""
        beta, L, R = exact(around.beta), exact(around.lipschitz), exact(around.residual)
        stiff = beta**2 + exact(around.curvature)
        inside = (self.bend + stiff * self.speed) / 4
        if np.isfinite(around.third):
            bent = 3 * beta * L + exact(around.third) * R
            second = self.twist + bent * self.square + stiff * self.straight
            inside = least(inside, second / 12)
        return ceiling(exact(around.rounding) * self.time + inside)


def _moved(start: _Start, tube: _Tube, panel: _Panel) -> _Tube:
    """The tube after a panel, with the bounds that hold during it."""
    origin = start.network.at
    farthest = max(one.at.distance(origin) for one in panel.nodes)
    half = exact(max(arc.length for arc in panel.arcs)) / 2
    times = [tube.time]
    for arc in panel.arcs:
        times.append(times[-1] + exact(arc.duration))
    kernel = _kernel_change(start, panel)
    return _Tube(
        panel.nodes[-1],
        times[-1],
        panel.width,
        most(tube.reached, exact(farthest) + half + panel.width),
        most(tube.kernel, kernel),
        most(tube.deviation, _deviation(start, times, panel, kernel)),
        tube.panels + 1,
    )


def _kernel_change(start: _Start, panel: _Panel) -> Interval:
    """Bound of |Θ - Θ_0| in the tube over a panel: at some points, and between them by L."""
    checked, way, longest = [panel.nodes[0].at], exact(0.0), exact(0.0)
    for arc, end in zip(panel.arcs, panel.nodes[1:], strict=True):
        way = way + exact(arc.length)
        longest = most(longest, way)
        if upper(way) > CHECK:
            checked.append(end.at)
            way = exact(0.0)
    checked.append(panel.nodes[-1].at)
    change = exact(panel.around.lipschitz) * (longest / 2 + panel.width)
    gap = most(*(start.displaced(at).change_size for at in checked))
    return ceiling(gap + 2 * exact(panel.around.beta) * change + change**2)


def _deviation(start: _Start, times: list[Interval], panel: _Panel, kernel: Interval) -> Interval:
    """Bound of |f_t - f_lin,t| in the tube over a panel.

    The linear flow is evaluated at a float64 next to the time, |r_lin'| ≤ |J_0|²|r_0|.
    """
    around, width = panel.around, panel.width
    beta, L = exact(around.beta), exact(around.lipschitz)
    apart = (beta + L * width) * width
    drift = kernel * (exact(around.residual) + apart)
    speed, largest = start.network.beta**2 * start.network.residual, exact(0.0)
    for i in range(0, len(panel.arcs), _EVERY):
        at, moment = panel.nodes[i].at, start.flow.at(upper(times[i]))
        seen = norm(at.residual - moment.residual) * (1 + exact(2.0**-52))
        seen = seen + moment.error + exact(at.rounding[0]) + apart
        seen = seen + speed * (exact(moment.time) - times[i])
        until = times[min(i + _EVERY, len(panel.arcs))]
        largest = most(largest, seen + drift * (until - times[i]))
    return largest


def _certificate(
    start: _Start, tube: _Tube, left: Interval, size: Interval, last: Tail
) -> Certificate:
    here, width = start.displaced(tube.node.at), tube.width
    at, origin = tube.node.at, start.network.at
    movement = exact(at.distance(origin)) + width + last.length
    change = ceiling(here.network.lipschitz(width + last.length) * (width + last.length))
    kernel = here.change_size + 2 * here.beta * change + change**2
    since, linear = 0.0, start.network.residual
    if tube.panels:
        since, linear = upper(tube.time), start.flow.at(lower(tube.time)).size
    reached = ceiling(here.network.lipschitz(width) * width)
    return Certificate(
        True,
        METHOD,
        "flow",
        f"gradient flow stays in a validated tube ({tube.panels} panels, width "
        f"{up(upper(width), 2)}) and converges to zero loss",
        (
            positivity(start.network),
            Hypothesis("L ε below σ_min(J) at T", upper(reached), "<", lower(here.sigma)),
            last.condition,
        ),
        rate=last.rate,
        since=since,
        movement=upper(most(tube.reached, movement)),
        ntk_change=upper(most(tube.kernel, kernel)),
        output_deviation=upper(most(tube.deviation, size + linear)),
        assumption=ASSUMPTION,
    )
