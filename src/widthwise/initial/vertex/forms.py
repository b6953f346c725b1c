r"""The vertex without its four indices: forms in all inputs from the neurons of every layer.

Fluctuations enter once per layer, so at order 1/n the covariance of two linear functionals F, G of
the last kernel is

    Cov(F, G) = (1/n) Σ_l ρ_l⁻¹ Cov_z(hᵀA_l h, hᵀB_l h),      A_l = ∂F/∂M^l,

h = φ(z) of one neuron of layer l at n = ∞. For F = ⟨A, K⟩ the last A_L is σ_w² A, and A_{l−1}
follows from A_l by the derivative of M^l with respect to K^l
(:mod:`widthwise.initial.vertex.layers`), three numbers per pair of inputs: O(m²) memory, O(m²)
multiplications per neuron. The dense vertex takes all products h_a h_b of the same neurons through
the same derivatives, V' = σ_w⁴ (Cov(hh, hh)/ρ + J V Jᵀ).
"""

import jax
import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array

from widthwise.algebra.gaussian import Estimate
from widthwise.initial.vertex.layers import Layer, Passes
from widthwise.initial.vertex.neurons import Sampling

_SLACK = 4.0


def covariance(
    passes: Passes, A: Float[np.ndarray, "points points"], B: Float[np.ndarray, "points points"]
) -> Estimate:
    """The coefficient of 1/n in Cov(⟨A, K⟩, ⟨B, K⟩) for symmetric A and B."""
    left = _sensitivities(passes, A)
    right = left if A is B or np.array_equal(A, B) else _sensitivities(passes, B)
    value, square, size = 0.0, 0.0, 0.0
    for l, (layer, P, Q) in enumerate(zip(passes.fine.layers, left, right, strict=True)):
        mean = [float(np.sum(M * layer.moments)) for M in (P, Q)]

        def total(weights, h, P=P, Q=Q, mean=mean) -> np.ndarray:
            p = np.einsum("na,na->n", h @ P, h) - mean[0]
            q = p if Q is P else np.einsum("na,na->n", h @ Q, h) - mean[1]
            return np.array([weights @ (p * q), weights @ (p * p), weights @ (q * q)])

        found = passes.neurons[l].mean(total, 4 * A.size, _sampling(passes, l))
        ratio = passes.links[l].ratio
        value += found.value[0] / ratio
        square += (found.error[0] / ratio) ** 2
        size += np.sqrt(np.prod(np.abs(found.value[1:]))) / ratio
    return Estimate(np.asarray(value), np.asarray(square**0.5 + _SLACK * passes.slack * size))


def fourth(passes: Passes, u: Float[np.ndarray, " points"]) -> Estimate:
    """The coefficient of 1/n in κ₄(u·f), without the bias of the outputs."""
    A, link = np.outer(u, u), passes.links[-1]
    variance = covariance(passes, A, A)
    if not link.fourth:
        return Estimate(3 * variance.value, 3 * variance.error)
    own = _power(passes, u, 4)
    scale = link.fourth * link.weight_std**4 / link.ratio
    value = 3 * variance.value + scale * own.value
    return Estimate(value, 3 * variance.error + abs(scale) * own.error)


def third(passes: Passes, u: Float[np.ndarray, " points"]) -> Estimate:
    """The coefficient of n^{−1/2} in κ₃(u·f), without the bias of the outputs."""
    link = passes.links[-1]
    if not link.third:
        return Estimate(np.zeros(()), np.zeros(()))
    own = _power(passes, u, 3)
    scale = link.third * link.weight_std**3 * link.ratio**-0.5
    return Estimate(scale * own.value, abs(scale) * own.error)


def _power(passes: Passes, u: np.ndarray, r: int) -> Estimate:
    """E (u·h)^r over the last hidden layer."""

    def total(weights: np.ndarray, h: np.ndarray) -> np.ndarray:
        return np.array([weights @ (h @ u) ** r, weights @ np.abs(h @ u) ** r])

    last = len(passes.neurons) - 1
    found = passes.neurons[last].mean(total, 3 * len(u), _sampling(passes, last))
    slack = _SLACK * passes.slack * found.value[1]
    return Estimate(found.value[0], found.error[0] + slack)


