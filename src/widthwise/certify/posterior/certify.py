"""Certify that the training of one network converges: the methods, tried in order."""

from dataclasses import replace
from fractions import Fraction
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.certify.certificate import Certificate, Dynamics, Hypothesis, refusal
from widthwise.certify.constants.ball import bounds_at
from widthwise.certify.constants.kinks import piecewise, slopes
from widthwise.certify.constants.smoothness import smoothness
from widthwise.certify.evaluation import Evaluation, evaluate
from widthwise.certify.outward import down
from widthwise.certify.posterior.descent import certify_descent, certify_descent_trajectory
from widthwise.certify.posterior.flips import METHOD, certify_flips
from widthwise.certify.posterior.limit import limit_distance
from widthwise.certify.posterior.linear import certify_linear_reference
from widthwise.certify.posterior.path import certify_path
from widthwise.certify.posterior.spectrum import Spectrum
from widthwise.certify.posterior.textbook import certify_textbook
from widthwise.certify.posterior.tube import certify_trajectory
from widthwise.certify.relations import (
    TINIEST,
    closest_pair,
    from_below,
    groups_of,
    tied_sentence,
)
from widthwise.certify.rigorous.intervals import context
from widthwise.certify.rigorous.linear import linear_reference_in_intervals
from widthwise.certify.rigorous.network import Verified
from widthwise.certify.rigorous.theorems import (
    descent_in_intervals,
    in_intervals,
    iterate_in_intervals,
    path_in_intervals,
    positivity,
)
from widthwise.certify.rigorous.tube import trajectory_in_intervals
from widthwise.model.architecture import MLP, Parameters, require_network

Method: TypeAlias = Literal[
    "auto", "path", "linear_reference", "trajectory", "textbook", "sign_flips"
]
Arithmetic: TypeAlias = Literal["margins", "interval"]
METHODS: dict[str, tuple[str, ...]] = {
    "flow": ("path", "linear_reference", "trajectory"),
    "descent": ("path", "trajectory"),
}
BESIDES = {"flow": ("textbook", "sign_flips"), "descent": ()}
_NOT_IN_INTERVALS = (
    "not available: method {!r} is not built in interval arithmetic; take arithmetic='margins' or "
    "method='auto'"
)
_KINKS_NOT_IN_INTERVALS = (
    "not available: activations with a kink are not certified in interval arithmetic; take "
    "arithmetic='margins'"
)
_LATER, _FEW = 7, 16  # iterates of deep networks tried in intervals, the first beyond none
_FLOW = {
    "textbook": certify_textbook,
    "path": certify_path,
    "linear_reference": certify_linear_reference,
    "trajectory": certify_trajectory,
}


