"""One hidden layer: the law of a sum of n independent neurons and an output bias.

    Z = σ_w n^{−1/2} Σ_{j ≤ n} W_j · g_j + B,      E e^{itZ} = ψ(tσ_w/√n)ⁿ χ_B(t),

with g = Vᵀφ(z) of one neuron (:mod:`.feature`), ψ = α + β its characteristic function
(:mod:`.neuron`) and B = σ_b Σ_c (Σ_a V_{a,c}) b_c. Split into

    αⁿ χ_B: the atoms of the sum (:mod:`.atoms`), blurred by B where B is Gaussian,
    (ψⁿ − αⁿ) χ_B: inverted (:mod:`.spectrum`).

ψⁿ = exp(n log1p(ψ − 1)) with ψ − 1 known to its last digits at small τ, so n = 10⁶ costs and errs
no more than n = 10.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr

from widthwise._vocabulary import ArrayLike
from widthwise.initial.exact import atoms as atomic
from widthwise.initial.exact import saddlepoint
from widthwise.initial.exact.atoms import Atoms
from widthwise.initial.exact.feature import features
from widthwise.initial.exact.law import ExactLaw, cumulants, moments
from widthwise.initial.exact.neuron import Neuron, prepare
from widthwise.initial.exact.spectrum import Spectrum, spectrum
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian, Law


@dataclass(frozen=True, eq=False)
class Bias:
    """B = Σ_c coefficients[c] b_c with independent b_c of one law."""

    law: Law
    coefficients: np.ndarray

    @property
    def std(self) -> float:
        return float(np.linalg.norm(self.coefficients))

    @property
    def gaussian(self) -> bool:
        return isinstance(self.law, Gaussian)

    def characteristic(self, t: np.ndarray) -> np.ndarray:
        if self.gaussian:
            return np.exp(-np.square(self.std * t) / 2)
        total = np.ones(t.shape, dtype=complex)
        for c in self.coefficients:
            total *= self.law.characteristic(c * t)
        return total

    def atoms(self) -> Atoms | None:
        """All of it as atoms; None if it has a density."""
        total = Atoms(np.zeros(1), np.ones(1))
        if not len(self.coefficients):
            return total
        if not self.law.discrete:
            return None
        w, p = self.law.quadrature(1)
        for c in self.coefficients:
            total = total.shifted(atomic.merged(c * w, p))
        return total


@dataclass(frozen=True, eq=False)
class ShallowLaw(ExactLaw):
    """The exact law of a projection of a network with one hidden layer.

    Args:
        width: n, the width of the network.
        neurons: the width of its hidden layer.
        scale: σ_w/√neurons.
        neuron: the characteristic function of one neuron.
        bias: the output bias.
        settled: atoms of the sum, without bias or with the atoms of a discrete one.
    """

    width: int
    neurons: int
    scale: float
    neuron: Neuron
    bias: Bias
    settled: Atoms

    @property
    def std(self) -> float:
        return float(
            np.hypot(self.scale * np.sqrt(self.neurons * self.neuron.variance), self.bias.std)
        )

    @property
    def atoms(self) -> Atoms:
        return atomic.NONE if self._blur else self.settled

    @property
    def _blur(self) -> float:
        """The standard deviation of a Gaussian bias."""
        return self.bias.std if self.bias.gaussian else 0.0

    def characteristic(self, t: ArrayLike) -> np.ndarray:
        values = np.asarray(t, dtype=float)
        flat = values.ravel()
        size = np.abs(flat)
        total = self._power(self.neuron.increment(self.scale * size)) * self.bias.characteristic(
            size
        )
        return np.where(flat < 0, np.conj(total), total).reshape(values.shape) + 0j

    def cumulant(self, order: int) -> float:
        if order <= 1:
            return 0.0
        kappa = self._one_neuron(order)[order]
        total = self.neurons * self.scale**order * kappa
        if len(self.bias.coefficients):
            total += float((self.bias.coefficients**order).sum()) * self.bias.law.cumulant(order)
        return total

    def tail(self, z: ArrayLike, method: str = "contour") -> np.ndarray:
        return saddlepoint.tail(self, z, method)

    def _one_neuron(self, order: int) -> list[float]:
        """Cumulants of W · g up to an order, from its moments given g."""
        g, weights = self.neuron.feature.values, self.neuron.feature.weights
        given = [0.0] + [self.neuron.law.cumulant(r) * (g**r).sum(1) for r in range(1, order + 1)]
        return cumulants([float(np.sum(weights * mu)) for mu in moments(given)])

    def _power(self, increment: np.ndarray) -> np.ndarray:
        """(1 + increment)^n."""
        with np.errstate(divide="ignore", invalid="ignore"):
            if np.isrealobj(increment):
                size = np.exp(self.neurons * np.log(np.abs(1 + increment)))
                small = increment > -0.5
                size[small] = np.exp(self.neurons * np.log1p(increment[small]))
                return np.where((increment < -1) & (self.neurons % 2 == 1), -size, size)
            a, b = np.real(increment), np.imag(increment)
            logarithm = np.log1p(np.maximum(a * (2 + a) + b * b, -1.0)) / 2
            angle = np.arctan2(b, 1 + a)
            return np.exp(self.neurons * logarithm) * np.exp(1j * self.neurons * angle)

    @cached_property
    def _spectrum(self) -> Spectrum | None:
        """The part without atoms; None if there is none."""
        n, one = self.neurons, self.neuron
        listed = bool(len(self.settled.positions))
        mass = 1.0 - one.atoms.mass**n if listed else 1.0
        if listed and one.atoms.mass > 1 - 1e-14:
            return None

        def continuous(t: np.ndarray) -> np.ndarray:
            total = self._power(one.increment(self.scale * t))
            if listed:
                alpha = one.atomic(self.scale * t)
                total = total - np.exp(n * np.log(alpha + 0j))
            return total * self.bias.characteristic(t)

        def noise(t: np.ndarray) -> np.ndarray:
            tau = self.scale * t
            known = np.geomspace(1e-4 * tau.max(), tau.max(), 160)
            size = np.minimum(np.abs(1 + one.increment(known)), 1.0)
            psi = np.interp(tau, known, size, left=1.0)
            return n * psi ** (n - 1) * one.error(tau) * np.abs(self.bias.characteristic(t))

        return spectrum(continuous, self.std, one.limit / self.scale, mass, noise)

    @property
    def _continuous(self) -> bool:
        return self._spectrum is not None or self._blur > 0

    def _density(self, z: np.ndarray) -> np.ndarray:
        if not self._continuous:
            raise ValueError(
                "this law consists of atoms and has no density: see .atoms, or cdf; an output bias "
                "with a density, or another readout law, gives it one"
            )
        total = np.zeros(len(z)) if self._spectrum is None else self._spectrum.density(z)
        if self._blur:
            for y, mass in self._heaviest:
                u = (z - y) / self._blur
                total += mass * np.exp(-u * u / 2) / (np.sqrt(2 * np.pi) * self._blur)
        return total

    def _distribution(self, z: np.ndarray) -> np.ndarray:
        total = np.zeros(len(z)) if self._spectrum is None else self._spectrum.distribution(z)
        if not self._blur:
            return total + self.settled.below(z)
        for y, mass in self._heaviest:
            total += mass * ndtr((z - y) / self._blur)
        return total

    @property
    def _heaviest(self) -> list[tuple[float, float]]:
        kept = self.settled.masses > 1e-18
        return list(zip(self.settled.positions[kept], self.settled.masses[kept], strict=True))

    def _density_error(self, z: np.ndarray) -> np.ndarray:
        s = self._spectrum
        return np.full(len(z), 4e-16 / self.std) if s is None else s.density_error(z)

    def _distribution_error(self, z: np.ndarray) -> np.ndarray:
        s = self._spectrum
        if s is None:  # n multiplies the rounding of the atoms of one neuron
            return np.full(len(z), 2e-15 * np.sqrt(self.neurons))
        return s.distribution_error(z)


def shallow_law(net: MLP, x: np.ndarray, V: np.ndarray, width: int) -> ShallowLaw:
    """The law of Σ_{a,c} V_{a,c} f_c(x_a) for a network with one hidden layer.

    Args:
        net: a network of depth 1.
        x: data (points, inputs).
        V: direction (points, outputs).
        width: n.
    """
    neurons = net.widths(width)[0]
    net = net.at_width(width, x.shape[1])
    law = net.weight_law[1]
    neuron = prepare(features(net, x, V), law, neurons)
    std = float(net.bias_std[1]) if net.has_bias(1) else 0.0
    coefficients = std * V.sum(0)
    bias = Bias(net.bias_law[1], coefficients[coefficients != 0])
    if not neuron.variance and not bias.std:
        raise ValueError(
            "the outputs do not vary in this direction: every feature is 0 (an input of 0, or a "
            "direction that cancels) and there is no output bias"
        )
    scale = float(net.weight_std[1]) / np.sqrt(neurons)
    scaled = Atoms(scale * neuron.atoms.positions, neuron.atoms.masses)
    around = Atoms(np.zeros(1), np.ones(1)) if bias.gaussian else bias.atoms()
    settled = None if around is None else atomic.power(scaled, neurons)
    if settled is None:
        settled = atomic.NONE
    elif around is not None and len(around.positions) > 1:
        settled = settled.shifted(around)
    return ShallowLaw(width, neurons, scale, neuron, bias, settled)
