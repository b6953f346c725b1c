r"""The constants in front of the powers of n, from the statistics at initialization.

What is predicted is the root mean square over networks of a norm N_n(t) at every time,

    (E N_n(t)²)^{1/2} = c(t) n^{−p} (1 + o(1)),

and its largest value over times, max_t c(t): a mean square is a sum of moments that the theory has,
while the mean over networks of the largest norm over times is none. With D = Θ_n(0) − Θ_∞ and
T = O₃(0), of covariance and mean Cov(D, D) = DD/n, E D = D₁ n^{−1/2}, E T = T₁ n^{−1/2}, initial
outputs F of covariance K, r = F − y, and time factors P_l(t) = Σ e_t[0, λ_l] r_l (in the eigenbasis
of Θ_∞),

    ‖Θ_n(t) − Θ_∞‖:     c² = E ‖√n D + T₁ P‖²,                                       p = 1/2,
    ‖f_t − f_lin‖, Θ_∞: c² = E ‖√n f^{(1)}‖² = Var + mean² of the law's first order,  p = 1/2,
    ‖Θ_n(t) − Θ_n(0)‖:  c² = E ‖T₁ P‖²,                                              p = 1/2,
    ‖f_t − f_lin‖, own: c² = E ‖w T₁ r r‖²,                                          p = 1/2,

w the weights of the solution map. Where T₁ = 0 the last two are of order 1/n and take the second
moments of O₃ (:mod:`.fluctuation`). Moments of the Gaussian F are by Wick's formula.
"""

from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from widthwise.limit.flow import LinearFlow
from widthwise.model.architecture import MLP
from widthwise.training.blocks import Blocks, initial_blocks, require_network_of_blocks
from widthwise.training.dynamics import GradientFlow
from widthwise.training.first_order import first_order_mean_square, has_first_order
from widthwise.training.law.engine import Engine
from widthwise.training.rates.fluctuation import second_moments, unavailable
from widthwise.training.rates.value import Constant
from widthwise.training.solution_map import SolutionMap
from widthwise.training.symmetry import third_is_of_order_one_over_n
from widthwise.training.terms import TERMS

_THIRD = next(term for term in TERMS if term.name == "T")


class Constants(NamedTuple):
    """Of the four norms, in the order of the table: a constant, or in words why there is none."""

    kernel: Constant | str
    drift: Constant | str
    about_limit: Constant | str
    about_own: Constant | str


def constants(
    net: MLP,
    flow: LinearFlow,
    x: Float[np.ndarray, "points inputs"],
    times: Float[np.ndarray, " times"],
    key: jax.Array,
) -> Constants:
    """The predicted constants of a network on its data.

    Args:
        net: the architecture.
        flow: its linear flow on the points.
        x: all points, train first (points, inputs).
        times: gradient-flow times.
        key: JAX random key, where neurons are sampled.
    """
    if net.activation.kinks:
        return _with_kinks(net, flow, x, times, key)
    try:
        require_network_of_blocks(net, len(x))
        blocks = initial_blocks(net, x, len(flow.y), key=key)
    except ValueError as error:
        return Constants(*(f"{error}",) * 4)
    y = flow.y.ravel()
    solution = SolutionMap(blocks.ntk[:, : y.size], y)
    dynamics = GradientFlow(times)
    kernel, about = _kernel(blocks, solution, dynamics), _about_limit(blocks, solution, dynamics)
    if not third_is_of_order_one_over_n(net) and blocks.get("T", 1) is not None:
        own = _drift(blocks, solution, dynamics), _about_own(blocks, solution, dynamics)
        return Constants(kernel, own[0], about, own[1])
    reason = unavailable(net, len(y))
    if reason:
        return Constants(kernel, reason, about, reason)
    found = second_moments(net, x, blocks, solution, dynamics)
    drift, outputs = (_constant(each, -1.0) for each in (found.drift, found.outputs))
    return Constants(kernel, drift, about, outputs)


def _with_replicates(blocks: Blocks, square, power: float) -> Constant:
    """A constant whose error is the spread of the mean square over replicates of the blocks."""
    own, copies = square(blocks), np.array([square(b) for b in blocks.replicates])
    if len(copies) > 1:
        error = copies.std(0, ddof=1) / np.sqrt(len(copies))
    else:
        error = np.abs(copies - own).sum(0)
    return _root(own, error, power)


def _constant(replicates: Float[np.ndarray, "replicates times"], power: float) -> Constant:
    error = replicates.std(0, ddof=1) / np.sqrt(len(replicates))
    return _root(replicates.mean(0), error, power)


def _root(square: np.ndarray, error: np.ndarray, power: float) -> Constant:
    value = np.sqrt(np.maximum(square, 0.0))
    return Constant(power, value, error / np.maximum(2 * value, np.sqrt(error) + 1e-300))


# --- order n^{−1/2} -------------------------------------------------------------------------------


