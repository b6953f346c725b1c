r"""What the series adds to a standard Gaussian on the line, and distances from it.

For a projection of standard deviation σ in the limit, u = z/σ,

    F_n − Φ = −φ(u) Σ_k ε^k p_k(u),    p_k = Σ_j c_{j+1}^{(k)} He_j,      ε = n^{-1/2},

c_r^{(k)} the coefficients of the Edgeworth expansion (:mod:`widthwise.initial.edgeworth`), mean and
variance corrections included. With p = Σ_k ε^k p_k,

    W₁ = σ ∫ |φ p| du,    KS = sup |φ p|,    energy = 2σ ∫ (φ p)² du,

and quantiles move by σ(ε p₁ + ε² (p₂ + p₁ p₁' − u p₁²/2)) (Cornish and Fisher 1937), which gives

    W₂ = σ ‖ε p₁ + ε² (p₂ + p₁ p₁' − u p₁²/2)‖ in L²(φ).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy.polynomial import hermite_e

from widthwise.algebra import perturbation
from widthwise.initial.edgeworth.expansion import expansion

METRICS = ("wasserstein1", "wasserstein2", "kolmogorov", "energy")
_U, _W = hermite_e.hermegauss(64)
_W = _W / _W.sum()
_HALF_U, _HALF_W = _U / np.sqrt(2), _W * np.sqrt(np.pi) / (2 * np.pi)  # ∫ φ² f du
_NOTHING = 1e-12


@dataclass(frozen=True, eq=False)
class Line:
    """The correction to the law of one projection.

    Args:
        cumulants: κ_r by power of ε, of the projection with mean 0 in the limit.
        errors: of the cumulants.
    """

    cumulants: Float[np.ndarray, "orders_plus_3 orders_plus_1"]
    errors: Float[np.ndarray, "orders_plus_3 orders_plus_1"]

    @property
    def std(self) -> float:
        """σ."""
        return float(np.sqrt(self.cumulants[2, 0]))

    @property
    def order(self) -> int:
        """P."""
        return self.cumulants.shape[1] - 1

    @cached_property
    def _expanded(self) -> tuple[np.ndarray, np.ndarray]:
        scale = self.std ** -np.arange(len(self.cumulants), dtype=float)[:, None]
        errors = self.errors * scale
        errors[2, 0] = 0.0  # σ is the unit of the law and of its limit
        found = expansion(self.cumulants * scale, errors, 1)
        return found.coefficients[1:], found.errors[1:]

    @property
    def polynomials(self) -> Float[np.ndarray, "degrees orders"]:
        """Hermite coefficients of p_k, k = 0 … P."""
        return self._expanded[0]

    def weights(self, epsilon: float, first: int, last: int) -> Float[np.ndarray, " degrees"]:
        """Σ_{first ≤ k ≤ last} ε^k p_k."""
        k = np.arange(first, last + 1)
        return self.polynomials[:, first : last + 1] @ epsilon ** k.astype(float)

    def leading(self, last: int) -> int | None:
        """The first order that adds something, up to the last."""
        p, off = self._expanded
        for k in range(1, last + 1):
            size = perturbation.wasserstein_bound(np.abs(p[:, k]))
            if size > max(_NOTHING, 2 * perturbation.wasserstein_bound(off[:, k])):
                return k
        return None

    def density_size(self, order: int) -> float:
        """∫ |φ Σ_r c_r^{(k)} He_r|, how much an order moves the density."""
        c = np.concatenate([[0.0], self.polynomials[:, order]])
        return perturbation.wasserstein(c)

    def numerical(self, metric: str, epsilon: float, last: int) -> float:
        """What the errors of the cumulants amount to."""
        sizes = self._expanded[1][:, : last + 1] @ epsilon ** np.arange(last + 1.0)
        bound = perturbation.wasserstein_bound(sizes)
        if metric == "kolmogorov":
            return perturbation.kolmogorov_bound(sizes)
        if metric == "energy":
            distance = self.distance("kolmogorov", self.weights(epsilon, 1, last))
            return 4 * self.std * bound * distance
        return self.std * bound

    def distance(self, metric: str, weights: Float[np.ndarray, " degrees"]) -> float:
        """A distance for p = Σ_j weights_j He_j; W₂ to first order."""
        if metric == "kolmogorov":
            return perturbation.kolmogorov(weights)
        if metric == "wasserstein1":
            return self.std * perturbation.wasserstein(weights)
        if metric == "energy":
            return float(2 * self.std * _HALF_W @ hermite_e.hermeval(_HALF_U, weights) ** 2)
        return float(self.std * np.sqrt(_W @ hermite_e.hermeval(_U, weights) ** 2))

    def at(self, metric: str, epsilon: float, last: int) -> float:
        """The distance with the orders up to the last.

        Raises:
            ValueError: for W₂ beyond order 2.
        """
        if metric != "wasserstein2" or last < 2:
            return self.distance(metric, self.weights(epsilon, 1, last))
        if last > 2:
            raise ValueError(
                f"Wasserstein-2 is predicted to order 2, got order={last}; use order=2, or the "
                "metric 'wasserstein1'"
            )
        p = hermite_e.hermeval(_U, self.polynomials)
        slope = hermite_e.hermeval(_U, hermite_e.hermeder(self.polynomials[:, 1]))
        second = p[2] + p[1] * slope - _U * p[1] ** 2 / 2
        return float(self.std * np.sqrt(_W @ (epsilon * p[1] + epsilon**2 * second) ** 2))
