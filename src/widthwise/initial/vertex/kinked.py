r"""⟨∂^d φ^r⟩ of two inputs for an activation with kinks: Hermite weights, no derivative of φ.

In the coordinates z_a = s₁u₁, z_b = t z_a + s₂u₂, u standard normal,

    ⟨∂₁^p ∂₂^q O⟩ = E[O He_p(u₁) He_q(u₂)].

* **Homogeneous** φ with its kink at 0 (relu, leaky_relu, abs, step, sign): in polar coordinates
  u = ϱ(cos α, sin α), O = ϱ^k O(α), and E ϱ^j = 2^{j/2} Γ(j/2 + 1) is exact. What remains are four
  arcs between the directions where z_a or z_b changes sign, on each of which O is a trigonometric
  polynomial: a Gauss–Legendre rule is exact to rounding however close the two inputs are.
  Opposite directions are taken together, since He_p He_q only changes sign.
* **Other kinks**, or a bias that is not Gaussian: nested panels that end at the kinks
  (:mod:`widthwise.algebra.hermite`), pair by pair.
"""

from functools import lru_cache
from math import factorial, gamma

import numpy as np
from jaxtyping import Float

from widthwise.algebra.hermite import NestedRule, hermite_moments, multi_indices, reach
from widthwise.initial.vertex.tables import Basis, Expectations, Link, reciprocal
from widthwise.limit.first_layer.projection import evaluate
from widthwise.model.activations import Activation

ARC_NODES = (20, 24)  # either is exact to rounding
PANEL_NODES = (8, 12, 18, 26)
DEPENDENT = 1e-12  # a conditional standard deviation below this part of the whole is rounding
_PAIRS_AT_ONCE = 2048

Bias = tuple[np.ndarray, np.ndarray]


def polar(activation: Activation, bias: Bias) -> bool:
    """Whether the arcs will do: φ homogeneous with its kink at 0, and no shift."""
    at_zero = activation.homogeneity is not None and set(activation.kinks) == {0.0}
    return at_zero and not bias[0].any()


def expectations(
    activation: Activation,
    bias: Bias,
    basis: Basis,
    link: Link,
    wanted: tuple[tuple[int, int], ...],
    level: int,
) -> tuple[np.ndarray, Basis, Expectations]:
    """⟨φφ⟩ (pairs, 3), the next layer's basis, and ⟨∂^d ψ^r⟩ in the coordinates u.

    Args:
        activation: φ.
        bias: values to be added to every z, and their probabilities.
        basis: z of every pair in terms of u.
        link: the weights that read the layer.
        wanted: the (r, d).
        level: which of ``ARC_NODES`` or ``PANEL_NODES`` to take.
    """
    pairs = len(basis.first)
    blocks = []
    size = _PAIRS_AT_ONCE if polar(activation, bias) else 1
    for start in range(0, pairs, size):
        part = Basis(*(value[start : start + size] for value in basis))
        if polar(activation, bias):
            count = ARC_NODES[min(level, len(ARC_NODES) - 1)]
            blocks.append(_by_arcs(activation, part, link, wanted, count))
        else:
            blocks.append(_by_panels(activation, bias, part, link, wanted, PANEL_NODES[level]))
    product, bases, means = zip(*blocks, strict=True)
    return (
        np.concatenate(product),
        Basis(*(np.concatenate(parts) for parts in zip(*bases, strict=True))),
        {key: np.concatenate([mean[key] for mean in means]) for key in wanted},
    )


def next_basis(
    product: Float[np.ndarray, "pairs 3"],
    rest: Float[np.ndarray, " pairs"] | None,
    link: Link,
    noise: float | Float[np.ndarray, " pairs"] = 0.0,
) -> Basis:
    """The basis of the next layer's preactivations.

    Args:
        product: ⟨φφ⟩.
        rest: ⟨(φ_b − t φ_a)²⟩ with the slope t of this very function; ``None`` by subtraction.
        link: the weights that read the layer.
        noise: a conditional variance that is no more than that is none.
    """
    if link.last:
        one = np.ones(len(product))
        return Basis(one, 0 * one, one)
    K = link.bias_std**2 + link.weight_std**2 * product
    slope = K[:, 1] * reciprocal(K[:, 0])
    if rest is None:
        variance = K[:, 2] - slope * K[:, 1]
    else:
        variance = link.weight_std**2 * rest + link.bias_std**2 * (1 - slope) ** 2
    kept = variance > np.maximum(noise, DEPENDENT**2 * K[:, 2])
    return Basis(np.sqrt(K[:, 0]), slope, np.sqrt(np.where(kept, variance, 0.0)))


