r"""Theorem 4: a validated tube around gradient flow, one hidden layer.

Let p be a curve from θ_0 with defect d = p' + g(p) (:mod:`widthwise.certify.posterior.curve`).
Two points θ, p with residuals r, r* and δ = θ - p satisfy, with H̄ the mean Hessian between them,

    δ·(g(θ) - g(p)) = (Jδ)·(J̄δ) + δᵀ(Σ r*_i H̄_i)δ ≥ -L²|δ|⁴/16 + δᵀ(Σ r*_i H̄_i)δ,

so that the distance ε ≥ |θ_t - p(t)| of gradient flow from the curve obeys

    ε' ≤ (μ + L²ε²/16) ε + |d|,   μ ≥ max_k -λ_min of the blocks of Σ r_i H_i near the curve.

The curve is cut into panels, each of many arcs (up to 128). There is one eigenvalue decomposition
of the blocks per panel, in its middle, and the arcs far outnumber the panels. The eigenvalues are
carried to the rest of the panel by |Σ (r*_i - r_i) H_i| ≤ L|r* - r| and by the Lipschitz constant
L3 of the Hessian. The kernel need not be positive on the way. As soon as Theorem 1 holds for every
point of the tube, with a = σ_min(J(p)) - Lε and |r| ≤ |r(p)| + (β + Lε)ε, the tail converges to
zero loss.

The defect is of second order in the length of the arcs of which a panel consists, and ε only has to
stay below σ_min/L. Coarse arcs are tried first.
"""

from dataclasses import dataclass

import numpy as np

from widthwise.certify.certificate import Certificate, Hypothesis, refusal
from widthwise.certify.constants.shallow import ShallowBounds
from widthwise.certify.evaluation import SAFE, UNIT, Evaluation
from widthwise.certify.outward import up
from widthwise.certify.posterior.curve import (
    Arc,
    Around,
    Node,
    advance,
    defect,
    gradient_error,
    node,
    residual_error,
    second_derivative,
)
from widthwise.certify.posterior.path import Path, shortest_path
from widthwise.certify.posterior.spectrum import LinearReference, Spectrum, kernel_margin

METHOD = "trajectory"
TOLERANCES = (1e-3, 1e-5, 1e-7)
"""Defects relative to the gradient, tried in turn."""
_GROWTH = 0.05  # of the exponent of ε over a panel, by what is not known between its points
_ARCS = 128  # in a panel at most
PANELS = 500
_NUMBERS = 5e6  # that the points of a panel may hold, per array
_STABLE = 1.5  # longest arc, in units of 1/λ_max
_ROUNDING = 16  # an arc moves the parameters by at least so many units of their rounding
_WIDE = 1e40  # a defect that no panel survives
CHECK = 0.01  # length between two kernels that are compared with Θ_0
SETTLED = 0.9  # the tail's rate is a^2 with a at least this part of σ_min, or no better is found
EXTRA = 40  # in so many panels
END = 60.0  # last time, in units of 1/α_0²
UNAVAILABLE = (
    "not available: the flow tube needs a Lipschitz constant of the Hessian, known here for one "
    "hidden layer only; the linear reference and gradient descent are certified at any depth"
)


@dataclass(frozen=True)
class _Tube:
    """The tube at one time, and what has been bounded along it."""

    node: Node
    time: float = 0.0
    width: float = 0.0
    reached: float = 0.0
    kernel: float = 0.0
    deviation: float = 0.0
    panels: int = 0


@dataclass(frozen=True)
class _Panel:
    """Points of the curve and the arcs between them, with constants around all of them."""

    nodes: tuple[Node, ...]
    arcs: tuple[Arc, ...]
    centre: Evaluation
    radius: float
    around: Around
    growth: float
    width: float

    @property
    def duration(self) -> float:
        return sum(arc.duration for arc in self.arcs)


@dataclass(frozen=True)
class _Start:
    """What the tube is compared with."""

    at: Evaluation
    bounds: ShallowBounds
    spectrum: Spectrum
    linear: LinearReference


class Unfollowed(Exception):
    """The tube cannot be continued, for the reason given."""


def certify_trajectory(at: Evaluation, bounds: object, spectrum: Spectrum) -> Certificate:
    """Theorem 4 from these parameters."""
    if not isinstance(bounds, ShallowBounds):
        return refusal(METHOD, "flow", UNAVAILABLE)
    if not spectrum.alpha > 0:
        reason = "the kernel at the start is not certified positive"
        return refusal(METHOD, "flow", reason, spectrum.positive)
    start = _Start(at, bounds, spectrum, LinearReference(spectrum))
    made = refusal(METHOD, "flow", "no step was tried")
    for tolerance in TOLERANCES:
        made = _follow(start, tolerance)
        if made.holds:
            break
    return made


