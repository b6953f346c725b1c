"""Whether the law of training of a network is available, asked before anything is computed."""

import numpy as np
from jaxtyping import Float

from widthwise.model.architecture import MLP
from widthwise.training.blocks import require_network_of_blocks
from widthwise.training.neurons import require_neurons, unavailable

_DENSE_ROWS, _MOST_DENSE_ROWS = 24, 44


def sampled(net: MLP, points: int, times: Float[np.ndarray, " times"], engine: str) -> bool:
    """Whether neurons are sampled: asked for, or with too many points for tensors over rows."""
    if engine != "auto":
        return engine == "neurons"
    if unavailable(net):
        return False
    return points > (_MOST_DENSE_ROWS if np.isinf(times).any() else _DENSE_ROWS)


def require_law(
    net: MLP, points: int, times: Float[np.ndarray, " times"], engine: str = "auto"
) -> None:
    """Raise ``ValueError``, with the reason, if a network has no law of training here.

    Args:
        net: the architecture.
        points: train and test points together.
        times: gradient-flow times.
        engine: "auto", "dense" or "neurons".

    Raises:
        ValueError: for a network outside the conditions of the law, or more points than it takes.
    """
    if not sampled(net, points, times, engine):
        require_network_of_blocks(net, points)
        return
    require_neurons(net, times)
