"""Networks whose law of training is not available, refused with the reason."""

import numpy as np

from widthwise.algebra.taylor import differentiates
from widthwise.limit.first_layer.projection import Projection
from widthwise.limit.layer import require_moments
from widthwise.model import activations
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian


def require_conditions(net: MLP) -> None:
    """Raise ``ValueError``, with the reason, for a network whose blocks are not available."""
    if net.activation.kinks:
        raise ValueError(
            f"the training law needs a smooth activation, got {net.activation.name} with kinks at "
            f"{net.activation.kinks}: its O3 and O4, the derivatives of the tangent kernel, do not "
            "describe how it trains; take a smooth activation (softplus, gelu), or simulate"
        )
    if net.parametrization != "ntk":
        raise ValueError(
            "blocks are cumulants of one neuron in parametrization='ntk', got 'standard', in which "
            "only the readout trains in the limit; initial_blocks takes the recursion for it"
        )
    bias = net.bias_law[-1]
    if net.has_bias(net.depth) and net.bias_scaling == "constant" and bias != Gaussian():
        raise ValueError(
            f"an output bias of law {bias.name} makes the outputs of infinitely wide networks "
            "non-Gaussian; take a Gaussian output bias, bias_scaling='fan_in', or none"
        )
    readout = net.weight_law[-1]
    if readout.highest_moment < 4:
        raise ValueError(
            f"the covariance of the tangent kernel needs the fourth moment of the readout law; "
            f"{readout.name} has moments up to order {readout.highest_moment:g} only"
        )
    require_moments(net, 0, 4)


def require_standard_error(net: MLP, layer: int = 0) -> None:
    """Refuse a hidden layer under which averages over random neurons have no standard error.

    What is averaged is of degree four in φ(z), its square of degree eight.
    """
    try:
        require_moments(net, layer, 8)
    except ValueError as error:
        raise ValueError(
            "an average over random neurons has no standard error here, since the square of what "
            f"is averaged has no mean ({error}); a rule without random neurons needs four moments "
            "only: one hidden layer, few points in few independent directions, engine='dense'"
        ) from error


def require_smooth(net: MLP, projection: Projection) -> None:
    """Raise ``ValueError`` if φ seems to have a kink that was not declared."""
    if activations.catalogued(net.activation):
        return
    std = float(np.sqrt(np.diag(projection.covariance).max()))
    if std and not differentiates(net.activation.function, min(std, 3.0), 3):
        raise ValueError(
            f"activation {net.activation.name!r} seems to have a kink: its derivatives up to the "
            "third do not integrate to what its values say; the training law needs a smooth one"
        )
