"""Divided differences of λ ↦ e^{−tλ} (gradient flow) and of λ ↦ (1 − ηλ)^k (gradient descent).

    f[λ_0] = f(λ_0),    f[λ_0, …, λ_d] = (f[λ_0..λ_{d−1}] − f[λ_1..λ_d]) / (λ_0 − λ_d),

continued to coincident nodes by derivatives. They are the time factors of every term of the
perturbation series of a linear flow. The recursion divides rounding errors by small differences;
on nodes sorted downwards it is used only where tλ_0 − tλ_d > 2, and there it loses at most a
factor two or three a level. Closer nodes are expanded about the first of them, c = λ_0, with
x_i = t (c − λ_i) ≥ 0 and h_s the complete homogeneous symmetric polynomials,

    e_t[λ_0..λ_d] = (−t)^d e^{−tc} Σ_s h_s(x_0, …, x_d) / (d + s)!,

where every term is positive, so nothing cancels: coincident, nearly coincident, zero and widely
spread nodes need no special case. With μ = 1 − ηλ, x_i = η (c − λ_i) / μ_c and binomials in place
of 1/(d + s)! the same holds for gradient descent. Both are elementwise recursions over arrays.

At t = ∞ (or k = ∞) both functions are 1 at λ = 0 and 0 elsewhere: a difference with one node 0 is
(−1)^d / ∏ λ_i, without one it is 0, and with two it grows without bound.

Sources: C. de Boor, "Divided differences", *Surveys in Approximation Theory* 1 (2005); A. McCurdy,
K. C. Ng and B. N. Parlett, *Math. Comp.* 43 (1984).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from widthwise._vocabulary import ArrayLike

_CLOSE = 2.0
_TERMS = 25
_CHUNK = 8192


def divided_differences(
    t: ArrayLike, nodes: Float[np.ndarray, "*batch nodes"]
) -> Float[np.ndarray, "*times_batch"]:
    """e_t[nodes[..., 0], …, nodes[..., d]], the divided differences of e^{−tλ}.

    Args:
        t: one time or an array of times (*times), at least 0; ``inf`` is the limit.
        nodes: λ_0..λ_d along the last axis, at least 0 (*batch, d + 1).

    Returns:
        One number per time and batch entry, (*times, *batch); the relative error is below 1e-12.

    Raises:
        ValueError: for a negative time or node, or one that is not a number.

    Example:
        >>> import numpy as np
        >>> from widthwise.algebra.divided import divided_differences
        >>> divided_differences([2.0, np.inf], np.array([[0.0, 0.0], [0.0, 4.0]]))[:, 1].round(6)
        array([-0.249916, -0.25    ])
    """
    amounts = _nonnegative(t, "times")

    def at(t: np.ndarray, columns: list[np.ndarray]) -> np.ndarray:
        return _triangle(_exponential(t, columns))

    return _over_batches(amounts, _nonnegative(nodes, "nodes"), at)


def descent_divided_differences(
    steps: ArrayLike, nodes: Float[np.ndarray, "*batch nodes"], *, step: float
) -> Float[np.ndarray, "*times_batch"]:
    """The divided differences of λ ↦ (1 − ηλ)^k at nodes[..., 0], …, nodes[..., d].

    Args:
        steps: k, whole numbers of at least 0 (*times); ``inf`` is the limit.
        nodes: λ_0..λ_d along the last axis, at least 0 (*batch, d + 1).
        step: η, with ηλ < 2 at every node.

    Returns:
        One number per number of steps and batch entry, (*times, *batch): η^d times the complete
        homogeneous polynomial of degree k − d in the numbers 1 − ηλ, up to sign. The error is below
        1e-12 of what that polynomial gives for |1 − ηλ|: a relative error where no node or every
        node exceeds 1/η, while nodes on both sides may cancel.

    Raises:
        ValueError: for steps that are not whole, or ηλ ≥ 2.

    Example:
        >>> import numpy as np
        >>> from widthwise.algebra.divided import descent_divided_differences
        >>> float(descent_divided_differences(3, np.array([0.0, 0.0]), step=0.5))  # −ηk
        -1.5
    """
    amounts, nodes = _nonnegative(steps, "steps"), _nonnegative(nodes, "nodes")
    whole = np.isinf(amounts) | (amounts == np.round(amounts))
    if not whole.all():
        raise ValueError(f"steps counts gradient-descent steps; got {amounts[~whole][0]!r}")
    if not 0 < step < np.inf or (nodes.size and step * nodes.max() >= 2):
        raise ValueError(
            f"gradient descent needs a step above 0 and below 2/λ = {2 / nodes.max():g}, "
            f"got {step!r}"
        )

    def at(k: np.ndarray, columns: list[np.ndarray]) -> np.ndarray:
        many = k > _TERMS
        result = _few_steps(k, columns, step)
        return np.where(many, _triangle(_power(k, columns, step)), result) if many.any() else result

    return _over_batches(amounts, nodes, at)


def _nonnegative(values: ArrayLike, name: str) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if not (array >= 0).all():
        raise ValueError(f"{name} must be at least 0, got {array[~(array >= 0)][0]!r}")
    return array


def _over_batches(
    amounts: np.ndarray,
    nodes: np.ndarray,
    at: Callable[[np.ndarray, list[np.ndarray]], np.ndarray],
) -> np.ndarray:
    """``at`` on the finite amounts in pieces that stay in the cache; the limit at infinity."""
    batch, size = nodes.shape[:-1], nodes.shape[-1]
    columns = -np.sort(-nodes.reshape(-1, size), axis=1).T
    times = amounts.reshape(-1, 1)
    finite = np.isfinite(times[:, 0])
    result = np.empty((len(times), columns.shape[1]))
    if not finite.all():
        result[~finite] = _limit(columns)
    if finite.any():
        length = max(1, _CHUNK // int(finite.sum()))
        for start in range(0, columns.shape[1], length):
            piece = slice(start, start + length)
            result[finite, piece] = at(times[finite], [column[piece] for column in columns])
    return result.reshape((*amounts.shape, *batch))


def _limit(columns: np.ndarray) -> np.ndarray:
    """At infinite time; the nodes are sorted downwards, so the zeros stand last."""
    others, last = columns[:-1], columns[-1]
    with np.errstate(divide="ignore"):
        response = np.prod(-1 / others, axis=0)
    return np.where(last == 0, response, 0.0)


class _Function(NamedTuple):
    """f on nodes sorted downwards, and its Taylor coefficients about each of them.

    f[λ_i..λ_j] = leading(i, d) Σ_s h_s(x) ∏_{r≤s} ratio(d, r), with d = j − i and x = scaled(i, ·).
    """

    columns: list[np.ndarray]
    value: Callable[[int], np.ndarray]
    scaled: Callable[[int, int], np.ndarray]
    leading: Callable[[int, int], np.ndarray]
    ratio: Callable[[int, int], np.ndarray | float]


def _triangle(f: _Function) -> np.ndarray:
    """f[λ_0..λ_d] through all windows of consecutive nodes, the shorter ones first."""
    size = len(f.columns)
    windows = [f.value(i) for i in range(size)]
    near = [_expansions(f, i) for i in range(size - 1)]
    for d in range(1, size):
        for i in range(size - d):
            gap = f.columns[i] - f.columns[i + d]
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                apart = (windows[i] - windows[i + 1]) / gap
            is_close, expansion = near[i][d - 1]
            windows[i] = np.where(is_close, expansion, apart)
    return windows[0]


def _expansions(f: _Function, i: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For every window that starts at i: where it is close, and its expansion about λ_i there."""
    offsets = [f.scaled(i, j) for j in range(i + 1, len(f.columns))]
    close = [np.abs(x) <= _CLOSE for x in offsets]
    live = sum(1 for c in close if c.any())
    offsets = [np.clip(x, -_CLOSE, _CLOSE) for x in offsets[:live]]
    sums = [np.ones_like(x) for x in offsets]
    symmetric = [np.ones_like(x) for x in offsets]
    weights: list[np.ndarray | float] = [1.0] * live
    for s in range(1, _TERMS + 1):
        shorter: np.ndarray | float = 0.0
        for d in range(1, live + 1):
            symmetric[d - 1] = shorter = shorter + offsets[d - 1] * symmetric[d - 1]
            weights[d - 1] = weights[d - 1] * f.ratio(d, s)
            sums[d - 1] += weights[d - 1] * symmetric[d - 1]
    made = [f.leading(i, d) * sums[d - 1] for d in range(1, live + 1)]
    return list(zip(close, made + [np.zeros(())] * (len(close) - live), strict=True))