def certify(
    net: MLP,
    parameters: Parameters,
    x: ArrayLike,
    y: ArrayLike,
    method: Method = "auto",
    dynamics: Dynamics = "flow",
    step: float | None = None,
    arithmetic: Arithmetic = "margins",
) -> Certificate:
    """A proof, if one is found, that training from these parameters converges to zero loss.

    Gradient flow θ' = -Jᵀr or descent θ_{k+1} = θ_k - ηJᵀr of ½ Σ (f(x_a) - y_a)². Points of equal
    inputs (or tied otherwise, see :mod:`widthwise.certify.relations`) count as one point of their
    multiplicity if their labels agree.

    Args:
        net: the architecture, with a smooth activation of bounded φ' and φ''; or, for gradient flow
            of one hidden layer, one that is linear on either side of 0 (ReLU).
        parameters: one network's layers, as of :meth:`MLP.init`.
        x: train points (points, inputs).
        y: labels (points, outputs), or (points,) for one output.
        method: ``"path"`` (Theorem 1; Theorem 3 for descent), ``"linear_reference"`` (Theorem 2',
            flow only), ``"trajectory"`` (Theorem 4, one hidden layer; for descent the iterates,
            then Theorem 3), or ``"auto"``: these in turn, until one holds. ``"textbook"`` is there
            to be compared with. ``"sign_flips"`` (Theorem 2) is for activations with a kink, and
            what ``"auto"`` tries for them.
        dynamics: ``"flow"`` or ``"descent"``.
        step: η of descent; by default 1/λ_max(Θ_0).
        arithmetic: ``"margins"``: float64 with a-priori bounds of its rounding and of the
            eigenvalue solver, worst cases times a safety factor. ``"interval"``: eigenvalues,
            constants, the linear flow and hypotheses in outward-rounded intervals, for smooth
            activations and all methods but ``"textbook"``; without ``limit_deviation`` and
            ``largest_step``, and with a larger Lipschitz constant at depth ≥ 2. Needs mpmath
            (``pip install 'widthwise[interval]'``).

    Returns:
        :class:`Certificate`. If it does not hold, ``reason`` says why; that is no statement about
        what training does. For descent its ``from_start`` tells whether the theorem is about these
        parameters or about a later iterate as it was computed.

    Raises:
        ValueError: for arguments that do not fit, with what was received.

    Source: path-length and Hessian bounds in the line of Oymak and Soltanolkotabi (IEEE JSAIT
    2020) and Chizat, Oyallon and Bach (NeurIPS 2019), with the constants of this package.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww; from widthwise.certify import certify
        >>> net = ww.MLP(depth=1, activation="erf")
        >>> parameters = net.init(jax.random.key(0), width=256, inputs=2)
        >>> certify(net, parameters, [[1.0, 0.0], [0.0, 1.0]], [0.5, -0.5]).holds
        True
    """
    checks.require_x64()
    require_network(net)
    allowed = methods_of(method, dynamics)
    if step is not None and dynamics == "flow":
        raise ValueError(f"step belongs to dynamics='descent', got step={step!r} for the flow")
    if arithmetic not in ("margins", "interval"):
        raise ValueError(f"arithmetic must be 'margins' or 'interval', got {arithmetic!r}")
    if arithmetic == "interval":
        context()
    eta = None if step is None else checks.positive(step, "step")
    points = checks.points(x)
    labels = checks.targets(y, len(points), net.outputs)
    problem = without_ties(net, points, labels, dynamics)
    if isinstance(problem, Certificate):
        return problem
    try:
        smoothness(net.activation)
    except ValueError as missing:
        if slopes(net.activation) is None:
            return refusal("none", dynamics, str(missing))
        if arithmetic == "interval":
            return refusal("none", dynamics, _KINKS_NOT_IN_INTERVALS)
        return _kinked(net, parameters, problem, method, dynamics)
    if method == "sign_flips":
        reason = "for activations with a kink; this one is smooth: take method='auto'"
        return refusal(method, dynamics, reason)
    at = evaluate(net, parameters, *problem)
    if arithmetic == "interval":
        return _attempts_in_intervals(net, at, allowed, dynamics, eta)
    made = _attempts(net, at, allowed, dynamics, eta)
    return made if made.output_deviation is None else _against_limit(net, at, made)


def _kinked(
    net: MLP,
    parameters: Parameters,
    problem: tuple[np.ndarray, np.ndarray, np.ndarray],
    method: Method,
    dynamics: Dynamics,
) -> Certificate:
    """The certificate of a network whose activation has a kink at 0 and is linear beside it."""
    name = net.activation.name
    what = (
        f"activation {name!r} has a kink, so the Jacobian jumps where a preactivation changes sign"
    )
    if net.depth > 1 or dynamics == "descent" or method not in ("auto", METHOD):
        reason = (
            f"not available: {what}; only gradient flow of one hidden layer is certified, by "
            "method='auto' or 'sign_flips'; a smooth activation such as 'softplus' or 'gelu' has "
            "all methods"
        )
        return refusal("none", dynamics, reason)
    at = evaluate(net, parameters, *problem, bounds=piecewise(net.activation))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if not (np.isfinite(at.residual).all() and np.isfinite(at.kernel).all()):
            reason = "the outputs or gradients of this network overflow; scale its parameters down"
            return refusal("none", dynamics, reason)
        spectrum = Spectrum.of(at)
        if not spectrum.alpha > 0:
            return _singular(net, at, spectrum.positive, dynamics)
        made = certify_flips(at, spectrum)
        return made if made.output_deviation is None else _against_limit(net, at, made)


