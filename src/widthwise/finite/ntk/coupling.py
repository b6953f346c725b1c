"""A kernel of pairs of points is defined only where ``apply`` treats every point by itself.

A batch norm that averages over the batch does not. Outputs at a few points are compared with the
outputs at each of them alone. Both are rounded, by about as much as outputs move when every
parameter changes by its last digits: where outputs are differences of larger numbers, such as a
network minus itself at initialization, that is far more than the last digits of the outputs.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import PyTree

from widthwise.finite.ntk.function import Function, Subject

_SAMPLE = 3  # points taken alone
_ROUNDING = {False: 1e-9, True: 1e-3}  # relative; True: in less than float64


def refuse_coupled(subject: Subject, lower: bool, theta: jax.Array) -> jax.Array:
    """``theta``, unless the outputs at one point depend on the others in the batch."""
    gap, scale = _coupling(subject.function, subject.trained, subject.x)
    message = (
        "apply couples the points of a batch: outputs at a point change with the other points, as "
        "under a batch norm in training mode, and a kernel of pairs of points is not defined. Use "
        "its inference mode (stored statistics), or a normalization over features"
    )
    traced = isinstance(gap, Tracer)
    if not traced and not np.isfinite(scale):
        raise ValueError("apply(parameters, x) is not finite; look at its parameters and at x")
    if traced or _exceeds(gap, scale, lower):
        scale = jnp.maximum(scale, _sensitivity(subject.function, subject.trained, subject.x))
    coupled = _exceeds(gap, scale, lower)
    if traced:
        return eqx.error_if(theta, coupled, message)
    if coupled:
        raise ValueError(f"{message}. Outputs at a sampled point changed by {float(gap):.2g}.")
    return theta


def _exceeds(gap: jax.Array, scale: jax.Array, lower: bool) -> jax.Array:
    return ~(gap <= _ROUNDING[lower] * jnp.maximum(scale, 1e-300))


def _sampled(x: jax.Array) -> jax.Array:
    return x[np.unique(np.linspace(0, len(x) - 1, _SAMPLE).astype(int))]


@eqx.filter_jit
def _coupling(function: Function, trained: PyTree, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Largest change of sampled outputs when taken alone (not a number: 0/0), and the largest."""
    sample = _sampled(x)
    stranger = 0.9 * sample[:1] + 0.1 * jnp.max(jnp.abs(sample)) + 0.01
    alone = jax.lax.map(lambda point: function.at_point(trained, point), sample)
    together = function(trained, jnp.concatenate([sample, stranger]))[:-1]
    return jnp.max(jnp.abs(together - alone)), jnp.max(jnp.abs(together))


@eqx.filter_jit
def _sensitivity(function: Function, trained: PyTree, x: jax.Array) -> jax.Array:
    """Root mean square of Σ_p ξ_p θ_p ∂f/∂θ_p over sampled outputs f and signs ξ; 0 where it is
    not finite.
    """
    outputs, pullback = jax.vjp(lambda p: function(p, _sampled(x)), trained)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], outputs.shape)
    (gradient,) = pullback(jnp.asarray(signs, outputs.dtype))
    squares = (
        jnp.sum((leaf * slope) ** 2)
        for leaf, slope in zip(jax.tree.leaves(trained), jax.tree.leaves(gradient), strict=True)
    )
    change = jnp.sqrt(sum(squares, jnp.zeros(())) / outputs.size)
    return jnp.where(jnp.isfinite(change), change, 0.0)
