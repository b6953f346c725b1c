"""The empirical NTK as a user asks for it."""

import warnings
from collections.abc import Callable

import jax
import numpy as np
from jax.core import Tracer
from jaxtyping import Float, PyTree

from widthwise import _checks as checks
from widthwise._vocabulary import Array, ArrayLike
from widthwise.finite.ntk import cost, entries
from widthwise.finite.ntk.compute import DType, Request, Result, compute
from widthwise.finite.ntk.layerwise import MEMORY
from widthwise.finite.ntk.perceptron import network_of
from widthwise.finite.ntk.precision import PrecisionWarning, compare, sample
from widthwise.model.architecture import MLP


def empirical_ntk(
    apply: MLP | Callable,
    parameters: PyTree,
    x: ArrayLike,
    x2: ArrayLike | None = None,
    *,
    components: entries.Components = "mean",
    method: cost.Method = "auto",
    dtype: DType = "float64",
    width: int | None = None,
    memory: float = MEMORY,
) -> Float[Array, "..."]:
    """The empirical neural tangent kernel of one network, or of every network of a stack.

    Θ_{kk'}(x, x') = Σ_p r_p ∂f_k(x)/∂θ_p · ∂f_{k'}(x')/∂θ_p.

    It may stand under JAX's transformations (jit, grad, vmap), parameters and points traced.

    Args:
        apply: an :class:`MLP` (or its ``apply``), or any function
            ``apply(parameters, x) -> (points, outputs)`` that treats every point by itself.
        parameters: what ``apply`` takes: any tree, of which the floating-point arrays train. For an
            MLP also a stack of networks, every array with a leading axis of members.
        x: data (points, inputs); for a function (points, ...), such as images.
        x2: second data set; ``None`` means ``x``.
        components: ``"mean"``: Σ_k Θ_kk / outputs, of shape (points, points2); ``"diagonal"``:
            Θ_kk, (points, points2, outputs); ``"full"``: (points, points2, outputs, outputs).
        method: ``"layerwise"`` (an MLP alone), ``"jacobian"``, ``"products"``, or the cheapest.
        dtype: precision of the computation. ``"float32"`` warns of its discrepancy from float64.
        width: n of an :class:`MLP` whose ratios are not 1, in the standard parametrization;
            otherwise it is read off the parameters.
        memory: bytes that intermediate results may take, about.

    Returns:
        Θ, with the shape that ``components`` says; (members, ...) in front for a stack.

    Raises:
        ValueError: for bad shapes, parameters that are not real arrays, an ``apply`` that couples
            the points of a batch, or a kernel that is not finite.

    Warns:
        PrecisionWarning: where something was computed in less than float64, with the discrepancy
            measured on a sample of entries (:func:`ntk_discrepancy`).

    Source: Jacot, Gabriel & Hongler, NeurIPS 2018, eq. (5).

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net = ww.MLP(depth=1, activation="erf")
        >>> parameters = net.init(jax.random.key(0), width=8, inputs=1)
        >>> ww.empirical_ntk(net, parameters, [[1.0], [2.0]]).shape
        (2, 2)
    """
    checks.require_x64()
    entries.check(components)
    cost.check(method)
    memory = checks.positive(memory, "memory")
    request = Request(apply, parameters, components, method, width, memory)
    result = compute(request, x, x2, dtype)
    if dtype == "float32" or result.lower:
        _warn(request, result, x, x2, dtype)
    return result.theta


def _warn(
    request: Request, result: Result, x: ArrayLike, x2: ArrayLike | None, dtype: DType
) -> None:
    """Report what less than float64 changed; of a stack, in its first network."""
    theta = result.theta
    if isinstance(theta, Tracer):
        raise ValueError(
            "less than float64 is checked against float64 on concrete numbers, which a JAX "
            "transformation does not have; use dtype='float64' and an apply that keeps it"
        )
    net = network_of(request.apply)
    if net is not None and request.parameters[0].weight.ndim > 2:
        first = jax.tree.map(lambda leaf: leaf[0], request.parameters)
        request, theta = request._replace(parameters=first), theta[0]
    rows, columns = sample(x, x2)
    block = np.asarray(x)[rows], np.asarray(x if x2 is None else x2)[columns]
    sampled = np.asarray(theta)[np.ix_(rows, columns)]
    discrepancy = compare(request, result, sampled, *block, dtype)
    warnings.warn(str(discrepancy), PrecisionWarning, stacklevel=3)