def _by_arcs(activation: Activation, basis: Basis, link: Link, wanted, count: int):
    degree = activation.homogeneity
    assert degree is not None
    cos, sin, weight = _arcs(basis, count)
    za = basis.first[:, None] * cos
    zb = basis.slope[:, None] * za + basis.second[:, None] * sin
    f, g = (np.stack([evaluate(activation, s * z) for s in (1.0, -1.0)]) for z in (za, zb))
    scale = _radial(2 * degree)

    def average(values: np.ndarray) -> np.ndarray:
        return scale * (weight * values.sum(0)).sum(1)

    product = np.stack([average(p) for p in (f * f, f * g, g * g)], 1)
    difference = g - next_basis(product, None, link).slope[:, None] * f
    after = next_basis(product, average(difference**2), link)
    left, right = after.inverses()
    f, g = f * left[:, None], difference * right[:, None]
    exponents, monomials = _monomials(cos, sin, max(d for _, d in wanted))
    means: Expectations = {}
    for r in sorted({r for r, _ in wanted}):
        both = (
            np.stack([_power(f, r - i) * _power(g, i) for i in range(r + 1)], 2) * weight[:, None]
        )
        even, odd = both[0] + both[1], both[0] - both[1]
        for d in (d for s, d in wanted if s == r):
            columns = [
                c for c, (i, j) in enumerate(exponents) if i + j <= d and (d - i - j) % 2 == 0
            ]
            table = _hermite_table(d, r * degree, tuple(exponents[c] for c in columns))
            means[r, d] = (odd if d % 2 else even) @ monomials[..., columns] @ table
    return product, after, means


def _arcs(basis: Basis, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosine, sine and weight (pairs, nodes) of two arcs that add up to half the circle."""
    x, g = np.polynomial.legendre.leggauss(count)
    turn = np.arctan2(-basis.slope * basis.first, basis.second)  # in the right half circle
    edges = np.stack([0 * turn - np.pi / 2, turn, 0 * turn + np.pi / 2], 1)
    half = np.diff(edges, axis=1)[..., None] / 2
    angle = (edges[:, :-1, None] + half * (1 + x)).reshape(len(turn), -1)
    weight = (half * g).reshape(len(turn), -1) / (2 * np.pi)
    return np.cos(angle), np.sin(angle), weight


def _monomials(cos: np.ndarray, sin: np.ndarray, degree: int):
    """The exponents (i, j), i + j ≤ degree, and cos^i sin^j (pairs, nodes, exponents)."""
    exponents = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    table = np.empty((*cos.shape, len(exponents)))
    table[..., 0] = 1.0
    for c, (i, j) in enumerate(exponents[1:], 1):
        before, factor = ((i, j - 1), sin) if j else ((i - 1, j), cos)
        table[..., c] = table[..., exponents.index(before)] * factor
    return exponents, table


@lru_cache(maxsize=64)
def _hermite_table(d: int, power: int, exponents: tuple) -> Float[np.ndarray, "monomials q"]:
    """E over ϱ of ϱ^power He_{d−q}(ϱ cos) He_q(ϱ sin), in the monomials of cos and sin."""
    table = np.zeros((len(exponents), d + 1))
    for q in range(d + 1):
        for i, left in _hermite(d - q):
            for j, right in _hermite(q):
                table[exponents.index((i, j)), q] = left * right * _radial(power + i + j)
    return table


def _power(values: np.ndarray, exponent: int) -> np.ndarray:
    result = np.ones_like(values)
    for _ in range(exponent):
        result = result * values
    return result


def _radial(power: int) -> float:
    """E ϱ^power of the length ϱ of two standard normals."""
    return 2 ** (power / 2) * gamma(power / 2 + 1)


@lru_cache(maxsize=16)
def _hermite(degree: int) -> list[tuple[int, float]]:
    """He_degree as (power, coefficient)."""
    series = np.polynomial.hermite_e.herme2poly(np.eye(1, degree + 1, degree)[0])
    return [(power, float(c)) for power, c in enumerate(series) if c]


def _by_panels(activation: Activation, bias: Bias, basis: Basis, link: Link, wanted, count: int):
    s1, t, s2 = (float(value[0]) for value in basis)
    L = np.array([[s1, 0.0], [t * s1, s2]])
    if not s2:
        L = L[:, :1]

    def mean(values, degree: int, features: int) -> np.ndarray:
        total = 0.0
        for shift, probability in zip(*bias, strict=True):
            kinks = tuple(float(kink - shift) for kink in activation.kinks)
            rule = NestedRule(kinks, count, reach(degree + 2 * features))

            def shifted(z: np.ndarray, shift: float = float(shift)) -> np.ndarray:
                f, g = evaluate(activation, z + shift).T
                return values(f, g)

            total = total + probability * hermite_moments(shifted, L, degree, rule)
        return np.asarray(total)

    product = mean(lambda f, g: np.stack([f * f, f * g, g * g]), 0, 2)[None, :, 0]
    slope = float(next_basis(product, None, link).slope[0])
    kinds = [(r, i) for r in sorted({2} | {r for r, _ in wanted}) for i in range(r + 1)]

    def features(f: np.ndarray, g: np.ndarray) -> np.ndarray:
        g = g - slope * f
        return np.stack([_power(f, r - i) * _power(g, i) for r, i in kinds])

    top = max(d for _, d in wanted)
    normalized = mean(features, top, max(kinds)[0])
    after = next_basis(product, normalized[kinds.index((2, 2)), :1], link)
    left, right = (float(value[0]) for value in after.inverses())
    indices = multi_indices(L.shape[1], top)
    means: Expectations = {}
    for r, d in wanted:
        rows = [kinds.index((r, i)) for i in range(r + 1)]
        scale = np.array([left ** (r - i) * right**i for i in range(r + 1)])
        means[r, d] = np.zeros((1, r + 1, d + 1))
        for column in np.flatnonzero(indices.sum(1) == d):
            p, q = (*indices[column].tolist(), 0)[:2]
            size = (factorial(p) * factorial(q)) ** 0.5
            means[r, d][0, :, q] = size * scale * normalized[rows, column]
    return product, after, means
