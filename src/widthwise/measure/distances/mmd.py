r"""The squared maximum mean discrepancy of a Gaussian kernel, by random features, without bias.

    MMD² = E k(X, X') − 2 E k(X, Y) + E k(Y, Y'),        k(x, y) = e^{−|x − y|²/2ℓ²}
         = E_ω |E e^{iω·X} − E e^{iω·Y}|²,               ω ~ N(0, 1/ℓ²).

With R frequencies ω the feature maps (cos ω·x, sin ω·x)/√R have dot products whose mean is k, and
the cost is N R instead of N². |Σ_i features|² less its diagonal is unbiased (a U-statistic).
"""

import numpy as np

from widthwise import _checks as checks
from widthwise.measure.distances.laws import Given, Normal
from widthwise.measure.distances.sampling import Data, around, share, spread
from widthwise.measure.distances.sliced import pair
from widthwise.measure.distances.table import Table
from widthwise.measure.distances.value import Distance, known
from widthwise.measure.distances.wasserstein import described

_BLOCK = 1 << 21
_PAIRED = 4096


def mmd(
    x: Given,
    y: Given,
    *,
    bandwidth: float | None = None,
    features: int = 256,
    confidence: float = 0.95,
    seed: int = 0,
) -> Distance:
    """MMD², the squared maximum mean discrepancy of the kernel e^{−|x − y|²/2ℓ²}.

    Args:
        x: samples (members,) or (members, k), or a law (of several dimensions a :class:`Normal`).
        y: likewise.
        bandwidth: ℓ; by default the root of the total variance of y.
        features: R, how many frequencies are drawn; their number is part of the error.
        confidence: of the interval.
        seed: of the frequencies.

    Returns:
        :class:`Distance`: an unbiased estimate of the **square**, which may be negative; the floor
        is its standard deviation for equal laws.

    Raises:
        ValueError: for shapes that do not fit or too few samples.

    Source:
        Gretton et al., JMLR 13 (2012); Rahimi and Recht (2007) for the features.

    Example:
        >>> import numpy as np, widthwise as ww
        >>> x = np.random.default_rng(0).normal(size=(4000, 2))
        >>> law = ww.distances.Normal([1.0, 0.0], np.eye(2))
        >>> d = ww.distances.mmd(x, law, bandwidth=1.0)  # (2/3)(1 − e^{−1/6})
        >>> d.interval[0] < 0.1023 < d.interval[1]
        True
    """
    a, b, k = pair(x, y)
    R = checks.positive_integer(features, "features")
    scale = _scale(b) if bandwidth is None else checks.positive(bandwidth, "bandwidth")
    omega = np.random.default_rng(seed).normal(size=(R, k)) / scale
    (p, p2, one), (q, q2, other) = (_transform(d, omega) for d in (a, b))
    each = np.abs(p - q) ** 2 - p2 - q2
    value = float(each.mean())
    drawn = float(each.std(ddof=1) / np.sqrt(R)) if R > 1 else 0.0
    method = f"{R} random frequencies, bandwidth {scale:.4g}, {described(a, b)}"
    if isinstance(a, Table) and isinstance(b, Table):
        note = "the error is two standard errors of the average over random frequencies"
        return known(value, 2 * drawn + 1e-15, "MMD²", method, (note,))
    first, floor = 0.0, 0.0
    for waves in (one, other):
        if waves is not None:
            first += spread(_projected(waves[0], omega, p - q))
            floor = max(floor, _null(waves[0], omega, share(a, b)))
    error = float(np.sqrt(first + floor**2 + drawn**2))
    interval = around(value, error, confidence)
    return Distance(value, error, interval, confidence, floor, "MMD²", method)


def _scale(data: Data) -> float:
    if isinstance(data, np.ndarray):
        return float(np.sqrt(np.atleast_2d(data.T).var(axis=1).sum()))
    if isinstance(data, Normal):
        return float(np.sqrt(np.trace(data.covariance)))
    return float(np.sqrt(data.variance()))


def _transform(data: Data, omega: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple | None]:
    """E e^{iω·X}, what sampling adds to its square, and the samples (members, k)."""
    if isinstance(data, Normal):
        return data.characteristic(omega), np.zeros(len(omega)), None
    if isinstance(data, Table):
        return data.characteristic(omega[:, 0]), np.zeros(len(omega)), None
    x = data if data.ndim == 2 else data[:, None]
    total = np.zeros(len(omega), dtype=complex)
    rows = max(1, _BLOCK // len(omega))
    for start in range(0, len(x), rows):
        total += np.exp(1j * (x[start : start + rows] @ omega.T)).sum(0)
    mean = total / len(x)
    return mean, (1 - np.abs(mean) ** 2) / (len(x) - 1), (x,)


def _projected(x: np.ndarray, omega: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """The influence of every sample: 2 mean_ω Re(e^{iω·x} conj(gap))."""
    rows = max(1, _BLOCK // len(omega))
    parts = [
        2 * np.real(np.exp(1j * (x[start : start + rows] @ omega.T)) @ np.conj(gap)) / len(gap)
        for start in range(0, len(x), rows)
    ]
    return np.concatenate(parts)


def _null(x: np.ndarray, omega: np.ndarray, size: float) -> float:
    """√(2 tr C²)(1/N + 1/M), C the covariance of the features."""
    waves = np.exp(1j * (x[:_PAIRED] @ omega.T))
    parts = np.concatenate([np.real(waves), np.imag(waves)], 1) / np.sqrt(len(omega))
    C = np.cov(parts.T)
    return float(np.sqrt(2 * (C**2).sum()) * size)