def _sensitivities(passes: Passes, A: np.ndarray) -> list[np.ndarray]:
    """A_l = ∂⟨A, K⟩/∂M^l, the first hidden layer first."""
    layers, links = passes.fine.layers, passes.links
    found = [links[-1].weight_std ** 2 * A]
    for layer, link in zip(layers[:0:-1], links[-2::-1], strict=True):
        found.append(link.weight_std**2 * _pulled(found[-1], layer))
    return found[::-1]


def _pulled(A: np.ndarray, layer: Layer) -> np.ndarray:
    """From ∂F/∂M to ∂F/∂K of one layer, both symmetric."""
    result = A * layer.mixed
    own = A * layer.own
    # an entry K_aa moves M_ab and M_ba, and M_aa once
    np.fill_diagonal(result, 2 * own.sum(1) - np.diag(own))
    return result


def _sampling(passes: Passes, l: int) -> Sampling:
    """Other random points for every layer."""
    sampling = passes.sampling
    return Sampling(sampling.samples, jax.random.fold_in(sampling.key, l))


def dense(passes: Passes) -> Estimate:
    """V[a, b, c, d] and its error.

    Random points leave V[a, b, a, b] uncertain, which the pair tables know: V is scaled by the
    square roots of their ratio, from both sides, and stays positive.
    """
    m = len(passes.x)
    a, b = np.triu_indices(m)
    copies = np.zeros((1, len(a), len(a)))
    spread = np.zeros((len(a), len(a)))
    for l, (layer, link) in enumerate(zip(passes.fine.layers, passes.links, strict=True)):
        product = layer.moments[a, b]

        def total(weights, h, product=product) -> np.ndarray:
            centred = (h[:, a] * h[:, b] - product) * np.sqrt(weights)[:, None]
            return centred.T @ centred

        jacobian = _jacobian(layer) if l else None
        found = passes.neurons[l].copies(total, len(a) ** 2, _sampling(passes, l))
        own, error = found
        if jacobian is not None:
            copies = np.stack([jacobian @ (jacobian @ V).T for V in copies])
            spread = abs(jacobian) @ (abs(jacobian) @ spread).T
        copies = link.weight_std**4 * (copies + own / link.ratio)
        spread = link.weight_std**4 * (spread + error / link.ratio)
    return _unfolded(passes, copies, spread)


def _jacobian(layer: Layer) -> csr_array:
    """∂M_ab/∂K_cd over the pairs a ≤ b, c ≤ d."""
    m = len(layer.moments)
    a, b = np.triu_indices(m)
    place = np.zeros((m, m), dtype=int)
    place[a, b] = np.arange(len(a))
    off = a != b
    rows = np.concatenate([np.arange(len(a)), *[np.flatnonzero(off)] * 2])
    columns = np.concatenate([place[a, a], place[b, b][off], np.flatnonzero(off)])
    values = np.concatenate([layer.own[a, b], layer.own[b, a][off], layer.mixed[a, b][off]])
    return csr_array((values, (rows, columns)), shape=(len(a), len(a)))


def _unfolded(passes: Passes, copies: np.ndarray, spread: np.ndarray) -> Estimate:
    m = len(passes.x)
    value = copies.mean(0)
    if len(copies) > 1:
        known = passes.matrix(np.repeat(passes.fine.tables.vertex[:, 1, 1][:, None], 3, 1))
        scale = [_ratio(known[np.triu_indices(m)], np.diag(V)) for V in copies]
        scaled = np.stack([s[:, None] * V * s for s, V in zip(scale, copies, strict=True)])
        total = _ratio(known[np.triu_indices(m)], np.diag(value))
        value = total[:, None] * value * total
        spread = spread + scaled.std(0, ddof=1) / len(copies) ** 0.5
    size = np.sqrt(np.maximum(np.diag(value), 0.0))
    error = spread + _SLACK * passes.slack * size[:, None] * size
    place = np.zeros((m, m), dtype=int)
    a, b = np.triu_indices(m)
    place[a, b] = place[b, a] = np.arange(len(a))
    index = place[:, :, None, None], place[None, None]
    return Estimate(value[index], error[index])


def _ratio(known: np.ndarray, sampled: np.ndarray) -> np.ndarray:
    """√(known/sampled), 1 where there is nothing."""
    safe = sampled > 0
    return np.sqrt(np.where(safe, np.maximum(known, 0.0) / np.where(safe, sampled, 1.0), 1.0))
