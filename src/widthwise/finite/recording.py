"""What is recorded of a network while it trains, at every recorded time t.

    ==================  =======================================================  ==============
    name                meaning                                                  shape
    ==================  =======================================================  ==============
    outputs             f_t on all points; always recorded                       points outputs
    ntk                 Θ_t between all points and the train points              points train
    ntk_diagonal        Θ_t(x, x) at all points                                  points
    ntk_eigenvalues     eigenvalues of Θ_t on the train points, increasing       train
    ntk_change          Frobenius norm of Θ_t − Θ_0, all points by train points  (a number)
    ntk_limit_distance  Frobenius norm of Θ_t − Θ_∞, likewise                    (a number)
    movement            Frobenius norm of the change of a layer's standardized   layers
                        weights and biases
    ==================  =======================================================  ==============

Θ_t is the empirical tangent kernel averaged over output components.
"""

from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp

from widthwise._vocabulary import Array
from widthwise.finite.gradient import NegativeGradient, Task
from widthwise.finite.ntk import mlp_ntk
from widthwise.model.architecture import MLP, Layer, Parameters

Quantity: TypeAlias = Literal[
    "ntk", "ntk_diagonal", "ntk_eigenvalues", "ntk_change", "ntk_limit_distance", "movement"
]
QUANTITIES: tuple[str, ...] = get_args(Quantity)
Seen: TypeAlias = dict[str, jax.Array]


def quantities(record: str | Iterable[str]) -> tuple[str, ...]:
    """The names asked for, checked, each once and in the order of the table."""
    if not isinstance(record, Iterable):
        raise ValueError(f"record must be one name or several, got {record!r}")
    asked = {record} if isinstance(record, str) else set(record)
    unknown = asked - {*QUANTITIES, "outputs"}
    if unknown:
        raise ValueError(
            f"record may name outputs, {', '.join(QUANTITIES)}; got {sorted(map(str, unknown))}"
        )
    return tuple(name for name in QUANTITIES if name in asked)


def observer(
    net: MLP,
    width: int,
    task: Task,
    velocity: NegativeGradient,
    names: tuple[str, ...],
    start: Parameters,
    limit: Array | None,
) -> Callable[[Parameters], Seen]:
    """Parameters ↦ name → what is recorded of them."""

    def kernel(parameters: Parameters) -> jax.Array:
        exact = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), parameters)
        return jnp.asarray(mlp_ntk(net, exact, task.x, task.x_train, width))

    def diagonal(parameters: Parameters) -> jax.Array:
        def at(point):
            return jnp.asarray(mlp_ntk(net, parameters, point[None], point[None], width))[0, 0]

        return jax.vmap(at)(jnp.asarray(task.x))

    initial = kernel(start) if "ntk_change" in names else None

    def observe(parameters: Parameters) -> Seen:
        seen = {"outputs": velocity.outputs(parameters, task.x)}
        if {"ntk", "ntk_eigenvalues", "ntk_change", "ntk_limit_distance"} & set(names):
            theta = kernel(parameters)
            train = theta[: len(task.x_train)]
            seen["ntk"] = theta
            if "ntk_eigenvalues" in names:
                seen["ntk_eigenvalues"] = jnp.linalg.eigvalsh((train + train.T) / 2)
            if initial is not None:
                seen["ntk_change"] = jnp.linalg.norm(theta - initial)
            if limit is not None:
                seen["ntk_limit_distance"] = jnp.linalg.norm(theta - limit)
        if "ntk_diagonal" in names:
            seen["ntk_diagonal"] = diagonal(parameters)
        if "movement" in names:
            pairs = zip(parameters, start, strict=True)
            seen["movement"] = jnp.stack([_moved(now, before) for now, before in pairs])
        return {name: seen[name] for name in ("outputs", *names)}

    return observe


def _moved(now: Layer, before: Layer) -> jax.Array:
    square = jnp.sum((now.weight - before.weight) ** 2)
    if now.bias is not None and before.bias is not None:
        square = square + jnp.sum((now.bias - before.bias) ** 2)
    return jnp.sqrt(square)
