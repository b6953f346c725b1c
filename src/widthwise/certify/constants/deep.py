r"""Any depth: a Lipschitz constant of the Jacobian on a ball, from operator norms at its centre.

L = sup |D²f[v, v]| over unit v and over the ball |θ - θ̂| ≤ R, and for outputs f_i, i a point,

    D²f_i[v,v] = Σ_l ⟨∂f_i/∂h^l, φ''(z^l)(ż^l)²⟩
               + 2 Σ_l c_l ⟨∂f_i/∂z^l, dW^l ḣ^{l-1}⟩ + 2 c ⟨dA, ḣ⟩.

With v_l the norm of v in layer l, |ż^l_i| ≤ p^l·v for every point and |ż^l|, stacked over points, ≤
P^l·v, where, with |W^l| + R in place of |W^l|,

    p^l = c_l |W^l| M1 p^{l-1} + |(c_l h_i^{l-1}, s_l)| e_l,     P^l likewise by operator norms.

Then D²f ≤ vᵀQv and L = λ_max(sym Q),

    Q = Σ_l M2 max_{i,k} |∂f_i/∂h^l_k| p^l ⊗ P^l + 2 Σ_l c_l max_i |∂f_i/∂z^l| M1 e_l ⊗ P^{l-1} + ….

The width enters by the maximum over neurons of ∂f/∂h, which is O(n^{-1/2}); all sizes are followed
to the edge of the ball by a forward and a backward recursion. Several outputs: the maximum is over
neurons of the norm over outputs, the other gradients are taken in Frobenius norm.

This costs little and is 4 to 40 times too large at depth 2 and 3. Where n × n matrices for every
point are affordable, :mod:`widthwise.certify.constants.preactivations` comes within a factor of
about 2 at the parameters and on small balls, of 10 at depth 3 on balls of radius 0.1, and the
smaller of both counts. Its matrices are computed where they are asked for and kept along short
ways: L on the ball around θ' is at most that on the ball around θ with |θ' - θ| added to its
radius.
"""

from typing import NamedTuple

import numpy as np

from widthwise.certify.constants.preactivations import PreactivationBounds
from widthwise.certify.evaluation import SAFE, UNIT, Evaluation, norms

_AFFORDABLE = 1e11  # multiplications for the matrices at the start
_AGAIN = 4e9  # and at every later point
_KEPT = 0.02  # way along which they are kept


class LayerSizes(NamedTuple):
    """Upper bounds point by point, and the matrices whose norms are needed too, by layer.

    Args:
        rows: |(c_l h_i^{l-1}, s_l)|.
        neurons: max_k |∂f_i/∂h^l_k|, the norm over outputs.
        gradients: |∂f_i/∂z^l|.
        extended: the rows (c_l h_i^{l-1}, s_l) times the roots of the multiplicities, as computed.
        errors: how far these can be from the exact ones, in Frobenius norm.
    """

    rows: list[np.ndarray]
    neurons: list[np.ndarray]
    gradients: list[np.ndarray]
    extended: list[np.ndarray]
    errors: list[float]


def layer_sizes(at: Evaluation) -> LayerSizes:
    """The :class:`LayerSizes` of a network at its parameters."""
    p = at.problem
    extended = [
        np.concatenate([p.scales[l] * h, np.full((len(h), 1), p.bias_scales[l])], axis=1)
        for l, h in enumerate(at.features[:-1])
    ]
    errors = [p.scales[l] * norms(error) for l, error in enumerate(at.forward_errors[0][:-1])]
    to_h, to_z = (
        [(np.abs(g) + error) for g, error in zip(*pair, strict=True)]
        for pair in zip(at.backward, at.backward_errors, strict=True)
    )
    return LayerSizes(
        [norms(e) * SAFE + error for e, error in zip(extended, errors, strict=True)],
        [np.sqrt((g**2).sum(1)).max(1) * SAFE for g in to_h],
        [norms(g) * SAFE for g in to_z],
        [p.root[:, None] * e for e in extended],
        [float(np.linalg.norm(p.root * error)) * SAFE for error in errors],
    )


