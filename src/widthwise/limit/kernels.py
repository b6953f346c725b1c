"""Kernels of infinitely wide networks: NNGP K (law at initialization) and NTK Θ (training).

For hidden layers l = 1..L, with z ~ the limiting law of layer l's preactivations,

    K^{l+1} = σ_b² + σ_w² E[φ(z)φ(z')],
    Θ^{l+1} = r_b σ_b² + r_w σ_w² E[φ(z)φ(z')] + σ_w² E[φ'(z)φ'(z')] Θ^l,

K¹ = σ_b² + σ_w² x·x'/d, Θ¹ = r_b σ_b² + r_w σ_w² x·x'/d; r_w = r_b = 1 in the NTK parametrization
(Neal 1996; Lee et al., ICLR 2018; Jacot, Gabriel and Hongler, NeurIPS 2018).

The law of z is Gaussian, with two exceptions that n → ∞ does not remove: see
:mod:`widthwise.limit.layer`.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike, Kernel
from widthwise.algebra.bivariate import PairMoments
from widthwise.algebra.gaussian import TOLERANCE
from widthwise.limit import first_layer
from widthwise.limit.layer import Method, gaussian_layer_moments
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian

_NOTICEABLE = 1e-11  # errors of a kernel below that are carried through the next layer in full


@dataclass(frozen=True, eq=False)
class LimitKernels:
    """Kernels at n = ∞ between ``points`` and ``points2``.

    Args:
        nngp: covariance of one output component at initialization.
        ntk: neural tangent kernel of one output component.
        error: estimated absolute error of either, entry by entry (quadrature and rounding).
    """

    nngp: Kernel
    ntk: Kernel
    error: Kernel


def limit_kernels(
    net: MLP,
    x: ArrayLike,
    x2: ArrayLike | None = None,
    *,
    tolerance: float | None = None,
    method: Method = "auto",
) -> LimitKernels:
    """NNGP and NTK of the infinitely wide network.

    Args:
        net: the architecture; its width ratios matter only in the standard parametrization.
        x: data (points, inputs).
        x2: second data set (points2, inputs); ``None`` means ``x``.
        tolerance: error allowed in each layer's expectations, relative to their scale. By default
            1e-12, and 1e-10 for a non-Gaussian first layer, where an error that cannot be met
            (random points, many inputs) is accepted and reported.
        method: ``"closed_form"`` or ``"quadrature"`` forces one way of computing the expectations.

    Returns:
        :class:`LimitKernels` with ``nngp``, ``ntk`` and ``error``, each (points, points2).

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
    x = np.asarray(checks.points(x))
    net = net.at_width(np.inf, x.shape[1])
    if method not in ("auto", "closed_form", "quadrature"):
        raise ValueError(f"method must be 'auto', 'closed_form' or 'quadrature', got {method!r}")
    if x2 is None:
        return _square(net, x, tolerance, method)
    x2 = np.asarray(checks.points(x2, "x2"))
    checks.same_inputs(x, x2)
    return _rectangle(net, x, x2, tolerance, method)


class _Pairs(NamedTuple):
    """Which entries to compute: positions in the list of all points. The diagonal comes last."""

    first: Int[np.ndarray, " pairs"]
    second: Int[np.ndarray, " pairs"]
    points: int

    @classmethod
    def between(cls, rows: np.ndarray, columns: np.ndarray, points: int) -> "_Pairs":
        diagonal = np.arange(points)
        return cls(np.concatenate([rows, diagonal]), np.concatenate([columns, diagonal]), points)

    def triples(self, kernel: Float[np.ndarray, " pairs"]) -> Float[np.ndarray, "pairs 3"]:
        """(K₁₁, K₁₂, K₂₂) of every pair."""
        diagonal = kernel[-self.points :]
        return np.stack([diagonal[self.first], kernel, diagonal[self.second]], 1)


class _State(NamedTuple):
    """One layer's kernels at the pairs, and their accumulated errors."""

    nngp: Float[np.ndarray, " pairs"]
    ntk: Float[np.ndarray, " pairs"]
    nngp_error: Float[np.ndarray, " pairs"]
    ntk_error: Float[np.ndarray, " pairs"]

    def outputs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.nngp, self.ntk, np.maximum(self.nngp_error, self.ntk_error)


