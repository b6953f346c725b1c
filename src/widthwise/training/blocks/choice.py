"""Which engine computes the blocks of a network."""

import jax
import numpy as np
from jaxtyping import Float

from widthwise.model.architecture import MLP
from widthwise.training.blocks.one_hidden import one_hidden_blocks
from widthwise.training.blocks.value import Blocks


def initial_blocks(
    net: MLP,
    x: Float[np.ndarray, "points inputs"],
    train: int,
    *,
    key: jax.Array | None = None,
    samples: int | None = None,
) -> Blocks:
    """The joint statistics at initialization by the engine that fits the network.

    Args:
        net: the architecture.
        x: all points, train points first (points, inputs).
        train: how many of them are train points.
        key: JAX random key, where random points are needed.
        samples: how many of them.

    Raises:
        ValueError: where no engine is available, with the reason.
    """
    if net.depth == 1:
        return one_hidden_blocks(net, x, train, key=key, samples=samples)
    raise ValueError(
        f"the training law is available for one hidden layer, got depth={net.depth}; "
        "simulate trains real networks of any depth"
    )
