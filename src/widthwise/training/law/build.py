"""The law of training of a network on data."""

import math
from typing import Literal, TypeAlias

import jax
import numpy as np

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.model.architecture import MLP, require_network
from widthwise.training.blocks import initial_blocks, require_descent
from widthwise.training.dynamics import GradientDescent, dynamics_of
from widthwise.training.law.conditions import require_law, sampled
from widthwise.training.law.law import TrainingLaw
from widthwise.training.law.sampled import SampledLaw
from widthwise.training.law.value import DenseLaw
from widthwise.training.neurons import scalable_law
from widthwise.training.solution_map import SolutionMap

Choice: TypeAlias = Literal["auto", "dense", "neurons"]


def training_law(
    net: MLP,
    x_train: ArrayLike,
    y_train: ArrayLike,
    x_test: ArrayLike | None = None,
    times: ArrayLike | None = None,
    *,
    steps: ArrayLike | None = None,
    step: float | None = None,
    order: int = 2,
    key: jax.Array | None = None,
    samples: int | None = None,
    engine: Choice = "auto",
    tolerance: float = 0.02,
) -> TrainingLaw:
    """The law of f_t over initializations, under gradient flow or descent of ½ Σ (f(x_a) − y_a)².

    Mean, covariance and joint cumulants as series c₀ + c₁ n^{−1/2} + c₂ n^{−1} in the width,
    complete through 1/n, without training any network. The statistics at initialization
    (:class:`widthwise.training.blocks.Blocks`) are computed once and serve all times and widths.

    Args:
        net: the architecture, of any depth and in either parametrization, with a smooth activation.
        x_train: train points (train, inputs).
        y_train: labels (train, outputs), or (train,) for one output.
        x_test: test points (test, inputs), or ``None``.
        times: times of gradient flow, at least 0; ``inf``, the default, is the end of training.
        steps: instead of ``times``, numbers of steps of gradient descent: one hidden layer, NTK
            parametrization, dense engine. The law is that of descent itself, through 1/n for any
            step, by the map with (1 − ηλ)^k and the terms that a finite step adds
            (:mod:`widthwise.training.terms`).
        step: its learning rate η, below 2/λ for every eigenvalue of the limit kernel.
        order: highest power of n^{−1/2}: 0, 1 or 2.
        key: JAX random key of random points, where expectations over a neuron need them.
        samples: how many random points then, for the dense engine only.
        engine: ``"dense"``, with all cumulants, for a few tens of points; ``"neurons"``, mean and
            covariance at finite times for hundreds of points, sampled; ``"auto"`` chooses by size.
        tolerance: standard error aimed at by sampled neurons, relative to the 1/n coefficient of
            the mean.

    Returns:
        :class:`TrainingLaw`: a :class:`DenseLaw`, or a :class:`SampledLaw` without cumulants beyond
        the covariance.

    Raises:
        ValueError: for bad shapes or values; no times; an unstable step, or steps of a network
            whose law of descent is not known; ``samples`` for the engine that takes none;
            a kinked activation, a non-Gaussian output bias, a law without fourth moments (eighth of
            φ(z), where neurons are sampled); more points than the engine takes: 44 for the dense
            one, which several outputs and infinite times need.

    Source:
        Delta method for the flow of the empirical measure of neurons; for the hierarchy of kernels,
        Huang and Yau, *Dynamics of deep neural networks and neural tangent hierarchy* (ICML 2020).

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net = ww.MLP(1, "tanh", weight_std=(1.5, 1.0), bias_std=(0.5, 0.0))
        >>> x, y = [[-1.0], [0.3], [1.2]], [1.0, -1.0, 0.5]
        >>> law = ww.training_law(net, x, y, [[-0.4]], times=0.5)
        >>> law.mean_coefficients[2, 0, :3, 0].round(5)
        array([-0.22793,  0.05248, -0.04215])
    """
    checks.require_x64()
    require_network(net)
    if checks.order(order) > 2:
        raise ValueError(f"order must be 0, 1 or 2 (through 1/n), got {order!r}")
    x = np.asarray(checks.points(x_train, "x_train"))
    y = np.asarray(checks.targets(y_train, len(x), net.outputs, "y_train"))
    everything = x
    if x_test is not None:
        test = np.asarray(checks.points(x_test, "x_test"))
        checks.same_inputs(x, test, "x_train", "x_test")
        everything = np.concatenate([x, test])
    given = times is not None or steps is not None or step is not None
    dynamics = dynamics_of(times if given else math.inf, steps, step)
    descent = isinstance(dynamics, GradientDescent)
    moments = np.asarray(dynamics.moments)
    if engine not in ("auto", "dense", "neurons"):
        raise ValueError(f"engine must be 'auto', 'dense' or 'neurons', got {engine!r}")
    if descent:
        require_descent(net)
        if engine == "neurons":
            raise ValueError(
                "engine='neurons' follows gradient flow along time, got steps="
                f"{steps!r}; take engine='dense' for gradient descent, or times for gradient flow"
            )
        engine = "dense"
    require_law(net, len(everything), moments, engine)
    if sampled(net, len(everything), moments, engine):
        if samples is not None:
            raise ValueError(
                f"samples={samples!r} counts random points of the dense engine, but "
                f"{len(everything)} points go to engine='neurons', which draws neurons until "
                "tolerance is met; set tolerance instead of samples, or engine='dense'"
            )
        key = jax.random.key(0) if key is None else key
        found = scalable_law(net, x, y, x_test, moments, key=key, tolerance=tolerance)
        return SampledLaw(found, int(order))
    blocks = initial_blocks(net, everything, len(x), key=key, samples=samples, descent=descent)
    solution = SolutionMap(blocks.ntk[:, : y.size], y.ravel())
    dynamics.divided_differences(solution.eigenvalues[:, None])  # refuses an unstable step
    return DenseLaw(solution, blocks, dynamics, int(order))
