r"""Norms of one network, point by point, from n × n matrices: what does not depend on the ball.

With s^l = φ'(z^l), D^{l←j} = ∂z^l/∂z^j = J^{l←j} diag(s^j) and J^{l←j} = ∂z^l/∂h^j, one step is
J^{l+1←l} = c_{l+1} W^{l+1}; S^{jk} = ∂²f/∂z^j∂z^k, and, g the gradient ∂f/∂h^l,

    S^{ll} = diag(φ''(z^l) g) + D^{l+1←l}ᵀ S^{l+1,l+1} D^{l+1←l},     S^{jk} = D^{k←j}ᵀ S^{kk}.

Several outputs: the largest norm of Σ_o u_o S_o, |u| = 1, at the centre bounded by the root of the
sum of squares of their |S_o|. Computed products of n × n
matrices are off by at most 16 n² u times the products of the norms, which is added.

**The norm |X|_{2→4}** = sup_{|v| = 1} (Σ_a (x_a·v)⁴)^{1/4}, x_a the rows of X, says how far a
change of the diagonal matters: |Y diag(δ) X| ≤ |δ|₂ |Yᵀ|_{2→4} |X|_{2→4}. For the weights of a wide
layer it is about the length of a row, half of |X|. With v in ℝ^q, s_a = |x_a|² and G = XXᵀ the part
I/q of vvᵀ is split off, which leaves a matrix of squared norm 1 - 1/q, and the matrices
x_a x_aᵀ - (s_a/q) I have the Gram matrix G∘G - ssᵀ/q:

    |X|²_{2→4} ≤ |s|₂/q + √((1 - 1/q) λ_max(G∘G - ssᵀ/q));     also |X|²_{2→4} ≤ max_a |x_a| |X|.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise.certify.evaluation import SAFE, UNIT, Evaluation, norms

Points = Float[np.ndarray, " points"]
Pairs = dict[tuple[int, int], Points]


@dataclass(frozen=True, eq=False)
class Centre:
    """Norms at the centre of the ball, an entry for each point.

    Args:
        slopes: max |φ'|, by layer.
        operators: |W^l|, by layer.
        derivatives: |D^{l←j}| by (l, j), l > j.
        fourths: |D^{l←j}|_{2→4} by (l, j).
        jumps: |J^{l←j}| by (l, j).
        columns: the largest column of J^{l←j} by (l, j).
        raised: |J^{l←j}ᵀ|_{2→4} by (l, j).
        quartic: the largest fourth-power norm of a column of J^{l←j} by (l, j).
        hessians: |S^{jk}| by (j, k), j ≤ k.
        turned: the largest column of S^{j,p+1} J^{p+1←p} by (j, p).
        bends: max_a |φ''_a ∂f/∂h_a|, by layer.
        peaks: max_a |∂f/∂h_a|, by layer.
        gradients: |∂f/∂z^l|, by layer.
        features: |diag(φ'(z^l)) D^{l←j}| by (l, j).
    """

    slopes: list[Points]
    operators: list[float]
    derivatives: Pairs
    fourths: Pairs
    jumps: Pairs
    columns: Pairs
    raised: Pairs
    quartic: Pairs
    hessians: Pairs
    turned: Pairs
    bends: list[Points]
    peaks: list[Points]
    gradients: list[Points]
    features: Pairs


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


def operator_norm(matrix: np.ndarray) -> float:
    """|matrix|, rounded up."""
    scale = float(np.abs(matrix).max())
    if scale == 0 or not np.isfinite(scale):
        return 0.0 if scale == 0 else np.inf
    part = matrix / scale
    gram = part @ part.T if part.shape[0] <= part.shape[1] else part.T @ part
    slack = (8 * max(part.shape) + 100) * UNIT * np.trace(gram)
    return scale * float(np.sqrt(max(np.linalg.eigvalsh(gram)[-1], 0.0) + slack)) * SAFE


def fourth_norm(matrix: np.ndarray, operator: float) -> float:
    """|matrix|_{2→4}, rounded up; ``operator`` is its largest singular value."""
    scale = float(np.abs(matrix).max())
    if scale == 0 or not np.isfinite(scale):
        return 0.0 if scale == 0 else np.inf
    part = matrix / scale
    gram, size = part @ part.T, part.shape[1]
    square = np.diag(gram)
    length = float(np.linalg.norm(square))
    spread = np.linalg.eigvalsh(gram**2 - np.outer(square, square) / size)[-1]
    slack = (16 * size + 40 * len(part) + 100) * UNIT * length**2
    rest = 1 - 1 / size
    split = length / size + float(np.sqrt(rest * (max(spread, 0.0) + slack)))
    return scale * float(np.sqrt(min(split, square.max() ** 0.5 * (operator / scale)))) * SAFE


def _column(matrix: np.ndarray, power: int = 2) -> float:
    """The largest norm of a column."""
    return float((np.abs(matrix) ** power).sum(0).max() ** (1 / power)) * SAFE


def centre_of(at: Evaluation, tiny: float) -> Centre:
    """The norms at these parameters."""
    p = at.problem
    slopes = [np.abs(at.preactivation(l)[1]) for l in range(p.depth)]
    peaks = [np.sqrt((g**2).sum(1)) for g in at.backward[0]]
    bends = [(np.abs(at.preactivation(l)[2]) * peak).max(1) * SAFE for l, peak in enumerate(peaks)]
    gradients = [norms(g) * SAFE for g in at.backward[1]]
    operators = [operator_norm(block.weight) for block in at.blocks[:-1]]
    steps = {}
    for l in range(1, p.depth):
        weight, scale = at.blocks[l].weight, p.scales[l]
        raised, quartic = fourth_norm(weight.T, operators[l]), _column(weight, 4)
        sizes = operators[l], _column(weight), raised, quartic
        steps[l, l - 1] = [scale * size for size in sizes]
    points = [_Point(at, i, tiny, steps) for i in range(len(p.x))]

    def gathered(kind: str) -> Pairs:
        first = getattr(points[0], kind)
        return {key: np.array([getattr(point, kind)[key] for point in points]) for key in first}

    return Centre(
        [slope.max(1) * SAFE for slope in slopes],
        operators,
        gathered("derivatives"),
        gathered("fourths"),
        gathered("jumps"),
        gathered("columns"),
        gathered("raised"),
        gathered("quartic"),
        gathered("hessians"),
        gathered("turned"),
        bends,
        [peak.max(1) * SAFE for peak in peaks],
        [*gradients, np.ones(len(p.x))],
        gathered("features"),
    )


class _Point:
    """The norms of one point, those of products with their rounding."""

    def __init__(self, at: Evaluation, i: int, tiny: float, steps: dict):
        depth = at.problem.depth
        slope = [at.preactivation(l)[1][i] for l in range(depth)]
        self.jumps, self.columns, self.raised, self.quartic = (
            {key: sizes[kind] for key, sizes in steps.items()} for kind in range(4)
        )
        self.derivatives, self.fourths, self.features = {}, {}, {}
        J = {(l, l - 1): at.problem.scales[l] * at.blocks[l].weight for l in range(1, depth)}
        D, crude = {}, {}
        for gap in range(1, depth):
            for j in range(depth - gap):
                l = j + gap
                key, size = (l, j), self.jumps[j + 1, j]
                rounding = 0.0
                if gap > 1:
                    J[key] = D[l, j + 1] @ J[j + 1, j]
                    rounding = tiny * crude[l, j + 1] * size
                    self.jumps[key] = operator_norm(J[key]) + rounding
                    self.columns[key] = _column(J[key]) + rounding
                    self.quartic[key] = _column(J[key], 4) + rounding
                    self.raised[key] = fourth_norm(J[key].T, self.jumps[key]) + rounding
                D[key] = J[key] * slope[j]
                top = float(np.abs(slope[j]).max())
                crude[key] = crude.get((l, j + 1), 1.0) * size * top
                rounding = rounding * top + tiny * size * top
                self.derivatives[key] = operator_norm(D[key]) + rounding
                self.fourths[key] = fourth_norm(D[key], self.derivatives[key]) + rounding
                after = float(np.abs(slope[l]).max()) * rounding
                self.features[key] = operator_norm(slope[l][:, None] * D[key]) + after
        self._second(at, i, tiny, D, crude)

    def _second(self, at: Evaluation, i: int, tiny: float, D: dict, crude: dict):
        """|S^{jk}| and the columns of S^{j,p+1} J^{p+1←p}."""
        p = at.problem
        squares = {(j, k): 0.0 for k in range(p.depth) for j in range(k + 1)}
        columns = {(j, k - 1): 0.0 for k in range(1, p.depth) for j in range(p.depth)}
        for output in range(p.y.shape[1]):
            S, size = {}, {}
            for k in reversed(range(p.depth)):
                bend = at.preactivation(k)[2][i] * at.backward[0][k][i, output]
                M, size[k, k] = np.diag(bend), float(np.abs(bend).max())
                if k + 1 < p.depth:
                    step = D[k + 1, k]
                    M = step.T @ (S[k + 1, k + 1] @ step) + M
                    size[k, k] += self.derivatives[k + 1, k] ** 2 * size[k + 1, k + 1]
                S[k, k] = M
                for j in range(k):
                    S[j, k] = D[k, j].T @ M
                    size[j, k] = crude[k, j] * size[k, k]
            for key, matrix in S.items():
                diagonal = key == (p.depth - 1, p.depth - 1)
                norm = size[key] if diagonal else operator_norm(matrix) + tiny * size[key]
                squares[key] += norm**2
            for j, below in columns:
                k = below + 1
                key = min(j, k), max(j, k)
                matrix = S[key] if j <= k else S[key].T
                turned = p.scales[k] * _column(matrix @ at.blocks[k].weight)
                columns[j, below] += (turned + tiny * size[key] * self.jumps[k, below]) ** 2
        self.hessians, self.turned = (
            {key: value**0.5 * SAFE for key, value in kind.items()} for kind in (squares, columns)
        )
