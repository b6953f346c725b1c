r"""Any depth: a Lipschitz constant of the Jacobian from the Hessian in the preactivations.

Write h̃^l = (c_l h^l, s_l) for what layer l sees (h^0 = x), V_l for the part of a direction in its
weights and biases, D^{l←j} = ∂z^l/∂z^j for the derivative through the layers, D^{l←l} = 1, and

    S^{jk}_i = ∂²f_i/∂z^j∂z^k = Σ_{l ≥ k} D^{l←j}ᵀ diag(φ''(z^l) ∂f_i/∂h^l) D^{l←k},     j ≤ k,

n × n matrices of which the signed sum is taken before the norm. Then D²f_i[V, V] is the sum over j
and k of S^{jk}_i[V_j h̃^j, V_k h̃^k] and, for j < k (the readout is the last k), of

    2 c_k ⟨∂f_i/∂z^k, V_k ḣ^{k-1}⟩,   ḣ^{k-1} = E_i V_j h̃^j,   E_i = diag(φ'(z^{k-1})) D^{k-1←j}.

With u a unit vector over points and Frobenius norms |V_l| = 1, K_l the Gram matrix of the h̃^l,

    |Σ u_i S_i[V_j h̃_i^j, V_k h̃_i^k]|² ≤ Σ σ_i² |V_j h̃_i^j|² |V_k h̃_i^k|² ≤ λ_max(σσᵀ∘K_j∘K_k)

with σ_i = |S_i^{jk}|, because the middle is linear in each of the matrices V_jᵀV_j and V_kᵀV_k, so
that it is largest at rank one. The other term is at most √λ_max(ΓΓᵀ∘K_j) with
Γ_i = c_k|∂f_i/∂z^k||E_i|; for j = k - 1 it splits into the neurons a of layer j, and with G the
gradients ∂f_i/∂z^k it is

    c_k max_a √λ_max(φ'_a φ'_aᵀ ∘ GGᵀ ∘ K_j).

The topmost S is diagonal and splits likewise. With Q_jk the bound of the part in V_j and V_k,
|D²f[V, V]| ≤ Σ_jk Q_jk |V_j||V_k|, and L = λ_max(Q).

**On a ball** |θ - θ̂| ≤ R every ingredient moves by a bounded amount. Point i's z^l moves by at most
ζ^l = R|p^l|, p^l = |D^{l←l-1}| p^{l-1} + |h̃^l| e_l. A change of φ' by at most M2ζ in Euclidean norm
changes cWdiag(φ') by the largest *column* of cW times that, not by |cW|. The rest are product
rules; none of the norms exceeds what the sup-norms M1, M2 of the activation allow. Rounding enters
as one more displacement.
"""

from dataclasses import dataclass

import numpy as np

from widthwise.certify.constants.layers import (
    Points,
    centre_of,
    extended_features,
    largest_by_neuron,
)
from widthwise.certify.evaluation import SAFE, UNIT, Evaluation, norms


