"""Closed forms of E[φ(z₁)φ(z₂)] and E[φ'(z₁)φ'(z₂)], (z₁, z₂) ~ N(0, K).

Angles are taken by atan2 from K₁₂ and √det K, so that they keep their digits for nearly parallel
inputs. Sources: erf, Williams, *Neural Computation* 10 (1998); ReLU family, step and sign, Cho and
Saul, NeurIPS 2009; polynomials, Isserlis, *Biometrika* 12 (1918); sin, cos and exp from the
characteristic function; GELU by Stein's identity, see :func:`gelu`.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp

from widthwise.algebra.arctangent import arctan2
from widthwise.model.activations import Activation, catalogued

Pair: TypeAlias = tuple[jax.Array, jax.Array]
ClosedForm: TypeAlias = Callable[[Activation, jax.Array, jax.Array, jax.Array], Pair]


def closed_form(activation: Activation) -> ClosedForm | None:
    """The closed form of an activation's two expectations, or ``None``."""
    return _FORMS.get(activation.name) if catalogued(activation) else None


def expectations(activation: Activation, K11: jax.Array, K12: jax.Array, K22: jax.Array) -> Pair:
    """E φφ and E φ'φ' of an activation that has a closed form."""
    return _FORMS[activation.name](activation, K11, K12, K22)


def curvature(activation: Activation, variance: jax.Array) -> jax.Array:
    """E φ''² = ∂(E φ'φ')/∂K₁₂ at K₁₁ = K₁₂ = K₂₂ (Price); 0 where φ has kinks."""
    if activation.kinks:
        return jnp.zeros_like(variance)

    def slope(K12):
        return expectations(activation, variance, K12, variance)[1]

    return jax.jvp(slope, (variance,), (jnp.ones_like(variance),))[1]


_PARALLEL = 4.5e-16


def _determinant(K11, K12, K22):
    """Det K, not below 0; its derivatives at 0 are those from above."""
    determinant = K11 * K22 - K12**2
    return jnp.where(determinant < 0, 0.0, determinant)


def root_determinant(K11: jax.Array, K12: jax.Array, K22: jax.Array) -> jax.Array:
    """√det K, exactly 0 where the two inputs are parallel to rounding (z₁ = z₂, for example)."""
    determinant = K11 * K22 - K12**2
    positive = determinant > _PARALLEL * K11 * K22
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, determinant, 1.0)), 0.0)


def right_angle(K11: jax.Array, K12: jax.Array, K22: jax.Array) -> Pair:
    """√det K, and arcsin of the correlation; both 0 where a variance vanishes.

    XLA would evaluate them again for everything that is made of them; the barriers forbid it.
    """
    root = jax.lax.optimization_barrier(root_determinant(K11, K12, K22))
    return root, jax.lax.optimization_barrier(arctan2(K12, root))


def _arcsine(K11, K12, K22):
    return right_angle(K11, K12, K22)[1]


@jax.custom_jvp
def absolute_moment(K11: jax.Array, K12: jax.Array, K22: jax.Array) -> jax.Array:
    """E|z₁z₂| = (2/π)(√det K + K₁₂ arcsin ρ)."""
    return 2 / math.pi * (root_determinant(K11, K12, K22) + K12 * _arcsine(K11, K12, K22))


@absolute_moment.defjvp
def _absolute_moment_jvp(primals, tangents):
    """∂E/∂K₁₂ = (2/π) arcsin ρ and ∂E/∂K₁₁ = √det K/(πK₁₁), without the terms that cancel."""
    K11, _, K22 = primals
    root = root_determinant(*primals)
    own = (jnp.where(K > 0, root / jnp.where(K > 0, K, 1.0), 0.0) / 2 for K in (K11, K22))
    slopes = (next(own), _arcsine(*primals), next(own))
    change = jnp.zeros_like(K11)
    for slope, tangent in zip(slopes, tangents, strict=True):
        change = change + slope * tangent
    return absolute_moment(*primals), 2 / math.pi * change


def identity(activation, K11, K12, K22) -> Pair:
    return K12, jnp.ones_like(K12)


def relu_family(activation, K11, K12, K22) -> Pair:
    """φ(z) = p z + q |z|: E|z₁z₂| = (2/π)(√det K + K₁₂ arcsin ρ), cross terms vanish."""
    p, q = _halves(activation)
    angle = _arcsine(K11, K12, K22)
    both = absolute_moment(K11, K12, K22)
    return p**2 * K12 + q**2 * both, p**2 + q**2 * (2 / math.pi) * angle


def by_angle(activation: Activation, K12: jax.Array, root: jax.Array, angle: jax.Array) -> Pair:
    """The same from √det K and arcsin ρ."""
    p, q = _halves(activation)
    both = 2 / math.pi * (root + K12 * angle)
    return p**2 * K12 + q**2 * both, p**2 + q**2 * (2 / math.pi) * angle


