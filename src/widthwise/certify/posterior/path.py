r"""Theorem 1: a bound of the length of the path of gradient flow.

If J is L-Lipschitz on the ball |θ - θ_0| ≤ S, α = σ_min(J_0) and

    α S - ½ L S² ≥ |r_0|,   L S < α,

then gradient flow has length at most S, |r_t| ≤ |r_0| e^{-(α - LS)² t}, and it converges to zero
loss: along the path |r| falls by at least σ_min(J) ≥ α - Ls per length. The smallest such S is
2|r_0|/(α + √(α² - 2L|r_0|)). With ℓ = LS,

    |Θ_t - Θ_0| ≤ 2βℓ + ℓ²,   |f_t - f_lin,t| ≤ (2βℓ + ℓ²) |r_0|/(e (α - ℓ)²),

the second by variation of constants, ∫_0^t e^{-a²(t-s)} e^{-a²s} ds ≤ 1/(e a²).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from widthwise.certify.certificate import Certificate, Hypothesis, refusal
from widthwise.certify.constants.ball import Bounds
from widthwise.certify.evaluation import SAFE, Evaluation
from widthwise.certify.posterior.spectrum import Spectrum

_GROWTH = 1 + 1e-9


class Path(NamedTuple):
    """The smallest S found; ``length`` is infinite where there is none.

    Args:
        length: S.
        lipschitz: L on the ball of radius S (or where the search ended).
        slack: √(α² - 2L|r|), or 0.
    """

    length: float
    lipschitz: float
    slack: float


def shortest_path(alpha: float, size: float, lipschitz: Callable[[float], float]) -> Path:
    """The smallest S with α S - ½ L(S) S² ≥ |r| and L(S) S < α.

    Args:
        alpha: lower bound of σ_min(J) at the start.
        size: upper bound of |r| there.
        lipschitz: radius to Lipschitz constant of J, nondecreasing.
    """
    radius = size / alpha * _GROWTH if alpha > 0 else np.inf
    constant = lipschitz(radius) if np.isfinite(radius) else np.inf
    while alpha > 0:
        rest = alpha * alpha - 2 * constant * size * SAFE
        if not rest > 0:
            break
        needed = 2 * size / (alpha + rest**0.5) * SAFE
        if needed <= radius:
            return Path(radius, constant, max(alpha - constant * radius * SAFE, 0.0))
        radius = needed * _GROWTH
        constant = lipschitz(radius)
    return Path(np.inf, constant, 0.0)


def certify_path(at: Evaluation, bounds: Bounds, spectrum: Spectrum) -> Certificate:
    """Theorem 1 from these parameters."""
    alpha, size = spectrum.alpha, spectrum.size
    path = shortest_path(alpha, size, bounds.jacobian)
    condition = Hypothesis("2 L |r_0| below α²", 2 * path.lipschitz * size, "<", alpha**2)
    if not np.isfinite(path.length):
        need = f"2 L |r_0| is {2 * path.lipschitz * size / alpha**2:.3g} times α²"
        reason = f"{need}; a wider network, smaller labels or another method may do"
        return refusal("path", "flow", reason, spectrum.positive, condition)
    change = path.lipschitz * path.length * SAFE
    kernel = (2 * spectrum.beta * change + change**2) * SAFE
    rate = path.slack**2
    deviation = min(kernel * size / (np.e * rate), 2 * size) if rate > 0 else 2 * size
    return Certificate(
        True,
        "path",
        "flow",
        "gradient flow converges to zero loss along a path of bounded length",
        (
            spectrum.positive,
            condition,
            Hypothesis("L S below α", change, "<", alpha),
        ),
        rate=float(rate),
        movement=float(path.length),
        ntk_change=float(kernel),
        output_deviation=float(deviation * SAFE),
    )
