r"""Any depth: a Lipschitz constant of the Jacobian from the Hessian in the preactivations.

Write h̃^l = (c_l h^{l-1}, s_l) for what layer l sees (h^{-1} = x), V_l for the part of a direction
in its weights and biases, D^{l←j} = ∂z^l/∂z^j for the derivative through the layers, D^{l←l} = 1,
and

    S^{jk}_i = ∂²f_i/∂z^j∂z^k = Σ_{l ≥ k} D^{l←j}ᵀ diag(φ''(z^l) ∂f_i/∂h^l) D^{l←k},     j ≤ k,

n × n matrices of which the signed sum is taken before the norm. Then D²f_i[V, V] is the sum over j
and k of S^{jk}_i[V_j h̃^j, V_k h̃^k] and, for j < k (the readout is the last k), of

    2 c_k ⟨∂f_i/∂z^k, V_k ḣ^{k-1}⟩,   ḣ^{k-1} = E_i V_j h̃^j,   E_i = diag(φ'(z^{k-1})) D^{k-1←j}.

With u a unit vector over points and Frobenius norms |V_l| = 1, K_l the Gram matrix of the h̃^l,

    |Σ u_i S_i[V_j h̃_i^j, V_k h̃_i^k]|² ≤ Σ σ_i² |V_j h̃_i^j|² |V_k h̃_i^k|² ≤ λ_max(σσᵀ∘K_j∘K_k)

with σ_i = |S_i^{jk}| (of several outputs the largest |Σ_o u_o S_io|, |u| = 1), because the middle
is linear in each of the matrices V_jᵀV_j and V_kᵀV_k, so that it is largest at rank one. The other
term is at most √λ_max(ΓΓᵀ∘K_j) with Γ_i = c_k|∂f_i/∂z^k||E_i|; for j = k - 1 it splits into the
neurons a of layer j, and with G the gradients ∂f_i/∂z^k it is

    c_k max_a √λ_max(φ'_a φ'_aᵀ ∘ GGᵀ ∘ K_j).

The topmost S is diagonal and splits likewise. With Q_jk the bound of the part in V_j and V_k,
|D²f[V, V]| ≤ Σ_jk Q_jk |V_j||V_k|, and L = λ_max(Q).

**On a ball** |θ - θ̂| ≤ R every ingredient moves by a bounded amount, which
:mod:`widthwise.certify.constants.edge` derives.
"""

import numpy as np

from widthwise.certify.constants.edge import Edge, edge_of, hessian_change
from widthwise.certify.constants.layers import (
    Pairs,
    Points,
    centre_of,
    extended_features,
    largest_by_neuron,
)
from widthwise.certify.evaluation import SAFE, UNIT, Evaluation, norms


