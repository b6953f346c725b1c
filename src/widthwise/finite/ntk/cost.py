"""Which way to a kernel is cheapest: operations counted, and numbers moved.

For m and m' points, K components, P parameters and F operations per evaluation at one point, in
blocks of b points (T = m/b and T' = m'/b of them, half as many pairs where the kernel is symmetric)

    rows of the Jacobian     K (2 F + c P) a point, (T + T T') b points (products: T T' b points)
    contraction              2 P K m m'           (K² for all pairs of components)
    products                 K m' (2 F m + c P T)

where c operations take the time to move one number: rows are written, and read again, once for
every block. A block is as large as its rows (contraction: two blocks of them) fit in memory.
"""

import math
from typing import Literal, NamedTuple, TypeAlias, get_args

from widthwise.finite.ntk.analysis import Analysis
from widthwise.finite.ntk.entries import Components

Method: TypeAlias = Literal["auto", "layerwise", "jacobian", "products"]
_MOVE = 30.0  # operations in the time one number is moved


class Plan(NamedTuple):
    """How a kernel is computed.

    Args:
        method: "jacobian" or "products".
        block: points whose rows are in memory at once.
        one_by_one: whether rows are found point by point, not all of a block at once.
        operations: what the model counts.
    """

    method: str
    block: int
    one_by_one: bool
    operations: float


def check(method: object) -> None:
    """Raise unless this is a way the library knows."""
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {', '.join(get_args(Method))}, got {method!r}")


def plan(
    analysis: Analysis,
    points: int,
    points2: int | None,
    components: Components,
    method: Method,
    memory: float,
    itemsize: int = 8,
) -> Plan:
    """The cheaper plan, or the one of the method asked for."""
    plans = (
        _contraction(analysis, points, points2, components, memory, itemsize),
        _products(analysis, points, points2, memory, itemsize),
    )
    if method != "auto":
        return next(p for p in plans if p.method == method)
    return min(plans, key=lambda p: p.operations)


def _contraction(analysis, points, points2, components, memory, itemsize) -> Plan:
    K, P = analysis.outputs, analysis.parameters
    block, fits = _largest(memory / (2 * itemsize * K * P), points, points2)
    rows, pairs = _counts(points, points2, block)
    gradients = (rows + pairs / block) * _row(analysis) if rows > block else rows * _row(analysis)
    products = 2 * P * K ** (2 if components == "full" else 1) * pairs
    operations = gradients + products if fits else math.inf
    return Plan("jacobian", block, analysis.convolution, operations)


def _products(analysis, points, points2, memory, itemsize) -> Plan:
    K, P, A = analysis.outputs, analysis.parameters, analysis.activations
    half = P * itemsize / (2 * A)
    block, _ = _largest(math.sqrt(half**2 + memory / (K * A)) - half, points, points2)
    _, pairs = _counts(points, points2, block)
    moved = 2 * analysis.flops * K * pairs + _MOVE * P * K * pairs / block
    return Plan("products", block, analysis.convolution, pairs / block * _row(analysis) + moved)


def _row(analysis: Analysis) -> float:
    """Operations of the rows of one point."""
    return analysis.outputs * (2 * analysis.flops + _MOVE * analysis.parameters)


def _largest(points_that_fit: float, points: int, points2: int | None) -> tuple[int, bool]:
    most = max(points, points2 or 0)
    return int(min(max(points_that_fit, 1), most)), points_that_fit >= 1


def _counts(points: int, points2: int | None, block: int) -> tuple[int, float]:
    """Points on both sides, and pairs of points in the blocks that are computed."""
    if points2 is not None:
        return points + points2, float(points * points2)
    blocks = -(-points // block)
    return points, points**2 * (blocks + 1) / (2 * blocks)
