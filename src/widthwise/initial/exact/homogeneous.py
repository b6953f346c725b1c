"""Deep linear and relu networks without biases, one input, Gaussian weights: any depth and ratios.

Given a layer, the next preactivations are iid Gaussian with its length as scale, so the output is

    Z = a ξ Π_{l=1}^L (χ²_{k_l}/n_l)^{1/2},      ξ ~ N(0, 1),   a = |x|/√d Π_l σ_l,

all independent: k_l = n_l for linear (and abs) networks, k_l ~ Binomial(n_l, ½) active neurons for
relu ones, which are dead (Z = 0) where a k_l is 0. Zavatone-Veth and Pehlevan (2021) write the
densities as Meijer G functions and their mixtures. Here they are integrals of the Mellin transform

    M(s) = E[|Z|^s; Z ≠ 0] = a^s m(s) Π_l Σ_k P(k_l = k) (2/n_l)^{s/2} Γ((k+s)/2)/Γ(k/2),
    m(s) = E|ξ|^s = 2^{s/2} Γ((1+s)/2)/√π,
    p(z) = (1/4πi) ∫_{c−i∞}^{c+i∞} |z|^{−s−1} M(s) ds,
    P(|Z| > z) = (1/2πi) ∫_{c−i∞}^{c+i∞} z^{−s} M(s)/s ds      (c > 0),

along the line, of a few, that passes nearest to the saddle point: so the relative accuracy holds in
the far tails, and the trapezoid rule converges geometrically, M being analytic for Re s > −1. For
wide relu layers the binomial sum is a trapezoid rule too, with a stride of a quarter of its
standard deviation: the cost does not grow with n.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import loggamma

from widthwise._vocabulary import ArrayLike
from widthwise.initial.exact.atoms import Atoms
from widthwise.initial.exact.law import ExactLaw, cumulants
from widthwise.model.activations import catalogued
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian

_LEFT = (-0.6, -0.45)
_RIGHT = tuple(np.concatenate([[0.3, 0.5, 0.75], np.geomspace(1.0, 3e4, 60)]))
_PERIOD = 40.0
_FINEST = 0.15
_NEGLIGIBLE = 1e-18
_REACH = 12.0
_STIRLING_FROM = 64.0
_ROUNDING = 2e-15


def log_gamma_ratio(k: np.ndarray, s: np.ndarray) -> np.ndarray:
    """log[Γ((k+s)/2) / Γ(k/2) (k/2)^{−s/2}] for k (…, 1) and complex s.

    By Stirling's series where k is large: the gamma functions themselves would cancel.
    """
    a, b = k / 2, s / 2
    small = a < _STIRLING_FROM
    safe = np.where(small, a, 1.0)
    plain = loggamma(safe + b) - loggamma(safe + 0j) - b * np.log(safe)
    large = np.where(small, _STIRLING_FROM, a)
    x = b / large
    log = np.log1p(x.real * (2 + x.real) + x.imag**2) / 2 + 1j * np.arctan2(x.imag, 1 + x.real)
    series = sum(
        c * ((large + b) ** -power - large ** -(power + 0j))
        for c, power in ((1 / 12, 1), (-1 / 360, 3), (1 / 1260, 5), (-1 / 1680, 7), (1 / 1188, 9))
    )
    return np.where(small, plain, (large + b - 0.5) * log - b + series)


@dataclass(frozen=True, eq=False)
class ActiveNeurons:
    """The law of the number k of active neurons of one layer of width n, k ≥ 1."""

    n: int
    counts: np.ndarray
    probabilities: np.ndarray

    @property
    def alive(self) -> float:
        return float(self.probabilities.sum())

    def log_moment(self, s: np.ndarray) -> np.ndarray:
        """Log E[(χ²_k/n)^{s/2}; k ≥ 1] at a flat array of s."""
        k = self.counts[:, None]
        logs = log_gamma_ratio(k, s) + np.log(self.counts / self.n)[:, None] * s / 2
        largest = logs.real.max(0)
        return largest + np.log(self.probabilities @ np.exp(logs - largest))


def all_active(n: int) -> ActiveNeurons:
    """A linear layer."""
    return ActiveNeurons(n, np.array([float(n)]), np.ones(1))


def half_active(n: int) -> ActiveNeurons:
    """A relu layer: Binomial(n, ½), by every stride-th term where they vary slowly."""
    std = np.sqrt(n) / 2
    stride = max(1, int(std / 4))
    reach = int(np.ceil(max(_REACH, 40 / np.sqrt(n)) * std))
    steps = np.arange(-(reach // stride), reach // stride + 1)
    k = np.round(n / 2) + stride * steps.astype(float)
    k = k[(k >= 1) & (k <= n)]
    weights = stride * np.exp(_log_binomial(n, k))
    if stride > 1:
        return ActiveNeurons(n, k, weights / weights.sum())
    return ActiveNeurons(n, k, weights * (-np.expm1(-n * np.log(2.0)) / weights.sum()))


def _log_binomial(n: int, k: np.ndarray) -> np.ndarray:
    """Log C(n, k) 2^{−n}, k ≥ 1, without cancellation (Loader 2000)."""
    x = 2 * k / n - 1
    j = np.arange(1, 30)
    near = (x[:, None] ** (2 * j) / (j * (2 * j - 1))).sum(1) / 2
    y = np.where(np.abs(x) < 1, x, 0.0)
    far = ((1 + y) * np.log1p(y) + (1 - y) * np.log1p(-y)) / 2
    entropy = np.where(np.abs(x) < 0.1, near, np.where(np.abs(x) < 1, far, np.log(2.0)))
    with np.errstate(divide="ignore"):
        spread = np.where(k < n, np.log(np.maximum(2 * np.pi * k * (1 - k / n), 1e-300)) / 2, 0.0)
    correction = _stirling_error(np.array([float(n)])) - np.where(
        k < n, _stirling_error(k) + _stirling_error(np.maximum(n - k, 1.0)), _stirling_error(k)
    )
    return -n * entropy - spread + correction


def _stirling_error(k: np.ndarray) -> np.ndarray:
    """Log k! − log(√(2πk) (k/e)^k)."""
    exact = loggamma(k + 1).real - (0.5 * np.log(2 * np.pi * k) + k * np.log(k) - k)
    series = 1 / (12 * k) - 1 / (360 * k**3) + 1 / (1260 * k**5) - 1 / (1680 * k**7)
    return np.where(k < 16, exact, series)


@dataclass(frozen=True, eq=False)
class Line:
    """M on one vertical line, at u = 0, h, 2h, …: logarithms, u and the step."""

    c: float
    u: np.ndarray
    logs: np.ndarray
    step: float


@dataclass(frozen=True, eq=False)
class HomogeneousLaw(ExactLaw):
    """The exact law of one output of a bias-free linear or relu network at one input.

    Args:
        width: n.
        scale: a.
        layers: the active neurons of each hidden layer.
    """

    width: int
    scale: float
    layers: tuple[ActiveNeurons, ...]

    @property
    def std(self) -> float:
        return float(np.exp(np.real(self._log_mellin(np.array([2.0 + 0j])))[0] / 2))

    @property
    def atoms(self) -> Atoms:
        dead = self._dead
        return Atoms(np.zeros(1), np.array([dead])) if dead else Atoms(np.zeros(0), np.zeros(0))

    @cached_property
    def _dead(self) -> float:
        """1 − Π_l (1 − 2^{−n_l}), or 0 for linear layers."""
        relu = [layer.n for layer in self.layers if len(layer.counts) > 1 or layer.alive < 1]
        return float(-np.expm1(sum(np.log1p(-(2.0**-n)) for n in relu))) if relu else 0.0

    def characteristic(self, t: ArrayLike) -> np.ndarray:
        """E e^{itZ} = E e^{−t²R²/2} by the Mellin transform of R, Z = ξR."""
        values = np.asarray(t, dtype=float)
        flat = np.abs(values.ravel()) * self.std
        result, step = np.ones(len(flat), dtype=complex), 0.04
        for c, here in ((-0.25, (flat > 0) & (flat <= 1)), (0.25, flat > 1)):
            if not here.any():
                continue
            u = step * np.arange(0, 10_000)
            w = c + 1j * u
            logs = loggamma(w) + self._log_radius(-2 * w)
            phase = np.log(np.square(flat[here] / self.std) / 2)
            terms = np.exp(logs - np.outer(phase, w)).real
            total = (terms.sum(1) - terms[:, 0] / 2) * step / np.pi
            result[here] = total + (1.0 if c < 0 else self._dead)
        return result.reshape(values.shape)

    def cumulant(self, order: int) -> float:
        mu = [1.0] + [
            0.0 if r % 2 else float(np.exp(np.real(self._log_mellin(np.array([r + 0j])))[0]))
            for r in range(1, order + 1)
        ]
        return cumulants(mu)[order]

    def tail(self, z: ArrayLike, method: str = "contour") -> np.ndarray:
        """P(Z > z); for z < 0 this is 1 − P(Z > −z) (1 − P(Z > 0) − the atom is P(Z < 0))."""
        if method != "contour":
            raise ValueError(
                f"method {method!r} is for one hidden layer; the tails of deep linear and relu "
                "networks have no exponential moments, use method='contour'"
            )
        values = np.asarray(z, dtype=float)
        flat = values.ravel()
        beyond = self._beyond(np.abs(flat)) / 2
        return np.where(flat >= 0, beyond, 1 - beyond).reshape(values.shape)

    def _log_radius(self, s: np.ndarray) -> np.ndarray:
        """Log E[R^s; R > 0]."""
        return np.log(self.scale) * s + sum(layer.log_moment(s) for layer in self.layers)

    def _log_mellin(self, s: np.ndarray) -> np.ndarray:
        gaussian = s / 2 * np.log(2) + loggamma((1 + s) / 2) - np.log(np.pi) / 2
        return gaussian + self._log_radius(s)

    @cached_property
    def _heights(self) -> tuple[np.ndarray, np.ndarray]:
        """The lines' c and log M(c)."""
        c = np.array([*_LEFT, *_RIGHT])
        return c, np.real(self._log_mellin(c + 0j))

    def _line(self, c: float) -> Line:
        if c not in self._lines:
            step = min(2 * np.pi * min(abs(c), 1 + c) / _PERIOD, _FINEST)
            parts, count, height = [], 256, np.real(self._log_mellin(np.array([c + 0j])))[0]
            while True:
                start = sum(map(len, parts))
                u = step * np.arange(start, start + count)
                parts.append(self._log_mellin(c + 1j * u))
                if parts[-1].real[-1] - height < np.log(_NEGLIGIBLE):
                    break
                count *= 2
            logs = np.concatenate(parts)
            self._lines[c] = Line(c, step * np.arange(len(logs)), logs, step)
        return self._lines[c]

    @cached_property
    def _lines(self) -> dict[float, Line]:
        return {}

    def _integral(self, z: np.ndarray, power: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(1/2πi) ∫ z^{−s−1} M ds for power 0, (1/2πi) ∫ z^{−s} M/s ds for power 1, z > 0.

        Returns:
            Values, errors, and the c of the line taken.
        """
        c, heights = self._heights
        logz = np.log(z)
        cost = heights - c * logz[:, None] - (np.log(np.abs(c)) if power else 0.0)
        best = np.argmin(cost, 1)
        value, error = np.zeros(len(z)), np.zeros(len(z))
        for j in np.unique(best):
            here, line = best == j, self._line(float(c[j]))
            s = line.c + 1j * line.u
            logs = line.logs - (np.log(s) if power else 0.0)
            top = np.real(logs)[0]
            weights = np.exp(logs - top) * line.step / np.pi
            weights[0] /= 2
            terms = (weights * np.exp(-1j * np.outer(logz[here], line.u))).real
            prefactor = np.exp(top - (line.c + 1 - power) * logz[here])
            total, every_second = terms.sum(1), 2 * terms[:, ::2].sum(1)
            size = np.abs(weights).sum()
            gap = np.abs(total - every_second) / size
            value[here] = prefactor * total
            error[here] = prefactor * size * (gap**2 + _ROUNDING)
        return value, error, c[best]

    def _beyond(self, z: np.ndarray) -> np.ndarray:
        """P(|Z| > z)."""
        result = np.full(len(z), 1 - self._dead)
        positive = z > 0
        value, _, c = self._integral(z[positive], 1)
        result[positive] = np.where(c > 0, value, 1 - self._dead + value)
        return result

    def _density(self, z: np.ndarray) -> np.ndarray:
        result = np.full(len(z), self._at_zero)
        away = z != 0
        result[away] = self._integral(np.abs(z[away]), 0)[0] / 2
        return result

    @cached_property
    def _at_zero(self) -> float:
        """p(0) = E[1/R]/√(2π), infinite where a layer may have a single active neuron."""
        if min(layer.counts.min() for layer in self.layers) <= 1:
            return float("inf")
        radius = np.real(self._log_radius(np.array([-1.0 + 0j])))[0]
        return float(np.exp(radius) / np.sqrt(2 * np.pi))

    def _distribution(self, z: np.ndarray) -> np.ndarray:
        beyond = self._beyond(np.abs(z)) / 2
        return np.where(z >= 0, 1 - beyond, beyond)

    def _density_error(self, z: np.ndarray) -> np.ndarray:
        result = np.full(len(z), 0.0 if np.isinf(self._at_zero) else 4e-15 * self._at_zero)
        away = z != 0
        result[away] = self._integral(np.abs(z[away]), 0)[1] / 2
        return result

    def _distribution_error(self, z: np.ndarray) -> np.ndarray:
        result = np.full(len(z), 2e-16)
        away = z != 0
        result[away] += self._integral(np.abs(z[away]), 1)[1] / 2
        return result


_KNOWN = (
    "exact laws exist for one hidden layer (any laws, activation, points and direction), and for "
    "deep networks with activation 'identity', 'abs' or 'relu', Gaussian weights and no biases at "
    "one input"
)


def homogeneous_law(net: MLP, x: np.ndarray, V: np.ndarray, width: int) -> HomogeneousLaw:
    """The law of Σ_{a,c} V_{a,c} f_c(x_a) where it is that of one output at one input.

    Args:
        net: bias-free, with Gaussian weights.
        x: data (points, inputs).
        V: direction (points, outputs).
        width: n.

    Raises:
        ValueError: for any other network, or inputs that are not one input.
    """
    name = net.activation.name
    if name not in ("identity", "abs", "relu") or not catalogued(net.activation):
        raise ValueError(f"{_KNOWN}; this one has depth {net.depth} and activation {name}")
    biased = [l for l in range(net.depth + 1) if net.has_bias(l)]
    others = [law.name for law in net.weight_law if not isinstance(law, Gaussian)]
    if biased or others:
        what = f"biases in layer {biased[0] + 1}" if biased else f"weights of law {others[0]}"
        raise ValueError(f"{_KNOWN}; this one has depth {net.depth} and {what}")
    u, sizes, _ = np.linalg.svd(V, full_matrices=False)
    if name == "identity":
        _, sizes, _ = np.linalg.svd(V.T @ x)
        length = _only(sizes, "inputs that the direction combines to several, one per output")
    else:
        length = _only(sizes, "a direction that takes different outputs at different points")
        length *= _along_one_ray(x, u[:, 0], name)
    scale = length / np.sqrt(x.shape[1])
    for std in net.weight_std:
        scale *= float(std)
    if not scale:
        raise ValueError(
            "the outputs do not vary in this direction (the input is 0, or the direction cancels)"
        )
    make = half_active if name == "relu" else all_active
    return HomogeneousLaw(width, scale, tuple(make(n) for n in net.widths(width)))


def _only(sizes: np.ndarray, otherwise: str) -> float:
    if len(sizes) > 1 and sizes[1] > 1e-13 * sizes[0]:
        raise ValueError(f"{_KNOWN}; these are {otherwise}")
    return float(sizes[0])


def _along_one_ray(x: np.ndarray, v: np.ndarray, name: str) -> float:
    """|Σ_a v_a c_a| |e| for points x_a = c_a e: φ(c z) = |c| φ(z) for abs, c ≥ 0 for relu."""
    x, v = x[v != 0], v[v != 0]
    _, sizes, axes = np.linalg.svd(x, full_matrices=False)
    _only(sizes, "inputs in several directions")
    c = x @ axes[0]
    if name == "relu" and (c > 0).any() and (c < 0).any():
        raise ValueError(f"{_KNOWN}; these inputs point in opposite directions")
    return abs(float(v @ np.abs(c)))
