"""Which engine computes the blocks of a network."""

import jax
import numpy as np
from jaxtyping import Float

from widthwise.model.architecture import MLP
from widthwise.training.blocks.deep import deep_blocks, require_deep
from widthwise.training.blocks.one_hidden import one_hidden_blocks, require_one_hidden
from widthwise.training.blocks.value import Blocks


def initial_blocks(
    net: MLP,
    x: Float[np.ndarray, "points inputs"],
    train: int,
    *,
    key: jax.Array | None = None,
    samples: int | None = None,
    descent: bool = False,
) -> Blocks:
    """The joint statistics at initialization by the engine that fits the network.

    Args:
        net: the architecture.
        x: all points, train points first (points, inputs).
        train: how many of them are train points.
        key: JAX random key, where random points are needed.
        samples: how many of them.
        descent: whether to add what gradient descent needs; of one hidden layer only.

    Raises:
        ValueError: where no engine is available, with the reason.
    """
    if _one_hidden(net):
        return one_hidden_blocks(net, x, train, key=key, samples=samples, descent=descent)
    if descent:
        require_descent(net)
    return deep_blocks(net, x, train, key=key, samples=samples)


def require_network_of_blocks(net: MLP, points: int) -> None:
    """Raise ``ValueError``, with the reason, where no engine has the blocks of a network.

    Args:
        net: the architecture.
        points: train and test points together.
    """
    (require_one_hidden if _one_hidden(net) else require_deep)(net, points)


def require_descent(net: MLP) -> None:
    """Raise ``ValueError`` where the blocks that gradient descent needs are not available."""
    if not _one_hidden(net):
        raise ValueError(
            "the law of gradient descent is known for one hidden layer in the NTK parametrization, "
            f"got depth={net.depth}, parametrization={net.parametrization!r}: the derivatives "
            "along whole steps that it needs are not part of the recursion of other networks; take "
            "gradient flow (times instead of steps), which small steps follow, or an ensemble"
        )


def _one_hidden(net: MLP) -> bool:
    """Whether blocks are cumulants of one neuron: the standard parametrization has other rates."""
    return net.depth == 1 and net.parametrization == "ntk"
