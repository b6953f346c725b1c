"""Tail probabilities of one hidden layer through the saddlepoint, accurate however small they are.

With M(s) = E Π_c M_W(s g_c) of one neuron, K(s) = n log M(sσ_w/√n) + log E e^{sB}, and the
saddlepoint K'(ŝ) = z,

    P(Z > z) = (1/2πi) ∫_{ŝ−i∞}^{ŝ+i∞} e^{K(s) − sz} ds/s                        ("contour"),

an integral without oscillation near ŝ, so it keeps its relative accuracy; atoms of the sum are
taken out of e^{K} and counted apart. Its leading terms are Lugannani's and Rice's (1980),

    P(Z > z) ≈ 1 − Φ(w) + φ(w)(1/v − 1/w),   w = √(2(ŝz − K(ŝ))),  v = ŝ √K''(ŝ)
                                                                          ("lugannani-rice"),

with a relative error of order 1/n that stays bounded in the tail. Both need exponential moments:
Student t readouts have none, and for an unbounded activation M exists up to a radius only; as z
grows ŝ approaches it.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr

from widthwise._vocabulary import ArrayLike
from widthwise.algebra.gaussian import QuadratureError
from widthwise.initial.exact.generating import log_generating
from widthwise.initial.exact.spectrum import window
from widthwise.model.laws import Exponential, Gamma, Laplace
from widthwise.model.laws._panels import resolve

if TYPE_CHECKING:
    from widthwise.initial.exact.shallow import ShallowLaw

_CENTRAL = 0.25
_METHODS = ("contour", "lugannani-rice")
_DIGITS = 1e-10
_MOST = 1e-7
_PRUNED = 45.0
_CIRCLE = 16
_BLOCK = 1 << 19
_FARTHEST = 80.0


class Saddle(NamedTuple):
    """ŝ, K(ŝ) and K''(ŝ)."""

    s: float
    height: float
    curvature: float


def tail(law: "ShallowLaw", z: ArrayLike, method: str = "contour") -> np.ndarray:
    """P(Z > z) at every entry of z.

    By contour only where 1 − P(Z ≤ z) has lost digits; by Lugannani–Rice from a quarter of a
    standard deviation on.
    """
    if method not in _METHODS:
        raise ValueError(f"method must be one of {', '.join(_METHODS)}, got {method!r}")
    values = np.asarray(z, dtype=float)
    if not np.isfinite(values).all():
        raise ValueError("z must be finite numbers")
    flat = values.ravel()
    result = np.asarray(1 - law.cdf(flat))
    far = flat > _CENTRAL * law.std
    if method == "contour":
        far &= law.cdf_error(flat) > _DIGITS * result
    far = np.flatnonzero(far)
    if len(far) and law._continuous:
        K = Cumulants(law)
        for i in far:
            saddle = K.saddle(float(flat[i]))
            one = _contour if method == "contour" else _lugannani_rice
            result[i] = one(K, float(flat[i]), saddle)
    elif len(far):
        for i in far:
            result[i] = law.atoms.masses[law.atoms.positions > flat[i]].sum()
    return result.reshape(values.shape)


class Cumulants:
    """K(s) of one law, and its saddlepoints."""

    def __init__(self, law: "ShallowLaw"):
        self.law = law
        self.rule: Callable[[float], tuple[np.ndarray, np.ndarray]] = law.neuron.features.tilted
        self.reach = 9.5
        self._nodes = self.rule(self.reach)
        self._check_features()
        self.largest = self._radius()
        if self.largest * law.std < 1e-6:
            raise ValueError(self._infinite())

    def _infinite(self) -> str:
        return (
            f"E exp(sW·φ(z)) is infinite for every s > 0: readout weights of the law "
            f"{self.law.neuron.law.name} times features this unbounded have no exponential "
            "moments, so there is no saddlepoint; use 1 − cdf(z)"
        )

    def _check_features(self) -> None:
        """Refuse unbounded features where no moment or no rule reaches far enough."""
        features, law = self.law.neuron.features, self.law.neuron.law
        log_generating(law, np.zeros(1))
        if features.bounded:
            return
        if isinstance(law, Laplace | Exponential | Gamma):
            raise ValueError(self._infinite())
        if features.wide is None:
            raise ValueError(
                "tails through the saddlepoint need a bounded activation or bounded first-layer "
                "weights, or one Gaussian preactivation (one point, or points on one ray, and a "
                "Gaussian first layer); use 1 − cdf(z)"
            )

    def log_one(self, tau: np.ndarray) -> np.ndarray:
        """Log M at a flat array of complex arguments of nearly one real part."""
        g, logs = self._nodes
        law, middle = self.law.neuron.law, np.real(tau).mean()
        sizes = logs + np.real(sum(log_generating(law, middle * c) for c in g.T))
        kept = sizes > sizes.max() - _PRUNED
        g, logs = g[kept], logs[kept]
        result = np.empty(len(tau), dtype=complex)
        rows = max(1, _BLOCK // len(logs))
        for start in range(0, len(tau), rows):
            block = tau[start : start + rows, None]
            terms = logs + sum(log_generating(law, block * c) for c in g.T)
            top = np.real(terms).max(1)
            with np.errstate(invalid="ignore"):
                total = np.exp(terms - top[:, None]).sum(1)
            result[start : start + rows] = top + np.log(total)
        return result

    def __call__(self, s: np.ndarray) -> np.ndarray:
        total = self.law.neurons * self.log_one(self.law.scale * s)
        for c in self.law.bias.coefficients:
            total = total + log_generating(self.law.bias.law, c * s)
        return total

    def _exists(self, s: float) -> bool:
        """Whether M is finite: widen the rule until its ends do not matter, or give up."""
        while True:
            g, logs = self._nodes
            t = self.law.scale * s
            log_one = sum(log_generating(self.law.neuron.law, t * c) for c in g.T)
            terms = logs + np.real(log_one)
            bias = sum(
                float(np.real(log_generating(self.law.bias.law, np.array([c * s])))[0])
                for c in self.law.bias.coefficients
            )
            if not np.isfinite(terms).all() or not np.isfinite(bias):
                return False
            ends = max(terms[0], terms[-1]) if self.law.neuron.features.wide else -np.inf
            if ends < terms.max() - 40:
                return True
            if self.reach > 300:
                return False
            self.reach *= 1.6
            self._nodes = self.rule(self.reach)

    def _radius(self) -> float:
        """The last s at which M is used."""
        low, high = 0.0, 1 / self.law.std
        while self._exists(high):
            low, high = high, 2 * high
            if high * self.law.std > 1e4:
                return low
        for _ in range(44):
            middle = (low + high) / 2
            low, high = (middle, high) if self._exists(middle) else (low, middle)
        return low * (1 - 1e-9)

    def slope(self, s: float) -> float:
        h = 1e-9 / self.law.std
        return float(np.imag(self(np.array([s + 1j * h])))[0] / h)

    def saddle(self, z: float) -> Saddle:
        """ŝ with K'(ŝ) = z > 0."""
        low, high = 0.0, min(1 / self.law.std, self.largest)
        while self.slope(high) < z:
            if high >= self.largest:
                raise ValueError(
                    f"z = {z:g} lies beyond what the saddlepoint reaches, "
                    f"{self.slope(self.largest):.6g}: the exponential moments that exist end there"
                    " (or Z is bounded); take a smaller z"
                )
            low, high = high, min(2 * high, self.largest)
        tolerance = 1e-14 / self.law.std
        root = brentq(lambda s: self.slope(s) - z, low, high, xtol=tolerance)
        s = float(root)  # pyright: ignore[reportArgumentType]
        radius = 0.2 * min(s, self.largest - s, 1 / self.law.std) + 1e-6 / self.law.std
        circle = np.exp(2j * np.pi * np.arange(_CIRCLE) / _CIRCLE)
        around = self(s + radius * circle)
        height = np.real(self(np.array([s + 0j])))[0]
        curvature = 2 * np.mean(np.real(around - height) * np.cos(2 * np.angle(circle))) / radius**2
        imaginary = np.mean(np.imag(around) * np.sin(2 * np.angle(circle))) * 2 / radius**2
        return Saddle(s, float(height), float(curvature + imaginary))


