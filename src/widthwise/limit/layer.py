"""Expectations over the limiting law of one hidden layer, for many pairs of points at once.

A hidden layer's preactivations are, in the limit, a Gaussian vector with the covariance handed
down by the layer below, plus σ_b b if the biases are not Gaussian (the same b for all inputs of a
neuron, a law no limit averages away); the first layer keeps its own law if its weights are not
Gaussian. This file chooses between the three and between closed form and quadrature.
"""

from typing import Literal, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise.algebra import bivariate
from widthwise.algebra.bivariate import PairMoments
from widthwise.algebra.gaussian import QuadratureError
from widthwise.limit.closed_forms import closed_form, root_determinant
from widthwise.model.activations import Activation
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian, Law

Method: TypeAlias = Literal["auto", "closed_form", "quadrature"]
Triples: TypeAlias = Float[np.ndarray, "pairs 3"]
_ROUNDING = 4e-16
_BIAS_NODES = (12, 20, 32, 52, 84, 136, 220)


def has_gaussian_bias(net: MLP, layer: int) -> bool:
    """Whether a layer's bias can be merged into the Gaussian covariance."""
    return isinstance(net.bias_law[layer], Gaussian) or not net.has_bias(layer)


def require_moments(net: MLP, layer: int, values: int, slopes: int = 0) -> None:
    """Refuse E of ``values`` features φ(z) and ``slopes`` φ'(z) of a layer where it is infinite.

    Args:
        net: the network.
        layer: the hidden layer, from 0; of the weights only the first layer's law matters.
        values: how many features are multiplied.
        slopes: how many slopes.

    Raises:
        ValueError: with the moment that the law of the first weights or of the biases lacks.
    """
    growth = net.activation.growth
    power = growth * values + max(growth - 1.0, 0.0) * slopes
    laws = {"bias": net.bias_law[layer]} if net.has_bias(layer) else {}
    if layer == 0:
        laws["weight"] = net.weight_law[0]
    for what, law in laws.items():
        if np.isfinite(power) and power > law.highest_moment:
            raise ValueError(
                f"the product of {values + slopes} factors of {net.activation.name} in hidden "
                f"layer {layer + 1} has no mean: it needs the moment of order {power:g} of "
                f"the {what} law {law.name}, whose highest is {law.highest_moment:g}; take a lower "
                "order, a bounded activation or a law with more moments"
            )


def gaussian_layer_moments(
    net: MLP, layer: int, covariance: Triples, tolerance: float, method: Method
) -> PairMoments:
    """E[φφ] and E[φ'φ'] for pairs whose total covariances (K₁₁, K₁₂, K₂₂) include the bias."""
    if has_gaussian_bias(net, layer):
        return pair_moments(net.activation, covariance, tolerance, method)
    scale = float(net.bias_std[layer])
    return bias_average(
        net.activation, covariance - scale**2, scale, net.bias_law[layer], tolerance
    )


def pair_moments(
    activation: Activation, covariance: Triples, tolerance: float, method: Method = "auto"
) -> PairMoments:
    """E[φφ] and E[φ'φ'] over Gaussian pairs, in closed form where there is one."""
    form = closed_form(activation)
    if form is None and method == "closed_form":
        raise ValueError(
            f"activation {activation.name!r} has no closed-form kernel; use method='auto'"
        )
    if form is None or method == "quadrature":
        moments = _quadrature(activation, covariance, 0.0, tolerance)
        error = moments.derivative_error + _angle_error(activation, covariance)
        return moments._replace(derivative_error=error)
    K11, K12, K22 = jnp.asarray(covariance).T
    value, slope = (np.asarray(v) for v in form(activation, K11, K12, K22))
    squares = (np.asarray(form(activation, K, K, K)[0]) for K in (K11, K22))
    scale = np.sqrt(np.abs(np.prod(list(squares), 0))) + np.abs(value)
    slope_error = _ROUNDING * np.maximum(np.abs(slope), 1.0)
    slope_error = slope_error + _angle_error(activation, covariance)
    return PairMoments(value, slope, _ROUNDING * scale, slope_error)


def _angle_error(activation: Activation, covariance: Triples) -> Float[np.ndarray, " pairs"]:
    """What rounding of K does to E[φ'φ'] at a kink: ε over the sine of the angle of two inputs.

    The angle of a point with itself is exactly 0; another angle lost in rounding is at most 2e-8.
    """
    K11, K12, K22 = covariance.T
    if not activation.kinks:
        return np.zeros(len(K12))
    norm = np.sqrt(K11 * K22)
    sine = np.asarray(root_determinant(*jnp.asarray(covariance.T))) / np.where(norm > 0, norm, 1.0)
    same = (K11 == K12) & (K12 == K22) | (norm == 0)
    return np.where(same, 0.0, _ROUNDING / np.maximum(sine, 2e-8))


def bias_average(
    activation: Activation, covariance: Triples, scale: float, law: Law, tolerance: float
) -> PairMoments:
    """The expectations over z + scale · b, z Gaussian with ``covariance``, b of the bias law.

    Gauss rules of the bias law of growing size, until two of them agree; a discrete law is a
    finite sum.

    Raises:
        QuadratureError: when the largest rule does not reach the tolerance.
    """
    previous, gap = None, np.inf
    for count in _BIAS_NODES:
        nodes, weights = law.quadrature(count)
        every = _quadrature(
            activation,
            np.tile(covariance, (len(nodes), 1)),
            np.repeat(scale * nodes, len(covariance)),
            tolerance,
        )
        moments = PairMoments(*(weights @ v.reshape(len(nodes), -1) for v in every))
        if law.discrete:
            return moments
        if previous is not None:
            gaps = [np.abs(moments[i] - previous[i]) for i in range(2)]
            size = max(1.0, np.abs(moments.value).max())
            gap = max(g.max() for g in gaps) / size
            if gap <= max(tolerance, 1e-13):
                errors = (moments.value_error + gaps[0], moments.derivative_error + gaps[1])
                return PairMoments(moments.value, moments.derivative, *errors)
        previous = moments
    raise QuadratureError(
        f"averaging over the bias law {law.name} reached an error of {gap:.1e}, not the "
        f"{tolerance:.0e} asked for; pass a larger tolerance"
    )


def _quadrature(
    activation: Activation,
    covariance: Triples,
    shift: float | Float[np.ndarray, " pairs"],
    tolerance: float,
) -> PairMoments:
    return bivariate.pair_moments(
        activation.function, activation.derivative(), activation.kinks, covariance, shift, tolerance
    )
