r"""One hidden layer of ReLU type: how far the Jacobian can be from the initial one.

φ(z) = s₊ z for z > 0 and s₋ z for z < 0 has no second derivative, and the Jacobian jumps where a
preactivation changes sign. With X̃ the extended inputs, B = M1|X̃|, A_k the readout column of neuron
k, J_0 the initial Jacobian and |θ - θ_0| ≤ ρ,

    |J - J_0| ≤ c_1 B ρ + c_1 |s₊ - s₋| |X̃| max_i (Σ_k |A_k|² 1{z_ik may change sign})^{1/2},

the readout as it was at the start. A sign can change where neuron k moves by t_ik = |z_ik|/|x̃_i| at
least. Under gradient flow with I ≥ ∫|r| it moves by

    cap_k = c_k (e^{c_1 B I} - 1)/B,   c_k = √(B²|A_k|² + |φ(z_k)|²)

at most, and Σ t_ik² over the neurons that changed sign is at most ρ²: the sum over k is bounded by
that of the fractional knapsack. At a kink φ' may be any number between s₋ and s₊; which one J_0 has
there does not matter, because such a pair (i, k) counts as changed from the beginning.
"""

import numpy as np

from widthwise.certify.constants.shallow import extended_inputs, gram_powers
from widthwise.certify.constants.smoothness import Smoothness
from widthwise.certify.evaluation import SAFE, Evaluation, norms
from widthwise.model.activations import Activation


def slopes(activation: Activation) -> tuple[float, float] | None:
    """(s₋, s₊) of an activation that is linear on either side of 0; ``None`` for others."""
    if activation.homogeneity != 1 or activation.kinks != (0.0,):
        return None
    below, above = np.asarray(activation(np.array([-1.0, 1.0])))
    return -float(below), float(above)


def piecewise(activation: Activation) -> Smoothness:
    """Sup-norms off the kink."""
    below, above = slopes(activation) or (np.nan, np.nan)
    return Smoothness(np.inf, max(abs(below), abs(above)) * (1 + 1e-7), 0.0, 0.0)


class FlipBounds:
    """Bounds of |J - J_0| under gradient flow of a network of ReLU type."""

    def __init__(self, at: Evaluation):
        p = at.problem
        below, above = slopes(p.activation) or (np.nan, np.nan)
        self._scale, self._jump = p.scales[-1], abs(above - below) * (1 + 1e-12)
        self._inputs = gram_powers(p).first
        self.reach = p.bounds.slope * self._inputs * SAFE
        column = np.sqrt((at.blocks[-1].weight ** 2).sum(0)) * SAFE
        feature = np.abs(at.features[1]) + at.forward_errors[0][1]
        size = np.sqrt(((p.root[:, None] * feature) ** 2).sum(0)) * SAFE
        self._speed = np.sqrt(self.reach**2 * column**2 + size**2) * SAFE
        z = at.preactivation(0)[0]
        row = norms(extended_inputs(p))[:, None] * SAFE
        away = np.maximum(np.abs(z) * (1 - 1e-12) - at.forward_errors[1][0], 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.where(row > 0, away / row, np.inf)
        order = np.argsort(distance / np.maximum(column, 1e-300), axis=1)
        self._distance = np.take_along_axis(distance, order, 1)
        self._weight = column[order] ** 2
        self._order = order

    def jacobian_change(self, rho: float, integral: float) -> float:
        """ℓ ≥ |J_t - J_0| where |θ_t - θ_0| ≤ ρ and ∫|r| ≤ ``integral``."""
        exponent = self._scale * self.reach * integral
        growth = np.expm1(exponent) / self.reach * SAFE if exponent < 50 else np.inf
        cap = np.minimum(self._speed * growth, rho)[self._order] if growth < np.inf else rho
        open_ = self._distance <= cap
        cost = np.where(open_, self._distance, 0.0) ** 2
        before = np.cumsum(cost, axis=1) - cost
        filled = np.clip((rho**2 * SAFE - before) / np.where(cost > 0, cost, 1.0), 0.0, 1.0)
        share = np.where(cost > 0, filled, 1.0)
        changed = (self._weight * share * open_).sum(1).max()
        flips = self._jump * self._inputs * np.sqrt(changed)
        return float(self._scale * (self.reach * rho + flips)) * SAFE