class DeepBounds:
    """The constant of a network of any depth at one value of its parameters."""

    def __init__(self, at: Evaluation, near: PreactivationBounds | None = None):
        self.at = at
        self._near, self._affordable = near, _AFFORDABLE if near is None else _AGAIN
        self._operators = [_largest(block.weight) for block in at.blocks[:-1]]
        sizes = layer_sizes(at)
        self._rows, self._neurons, self._gradients = sizes.rows, sizes.neurons, sizes.gradients
        self._stacked = [
            _largest(rows) + error for rows, error in zip(sizes.extended, sizes.errors, strict=True)
        ]

    def moved(self, at: Evaluation) -> "DeepBounds":
        """The constants at other parameters."""
        return DeepBounds(at, self._near)

    def jacobian(self, radius: float) -> float:
        """L(R): Lipschitz constant of J on the ball of this radius around the parameters."""
        cheap = self._by_layers(radius)
        near = self._nearby()
        if near is None:
            return cheap
        return min(cheap, near.jacobian(radius + near.at.distance(self.at)))

    def _nearby(self) -> PreactivationBounds | None:
        """The sharper constant at these parameters or close to them, where it is affordable."""
        near = self._near
        far = near is None or near.at.distance(self.at) > _KEPT
        if far and _multiplications(self.at) <= self._affordable:
            self._near = near = PreactivationBounds(self.at)
        return near

    def _by_layers(self, radius: float) -> float:
        p = self.at.problem
        m1, m2 = p.bounds.slope, p.bounds.curvature
        moves, rows, stacked, weights = self._forward(radius, m1)
        neurons, gradients = self._backward(radius, moves, weights, m1, m2)
        quadratic = np.zeros((p.depth + 1, p.depth + 1))
        each, all_points = np.zeros(p.depth + 1), np.zeros(p.depth + 1)
        for l in range(p.depth):
            if l:
                quadratic[l] += 2 * p.scales[l] * gradients[l] * m1 * all_points
                each, all_points = weights[l] * m1 * each, weights[l] * m1 * all_points
            each[l], all_points[l] = rows[l], stacked[l]
            quadratic += m2 * neurons[l] * np.outer(each, all_points)
        quadratic[-1] += 2 * p.scales[-1] * m1 * all_points
        if not np.isfinite(quadratic).all():
            return np.inf
        return float(np.linalg.eigvalsh((quadratic + quadratic.T) / 2)[-1]) * SAFE

    def _forward(self, radius: float, m1: float):
        """How far every z^l can move, and the norms of (c h, s) at the edge of the ball."""
        p = self.at.problem
        move, move_all = np.zeros(len(p.x)), 0.0
        moves, rows, stacked, weights = [], [], [], []
        for l, (row, norm) in enumerate(zip(self._rows, self._stacked, strict=True)):
            weights.append(p.scales[l] * (self._operators[l] + radius))
            rows.append(float((row + p.scales[l] * move).max()))
            stacked.append(norm + p.scales[l] * move_all)
            moves.append(weights[l] * move + radius * row)
            move, move_all = m1 * moves[l], m1 * (weights[l] * move_all + radius * norm)
        return moves, rows, stacked, weights

    def _backward(self, radius: float, moves, weights, m1: float, m2: float):
        """The largest gradients at the edge of the ball."""
        p = self.at.problem
        neurons, gradients = [0.0] * p.depth, [0.0] * p.depth
        change = np.full(len(p.x), p.scales[-1] * radius)
        for l in reversed(range(p.depth)):
            neurons[l] = float((self._neurons[l] + change).max())
            change = m1 * change + m2 * self._neurons[l] * moves[l]
            gradients[l] = float((self._gradients[l] + change).max())
            change = weights[l] * change + p.scales[l] * radius * self._gradients[l]
        return neurons, gradients


def _multiplications(at: Evaluation) -> float:
    """About what the matrices of :class:`PreactivationBounds` cost."""
    widest = max(block.weight.shape[1] for block in at.blocks[1:])
    depth, (points, outputs) = at.problem.depth, at.problem.y.shape
    return 10.0 * points * (depth - 1) * depth * outputs * widest**3


def _largest(matrix: np.ndarray) -> float:
    """|matrix|, rounded up."""
    small = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    slack = (4 * max(matrix.shape) + 40 * len(small) + 100) * UNIT * np.trace(small)
    return float(np.sqrt(max(np.linalg.eigvalsh(small)[-1], 0.0) + slack)) * SAFE
