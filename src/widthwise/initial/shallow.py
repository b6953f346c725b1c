"""One hidden layer: the joint cumulants of the outputs, exact at every width.

The output of a network with one hidden layer is a normalized sum of n independent neurons, so for
every order r and every n, exactly,

    κ(f_{i₁}(x_{a₁}) … f_{i_r}(x_{a_r})) =
        (ρn)^{1−r/2} σ_w^r κ(W_{i₁}h_{a₁}, …, W_{i_r}h_{a_r}) + σ_b^r κ_r(b) 1[i₁ = … = i_r],

with h_a = φ(z_a) of one neuron, W_i its readout weights and ρ the width ratio: a single term in
n^{-1/2}, and an output bias that does not shrink, or with n^{-r/2} where biases scale with the
fan-in. The cumulant on the right comes from the moments E[∏W] E[∏h] by set partitions
(:mod:`widthwise.algebra.partitions`).
"""

import math
from collections import Counter
from functools import cache, lru_cache

import numpy as np

from widthwise.algebra.gaussian import Estimate
from widthwise.algebra.partitions import mobius, multiset_partitions
from widthwise.limit import first_layer
from widthwise.limit.layer import require_moments
from widthwise.model.architecture import MLP
from widthwise.model.laws import Law


class ShallowCumulants:
    """Moments and cumulants of one neuron of a network with one hidden layer, cached.

    Args:
        net: a network of depth 1.
        x: data (points, inputs).
        tolerance: relative tolerance of the quadratures.
    """

    def __init__(self, net: MLP, x: np.ndarray, tolerance: float | None = None):
        self.net, self.x, self.tolerance = net.at_width(np.inf, x.shape[1]), x, tolerance
        self._bias = float(net.bias_std[1])
        self._shrinks = net.bias_scaling == "fan_in"
        self.moment = lru_cache(maxsize=None)(self._moment)

    def cumulant(self, points: tuple[int, ...], components: tuple[int, ...]) -> Estimate:
        """The coefficient of n^{1−r/2} in the joint cumulant, without the output bias."""
        net, r = self.net, len(points)
        counts = Counter(zip(points, components, strict=True))
        variables = tuple(counts)

        @cache
        def factor(part: tuple[int, ...]) -> tuple[float, Estimate | None]:
            block = [v for v, count in zip(variables, part, strict=True) for _ in range(count)]
            weight = _weight_moment(net.weight_law[1], [component for _, component in block])
            return weight, self.moment(tuple(sorted(row for row, _ in block))) if weight else None

        total, error = 0.0, 0.0
        for parts, ways in reversed(multiset_partitions(tuple(counts.values()))):
            factors = [factor(part) for part in parts]
            moments = [h for weight, h in factors if weight and h is not None]
            if len(moments) == len(parts):
                weight = ways * mobius(len(parts)) * math.prod(w for w, _ in factors)
                values = [float(h.value) for h in moments]
                total += weight * math.prod(values)
                sizes = [abs(value) for value in values]
                for i, h in enumerate(moments):
                    others = math.prod(sizes[:i]) * math.prod(sizes[i + 1 :])
                    error += abs(weight) * others * float(h.error)
        scale = net.weight_std[1] ** r * net.ratios[0] ** (1 - r / 2)
        return Estimate(np.asarray(scale * total), np.asarray(abs(scale) * error))

    def bias_cumulant(self, components: tuple[int, ...]) -> tuple[int, float]:
        """The power of n^{-1/2} and the coefficient σ_b^r κ_r(b), 0 unless all components agree.

        The power is 0, or r where biases scale with the fan-in ρn.
        """
        if len(set(components)) > 1 or not self._bias:
            return 0, 0.0
        r = len(components)
        value = self._bias**r * self.net.bias_law[1].cumulant(r)
        return (r, value * self.net.ratios[0] ** (-r / 2)) if self._shrinks else (0, value)

    def _moment(self, points: tuple[int, ...]) -> Estimate:
        """E ∏_{a ∈ points} h_a over one neuron."""
        require_moments(self.net, 0, len(points))
        powers = Counter(points)
        rows = sorted(powers)
        exponents = np.array([powers[row] for row in rows])

        def product(z: np.ndarray) -> np.ndarray:
            return np.prod(np.asarray(self.net.activation(z)) ** exponents, axis=1)

        return first_layer.expectation(self.net, self.x[rows], product, self.tolerance)


def _weight_moment(law: Law, components: list[int]) -> float:
    """E ∏ W_i over independent readout weights, one per component."""
    value = 1.0
    for count in Counter(components).values():
        value *= law.moment(count)
        if not value:
            return 0.0
    return value
