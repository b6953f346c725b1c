"""A kernel of pairs of points is defined only where ``apply`` treats every point by itself.

A batch norm that averages over the batch does not. Outputs at a few points are compared with the
outputs at each of them alone.
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
    coupled = ~(gap <= _ROUNDING[lower] * jnp.maximum(scale, 1e-300))
    if isinstance(coupled, Tracer):
        return eqx.error_if(theta, coupled, message)
    if not np.isfinite(scale):
        raise ValueError("apply(parameters, x) is not finite; look at its parameters and at x")
    if coupled:
        raise ValueError(f"{message}. Outputs at a sampled point changed by {float(gap):.2g}.")
    return theta


@eqx.filter_jit
def _coupling(function: Function, trained: PyTree, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Largest change of sampled outputs when taken alone (not a number: 0/0), and the largest."""
    sample = x[np.unique(np.linspace(0, len(x) - 1, _SAMPLE).astype(int))]
    stranger = 0.9 * sample[:1] + 0.1 * jnp.max(jnp.abs(sample)) + 0.01
    alone = jax.lax.map(lambda point: function.at_point(trained, point), sample)
    together = function(trained, jnp.concatenate([sample, stranger]))[:-1]
    return jnp.max(jnp.abs(together - alone)), jnp.max(jnp.abs(together))