def _halves(activation: Activation) -> tuple[float, float]:
    below = {"relu": 0.0, "abs": -1.0}.get(activation.name)
    below = activation.parameters[0] if below is None else below
    return (1 + below) / 2, (1 - below) / 2


def sign(activation, K11, K12, K22) -> Pair:
    return 2 / math.pi * _arcsine(K11, K12, K22), jnp.zeros_like(K12)


def step(activation, K11, K12, K22) -> Pair:
    """P(z₁ > 0, z₂ > 0); a variance of zero means z = 0, which step maps to 0."""
    probability = 0.25 + _arcsine(K11, K12, K22) / (2 * math.pi)
    return jnp.where((K11 > 0) & (K22 > 0), probability, 0.0), jnp.zeros_like(K12)


def erf(activation, K11, K12, K22) -> Pair:
    root = jnp.sqrt(1 + 2 * K11 + 2 * K22 + 4 * _determinant(K11, K12, K22))
    root = jax.lax.optimization_barrier(root)
    return 2 / math.pi * arctan2(2 * K12, root), 4 / math.pi / root


def gelu(activation, K11, K12, K22) -> Pair:
    """φ(z) = zΦ(z). With D = (1+K₁₁)(1+K₂₂) − K₁₂² and P = E Φ(z₁)Φ(z₂) = ¼ + arcsin(·)/2π,

        E φφ   = K₁₂ P + K₁₁(K₂₂ − K₁₂²/(1+K₁₁))/(2π√D) + K₁₂²/(2π(1+K₂₂)√D),
        E φ'φ' = P + K₁₂/(2π√D) · (1/(1+K₁₁) + 1/(1+K₂₂)) + K₁₂/(2πD^{3/2}),

    by Stein's identity E[z₁g] = K₁₁E[∂₁g] + K₁₂E[∂₂g] and the fact that a factor e^{−z²/2} tilts
    one Gaussian into another.
    """
    D = 1 + K11 + K22 + _determinant(K11, K12, K22)
    root = jnp.sqrt(D)
    P = 0.25 + arctan2(K12, root) / (2 * math.pi)
    turn = 2 * math.pi * root
    value = K12 * P + K11 * (K22 - K12**2 / (1 + K11)) / turn + K12**2 / ((1 + K22) * turn)
    slope = P + K12 / turn * (1 / (1 + K11) + 1 / (1 + K22)) + K12 / (turn * D)
    return value, slope


def _hyperbolic(K11, K12, K22) -> Pair:
    """e^{−(K₁₁+K₂₂)/2} (sinh K₁₂, cosh K₁₂), without overflow."""
    level = (K11 + K22) / 2
    up, down = jnp.exp(K12 - level), jnp.exp(-K12 - level)
    return (up - down) / 2, (up + down) / 2


def sin(activation, K11, K12, K22) -> Pair:
    return _hyperbolic(K11, K12, K22)


def cos(activation, K11, K12, K22) -> Pair:
    sine, cosine = _hyperbolic(K11, K12, K22)
    return cosine, sine


def exp(activation, K11, K12, K22) -> Pair:
    value = jnp.exp((K11 + K22) / 2 + K12)
    return value, value


def polynomial(activation, K11, K12, K22) -> Pair:
    """E z₁ⁱz₂ʲ = Σ_k C(i,k)C(j,k)k! K₁₂ᵏ (i−k−1)!!(j−k−1)!! K₁₁^{(i−k)/2} K₂₂^{(j−k)/2}."""
    c = activation.parameters
    slope = tuple(k * value for k, value in enumerate(c))[1:] or (0.0,)

    def bilinear(c):
        total = jnp.zeros_like(K12)
        for i, ci in enumerate(c):
            for j, cj in enumerate(c):
                for k in range(i % 2, min(i, j) + 1, 2):
                    if ci and cj and not (j - k) % 2:
                        weight = math.comb(i, k) * math.comb(j, k) * math.factorial(k)
                        weight *= _double_factorial(i - k - 1) * _double_factorial(j - k - 1)
                        powers = K12**k * K11 ** ((i - k) // 2) * K22 ** ((j - k) // 2)
                        total = total + ci * cj * weight * powers
        return total

    return bilinear(c), bilinear(slope)


def _double_factorial(n: int) -> int:
    return math.prod(range(n, 0, -2))


_FORMS: dict[str, ClosedForm] = {
    "identity": identity,
    "relu": relu_family,
    "leaky_relu": relu_family,
    "abs": relu_family,
    "sign": sign,
    "step": step,
    "erf": erf,
    "gelu": gelu,
    "sin": sin,
    "cos": cos,
    "exp": exp,
    "polynomial": polynomial,
}
