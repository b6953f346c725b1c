r"""Theorems 1 and 3 with every number an interval.

The candidates S and ρ̄ are found in float64; what counts is that the hypotheses

    α S - ½ L(S) S² ≥ |r_0|,   L(S) S < α                                              (Theorem 1)

    c = 1 - ηβ̄²/2 > 0,   disc = (cα)² - 2L|r_0| > 0,   S ≥ 2|r_0|/(cα + √disc),
    ηβ̄|r_0| < 2√disc/L,   ρ̄ ≥ S + ηβ̄|r_0|,   LS < α,   L = L(ρ̄), β̄ = β + Lρ̄           (Theorem 3)

hold for all members of the intervals. The conclusions are those of
:mod:`widthwise.certify.posterior.path` and :mod:`widthwise.certify.posterior.descent`.
"""

from dataclasses import replace

import numpy as np

from widthwise.certify.certificate import Certificate, Dynamics, Hypothesis, refusal
from widthwise.certify.evaluation import SAFE, Evaluation
from widthwise.certify.posterior.path import shortest_path
from widthwise.certify.rigorous.eigenvalues import UNIT, largest_eigenvalue
from widthwise.certify.rigorous.intervals import (
    Interval,
    at_most,
    below,
    context,
    exact,
    lower,
    norm,
    root,
    upper,
)
from widthwise.certify.rigorous.network import Verified

ASSUMPTION = (
    "outward-rounded intervals for matrices and scalars; the network in float64 with a-priori "
    "error bounds, the activation within 64 units of rounding"
)


def in_intervals(made: Certificate) -> Certificate:
    """The same certificate, as one whose hypotheses were checked in intervals."""
    return replace(made, assumption=ASSUMPTION)


def path_in_intervals(network: Verified) -> Certificate:
    """Theorem 1 from these parameters."""
    alpha, beta, size = network.alpha, network.beta, network.residual
    positive = positivity(network)
    if not positive.holds:
        return _refused("path", "flow", positive)
    found = shortest_path(lower(alpha), upper(size), network.lipschitz_above)
    if not np.isfinite(found.length):
        condition = Hypothesis(
            "2 L |r_0| below α²", 2 * found.lipschitz * upper(size), "<", lower(alpha) ** 2
        )
        return _refused("path", "flow", positive, condition)
    S = exact(found.length * SAFE)
    L = network.lipschitz(S)
    reach, change = alpha * S - L * S**2 / 2, L * S
    hypotheses = (
        positive,
        Hypothesis("|r_0| at most α S - ½ L S²", upper(size), "<=", lower(reach)),
        Hypothesis("L S below α", upper(change), "<", lower(alpha)),
    )
    if not (at_most(size, reach) and below(change, alpha)):
        return _refused("path", "flow", *hypotheses)
    rate = (alpha - change) ** 2
    kernel = 2 * beta * change + change**2
    deviation = kernel * size / (context().e * rate)
    return Certificate(
        True,
        "path",
        "flow",
        "gradient flow converges to zero loss along a path of bounded length",
        hypotheses,
        rate=max(lower(rate), 0.0),
        movement=upper(S),
        ntk_change=upper(kernel),
        output_deviation=min(upper(deviation), upper(2 * size)),
        assumption=ASSUMPTION,
    )


def descent_in_intervals(network: Verified, step: float, method: str) -> Certificate:
    """Theorem 3 from these parameters."""
    alpha, beta, size = network.alpha, network.beta, network.residual
    positive = positivity(network)
    if not positive.holds:
        return _refused(method, "descent", positive, step=step)
    found = _candidate(network, step)
    if found is None:
        remedy = "a wider network, smaller labels or another step may do"
        reason = f"no path length satisfies Theorem 3 at step {step:.4g}; {remedy}"
        return in_intervals(refusal(method, "descent", reason, positive, step=step))
    S, ball = (exact(value) for value in found)
    L, eta = network.lipschitz(ball), exact(step)
    bound = beta + L * ball
    c = 1 - eta * bound**2 / 2
    disc = (c * alpha) ** 2 - 2 * L * size
    rooted = root(disc)
    needed = 2 * size / (c * alpha + rooted) if below(exact(0.0), c) else context().mpf("inf")
    jump, change = eta * bound * size, L * S
    hypotheses = (
        positive,
        Hypothesis("η β̄² below 2", upper(eta * bound**2), "<", 2.0),
        Hypothesis("2 L |r_0| below (cα)²", upper(2 * L * size), "<", lower((c * alpha) ** 2)),
        Hypothesis("2|r_0|/(cα + √disc) at most S", upper(needed), "<=", lower(S)),
        Hypothesis("η β̄ |r_0| below 2√disc/L", upper(jump), "<", lower(2 * rooted / L)),
        Hypothesis("S + η β̄ |r_0| at most ρ̄", upper(S + jump), "<=", lower(ball)),
        Hypothesis("L S below α", upper(change), "<", lower(alpha)),
    )
    if not all(hypothesis.holds for hypothesis in hypotheses):
        return _refused(method, "descent", *hypotheses, step=step)
    left = alpha - change
    kernel = 2 * beta * change + change**2
    return Certificate(
        True,
        method,
        "descent",
        "gradient descent converges to zero loss along a path of bounded length",
        hypotheses,
        rate=max(lower(eta * left * rooted), 0.0),
        movement=upper(S),
        ntk_change=upper(kernel),
        output_deviation=upper(_deviation(eta, left, bound, kernel, change, size)),
        step=step,
        assumption=ASSUMPTION,
    )


