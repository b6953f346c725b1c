"""A task whose ensembles are controlled: limit kernels, controls, symmetry of the network."""

from typing import NamedTuple

import numpy as np

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.limit.kernels import limit_kernels
from widthwise.model.architecture import MLP, require_network
from widthwise.training.dynamics import GradientFlow
from widthwise.training.ensembles.controls import Controls
from widthwise.training.ensembles.neurons import independent_neurons
from widthwise.training.ensembles.series import Known, known_neuron, known_series
from widthwise.training.solution_map import SolutionMap
from widthwise.training.symmetry import integer_powers, third_vanishes_in_mean


class Problem(NamedTuple):
    """What all widths share.

    Args:
        net: the architecture.
        data: train points, labels, test points or ``None``, times.
        x: all points, train points first (points, inputs).
        nngp: K (rows, rows).
        controls: the controls.
        known: cumulants of few factors, where they are cheap.
        even: whether cumulants of Θ_n with an odd number of F vanish.
        integer: whether only integer powers of 1/n occur.
    """

    net: MLP
    data: tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]
    x: np.ndarray
    nngp: np.ndarray
    controls: Controls
    known: Known | None
    even: bool
    integer: bool


def problem(
    net: MLP, x_train: ArrayLike, y_train: ArrayLike, x_test: ArrayLike | None, times: ArrayLike
) -> Problem:
    """Check the task, and compute what does not depend on the width."""
    checks.require_x64()
    require_network(net)
    x = np.asarray(checks.points(x_train, "x_train"))
    y = checks.targets(y_train, len(x), net.outputs, "y_train")
    test, everything = None, x
    if x_test is not None:
        test = np.asarray(checks.points(x_test, "x_test"))
        checks.same_inputs(x, test, "x_train", "x_test")
        everything = np.concatenate([x, test])
    moments = np.atleast_1d(checks.times(times))
    if not moments.size or not np.isfinite(moments).all() or (np.diff(moments) < 0).any():
        raise ValueError(
            f"times must be at least one finite number, increasing, to be simulated, got {times!r}"
        )
    kernels, same = limit_kernels(net, everything), np.eye(net.outputs)
    nngp, ntk = np.kron(np.asarray(kernels.nngp), same), np.kron(np.asarray(kernels.ntk), same)
    solution = SolutionMap(ntk[:, : y.size], y.ravel())
    last = net.depth
    balanced = not net.has_bias(last) or net.bias_law[last].symmetric
    even, integer = balanced and third_vanishes_in_mean(net), integer_powers(net)
    if independent_neurons(net):
        known = known_neuron(net, everything, len(x))
    else:
        known = known_series(net, everything, solution.ntk, integer=integer)
    controls = Controls(solution, GradientFlow(moments))
    data = (x, y, test, moments)
    return Problem(net, data, everything, nngp, controls, known, even, integer)
