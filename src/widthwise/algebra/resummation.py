"""Padé resummation of a truncated asymptotic series, with a verdict on whether to believe it.

The approximant [L/M] is the ratio of polynomials p/q of degrees L and M whose Taylor series agrees
with the given one as far as that goes (Baker and Graves-Morris, *Padé Approximants*, ch. 1). For
series of Stieltjes type it converges where the series diverges; for others it may place a pole of q
near the value wanted, and then it means nothing. A resummation is called unsafe when

* fewer than three terms are known, or their numerical errors move the result;
* q has a zero of positive real part near the interval from 0 to the argument, unless p cancels it
  (the cut of a Stieltjes series is the negative axis, and there poles belong);
* its neighbour of one term less disagrees by more than the smallest term of the series, the error
  that the optimally truncated sum has anyway.
"""

from typing import NamedTuple

import numpy as np
import scipy.interpolate
from jaxtyping import Float

_DRAWS = 8
_NEAR = 0.25  # of the argument: how far from the interval a pole must stay


class Resummation(NamedTuple):
    """The value of a Padé approximant at one width.

    Args:
        value: p/q.
        error: how far the approximant of one term less is, and what the errors of the coefficients
            do.
        safe: whether nothing speaks against it.
        reason: what does, as a sentence; empty if safe.
    """

    value: float
    error: float
    safe: bool
    reason: str


def pade(
    coefficients: Float[np.ndarray, " orders"], error: Float[np.ndarray, " orders"], t: float
) -> Resummation:
    """Resum Σ_k coefficients[k] t^k by the diagonal Padé approximant, or the one below it.

    Args:
        coefficients: c_0 … c_P; zeros before the first term and between powers of t² are allowed.
        error: their numerical errors.
        t: the argument, positive.
    """
    known = np.flatnonzero((np.abs(coefficients) > error) & (coefficients != 0))
    plain = float(np.polynomial.polynomial.polyval(t, coefficients))
    if len(known) < 3:
        reason = f"a Padé approximant needs three terms, the series has {len(known)}"
        return Resummation(plain, abs(plain), False, reason)
    first, stride = known[0], int(np.gcd.reduce(np.diff(known)))
    c, e = coefficients[first::stride], error[first::stride]
    c, e = c[: (known[-1] - first) // stride + 1], e[: (known[-1] - first) // stride + 1]
    s, scale = t**stride, t**first
    value, pole = _approximant(c, s)
    below, _ = _approximant(c[:-1], s)
    gap = abs(value - below)
    draws = np.random.default_rng(0).choice([-1.0, 1.0], (_DRAWS, len(c)))
    noise = max(abs(_approximant(c + signs * e, s)[0] - value) for signs in draws)
    smallest = float(np.min(np.abs(c * s ** np.arange(len(c)))))
    reason = ""
    if not np.isfinite(value) or pole:
        reason = "the approximant has a pole between 0 and this argument, or close to it"
    elif noise > max(smallest, 1e-12 * abs(value)):
        reason = "the numerical errors of the coefficients move the approximant"
    elif gap > smallest:
        reason = "the approximant of one term less disagrees by more than the smallest term"
    return Resummation(scale * value, scale * float(gap + noise), not reason, reason)


def _approximant(c: np.ndarray, s: float) -> tuple[float, bool]:
    """[L/M] with M = ⌊K/2⌋ and L = K − M at s, and whether a pole is near [0, s]."""
    degree = (len(c) - 1) // 2
    try:
        p, q = scipy.interpolate.pade(c, degree)
    except np.linalg.LinAlgError:
        return float(np.polynomial.polynomial.polyval(s, c)), True
    poles, zeros = np.asarray(q.roots), np.asarray(p.roots)
    along = np.real(poles)
    distance = np.abs(poles - np.clip(along, 0.0, s))
    near = poles[(distance <= _NEAR * s) & (along > 0)]
    cancelled = [np.abs(zeros - pole).min(initial=np.inf) <= 1e-8 * abs(pole) for pole in near]
    bottom = float(np.real(q(s)))
    if not bottom:
        return float(np.polynomial.polynomial.polyval(s, c)), True
    return float(np.real(p(s))) / bottom, not all(cancelled)