def iterate_in_intervals(start: Evaluation, step: float, count: int) -> Certificate:
    """Theorem 3 from the float64 iterate of this number."""
    at = start
    for _ in range(count):
        at = at.moved(at.pull(step * at.residual))
    made = descent_in_intervals(Verified.of(at), step, "descent_trajectory")
    if not made.holds:
        return replace(made, reason=f"at the float64 iterate {count}: {made.reason}")
    assert made.movement is not None
    assert made.ntk_change is not None
    here, there = Verified.of(start), Verified.of(at)
    gap = at.kernel - start.kernel
    moved = max(largest_eigenvalue(gap), largest_eigenvalue(-gap))
    apart = (
        exact(moved)
        + exact(UNIT) * norm(gap)
        + here.kernel_radius
        + there.kernel_radius
        + exact(made.ntk_change)
    )
    return replace(
        made,
        reason=f"exact gradient descent from the float64 iterate {count} converges to zero loss",
        since=float(count),
        from_start=count == 0,
        movement=upper(exact(start.distance(at)) + exact(made.movement)),
        ntk_change=upper(apart),
        ntk_since=float(count),
        output_deviation=None,
    )


def positivity(network: Verified) -> Hypothesis:
    """That the kernel is certified positive."""
    smallest, radius = network.smallest, network.kernel_radius
    return Hypothesis(
        "verified λ_min(Θ_0) above its error", lower(smallest + radius.b), ">", upper(radius)
    )


def _candidate(network: Verified, step: float) -> tuple[float, float] | None:
    """S and ρ̄ of Theorem 3 in float64, grown until they return less than they are."""
    alpha, beta, size = lower(network.alpha), upper(network.beta), upper(network.residual)
    length = ball = size / alpha
    for _ in range(400):
        L = network.lipschitz_above(ball)
        bound = beta + L * ball
        c = 1 - step * bound**2 / 2
        disc = (c * alpha) ** 2 - 2 * L * size
        if not (c > 0 and disc > 0):
            return None
        needed = 2 * size / (c * alpha + disc**0.5) * SAFE
        reach = (max(needed, length) + step * bound * size) * SAFE
        if needed <= length and reach <= ball:
            return length, ball
        length, ball = max(length, needed * (1 + 1e-6)), max(ball, reach * (1 + 1e-6))
    return None


def _deviation(
    eta: Interval,
    left: Interval,
    bound: Interval,
    kernel: Interval,
    change: Interval,
    size: Interval,
) -> Interval:
    iv = context()
    slow, fast = 1 - eta * left**2, eta * bound**2 - 1
    slowest = iv.mpf([max(slow.a, fast.a), max(slow.b, fast.b)])
    drift = eta * kernel * size / (1 - slowest) + change * eta * bound * size / 2
    twice = 2 * size
    return drift if below(drift, twice) else twice


def _refused(
    method: str, dynamics: Dynamics, *hypotheses: Hypothesis, step: float | None = None
) -> Certificate:
    failing = next((h.name for h in hypotheses if not h.holds), "a comparison of intervals")
    reason = (
        f"in interval arithmetic the hypothesis '{failing}' is not certain; a wider network, "
        "smaller labels or another method may do"
    )
    return in_intervals(refusal(method, dynamics, reason, *hypotheses, step=step))