def methods_of(method: Method, dynamics: Dynamics) -> tuple[str, ...]:
    """The methods to try in turn.

    Raises:
        ValueError: for names that are not known, or do not go together.
    """
    if dynamics not in METHODS:
        raise ValueError(f"dynamics must be 'flow' or 'descent', got {dynamics!r}")
    tried = METHODS[dynamics]
    allowed = (*tried, *BESIDES[dynamics])
    if method not in ("auto", *allowed):
        raise ValueError(
            f"method must be 'auto', {', '.join(map(repr, allowed))} for dynamics={dynamics!r}, "
            f"got {method!r}"
        )
    return tried if method == "auto" else (method,)


def proven(
    net: MLP,
    parameters: Parameters,
    problem: tuple[np.ndarray, np.ndarray, np.ndarray],
    method: Method,
    dynamics: Dynamics,
) -> bool:
    """Whether :func:`certify` holds for training from these parameters themselves.

    Points, labels and roots are those of :func:`without_ties`.
    """
    at = evaluate(net, parameters, *problem)
    made = _attempts(net, at, methods_of(method, dynamics), dynamics, None)
    return made.holds and made.from_start


def _against_limit(net: MLP, at: Evaluation, made: Certificate) -> Certificate:
    """The certificate of a flow with its distance from the infinite-width flow, if known."""
    if made.dynamics != "flow" or made.output_deviation is None:
        return made
    between = limit_distance(net, at, Spectrum.of(at))
    if between is None:
        return made
    return replace(made, limit_deviation=made.output_deviation + between)


def _attempts(
    net: MLP, at: Evaluation, methods: tuple[str, ...], dynamics: Dynamics, step: float | None
) -> Certificate:
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if (overflow := _overflow(at, dynamics)) is not None:
            return overflow
        spectrum, bounds = Spectrum.of(at), bounds_at(at)
        eta = _default_step(at) if step is None else step
        if not spectrum.alpha > 0 and (dynamics == "flow" or methods == ("path",)):
            return _singular(net, at, spectrum.positive, dynamics)
        tried: list[Certificate] = []
        for method in methods:
            if dynamics == "flow":
                made = _FLOW[method](at, bounds, spectrum)
            elif method == "path":
                made = certify_descent(bounds, spectrum, eta)
            else:
                made = certify_descent_trajectory(at, bounds, eta)
            if made.holds:
                return made.after(tried)
            tried.append(made)
        return tried[-1].after(tried[:-1])


def _overflow(at: Evaluation, dynamics: Dynamics) -> Certificate | None:
    if np.isfinite(at.residual).all() and np.isfinite(at.kernel).all():
        return None
    reason = "the outputs or gradients of this network overflow; scale its parameters down"
    return refusal("none", dynamics, reason)


def _default_step(at: Evaluation) -> float:
    """1/λ_max(Θ_0)."""
    largest = float(np.linalg.eigvalsh(at.kernel)[-1])
    return 1 / largest if largest > 0 else 1.0