def _follow(start: _Start, tolerance: float) -> Certificate:
    """The tube with arcs of one accuracy."""
    tube, current = _Tube(node(start.at)), start.spectrum
    made, extra = None, 0
    pace = first_pace(tube.node, start.bounds, current, tolerance)
    try:
        for _ in range(PANELS):
            left, size, path = _tail(start, tube, current)
            if np.isfinite(path.length):
                made, extra = _certificate(start, tube, current, left, size, path), extra + 1
                if path.slack > SETTLED * left or extra > EXTRA:
                    return made
            if tube.time * start.spectrum.alpha**2 > END:
                raise Unfollowed(f"no tail is certified until time {tube.time:.3g}")
            bounds = start.bounds.moved(tube.node.at)
            panel = _validated(start, tube, *laid(tube.node, tube.width, bounds, current, pace))
            tube, current = _moved(start, tube, panel), Spectrum.of(panel.nodes[-1].at)
            pace = next_pace(panel.arcs[-1], panel.around, pace, tolerance)
        raise Unfollowed(f"{PANELS} panels reach time {tube.time:.3g} only, no tail is certified")
    except Unfollowed as failed:
        if made is not None:
            return made
        bounds = start.bounds.moved(tube.node.at)
        reach = bounds.jacobian(tube.width) * tube.width
        held = Hypothesis("L ε below σ_min(J)", reach, "<", current.alpha)
        size = float(np.linalg.norm(tube.node.at.residual))
        remedy = f"{failed}; |r| is then about {size:.3g}; a wider network may do"
        return refusal(METHOD, "flow", remedy, held)


def _tail(start: _Start, tube: _Tube, spectrum: Spectrum) -> tuple[float, float, Path]:
    """Theorem 1 for every point of the tube."""
    width, bounds = tube.width, start.bounds.moved(tube.node.at)
    change = bounds.jacobian(width) * width
    left = (spectrum.alpha - change) / SAFE
    size = (spectrum.size + (spectrum.beta + change) * width) * SAFE
    if width and not change < spectrum.beta:
        raise Unfollowed(f"the tube is wider than |J|/L at time {tube.time:.3g}")
    return left, size, shortest_path(left, size, lambda S: bounds.jacobian(width + S))


def first_pace(first: Node, bounds: ShallowBounds, s: Spectrum, tolerance: float) -> float:
    """The length of the first arcs."""
    L, L3 = bounds.jacobian(0.1), bounds.hessian(0.1)
    third = L3 if np.isfinite(L3) else 0.0
    bent = (3 * s.beta * L + third * s.size) * first.size + s.beta**4
    return float(min((12 * tolerance / bent) ** 0.5, _STABLE / s.beta**2))


def next_pace(last: Arc, around: Around, pace: float, tolerance: float) -> float:
    """The length of the arcs after this one."""
    second = second_derivative(last, around)
    if np.isfinite(second):
        wanted = (12 * tolerance * last.speed / second) ** 0.5
    else:
        slope = last.bend + (around.beta**2 + around.curvature) * last.speed
        wanted = 4 * tolerance * last.speed / slope
    return float(min(wanted, 2 * pace, _STABLE / around.beta**2))


def laid(
    first: Node, width: float, bounds: ShallowBounds, spectrum: Spectrum, pace: float
) -> tuple[tuple[Node, ...], tuple[Arc, ...], Evaluation]:
    """The points and arcs of a panel that begins here, and the network in its middle."""
    L, L3 = bounds.jacobian(width), bounds.hessian(width)
    drift = L * spectrum.beta + (L3 if np.isfinite(L3) else L) * spectrum.size
    limit = min(_ARCS, _NUMBERS / first.at.backward[1][0].size)
    if pace * first.size < _ROUNDING * UNIT * first.at.norm:
        raise Unfollowed("arcs of this accuracy are as short as the rounding of parameters")
    nodes, arcs, way, time = [first], [], 0.0, 0.0
    while len(arcs) < 2 or (len(arcs) < limit and time * way * drift < 2 * _GROWTH):
        end, arc = advance(nodes[-1], pace)
        nodes.append(end)
        arcs.append(arc)
        way, time = way + arc.length, time + arc.duration
    lengths = np.cumsum([arc.length for arc in arcs])
    centre = nodes[1 + int(np.searchsorted(lengths, lengths[-1] / 2))].at
    return tuple(nodes), tuple(arcs), centre


def _validated(
    start: _Start, tube: _Tube, nodes: tuple[Node, ...], arcs: tuple[Arc, ...], centre: Evaluation
) -> _Panel:
    s, bounds = Spectrum.of(centre), start.bounds.moved(centre)
    longest = max(arc.length for arc in arcs)
    radius = (max(node.at.distance(centre) for node in nodes) + longest / 2) * SAFE
    negative, largest = bounds.weighted_hessian(s.residual)
    points = [node.at for node in nodes]
    errors = s.residual_error + residual_error(points)
    sizes = [float(np.linalg.norm(node.at.residual)) for node in nodes]
    turns = [float(np.linalg.norm(node.at.residual - s.residual)) for node in nodes]
    e1 = tube.width * 1.2 + 1e-300
    for _ in range(60):
        L, L3 = bounds.jacobian(radius + e1), bounds.hessian(radius + e1)
        beta = (s.beta + L * radius) * SAFE
        R = (max(sizes) + 2 * errors + beta * longest / 2) * SAFE
        turn = (max(turns) + 2 * errors + beta * longest / 2) * SAFE
        change = L * turn + L3 * R * (radius + e1)
        mu = min(max(negative + change, 0.0), L * R)
        rounding = gradient_error(points, beta)
        around = Around(L, L3, beta, R, min(largest + change, L * R), rounding)
        growth = (mu + L**2 * e1**2 / 16) * sum(arc.duration for arc in arcs)
        grown = sum(defect(arc, around) for arc in arcs)
        if not grown < _WIDE or growth > 600:
            break
        wider = (tube.width + grown) * np.exp(growth) * SAFE
        if wider <= e1:
            return _Panel(nodes, arcs, centre, radius, around, growth, float(wider))
        e1 = wider * 1.05 + 1e-300
    raise Unfollowed(f"the distance from the computed curve is not bounded at time {tube.time:.3g}")


