r"""Whether weights between hidden layers are skewed, seen from networks that are drawn.

The third cumulant of such weights moves the means of f fᵀ and Θ_n by κ₃ B n^{−1/2}, also where the
mean of O₃ vanishes, and with the sign of the weights the term changes its own. So networks are
drawn in pairs, W and with the sign of all weights between hidden layers reversed: the mean of

    f fᵀ(W) − f fᵀ(−W),        Θ_n(W) − Θ_n(−W)

is 2 κ₃ B n^{−1/2} + O(n^{−3/2}), and 0 if the laws are symmetric (or the network is odd in them).
An array of parameters lies between hidden layers if its size grows faster than n^{3/2}.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

Apply = Callable[[PyTree, jax.Array], jax.Array]
Init = Callable[[jax.Array, int], PyTree]

_GROWTH = 1.5
_SEEN = 6.0
_NUMBERS_AT_ONCE = 2e7


def require_even_in_hidden_weights(
    apply: Apply,
    init: Init,
    widths: Sequence[int],
    x: jax.Array,
    members: int,
    key: jax.Array,
) -> None:
    """Refuse networks whose mean kernels change with the sign of weights between hidden layers.

    Args:
        apply: outputs (points, outputs) of parameters and points.
        init: parameters from a JAX key and a width.
        widths: two widths, by which the sizes of the arrays grow; the smaller is drawn.
        x: points.
        members: how many pairs.
        key: JAX random key.

    Raises:
        ValueError: if the means differ by more than six standard errors.
    """
    small, large = min(widths), max(widths)
    sizes = [
        [leaf.size for leaf in jax.tree.leaves(jax.eval_shape(partial(_drawn, init, n), key))]
        for n in (small, large)
    ]
    least = (large / small) ** _GROWTH
    hidden = tuple(b > least * a for a, b in zip(*sizes, strict=True))
    if not any(hidden):
        return
    rows = jax.eval_shape(lambda k: apply(init(k, small), x), key).size
    batch = int(np.clip(_NUMBERS_AT_ONCE / (rows * sum(sizes[0])), 1, members))
    batch = max(b for b in range(1, batch + 1) if members % b == 0)
    keys = jax.random.split(jax.random.fold_in(key, small), members).reshape(-1, batch)
    first, second = (np.asarray(v) for v in _moments(apply, init, small, hidden, x, keys))
    mean, square = first / members, second / members
    error = np.sqrt(np.maximum(square - mean**2, 0.0) / members)
    z = np.abs(mean) / np.maximum(error, 1e-12 * np.sqrt(square.max()) + 1e-300)
    if z.max() > _SEEN:
        worst = int(z.argmax())
        raise ValueError(
            "weights between hidden layers are skewed: with their sign reversed the means of f fᵀ "
            f"and of the tangent kernel at width {small} change by {abs(mean[worst]):.2g}, "
            f"{z[worst]:.1f} standard errors; corrections are then series in n^(-1/2), which two "
            "widths cannot resolve; take symmetric laws of these weights"
        )


def _drawn(init: Init, width: int, key: jax.Array) -> PyTree:
    return init(key, width)


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _moments(apply, init, width, hidden, x, keys) -> tuple[jax.Array, jax.Array]:
    """Σ d and Σ d² over networks, d the differences of the entries of f fᵀ and Θ_n."""

    def kernels(parameters: PyTree) -> jax.Array:
        start, unravel = ravel_pytree(parameters)

        def outputs(theta: jax.Array) -> jax.Array:
            return apply(unravel(theta), x).ravel()

        f, J = outputs(start), jax.jacrev(outputs)(start)
        upper = jnp.triu_indices(len(f))
        return jnp.concatenate([jnp.outer(f, f)[upper], (J @ J.T)[upper]])

    def difference(key: jax.Array) -> jax.Array:
        parameters = init(key, width)
        leaves, structure = jax.tree.flatten(parameters)
        turned = [-leaf if h else leaf for leaf, h in zip(leaves, hidden, strict=True)]
        return kernels(parameters) - kernels(jax.tree.unflatten(structure, turned))

    def step(total, some):
        d = jax.vmap(difference)(some)
        return (total[0] + d.sum(0), total[1] + (d**2).sum(0)), None

    shape = jax.eval_shape(difference, keys[0, 0])
    zero = jnp.zeros(shape.shape, shape.dtype)
    return jax.lax.scan(step, (zero, zero), keys)[0]
