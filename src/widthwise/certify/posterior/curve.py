r"""A computed curve near gradient flow, and how far it is from solving the equation.

Points θ_0, θ_1, … are computed by the classical Runge-Kutta method and joined by cubics: on an
interval of length s the curve p has p = θ_i, p' = -g_i at both ends, g = Jᵀr. Whatever the error of
the points, its defect d = p' + g(p) vanishes there up to rounding, so that in between

    |d(τ)| ≤ |δg| + ½ τ(s - τ) sup|d''|,    ∫|d| ≤ s |δg| + s³ sup|d''|/12,
    d'' = p''' + D²g[p', p'] + Dg[p''],

and with g_a, g_b the gradients at its ends and c = (θ_b - θ_a)/s + (g_a + g_b)/2,

    |p'''| = 12|c|/s²,   |p''| ≤ (|g_a - g_b| + 6|c|)/s,   |p'| ≤ v = max(|g_a|, |g_b|) + 3|c|/2.

From Dg[w] = JᵀJw + Σ r_i H_i w and its derivative, with constants that hold around the curve,

    |D²g[p', p']| ≤ (3βL + L3|r|) v²,   |Dg[p'']| ≤ (β² + |Σ r_i H_i|)|p''|.

The bound is of second order in s. Where no L3 is known, |d'| ≤ |p''| + (β² + |Σ r_i H_i|) v gives
∫|d| ≤ s|δg| + s²|d'|/4, of first order.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from widthwise.certify.evaluation import SAFE, UNIT, Block, Evaluation


class Arc(NamedTuple):
    """One cubic of the curve.

    Args:
        duration: s.
        length: bound of its length.
        speed: v.
        bend: bound of |p''|.
        twist: bound of |p'''|.
    """

    duration: float
    length: float
    speed: float
    bend: float
    twist: float


class Node(NamedTuple):
    """A point of the curve: the network, its gradient and the norm of the gradient."""

    at: Evaluation
    gradient: tuple[Block, ...]
    size: float


class Around(NamedTuple):
    """Constants that hold in a neighbourhood of some arcs.

    Args:
        lipschitz: L of J.
        third: L3 of the Hessian; infinite where unknown.
        beta: bound of |J|.
        residual: bound of |r|.
        curvature: bound of |Σ r_i H_i|.
        rounding: bound of the error of a computed gradient.
    """

    lipschitz: float
    third: float
    beta: float
    residual: float
    curvature: float
    rounding: float


def node(at: Evaluation) -> Node:
    """A network as a point of the curve."""
    gradient = at.pull(at.residual)
    return Node(at, gradient, combined_norm([(1.0, gradient)]))


def residual_error(points: Sequence[Evaluation]) -> float:
    """Bound of the errors of the computed residuals of some networks."""
    return max(at.rounding[0] for at in points)


def gradient_error(points: Sequence[Evaluation], beta: float) -> float:
    """Bound of the errors of some computed gradients Jᵀr: of J, of r, and of the products.

    Args:
        points: the networks.
        beta: bound of |J| at each of them.
    """
    residual, jacobian = residual_error(points), max(at.rounding[1] for at in points)
    size = max(float(np.linalg.norm(at.residual)) for at in points) + residual
    rows = points[0].problem.rows
    product = (rows + 8) * 2 * UNIT * rows**0.5 * (beta + jacobian) * size
    return (jacobian * size + (beta + jacobian) * residual + product) * SAFE


def combined_norm(terms: Sequence[tuple[float, Sequence[Block]]]) -> float:
    """|Σ c v| for numbers c and directions v, rounded up."""
    total = 0.0
    for parts in zip(*(blocks for _, blocks in terms), strict=True):
        for kind in range(2):
            if parts[0][kind] is not None:
                total += float((_combination(terms, parts, kind) ** 2).sum())
    return total**0.5 * SAFE


def _combination(terms, parts, kind: int) -> np.ndarray:
    scaled = [c * part[kind] for (c, _), part in zip(terms, parts, strict=True)]
    return np.sum(scaled, axis=0)


def _shifted(at: Evaluation, *terms: tuple[float, Sequence[Block]]) -> Evaluation:
    """The network at θ - Σ c v."""
    zipped = zip(*(blocks for _, blocks in terms), strict=True)
    direction = [
        Block(
            _combination(terms, parts, 0),
            None if parts[0].bias is None else _combination(terms, parts, 1),
        )
        for parts in zipped
    ]
    return at.moved(direction)


def advance(start: Node, s: float) -> tuple[Node, Arc]:
    """The next point by one Runge-Kutta step of length s, and the cubic that leads to it."""
    first = start.gradient
    second = node(_shifted(start.at, (s / 2, first))).gradient
    third = node(_shifted(start.at, (s / 2, second))).gradient
    fourth = node(_shifted(start.at, (s, third))).gradient
    mixed = ((s / 6, first), (s / 3, second), (s / 3, third), (s / 6, fourth))
    end = node(_shifted(start.at, *mixed))
    return end, _arc(start, end, s)


def _arc(a: Node, b: Node, s: float) -> Arc:
    moved = [
        Block(v.weight - u.weight, None if u.bias is None else v.bias - u.bias)  # pyright: ignore[reportOptionalOperand]
        for u, v in zip(a.at.blocks, b.at.blocks, strict=True)
    ]
    error = 4 * UNIT * ((a.at.norm + b.at.norm) / s + a.size + b.size)
    c = combined_norm([(1 / s, moved), (0.5, a.gradient), (0.5, b.gradient)]) + error
    turned = combined_norm([(1.0, a.gradient), (-1.0, b.gradient)]) + error * s
    speed = (max(a.size, b.size) + 1.5 * c) * SAFE
    bend, twist = (turned + 6 * c) / s * SAFE, 12 * c / s**2 * SAFE
    return Arc(s, s * speed * SAFE, speed, bend, twist)


def second_derivative(arc: Arc, around: Around) -> float:
    """Bound of |d''| on an arc; infinite where no L3 is known."""
    if not np.isfinite(around.third):
        return np.inf
    bent = (3 * around.beta * around.lipschitz + around.third * around.residual) * arc.speed**2
    straight = (around.beta**2 + around.curvature) * arc.bend
    return (arc.twist + bent + straight) * SAFE


def defect(arc: Arc, around: Around) -> float:
    """Bound of ∫|d| over an arc."""
    s = arc.duration
    slope = arc.bend + (around.beta**2 + around.curvature) * arc.speed
    inside = min(s**3 * second_derivative(arc, around) / 12, s**2 * slope / 4)
    return (s * around.rounding + inside) * SAFE
