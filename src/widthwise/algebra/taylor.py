"""E[∂^α ∏_a g_a(z_a)] of analytic functions of single components of z ~ N(0, K), by derivatives.

Hermite moments (:mod:`widthwise.algebra.hermite`) need no derivative, but lose digits as K becomes
singular: ∂^α divides rounding by |α| factors of the smallest conditional standard deviation. A
product of functions of one component each can be differentiated instead,

    ∂^α ∏_a g_a(z_a) = ∏_a g_a^{(α_a)}(z_a),

which needs no inverse of K and keeps its digits however close two inputs are. Derivatives come from
Taylor arithmetic (:mod:`jax.experimental.jet`; Griewank and Walther, *Evaluating Derivatives*, ch.
13), or from repeated forward differentiation where a function has no Taylor rule.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import factorial

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.jet import jet
from jaxtyping import Float, Int

from widthwise.algebra.gaussian import trapezoid_line
from widthwise.algebra.hermite import reach

Function = Callable[..., jax.Array]
_SMALLEST_PIECE, _LARGEST_PIECE = 256, 1 << 16
_NODES_AT_ONCE = 20_000
_BESIDE = 0.37  # of the deviation: no symmetry of φ hides a kink there
_AGREE = 1e-7


@lru_cache(maxsize=64)
def _derivatives(function: Function, degree: int) -> Callable:
    """The compiled map from z to φ, φ', … φ^(degree), stacked."""
    one, zero = jnp.ones(1), jnp.zeros(1)

    def by_jet(z: jax.Array) -> jax.Array:
        first = [jnp.ones_like(z)] + [jnp.zeros_like(z)] * (degree - 1)
        value, rest = jet(function, (z,), (tuple(first),))
        return jnp.stack([value, *rest])

    def by_jvp(z: jax.Array) -> jax.Array:
        found, derivative = [], function
        for _ in range(degree + 1):
            found.append(derivative(z) * jnp.ones_like(z))
            derivative = _tangent(derivative)
        return jnp.stack(found)

    if not degree:
        return jax.jit(by_jvp)
    try:
        jax.eval_shape(by_jet, one + zero)
    except Exception:  # jet raises many kinds of errors for what it does not know
        return jax.jit(by_jvp)
    return jax.jit(by_jet)


def _tangent(function: Function) -> Function:
    return lambda z: jax.jvp(function, (z,), (jnp.ones_like(z),))[1]


def taylor_coefficients(
    function: Function, z: Float[np.ndarray, " n"], degree: int
) -> Float[np.ndarray, "orders n"]:
    """φ^(k)(z)/k! for k = 0 … degree, at every entry of z."""
    size = min(max(_SMALLEST_PIECE, 1 << (len(z) - 1).bit_length()), _LARGEST_PIECE)
    padded = np.zeros(-(-len(z) // size) * size)
    padded[: len(z)] = z
    run = _derivatives(function, degree)
    pieces = [np.asarray(run(piece)) for piece in padded.reshape(-1, size)]
    scale = np.array([1.0 / factorial(k) for k in range(degree + 1)])
    return np.concatenate(pieces, 1)[:, : len(z)] * scale[:, None]


@lru_cache(maxsize=256)
def differentiates(function: Function, std: float, degree: int) -> bool:
    """Whether E φ^(k)(z), z ~ N(0, std²) about a point beside 0, is what Hermite moments say.

    It is not where φ has a kink or a jump: the derivatives taken at points know nothing of it.
    """
    u, weights = trapezoid_line(1 / 64, reach(degree))
    z = std * (u + _BESIDE)
    taylor = taylor_coefficients(function, z, degree) @ weights
    value = np.asarray(function(z))
    he = [np.ones_like(u), u]
    for k in range(1, degree):
        he.append(u * he[k] - k * he[k - 1])
    scale = np.sqrt([float(factorial(k)) for k in range(degree + 1)])
    gaps = (
        taylor * std ** np.arange(degree + 1) * scale
        - (he[: degree + 1] @ (weights * value)) / scale
    )
    return bool(np.abs(gaps).max() <= _AGREE * np.sqrt(weights @ value**2))


def power_coefficients(
    base: Float[np.ndarray, "orders n"], exponent: int
) -> Float[np.ndarray, "orders n"]:
    """Taylor coefficients of a power."""
    result = np.zeros_like(base)
    result[0] = 1.0
    for _ in range(exponent):
        result = multiplied(result, base)
    return result


def multiplied(
    a: Float[np.ndarray, "orders n"], b: Float[np.ndarray, "orders n"]
) -> Float[np.ndarray, "orders n"]:
    """Taylor coefficients of a product."""
    return np.stack([(a[: k + 1] * b[k::-1]).sum(0) for k in range(len(a))])


def nodes(
    L: Float[np.ndarray, "p rank"], step: float, reach: float
) -> tuple[Float[np.ndarray, "nodes p"], Float[np.ndarray, " nodes"]]:
    """The trapezoid rule for z = Lu, cut to the ball that its lines reach."""
    line, weight = trapezoid_line(step, reach, symmetric=True)
    rank = L.shape[1]
    grid = np.stack(np.meshgrid(*[line] * rank, indexing="ij"), -1).reshape(-1, rank)
    weights = np.ones(1)
    for _ in range(rank):
        weights = np.outer(weights, weight).ravel()
    inside = (grid**2).sum(1) <= reach**2 + 1e-9
    return grid[inside] @ L.T, weights[inside]


def product_derivatives(
    factors: Sequence[Float[np.ndarray, "orders n"]],
    weights: Float[np.ndarray, " n"],
    alphas: Int[np.ndarray, "alphas p"],
) -> Float[np.ndarray, " alphas"]:
    """Σ_n w_n ∏_a g_a^{(α_a)}(z_{n,a})/α_a! for many α.

    Args:
        factors: Taylor coefficients of g_a at the nodes, one array per component.
        weights: of the nodes.
        alphas: rows α, with entries below the number of coefficients.
    """
    count, total = len(factors[0]), 0.0
    for start in range(0, len(weights), _NODES_AT_ONCE):
        part = slice(start, start + _NODES_AT_ONCE)
        table = weights[None, part]
        for factor in factors[:-1]:
            table = (table[:, None] * factor[None, :, part]).reshape(-1, table.shape[1])
        total = total + table @ factors[-1][:, part].T
    return np.reshape(total, (count,) * len(factors))[tuple(alphas.T)]
