r"""One hidden layer: Lipschitz constants of the Jacobian and of the Hessian, neuron by neuron.

With X̃ = (c_0 x, s_0), K = X̃X̃ᵀ and the readout column A_{·k} of neuron k, Σ_ij u_ij H_ij is block
diagonal over neurons,

    c_1 [[X̃ᵀ diag(Σ_j u_ij A_jk φ''_ik) X̃,  X̃ᵀ(φ'_ik u_ij)],  [·, 0]],

so that J is Lipschitz on the ball |θ - θ̂| ≤ R with the constant

    L(R) = c_1 C(max_k |A_{·k}| + R),   C(t) = (a + √(a² + 4b²))/2,
    a = t M2 √λ_max(K∘K),   b = M1 √λ_max(K),

from Σ_i (x̃_i·v)⁴ ≤ λ_max(K∘K)|v|⁴ and |diag(φ')X̃v| ≤ M1 √λ_max(K) |v|. The Hessian is Lipschitz
with L3(R) = c_1 ((max_k |A_{·k}| + R) M3 √λ_max(K∘K∘K) + 3 M2 √λ_max(K∘K)). A point of multiplicity
w_i weighs K∘…∘K by √(w_i w_j).

The constants are exact suprema over unit vectors where a bound of φ'' is attained at all points at
once, and upper bounds otherwise.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from widthwise.certify.evaluation import SAFE, UNIT, Evaluation, Problem


class Powers(NamedTuple):
    """√λ_max of K, K∘K and K∘K∘K, rounded up; the same at all times of training."""

    first: float
    second: float
    third: float


def extended_inputs(problem: Problem) -> Float[np.ndarray, "points extended"]:
    """X̃: the inputs as the first layer sees them, its bias as one more input."""
    scaled = problem.scales[0] * problem.x
    shift = problem.bias_scales[0]
    if shift == 0:
        return scaled
    return np.concatenate([scaled, np.full((len(scaled), 1), shift)], axis=1)


def gram_powers(problem: Problem) -> Powers:
    """The :class:`Powers` of a data set."""
    inputs = extended_inputs(problem)
    gram = inputs @ inputs.T
    weights = np.outer(problem.root, problem.root)
    return Powers(*(_root_of_largest(weights * gram**p, inputs.shape[1]) for p in (1, 2, 3)))


def _root_of_largest(matrix: np.ndarray, terms: int) -> float:
    slack = (4 * terms + 40 * len(matrix) + 100) * UNIT * np.trace(matrix)
    return float(np.sqrt(max(np.linalg.eigvalsh(matrix)[-1], 0.0) + slack)) * SAFE


class ShallowBounds:
    """The constants of a network of one hidden layer at one value of its parameters."""

    def __init__(self, at: Evaluation, powers: Powers | None = None):
        self.at = at
        self.powers = gram_powers(at.problem) if powers is None else powers
        self._column = float(np.sqrt((at.blocks[-1].weight ** 2).sum(0).max())) * SAFE

    def moved(self, at: Evaluation) -> "ShallowBounds":
        """The constants at other parameters."""
        return ShallowBounds(at, self.powers)

    def jacobian(self, radius: float) -> float:
        """L(R): Lipschitz constant of J on the ball of this radius around the parameters."""
        bounds, scale = self.at.problem.bounds, self.at.problem.scales[-1]
        a = (self._column + radius) * bounds.curvature * self.powers.second
        b = bounds.slope * self.powers.first
        return scale * (a + np.sqrt(a * a + 4 * b * b)) / 2 * SAFE

    def hessian(self, radius: float) -> float:
        """L3(R): Lipschitz constant of the Hessian on that ball; infinite where M3 is unknown."""
        bounds, scale = self.at.problem.bounds, self.at.problem.scales[-1]
        cubic = (self._column + radius) * bounds.third * self.powers.third
        return scale * (cubic + 3 * bounds.curvature * self.powers.second) * SAFE

    def weighted_hessian(self, u: Float[np.ndarray, " rows"]) -> tuple[float, float]:
        """The largest -λ_min and the largest |λ| of Σ u_i H_i over its blocks."""
        return _block_extremes(self.at, u)

    def hessian_along(self, v: tuple) -> float:
        """|D²f[·, v]| for a direction v in the parameters."""
        return _along(self.at, v)


def _reduced(inputs: np.ndarray) -> np.ndarray:
    """Inputs with the same Gram matrix and no more coordinates than points."""
    if inputs.shape[1] <= inputs.shape[0]:
        return inputs
    return np.linalg.qr(inputs.T)[1].T


def _block_extremes(at: Evaluation, u: np.ndarray) -> tuple[float, float]:
    p = at.problem
    inputs = _reduced(extended_inputs(p))
    blocks, force = hessian_blocks(at, u, inputs)
    norms = np.sqrt((blocks**2).sum((1, 2)))
    negative = largest = 0.0
    for chosen in np.array_split(np.argsort(-norms), -(-len(blocks) // 128)):
        if norms[chosen[0]] <= negative:  # |λ| ≤ |block|_F, and negative ≤ largest
            break
        values = np.linalg.eigvalsh(blocks[chosen])
        negative = max(negative, float(-values[:, 0].min()))
        largest = max(largest, float(np.abs(values).max()))
    solver = 8 * blocks.shape[1] ** 2 * UNIT * float(norms.max())
    slack = solver + block_error(at, force, inputs)
    return tuple(p.scales[-1] * (value + slack) * SAFE for value in (negative, largest))  # pyright: ignore[reportReturnType]


def hessian_blocks(
    at: Evaluation, u: Float[np.ndarray, " rows"], inputs: Float[np.ndarray, "points extended"]
) -> tuple[Float[np.ndarray, "width size size"], Float[np.ndarray, "points outputs"]]:
    """The blocks of Σ u_i H_i over c_1, and u by points and outputs with the multiplicities."""
    p = at.problem
    readout = at.blocks[-1].weight
    _, slope, curvature = at.preactivation(0)
    size, (k, n) = inputs.shape[1], readout.shape
    force = p.root[:, None] * u.reshape(-1, k)
    weight = ((force @ readout) * curvature).T
    pairs = (inputs[:, :, None] * inputs[:, None, :]).reshape(len(inputs), -1)
    corner = np.einsum("ik,ij,ip->kpj", slope, force, inputs, optimize=True)
    blocks = np.zeros((n, size + k, size + k))
    blocks[:, :size, :size] = (weight @ pairs).reshape(n, size, size)
    blocks[:, :size, size:] = corner
    blocks[:, size:, :size] = corner.transpose(0, 2, 1)
    return blocks, force


def _local_errors(at: Evaluation, terms: int) -> tuple[float, float]:
    """Largest errors of φ' and φ'', those of sums of so many terms with them included.

    64 units of rounding, and what the error of z makes of φ' and φ''; sums are off by γ times those
    of the absolute values, which stay large where terms cancel.
    """
    b, each = at.problem.bounds, (64 + 4 * terms) * UNIT
    z = max(float(values.max()) for values in (-at.preactivation(0)[0], at.preactivation(0)[0]))
    moved = float(at.forward_errors[1][0].max()) + 64 * UNIT * z
    third = b.third * moved if np.isfinite(b.third) else np.inf
    return b.curvature * moved + each * b.slope, third + each * b.curvature


def block_error(at: Evaluation, force: np.ndarray, inputs: np.ndarray) -> float:
    """How far the computed blocks are from those of the exact network, in Frobenius norm."""
    slope, curvature = _local_errors(at, len(inputs) + inputs.shape[1] + force.shape[1] + 10)
    column = np.sqrt((at.blocks[-1].weight ** 2).sum(0).max())
    sizes, square = np.sqrt((force**2).sum(1)), (inputs**2).sum(1)
    corner = slope * (sizes @ np.sqrt(square))
    return float(np.hypot(curvature * column * (sizes @ square), 2 * corner)) * SAFE


def _along(at: Evaluation, v: tuple) -> float:
    gram, error = along_gram(at, v)
    terms = at.blocks[-1].weight.shape[1] + extended_inputs(at.problem).shape[1]
    return at.problem.scales[-1] * (_root_of_largest(gram, terms) + error) * SAFE


def along_gram(at: Evaluation, v: tuple) -> tuple[Float[np.ndarray, "rows rows"], float]:
    """BBᵀ for B = D²f[·, v]/c_1, and how far the B of which it is can be from the exact one."""
    p = at.problem
    _, slope, curvature = at.preactivation(0)
    readout = at.blocks[-1].weight
    shift = p.scales[0] * (p.x @ v[0].weight.T)
    if v[0].bias is not None:
        shift = shift + p.bias_scales[0] * v[0].bias
    k = len(readout)
    by_weight = readout * (curvature * shift)[:, None, :] + slope[:, None, :] * v[1].weight
    by_readout = slope * shift
    inputs = extended_inputs(p)
    flat = by_weight.reshape(-1, by_weight.shape[-1])
    gram = np.kron(inputs @ inputs.T, np.ones((k, k))) * (flat @ flat.T)
    gram += np.kron(by_readout @ by_readout.T, np.eye(k))
    root = np.repeat(p.root, k)
    gram = root[:, None] * gram * root
    return gram, _along_error(at, v, float(np.linalg.norm(shift)), inputs)


def _along_error(at: Evaluation, v: tuple, shift: float, inputs: np.ndarray) -> float:
    """How far the computed D²f[·, v]/c_1 is from the exact one, |·|_F."""
    p = at.problem
    terms = p.x.shape[1] + 10
    slope, curvature = _local_errors(at, terms)
    column = float(np.sqrt((at.blocks[-1].weight ** 2).sum(0).max()))
    parts = [np.linalg.norm(part) for part in v[0] if part is not None]
    moved = 4 * terms * UNIT * float(np.linalg.norm(inputs)) * float(np.linalg.norm(parts))
    by_weight = column * (curvature * shift + p.bounds.curvature * moved)
    by_weight += slope * len(inputs) ** 0.5 * float(np.linalg.norm(v[1].weight))
    row = float(np.sqrt((inputs**2).sum(1).max()))
    by_readout = len(v[1].weight) ** 0.5 * (slope * shift + p.bounds.slope * moved)
    return float(p.root.max() * np.hypot(row * by_weight, by_readout)) * SAFE
