"""What biases add to the conditional cumulants Y_k of a layer: constants, in powers of n^{-1/2}.

A Gaussian bias of constant scale is part of the covariance, σ_b² for every pair of values. One that
is not Gaussian has no small cumulants: hidden neurons are averaged over it
(:class:`~.preactivation.GaussianLaw`), and at the output it adds σ_b^r κ_r(b) to Y_k of r values.
A bias σ_b b/√fan_in, fan_in = ρn, acts like one more constant unit below and adds

    (σ_b/√ρ)^r κ_r(b) n^{-r/2}.

The direction of a bias adds its learning rate times its squared scale to the pairs of tangents.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from widthwise.initial.recursion.channels import Channels
from widthwise.initial.recursion.monomials import Key
from widthwise.limit.layer import has_gaussian_bias
from widthwise.model.architecture import MLP


@dataclass(frozen=True, eq=False)
class Biases:
    """The biases of all layers, 0 the first and depth the output.

    Args:
        net: the architecture.
        channels: what a neuron carries.
        inputs: the input dimension d.
        input_ratio: d/n where it scales with the width, else ``None``.
        order: P.
    """

    net: MLP
    channels: Channels
    inputs: int
    input_ratio: float | None
    order: int

    @cached_property
    def limit(self) -> MLP:
        """The network with the biases that are left as n → ∞."""
        grows = self.input_ratio is not None and self.net.bias_scaling == "fan_in"
        return self.net.at_width(np.inf, np.inf if grows else self.inputs)

    @cached_property
    def _present(self) -> tuple[bool, ...]:
        """Which layers have biases."""
        return tuple(map(self.net.has_bias, range(self.net.depth + 1)))

    def sizes(self, layer: int) -> set[int]:
        """The sizes of keys that a bias adds to in powers of n^{-1/2}."""
        law = self.net.bias_law[layer]
        if self._ratio(layer) is None or not self._present[layer]:
            return set()
        return {r for r in range(2, self.order + 1) if law.cumulant(r)}

    def shift(self, layer: int, key: Key) -> Float[np.ndarray, " orders"]:
        """What is added to Y_k."""
        total, r = np.zeros(self.order + 1), len(key)
        if not self._present[layer]:
            return total
        ratio, values = self._ratio(layer), all(map(self.channels.is_value, key))
        if self.channels.same_replica(key):
            constant, over_n = self._tangents(layer)
            total[0] = constant
            total[2:3] = over_n
        elif not values:
            return total
        elif ratio is not None:
            std = float(self.net.bias_std[layer]) / ratio**0.5
            total[r : r + 1] = std**r * self.net.bias_law[layer].cumulant(r)
        elif layer == self.net.depth or (r == 2 and has_gaussian_bias(self.limit, layer)):
            std = float(self.limit.bias_std[layer])
            total[0] = std**r * self.limit.bias_law[layer].cumulant(r)
        return total

    def _ratio(self, layer: int) -> float | None:
        """fan_in/n where the bias scales with it, else ``None``."""
        if self.net.bias_scaling == "constant":
            return None
        return self.net.ratios[layer - 1] if layer else self.input_ratio

    def _tangents(self, layer: int) -> tuple[float, float]:
        """Learning rate times squared scale: its limit, and the coefficient of 1/n."""
        ratio = self._ratio(layer)
        if self.net.parametrization == "standard":
            return 0.0, 1.0
        if ratio is None:
            return float(self.limit.bias_std[layer]) ** 2, 0.0
        return 0.0, float(self.net.bias_std[layer]) ** 2 / ratio
