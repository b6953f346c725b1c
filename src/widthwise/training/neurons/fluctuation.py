r"""How much the tangent kernel of a finite network differs from its limit along an eigenvector.

    n E‖(Θ_n(0) − Θ)q‖² = E‖κ_X q‖² − ‖(Θ − σ_b²)q‖²,

κ = ψψᵀ + a² (ψ'ψ'ᵀ ∘ k) the kernel of one neuron, for every eigenvector q of Θ on the train points.
A figure for judging the expansion, over a few hundred fixed neurons: good to some ten percent.
"""

import numpy as np
from jaxtyping import Float

from widthwise.training.neurons.problem import Problem
from widthwise.training.neurons.sampling import Sampler, readout_atoms

_NEURONS, _NUMBERS = 512, 1 << 22


def kernel_fluctuation(of: Problem, sampler: Sampler) -> Float[np.ndarray, " train"]:
    """N E‖(Θ_n(0) − Θ)q‖² for every eigenvector."""
    m, Q = of.train, of.vectors
    s, _ = sampler.stream(np.random.SeedSequence(0)).draw(_NEURONS)
    psi, slope = of.psi(s @ sampler.maps.sources[:m].T, 2)
    k = of.first_kernel[:m, :m]
    square, step = np.zeros(m), max(1, _NUMBERS // m**2)
    for low in range(0, _NEURONS, step):
        h, g = psi[low : low + step], slope[low : low + step]
        for a, probability in readout_atoms(of.fourth_moment):
            kernels = h[:, :, None] * h[:, None] + a**2 * g[:, :, None] * g[:, None] * k
            square += probability * ((kernels @ Q) ** 2).sum((0, 1)) / _NEURONS
    mean = (of.flow.ntk[:m] - of.bias_variance) @ Q
    return np.maximum(square - (mean**2).sum(0), 0.0)
