"""Which entries over output components are kept, and how gradients of two points make them.

============  ===================================  ================================================
components    shape                                entry
============  ===================================  ================================================
"mean"        (points, points2)                    (1/K) Σ_k Θ_kk(x, x'), K = number of components
"diagonal"    (points, points2, outputs)           Θ_kk(x, x')
"full"        (points, points2, outputs, outputs)  Θ_{kk'}(x, x')
============  ===================================  ================================================
"""

from typing import Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp

Components: TypeAlias = Literal["mean", "diagonal", "full"]


def check(components: object) -> None:
    """Raise unless this is one of the three forms."""
    if components not in get_args(Components):
        raise ValueError(
            f"components must be 'mean' (points, points2), 'diagonal' (…, outputs) or 'full' "
            f"(…, outputs, outputs), got {components!r}"
        )


def numbers(components: Components, outputs: int) -> int:
    """Entries per pair of points."""
    return {"mean": 1, "diagonal": outputs, "full": outputs**2}[components]


def inner(G: jax.Array, G2: jax.Array, components: Components) -> jax.Array:
    """Products ⟨G_k(x), G2_{k'}(x')⟩ of gradients (points, outputs, coordinates)."""
    points, outputs, size = G.shape
    if components == "mean":
        return G.reshape(points, outputs * size) @ G2.reshape(len(G2), outputs * size).T / outputs
    if components == "diagonal":
        return jnp.einsum("aki,bki->abk", G, G2)
    product = G.reshape(points * outputs, size) @ G2.reshape(len(G2) * outputs, size).T
    return product.reshape(points, outputs, len(G2), outputs).transpose(0, 2, 1, 3)


def identity(components: Components, outputs: int) -> jax.Array:
    """⟨e_k, e_{k'}⟩: what :func:`inner` gives for the gradient of an output by itself."""
    return {"mean": jnp.ones(()), "diagonal": jnp.ones(outputs), "full": jnp.eye(outputs)}[
        components
    ]


def over_points(gram: jax.Array, components: Components) -> jax.Array:
    """A Gram matrix of points, broadcast against entries of this form."""
    return gram.reshape(gram.shape + (1,) * {"mean": 0, "diagonal": 1, "full": 2}[components])


def transposed(block: jax.Array, components: Components) -> jax.Array:
    """Θ(x', x) from Θ(x, x')."""
    return block.transpose(1, 0, 3, 2) if components == "full" else block.swapaxes(0, 1)
