r"""Norms of one network, point by point, from n × n matrices: what does not depend on the ball.

D^{l←j} = ∂z^l/∂z^j and S^{jk} = ∂²f/∂z^j∂z^k, with D^{l+1←l} = c_{l+1} W^{l+1} diag(φ'(z^l)) and, g
the gradient ∂f/∂h^l,

    S^{ll} = diag(φ''(z^l) g) + D^{l+1←l}ᵀ S^{l+1,l+1} D^{l+1←l},     S^{jk} = D^{k←j}ᵀ S^{kk}.

Several outputs: the root of the sum of squares of their |S|. Computed products of n × n matrices
are off by at most 16 n² u times the products of the norms, which is added.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise.certify.evaluation import SAFE, UNIT, Evaluation, norms

Points = Float[np.ndarray, " points"]


@dataclass(frozen=True, eq=False)
class Centre:
    """Norms at the centre of the ball, an entry for each point.

    Args:
        slopes: max |φ'|, by layer.
        operators: |W^l|, rounded up, and the largest column of W^l.
        derivatives: |D^{l←j}| by (l, j).
        hessians: |S^{jk}| by (j, k).
        bends: max_a |φ''_a ∂f/∂h_a|, by layer.
        peaks: max_a |∂f/∂h_a|, by layer.
        gradients: |∂f/∂z^l|, by layer.
        features: |E| = |diag(φ'(z^l)) D^{l←j}| by (l, j).
    """

    slopes: list[Points]
    operators: list[tuple[float, float]]
    derivatives: dict[tuple[int, int], Points]
    hessians: dict[tuple[int, int], Points]
    bends: list[Points]
    peaks: list[Points]
    gradients: list[Points]
    features: dict[tuple[int, int], Points]


def extended_features(at: Evaluation, l: int) -> np.ndarray:
    """h̃^l: the inputs of layer l as its weights see them, the bias as one more."""
    p = at.problem
    scaled = p.scales[l] * at.features[l]
    return np.concatenate([scaled, np.full((len(scaled), 1), p.bias_scales[l])], axis=1)


def largest_by_neuron(product: np.ndarray, weights: np.ndarray, terms: int) -> float:
    """max_a √λ_max(w_a w_a^T ∘ product), w_a the columns of ``weights``."""
    best = 0.0
    traces = (weights**2 * np.diag(product)[:, None]).sum(0)
    for chosen in np.array_split(np.argsort(-traces), -(-len(traces) // 256)):
        if traces[chosen[0]] <= best:
            break
        w = weights[:, chosen].T
        if not np.isfinite(traces).all():
            return np.inf
        stack = w[:, :, None] * product * w[:, None, :]
        slack = (4 * terms + 40 * len(product) + 100) * UNIT * float(traces[chosen].max())
        best = max(best, float(np.linalg.eigvalsh(stack)[:, -1].max()) + slack)
    return float(np.sqrt(max(best, 0.0))) * SAFE


def _norm(matrix: np.ndarray) -> float:
    """|matrix|, rounded up."""
    if not matrix.any():
        return 0.0
    scale = float(np.abs(matrix).max())
    if not np.isfinite(scale):
        return np.inf
    part = matrix / scale
    gram = part @ part.T if part.shape[0] <= part.shape[1] else part.T @ part
    slack = (8 * max(part.shape) + 100) * UNIT * np.trace(gram)
    return scale * float(np.sqrt(max(np.linalg.eigvalsh(gram)[-1], 0.0) + slack)) * SAFE


def centre_of(at: Evaluation, tiny: float) -> Centre:
    p = at.problem
    slopes = [np.abs(at.preactivation(l)[1]) for l in range(p.depth)]
    peaks = [np.sqrt((g**2).sum(1)) for g in at.backward[0]]
    bends = [(np.abs(at.preactivation(l)[2]) * peak).max(1) * SAFE for l, peak in enumerate(peaks)]
    gradients = [norms(g) * SAFE for g in at.backward[1]]
    operators = [
        (_norm(block.weight), float(np.sqrt((block.weight**2).sum(0).max())) * SAFE)
        for block in at.blocks[:-1]
    ]
    points = [_point(at, i, tiny) for i in range(len(p.x))]
    keys = points[0]
    derivatives, hessians, features = (
        {key: np.array([point[kind][key] for point in points]) for key in keys[kind]}
        for kind in range(3)
    )
    return Centre(
        [slope.max(1) * SAFE for slope in slopes],
        operators,
        derivatives,
        hessians,
        bends,
        [peak.max(1) * SAFE for peak in peaks],
        [*gradients, np.ones(len(p.x))],
        features,
    )


def _point(at: Evaluation, i: int, tiny: float):
    """|D^{l←j}|, |S^{jk}| and |diag(φ') D^{l←j}| of one point."""
    p = at.problem
    slope = [at.preactivation(l)[1][i] for l in range(p.depth)]
    D = {
        (l + 1, l): p.scales[l + 1] * at.blocks[l + 1].weight * slope[l] for l in range(p.depth - 1)
    }
    for j in range(p.depth):
        for l in range(j + 2, p.depth):
            D[l, j] = D[l, l - 1] @ D[l - 1, j]
    size = {key: _norm(matrix) for key, matrix in D.items()}
    features = {key: _norm(slope[key[0]][:, None] * matrix) for key, matrix in D.items()}
    squares = {(j, k): 0.0 for k in range(p.depth) for j in range(k + 1)}
    for output in range(p.y.shape[1]):
        M, crude = None, 0.0
        for k in reversed(range(p.depth)):
            bend = at.preactivation(k)[2][i] * at.backward[0][k][i, output]
            if M is None:
                M, diagonal = np.diag(bend), float(np.abs(bend).max())
                squares[k, k] += diagonal**2
                crude = diagonal
            else:
                step = D[k + 1, k]
                M = step.T @ (M @ step) + np.diag(bend)
                crude = size[k + 1, k] ** 2 * crude + float(np.abs(bend).max())
                squares[k, k] += (float(_norm(M)) + tiny * crude) ** 2
            for j in range(k):
                rounding = tiny * size[k, j] * crude
                squares[j, k] += (_norm(D[k, j].T @ M) + rounding) ** 2
    for l in range(p.depth):
        size[l, l] = 1.0
    return size, {key: value**0.5 * SAFE for key, value in squares.items()}, features
