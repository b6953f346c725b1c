"""One kernel by one way: checks, the choice of the way, and the computation."""

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias, get_args

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import PyTree

from widthwise._vocabulary import Array, ArrayLike
from widthwise.finite.ntk import cost, jacobian
from widthwise.finite.ntk.analysis import analyse
from widthwise.finite.ntk.coupling import refuse_coupled
from widthwise.finite.ntk.entries import Components
from widthwise.finite.ntk.function import Subject, subject
from widthwise.finite.ntk.layerwise import layerwise
from widthwise.finite.ntk.perceptron import data, in_dtype, network_of, perceptron, width_of
from widthwise.model.architecture import MLP

DType: TypeAlias = Literal["float64", "float32"]


class Request(NamedTuple):
    """What was asked for, besides the points."""

    apply: MLP | Callable
    parameters: PyTree
    components: Components
    method: cost.Method
    width: int | None
    memory: float


class Result(NamedTuple):
    """A kernel, how it was computed, and the precisions below float64 that ``apply`` casts to."""

    theta: Array
    method: str
    lower: tuple[str, ...]


def compute(request: Request, x: ArrayLike, x2: ArrayLike | None, dtype: DType) -> Result:
    """The kernel at these points in this precision."""
    if dtype not in get_args(DType):
        raise ValueError(f"dtype must be 'float64' or 'float32', got {dtype!r}")
    net = network_of(request.apply)
    if net is None:
        assert not isinstance(request.apply, MLP)
        if request.method == "layerwise":
            raise ValueError(
                "method='layerwise' is the formula of a widthwise.MLP; any other function has "
                "'jacobian', 'products' or 'auto'"
            )
        case = subject(request.apply, request.parameters, x, x2, dtype)
        return _general(case, request)
    points, points2 = data(x, x2, dtype)
    parameters = in_dtype(request.parameters, dtype)
    n = width_of(net, parameters, points.shape[1], request.width)
    if request.method in ("auto", "layerwise"):
        theta = layerwise(net, parameters, points, points2, n, request.components, request.memory)
        return Result(_finite(theta), "layerwise", ())
    if parameters[0].weight.ndim > 2:
        raise ValueError("a stack of networks has method='layerwise' (or 'auto') alone")
    return _general(perceptron(net, parameters, points, points2, n), request)


def _general(case: Subject, request: Request) -> Result:
    analysis = analyse(case)
    points2 = None if case.x2 is None else len(case.x2)
    plan = cost.plan(
        analysis,
        len(case.x),
        points2,
        request.components,
        request.method,
        request.memory,
        case.x.dtype.itemsize,
    )
    theta = jacobian.kernel(case.function, case.trained, case.x, case.x2, request.components, plan)
    low = bool(analysis.lower) or case.x.dtype != jnp.float64
    return Result(_finite(refuse_coupled(case, low, theta)), plan.method, analysis.lower)


def _finite(theta: Array) -> Array:
    if not isinstance(theta, Tracer) and not np.isfinite(theta).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(theta))[0])
        raise ValueError(
            f"the kernel is {theta[where]} at {where}: the network or its derivative is not finite "
            "there; look at its parameters, and at points where it is not differentiable"
        )
    return theta
