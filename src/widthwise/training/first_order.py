"""The first-order deviation of training from the linear flow, one hidden layer.

With Δ = Θ_n(0) − Θ_∞ = O(n^{-1/2}) and r = f₀(X) − y, in the eigenbasis of Θ_∞ on the train points,

    f_t − f_t^{lin} = f^{(1)}_t + O(1/n),     f^{(1)}_{t,x} = Σ_{ij} w_{xij}(t) Δ_ij r_j,

where w_{xij}(t) is the response of output x to a forcing of row i with time factor e_t[λ_i, λ_j]
(divided differences of e^{−tλ}). For symmetric laws Δ and f₀ are asymptotically independent
Gaussian fields and the kernel does not drift at this order, so the mean square over networks is

    E (f^{(1)}_{t,x})² = (1/n) Σ w_{xij} w_{xkl} Cov(κ_ij, κ_kl) (K_jl + y_j y_l) + o(1/n),

κ being the tangent kernel of one neuron. Cov(κ, κ) is estimated on sampled neurons, contracted
before it is averaged, and comes with a standard error. For skewed readout laws the drift of the
kernel is of the same order and this expression does not hold.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise.algebra.divided import divided_differences
from widthwise.limit.flow import LinearFlow
from widthwise.model.architecture import MLP

_BATCHES = 32


class MeanSquare(NamedTuple):
    """n · E (f^{(1)})² at every time and point, their sum over points, and n · E ‖Δ‖².

    Each with its standard error. All points share the sampled neurons, so that the error of the sum
    is not that of independent points.
    """

    value: Float[np.ndarray, "times points"]
    error: Float[np.ndarray, "times points"]
    total: Float[np.ndarray, " times"]
    total_error: Float[np.ndarray, " times"]
    kernel: float
    kernel_error: float


def has_first_order(net: MLP) -> bool:
    """Whether :func:`first_order_mean_square` covers a network."""
    symmetric = net.weight_law[1].symmetric if net.depth == 1 else False
    return symmetric and net.outputs == 1 and net.parametrization == "ntk"


def first_order_mean_square(
    net: MLP,
    flow: LinearFlow,
    x: Float[np.ndarray, "points inputs"],
    times: Float[np.ndarray, " times"],
    *,
    key: jax.Array,
    neurons: int = 16384,
) -> MeanSquare:
    """N · E (f^{(1)}_t)², the leading mean square deviation from the linear flow times the width.

    Args:
        net: one hidden layer, one output, symmetric readout law, NTK parametrization.
        flow: its linear flow on the points.
        x: all points, train first (points, inputs).
        times: gradient-flow times.
        key: JAX random key of the sampled neurons.
        neurons: how many neurons to sample.

    Returns:
        :class:`MeanSquare`; divide by n and take the root for the deviation at width n.

    Raises:
        ValueError: for a network outside these conditions.
    """
    if not has_first_order(net):
        raise ValueError(
            "the first-order deviation is known for one hidden layer, one output, a symmetric "
            f"readout law and the NTK parametrization; got depth={net.depth}, "
            f"outputs={net.outputs}, readout law {net.weight_law[-1].name}, "
            f"parametrization={net.parametrization!r}"
        )
    x = np.asarray(x)
    net = net.at_width(np.inf, x.shape[1])
    size = max(1, checks.positive_integer(neurons, "neurons") // _BATCHES)
    values, Q = flow.eigenvalues, flow._spectrum[1]
    m = len(values)
    residual = Q.T @ (flow.nngp[:m, :m] + flow.y @ flow.y.T) @ Q
    means, squares = [], []
    for batch_key in jax.random.split(key, _BATCHES):
        kernels = _neuron_kernels(net, flow, x, batch_key, size) @ Q
        squares.append((kernels**2).sum((1, 2)).mean() / net.ratios[0])
        forced = (_forced(flow, kernels, values, Q, float(t)) for t in times)
        means.append([_mean_square(f, residual) for f in forced])
    batches = np.array(means) / net.ratios[0]

    def averaged(batches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        spread = batches.std(0, ddof=1) / np.sqrt(_BATCHES)
        return np.asarray(batches.mean(0)), np.asarray(spread)

    kernel = map(float, averaged(np.array(squares)))
    return MeanSquare(*averaged(batches), *averaged(batches.sum(-1)), *kernel)


def _neuron_kernels(
    net: MLP, flow: LinearFlow, x: np.ndarray, key: jax.Array, neurons: int
) -> np.ndarray:
    """σ_w² (φφ' + a² φ̇φ̇' Θ¹) of sampled neurons minus its mean: (neurons, points, train)."""
    weight_key, bias_key, readout_key = jax.random.split(key, 3)
    m, d = flow.ntk.shape[1], x.shape[1]
    z = net.weight_std[0] / np.sqrt(d) * net.weight_law[0].sample(weight_key, (neurons, d)) @ x.T
    if net.has_bias(0):
        z = z + net.bias_std[0] * net.bias_law[0].sample(bias_key, (neurons, 1))
    a = net.weight_law[1].sample(readout_key, (neurons, 1))
    h = np.asarray(net.activation(z))
    g = np.asarray(a * net.activation.derivative()(jnp.asarray(z)))
    first = np.asarray(net.bias_std[0] ** 2 + net.weight_std[0] ** 2 * x @ x[:m].T / d)
    kernels = h[:, :, None] * h[:, None, :m] + g[:, :, None] * g[:, None, :m] * first
    mean = flow.ntk - float(net.bias_std[1]) ** 2
    return float(net.weight_std[1]) ** 2 * kernels - mean


def _forced(flow: LinearFlow, kernels, values, Q, t: float) -> np.ndarray:
    """Σ_i w_{xij}(t) κ_ij for every neuron: (neurons, points, train), j in the eigenbasis."""
    m, p = len(values), kernels.shape[1]
    rotated = np.einsum("ia,nij->naj", Q, kernels[:, :m], optimize=True)
    lam, mu = np.meshgrid(values, values, indexing="ij")
    pair = divided_differences(t, np.stack([lam, mu], -1))
    forced = np.empty((len(kernels), p, m))
    forced[:, :m] = np.einsum("ai,nij->naj", Q, pair * rotated, optimize=True)
    if p > m:
        own = divided_differences(t, np.stack([0 * values, values], -1))
        through = divided_differences(t, np.stack([0 * lam, lam, mu], -1))
        forced[:, m:] = kernels[:, m:] * own
        forced[:, m:] += np.einsum(
            "ai,nij->naj", flow.ntk[m:] @ Q, through * rotated, optimize=True
        )
    return forced


def _mean_square(forced: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Mean over neurons of Σ_jl forced_j residual_jl forced_l, for every point."""
    return np.einsum("npj,jl,npl->p", forced, residual, forced, optimize=True) / len(forced)
