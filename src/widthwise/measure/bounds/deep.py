r"""Theorem 2: any depth, by a recursion over layers.

With z^{l+1} = σ_w n_l^{-1/2} W φ(z^l) + σ_b b, b Gaussian, Λ = Lip(φ) and D_l² the mean of
W₂²(law of one neuron's preactivations given the layers below, N(0, K^l)),

    D_{l+1} ≤ σ_w Λ D_l + s_{l+1}/√n_l,     D_1 = 0 (the first layer keeps its exact law),

s_{l+1} the constant C of Theorem 1 (:mod:`.stein`) for the features φ(z), z ~ N(0, K^l), and the
law of the weights of layer l + 1. Given layer l its neurons are independent copies: each is coupled
with a Gaussian one, the same weights move both, and Theorem 1 holds for the Gaussian features.
Outputs A f of q components:

    W₂ ≤ √q (σ_w Λ ‖A‖ D_L + C(A)/√n_L).

Source: the recursion of Basteri and Trevisan, Mach. Learn. 113 (2024), with Stein kernels.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from widthwise.measure.bounds.features import features, neuron
from widthwise.measure.bounds.kernel_moment import kernel_second_moment
from widthwise.measure.bounds.stein import stein_constant
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian


class Hidden(NamedTuple):
    """D_L of the last hidden layer, what it is made of, or why there is none.

    Args:
        distance: D_L.
        constants: s of every layer, by name.
        error: the largest relative error of the expectations in them.
        random: whether one of these is a standard error.
        reason: why there is no bound; empty if there is one.
    """

    distance: float
    constants: dict[str, float]
    error: float
    reason: str
    random: bool = False


def lipschitz(net: MLP) -> tuple[float, str]:
    """Λ = Lip(φ), or infinity and why."""
    declared = net.activation.sup_norms
    if declared is None:
        return math.inf, (
            f"activation {net.activation.name} declares no bound of its slope; pass "
            "Activation(..., sup_norms=(sup|φ|, sup|φ'|, sup|φ''|))"
        )
    if not math.isfinite(declared[1]):
        return math.inf, f"activation {net.activation.name} is not Lipschitz"
    return float(declared[1]), ""


def hidden_distance(net: MLP, x: Float[np.ndarray, "points inputs"], width: int) -> Hidden:
    """D_L by the recursion.

    Args:
        net: the architecture, its biases constant.
        x: data (points, inputs).
        width: n.
    """
    constants, D, worst, random = {}, 0.0, 0.0, False
    if net.depth == 1:
        return Hidden(D, constants, worst, "")
    slope, reason = lipschitz(net)
    if reason:
        return Hidden(math.inf, {}, 0.0, reason)
    for l in range(1, net.depth):
        law, bias = net.weight_law[l], net.bias_law[l]
        moment, reason = kernel_second_moment(law)
        if reason:
            return Hidden(math.inf, {}, 0.0, f"hidden layer {l + 1}: {reason}")
        if net.has_bias(l) and not isinstance(bias, Gaussian):
            reason = f"hidden layer {l + 1}: its biases have the law {bias.name}, not Gaussian"
            return Hidden(math.inf, {}, 0.0, reason)
        given = features(neuron(net, x, l), np.eye(len(x)))
        s, error, by_points = stein_constant(given, moment)
        random = random or by_points
        carried = float(net.weight_std[l]) * slope * D if l > 1 else 0.0
        D = carried + s / math.sqrt(net.widths(width)[l - 1]) + given.left_out + given.off
        constants[f"s_{l + 1}"] = s
        worst = max(worst, error)
    constants["Lip"] = slope
    constants[f"D_{net.depth}"] = D
    return Hidden(D, constants, worst, "", random)