def _exponential(t: np.ndarray, columns: list[np.ndarray]) -> _Function:
    """λ ↦ e^{−tλ} for a column of times."""
    values = [np.exp(-t * column) for column in columns]

    def leading(i: int, d: int) -> np.ndarray:
        factor = np.prod([-t / r for r in range(1, d + 1)], axis=0)
        with np.errstate(invalid="ignore", over="ignore"):
            return np.where(values[i] == 0, 0.0, factor * values[i])

    return _Function(
        columns,
        value=lambda i: values[i],
        scaled=lambda i, j: t * (columns[i] - columns[j]),
        leading=leading,
        ratio=lambda d, s: 1 / (d + s),
    )


def _power(k: np.ndarray, columns: list[np.ndarray], step: float) -> _Function:
    """λ ↦ (1 − ηλ)^k for a column of numbers of steps."""
    factors = [_one_minus_product(step, column) for column in columns]

    def power(i: int, lower: int) -> np.ndarray:
        mu, logarithm = factors[i]
        exponent = np.maximum(k - lower, 0)
        size = np.exp(np.where(exponent == 0, 0.0, exponent * logarithm))
        return np.where((mu < 0) & (exponent % 2 == 1), -size, size)

    def leading(i: int, d: int) -> np.ndarray:
        binomial = np.prod([-step * (k - r + 1) / r for r in range(1, d + 1)], axis=0)
        return np.where(k < d, 0.0, binomial * power(i, d))

    def scaled(i: int, j: int) -> np.ndarray:
        gap, mu = k * step * (columns[i] - columns[j]), factors[i][0]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.where(gap == 0, 0.0, gap / mu)

    return _Function(
        columns,
        value=lambda i: power(i, 0),
        scaled=scaled,
        leading=leading,
        ratio=lambda d, s: np.maximum(k - d - s + 1, 0) / (np.maximum(k, 1) * (d + s)),
    )


