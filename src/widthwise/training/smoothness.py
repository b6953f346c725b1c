r"""Whether a network is three times differentiable in its parameters, seen along random lines.

On θ(s) = θ + s v, |s| ≤ 1/8, with v random and of the size of θ leaf by leaf (a leaf of zeros
moves too), the outputs
g(s) = f(θ(s)) of a smooth network obey

    g^{(k)}(1/8) − g^{(k)}(−1/8) = ∫ g^{(k+1)}(s) ds,      k = 1, 2.

Where preactivations cross a kink of φ or of φ', derivatives taken at points know nothing of the
jump, and the two sides differ by as much as they are. Integrals are Gauss–Legendre sums; a sharp
but smooth function that one of them misses is not taken for a kink, since two must agree.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from widthwise._vocabulary import Array

_REACH = 1 / 8
_RULES = tuple(np.polynomial.legendre.leggauss(count) for count in (16, 23))
_APART = 0.05  # of the size of both sides
WHY = (
    "it seems to have a kink: along lines of parameters its derivatives do not integrate to what "
    "its values say, so that the second and third do not describe how it trains"
)


def kinked(
    function: Callable[[PyTree, jax.Array], jax.Array],
    parameters: PyTree,
    x: jax.Array,
    key: jax.Array,
    lines: int,
) -> bool:
    """Whether outputs seem to have kinks near ``parameters``.

    Args:
        function: outputs of parameters and points.
        parameters: a tree of floating-point arrays.
        x: the points.
        key: a JAX random key, for the lines.
        lines: how many; a kink is seen where a line crosses it.
    """
    places = np.concatenate([_REACH * np.concatenate([u for u, _ in _RULES]), [-_REACH, _REACH]])
    keys = jax.random.split(key, lines)
    found = np.asarray(_derivatives(function, parameters, x, keys, jnp.asarray(places)))
    if not np.isfinite(found).all():
        return False
    size = np.abs(found).max((1, 3))  # (lines, 3)
    for k in (1, 2):
        difference = found[:, -1, k - 1] - found[:, -2, k - 1]
        scale = size[:, k - 1] + 2 * _REACH * size[:, k]
        gaps, start = [], 0
        for u, weights in _RULES:
            inside = found[:, start : start + len(u), k]
            integral = _REACH * np.einsum("lso,s->lo", inside, weights)
            gaps.append(np.abs(integral - difference).max(-1))
            start += len(u)
        if (np.min(gaps, 0) > _APART * scale).any():
            return True
    return False


def _size(leaf: jax.Array) -> jax.Array:
    """The root mean square of a leaf; of zeros, such as a readout set to 0, 1/√(its length)."""
    size = jnp.sqrt(jnp.mean(leaf**2))
    return jnp.where(size > 0, size, 1 / np.sqrt(max(leaf.shape[:1] or (1,))))


@eqx.filter_jit
def _derivatives(
    function: Callable,
    parameters: PyTree,
    x: jax.Array,
    keys: jax.Array,
    places: Float[Array, " places"],
) -> Float[jax.Array, "lines places 3 outputs"]:
    """g', g'' and g''' along every line."""

    def direction(key):
        leaves, tree = jax.tree.flatten(parameters)
        each = jax.random.split(key, len(leaves))
        moves = [
            _size(leaf) * jax.random.normal(k, leaf.shape, leaf.dtype)
            for k, leaf in zip(each, leaves, strict=True)
        ]
        return jax.tree.unflatten(tree, moves)

    def along_line(key):
        v = direction(key)

        def g(s):
            return function(jax.tree.map(lambda p, d: p + s * d, parameters, v), x).ravel()

        def derivative(h):
            return lambda s: jax.jvp(h, (s,), (jnp.ones_like(s),))[1]

        first = derivative(g)

        def three(s):
            def two(s):
                return first(s), derivative(first)(s)

            (one, second), (_, third) = jax.jvp(two, (s,), (jnp.ones_like(s),))
            return jnp.stack([one, second, third])

        return jax.lax.map(three, places)

    return jax.lax.map(along_line, keys)
