"""Kernels of infinitely wide networks: NNGP K (law at initialization) and NTK Θ (training).

For hidden layers l = 1..L, with z ~ the limiting law of layer l's preactivations,

    K^{l+1} = σ_b² + σ_w² E[φ(z)φ(z')],
    Θ^{l+1} = r_b σ_b² + r_w σ_w² E[φ(z)φ(z')] + σ_w² E[φ'(z)φ'(z')] Θ^l,

K¹ = σ_b² + σ_w² x·x'/d, Θ¹ = r_b σ_b² + r_w σ_w² x·x'/d; r_w = r_b = 1 in the NTK parametrization
(Neal 1996; Lee et al., ICLR 2018; Jacot, Gabriel and Hongler, NeurIPS 2018).

The law of z is Gaussian, with two exceptions that n → ∞ does not remove: see
:mod:`widthwise.limit.layer`. Gaussian layers of closed-form or smooth activations are computed
block by block in one compiled pass (:mod:`widthwise.limit.tiles`); everything else pair by pair
(:mod:`widthwise.limit.pairs`).
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise._vocabulary import Array, ArrayLike
from widthwise.algebra.gaussian import TOLERANCE
from widthwise.limit import diagonal as point_kernels
from widthwise.limit import grid, pairs, traced
from widthwise.limit.closed_forms import closed_form
from widthwise.limit.layer import Method
from widthwise.model.architecture import MLP

Precision: TypeAlias = Literal["float64", "float32"]


class LimitKernels(eqx.Module):
    """Kernels at n = ∞ between ``points`` and ``points2``.

    Args:
        nngp: covariance of one output component at initialization.
        ntk: neural tangent kernel of one output component.
        error: estimated absolute error of either, entry by entry (quadrature and rounding).

    Each is (points, points2), or (points,) where only the diagonal was asked for.
    """

    nngp: Float[Array, "*pairs"]
    ntk: Float[Array, "*pairs"]
    error: Float[Array, "*pairs"]


def limit_kernels(
    net: MLP,
    x: ArrayLike,
    x2: ArrayLike | None = None,
    *,
    tolerance: float | None = None,
    method: Method = "auto",
    diagonal: bool = False,
    precision: Precision = "float64",
    devices: Sequence[jax.Device] | None = None,  # pyright: ignore[reportInvalidTypeForm]
) -> LimitKernels:
    """NNGP and NTK of the infinitely wide network.

    Under a JAX transformation the result is differentiable in ``x``, ``x2`` and the network's
    ``weight_std`` and ``bias_std``, for Gaussian layers of a smooth or closed-form activation.

    Args:
        net: the architecture; its width ratios matter only in the standard parametrization.
        x: data (points, inputs).
        x2: second data set (points2, inputs); ``None`` means ``x``.
        tolerance: error allowed in each layer's expectations, relative to their scale. By default
            1e-12, and 1e-10 for a non-Gaussian first layer, where an error that cannot be met
            (random points, many inputs) is accepted and reported.
        method: ``"closed_form"`` or ``"quadrature"`` forces one way of computing the expectations;
            ``"auto"`` takes the closed form, else Hermite series if φ is smooth, else quadrature.
        diagonal: only the kernels of every point with itself.
        precision: ``"float32"`` for results of half the size; the error says what that costs.
        devices: JAX devices that share the blocks; by default all of them.

    Returns:
        :class:`LimitKernels` with ``nngp``, ``ntk`` and ``error``, each (points, points2), or
        (points,) for the diagonal.

    Raises:
        ValueError: for bad shapes, non-finite data, a closed form that does not exist, or a
            quadrature that does not reach the tolerance.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net = ww.MLP(depth=2, activation="relu", weight_std=2**0.5)
        >>> ww.limit_kernels(net, [[1.0, 0.0], [0.0, 1.0]]).ntk.round(4)
        array([[3.    , 0.6857],
               [0.6857, 3.    ]])
    """
    checks.require_x64()
    if method not in ("auto", "closed_form", "quadrature"):
        raise ValueError(f"method must be 'auto', 'closed_form' or 'quadrature', got {method!r}")
    if precision not in ("float64", "float32"):
        raise ValueError(f"precision must be 'float64' or 'float32', got {precision!r}")
    if diagonal and x2 is not None:
        raise ValueError("the diagonal belongs to one data set: leave x2 out, or diagonal=False")
    if tolerance is not None:
        tolerance = checks.positive(tolerance, "tolerance")
    if traced.needed(net, x, x2):
        return _traced(net, x, x2, tolerance, method, diagonal, precision)
    with jax.ensure_compile_time_eval():  # numbers, also inside somebody's jit
        return _concrete(net, x, x2, tolerance, method, diagonal, precision, devices)


def _concrete(
    net: MLP, x, x2, tolerance, method: Method, diagonal: bool, precision: Precision, devices
) -> LimitKernels:
    x = checks.points(x)
    net = net.at_width(np.inf, x.shape[1])
    if x2 is not None:
        x2 = checks.points(x2, "x2")
        checks.same_inputs(x, x2)
    if method == "closed_form" and closed_form(net.activation) is None:
        raise ValueError(
            f"activation {net.activation.name!r} has no closed-form kernel; use method='auto'"
        )
    fast = grid.applies(net) and method != "quadrature"
    if diagonal:
        made = _diagonal(net, x, tolerance, method, fast)
    elif fast:
        prepared = grid.prepare(net, x, x2, tolerance, np.dtype(precision), devices)
        rows, columns = slice(0, len(x)), slice(0, len(x if x2 is None else x2))
        made = grid.rectangle(prepared, rows, columns)
    elif x2 is None:
        made = pairs.square(net, x, tolerance, method)
    else:
        made = pairs.rectangle(net, x, x2, tolerance, method)
    return LimitKernels(*grid.rounded(made, np.dtype(precision)))


def _diagonal(net: MLP, x: np.ndarray, tolerance: float | None, method: Method, fast: bool):
    made = point_kernels.only(net, x, tolerance or TOLERANCE) if fast else None
    return made or pairs.itself(net, x, tolerance, method)


def _traced(net: MLP, x, x2, tolerance, method, diagonal: bool, precision: Precision):
    x = _differentiable(x, "x")
    x2 = None if x2 is None else _differentiable(x2, "x2")
    if x2 is not None:
        checks.same_inputs(x, x2)
    net = net.at_width(np.inf, x.shape[1])
    if not grid.applies(net) or method == "quadrature":
        raise ValueError(
            "limit_kernels is differentiable for Gaussian first-layer weights and hidden biases "
            "and an activation that is smooth or has a closed form, by method='auto'; got "
            f"{net.activation.name}, first weights {net.weight_law[0].name}, biases "
            f"{', '.join(law.name for law in net.bias_law[:-1])}, method={method!r}"
        )
    made = traced.kernels(net, x, x2, tolerance, diagonal)
    return LimitKernels(*(values.astype(precision) for values in made))


def _differentiable(x: ArrayLike, name: str) -> jax.Array:
    points = jnp.asarray(checks.unless_traced(x, name, checks.points), float)
    if points.ndim != 2:
        raise ValueError(f"{name} must have shape (points, inputs), got shape {points.shape}")
    return points
