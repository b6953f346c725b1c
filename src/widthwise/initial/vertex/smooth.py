r"""⟨∂^d φ^r⟩ of two inputs for a smooth activation: Mehler's series, without an integral per pair.

Let z_a = s_a u_a with u standard normal and correlation c. With normalized Hermite polynomials he_k
and f(s u) = Σ_k f_k he_k(u),

    E[f(z_a) g(z_b)] = Σ_k f_k g_k c^k,      ∂_u he_k = √k he_{k−1},

so the coefficients of φ, φ², φ³, φ⁴ at every *input* give all expectations and derivatives of every
*pair* (Mehler 1866). Nothing degenerates as c → ±1, and an input paired with itself (u_b = u_a, no
derivative in u_b) takes the first few f_k alone. The f_k are trapezoid sums against Hermite
functions, bounded by 1, hence accurate to rounding of the size of f; if φ is analytic in a strip of
half-width d·s they fall like e^{−d√(2k)}, and the series is cut where two lengths agree.

A bias that is not Gaussian is averaged over: φ(z + σ_b b), b by the Gauss rule of its law.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

from widthwise.algebra.gaussian import QuadratureError
from widthwise.initial.vertex.tables import Basis, Expectations, Link, reciprocal
from widthwise.limit.first_layer.projection import evaluate
from widthwise.model.activations import Activation

LENGTHS = (48, 96, 192, 384, 768)
_REACHES = (14.0, 20.0, 30.0, 42.0)
_PAIRS_AT_ONCE = 2048
_NEGLIGIBLE = 46.0  # −log c^k beyond which a term is nothing, with room for the k⁴ of derivatives
_STEP = 0.05
_GOLDEN = 0.6180339887498949
_HIGHEST_DERIVATIVE = 6


def expectations(
    activation: Activation,
    bias: tuple[np.ndarray, np.ndarray],
    covariance: Float[np.ndarray, "pairs 3"],
    pairs: Int[np.ndarray, "pairs 2"],
    link: Link,
    wanted: tuple[tuple[int, int], ...],
    level: int,
) -> tuple[np.ndarray, Basis, Expectations]:
    """⟨φφ⟩ (pairs, 3), the next layer's basis, and ⟨∂^d ψ^r⟩ in the coordinates u = z/s.

    Args:
        activation: φ, smooth.
        bias: values to be added to every z, and their probabilities.
        covariance: (K_aa, K_ab, K_bb) of every pair, the bias above not in it.
        pairs: the two inputs of every pair; all inputs occur as (a, a).
        link: the weights that read the layer.
        wanted: the (r, d).
        level: which of ``LENGTHS`` to cut the series at.
    """
    a, b = pairs.T
    std = np.zeros(pairs.max() + 1)
    std[a[a == b]] = np.sqrt(covariance[a == b, 0])
    correlation = np.clip(covariance[:, 1] * reciprocal(std[a]) * reciprocal(std[b]), -1, 1)
    terms = [(r, d, i, q) for r, d in wanted for i in range(r + 1) for q in range(d + 1)]
    mixed = [(r, d, i, q) for r, d, i, q in terms if 0 < i < r]
    plain: Expectations = {(r, d): np.zeros((len(pairs), r + 1, d + 1)) for r, d in wanted}
    for shift, probability in zip(*bias, strict=True):
        table = _Coefficients(activation, std, float(shift), LENGTHS[level], max(wanted)[0])
        values = np.zeros((len(mixed), len(a)))
        values[:, a != b] = _mehler(table, mixed, a[a != b], b[a != b], correlation[a != b])
        for (r, d, i, q), value in zip(mixed, values, strict=True):
            plain[r, d][:, i, q] += probability * value
        for r, d in wanted:
            one = table.derivative(r, d)[:, 0] * probability
            plain[r, d][:, 0, 0] += one[a]
            plain[r, d][a != b, r, d] += one[b[a != b]]
            plain[r, d][a == b, 1:, 0] += one[a[a == b], None]
    product = plain[2, 0][..., 0]
    if link.last:
        one = np.ones(len(pairs))
        return product, Basis(one, 0 * one, one), plain
    scales = np.sqrt(link.bias_std**2 + link.weight_std**2 * product[:, [0, 2]])
    inverse = reciprocal(scales)
    scaled = {
        (r, d): value
        * np.stack([inverse[:, 0] ** (r - i) * inverse[:, 1] ** i for i in range(r + 1)], 1)[
            ..., None
        ]
        for (r, d), value in plain.items()
    }
    return product, Basis(scales[:, 0], np.zeros(len(pairs)), scales[:, 1]), scaled


class _Coefficients:
    """The Hermite coefficients of φ(s u + shift)^r and of its derivatives in u."""

    def __init__(
        self, activation: Activation, std: np.ndarray, shift: float, length: int, top: int
    ):
        self.length = length
        for reach in _REACHES:
            u, functions, weight = _hermite_functions(reach, length + _HIGHEST_DERIVATIVE)
            values = evaluate(activation, std[:, None] * u + shift)
            with np.errstate(over="ignore"):
                size = np.abs(values) ** top * weight
            if size[:, [0, -1]].max() <= 1e-15 * size.max():
                break
        else:
            raise QuadratureError(
                f"{activation.name} grows too fast for a Gaussian of standard deviation "
                f"{std.max():.3g}: its power {top} counts beyond {_REACHES[-1]:g} standard "
                "deviations; use smaller weights or inputs"
            )
        self.powers = {r: (values**r * weight) @ functions for r in range(1, top + 1)}
        self.derivative = lru_cache(maxsize=None)(self._derivative)

    def _derivative(self, r: int, d: int) -> Float[np.ndarray, "points length"]:
        k = np.arange(self.length)
        rise = np.sqrt(np.prod([k + j for j in range(1, d + 1)], axis=0))
        return self.powers[r][:, d : d + self.length] * rise


@lru_cache(maxsize=8)
def _hermite_functions(reach: float, count: int):
    """Nodes u, he_k(u) e^{−u²/4} (nodes, count), and the step times e^{−u²/4}/√2π."""
    step = _STEP if count < 400 else _STEP / 2
    # nodes in another place for every length: two lengths do not agree on a kink nobody declared
    u = (np.arange(-round(reach / step), round(reach / step) + 1) + _GOLDEN * count % 1) * step
    table = np.empty((count, len(u)))
    table[0] = np.exp(-u * u / 4)
    table[1] = u * table[0]
    for k in range(1, count - 1):
        table[k + 1] = (u * table[k] - np.sqrt(k) * table[k - 1]) / np.sqrt(k + 1)
    return u, table.T.copy(), step * table[0] / np.sqrt(2 * np.pi)


def _mehler(
    table: _Coefficients, terms: list, a: np.ndarray, b: np.ndarray, correlation: np.ndarray
) -> Float[np.ndarray, "terms pairs"]:
    """Σ_k f_k g_k c^k for the terms (r, d, i, q), by Horner's rule from where c^k matters."""
    result = np.empty((len(terms), len(a)))
    if not len(a):
        return result
    f = np.stack([table.derivative(r - i, d - q).T for r, d, i, q in terms], 1)
    g = np.stack([table.derivative(i, q).T for r, d, i, q in terms], 1)
    strength = np.abs(correlation)
    order = np.argsort(strength)
    for start in range(0, len(a), _PAIRS_AT_ONCE):
        block = order[start : start + _PAIRS_AT_ONCE]
        rows, columns, c = a[block], b[block], correlation[block]
        rate = -np.log(min(max(strength[block[-1]], 1e-9), 1 - 1e-9))
        length = min(table.length, 8 + int(_NEGLIGIBLE / rate))
        total = np.zeros((len(terms), len(block)))
        for k in range(length - 1, -1, -1):
            total *= c
            total += f[k][:, rows] * g[k][:, columns]
        result[:, block] = total
    return result