@dataclass(frozen=True, eq=False)
class _Moved:
    """Bounds on a ball: the largest norms, and the largest changes from the centre."""

    moves: list[Points]
    inputs: list[Points]
    derivatives: dict[tuple[int, int], tuple[Points, Points]]
    bends: list[tuple[Points, Points]]
    gradients: list[Points]
    slopes: list[Points]


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
        self._errors = [norms(error) * SAFE for error in at.forward_errors[1][:-1]]
        self._centre = centre_of(at, self._tiny)
        self._neurons = [
            self._adjacent(j) + self._tiny * self._crude_adjacent(j) for j in range(p.depth)
        ]
        self._top = self._diagonal()

    def jacobian(self, radius: float) -> float:
        """L(R): Lipschitz constant of J on the ball of this radius around the parameters."""
        p = self.at.problem
        moved = self._moved(radius)
        Q = np.zeros((p.depth + 1, p.depth + 1))
        for k in range(p.depth):
            for j in range(k + 1):
                sigma, change = self._hessian(moved, j, k)
                whole = self._pair(sigma, j, k, moved)
                if j == k == p.depth - 1:
                    split = self._top + self._pair(sigma, j, k, moved, change)
                    whole = min(whole, split)
                Q[j, k] += whole
        for k in range(1, p.depth + 1):
            for j in range(k):
                Q[j, k] += self._cross(moved, j, k)
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
        self, sigma: Points, j: int, k: int, moved: _Moved, change: Points | None = None
    ) -> float:
        """√λ_max(σσ^T ∘ K_j ∘ K_k) at the edge of the ball; K moves by ``moved.inputs``."""
        a, b = self._rows[j], self._rows[k]
        da, db = moved.inputs[j], moved.inputs[k]
        apart = self.at.problem.root * sigma * (da * b + a * db + da * db)
        inner = sigma if change is None else change
        return self._weighted(inner, j, k) + float(np.linalg.norm(apart)) * SAFE

    def _hessian(self, moved: _Moved, j: int, k: int) -> tuple[Points, Points]:
        """|S^{jk}| on the ball, and how far it can be from that at the centre."""
        d, c = moved.derivatives, self._centre
        change = crude = np.zeros(len(self.at.problem.x))
        for l in range(k, self.at.problem.depth):
            (left, dleft), (right, dright) = d[l, j], d[l, k]
            bend, dbend = moved.bends[l]
            crude = crude + left * bend * right
            change = (
                change
                + dleft * bend * right
                + c.derivatives[l, j] * (dbend * right + c.bends[l] * dright)
            )
        return np.minimum(c.hessians[j, k] + change, crude) * SAFE, change * SAFE

    def _cross(self, moved: _Moved, j: int, k: int) -> float:
        """The part in the weights of layer k and the features below them."""
        p, c = self.at.problem, self._centre
        reach = _feature(moved, j, k)
        after = p.scales[k] * moved.gradients[k] * reach
        loose = self._weighted(after, j)
        if j == k - 1:
            loose = min(loose, self._neurons[j] + self._weighted(self._change(moved, j, k), j))
        else:
            before = p.scales[k] * c.gradients[k] * c.features[k - 1, j]
            sharp = self._weighted(before, j) + self._weighted(self._change(moved, j, k), j)
            loose = min(loose, sharp)
        return loose + float(np.linalg.norm(p.root * after * moved.inputs[j])) * SAFE

    def _change(self, moved: _Moved, j: int, k: int) -> Points:
        """How far the product of gradient and E can be from that at the centre."""
        p, c = self.at.problem, self._centre
        norm, change = moved.derivatives[k - 1, j]
        slope, before = moved.slopes[k - 1], c.slopes[k - 1]
        apart = self._turned(moved, k - 1) * norm + before * change
        gradient = c.gradients[k]
        total = (moved.gradients[k] - gradient) * slope * norm + gradient * apart
        return p.scales[k] * total * SAFE

    def _turned(self, moved: _Moved, l: int) -> Points:
        """How far φ' of any neuron of a layer can be from that at the centre."""
        bounds = self.at.problem.bounds
        return np.minimum(bounds.curvature * moved.moves[l], 2 * bounds.slope)

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

    def _moved(self, R: float) -> _Moved:
        """Everything at the edge of the ball."""
        zeta, inputs, steps, slopes = self._forward(R)
        derivatives = self._derivatives(steps)
        bends, gradients = self._backward(R, zeta, slopes)
        return _Moved(zeta, inputs, derivatives, bends, gradients, slopes)

    def _forward(self, R: float):
        """ζ, changes of h̃, |D^{l+1←l}| with its change, and max |φ'|."""
        p, c = self.at.problem, self._centre
        m1, m2 = p.bounds.slope, p.bounds.curvature
        points = len(p.x)
        path = np.zeros((p.depth, points))
        zeta, inputs, steps, slopes = [], [np.zeros(points)], [], []
        for l in range(p.depth):
            if l:
                path = steps[-1][0] * path
            path[l] += self._rows[l]
            zeta.append((R * np.sqrt((path**2).sum(0)) + self._slack(l)) * SAFE)
            slopes.append(np.minimum(m1, c.slopes[l] + m2 * zeta[l]))
            inputs.append(p.scales[l + 1] * m1 * zeta[l])
            if l + 1 < p.depth:
                operator, column = c.operators[l + 1]
                scale = p.scales[l + 1]
                change = scale * (column * m2 * zeta[l] + R * slopes[l])
                change = change + self._tiny * scale * operator * m1
                largest = scale * (operator + R) * m1
                base = c.derivatives[l + 1, l]
                steps.append((np.minimum(base + change, largest) * SAFE, change * SAFE))
        return zeta, inputs, steps, slopes

    def _slack(self, l: int) -> Points:
        """Rounding of z^l and of the activation there, as a displacement of z^l."""
        p = self.at.problem
        if p.bounds.curvature == 0:
            return self._errors[l]
        z = self.at.preactivation(l)[0]
        ratio = p.bounds.slope / p.bounds.curvature
        return self._errors[l] + 64 * UNIT * (norms(z) + z.shape[1] ** 0.5 * ratio)

    def _derivatives(self, steps) -> dict[tuple[int, int], tuple[Points, Points]]:
        """|D^{l←j}| on the ball, and its change."""
        p, c = self.at.problem, self._centre
        points = len(p.x)
        made = {(l, l): (np.ones(points), np.zeros(points)) for l in range(p.depth)}
        for j in range(p.depth):
            for l in range(j + 1, p.depth):
                step, dstep = steps[l - 1]
                below, dbelow = made[l - 1, j]
                change = dstep * below + c.derivatives[l, l - 1] * dbelow
                change = change + self._tiny * step * below
                whole = np.minimum(c.derivatives[l, j] + change, step * below)
                made[l, j] = whole * SAFE, change * SAFE
        return made

    def _backward(self, R: float, zeta, slopes):
        """The largest |φ'' ∂f/∂h| with its change, and |∂f/∂z|, by layer."""
        at, p, c = self.at, self.at.problem, self._centre
        m2, m3 = p.bounds.curvature, p.bounds.third
        bends: list = [None] * p.depth
        gradients: list = [None] * (p.depth + 1)
        gradients[p.depth] = np.ones(len(p.x))
        change = p.scales[-1] * R + norms(at.backward_errors[0][-1])
        for l in reversed(range(p.depth)):
            curved = np.full(len(p.x), 2 * m2)
            if np.isfinite(m3):
                curved = np.minimum(curved, m3 * zeta[l] + 64 * UNIT * m2)
            bend = c.peaks[l] * curved + change * m2
            largest = (c.peaks[l] + change) * m2
            bends[l] = np.minimum(c.bends[l] + bend, largest) * SAFE, bend * SAFE
            change = (
                change * slopes[l] + c.peaks[l] * m2 * zeta[l] + norms(at.backward_errors[1][l])
            )
            gradients[l] = (c.gradients[l] + change) * SAFE
            if l:
                operator, _ = c.operators[l]
                below = (operator + R) * change + R * c.gradients[l]
                change = (p.scales[l] * below + norms(at.backward_errors[0][l - 1])) * SAFE
        return bends, gradients


def _feature(moved: _Moved, j: int, k: int) -> Points:
    """|E| on the ball."""
    return moved.slopes[k - 1] * moved.derivatives[k - 1, j][0]
