"""log E e^{sW} of one weight at complex s, infinite where it does not exist.

| law | E e^{sW} | exists for |
|---|---|---|
| gaussian | e^{s²/2} | all s |
| uniform | sinh(√3 s)/(√3 s) | all s |
| rademacher, discrete | Σ p_i e^{sw_i} | all s |
| laplace | 1/(1 − s²/2) | abs(Re s) < √2 |
| exponential, gamma(k) | e^{−√k s}(1 − s/√k)^{−k} | Re s < √k |
| truncated_gaussian(b) | e^{t²/2}[Φ(b−t) − Φ(−b−t)]/(2Φ(b) − 1), t = s/std | all s |
| scipy, bounded | its Gauss rule | all s |
| student_t, scipy unbounded | – | imaginary s only, or not known |
"""

import math

import numpy as np
from scipy.special import erf, wofz

from widthwise.model.laws import (
    Exponential,
    Gamma,
    Gaussian,
    Laplace,
    Law,
    StudentT,
    TruncatedGaussian,
    Uniform,
)

_GAUSS = 200


def log_generating(law: Law, s: np.ndarray) -> np.ndarray:
    """Log E e^{sW}, up to multiples of 2πi.

    Raises:
        ValueError: the law has no exponential moments, or they are not known.
    """
    s = np.asarray(s, dtype=complex)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        match law:
            case Gaussian():
                return s * s / 2
            case Uniform():
                w = np.where(np.real(s) < 0, -s, s) * math.sqrt(3)
                ratio = np.where(w == 0, 1.0, -np.expm1(-2 * w) / np.where(w == 0, 1.0, 2 * w))
                return w + np.log(ratio)
            case Laplace():
                value = -np.log(1 - s * s / 2)
                return np.where(np.abs(np.real(s)) < math.sqrt(2), value, np.inf)
            case Exponential():
                return np.where(np.real(s) < 1, -s - np.log(1 - s), np.inf)
            case Gamma(shape=k):
                root = math.sqrt(k)
                return np.where(np.real(s) < root, -root * s - k * np.log(1 - s / root), np.inf)
            case TruncatedGaussian(bound=b):
                return _truncated(s / law._deviation, b)
            case StudentT():
                raise ValueError(
                    f"readout weights of the law {law.name} have no exponential moments: "
                    "P(Z > z) falls like a power of z and has no saddlepoint; use 1 − cdf(z)"
                )
    if not law.discrete and not np.isfinite(law.support).all():
        raise ValueError(
            f"the moment generating function of {law.name} is not known; use 1 − cdf(z), or a law "
            "of widthwise.laws, or a bounded distribution"
        )
    w, p = law.quadrature(_GAUSS)
    exponents = s[..., None] * w
    largest = exponentnp.real(s).max(-1)
    return largest + np.log(np.exp(exponents - largest[..., None]) @ p)


def _truncated(t: np.ndarray, b: float) -> np.ndarray:
    t = np.where(np.real(t) < 0, -t, t)
    mass, root = erf(b / math.sqrt(2)), math.sqrt(2)
    far = np.real(t) >= b
    outside = np.where(far, t, b + 0j)
    log_far = (
        outside * b
        - b * b / 2
        + np.log(
            (
                wofz(1j * (outside - b) / root)
                - np.exp(-2 * outside * b) * wofz(1j * (outside + b) / root)
            )
            / (2 * mass)
        )
    )
    inside = np.where(far, 0j, t)
    ends = np.exp(inside * b - b * b / 2) * wofz(1j * (b - inside) / root)
    ends += np.exp(-inside * b - b * b / 2) * wofz(1j * (b + inside) / root)
    return np.where(far, log_far, np.log((np.exp(inside * inside / 2) - ends / 2) / mass))