def _pull(solution: SolutionMap, dynamics: GradientFlow) -> Float[np.ndarray, "times train train"]:
    """P = pull · r, on train rows."""
    values, Q = solution.eigenvalues, solution.eigenvectors
    factors = dynamics.divided_differences(np.stack([0 * values, values], -1))
    return (Q * factors[:, None, :]) @ Q.T


def _over_components(tensor: np.ndarray, *, outputs: int) -> np.ndarray:
    """The kernel whose norm is recorded, (1/outputs) Σ_k Θ_kk: of the first two axes."""
    rows, columns, *rest = tensor.shape
    apart = tensor.reshape(rows // outputs, outputs, columns // outputs, outputs, *rest)
    return np.einsum("ikjk...->ij...", apart) / outputs


def _kernel(blocks: Blocks, solution: SolutionMap, dynamics: GradientFlow) -> Constant:
    m, y, pull = solution.train, solution.y, _pull(solution, dynamics)

    def square(b: Blocks) -> np.ndarray:
        DD, D, T, DF = (b.get(*name) for name in (("DD", 2), ("D", 1), ("T", 1), ("DF", 1)))
        total = np.zeros(len(pull))
        average = partial(_over_components, outputs=b.outputs)
        if DD is not None:
            turned = np.moveaxis(average(DD), (0, 1), (2, 3))
            total += np.einsum("ijij->", average(turned))
        mean = np.zeros((len(pull), 1, 1)) if D is None else average(D) + 0 * pull[:, :1, :1]
        if T is not None:
            moved = np.einsum("ijl,tlk->tijk", average(T), pull)
            mean = mean - moved @ y
            K = b.nngp[:m, :m]
            total += np.einsum("tijk,kl,tijl->t", moved, K, moved, optimize=True)
            if DF is not None:
                total += 2 * np.einsum("tijk,ijk->t", moved, average(DF)[..., :m])
        return total + (mean**2).sum((1, 2))

    return _with_replicates(blocks, square, -0.5)


def _drift(blocks: Blocks, solution: SolutionMap, dynamics: GradientFlow) -> Constant:
    m, y, pull = solution.train, solution.y, _pull(solution, dynamics)

    def square(b: Blocks) -> np.ndarray:
        T = b.get("T", 1)
        assert T is not None
        T = _over_components(T, outputs=b.outputs)
        gram = np.einsum("ijk,ijl->kl", T, T)
        residual = pull @ (b.nngp[:m, :m] + np.outer(y, y)) @ np.swapaxes(pull, 1, 2)
        return np.einsum("kl,tkl->t", gram, residual)

    return _with_replicates(blocks, square, -0.5)


def _about_limit(blocks: Blocks, solution: SolutionMap, dynamics: GradientFlow) -> Constant:
    def square(b: Blocks) -> np.ndarray:
        variance = Engine(solution, b, dynamics, 2).first_order_variance()
        return (variance + Engine(solution, b, dynamics, 1).cumulants(1)[1] ** 2).sum(1)

    return _with_replicates(blocks, square, -0.5)


def _about_own(blocks: Blocks, solution: SolutionMap, dynamics: GradientFlow) -> Constant:
    m, y = solution.train, solution.modes(solution.y, "t")
    weights = solution.weights(_THIRD, dynamics)

    def square(b: Blocks) -> np.ndarray:
        T = b.get("T", 1)
        assert T is not None
        K = solution.modes(b.nngp[:m, :m], "tt")
        forced = solution.modes(T, "rtt")[solution.forced]
        N = np.einsum("xc,tcjl->txjl", solution.channels, weights * forced, optimize=True)
        N = (N + np.swapaxes(N, -1, -2)) / 2
        mean = np.einsum("txjl,jl->tx", N, K + np.outer(y, y))
        NK = N @ K
        variance = 2 * np.einsum("txjl,txlj->tx", NK, NK)
        Ny = N @ y
        variance += 4 * np.einsum("txj,jl,txl->tx", Ny, K, Ny, optimize=True)
        return (mean**2 + variance).sum(1)

    return _with_replicates(blocks, square, -0.5)


# --- kinks ----------------------------------------------------------------------------------------


def _with_kinks(
    net: MLP,
    flow: LinearFlow,
    x: Float[np.ndarray, "points inputs"],
    times: Float[np.ndarray, " times"],
    key: jax.Array,
) -> Constants:
    """The first-order deviation needs no derivative of the kernel, nor does the kernel at t = 0."""
    drift = f"activation {net.activation.name!r} has kinks: O3 does not describe its drift"
    if not has_first_order(net):
        reason = (
            f"{net.activation.name!r} has kinks: the covariance of its kernel is available for one "
            "hidden layer, one output and a symmetric readout"
        )
        return Constants(reason, drift, reason, drift)
    found = first_order_mean_square(net, flow, x, times, key=key)
    about = _root(found.total, found.total_error, -0.5)
    still = np.ones_like(times)
    kernel = _root(found.kernel * still, found.kernel_error * still, -0.5)
    return Constants(kernel, drift, about, drift)
