r"""How far |f_t − linear flow| can move between two recorded times, network by network.

One hidden layer, one output, |φ'| ≤ M₁, |φ''| ≤ M₂ (scaled by the readout's σ_w; φ may grow),
ε = n^{-1/2}, c = M₁B, all points in B, b. The residual never grows, so that over [t_j, t_{j+1}] of
length Δ the parameters of neuron k move by no more than the solution of

    Ȧ = c H,  Ḣ = c A  in ε∫|r|,     A(0) = |a_k|,  H(0) = |φ(z_k)|/c,

so with s = cε ∫₀^{t_j}|r| and d = cε Δ|r_j|, A_j = A cosh s + H sinh s, H_j = H cosh s + A sinh s,

    α = A_j (cosh d − 1) + H_j sinh d,     β = A_j sinh d + H_j (cosh d − 1),
    ‖J_τ − J_j‖² ≤ δ² := ε² Σ_k (cβ)² + B² (M₁α + M₂ b A_j β)².

Hence ‖Θ_τ − Θ_j‖ ≤ δ (‖J_X‖ + ‖J‖ + δ), with the recorded Θ_j, and with L = ‖Θ_∞‖

    |Ṙ_τ| ≤ L |R_τ| + (‖Θ_j − Θ_∞‖ + ‖Θ_τ − Θ_j‖) |r_j| =: L |R_τ| + g_j,
    sup |R_τ| ≤ (max(|R_j|, |R_{j+1}|) + Δ g_j/2)/(1 − LΔ/2).

To |r_j| the error of the integration is added, which is estimated on the first packet of networks
alone (:class:`widthwise.finite.runs.Runs`).
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise.finite.runs import Runs
from widthwise.limit.flow import LinearFlow
from widthwise.measure.bounds.uniform import extended_inputs
from widthwise.model.architecture import MLP

_NUMBERS = 4_000_000


def not_covered(net: MLP) -> str:
    """Why there is no bound between recorded times; empty if there is."""
    if net.depth != 1 or net.outputs != 1 or net.parametrization != "ntk":
        return (
            "between recorded times a bound is known for one hidden layer, one output and the NTK "
            f"parametrization, not for depth {net.depth}, {net.outputs} outputs, "
            f"{net.parametrization!r}"
        )
    declared = net.activation.sup_norms
    if not net.activation.smooth or declared is None or not np.isfinite(declared[1:]).all():
        return (
            "between recorded times a bound needs a smooth activation with finite bounds of φ' and "
            f"φ''; {net.activation.name} has kinks {net.activation.kinks} and declares {declared}"
        )
    return ""


def largest_between(
    runs: Runs, flow: LinearFlow, R: Float[np.ndarray, "members times"]
) -> tuple[Float[np.ndarray, "members intervals"], Float[np.ndarray, "members intervals"]]:
    """Bounds of |R_τ| every interval between recorded times, and what half of it adds.

    Args:
        runs: networks with recorded kernels, from time 0.
        flow: the linear flow of the limit.
        R: |f_t − linear flow| over all points at the recorded times.
    """
    net, width = runs.net, runs.width
    times, m = runs.times, len(flow.y)
    step = np.diff(times)
    off = math.sqrt(m) * runs.integration_error
    r = np.linalg.norm(runs.residuals[..., 0], axis=2)[:, :-1] + off
    path = np.concatenate([np.zeros((len(r), 1)), np.cumsum(r * step, axis=1)[:, :-1]], 1)
    theta, limit = runs.recorded["ntk"][:, :-1], flow.ntk
    apart = np.linalg.norm(theta - limit, 2, axis=(2, 3))
    train = np.sqrt(np.linalg.norm(theta[:, :, :m], 2, axis=(2, 3)))
    moved, size = _jacobians(net, width, runs, path, r * step)
    whole = train if theta.shape[2] == m else size
    drift = moved * (train + whole + moved)
    g = (apart + drift) * r
    L = float(np.linalg.norm(limit, 2))
    if (L * step >= 1).any():
        raise ValueError(
            f"the recorded times are too far apart: the largest interval is {step.max():.3g} and "
            f"must be below 1/‖Θ‖ = {1 / L:.3g}; record more times"
        )
    ends = np.maximum(R[:, 1:], R[:, :-1])
    top = (ends + step * g / 2) / (1 - L * step / 2)
    return top, step / 2 * (L * top + g)


def _jacobians(net: MLP, width: int, runs: Runs, path, pieces):
    """δ and the bound of ‖J‖ at the start of every interval, for every member."""
    x = np.asarray(runs.task.x)
    X = extended_inputs(net, x)
    gram = X @ X.T
    declared = net.activation.sup_norms
    assert declared is not None
    scale = float(net.weight_std[1])
    constants = (
        scale * declared[1],
        scale * declared[2],
        float(np.sqrt(np.linalg.eigvalsh(gram)[-1])),
        float(np.sqrt(np.diag(gram).max())),
    )
    block = int(np.clip(_NUMBERS // (width * (path.shape[1] + len(x))), 1, 256))
    moved, size = [], []
    for start in range(0, len(path), block):
        rows = slice(start, start + block)
        count = len(path[rows])
        padded = [np.pad(p[rows], ((0, block - count), (0, 0))) for p in (path, pieces)]
        members = runs.first + np.arange(start, start + block)
        drawn = (runs.key, jnp.asarray(x), jnp.asarray(members))
        found = _bounds(net, width, *drawn, padded[0], padded[1], constants)
        moved.append(np.asarray(found[0])[:count])
        size.append(np.asarray(found[1])[:count])
    bias = float(net.bias_std[1]) if net.has_bias(1) else 0.0
    whole = np.sqrt(np.concatenate(size) + len(x) * bias**2)
    return np.concatenate(moved), whole


@eqx.filter_jit
def _bounds(net: MLP, width: int, key, x, members, path, pieces, constants):
    M1, M2, B, b = constants
    c = M1 * B

    def of(i, path, pieces):
        first, readout = net.init(jax.random.fold_in(key, i), width, x.shape[1])
        z = net.weight_std[0] / math.sqrt(x.shape[1]) * (x @ first.weight.T)
        if first.bias is not None:
            z = z + net.bias_std[0] * first.bias
        n = z.shape[1]
        h = jnp.linalg.norm(net.weight_std[1] * net.activation(z), axis=0) / c
        a = jnp.abs(readout.weight[0])

        def interval(s, d):
            s, d = c * s / math.sqrt(n), c * d / math.sqrt(n)
            A, H = (
                a * jnp.cosh(s) + h * jnp.sinh(s),
                h * jnp.cosh(s) + a * jnp.sinh(s),
            )
            rise = 2 * jnp.sinh(d / 2) ** 2  # cosh d − 1
            alpha, beta = A * rise + H * jnp.sinh(d), A * jnp.sinh(d) + H * rise
            moved = (c * beta) ** 2 + (B * (M1 * alpha + M2 * b * A * beta)) ** 2
            return jnp.sqrt(moved.mean()), ((c * H) ** 2 + (c * A) ** 2).mean()

        return jax.vmap(interval)(path, pieces)

    return jax.vmap(of)(members, path, pieces)
