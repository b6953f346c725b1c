"""What an exact law is: the distribution of a projection of the outputs at one width, with errors.

A law may have atoms (dead relu neurons, lattices) besides its density: P(Z ∈ A) is the sum of
their masses in A plus the integral of the density. ``cdf`` counts both, ``pdf`` is the density.
"""

import abc

import numpy as np
from jaxtyping import Float

from widthwise._vocabulary import ArrayLike
from widthwise.initial.exact.atoms import Atoms

_FIRST_REACH = 4.0
_TABLE = 400
_STEPS = 60


class ExactLaw(abc.ABC):
    """The law of one projection Z of a network's outputs at one width, mean 0.

    Not expanded in the width: what is approximate is quadrature, and its error is known.
    """

    width: int

    @property
    @abc.abstractmethod
    def std(self) -> float:
        """The standard deviation of Z, exact."""

    @property
    @abc.abstractmethod
    def atoms(self) -> Atoms:
        """Values that Z takes with positive probability: ``positions`` and ``masses``."""

    @property
    def error(self) -> float:
        """The largest error of ``cdf``, on a grid over eight standard deviations."""
        return float(self.cdf_error(self.std * np.linspace(-8, 8, 161)).max())

    def pdf(self, z: ArrayLike) -> np.ndarray:
        """The density at values z (of the part without atoms), an array of the shape of z."""
        return self._on_flat(self._density, z)

    def cdf(self, z: ArrayLike) -> np.ndarray:
        """P(Z ≤ z), atoms included, an array of the shape of z."""
        return np.asarray(np.clip(self._on_flat(self._distribution, z), 0.0, 1.0))

    def pdf_error(self, z: ArrayLike) -> np.ndarray:
        """The estimated absolute error of ``pdf`` at each z."""
        return self._on_flat(self._density_error, z)

    def cdf_error(self, z: ArrayLike) -> np.ndarray:
        """The estimated absolute error of ``cdf`` at each z."""
        return self._on_flat(self._distribution_error, z)

    @abc.abstractmethod
    def characteristic(self, t: ArrayLike) -> np.ndarray:
        """E e^{itZ} at every entry of t."""

    @abc.abstractmethod
    def cumulant(self, order: int) -> float:
        """The cumulant κ_r(Z).

        Raises:
            ValueError: a law of the network has no moment of that order.
        """

    def moment(self, order: int) -> float:
        """The moment E Z^r.

        Raises:
            ValueError: a law of the network has no moment of that order.
        """
        from_cumulants = moments([self.cumulant(r) for r in range(order + 1)])
        return from_cumulants[order]

    @abc.abstractmethod
    def tail(self, z: ArrayLike, method: str = "contour") -> np.ndarray:
        """P(Z > z) with its relative accuracy kept, however small it is."""

    def ppf(self, q: ArrayLike) -> np.ndarray:
        """The smallest z with P(Z ≤ z) ≥ q, an array of the shape of q.

        Raises:
            ValueError: a q outside [0, 1], or closer to 0 or 1 than the error of ``cdf``.
        """
        levels = np.asarray(q, dtype=float)
        wrong = ~((levels >= 0) & (levels <= 1))
        if wrong.any():
            raise ValueError(f"q must be probabilities in [0, 1], got {levels[wrong].flat[0]}")
        inside = (levels > 0) & (levels < 1)
        result = np.where(levels > 0, np.inf, -np.inf)
        if inside.any():
            result[inside] = self._quantiles(levels[inside])
        return result

    def _quantiles(self, q: np.ndarray) -> np.ndarray:
        reach = _FIRST_REACH * self.std
        while True:
            ends = np.array([-reach, reach])
            low, high = self.cdf(ends)
            if low < q.min() and high >= q.max():
                break
            trusted = 4 * self.cdf_error(ends).max()
            if min(q.min(), 1 - q.max()) <= trusted or reach > 1e6 * self.std:
                raise ValueError(
                    f"q holds {q[np.argmax(np.abs(q - 0.5))]}, but the distribution function "
                    f"is known to {trusted:.1e} only, so this quantile is not; probabilities so "
                    "far out are given by tail(z)"
                )
            reach *= 2
        table = np.linspace(-reach, reach, _TABLE)
        values = np.maximum.accumulate(self.cdf(table))
        above = np.clip(np.searchsorted(values, q), 1, _TABLE - 1)
        return self._between(q, table[above - 1], table[above])

    def _between(self, q: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Safeguarded Newton steps in brackets with P(Z ≤ low) < q ≤ P(Z ≤ high)."""
        z = (low + high) / 2
        for y in self.atoms.positions if len(self.atoms.positions) <= 64 else ():
            z = np.where((low < y) & (y <= high), y, z)
        tolerance = 4e-16 * (np.abs(low) + np.abs(high) + self.std)
        for step in range(_STEPS):
            excess = self._distribution(z) - q
            enough = excess >= 0
            low, high = np.where(enough, low, z), np.where(enough, z, high)
            if (high - low <= tolerance).all() or (np.abs(excess) <= 1e-16).all():
                break
            slope = self._density(z) if step % 3 < 2 and self._continuous else np.zeros_like(z)
            with np.errstate(divide="ignore", invalid="ignore"):
                newton = z - excess / slope
            # a step past the root by the rounding keeps the bracket closing from both sides
            newton = newton + np.where(enough, -1.0, 1.0) * tolerance / 2
            good = (newton > low) & (newton < high)
            z = np.where(good, newton, (low + high) / 2)
        return high

    @property
    def _continuous(self) -> bool:
        """Whether there is a density."""
        return True

    @abc.abstractmethod
    def _density(self, z: np.ndarray) -> np.ndarray: ...

    @abc.abstractmethod
    def _distribution(self, z: np.ndarray) -> np.ndarray: ...

    @abc.abstractmethod
    def _density_error(self, z: np.ndarray) -> np.ndarray: ...

    @abc.abstractmethod
    def _distribution_error(self, z: np.ndarray) -> np.ndarray: ...

    @staticmethod
    def _on_flat(function, z: ArrayLike) -> Float[np.ndarray, "..."]:
        values = np.asarray(z, dtype=float)
        return np.asarray(function(values.ravel()), dtype=float).reshape(values.shape)


def moments(cumulants: list) -> list:
    """μ_0 … μ_r from κ_0 … κ_r (numbers or arrays): μ_r = Σ_j C(r−1, j−1) κ_j μ_{r−j}."""
    mu = [1.0]
    for r in range(1, len(cumulants)):
        binomial = 1
        total = 0.0
        for j in range(1, r + 1):
            total += binomial * cumulants[j] * mu[r - j]
            binomial = binomial * (r - j) // j
        mu.append(total)
    return mu


def cumulants(mu: list[float]) -> list[float]:
    """κ_0 … κ_r from μ_0 … μ_r, the same equation solved for its last term."""
    kappa = [0.0]
    for r in range(1, len(mu)):
        binomial, total = 1, mu[r]
        for j in range(1, r):
            total -= binomial * kappa[j] * mu[r - j]
            binomial = binomial * (r - j) // j
        kappa.append(total)
    return kappa
