"""The law of training of any architecture, from small networks drawn at initialization."""

import math
from collections.abc import Sequence

import jax
import numpy as np

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.finite.ntk.function import examples
from widthwise.training.blocks.measured import Apply, Init, measured_blocks
from widthwise.training.dynamics import GradientFlow
from widthwise.training.law.value import DenseLaw
from widthwise.training.solution_map import SolutionMap


def measured_law(
    apply: Apply,
    init: Init,
    x_train: ArrayLike,
    y_train: ArrayLike,
    x_test: ArrayLike | None = None,
    times: ArrayLike = math.inf,
    *,
    kernels: tuple[ArrayLike, ArrayLike] | None = None,
    widths: Sequence[int] = (16, 32),
    members: int = 20_000,
    order: int = 2,
    key: jax.Array | None = None,
) -> DenseLaw:
    """The law of f_t through 1/n for networks that are no :class:`MLP`: convolutions, sums, gates.

    The statistics at initialization that the law of training consists of are measured on small
    networks (:func:`~widthwise.training.blocks.measured.measured_blocks`): they converge like 1/n,
    and depend neither on labels, times nor the width that is asked for. Then as
    :func:`training_law`. For symmetric laws; smooth activations; a few points.

    Args:
        apply: outputs (points, outputs) of parameters and points, of mean 0 over networks at
            initialization; three times differentiable.
        init: parameters from a JAX key and a width n; scales belong into ``apply``, so that plain
            gradient flow has a limit as n → ∞.
        x_train: train points (train, ...).
        y_train: labels (train, outputs), or (train,) for one output.
        x_test: test points (test, ...), or ``None``.
        times: times of gradient flow, at least 0; ``inf`` is the end of training.
        kernels: K and Θ of the infinitely wide network, (rows, rows) over points × outputs, where
            they are known; ``None`` extrapolates them, which leaves the largest error.
        widths: two small widths.
        members: networks drawn at each of them.
        order: highest power of n^{−1/2}: 0, 1 or 2.
        key: a JAX random key; by default a fixed one.

    Returns:
        :class:`DenseLaw`, whose ``errors`` are standard errors over networks.

    Raises:
        ValueError: for bad shapes or values, a network that is seen to have kinks or heavy tails,
            or a law whose mean output or mean O₃ is seen not to vanish.

    Source: as :func:`training_law`.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net = ww.MLP(2, "tanh")
        >>> init = lambda key, width: net.init(key, width, inputs=1)
        >>> law = ww.measured_law(net.apply, init, [[1.0]], [0.5], widths=(4, 8), members=400)
        >>> law.mean(64).shape
        (1, 1, 1)
    """
    checks.require_x64()
    if checks.order(order) > 2:
        raise ValueError(f"order must be 0, 1 or 2 (through 1/n), got {order!r}")
    x = np.asarray(examples(x_train))
    train = len(x)
    if x_test is not None:
        test = np.asarray(examples(x_test))
        if test.shape[1:] != x.shape[1:]:
            raise ValueError(
                f"x_test must have points of the shape of x_train's, {x.shape[1:]}, got "
                f"{test.shape[1:]}"
            )
        x = np.concatenate([x, test])
    dynamics = GradientFlow(checks.some_times(times))
    blocks = measured_blocks(
        apply, init, x, train, kernels=kernels, widths=widths, members=members, key=key
    )
    y = checks.targets(y_train, train, blocks.outputs, "y_train")
    solution = SolutionMap(blocks.ntk[:, : y.size], y.ravel())
    return DenseLaw(solution, blocks, dynamics, int(order))