def _few_steps(k: np.ndarray, columns: list[np.ndarray], step: float) -> np.ndarray:
    """(−η)^d h_{k−d}(μ_0, …, μ_d) by the recursion of h in degree and number of variables."""
    degree = k - (len(columns) - 1)
    factors = [_one_minus_product(step, column)[0] for column in columns]
    symmetric: list[np.ndarray] = [np.ones_like(mu) for mu in factors]
    result = np.where(degree == 0, 1.0, np.zeros(columns[0].shape))
    for s in range(1, int(min(degree.max(), _TERMS)) + 1):
        shorter: np.ndarray | float = 0.0
        for i, mu in enumerate(factors):
            symmetric[i] = shorter = shorter + mu * symmetric[i]
        result = np.where(degree == s, shorter, result)
    return (-step) ** (len(columns) - 1) * result


def _one_minus_product(step: float, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """μ = 1 − ηλ and log |μ| to full relative accuracy, also near μ = 0 and near μ = ±1.

    The rounding error of the product ηλ is recovered by splitting both factors (Dekker, 1971).
    """
    product = step * nodes
    split = 134217729.0  # 2²⁷ + 1
    high_step = split * step - (split * step - step)
    high_node = split * nodes - (split * nodes - nodes)
    low_step, low_node = step - high_step, nodes - high_node
    lost = high_step * high_node - product
    lost = lost + high_step * low_node + low_step * high_node + low_step * low_node
    rest = 1 - product
    mu = rest - lost
    with np.errstate(divide="ignore", invalid="ignore"):
        near_zero = np.where(rest != 0, np.log(np.abs(rest)) + np.log1p(-lost / rest), 0.0)
        near_zero = np.where(rest != 0, near_zero, np.log(np.abs(mu)))
        logarithm = np.where(product < 0.5, np.log1p(-product) - lost / rest, near_zero)
    return mu, logarithm