class PreactivationBounds:
    """The constant of a network of any depth, from n × n matrices for each point."""

    def __init__(self, at: Evaluation):
        p = at.problem
        self.at = at
        self._widest = max(block.weight.shape[1] for block in at.blocks[1:])
        self._tiny = 16 * self._widest**2 * UNIT
        self._inputs = [extended_features(at, l) for l in range(p.depth + 1)]
        self._grams = [rows @ rows.T for rows in self._inputs]
        self._rows = [norms(rows) * SAFE for rows in self._inputs]
        errors = (c * norms(e) for c, e in zip(p.scales, at.forward_errors[0], strict=True))
        self._reach = [r + e for r, e in zip(self._rows, errors, strict=True)]
        self._centre = centre_of(at, self._tiny)
        self._neurons = [
            self._adjacent(j) + self._tiny * self._crude_adjacent(j) for j in range(p.depth)
        ]
        self._top = self._diagonal()

    def jacobian(self, radius: float) -> float:
        """L(R): Lipschitz constant of J on the ball of this radius around the parameters."""
        p = self.at.problem
        edge = edge_of(self.at, self._centre, self._reach, radius)
        changes = hessian_change(self.at, self._centre, edge, radius)
        Q = np.zeros((p.depth + 1, p.depth + 1))
        for k in range(p.depth):
            for j in range(k + 1):
                sigma = self._hessian(edge, changes, j, k)
                whole = self._pair(sigma, j, k, edge)
                if j == k == p.depth - 1:
                    split = self._top + self._pair(sigma, j, k, edge, changes[j, k])
                    whole = min(whole, split)
                Q[j, k] += whole
        for k in range(1, p.depth + 1):
            for j in range(k):
                Q[j, k] += self._cross(edge, j, k)
        Q = np.maximum(Q, Q.T)
        if not np.isfinite(Q).all():
            return np.inf
        return float(np.linalg.eigvalsh(Q)[-1]) * SAFE

    def _weighted(self, weight: Points, *layers: int) -> float:
        """√λ_max(ww^T ∘ K_j ∘ …), the points' multiplicities in it."""
        w = self.at.problem.root * weight
        matrix = np.outer(w, w)
        for layer in layers:
            matrix = matrix * self._grams[layer]
        slack = (4 * self._widest + 40 * len(w) + 100) * UNIT * np.trace(matrix)
        if not np.isfinite(matrix).all():
            return np.inf
        return float(np.sqrt(max(np.linalg.eigvalsh(matrix)[-1], 0.0) + slack)) * SAFE

    def _pair(
        self, sigma: Points, j: int, k: int, edge: Edge, change: Points | None = None
    ) -> float:
        """√λ_max(σσ^T ∘ K_j ∘ K_k) at the edge of the ball; K moves by ``edge.inputs``."""
        a, b = self._rows[j], self._rows[k]
        da, db = edge.inputs[j], edge.inputs[k]
        apart = self.at.problem.root * sigma * (da * b + a * db + da * db)
        inner = sigma if change is None else change
        return self._weighted(inner, j, k) + float(np.linalg.norm(apart)) * SAFE

    def _hessian(self, edge: Edge, changes: Pairs, j: int, k: int) -> Points:
        """|S^{jk}| on the ball."""
        crude = np.zeros(len(self.at.problem.x))
        for l in range(k, self.at.problem.depth):
            crude += edge.derivatives[l, j][0] * edge.bends[l].largest * edge.derivatives[l, k][0]
        return np.minimum(self._centre.hessians[j, k] + changes[j, k], crude) * SAFE

    def _cross(self, edge: Edge, j: int, k: int) -> float:
        """The part in the weights of layer k and the features below them."""
        p, c = self.at.problem, self._centre
        reach = _feature(edge, j, k)
        after = p.scales[k] * edge.gradients[k] * reach
        loose = self._weighted(after, j)
        if j == k - 1:
            loose = min(loose, self._neurons[j] + self._weighted(self._change(edge, j, k), j))
        else:
            before = p.scales[k] * c.gradients[k] * c.features[k - 1, j]
            sharp = self._weighted(before, j) + self._weighted(self._change(edge, j, k), j)
            loose = min(loose, sharp)
        return loose + float(np.linalg.norm(p.root * after * edge.inputs[j])) * SAFE

    def _change(self, edge: Edge, j: int, k: int) -> Points:
        """How far the product of gradient and E can be from that at the centre.

        Side by side with those of the other points for j = k - 1, where a gradient that turns at
        equal length counts; else the product of the two norms.
        """
        p, c = self.at.problem, self._centre
        norm, change = edge.derivatives[k - 1, j]
        slope, before = edge.slopes[k - 1], c.slopes[k - 1]
        euclidean, largest = edge.turns[k - 1]
        apart = np.minimum(euclidean * edge.fourths[k - 1, j], largest * norm) + before * change
        gradient = c.gradients[k]
        longer = np.maximum(edge.gradients[k] - gradient, 0.0)
        moved = edge.turned[k] if j == k - 1 else longer
        total = moved * slope * norm + gradient * apart
        return p.scales[k] * total * SAFE

    def _adjacent(self, j: int) -> float:
        """c_k max_a √λ_max(φ'_a φ'_a^T ∘ GG^T ∘ K_j) for k = j + 1."""
        at, p = self.at, self.at.problem
        m, outputs = p.y.shape
        if j == p.depth - 1:
            product = np.kron(np.ones((m, m)), np.eye(outputs))
        else:
            flat = at.backward[1][j + 1].reshape(m * outputs, -1)
            product = flat @ flat.T
        product = product * np.kron(self._grams[j], np.ones((outputs, outputs)))
        slope = np.repeat(p.root[:, None] * at.preactivation(j)[1], outputs, axis=0)
        return p.scales[j + 1] * largest_by_neuron(product, slope, self._widest)

    def _crude_adjacent(self, j: int) -> float:
        p, c = self.at.problem, self._centre
        return self._weighted(p.scales[j + 1] * c.gradients[j + 1] * c.slopes[j], j)

    def _diagonal(self) -> float:
        """max_a √λ_max(s_a s_a^T ∘ K ∘ K), s_a = φ''_a ∂f/∂h_a in the topmost hidden layer."""
        at, l = self.at, self.at.problem.depth - 1
        curvature = at.preactivation(l)[2]
        size = np.sqrt((at.backward[0][l] ** 2).sum(1))
        product = self._grams[l] ** 2
        by_neuron = np.abs(curvature) * size * at.problem.root[:, None]
        return largest_by_neuron(product, by_neuron, self._widest) * (1 + self._tiny)


def _feature(edge: Edge, j: int, k: int) -> Points:
    """|E| on the ball."""
    return edge.slopes[k - 1] * edge.derivatives[k - 1, j][0]
