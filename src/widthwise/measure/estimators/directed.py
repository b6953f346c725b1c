r"""The controls of trained networks seen along directions: v · f⁽⁰⁾ and v · f⁽¹⁾.

The cumulants of the controls that :mod:`widthwise.training.ensembles` knows without training hold
one row at a time. Rows here are directions instead of outputs, so that the same formulas give

    E h,   κ(g, h),   κ(g, g, h),   κ(g, g, g, h),      g = v · A_t F,   h = v · f⁽¹⁾_t.

With z = g/s, ρ = h/s and c = κ₂(z) − 1 the Hermite moments are

    E ρ,   E zρ = κ(z, ρ),   E He₂(z)ρ = κ(z, z, ρ) + c E ρ,
    E He₃(z)ρ = κ(z, z, z, ρ) + 3c κ(z, ρ) + κ₃(z) E ρ.
"""

from dataclasses import dataclass
from functools import cached_property

import jax
import numpy as np
from jaxtyping import Float

from widthwise.model.architecture import MLP
from widthwise.training.ensembles.controls import Controls
from widthwise.training.ensembles.expectations import Expectations
from widthwise.training.ensembles.neurons import independent_neurons, neuron_expectations
from widthwise.training.ensembles.series import known_neuron, known_series
from widthwise.training.ensembles.untrained import untrained_expectations
from widthwise.training.symmetry import integer_powers, third_vanishes_in_mean


@dataclass(frozen=True, eq=False)
class Directed(Controls):
    """Controls whose rows are directions.

    Args:
        solution: the solution map about Θ_∞, with the labels.
        dynamics: gradient flow and its times.
        directions: v, one number per row of the outputs (directions, rows).
    """

    directions: Float[np.ndarray, "directions rows"]

    @cached_property
    def propagator(self) -> np.ndarray:
        """vᵀ A_t, (times, directions, rows)."""
        return self.directions @ self.solution.propagator(self.dynamics)

    def at(self, time: int) -> "Directed":
        """The controls at one of the times."""
        one = super().at(time)
        return Directed(one.solution, one.dynamics, self.directions)

    def linear(self, outputs: Float[np.ndarray, "*members rows"]) -> np.ndarray:
        """V · f⁽⁰⁾_t, (*members, times, directions)."""
        return self.carried(outputs) + self.solution.mean(self.dynamics) @ self.directions.T

    @cached_property
    def channels(self) -> np.ndarray:
        """From the channels of the time factors to the directions."""
        return self.directions @ self.solution.channels

    def first_order(self, outputs: np.ndarray, change: np.ndarray) -> np.ndarray:
        """Deviation v · f⁽¹⁾_t, from F and Δ: (members, times, directions)."""
        residual = self.modes(outputs) - self.labels
        return np.einsum("mtdj,mj->mtd", self.forced(change), residual, optimize=True)


def changes_sign(net: MLP) -> bool:
    """Whether cumulants of Θ_n with an odd number of F vanish."""
    balanced = not net.has_bias(net.depth) or net.bias_law[net.depth].symmetric
    return balanced and third_vanishes_in_mean(net)


def expectations(
    controls: Directed,
    net: MLP,
    width: int,
    x: np.ndarray,
    nngp: np.ndarray,
    key: jax.Array,
    untrained: int,
) -> Expectations:
    """Cumulants of the controls at width n, exact up to the error they come with.

    Args:
        controls: the controls.
        net: the architecture.
        width: n.
        x: all points, train points first (points, inputs).
        nngp: K of the rows (rows, rows).
        key: JAX random key of sampled neurons or untrained networks.
        untrained: how many untrained networks, where the network is not one hidden layer.
    """
    train, even = len(controls.solution.y) // net.outputs, changes_sign(net)
    if independent_neurons(net):
        known = known_neuron(net, x, train)
        return neuron_expectations(net, width, x, nngp, controls, key, even=even, known=known)
    known = known_series(net, x, controls.solution.ntk, integer=integer_powers(net))
    return untrained_expectations(
        net, width, x, nngp, controls, key, untrained, even=even, known=known
    )


def hermite_moments(
    found: Expectations, controls: Directed, std: Float[np.ndarray, "times directions"]
) -> tuple[Float[np.ndarray, "times directions 4"], Float[np.ndarray, "times directions 4"]]:
    """E He_k(z) ρ for k = 0 … 3, and errors."""
    A = controls.propagator
    second = np.einsum("tda,ab,tdb->td", A, found.second.value, A)
    c = second / std**2 - 1
    mixed = np.einsum("tdd->td", found.mixed.value), np.einsum("tdd->td", found.mixed.error)
    first = found.first_order
    third, fourth = found.mixed_cumulants[3], found.mixed_cumulants[4]
    own = found.linear_cumulants[3]
    value = np.stack(
        [
            first.value / std,
            mixed[0] / std**2,
            third.value / std**3 + c * first.value / std,
            fourth.value / std**4 + 3 * c * mixed[0] / std**2 + own.value * first.value / std**4,
        ],
        -1,
    )
    error = np.stack(
        [
            first.error / std,
            mixed[1] / std**2,
            third.error / std**3 + np.abs(c) * first.error / std,
            fourth.error / std**4
            + 3 * np.abs(c) * mixed[1] / std**2
            + (np.abs(own.value) * first.error + own.error * np.abs(first.value)) / std**4,
        ],
        -1,
    )
    return value, error
