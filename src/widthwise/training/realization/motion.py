r"""How far the tangent kernel and the parameters of one network move, at all times.

In the eigenbasis of Θ_n(0) on the train rows, with residuals r = f₀(X) − y and divided differences
e_t of e^{−tλ} (all signs are inside them),

    Θ_n(t) − Θ_n(0) ≃ O₃,ijl e_t[0, λ_l] r_l
                      + O₄,ijkl e_t[0, λ_k, λ_k + λ_l] r_k r_l
                      + O₃,ijl O₃,lkq e_t[0, λ_l, λ_k, λ_k + λ_q] r_k r_q,

the last term of smaller order where the mean of O₃ vanishes. At t = ∞ the first two are
−O₃,ijl r_l/λ_l + O₄,ijkl r_k r_l/(λ_k (λ_k + λ_l)).

Parameters move by δ₁ + δ₂ + …, δ₁ = Jᵀα with α = Q e_t[0, λ] r in the linearization, so that
‖δ₁‖² = Σ_l λ_l e_t[0, λ_l]² r_l². The outputs' second order is c₂ = J δ₂ + ½ ∇²f[δ₁, δ₁], and on
train rows ∇²f_x[J_β, J_γ] = ½ (O₃(x, β, γ) + O₃(x, γ, β) − O₃(β, γ, x)), hence

    ‖δ₁ + δ₂‖² ≃ ‖δ₁‖² + 2 αᵀ (c₂ − ½ ∇²f[Jᵀα, Jᵀα]).
"""

import numpy as np
from jaxtyping import Float

from widthwise.training.dynamics import Dynamics, GradientFlow
from widthwise.training.realization.tensors import Realization
from widthwise.training.solution_map import SolutionMap


def kernel_drift(
    network: Realization, flow: GradientFlow, *, symmetric: bool = False
) -> Float[np.ndarray, "*times rows train"]:
    """Θ_n(t) − Θ_n(0) through order 2 in n^{−1/2} (the third term left out if symmetric)."""
    third, fourth = _tensors(network)
    solution = network.frozen
    values, Q, r = _spectrum(solution, network)
    pull = flow.divided_differences(np.stack([0 * values, values], -1)) * r
    pair = flow.divided_differences(_nodes(values)) * r[:, None] * r
    drift = np.tensordot(pull @ Q.T, third, (-1, 2))
    drift = drift + np.tensordot(Q @ pair @ Q.T, fourth, ((-2, -1), (2, 3)))
    if symmetric:
        return drift
    inner = solution.modes(third[: len(Q)], "ttt")
    nodes = np.concatenate(
        [
            np.broadcast_to(values[:, None, None, None], (*inner.shape, 1)),
            np.broadcast_to(_nodes(values), (*inner.shape, 3)),
        ],
        -1,
    )
    weights = flow.divided_differences(nodes) * inner * r[:, None] * r
    second = weights.sum((-2, -1)) @ Q.T
    return drift + np.tensordot(second, third, (-1, 2))


def movement(network: Realization, dynamics: Dynamics) -> Float[np.ndarray, "*times"]:
    """‖θ_t − θ₀‖ through second order in the deviation; without tensors, of the linearization.

    Raises:
        ValueError: for gradient descent and a network with tensors.
    """
    solution = network.frozen
    values, Q, r = _spectrum(solution, network)
    pull = dynamics.divided_differences(np.stack([0 * values, values], -1)) * r
    square = (values * pull**2).sum(-1)
    if network.third is None:
        return np.sqrt(square)
    train = network.third[: len(Q)]
    hessian = (train + np.swapaxes(train, 1, 2) - np.moveaxis(train, 2, 0)) / 2
    alpha = pull @ Q.T
    tensors = {"T": network.third}
    terms = solution.terms_of(dynamics, network.outputs, tensors, symmetric=True)
    second = next(value for _, value in terms)[..., : len(Q)]
    bent = np.einsum("xbg,...b,...g->...x", hessian, alpha, alpha, optimize=True)
    square = square + 2 * (alpha * (second - bent / 2)).sum(-1)
    return np.sqrt(np.maximum(square, 0.0))


def _tensors(network: Realization) -> tuple[np.ndarray, np.ndarray]:
    if network.third is None or network.fourth is None:
        raise ValueError("the drift of the kernel needs O3 and O4: realize(task, tensors=True)")
    return network.third, network.fourth


def _spectrum(solution: SolutionMap, network: Realization):
    """λ, Q and r of the live train modes."""
    r = solution.modes(network.outputs[: solution.train] - network.y, "t")
    return solution.eigenvalues, solution.eigenvectors, r


def _nodes(values: np.ndarray) -> np.ndarray:
    """(0, λ_k, λ_k + λ_l) for every pair."""
    k, l = np.meshgrid(values, values, indexing="ij")
    return np.stack([0 * k, k, k + l], -1)
