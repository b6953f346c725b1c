r"""Theorem 3: gradient descent with step η, from the parameters themselves or from a later iterate.

On the ball |θ - θ_0| ≤ ρ̄ let |J| ≤ β̄ and J be L-Lipschitz, and c = 1 - ηβ̄²/2 > 0. If
(cα)² > 2L|r_0|, then with disc = (cα)² - 2L|r_0|,

    S = 2|r_0|/(cα + √disc),   ηβ̄|r_0| < 2√disc/L,   ρ̄ ≥ S + ηβ̄|r_0|

imply Σ|θ_{k+1} - θ_k| ≤ S and |r_{k+1}| ≤ (1 - η(α - LS)√disc)|r_k| for all k, because
|r_{k+1}| ≤ |r_k| - c(α - LS_k)s_k + ½Ls_k² telescopes. With ℓ = LS, κ = 2βℓ + ℓ², a = α - ℓ and
p = max(1 - ηa², ηβ̄² - 1) < 1, the iterates stay near the linear descent of Θ_0:

    |f_k - f_lin,k| ≤ ηκ|r_0|/(1 - p) + ½ L S ηβ̄|r_0|.

The trajectory form runs gradient descent in float64 until the theorem holds at an iterate: what is
proven is that exact gradient descent started there converges.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from widthwise.certify.certificate import Certificate, Hypothesis, refusal
from widthwise.certify.constants.ball import Bounds
from widthwise.certify.evaluation import SAFE, Evaluation
from widthwise.certify.posterior.spectrum import Spectrum

_ITERATES = 20_000
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


def contraction(spectrum: Spectrum, bounds: Bounds, step: float) -> Contraction:
    """The smallest S of Theorem 3 found by growing the ball from |r_0|/α."""
    alpha, size = spectrum.alpha, spectrum.size
    if not alpha > 0:
        return Contraction(np.inf, np.inf, spectrum.beta, np.nan, 0.0)
    length = size / alpha * SAFE
    while True:
        ball, L, beta = _ball(spectrum, bounds, step, length)
        c = 1 - step * beta**2 * SAFE / 2
        disc = (c * alpha) ** 2 - 2 * L * size * SAFE if c > 0 else -1.0
        if not (disc > 0 and np.isfinite(ball)):
            return Contraction(np.inf, L, beta, c, 0.0)
        root = disc**0.5
        needed = 2 * size / (c * alpha + root) * SAFE
        if needed <= length:
            jump = step * beta * size * SAFE < 2 * root / L and alpha - L * length > 0
            return Contraction(length if jump else np.inf, L, beta, c, root)
        length = needed * (1 + 1e-6)


def _ball(
    spectrum: Spectrum, bounds: Bounds, step: float, length: float
) -> tuple[float, float, float]:
    """ρ̄ ≥ S + ηβ̄|r_0| with L and β̄ on it; ρ̄ is infinite where none is found."""
    ball = (length + step * spectrum.beta * spectrum.size) * SAFE
    L, beta = np.inf, spectrum.beta
    for _ in range(50):
        L = bounds.jacobian(ball)
        beta = (spectrum.beta + L * ball) * SAFE
        if step * beta**2 >= 2:
            break
        needed = (length + step * beta * spectrum.size) * SAFE
        if needed <= ball:
            return ball, L, beta
        ball = needed * (1 + 1e-6)
    return np.inf, L, beta


def largest_step(spectrum: Spectrum, bounds: Bounds) -> float | None:
    """The largest step Theorem 3 certifies, to three digits from below; ``None`` if none does."""
    low, high = 0.0, 2 / spectrum.beta**2
    for _ in range(12):
        middle = (low + high) / 2
        holds = np.isfinite(contraction(spectrum, bounds, middle).length)
        low, high = (middle, high) if holds else (low, middle)
    return low or None


def certify_descent(
    bounds: Bounds, spectrum: Spectrum, step: float, method: str = "descent_path"
) -> Certificate:
    """Theorem 3 from these parameters."""
    alpha, size = spectrum.alpha, spectrum.size
    made = contraction(spectrum, bounds, step)
    c, L = made.damping, made.lipschitz
    hypotheses = (
        spectrum.positive,
        Hypothesis("η β̄² below 2", step * made.beta**2, "<", 2.0),
        Hypothesis("2 L |r_0| below (cα)²", 2 * L * size, "<", (max(c, 0.0) * alpha) ** 2),
        Hypothesis("η β̄ |r_0| below 2√disc/L", step * made.beta * size, "<", 2 * made.root / L),
    )
    largest = largest_step(spectrum, bounds)
    if not np.isfinite(made.length):
        found = f"steps up to {largest:.4g} are certified; take one of them" if largest else ""
        remedy = found or "no step is; a wider network or smaller labels may do"
        failing = next((h.name for h in hypotheses if not h.holds), "σ_min on the path above 0")
        reason = f"the hypothesis '{failing}' is missing at step {step:.4g}: {remedy}"
        return refusal(method, "descent", reason, *hypotheses, step=step)
    change = L * made.length * SAFE
    left = alpha - change
    kernel = 2 * spectrum.beta * change + change**2
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
    for k, current in zip(range(_ITERATES + 1), iterates(at, step), strict=False):
        size = float(np.linalg.norm(current.residual))
        if not size <= _DIVERGED * first:
            reason = f"the residual grew {_DIVERGED:g}-fold in {k} steps of {step:.4g}; halve it"
            return refusal(method, "descent", reason, step=step)
        if k % _EVERY and k > 2:
            continue
        spectrum, here = Spectrum.of(current), bounds.moved(current)
        found = contraction(spectrum, here, step)
        if np.isfinite(found.length):
            last = k + _EXTRA if made is None else last
            made = current, here, spectrum, k
            if k >= last or found.root > _SETTLED * found.damping * spectrum.alpha:
                break
    if made is not None:
        current, here, spectrum, k = made
        return _from_iterate(at, current, certify_descent(here, spectrum, step, method), k)
    reason = (
        f"after {_ITERATES} steps the residual is {size / first:.3g} of the first and Theorem 3 "
        "does not hold yet; a wider network or a larger step may do"
    )
    return refusal(method, "descent", reason, Spectrum.of(current).positive, step=step)


def _from_iterate(start: Evaluation, at: Evaluation, tail: Certificate, k: int) -> Certificate:
    assert tail.movement is not None
    assert tail.ntk_change is not None
    here, there = Spectrum.of(start), Spectrum.of(at)
    moved = float(np.abs(np.linalg.eigvalsh(at.kernel - start.kernel)).max())
    return Certificate(
        True,
        tail.method,
        "descent",
        f"exact gradient descent from the float64 iterate {k} converges to zero loss",
        tail.hypotheses,
        rate=tail.rate,
        since=float(k),
        movement=start.distance(at) + tail.movement,
        ntk_change=moved + here.margin + there.margin + tail.ntk_change,
        ntk_since=float(k),
        step=tail.step,
        largest_step=tail.largest_step,
    )