def _lugannani_rice(K: Cumulants, z: float, saddle: Saddle) -> float:
    w = math.sqrt(max(2 * (saddle.s * z - saddle.height), 0.0))
    v = saddle.s * math.sqrt(saddle.curvature)
    density = math.exp(-w * w / 2) / math.sqrt(2 * math.pi)
    return math.exp(log_ndtr(-w)) + density * (1 / v - 1 / w)


def _contour(K: Cumulants, z: float, saddle: Saddle) -> float:
    scale = 1 / math.sqrt(saddle.curvature)
    atoms = K.law.settled if not K.law._blur else None
    top = saddle.height - saddle.s * z

    def integrand(u: np.ndarray) -> np.ndarray:
        s = saddle.s + 1j * u.ravel()
        values = np.exp(K(s) - s * z - top)
        if atoms is not None and len(atoms.positions):
            shifted = np.outer(s, atoms.positions - z) - top
            values = (
                values - np.exp(np.minimum(shifted.real, 700) + 1j * shifted.imag) @ atoms.masses
            )
        return (values / s * saddle.s).reshape(u.shape)

    end = 8.0
    while end < _FARTHEST and np.abs(integrand(np.array([end * scale])))[0] > 1e-15:
        end *= 1.25
    edges = np.append(np.arange(0.0, 8.0), np.geomspace(8.0, max(end, 8.5), 12)) * scale
    panels = resolve(integrand, edges, np.ones_like, 1e-14 * scale, deepest=8)
    results = []
    for cut in (end, end / 2):
        factor = window(panels.nodes, cut * scale) if end >= _FARTHEST else 1.0
        results.append(float((panels.weights * factor * panels.values).sum().real))
    size = float((panels.weights * np.abs(panels.values)).sum())
    error = abs(results[0] - results[1]) + panels.error + 1e-14 * size
    if not error <= _MOST * abs(results[0]):
        raise QuadratureError(
            f"P(Z > {z:g}) would have a relative error of {error / abs(results[0]):.1e}; "
            "use method='lugannani-rice', or 1 − cdf(z) if it is not small"
        )
    above = 0.0 if atoms is None else float(atoms.masses[atoms.positions > z].sum())
    return above + math.exp(top) * results[0] / (math.pi * saddle.s)
