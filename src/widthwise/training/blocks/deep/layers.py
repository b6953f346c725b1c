r"""What the recursion knows of a network: numbers per layer, and which networks it refuses.

Weights that read hidden layer l (of ρ_l n neurons) have σ, κ_3, κ_4 and the learning rate r; the
biases beside them have β and a learning rate. Biases whose scale or whose learning rate falls with
the width shift the mean of a pair kernel at 1/n: ``shift_value`` that of (z, z), ``shift_tangent``
that of (u, u).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from widthwise.algebra.taylor import differentiates
from widthwise.limit.layer import has_gaussian_bias, require_moments
from widthwise.model.architecture import MLP

_SKEWED_DEGREE, _SYMMETRIC_DEGREE = 7, 5


class Link(NamedTuple):
    """The weights and biases between two layers.

    Args:
        weight: σ².
        bias: β² in the limit, for (z, z).
        trained_bias: β² times the bias's learning rate in the limit, for (u, u).
        rate: r, learning rate of the weights.
        ratio: ρ of the layer that is read; 1 for the inputs.
        third: κ_3 of the weights; 0 for the first layer, which is not expanded.
        fourth: κ_4 likewise.
        shift_value: the coefficient of 1/n in the mean of (z, z) that the bias adds.
        shift_tangent: that of (u, u).
    """

    weight: float
    bias: float
    trained_bias: float
    rate: float
    ratio: float
    third: float
    fourth: float
    shift_value: float
    shift_tangent: float


def links(net: MLP, inputs: int) -> tuple[Link, ...]:
    """The links of a network, from the inputs to the outputs.

    Args:
        net: any network :func:`require` accepts.
        inputs: the input dimension d.
    """
    limit = net.at_width(np.inf, inputs)
    limits = limit.limit_learning_rates()
    standard = net.parametrization == "standard"
    odd = _symmetric_layers(net)
    made = []
    for l in range(net.depth + 1):
        ratio = net.ratios[l - 1] if l else 1.0
        bias = float(limit.bias_std[l]) ** 2
        shrinks = net.bias_scaling == "fan_in" and l > 0
        falling = float(net.bias_std[l]) ** 2 / ratio if shrinks else 0.0
        trained = float(net.has_bias(l)) if standard else falling
        made.append(
            Link(
                float(net.weight_std[l]) ** 2,
                bias,
                0.0 if standard else bias,
                float(limits[l].weight),
                ratio,
                net.weight_law[l].cumulant(3) if l and not odd else 0.0,
                net.weight_law[l].cumulant(4) if l else 0.0,
                falling,
                trained,
            )
        )
    return tuple(made)


def _symmetric_layers(net: MLP) -> bool:
    """Whether products of three features have mean 0, so that third cumulants act on nothing."""
    first = net.weight_law[0].symmetric
    biases = [net.bias_law[l].symmetric or not net.has_bias(l) for l in range(net.depth)]
    return net.activation.parity == "odd" and first and all(biases)


def first_shift(net: MLP, x: Float[np.ndarray, "points inputs"]) -> np.ndarray | None:
    """The coefficient of 1/n in the first layer's Θ: it trains that slowly in "standard" form."""
    if net.parametrization == "ntk":
        return None
    return x @ x.T + float(net.has_bias(0))


def degree(chain: tuple[Link, ...]) -> int:
    """The highest derivative of φ that the means through 1/n take."""
    return _SKEWED_DEGREE if any(link.third for link in chain) else _SYMMETRIC_DEGREE


def require(net: MLP) -> None:
    """Raise ``ValueError`` for a network that has no such expansion, with the reason."""
    if net.activation.kinks:
        raise ValueError(
            f"the statistics of O_3 and O_4 need three derivatives of the activation, and "
            f"{net.activation.name} has kinks at {net.activation.kinks}: its kernel's response to "
            "training is not described by derivatives at initialization; take a smooth activation "
            "such as 'gelu' or 'softplus', or simulate"
        )
    if net.bias_scaling == "constant" and not has_gaussian_bias(net, net.depth):
        raise ValueError(
            f"the output bias has the law {net.bias_law[-1].name}, so the outputs of the "
            "infinitely wide network are no Gaussian process to expand about; give the last layer "
            "a Gaussian bias, or bias_std 0"
        )
    for l in range(1, net.depth + 1):
        law = net.weight_law[l]
        if law.highest_moment < 4:
            raise ValueError(
                f"corrections at 1/n need four moments of the weights, but those of layer {l + 1} "
                f"have the law {law.name}, whose highest is {law.highest_moment:g}; take a law "
                "with lighter tails"
            )
    for l in range(net.depth):
        require_moments(net, l, 4)


def require_smooth(net: MLP, std: float, highest: int) -> None:
    """Refuse an activation with an undeclared kink in one of its derivatives."""
    if not differentiates(net.activation.function, std, highest):
        raise ValueError(
            f"derivatives of {net.activation.name} up to order {highest} are not what its values "
            "say: one of them jumps. Declare the activation's kinks "
            "(widthwise.activations.get(function, kinks=(...)))"
        )
