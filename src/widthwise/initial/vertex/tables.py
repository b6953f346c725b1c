r"""What two inputs need to know of each other: the recursion through 1/n, for every pair at once.

Given the layer below, the preactivations of two inputs have conditional cumulants Y (see
:mod:`widthwise.initial.recursion`). Through 1/n = ε² their law is told by

    E Y₂ = K + ε K₁ + ε² K₂,   Cov(Y₂, Y₂) = ε² V,   E Y₃ = ε T₁ + ε² T₂,   E Y₄ = ε² F,

and the expectation of an observable O of one neuron by ⟨O⟩ + ε e₁[O] + ε² e₂[O], ⟨·⟩ under
N(0, K), ∂ inside it, sums over all indices:

    e₁[O] = ½K₁·⟨∂²O⟩ + ⅙T₁·⟨∂³O⟩,
    e₂[O] = ½K₂·⟨∂²O⟩ + ⅛(V + K₁K₁)·⟨∂⁴O⟩ + ¹⁄₂₄F·⟨∂⁴O⟩ + ⅙T₂·⟨∂³O⟩
            + ¹⁄₁₂K₁T₁·⟨∂⁵O⟩ + ¹⁄₇₂T₁T₁·⟨∂⁶O⟩.

With weights of cumulants κ_r and a width ratio ρ the next layer has

    K₁' = σ_w² e₁[φφ],   K₂' = σ_w² e₂[φφ] + β,   F' = σ_w⁴ κ₄ ρ⁻¹ ⟨φφφφ⟩,
    T₁' = σ_w³ κ₃ ρ^{−½} ⟨φφφ⟩,   T₂' = σ_w³ κ₃ ρ^{−½} e₁[φφφ],
    V' = σ_w⁴ {ρ⁻¹ (⟨φφφφ⟩ − ⟨φφ⟩⟨φφ⟩) + ¼ ⟨∂²φφ⟩ V ⟨∂²φφ⟩}.

β = σ_b²/ρ for a bias σ_b b/√fan_in, one more constant unit below, whatever its law; a bias of
constant scale is in K, and β = 0. For Gaussian weights and β = 0, K₁ = T = F = 0, and this is the
recursion of Yaida (2020), of Roberts, Yaida and Hanin (2022), and of Hanin (2022). A cumulant of
two inputs does not depend on the others.

**Coordinates.** A pair is described by u with z_a = s₁u₁, z_b = t z_a + s₂u₂ (:class:`Basis`), and
all its tables and derivatives refer to u. The next layer's u' weighs the features
ψ₁ = φ_a/s₁', ψ₂ = (φ_b − t'φ_a)/s₂', so two almost parallel inputs cost the digits of one
subtraction, and not those of its fourth power. A symmetric tensor of two channels is an array over
the number of its indices that are 2.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float

_TWO = np.array([1.0, 2.0, 1.0])
_THREE = np.array([1.0, 3.0, 3.0, 1.0])
_FOUR = np.array([1.0, 4.0, 6.0, 4.0, 1.0])

Expectations: TypeAlias = dict[tuple[int, int], np.ndarray]
"""(r, d) ↦ ⟨∂₁^{d−q} ∂₂^q ψ₁^{r−i} ψ₂^i⟩ as an array (pairs, i, q)."""


class Basis(NamedTuple):
    """z_a = s₁u₁ and z_b = t z_a + s₂u₂, for every pair; a scale 0 is a direction that is not."""

    first: Float[np.ndarray, " pairs"]
    slope: Float[np.ndarray, " pairs"]
    second: Float[np.ndarray, " pairs"]

    def inverses(self) -> tuple[np.ndarray, np.ndarray]:
        """1/s₁ and 1/s₂, 0 where there is no direction."""
        return reciprocal(self.first), reciprocal(self.second)


class Link(NamedTuple):
    """The weights and bias that read a hidden layer.

    Args:
        weight_std: σ_w.
        bias_std: σ_b of the bias in the covariance of the next layer; 0 if it is kept apart.
        shrinking: β, n times the variance of a bias that vanishes as n → ∞.
        ratio: ρ, the hidden layer's width over n.
        third: κ₃ of the weights.
        fourth: κ₄ of the weights.
        last: whether it reads the last hidden layer; the outputs' tables are in plain coordinates.
    """

    weight_std: float
    bias_std: float
    shrinking: float
    ratio: float
    third: float
    fourth: float
    last: bool


class Tables(NamedTuple):
    """K₁, K₂, V, T₁, T₂ and F of every pair."""

    first: Float[np.ndarray, "pairs 3"]
    second: Float[np.ndarray, "pairs 3"]
    vertex: Float[np.ndarray, "pairs 3 3"]
    third_first: Float[np.ndarray, "pairs 4"]
    third_second: Float[np.ndarray, "pairs 4"]
    fourth: Float[np.ndarray, "pairs 5"]

    @classmethod
    def zero(cls, pairs: int) -> "Tables":
        """The tables of the first layer, whose law does not fluctuate."""
        shapes = ((3,), (3,), (3, 3), (4,), (4,), (5,))
        return cls(*(np.zeros((pairs, *shape)) for shape in shapes))


def reciprocal(values: np.ndarray) -> np.ndarray:
    """1/values, and 0 for 0."""
    return np.where(values > 0, 1.0 / np.where(values > 0, values, 1.0), 0.0)


def needed(*, first: bool, skewed: bool) -> tuple[tuple[int, int], ...]:
    """The (r, d) that one step takes.

    Args:
        first: whether the layer is the first, whose preactivations have a law that does not
            fluctuate.
        skewed: whether any weights that read a hidden layer have κ₃ ≠ 0.
    """
    if first:
        return ((2, 0), (3, 0), (4, 0)) if skewed else ((2, 0), (4, 0))
    if skewed:
        return ((2, 0), (2, 2), (2, 3), (2, 4), (2, 5), (2, 6), (3, 0), (3, 2), (3, 3), (4, 0))
    return ((2, 0), (2, 2), (2, 4), (4, 0))


def step(
    below: Tables,
    size: Float[np.ndarray, "pairs 3"],
    mean: Expectations,
    link: Link,
    after: Basis,
) -> tuple[Tables, Float[np.ndarray, "pairs 3"]]:
    """The tables of the next layer, and the sizes of the terms of its K₂, added up.

    Args:
        below: the tables of the hidden layer's preactivations.
        size: the terms of their K₂, added up in size.
        mean: ⟨∂^d ψ^r⟩, those of :func:`needed`.
        link: the weights that read the layer.
        after: the basis of the next layer.
    """
    w, skewed = link.weight_std, (3, 0) in mean
    pairs = len(mean[2, 0])
    product = mean[2, 0][..., 0]
    fourth = mean[4, 0][..., 0]
    moved = np.zeros_like(below.vertex)
    first = second = terms = np.zeros((pairs, 3))
    if (2, 2) in mean:
        jacobian = 0.5 * mean[2, 2] * _TWO
        moved = jacobian @ below.vertex @ jacobian.transpose(0, 2, 1)
        first = w**2 * _first_order(below, mean, 2)
        second, terms = (w**2 * part for part in _second_order(below, size, mean))
    first_inverse, second_inverse = after.inverses()
    bias = np.stack([first_inverse, (1 - after.slope) * second_inverse], 1)
    shared = link.shrinking * bias[:, [0, 0, 1]] * bias[:, [0, 1, 1]]
    second, terms = second + shared, terms + np.abs(shared)
    spread = fourth[:, np.arange(3)[:, None] + np.arange(3)]
    covariance = spread - product[:, :, None] * product[:, None, :]
    third_first = third_second = np.zeros((pairs, 4))
    if skewed:
        scale = w**3 * link.third * link.ratio**-0.5
        third_first = scale * mean[3, 0][..., 0]
        third_second = scale * _first_order(below, mean, 3)
    tables = Tables(
        first,
        second,
        w**4 * (covariance / link.ratio + moved),
        third_first,
        third_second,
        w**4 * link.fourth / link.ratio * fourth,
    )
    return tables, terms


def _first_order(below: Tables, mean: Expectations, r: int) -> np.ndarray:
    """e₁ of the products of r features."""
    if (r, 2) not in mean:
        return np.zeros((len(below.first), r + 1))
    total = 0.5 * _contracted(mean[r, 2], _TWO * below.first)
    if (r, 3) in mean:
        total = total + _contracted(mean[r, 3], _THREE * below.third_first) / 6
    return total


def _second_order(
    below: Tables, size: np.ndarray, mean: Expectations
) -> tuple[np.ndarray, np.ndarray]:
    """e₂ of the products of two features, and the sum of the sizes of its terms.

    The size of ⟨∂^d φφ⟩ is at least that of φφ: it may be 0 after a cancellation.
    """
    K, T = _TWO * below.first, _THREE * below.third_first
    squares = _TWO[:, None] * _TWO * below.vertex + K[:, :, None] * K[:, None, :]
    weights = {
        2: 0.5 * _TWO * below.second,
        4: _by_count(squares) / 8 + _FOUR * below.fourth / 24,
    }
    if (2, 3) in mean:
        weights[3] = _THREE * below.third_second / 6
        weights[5] = _by_count(K[:, :, None] * T[:, None, :]) / 12
        weights[6] = _by_count(T[:, :, None] * T[:, None, :]) / 72
    value = sum(_contracted(mean[2, d], weight) for d, weight in weights.items())
    weights[2] = 0.5 * _TWO * size
    norms = np.sqrt(np.maximum(mean[2, 0][:, ::2, 0], 0.0))
    least = np.stack([norms[:, 0] ** 2, norms.prod(1), norms[:, 1] ** 2], 1)[..., None]
    terms = sum(
        _contracted(np.maximum(np.abs(mean[2, d]), least), np.abs(weight))
        for d, weight in weights.items()
    )
    return np.asarray(value), np.asarray(terms)


def _contracted(mean: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return np.einsum("piq,pq->pi", mean, weight)


def _by_count(product: np.ndarray) -> np.ndarray:
    """Sum the entries (pairs, i, j) of a tensor product over i + j = q."""
    _, rows, columns = product.shape
    total = np.zeros((len(product), rows + columns - 1))
    for i in range(rows):
        total[:, i : i + columns] += product[:, i]
    return total