def _square(net: MLP, x: np.ndarray, tolerance: float | None, method: Method) -> LimitKernels:
    m = len(x)
    upper = np.triu_indices(m, 1)

    def matrix(values: np.ndarray) -> np.ndarray:
        result = np.diag(values[-m:])
        result[upper] = values[:-m]
        result.T[upper] = values[:-m]
        return result

    state = _propagate(net, x, _Pairs.between(*upper, m), tolerance, method)
    return LimitKernels(*map(matrix, state.outputs()))


def _rectangle(net, x, x2, tolerance: float | None, method: Method) -> LimitKernels:
    shape = (len(x), len(x2))
    rows, columns = (index.ravel() for index in np.indices(shape))
    pairs = _Pairs.between(rows, columns + len(x), sum(shape))
    state = _propagate(net, np.concatenate([x, x2]), pairs, tolerance, method)
    return LimitKernels(*(values[: len(rows)].reshape(shape) for values in state.outputs()))


def _propagate(
    net: MLP, x: np.ndarray, pairs: _Pairs, tolerance: float | None, method: Method
) -> _State:
    gram = np.einsum("ai,ai->a", x[pairs.first], x[pairs.second]) / x.shape[1]
    rate = net.limit_learning_rates()[0]
    bias = np.asarray(net.bias_std[0] ** 2)
    weight = np.asarray(net.weight_std[0] ** 2) * gram
    rounding = 2e-16 * np.abs(bias + weight)
    state = _State(bias + weight, rate.bias * bias + rate.weight * weight, rounding, rounding)
    for layer in range(net.depth):
        if layer == 0 and not isinstance(net.weight_law[0], Gaussian):
            indices = np.stack([pairs.first, pairs.second], 1)
            moments = first_layer.pair_moments(net, x, indices, tolerance)
        else:
            moments = gaussian_layer_moments(
                net, layer, pairs.triples(state.nngp), tolerance or TOLERANCE, method
            )
        if state.nngp_error.max() > _NOTICEABLE:
            moments = _with_inherited_error(net, layer, state, moments, pairs)
        state = _next_layer(net, layer + 1, state, moments, pairs)
    return state


def _with_inherited_error(
    net: MLP, layer: int, state: _State, moments: PairMoments, pairs: _Pairs
) -> PairMoments:
    """Add what an error of the kernel below does to a layer's expectations, by moving the kernel.

    All its entries are raised, and the covariances alone lowered, by their errors.
    """
    e = state.nngp_error
    diagonal = e[-pairs.points :]
    own, errors = pairs.triples(state.nngp), pairs.triples(e)
    bound = np.sqrt(own[:, 0] * own[:, 2])
    raised, lowered = own + errors, own.copy()
    raised[:, 1] = np.minimum(raised[:, 1], np.sqrt(raised[:, 0] * raised[:, 2]))
    lowered[:, 1] = np.maximum(own[:, 1] - e, -bound)
    lowered[-pairs.points :, 1] = lowered[-pairs.points :, [0, 2]].mean(1)
    tolerance = max(float(diagonal.max()) * 1e-2, TOLERANCE)
    for moved in (raised, lowered):
        other = gaussian_layer_moments(net, layer, moved, tolerance, "auto")
        moments = moments._replace(
            value_error=moments.value_error + np.abs(other.value - moments.value),
            derivative_error=moments.derivative_error
            + np.abs(other.derivative - moments.derivative),
        )
    return moments


def _next_layer(net: MLP, layer: int, state: _State, moments: PairMoments, pairs) -> _State:
    rate = net.limit_learning_rates()[layer]
    bias, weight = (np.asarray(std[layer] ** 2) for std in (net.bias_std, net.weight_std))
    slope = np.sqrt(np.prod(pairs.triples(moments.derivative)[:, ::2], 1))
    nngp_error = weight * (moments.value_error + slope * state.nngp_error)
    return _State(
        bias + weight * moments.value,
        np.asarray(rate.bias * bias + weight * rate.weight * moments.value)
        + weight * moments.derivative * state.ntk,
        nngp_error,
        np.asarray(rate.weight * nngp_error)
        + weight * (slope * state.ntk_error + np.abs(state.ntk) * moments.derivative_error),
    )
