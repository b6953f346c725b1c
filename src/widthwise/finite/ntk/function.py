"""What is differentiated: a function of parameters and points, and the parameters that train."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike


class Function(eqx.Module):
    """f(θ, x) of shape (points, outputs), θ a tree of floating-point arrays.

    Args:
        apply: what the user passed.
        fixed: leaves of the user's tree that do not train.
    """

    apply: Callable
    fixed: PyTree

    def __call__(self, trained: PyTree, x: jax.Array) -> jax.Array:
        outputs = self.apply(eqx.combine(trained, self.fixed), x)
        return outputs[:, None] if jnp.ndim(outputs) == 1 else outputs

    def at_point(self, trained: PyTree, point: jax.Array) -> jax.Array:
        """Outputs (outputs,) at one point."""
        return self(trained, point[None])[0]


class Subject(NamedTuple):
    """A function, the parameters by which it is differentiated, and where."""

    function: Function
    trained: PyTree
    x: jax.Array
    x2: jax.Array | None


def examples(x: ArrayLike, name: str = "x") -> np.ndarray:
    """``x`` as a finite float64 array of shape (points, ...), images and sequences included."""
    if np.ndim(x) <= 2:
        return checks.points(x, name)
    array = np.asarray(x)
    return checks.points(array.reshape(len(array), -1), name).reshape(array.shape)


def subject(
    apply: Callable, parameters: PyTree, x: ArrayLike, x2: ArrayLike | None, dtype
) -> Subject:
    """Any function, its trained parameters and its points, in the precision asked for."""
    points = checks.unless_traced(x, "x", examples)
    points2 = None if x2 is None else checks.unless_traced(x2, "x2", examples)
    if points2 is not None and points.shape[1:] != points2.shape[1:]:
        raise ValueError(
            f"a point of x has shape {points.shape[1:]} but one of x2 {points2.shape[1:]}; both "
            "must describe the same features"
        )
    for path, leaf in jax.tree_util.tree_flatten_with_path(parameters)[0]:
        if isinstance(leaf, float | complex | np.inexact) or (_is_array(leaf, jnp.complexfloating)):
            raise ValueError(
                f"parameters{jax.tree_util.keystr(path)} is {leaf!r}; the kernel is a sum over "
                "real arrays: write jax.numpy.asarray(...) for a number that trains, and close "
                "over one that does not"
            )
    trained, fixed = eqx.partition(parameters, lambda leaf: _is_array(leaf, jnp.floating))
    trained = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), trained)
    if not any(leaf.size for leaf in jax.tree.leaves(trained)):
        raise ValueError(
            "parameters holds no floating-point array: nothing of this function trains"
        )
    other = None if points2 is None else jnp.asarray(points2, dtype)
    return Subject(Function(apply, fixed), trained, jnp.asarray(points, dtype), other)


def _is_array(leaf: object, kind) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray) and jnp.issubdtype(leaf.dtype, kind)