def _moved(start: _Start, tube: _Tube, panel: _Panel) -> _Tube:
    """The tube after a panel, with the bounds that hold during it."""
    width = panel.width
    reach = max(node.at.distance(start.at) for node in panel.nodes)
    reach += max(arc.length for arc in panel.arcs) / 2 + width
    kernel = _kernel_change(start, panel)
    after = tube.time + panel.duration
    return _Tube(
        panel.nodes[-1],
        after,
        width,
        max(tube.reached, reach * SAFE),
        max(tube.kernel, kernel),
        max(tube.deviation, _deviation(start, tube.time, panel, kernel)),
        tube.panels + 1,
    )


def _kernel_change(start: _Start, panel: _Panel) -> float:
    """Bound of |Θ - Θ_0| in the tube over a panel: at some points, and between them by L."""
    checked, gaps = [panel.nodes[0].at], [0.0]
    for arc, end in zip(panel.arcs, panel.nodes[1:], strict=True):
        gaps[-1] += arc.length
        if gaps[-1] > CHECK:
            checked.append(end.at)
            gaps.append(0.0)
    checked.append(panel.nodes[-1].at)
    change = panel.around.lipschitz * (max(gaps) / 2 + panel.width)
    margin = max(kernel_margin(at) for at in checked) + start.spectrum.margin
    gap = max(_spectral(at.kernel - start.at.kernel) for at in checked)
    return float(gap + 2 * margin + 2 * panel.around.beta * change + change**2) * SAFE


def _spectral(matrix: np.ndarray) -> float:
    return float(np.abs(np.linalg.eigvalsh(matrix)).max())


def _deviation(start: _Start, time: float, panel: _Panel, kernel: float) -> float:
    """Bound of |f_t - f_lin,t| in the tube over a panel.

    Along the curve (r - r_lin)' = -Θr + Θ_0 r_lin + Jd, and the tube adds (β + Lε)ε.
    """
    linear, around, s0 = start.linear, panel.around, start.spectrum
    times = time + np.cumsum([0.0, *(arc.duration for arc in panel.arcs)])
    apart = [
        float(np.linalg.norm(node.at.residual - linear.residual(t)))
        for node, t in zip(panel.nodes, times, strict=True)
    ]
    errors = 2 * (s0.residual_error + linear.residual_slack)
    errors += 2 * residual_error([node.at for node in panel.nodes])
    largest = 0.0
    for i, arc in enumerate(panel.arcs):
        ends, half = max(apart[i], apart[i + 1]) + errors, arc.duration / 2
        lost = half * (kernel * around.residual + around.beta * defect(arc, around) / half)
        near = 1 - half * s0.beta**2
        within = (ends + lost) / near if near > 0 else np.inf
        wander = ends + around.beta * arc.length / 2 + half * linear.size(times[i]) * s0.beta**2
        largest = max(largest, min(within, wander))
    change = around.lipschitz * (panel.radius + panel.width)
    return (largest + (around.beta + change) * panel.width) * SAFE


def _certificate(
    start: _Start, tube: _Tube, s: Spectrum, left: float, size: float, path: Path
) -> Certificate:
    here = tube.node.at.distance(start.at) + tube.width + path.length
    change = path.lipschitz * (tube.width + path.length)
    gap = _spectral(tube.node.at.kernel - start.at.kernel)
    kernel = gap + s.margin + start.spectrum.margin + 2 * s.beta * change + change**2
    return Certificate(
        True,
        METHOD,
        "flow",
        f"gradient flow stays in a validated tube ({tube.panels} panels, width "
        f"{up(tube.width, 2)}) and converges to zero loss",
        (
            Hypothesis("L ε below σ_min(J) at T", s.alpha - left, "<", s.alpha),
            Hypothesis("2 L |r_T| below σ²", 2 * path.lipschitz * size, "<", left**2),
        ),
        rate=float(path.slack**2),
        since=float(tube.time),
        movement=float(max(tube.reached, here)) * SAFE,
        ntk_change=float(max(tube.kernel, kernel)) * SAFE,
        output_deviation=float(max(tube.deviation, size + start.linear.size(tube.time))) * SAFE,
    )