def _attempts_in_intervals(
    net: MLP, at: Evaluation, methods: tuple[str, ...], dynamics: Dynamics, step: float | None
) -> Certificate:
    """The methods in turn, those built for intervals; candidates are found with margins."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        network = Verified.of(at)
    missing = network.uncovered
    if missing is not None:
        reason = f"not available: {missing}; take arithmetic='margins'"
        return in_intervals(refusal("none", dynamics, reason))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if (overflow := _overflow(at, dynamics)) is not None:
            return overflow
        positive = positivity(network)
        if not positive.holds and (dynamics == "flow" or methods == ("path",)):
            return in_intervals(_singular(net, at, positive, dynamics))
        eta = _default_step(at) if step is None else step
        tried: list[Certificate] = []
        for method in methods:
            if method == "path" and dynamics == "flow":
                made = path_in_intervals(network)
            elif method == "path":
                made = descent_in_intervals(network, eta, "descent_path")
            elif dynamics == "descent":
                made = _iterate_in_intervals(at, eta)
            elif method == "linear_reference":
                made = linear_reference_in_intervals(network)
            elif method == "trajectory":
                made = trajectory_in_intervals(network)
            else:
                made = in_intervals(refusal(method, dynamics, _NOT_IN_INTERVALS.format(method)))
            if made.holds:
                return made.after(tried)
            tried.append(made)
        return tried[-1].after(tried[:-1])


def _iterate_in_intervals(at: Evaluation, step: float) -> Certificate:
    """Theorem 3 in intervals from the iterate at which it is found with margins, if one is.

    Deeper networks have a larger Lipschitz constant in intervals: later iterates are tried too.
    """
    found = certify_descent_trajectory(at, bounds_at(at), step)
    if found.holds:
        count, made = int(found.since), None
        for _ in range(_LATER if at.problem.depth > 1 else 1):
            made = iterate_in_intervals(at, step, count)
            if made.holds:
                break
            count = max(2 * count, _FEW)
        assert made is not None
        return made
    reason = f"the search in float64 found no iterate to check in intervals: {found.reason}"
    return replace(found, reason=reason)


def without_ties(net: MLP, x: np.ndarray, y: np.ndarray, dynamics: Dynamics):
    """Points, labels and roots of multiplicities, tied points merged; or a refusal."""
    groups = groups_of(net, x)
    losses = [group.exact_loss(y) for group in groups]
    if any(losses):
        worst = groups[max(range(len(groups)), key=losses.__getitem__)]
        reason = tied_sentence(net, x, worst, y)
        remedy = "remove one of them, give them one label, or give the network biases"
        total = from_below(sum(losses, Fraction(0)))
        bound = Hypothesis("least loss over all parameters", max(total, TINIEST), "<=", 0.0)
        refused = refusal("none", dynamics, f"{reason} ({down(total)} in all); {remedy}", bound)
        return replace(refused, least_loss=total)
    live = [group for group in groups if group.multiplicity]
    if not live:
        reason = "every input is zero, so the outputs are 0 for all parameters: nothing is trained"
        return refusal("none", dynamics, reason)
    first = [group.points[0] for group in live]
    roots: Float[np.ndarray, " points"] = np.sqrt([group.multiplicity for group in live])
    return x[first], y[first], roots


def _singular(net: MLP, at: Evaluation, positive: Hypothesis, dynamics: Dynamics) -> Certificate:
    """The refusal where Θ_0 is not certified positive, with the likeliest culprits."""
    x, rows = at.problem.x, at.problem.rows
    rank = sum(
        block.weight.size + (block.bias is not None) * len(block.weight) for block in at.blocks
    )
    pair = closest_pair(net, x)
    causes = []
    if rank < rows:
        causes.append(
            f"{rank} parameters cannot fit {rows} numbers at full rank; take more neurons"
        )
    if pair is not None:
        i, j, cosine = pair
        apart = float(np.linalg.norm(x[i] - x[j]))
        where = f"points {i} and {j}, |cosine| {cosine:.9g}, |x - x'| {apart:.3g}"
        causes.append(f"the closest pair is {where}")
    reason = "Θ_0 is not certified positive on these points"
    remedy = "a wider network, biases, or fewer near-equal points may do"
    text = "; ".join([reason, *causes, remedy])
    return refusal("none", dynamics, text, positive)
