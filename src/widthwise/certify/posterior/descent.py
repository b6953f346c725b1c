r"""Theorem 3: gradient descent with step η, from the parameters themselves or from a later iterate.

On the ball |θ - θ_0| ≤ ρ̄ let |J| ≤ β̄ and J be L-Lipschitz, and c = 1 - ηβ̄²/2 > 0. If
(cα)² > 2L|r_0|, then with disc = (cα)² - 2L|r_0|,

    S = 2|r_0|/(cα + √disc),   ηβ̄|r_0| < 2√disc/L,   ρ̄ ≥ S + ηβ̄|r_0|

imply Σ|θ_{k+1} - θ_k| ≤ S and |r_{k+1}| ≤ (1 - η(α - LS)√disc)|r_k| for all k, because
|r_{k+1}| ≤ |r_k| - c(α - LS_k)s_k + ½Ls_k² telescopes. With ℓ = LS, κ = 2βℓ + ℓ², a = α - ℓ and
p = max(1 - ηa², ηβ̄² - 1) < 1, the iterates stay near the linear descent of Θ_0:

    |f_k - f_lin,k| ≤ ηκ|r_0|/(1 - p) + ½ L S ηβ̄|r_0|.

The trajectory form runs gradient descent in float64 until the theorem holds at an iterate, for
every point within the distance ε at which exact descent from θ_0 can be from it
(:mod:`widthwise.certify.posterior.rounding`): α - Lε in place of α, |r| + (β + Lε)ε in place of
|r|. Where no such ε is known, ε = 0 and what is proven is that exact descent started at the iterate
converges: ``from_start`` is then false.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from widthwise.certify.certificate import Certificate, Hypothesis, refusal
from widthwise.certify.constants.ball import Bounds
from widthwise.certify.evaluation import SAFE, Evaluation
from widthwise.certify.outward import down, up
from widthwise.certify.posterior.rounding import widened
from widthwise.certify.posterior.spectrum import Spectrum

_PATIENCE = 20_000  # steps, after which the residual must be on its way to where the theorem holds
_ITERATES = 200_000
_EVERY = 50
_SETTLED = 0.9  # √disc at least this part of cα, or no better iterate
_EXTRA = 500  # in so many steps
_DIVERGED = 100.0  # times the initial residual


class Contraction(NamedTuple):
    """Theorem 3 at one iterate; ``length`` is infinite where it does not hold.

    Args:
        length: S.
        lipschitz: L on the ball where the search ended.
        beta: β̄ there.
        damping: c there.
        root: √disc, 0 where disc is not positive.
    """

    length: float
    lipschitz: float
    beta: float
    damping: float
    root: float


class Start(NamedTuple):
    """Numbers of Theorem 3 that hold for every point within ε of some parameters."""

    alpha: float
    beta: float
    size: float
    bounds: Bounds
    width: float

    @classmethod
    def of(cls, spectrum: Spectrum, bounds: Bounds, width: float = 0.0) -> "Start":
        """The numbers around the parameters of a spectrum."""
        if width == 0:
            return cls(spectrum.alpha, spectrum.beta, spectrum.size, bounds, 0.0)
        change = bounds.jacobian(width) * width * SAFE
        beta = (spectrum.beta + change) * SAFE
        size = (spectrum.size + beta * width) * SAFE
        return cls((spectrum.alpha - change) / SAFE, beta, size, bounds, width)

    def lipschitz(self, radius: float) -> float:
        """L on the ball of this radius around each of the points."""
        return self.bounds.jacobian(self.width + radius)


def contraction(start: Start, step: float) -> Contraction:
    """The smallest S of Theorem 3 found by growing the ball from |r_0|/α."""
    alpha, size = start.alpha, start.size
    if not alpha > 0:
        return Contraction(np.inf, np.inf, start.beta, np.nan, 0.0)
    length, ball = size / alpha * SAFE, 0.0
    while True:
        ball, L, beta = _ball(start, step, length, ball)
        c = 1 - step * beta * beta * SAFE / 2
        disc = (c * alpha) ** 2 - 2 * L * size * SAFE if c > 0 else -1.0
        if not (disc > 0 and np.isfinite(ball)):
            return Contraction(np.inf, L, beta, c, 0.0)
        root = disc**0.5
        needed = 2 * size / (c * alpha + root) * SAFE
        if needed <= length:
            jump = step * beta * size * SAFE < 2 * root / L and alpha - L * length > 0
            return Contraction(length if jump else np.inf, L, beta, c, root)
        length = needed * (1 + 1e-6)


def _ball(start: Start, step: float, length: float, least: float) -> tuple[float, float, float]:
    """ρ̄ ≥ S + ηβ̄|r_0| with L and β̄ on it, grown from ``least``; infinite where none is found."""
    ball = max((length + step * start.beta * start.size) * SAFE, least)
    L, beta = np.inf, start.beta
    for _ in range(50):
        L = start.lipschitz(ball)
        beta = (start.beta + L * ball) * SAFE
        if step * beta * beta >= 2:  # beta**2 would raise where it overflows
            break
        needed = (length + step * beta * start.size) * SAFE
        if needed <= ball:
            return ball, L, beta
        ball = needed * (1 + 1e-6)
    return np.inf, L, beta


def largest_step(start: Start) -> float | None:
    """The largest step Theorem 3 certifies, to three digits from below; ``None`` if none does."""
    low, high = 0.0, 2 / start.beta**2
    for _ in range(12):
        middle = (low + high) / 2
        holds = np.isfinite(contraction(start, middle).length)
        low, high = (middle, high) if holds else (low, middle)
    return low or None


def certify_descent(
    bounds: Bounds,
    spectrum: Spectrum,
    step: float,
    method: str = "descent_path",
    width: float = 0.0,
) -> Certificate:
    """Theorem 3 from these parameters, or from every point within ``width`` of them."""
    start = Start.of(spectrum, bounds, width)
    alpha, size = start.alpha, start.size
    made = contraction(start, step)
    c, L = made.damping, made.lipschitz
    hypotheses = (
        spectrum.positive,
        Hypothesis("η β̄² below 2", step * made.beta * made.beta, "<", 2.0),
        Hypothesis("2 L |r_0| below (cα)²", 2 * L * size, "<", (max(c, 0.0) * alpha) ** 2),
        Hypothesis("η β̄ |r_0| below 2√disc/L", step * made.beta * size, "<", 2 * made.root / L),
    )
    largest = largest_step(start)
    if not np.isfinite(made.length):
        found = f"steps up to {down(largest, 4)} are certified; take one of them" if largest else ""
        remedy = found or "no step is; a wider network or smaller labels may do"
        failing = next((h.name for h in hypotheses if not h.holds), "σ_min on the path above 0")
        reason = f"the hypothesis '{failing}' is missing at step {step:.4g}: {remedy}"
        return refusal(method, "descent", reason, *hypotheses, step=step)
    change = L * made.length * SAFE
    left = alpha - change
    kernel = 2 * start.beta * change + change**2
    slowest = max(1 - step * left**2, step * made.beta**2 - 1)
    drift = step * kernel * size / (1 - slowest) + change * step * made.beta * size / 2
    return Certificate(
        True,
        method,
        "descent",
        "gradient descent converges to zero loss along a path of bounded length",
        hypotheses,
        rate=float(step * left * made.root),
        movement=float(made.length),
        ntk_change=float(kernel) * SAFE,
        output_deviation=float(min(drift * SAFE, 2 * size)),
        step=step,
        largest_step=largest,
    )


def iterates(at: Evaluation, step: float) -> Iterator[Evaluation]:
    """The iterates of gradient descent in float64, the start first."""
    while True:
        yield at
        at = at.moved(at.pull(step * at.residual))


def certify_descent_trajectory(at: Evaluation, bounds: Bounds, step: float) -> Certificate:
    """Theorem 3 from the first iterate, of those looked at, where it holds."""
    method, first = "descent_trajectory", float(np.linalg.norm(at.residual))
    current, size, made, last = at, first, None, 0
    stretch, here, width, reached, sizes = [], bounds, 0.0, 0.0, []
    for k, current in zip(range(_ITERATES + 1), iterates(at, step), strict=False):
        size = float(np.linalg.norm(current.residual))
        if not size <= _DIVERGED * first:
            reason = f"the residual grew {_DIVERGED:g}-fold in {k} steps of {step:.4g}; halve it"
            return refusal(method, "descent", reason, step=step)
        stretch.append(current)
        reached = max(reached, current.distance(at))
        if k % _EVERY and k > 2:
            continue
        if len(stretch) > 1:
            width = widened(width, stretch, here, step)
        spectrum, here, stretch = Spectrum.of(current), here.moved(current), [current]
        known = width if np.isfinite(width) else 0.0
        found = contraction(Start.of(spectrum, here, known), step)
        if np.isfinite(found.length):
            last = k + _EXTRA if made is None else last
            made = current, here, spectrum, k, width, reached
            if k >= last or found.root > _SETTLED * found.damping * spectrum.alpha:
                break
        sizes.append(size)
        needed = (found.damping * spectrum.alpha) ** 2 / (2 * found.lipschitz)
        if made is None and k >= _PATIENCE and not _in_reach(k, sizes, needed):
            break
    if made is not None:
        current, here, spectrum, k, width, reached = made
        known = width if np.isfinite(width) else 0.0
        tail = certify_descent(here, spectrum, step, method, known)
        return _from_iterate(at, here, tail, k, width, reached)
    reason = (
        f"after {k} steps the residual is {size / first:.3g} of the first and Theorem 3 "
        "does not hold yet; a wider network or a larger step may do"
    )
    return refusal(method, "descent", reason, Spectrum.of(current).positive, step=step)


def _in_reach(k: int, sizes: list[float], needed: float) -> bool:
    """Whether the residual, as it fell over the last quarter of the steps, gets there in time."""
    lookback = len(sizes) // 4
    watched = [sizes[-1 - lookback], sizes[-1], needed]
    before, now, end = np.log(np.maximum(watched, np.finfo(float).tiny))
    fall = (before - now) / (_EVERY * lookback)
    return bool(fall > 0 and (now - end) / fall < _ITERATES - k)


def _from_iterate(
    start: Evaluation, bounds: Bounds, tail: Certificate, k: int, width: float, reached: float
) -> Certificate:
    """What holds from iterate ``k`` on, with what the way there and the tube around it add."""
    assert tail.movement is not None
    assert tail.ntk_change is not None
    at = bounds.at
    here, there = Spectrum.of(start), Spectrum.of(at)
    moved = float(np.abs(np.linalg.eigvalsh(at.kernel - start.kernel)).max())
    from_start = bool(np.isfinite(width))
    if from_start:
        reason = (
            f"exact gradient descent stays within {up(width, 2)} of the float64 iterates until "
            f"number {k} and converges to zero loss"
        )
    else:
        width = 0.0
        reason = (
            f"exact gradient descent from the float64 iterate {k} converges to zero loss; from the "
            "start, rounding may grow too much to follow it"
        )
    change = bounds.jacobian(width) * width
    moved += 2 * there.beta * change + change**2
    return Certificate(
        True,
        tail.method,
        "descent",
        reason,
        tail.hypotheses,
        rate=tail.rate,
        since=float(k),
        from_start=from_start,
        movement=max(reached, start.distance(at) + tail.movement) + width,
        ntk_change=(moved + here.margin + there.margin + tail.ntk_change) * SAFE,
        ntk_since=float(k),
        step=tail.step,
        largest_step=tail.largest_step,
    )
