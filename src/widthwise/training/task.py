"""One real network and its data, as everything that predicts its training takes them.

An :class:`~widthwise.MLP` is a function of u = θ/√r, r the learning rates of its parametrization,
so that plain gradient flow in u is the training of θ; any other ``apply`` trains as it is. In the
NTK parametrization u = θ; in the standard one u is √n times the weights that frameworks train.
Movement is measured in u: there the tangent kernel is the Gram matrix of gradients.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.finite.ntk.function import Function, examples
from widthwise.finite.ntk.perceptron import Perceptron, network_of, subject_of, width_of
from widthwise.model.architecture import MLP
from widthwise.training.smoothness import WHY, kinked

_LINES = 4  # on which kinks of an unknown function are looked for


class NetworkTask(NamedTuple):
    """One network at initialization, and the data it will be trained on.

    Args:
        function: f(u, x).
        trained: u at initialization, a tree of arrays.
        scales: √r, a tree like ``trained`` of numbers.
        x: all points, train first.
        y: labels (train, outputs).
        net, width: the perceptron, if it is one.
        kinks: why derivatives of the tangent kernel do not describe this network, if they do not.
            Those of an :class:`~widthwise.MLP` are declared; other functions are looked at along
            lines (:mod:`.smoothness`).
    """

    function: Function
    trained: PyTree
    scales: PyTree
    x: np.ndarray
    y: Float[np.ndarray, "train outputs"]
    net: MLP | None
    width: int | None
    kinks: str | None = None

    @property
    def rows(self) -> tuple[int, int]:
        """Points × outputs: of all points and of the train points."""
        train, outputs = self.y.shape
        return len(self.x) * outputs, train * outputs

    @property
    def size(self) -> int:
        """The number of trained parameters."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.trained))

    def at(self, trained: PyTree) -> "NetworkTask":
        """The same network with other parameters u."""
        return self._replace(trained=trained)

    def given(self, trained: PyTree) -> PyTree:
        """θ, as the network's ``apply`` takes it, of u (or a stack of them)."""
        theta = jax.tree.map(jnp.multiply, trained, self.scales)
        return eqx.combine(theta, self.function.fixed)


def network_task(
    net: MLP | Callable,
    parameters: PyTree,
    x_train: ArrayLike,
    y_train: ArrayLike,
    x_test: ArrayLike | None,
    width: int | None = None,
) -> NetworkTask:
    """A network, its parameters and its data, checked.

    Raises:
        ValueError: for shapes that do not match, non-finite numbers, or parameters that are not
            those of one network.
    """
    x = examples(x_train, "x_train")
    if x_test is not None:
        other = examples(x_test, "x_test")
        if other.shape[1:] != x.shape[1:]:
            raise ValueError(
                f"a point of x_train has shape {x.shape[1:]} but one of x_test {other.shape[1:]}; "
                "both must describe the same features"
            )
        everything = np.concatenate([x, other])
    else:
        everything = x
    if not (isinstance(net, MLP) or callable(net)):
        raise ValueError(f"net must be a widthwise.MLP or a function, got {net!r}")
    subject = subject_of(net, parameters, everything, None, width)
    known = network_of(net)
    n = None
    if known is not None:
        if subject.trained[0].weight.ndim != 2:
            raise ValueError(
                "parameters must be those of one network, got a stack with weights of shape "
                f"{subject.trained[0].weight.shape}; predict its members one by one"
            )
        n = width_of(known, parameters, everything.shape[1], width)
    perceptron = subject.function.apply
    scales = jax.tree.map(lambda _: jnp.ones(()), subject.trained)
    if known is not None and known.parametrization == "ntk":  # u = θ, without products by 1
        function = Function(known.apply, jax.tree.map(lambda _: None, subject.trained))
        subject = subject._replace(function=function)
    elif isinstance(perceptron, Perceptron):
        scales = perceptron.roots
    shape = jax.eval_shape(subject.function, subject.trained, jnp.asarray(everything)).shape
    if len(shape) != 2 or shape[0] != len(everything):
        raise ValueError(
            f"apply must return shape (points, outputs) or (points,), got {shape} for "
            f"{len(everything)} points"
        )
    y = checks.targets(y_train, len(x), shape[1], "y_train")
    given = subject.function, subject.trained
    return NetworkTask(*given, scales, everything, y, known, n, _kinks(known, *given, everything))


def _kinks(net: MLP | None, function: Function, trained: PyTree, x: np.ndarray) -> str | None:
    if net is None:
        seen = kinked(function, trained, jnp.asarray(x), jax.random.key(0), _LINES)
        return f"this function is not smooth: {WHY}" if seen else None
    if not net.activation.kinks:
        return None
    return (
        f"activation {net.activation.name!r} has kinks at {net.activation.kinks}: O3 and O4 are "
        "derivatives almost everywhere and miss what happens when a preactivation crosses a kink"
    )
