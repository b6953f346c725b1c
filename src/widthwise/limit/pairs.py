"""The kernel recursion on lists of pairs of points: any law, any activation, any quadrature.

Layer after layer, the expectations of all pairs come from :mod:`widthwise.limit.layer`, or from the
exact law of a first layer that is not Gaussian, and errors are carried along entry by entry. The
blocks of :mod:`.tiles` are faster where they apply, and are checked against this.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from widthwise.algebra.bivariate import PairMoments
from widthwise.algebra.gaussian import TOLERANCE
from widthwise.limit import first_layer
from widthwise.limit.layer import Method, gaussian_layer_moments
from widthwise.limit.points import Block
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian

_NOTICEABLE = 1e-11  # errors of a kernel below that are carried through the next layer in full
_PAIRS_AT_ONCE = 2**17


def listed(
    net: MLP,
    x: Float[np.ndarray, "points inputs"],
    x2: Float[np.ndarray, "points2 inputs"],
    rows: Int[np.ndarray, " pairs"],
    columns: Int[np.ndarray, " pairs"],
    tolerance: float | None = None,
    method: Method = "auto",
) -> Block:
    """NNGP, NTK and error of the pairs (x[rows[i]], x2[columns[i]]), each (pairs,).

    Raises:
        QuadratureError: where a tolerance is missed.
    """
    parts = []
    for start in range(0, len(rows), _PAIRS_AT_ONCE):
        some = slice(start, start + _PAIRS_AT_ONCE)
        (a, i), (b, j) = (np.unique(index[some], return_inverse=True) for index in (rows, columns))
        every = np.concatenate([x[a], x2[b]])
        state = _propagate(net, every, _Pairs.between(i, j + len(a), len(every)), tolerance, method)
        parts.append([values[: len(i)] for values in state.outputs()])
    return Block(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def square(net: MLP, x: np.ndarray, tolerance: float | None, method: Method) -> Block:
    """The kernels of all pairs of ``x``, the upper half computed and mirrored."""
    m = len(x)
    upper = np.triu_indices(m, 1)
    if len(upper[0]) <= _PAIRS_AT_ONCE:
        state = _propagate(net, x, _Pairs.between(*upper, m), tolerance, method)
        half, own = ([v[part] for v in state.outputs()] for part in (slice(-m), slice(-m, None)))
    else:
        half = listed(net, x, x, *upper, tolerance, method)
        own = itself(net, x, tolerance, method)

    def matrix(values: np.ndarray, diagonal: np.ndarray) -> np.ndarray:
        result = np.diag(diagonal)
        result[upper] = values
        result.T[upper] = values
        return result

    return Block(*map(matrix, half, own))


def rectangle(
    net: MLP, x: np.ndarray, x2: np.ndarray, tolerance: float | None, method: Method
) -> Block:
    """The kernels of all pairs of a point of ``x`` and one of ``x2``."""
    shape = (len(x), len(x2))
    rows, columns = (index.ravel() for index in np.indices(shape))
    made = listed(net, x, x2, rows, columns, tolerance, method)
    return Block(*(values.reshape(shape) for values in made))


def itself(net: MLP, x: np.ndarray, tolerance: float | None, method: Method = "auto") -> Block:
    """The kernels of every point with itself (points,)."""
    none = np.zeros(0, int)
    return Block(
        *_propagate(net, x, _Pairs.between(none, none, len(x)), tolerance, method).outputs()
    )


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
