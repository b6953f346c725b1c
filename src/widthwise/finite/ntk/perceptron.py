"""A perceptron as any other function, its parametrization included, and its parameters checked."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from widthwise import _checks as checks
from widthwise._vocabulary import Array, ArrayLike
from widthwise.finite.ntk.function import Function, Subject, subject
from widthwise.model.architecture import MLP, Layer, Parameters


class Perceptron(eqx.Module):
    """An MLP as a function of u = θ/√r, so that learning rates r enter its kernel as they must."""

    net: MLP
    roots: Parameters

    def __call__(self, trained: Parameters, x: jax.Array) -> jax.Array:
        return self.net.apply(jax.tree.map(jnp.multiply, trained, self.roots), x)


def network_of(apply: object) -> MLP | None:
    """The MLP that was passed, itself or by its ``apply``."""
    net = apply if isinstance(apply, MLP) else getattr(apply, "__self__", None)
    return net if isinstance(net, MLP) else None


def width_of(net: MLP, parameters: PyTree, inputs: int, width: int | None) -> int:
    """The n of these parameters, one network's or a stack's, or a refusal."""
    if not isinstance(parameters, tuple | list) or not all(
        isinstance(layer, Layer) for layer in parameters
    ):
        raise ValueError(
            "parameters of an MLP are a tuple of widthwise.Layer(weight, bias), as init gives them"
        )
    if len(parameters) != net.depth + 1:
        raise ValueError(
            f"this network has depth + 1 = {net.depth + 1} layers, but parameters has "
            f"{len(parameters)}"
        )
    sizes = tuple(layer.weight.shape[-2] for layer in parameters[:-1])
    ratio, widest = max(zip(net.ratios, sizes, strict=True), key=lambda pair: pair[0])
    n = round(widest / ratio) if width is None else checks.width(width)
    widths = MLP.widths(net, n)  # by the class: Equinox builds a module of every bound method
    if widths != sizes:
        raise ValueError(
            f"the parameters have hidden widths {sizes}, but this network has {widths} at "
            f"n = {n}; pass the network they belong to, and width="
        )
    members = parameters[0].weight.shape[:-2]
    fan = (inputs, *sizes, net.outputs)
    for l, (weight, bias) in enumerate(parameters):
        shapes = weight.shape, None if bias is None else bias.shape
        wanted = (
            (*members, fan[l + 1], fan[l]),
            (*members, fan[l + 1]) if MLP.has_bias(net, l) else None,
        )
        if len(members) > 1 or shapes != wanted:
            raise ValueError(
                f"layer {l} has weights and biases of shapes {shapes[0]} and {shapes[1]}, but "
                f"{wanted[0]} and {wanted[1]} belong to this network on {inputs} inputs, with at "
                "most one axis of members in front"
            )
    return n


def perceptron(net: MLP, parameters: Parameters, x: Array, x2: Array | None, width: int) -> Subject:
    """An MLP as any other function, in its parametrization."""
    roots = tuple(
        Layer(jnp.sqrt(r.weight), None if layer.bias is None else jnp.sqrt(r.bias))
        for r, layer in zip(net.learning_rates(width, x.shape[1]), parameters, strict=True)
    )
    trained = jax.tree.map(jnp.divide, parameters, roots)
    nothing = jax.tree.map(lambda _: None, trained)
    points2 = None if x2 is None else jnp.asarray(x2)
    return Subject(Function(Perceptron(net, roots), nothing), trained, jnp.asarray(x), points2)


def subject_of(
    apply: MLP | Callable, parameters: PyTree, x: ArrayLike, x2: ArrayLike | None, width: int | None
) -> Subject:
    """An MLP or any function, with its points, in float64."""
    net = network_of(apply)
    if net is None:
        assert not isinstance(apply, MLP)
        return subject(apply, parameters, x, x2, jnp.float64)
    points, points2 = data(x, x2)
    return perceptron(
        net, parameters, points, points2, width_of(net, parameters, points.shape[1], width)
    )


def data(x: ArrayLike, x2: ArrayLike | None, dtype: str = "float64") -> tuple[Array, Array | None]:
    """Points of a perceptron (points, inputs), checked."""

    def checked(x: ArrayLike, name: str) -> Array:
        points = checks.unless_traced(x, name, checks.points)
        if points.ndim != 2:
            raise ValueError(f"{name} must have shape (points, inputs), got shape {points.shape}")
        return points.astype(dtype)

    points = checked(x, "x")
    if x2 is None:
        return points, None
    points2 = checked(x2, "x2")
    checks.same_inputs(points, points2)
    return points, points2


def in_dtype(parameters: PyTree, dtype: str) -> PyTree:
    """Parameters as JAX arrays of one dtype."""

    def converted(leaf: ArrayLike) -> jax.Array:
        if isinstance(leaf, jax.Array) and leaf.dtype == dtype:
            return leaf
        return jnp.asarray(leaf, dtype)

    return jax.tree.map(converted, parameters)
