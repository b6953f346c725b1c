"""f₀, Θ, O₃ and O₄ of one network by nested forward derivatives of its kernel."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from widthwise.finite.ntk.function import Function
from widthwise.training.dynamics import Dynamics
from widthwise.training.solution_map import SolutionMap
from widthwise.training.task import NetworkTask


@dataclass(frozen=True, eq=False)
class Realization:
    """One network at initialization; rows are points × outputs, train rows first.

    Args:
        outputs: f₀ (rows,).
        ntk: Θ_n(0) (rows, train).
        third: O₃ (rows, train, train), or ``None`` where it was not computed.
        fourth: O₄ (rows, train, train, train), likewise.
        y: labels (train,).
    """

    outputs: Float[np.ndarray, " rows"]
    ntk: Float[np.ndarray, "rows train"]
    third: Float[np.ndarray, "rows train train"] | None
    fourth: Float[np.ndarray, "rows train train train"] | None
    y: Float[np.ndarray, " train"]

    @property
    def frozen(self) -> SolutionMap:
        """The solution map about the network's own kernel."""
        return SolutionMap(self.ntk, self.y)

    def expansion(
        self,
        dynamics: Dynamics,
        *,
        symmetric: bool,
        limit: Float[np.ndarray, "rows train"] | None = None,
    ) -> Float[np.ndarray, "orders *times rows"]:
        """Orders 0, 1 and 2 in n^{−1/2} of the outputs; their partial sums are predictions.

        Args:
            dynamics: the times.
            symmetric: whether the mean of O₃ vanishes; O₃ is then of order 2.
            limit: Θ_∞, to expand about it; ``None`` expands about Θ_n(0), and order 0 is then the
                linearization of the network.

        Errors of the partial sums about Θ_∞: n^{−1/2}, n^{−1}, n^{−3/2}. About Θ_n(0) for symmetric
        laws: n^{−1}, n^{−1}, n^{−2}; for others n^{−1/2}, n^{−1}, n^{−3/2}.
        """
        tensors = {"T": self.third, "U": self.fourth}
        tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
        if limit is None:
            about = self.frozen
        else:
            about = SolutionMap(limit, self.y)
            tensors["D"] = self.ntk - limit
        return about.expansion(dynamics, self.outputs, tensors, symmetric=symmetric)


def realize(task: NetworkTask, *, tensors: bool = True) -> Realization:
    """The initial statistics of one network on its data.

    Args:
        task: the network and the data (:func:`widthwise.training.task.network_task`).
        tensors: whether O₃ and O₄ are computed: rows · train² and rows · train³ numbers.

    Raises:
        ValueError: for a network whose kernel or its derivatives are not finite.
    """
    outputs, theta, *higher = _statistics(
        task.function, task.trained, jnp.asarray(task.x), len(task.y), tensors
    )
    found = [np.asarray(value) for value in (outputs, theta, *higher)]
    for name, value in zip(("outputs", "kernel", "O3", "O4"), found, strict=False):
        if not np.isfinite(value).all():
            raise ValueError(
                f"the {name} of this network is not finite; look at its parameters, and at points "
                "where it is not three times differentiable"
            )
    third, fourth = found[2:] if tensors else (None, None)
    return Realization(found[0], found[1], third, fourth, task.y.ravel())


@eqx.filter_jit
def _statistics(
    function: Function, trained: PyTree, x: jax.Array, train: int, tensors: bool
) -> tuple[jax.Array, ...]:
    leaves, structure = jax.tree.flatten(trained)

    def outputs(leaves):
        return function(jax.tree.unflatten(structure, leaves), x).ravel()

    start = outputs(leaves)
    m = train * (len(start) // len(x))

    theta, third, fourth = hierarchy(outputs, m, jax.lax.map)
    if not tensors:
        return start, theta(leaves)
    return start, theta(leaves), third(leaves), fourth(leaves)


Tensor: TypeAlias = Callable[[list[jax.Array]], jax.Array]
"""A function of the arrays of parameters."""


def hierarchy(
    outputs: Tensor, columns: int, over: Callable[[Callable, PyTree], jax.Array]
) -> tuple[Tensor, Tensor, Tensor]:
    """Θ, O₃ and O₄ as functions of the parameters, every one the derivative of the last along J.

    Args:
        outputs: of a list of arrays, (rows,).
        columns: how many of the rows, the first, are those of train points.
        over: maps a function over leading axes, one by one as ``jax.lax.map`` or all at once.
    """

    def rows(leaves):
        return jax.jacrev(outputs)(leaves)

    def theta(leaves):
        flat = [J.reshape(len(J), -1) for J in rows(leaves)]
        return reduce(jnp.add, [J @ J[:columns].T for J in flat])

    def derived(tensor: Tensor) -> Tensor:
        def of(leaves):
            directions = [J[:columns] for J in rows(leaves)]
            along = over(lambda v: jax.jvp(tensor, (leaves,), (v,))[1], directions)
            return jnp.moveaxis(along, 0, -1)

        return of

    third = derived(theta)
    return theta, third, derived(third)
