"""What a function costs at one point, counted by XLA without running it."""

import math
import re
from functools import lru_cache
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from widthwise.finite.ntk.function import Subject

_LOWER = re.compile(r"(?:new_dtype|preferred_element_type)=(b?float16|float32|float8\w*)")


class Analysis(NamedTuple):
    """What a function costs at one point.

    Args:
        outputs: number of output components K.
        parameters: number of trained parameters P.
        flops: floating-point operations of one evaluation.
        activations: bytes that one evaluation moves, weights not counted.
        convolution: whether it has convolutions.
        lower: names of the precisions below float64 in which it computes on float64 arguments.
    """

    outputs: int
    parameters: int
    flops: float
    activations: float
    convolution: bool
    lower: tuple[str, ...]


def analyse(subject: Subject) -> Analysis:
    """Count what one evaluation costs; nothing is computed, and nothing compiled."""
    leaves, structure = jax.tree.flatten((subject.function, subject.trained, subject.x[:1]))
    described = tuple(
        jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if eqx.is_array(leaf) else leaf
        for leaf in leaves
    )
    parameters = sum(leaf.size for leaf in jax.tree.leaves(subject.trained))
    return _analyse(structure, described, parameters)


@lru_cache(maxsize=64)
def _analyse(structure, described: tuple, parameters: int) -> Analysis:
    point = described[-1]
    pair = jax.ShapeDtypeStruct((2, *point.shape[1:]), point.dtype)
    arrays = [leaf for leaf in described if isinstance(leaf, jax.ShapeDtypeStruct)]

    def evaluate(arrays: list[jax.Array]) -> jax.Array:
        given = iter(arrays)
        leaves = (next(given) if isinstance(d, jax.ShapeDtypeStruct) else d for d in described)
        function, trained, x = jax.tree.unflatten(structure, leaves)
        return function(trained, x)

    try:
        jaxpr, result = jax.make_jaxpr(evaluate, return_shape=True)([*arrays[:-1], pair])
    except Exception as error:
        raise ValueError(
            f"apply(parameters, x) failed on {pair.dtype} points of shape {pair.shape}; it must "
            f"take any number of points at once: {error}"
        ) from error
    if result.ndim != 2 or result.shape[0] != 2 or not jnp.issubdtype(result.dtype, jnp.floating):
        raise ValueError(
            f"apply must return real outputs of shape (points, outputs), but on 2 points it "
            f"returned {result.dtype} of shape {result.shape}; flatten what follows the points"
        )
    lowered = (jax.jit(evaluate).lower([*arrays[:-1], x]) for x in (point, pair))
    once, twice = (low.cost_analysis() or {} for low in lowered)
    text = str(jaxpr)
    per_point = {
        part: twice.get(part, 0.0) - once.get(part, 0.0) for part in ("flops", "bytes accessed")
    }
    return Analysis(
        outputs=result.shape[1],
        parameters=parameters,
        flops=max(per_point["flops"], float(result.shape[1])),
        activations=max(per_point["bytes accessed"], 8.0 * math.prod(point.shape)),
        convolution="conv_general_dilated" in text,
        lower=tuple(sorted(set(_LOWER.findall(text)))) if point.dtype == jnp.float64 else (),
    )
