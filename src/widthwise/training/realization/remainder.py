r"""What a prediction leaves out, estimated from the network itself.

In the linearization parameters move by δ₁ = Jᵀα (:mod:`.motion`). The outputs of the network there,
less their Taylor polynomial of degree k along δ₁,

    f(θ₀ + δ₁) − Σ_{j ≤ k} ∇^j f[δ₁, …, δ₁] / j!,

are one of the terms of order k + 1 in the deviation, which a prediction through order k leaves out:
they have the same power of n. Along train modes it is unlearnt again, as
:mod:`.response` says, and vanishes at the end of training. The other terms come from δ₂, δ₃, …, and
three times this term is reported for all. Where it happens to be small they are what is left out:
early in the training of wide softplus networks the errors were up to 35 of what this term says. So
a prediction states no less than its last order times the ratio of that order to the movement of the
linearization: of 9 networks at three times (softplus, n = 1024; tanh, n = 256) the errors were
then 0.1 to 4 of what is stated. Degree 1 needs no second
derivative and holds for activations with kinks too.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from widthwise.finite.ntk.function import Function
from widthwise.training.dynamics import Dynamics, replace_moments
from widthwise.training.realization.response import answered, moments_between
from widthwise.training.realization.tensors import Realization
from widthwise.training.shadow.taylor import expand
from widthwise.training.task import NetworkTask

_OTHERS = 3.0
_BETWEEN = 16  # moments at which the deviation is computed besides those asked for


def remainder(
    task: NetworkTask, network: Realization, dynamics: Dynamics, degree: int
) -> Float[np.ndarray, "times rows"]:
    """An estimate of what orders 1 … ``degree`` in the deviation leave out of the outputs."""
    solution = network.frozen
    values, Q = solution.eigenvalues, solution.eigenvectors
    r = solution.modes(network.outputs[: solution.train] - network.y, "t")
    asked = np.atleast_1d(dynamics.moments)
    moments = moments_between(solution, dynamics, _BETWEEN)
    if np.isinf(asked).any():
        moments = np.append(moments, np.inf)
    clock = replace_moments(dynamics, moments)
    pull = clock.divided_differences(np.stack([0 * values, values], -1)) * r
    x = jnp.asarray(task.x)
    found = [
        _left_out(task.function, task.trained, x, jnp.asarray(alpha), degree)
        for alpha in (pull @ Q.T).reshape(-1, *task.y.shape)
    ]
    nothing = np.zeros((1, len(solution.ntk)))  # at the start
    deviation = np.array([np.asarray(value).ravel() for value in found])
    deviation = deviation.reshape(len(moments), len(solution.ntk))
    left_out = answered(solution, dynamics, moments, deviation) if len(moments) else nothing[:0]
    every = np.concatenate([nothing, left_out])
    return _OTHERS * every[np.searchsorted(np.append(0.0, moments), asked)]


@eqx.filter_jit
def _left_out(
    function: Function, trained: PyTree, x: jax.Array, alpha: jax.Array, degree: int
) -> jax.Array:
    def everywhere(parameters):
        return function(parameters, x)

    _, back = jax.vjp(lambda p: function(p, x[: len(alpha)]), trained)
    (moved,) = back(alpha)
    there = everywhere(jax.tree.map(jnp.add, trained, moved))
    if degree == 1:
        value, change = jax.jvp(everywhere, (trained,), (moved,))
        return there - value - change
    still = jax.tree.map(jnp.zeros_like, moved)
    expansion = expand(everywhere, trained)
    return there - expansion.value - sum(expansion.along((moved, still, still))[:degree])
