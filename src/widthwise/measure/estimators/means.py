r"""Means of the controls at initialization, from the cumulants of the projection at width n.

With W = v · f/σ, its cumulants κ_r at width n (κ₁ = 0) and c = κ₂ − 1, s² and τ of :mod:`.drawn`,

    E(1 − τ) = −c,    E(1 − τ)W = −κ₃/2,    E(1 − τ)He₂(W) = −κ₄/3 − c²,
    E(s² − 1) = c,    E(s² − 1)² = κ₄/3 + c²  (Gaussian readout),
    E He_r(W) = κ_r for r = 3,   κ₄ + 3c² for r = 4.

The first line is E[W g(W)] = E[τ g'(W)] for g = W, W², W³. For one hidden layer κ_r n^{r/2−1} does
not depend on n; for deep networks the series ends and its remainder is the error.
"""

import numpy as np
from jaxtyping import Float

from widthwise.initial.cumulants import output_cumulants
from widthwise.measure.predicted.source import table_of
from widthwise.model.architecture import MLP
from widthwise.training.symmetry import integer_powers

_MOST_POINTS = 3  # of the deep recursion
_MOST_SHALLOW = 12


class Cumulants:
    """κ₂, κ₃, κ₄ of projections of the outputs at any width.

    Args:
        net: the architecture.
        x: all points (points, inputs).
        component: which output.
    """

    def __init__(self, net: MLP, x: np.ndarray, component: int):
        self.net, self.component = net, component
        self.exact = net.depth == 1 and net.bias_scaling == "constant"
        most = _MOST_SHALLOW if net.depth == 1 else _MOST_POINTS
        self._table = None
        if len(x) > most:
            return
        order = 2 if self.exact else 4
        try:
            cumulants = output_cumulants(net, x, order=order)
            rows = tuple(range(len(x)))
            self._table = table_of(cumulants, rows, component, None, order)
        except ValueError:  # a law without the moments, or outputs on a lattice
            self._table = None

    def standardized(
        self, directions: Float[np.ndarray, "directions points"], std: np.ndarray, width: int
    ) -> tuple[Float[np.ndarray, "directions 5"], Float[np.ndarray, "directions 5"]]:
        """κ_0 … κ_4 of v · f/σ at width n, and their errors; nan where they are not known."""
        shape = (len(directions), 5)
        if self._table is None:
            return np.full(shape, np.nan), np.full(shape, np.inf)
        epsilon = float(width) ** -0.5
        value, error = np.zeros(shape), np.zeros(shape)
        step = epsilon**2 if integer_powers(self.net) else epsilon
        for i, (v, s) in enumerate(zip(directions, std, strict=True)):
            kappa, off = self._table.along(v[None] / s)
            kappa, off = kappa[:5], off[:5]
            powers = epsilon ** np.arange(kappa.shape[1])
            value[i], error[i] = kappa @ powers, off @ powers
            if not self.exact:
                last = np.abs(kappa * powers)[:, -2:].max(1)
                error[i] = error[i] + last * step
        return value, error


def stein_means(kappa: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of (1 − τ), (1 − τ)W, (1 − τ)He₂(W) and their errors, (directions, 3)."""
    c = kappa[:, 2] - 1
    value = np.stack([-c, -kappa[:, 3] / 2, -kappa[:, 4] / 3 - c**2], 1)
    off = np.stack([error[:, 2], error[:, 3] / 2, error[:, 4] / 3 + 2 * np.abs(c) * error[:, 2]], 1)
    return value, off


def variance_means(kappa: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of s² − 1 and (s² − 1)² for a Gaussian readout, and their errors, (directions, 2)."""
    c = kappa[:, 2] - 1
    off = error[:, 4] / 3 + 2 * np.abs(c) * error[:, 2]
    return np.stack([c, kappa[:, 4] / 3 + c**2], 1), np.stack([error[:, 2], off], 1)


def hermite_means(kappa: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of He_1 … He_4 of W, and their errors, (directions, 4)."""
    c = kappa[:, 2] - 1
    value = np.stack([0 * c, c, kappa[:, 3], kappa[:, 4] + 3 * c**2], 1)
    off = np.stack([0 * c, error[:, 2], error[:, 3], error[:, 4] + 6 * np.abs(c) * error[:, 2]], 1)
    return value, off
