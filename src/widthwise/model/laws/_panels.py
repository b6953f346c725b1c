"""Functions known only by evaluation, as Legendre series on panels that halve where they must.

On a panel with centre m and half-width h, f(m + hx) ≈ Σ_{k<16} c_k P_k(x), c from 16 Gauss–Legendre
nodes. A panel is halved while its last three coefficients say that f is not resolved. Two integrals
come for free: Σ_i w_i g(f(m + hx_i)) h, and, whatever the frequency (Bakhvalov and Vasil'eva 1968),

    ∫ f(z) e^{itz} dz = h e^{itm} Σ_k c_k 2 i^k j_k(th),     j_k the spherical Bessel functions.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import eval_legendre

_DEGREE = 16
_FAST = 24.0
_BLOCK = 4096
_X, _W = np.polynomial.legendre.leggauss(_DEGREE)
_K = np.arange(_DEGREE)
TO_SERIES = (_K[:, None] + 0.5) * eval_legendre(_K[:, None], _X) * _W


@dataclass(frozen=True)
class Panels:
    """Values at the nodes (panels, 16), Legendre series (panels, 16), and a bound of ∫|error|."""

    centre: np.ndarray
    half: np.ndarray
    values: np.ndarray
    error: float

    @property
    def nodes(self) -> np.ndarray:
        return self.centre[:, None] + self.half[:, None] * _X

    @property
    def weights(self) -> np.ndarray:
        return self.half[:, None] * _W

    def fourier(self, t: np.ndarray) -> np.ndarray:
        """∫ f(z) e^{itz} dz for a flat array t."""
        total = np.zeros(t.shape, complex)
        for start in range(0, len(t), _BLOCK):
            block = t[start : start + _BLOCK]
            for m, h, values in zip(self.centre, self.half, self.values, strict=True):
                total[start : start + _BLOCK] += (
                    h * np.exp(1j * m * block) * _waves(h * block, values)
                )
        return total


def _waves(y: np.ndarray, values: np.ndarray) -> np.ndarray:
    """∫_{−1}^1 f(x) e^{ixy} dx of the Legendre series with these values at the nodes.

    Beyond the degree j_k(y) comes from its recurrence, stable there; below, the wave is so slow
    that a few more Gauss–Legendre nodes integrate it.
    """
    result = np.empty(len(y), complex)
    fast = np.abs(y) > _FAST
    if fast.any():
        result[fast] = _by_recurrence(TO_SERIES @ values, y[fast])
    if not fast.all():
        slow = ~fast
        x, finer = _finer(16 + 4 * math.ceil(np.abs(y[slow]).max() / 4))
        result[slow] = np.exp(1j * np.outer(y[slow], x)) @ (finer @ values)
    return result


@lru_cache(maxsize=32)
def _finer(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss–Legendre nodes, and the matrix from 16 values to weighted values there."""
    x, w = np.polynomial.legendre.leggauss(count)
    return x, w[:, None] * (eval_legendre(_K, x[:, None]) @ TO_SERIES)


def _by_recurrence(series: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Σ_k c_k 2 i^k j_k(y)."""
    before, now = np.sin(y) / y, (np.sin(y) / y - np.cos(y)) / y
    total = 2 * (series[0] * before + 1j * series[1] * now)
    for k in range(1, _DEGREE - 1):
        before, now = now, (2 * k + 1) / y * now - before
        total += 2 * series[k + 1] * 1j ** (k + 1) * now
    return total


def resolve(
    f: Callable[[np.ndarray], np.ndarray],
    edges: np.ndarray,
    importance: Callable[[np.ndarray], np.ndarray],
    tolerance: float,
    deepest: int = 30,
    most: int = 4096,
) -> Panels:
    """Halve the panels between ``edges`` until each has ∫|error| ≤ tolerance · importance(centre).

    Halving also ends where both halves are no smoother than the whole and what is left matters less
    than 1e-10: that is noise in f (a quantile by root finding, say), not structure.
    """
    centre, half = (edges[1:] + edges[:-1]) / 2, (edges[1:] - edges[:-1]) / 2
    done: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    error, parent = 0.0, np.full(len(centre), math.inf)
    for depth in range(deepest + 1):
        values = f(centre[:, None] + half[:, None] * _X)
        with np.errstate(invalid="ignore"):
            tail = np.abs(values @ TO_SERIES[-3:].T).max(1)
        tail = np.where(np.isfinite(tail), tail, math.inf)  # halving would not help
        good = (half * tail <= tolerance * importance(centre)) | (depth == deepest)
        good |= np.isinf(tail)
        stuck = (tail > parent / 4) & (half * tail < 1e-10 * importance(centre) ** 2)
        if depth:
            good |= np.tile(stuck.reshape(2, -1).all(0), 2)
        good |= bool((~good).sum() > most)  # a rough f ends in a large error, not out of memory
        error += float((2 * half * tail)[good].sum())
        done.append((centre[good], half[good], values[good]))
        centre, half, parent = centre[~good], half[~good] / 2, np.tile(tail[~good], 2)
        if not centre.size:
            break
        centre, half = np.concatenate([centre - half, centre + half]), np.tile(half, 2)
    c, h, v = (np.concatenate(part) for part in zip(*done, strict=True))
    order = np.argsort(c, kind="stable")
    return Panels(c[order], h[order], v[order], error)
