r"""What a prediction leaves out, estimated from the network itself.

In the linearization parameters move by δ₁ = Jᵀα (:mod:`.motion`). The outputs of the network there,
less their Taylor polynomial of degree k along δ₁,

    f(θ₀ + δ₁) − Σ_{j ≤ k} ∇^j f[δ₁, …, δ₁] / j!,

are one of the terms of order k + 1 in the deviation, which a prediction through order k leaves out:
they have the same power of n. The other terms come from δ₂, δ₃, …; in networks where all are known
the whole is two to four times as large, so three times this term is reported. Degree 1 needs no
second derivative and holds for activations with kinks too.

What is left out of a train mode is learnt in its turn, as the flow about Θ_n(0) answers a forcing
that has ended: it falls like e^{−τ} times a polynomial in τ = λ_min t, here Σ_{k<5} τ^k/k!. At the
end of training nothing is left out along the train modes.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from widthwise.finite.ntk.function import Function
from widthwise.training.dynamics import Dynamics
from widthwise.training.realization.tensors import Realization
from widthwise.training.shadow.taylor import expand
from widthwise.training.task import NetworkTask

_OTHERS = 3.0


def remainder(
    task: NetworkTask, network: Realization, dynamics: Dynamics, degree: int
) -> Float[np.ndarray, "times rows"]:
    """An estimate of what orders 1 … ``degree`` in the deviation leave out of the outputs."""
    solution = network.frozen
    values, Q = solution.eigenvalues, solution.eigenvectors
    r = solution.modes(network.outputs[: solution.train] - network.y, "t")
    pull = dynamics.divided_differences(np.stack([0 * values, values], -1)) * r
    x = jnp.asarray(task.x)
    found = [
        _left_out(task.function, task.trained, x, jnp.asarray(alpha), degree)
        for alpha in (pull @ Q.T).reshape(-1, *task.y.shape)
    ]
    left_out = _OTHERS * np.stack([np.asarray(value).ravel() for value in found])
    rows = left_out[:, : len(Q)]
    rest = _unlearnt(rows, Q)
    still = _still_there(dynamics, values)[:, None]
    left_out[:, : len(Q)] = np.where(still < 1, rest + still * (rows - rest), rows)
    return left_out


def _unlearnt(rows: np.ndarray, Q: np.ndarray) -> np.ndarray:
    """What train rows have outside the train modes, rounding errors removed."""
    rest = rows - rows @ Q @ Q.T
    return np.where(np.abs(rest) > 1e-12 * np.abs(rows).max(1, keepdims=True), rest, 0.0)


def _still_there(dynamics: Dynamics, values: np.ndarray) -> Float[np.ndarray, " times"]:
    """The part of what was left out of the train modes that is not learnt yet."""
    if not values.size:
        return np.ones(np.size(dynamics.moments))
    slowest = np.atleast_1d(np.abs(dynamics.divided_differences(values[:, None])).max(-1))
    tau = -np.log(np.clip(slowest, 1e-300, 1.0))
    polynomial = 1 + tau + tau**2 / 2 + tau**3 / 6 + tau**4 / 24
    return np.where(slowest > 0, slowest * polynomial, 0.0)


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
