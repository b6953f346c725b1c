r"""Means of the controls at initialization, from the cumulants of the projection at width n.

With W = v · f/σ, its cumulants κ_r at width n (κ₁ = 0) and c = κ₂ − 1, s² and τ of :mod:`.drawn`,

    E(1 − τ) = −c,    E(1 − τ)W = −κ₃/2,    E(1 − τ)He₂(W) = −κ₄/3 − c²,
    E(s² − 1) = c,    E(s² − 1)² = κ₄/3 + c²  (Gaussian readout),
    E He_r(W) = κ_r for r = 3,   κ₄ + 3c² for r = 4.

The first line is E[W g(W)] = E[τ g'(W)] for g = W, W², W³. For one hidden layer κ_r n^{r/2−1} does
not depend on n; for deep networks the series ends and its remainder is the error. Where the
preactivations of one hidden layer fill more than three dimensions, its fourth cumulants would be
hundreds of integrals over four. There, with h the projected features of a neuron, those of

    κ₃ = E a³ E h³/√N,    κ₄ = (E a⁴ E h⁴ − 3 (E a² h²)²)/N,

are averages over sampled neurons, with a standard error; moments of a are known.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise.initial.cumulants import output_cumulants
from widthwise.measure.predicted.source import table_of
from widthwise.model.architecture import MLP
from widthwise.training.ensembles.expectations import averaged
from widthwise.training.ensembles.neurons import independent_neurons
from widthwise.training.symmetry import integer_powers

_MOST_POINTS = 3  # of the deep recursion
_MOST_SHALLOW = 12
_MOST_DIMENSIONS = 3  # of the preactivations of one hidden layer, by quadrature
_BATCHES = 32
_NEURONS = 1024, 2**14  # of a batch, fewest and most
_NUMBERS = 2**18


class Cumulants:
    """κ₂, κ₃, κ₄ of projections of the outputs at any width.

    Args:
        net: the architecture.
        x: all points (points, inputs).
        component: which output.
        key: JAX random key of sampled neurons.
    """

    def __init__(self, net: MLP, x: np.ndarray, component: int, key: jax.Array):
        self.net, self.component = net, component
        self.exact = net.depth == 1 and net.bias_scaling == "constant"
        most = _MOST_SHALLOW if net.depth == 1 else _MOST_POINTS
        self._table = None
        self._neurons: list[np.ndarray] = []
        if self.exact and _sampling(net, x):
            self._neurons = [_features(net, x, one) for one in jax.random.split(key, _BATCHES)]
            return
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
        if self._neurons:
            return self._sampled(directions / std[:, None], float(self.net.widths(width)[0]))
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

    def _sampled(self, directions: np.ndarray, N: float) -> tuple[np.ndarray, np.ndarray]:
        """The variance is that of the limit at every width; κ₃ and κ₄ are those of one neuron."""
        law = self.net.weight_law[1]
        third, fourth = law.moment(3), law.moment(4)
        found = []
        for features in self._neurons:
            h = features @ directions.T
            square = (h**2).mean(0)
            found.append([third * (h**3).mean(0), fourth * (h**4).mean(0) - 3 * square**2])
        kappa = averaged(np.array(found))
        value, error = np.zeros((2, len(directions), 5))
        value[:, 2] = 1
        powers = np.array([N**-0.5, 1 / N])
        value[:, 3:], error[:, 3:] = kappa.value.T * powers, kappa.error.T * powers
        return value, error


def _sampling(net: MLP, x: np.ndarray) -> bool:
    """Whether quadrature would take long, and sampled neurons can take its place."""
    dimensions = min(x.shape[1] + net.has_bias(0), len(x))
    many = dimensions > _MOST_DIMENSIONS and independent_neurons(net)
    return many and net.weight_law[1].highest_moment >= 4


def _features(net: MLP, x: np.ndarray, key: jax.Array) -> Float[np.ndarray, "neurons points"]:
    """σ_w φ(z) of sampled neurons."""
    fewest, most = _NEURONS
    first, _ = net.init(key, min(max(_NUMBERS // len(x), fewest), most), x.shape[1])
    phi = net.activation(net.apply((first,), jnp.asarray(x)))
    return np.asarray(net.weight_std[1] * phi).T


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
