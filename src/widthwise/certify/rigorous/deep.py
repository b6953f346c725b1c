r"""The Lipschitz constant of the Jacobian at depth ≥ 2, rounded outward.

The recursions are those of :mod:`widthwise.certify.constants.deep`, evaluated in intervals, with
verified norms of the weights. These are found once, at the start: elsewhere |W| ≤ |W_0| + |W - W_0|
in Frobenius norm. λ_max(sym Q) of a nonnegative matrix grows with its entries, so that entries from
above will do. The sharper constant that needs n × n matrices for every point is not built here.
"""

from dataclasses import dataclass

import numpy as np

from widthwise.certify.constants.deep import LayerSizes, layer_sizes
from widthwise.certify.evaluation import SAFE, UNIT, Block, Evaluation
from widthwise.certify.rigorous.eigenvalues import largest_eigenvalue
from widthwise.certify.rigorous.intervals import (
    Interval,
    ceiling,
    exact,
    gamma,
    most,
    norm,
    root,
    upper,
)


@dataclass(frozen=True, eq=False)
class DeepConstants:
    """What the constant of a network needs at its parameters.

    Args:
        at: the network.
        sizes: bounds point by point.
        stacked: norms of the rows (c_l h^{l-1}, s_l), by layer.
        operators: |W^l| for all layers but the readout.
        origin: the weights at which norms were found, and those norms.
    """

    at: Evaluation
    sizes: LayerSizes
    stacked: list[Interval]
    operators: list[Interval]
    origin: tuple[tuple[Block, ...], list[Interval]]

    @classmethod
    def of(cls, at: Evaluation) -> "DeepConstants":
        """At parameters of which nothing is known."""
        return cls._at(at, (at.blocks, [matrix_norm(b.weight) for b in at.blocks[:-1]]))

    def moved(self, at: Evaluation) -> "DeepConstants":
        """At other parameters."""
        return self._at(at, self.origin)

    @classmethod
    def _at(cls, at: Evaluation, origin: tuple[tuple[Block, ...], list[Interval]]):
        sizes, operators = layer_sizes(at), []
        for here, there, size in zip(at.blocks, origin[0], origin[1], strict=False):
            apart = norm_above(here.weight - there.weight)
            operators.append(ceiling(size + apart * (1 + exact(2 * UNIT))))
        stacked = [
            ceiling(matrix_norm(rows) + exact(error))
            for rows, error in zip(sizes.extended, sizes.errors, strict=True)
        ]
        return cls(at, sizes, stacked, operators, origin)

    def jacobian(self, radius: Interval) -> Interval:
        """L(R), the Lipschitz constant of J on the ball of this radius."""
        p = self.at.problem
        m1, m2 = exact(p.bounds.slope), exact(p.bounds.curvature)
        moves, rows, stacked, weights = self._forward(radius, m1)
        neurons, gradients = self._backward(radius, moves, weights, m1, m2)
        zero, count = exact(0.0), p.depth + 1
        quadratic = [[zero] * count for _ in range(count)]
        each, whole = [zero] * count, [zero] * count
        for l in range(p.depth):
            if l:
                factor = 2 * exact(p.scales[l]) * gradients[l] * m1
                quadratic[l] = [q + factor * v for q, v in zip(quadratic[l], whole, strict=True)]
                each = [weights[l] * m1 * v for v in each]
                whole = [weights[l] * m1 * v for v in whole]
            each[l], whole[l] = rows[l], stacked[l]
            for i in range(count):
                for j in range(count):
                    quadratic[i][j] += m2 * neurons[l] * each[i] * whole[j]
        last = 2 * exact(p.scales[-1]) * m1
        quadratic[-1] = [q + last * v for q, v in zip(quadratic[-1], whole, strict=True)]
        symmetric = np.array(
            [
                [upper((quadratic[i][j] + quadratic[j][i]) / 2) for j in range(count)]
                for i in range(count)
            ]
        )
        if not np.isfinite(symmetric).all():
            return exact(np.inf)
        return exact(largest_eigenvalue(symmetric))

    def _forward(self, radius: Interval, m1: Interval):
        """How far every z^l can move, and the norms of (c h, s) at the edge of the ball."""
        p = self.at.problem
        move, move_all = [exact(0.0)] * len(p.x), exact(0.0)
        moves, rows, stacked, weights = [], [], [], []
        for l, (each, size) in enumerate(zip(self.sizes.rows, self.stacked, strict=True)):
            scale, row = exact(p.scales[l]), [exact(value) for value in each]
            weights.append(scale * (self.operators[l] + radius))
            rows.append(most(*(r + scale * v for r, v in zip(row, move, strict=True))))
            stacked.append(size + scale * move_all)
            moves.append([weights[l] * v + radius * r for r, v in zip(row, move, strict=True)])
            move = [m1 * v for v in moves[l]]
            move_all = m1 * (weights[l] * move_all + radius * size)
        return moves, rows, stacked, weights

    def _backward(self, radius: Interval, moves, weights, m1: Interval, m2: Interval):
        """The largest gradients at the edge of the ball."""
        p, zero = self.at.problem, exact(0.0)
        neurons, gradients = [zero] * p.depth, [zero] * p.depth
        change = [exact(p.scales[-1]) * radius] * len(p.x)
        for l in reversed(range(p.depth)):
            peak = [exact(value) for value in self.sizes.neurons[l]]
            slope = [exact(value) for value in self.sizes.gradients[l]]
            neurons[l] = most(*(n + c for n, c in zip(peak, change, strict=True)))
            change = [m1 * c + m2 * n * v for c, n, v in zip(change, peak, moves[l], strict=True)]
            gradients[l] = most(*(g + c for g, c in zip(slope, change, strict=True)))
            scale = exact(p.scales[l]) * radius
            change = [weights[l] * c + scale * g for c, g in zip(change, slope, strict=True)]
        return neurons, gradients


def matrix_norm(matrix: np.ndarray) -> Interval:
    """|matrix| from above."""
    wide = matrix.shape[0] <= matrix.shape[1]
    gram = matrix @ matrix.T if wide else matrix.T @ matrix
    gram = (gram + gram.T) / 2
    if not np.isfinite(gram).all():
        return exact(np.inf)
    rounded = gamma(max(matrix.shape) + 8) * exact(float(np.trace(gram)) * SAFE)
    return ceiling(root(exact(largest_eigenvalue(gram)) + rounded))


def norm_above(matrix: np.ndarray) -> Interval:
    """|matrix|_F from above; of large ones as a float64 sum of squares, rounded up."""
    if matrix.size <= 64:
        return norm(matrix)
    return exact(float(np.sqrt((matrix**2).sum())) * SAFE)
