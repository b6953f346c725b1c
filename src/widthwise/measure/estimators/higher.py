r"""Means of He₄(z)ρ and He₅(z)ρ where a change of sign turns f into −f: both of order n^{-2}.

With ρ = Σ_j Δ_j (F_j − y_j), Var z = 1, and cumulants with an odd number of F vanishing, the
formula of Leonov and Shiryaev leaves

    E He₄(z)ρ = −Σ_j y_j κ(z, z, z, z, Δ_j),
    E He₅(z)ρ = Σ_j 5 κ₄(z) κ(z, Δ_j, F_j) + 5 κ(z, z, z, z, Δ_j) κ(z, F_j)
                    + 10 κ(z, z, Δ_j) κ(z, z, z, F_j) + O(n^{-3}).

For one hidden layer of N neurons all are cumulants of one neuron times a power of N. For deep
networks they are not computed: the mean is 0 and its error the size of such products.
"""

import jax
import numpy as np
from jaxtyping import Float

from widthwise.measure.estimators.directed import Directed
from widthwise.model.architecture import MLP
from widthwise.training.ensembles.neurons import sampled_neurons
from widthwise.training.ensembles.samples import joint_cumulant

_BATCHES = 16
_NUMBERS = 2e6


def sampled_moments(
    controls: Directed,
    net: MLP,
    width: int,
    x: np.ndarray,
    std: Float[np.ndarray, "times directions"],
    key: jax.Array,
) -> tuple[Float[np.ndarray, "times directions 2"], Float[np.ndarray, "times directions 2"]]:
    """E He_k(z)ρ, k = 4, 5, of one hidden layer, and standard errors.

    Args:
        controls: the controls along the directions.
        net: one hidden layer of independent neurons.
        width: n.
        x: all points, train points first (points, inputs).
        std: s.
        key: JAX random key of the sampled neurons.
    """
    limit, N = net.at_width(np.inf, x.shape[1]), float(net.widths(width)[0])
    count, modes = len(controls.directions), len(controls.labels)
    size = int(np.clip(_NUMBERS / (count * max(modes, len(x))), 1024, 2**13))
    train = len(controls.solution.y)
    found = []
    for one in jax.random.split(key, _BATCHES):
        eta, kernel = sampled_neurons(limit, x, train, size, one)
        found.append([_at_time(controls.at(t), eta, kernel, s, N) for t, s in enumerate(std)])
    every = np.array(found)
    return every.mean(0), every.std(0, ddof=1) / np.sqrt(_BATCHES)


def _at_time(controls: Directed, eta, kernel, std: np.ndarray, N: float) -> np.ndarray:
    z = eta @ controls.propagator[0].T / std
    delta = controls.forced(kernel)[:, 0] / std[:, None]
    F = controls.modes(eta)[:, None, :]
    Z = z[:, :, None]
    five = joint_cumulant((Z, Z, Z, Z, delta)) / N**2
    fourth = joint_cumulant((z, z, z, z))[:, None] / N
    mixed = joint_cumulant((Z, delta, F)) / N
    square, cube = joint_cumulant((Z, Z, delta)) / N, joint_cumulant((Z, Z, Z, F)) / N
    pair = joint_cumulant((Z, F))
    fifth = 5 * fourth * mixed + 5 * five * pair + 10 * square * cube
    return np.stack([-five @ controls.labels, fifth.sum(-1)], -1)


def sizes(
    lower: Float[np.ndarray, "times directions 4"], fourth: Float[np.ndarray, "times directions"]
) -> tuple[Float[np.ndarray, "times directions 2"], Float[np.ndarray, "times directions 2"]]:
    """0 for the means, and the size of products of E He_k(z)ρ, k < 4, and κ₄(z) as their error."""
    small = np.abs(lower[..., 1]) + np.abs(fourth)
    error = 10 * np.stack([np.abs(lower[..., 2]) * small, small**2], -1)
    return np.zeros_like(error), error
