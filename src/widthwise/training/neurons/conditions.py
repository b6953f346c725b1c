"""Which networks, at which times, have a law from sampled neurons; asked before it is computed."""

import numpy as np
from jaxtyping import Float

from widthwise.limit.layer import require_moments
from widthwise.model.architecture import MLP
from widthwise.training.blocks.conditions import require_standard_error
from widthwise.training.neurons.problem import unavailable


def require_neurons(net: MLP, times: Float[np.ndarray, " times"]) -> None:
    """Raise ``ValueError``, with the reason, where sampled neurons do not give the law of training.

    Args:
        net: the architecture.
        times: gradient-flow times.
    """
    reason = unavailable(net)
    if reason:
        raise ValueError(reason)
    if np.isinf(times).any():
        raise ValueError(
            "the 1/n terms are followed along time and are not available at t = inf; ask for a "
            f"finite time, such as a few times 1/λ_min, got times={times.tolist()}"
        )
    require_moments(net, 0, 4)
    require_standard_error(net)
