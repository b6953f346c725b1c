"""A characteristic function as panels, with what is left out measured.

With f on t > 0 (f(−t) is its conjugate) and g the characteristic function of a Gaussian of the same
mass and variance,

    p(z) = (1/π) Re ∫_0^T f e^{−itz} dt,
    F(z) = G(z) − (1/π) ∫_0^T Im[(f − g) e^{−itz}]/t dt                  (Gil-Pelaez 1951):

the difference is smooth at t = 0. f is resolved on panels of t that halve where they must, on each
a Legendre series whose Fourier integral is exact at every z, however fast e^{−itz} turns
(:mod:`widthwise.model.laws._panels`); T is where f has become negligible. Where f decays like a
power of t (few neurons, or a density with a singularity) it is cut off smoothly,

    f(t) w_T(t),    w_T = 1 up to T/4 and 0 at T, to rounding, and smooth,

which blurs the density over a length of about 100/T by a kernel all of whose moments vanish:
nothing changes where the density is smooth on that length, and only near its singularities is it
wrong. The result at T/2 against the one at T says, value by value, where that is.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import erfc, ndtr

from widthwise.model.laws._panels import Panels, resolve

_TOLERANCE = 3e-15
_NEGLIGIBLE = 1e-16
_LINEAR = 16.0
_RATIO = 1.3
_RATIO_AT_CUT = 1.15
_ROUNDING = 4e-16
_SCAN = 160


@dataclass(frozen=True, eq=False)
class Spectrum:
    """f on panels, f(0) = mass; ``cut`` is the T of the smooth cut-off, None where f has ended."""

    panels: Panels
    mass: float
    std: float
    cut: float | None
    error: float
    gil_pelaez_error: float

    def density(self, z: np.ndarray) -> np.ndarray:
        """p(z) at a flat array."""
        return np.real(self._fourier(self._windowed(1.0) * self.panels.values, z)) / np.pi

    def distribution(self, z: np.ndarray) -> np.ndarray:
        """∫_{−∞}^z p at a flat array."""
        difference = self._difference * self._windowed(1.0)
        return self.mass * ndtr(z / self.std) - np.imag(self._fourier(difference, z)) / np.pi

    def density_error(self, z: np.ndarray) -> np.ndarray:
        return self.error + self._blur(self.panels.values, z)

    def distribution_error(self, z: np.ndarray) -> np.ndarray:
        return self.gil_pelaez_error + self._blur(self._difference, z)

    def _fourier(self, values: np.ndarray, z: np.ndarray) -> np.ndarray:
        """∫ e^{−itz} times the function with these values at the nodes."""
        return replace(self.panels, values=values).fourier(-z)

    @property
    def _difference(self) -> np.ndarray:
        t = self.panels.nodes
        gaussian = self.mass * np.exp(-np.square(self.std * t) / 2)
        return (self.panels.values - gaussian) / t

    def _windowed(self, fraction: float) -> np.ndarray:
        t = self.panels.nodes
        return np.ones(t.shape) if self.cut is None else window(t, fraction * self.cut)

    def _blur(self, values: np.ndarray, z: np.ndarray) -> np.ndarray:
        if self.cut is None:
            return np.zeros(len(z))
        shell = (self._windowed(1.0) - self._windowed(0.5)) * values
        return np.abs(self._fourier(shell, z)) / np.pi


def window(t: np.ndarray, cut: float) -> np.ndarray:
    """1 up to cut/4, 0 from cut on, to rounding."""
    return erfc(5.6 * (np.log2(t / cut) + 1)) / 2


def spectrum(
    f: Callable[[np.ndarray], np.ndarray],
    std: float,
    limit: float,
    mass: float = 1.0,
    noise: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Spectrum:
    """Resolve a characteristic function.

    Args:
        f: values at flat t > 0.
        std: the standard deviation of its law.
        limit: the last t at which f can be evaluated.
        mass: f(0).
        noise: the absolute error of f at t.
    """
    end, cut = _end(f, std, limit)
    edges = _edges(std, end, cut)

    def on_grid(t: np.ndarray) -> np.ndarray:
        return np.asarray(f(t.ravel()), dtype=complex).reshape(t.shape)

    panels = resolve(on_grid, edges, np.ones_like, _TOLERANCE / std)
    t, w = panels.nodes, panels.weights
    wrong = _ROUNDING * np.abs(panels.values)
    if noise is not None:
        wrong = wrong + noise(t.ravel()).reshape(t.shape)
    beyond = 0.0 if cut else float(np.abs(panels.values[-1, -1])) * end
    error = panels.error + float((w * wrong).sum()) + beyond
    near = np.minimum(1 / t, std**2 * t + _ROUNDING / t)
    relative = panels.error * std + float((w * wrong * near).sum()) + _ROUNDING + beyond / end
    return Spectrum(panels, mass, std, cut, error / np.pi, relative / np.pi)


def _end(f: Callable, std: float, limit: float) -> tuple[float, float | None]:
    """Where to stop, and the cut-off if f has not become negligible by then."""
    t = np.geomspace(0.5 / std, limit, _SCAN)
    last = 0
    for start in range(0, len(t), 20):
        size = np.abs(f(t[start : start + 20])) * t[start : start + 20] * std
        large = np.flatnonzero(size > _NEGLIGIBLE)
        if len(large):
            last = start + int(large[-1])
        elif start:
            break
    if last >= len(t) - 2:
        return limit, limit
    return float(t[last + 1]), None


def _edges(std: float, end: float, cut: float | None) -> np.ndarray:
    linear = np.arange(0.0, min(_LINEAR, end * std) + 0.5, 1.0) / std
    edges = [*linear[linear < end]]
    while edges[-1] < end:
        ratio = _RATIO_AT_CUT if cut and edges[-1] > cut / 10 else _RATIO
        edges.append(max(edges[-1] * ratio, edges[-1] + 1 / std * (ratio - 1)))
    edges[-1] = end
    return np.array(edges)
