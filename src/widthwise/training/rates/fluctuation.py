r"""Second moments of the drift where the mean of O₃ vanishes: one hidden layer, one output.

Then n T = G + o(1), jointly Gaussian with F, and n U = U₂ + o(1), so that to leading order

    n (Θ_n(t) − Θ_n(0)) = G P + U₂ W,    P = e_t[0, λ] r,    W = e_t[0, λ, λ + λ′] r r,
    n (f_t − f_lin)     = w_T G r r + w_U U₂ r r r,

r = F − y and w the weights of the solution map. Given F, with C = n Cov(T, F) and S = n² Cov(T, T),

    G ~ N(C K⁻¹ F, S − C K⁻¹ Cᵀ),

and a mean square is ‖mean‖² plus a form of the residuals in that covariance, averaged over F. C and
U₂ are blocks. S is that of one neuron, T = s² A (…) + A³ (…) in the readout weight A, of
which the moments A², A⁴, A⁶ are exact; it is contracted to the form wanted before it is averaged
over preactivations. Both averages are over randomized Sobol points, whose copies give the error.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.special import ndtri
from scipy.stats import qmc

from widthwise.limit.first_layer import sobol
from widthwise.limit.first_layer.projection import project
from widthwise.model.architecture import MLP
from widthwise.training.blocks.value import Blocks
from widthwise.training.dynamics import GradientFlow
from widthwise.training.solution_map import SolutionMap
from widthwise.training.terms import TERMS

_MOST_TRAIN = 12
_WORK = 4e9  # multiplications of one average over neurons
_CHUNK = 2e6  # numbers at once
_FIELDS = 9  # log₂ of the initial outputs drawn per copy
_READOUT = 6
_TERM = {term.name: term for term in TERMS}


class SecondMoments(NamedTuple):
    """Independent estimates of n² E of the two squared norms."""

    drift: Float[np.ndarray, "replicates times"]
    outputs: Float[np.ndarray, "replicates times"]


def unavailable(net: MLP, train: int) -> str:
    """Why there are no second moments of O₃ for a network here; empty if there are."""
    if net.depth != 1 or net.outputs != 1 or net.parametrization != "ntk":
        return (
            "the covariance of O3, which the drift takes where the mean of O3 vanishes, is known "
            "for one hidden layer and one output in the NTK parametrization; got depth="
            f"{net.depth}, outputs={net.outputs}, parametrization={net.parametrization!r}"
        )
    if train > _MOST_TRAIN:
        return (
            f"the covariance of O3 is averaged for at most {_MOST_TRAIN} train points, got {train}"
        )
    readout = net.weight_law[1]
    if readout.highest_moment < _READOUT:
        return (
            f"the covariance of O3 takes the moment of order {_READOUT} of the readout law; "
            f"{readout.name} has moments up to order {readout.highest_moment:g}"
        )
    return ""


def second_moments(
    net: MLP,
    x: Float[np.ndarray, "points inputs"],
    blocks: Blocks,
    solution: SolutionMap,
    dynamics: GradientFlow,
) -> SecondMoments:
    """n² E ‖Θ_n(t) − Θ_n(0)‖² and n² E ‖f_t − f_lin‖² at leading order.

    Args:
        net: one hidden layer, one output, of vanishing E O₃, for which :func:`unavailable` is "".
        x: all points, train first.
        blocks: its blocks on the points.
        solution: its solution map about Θ_∞.
        dynamics: the times.
    """
    given = _Given(blocks, solution, dynamics)
    drift, outputs = [], []
    projection = project(net.at_width(np.inf, x.shape[1]), x)
    for seed, z in enumerate(sobol.samples(projection, _size(given))):
        third = _Third(net, x, z, solution.train)
        weights = given.weights_third
        kernel = third.gram(lambda T: np.moveaxis(T, -1, 1).reshape(len(T), solution.train, -1))
        rows = [third.gram(given.responses(w)) for w in weights]
        found = given.average(kernel, np.stack(rows), seed)
        drift.append(found[0])
        outputs.append(found[1])
    return SecondMoments(np.array(drift), np.array(outputs))


def _size(given: "_Given") -> int:
    rows, times = len(given.solution.ntk), len(given.weights_third)
    each = times * rows * given.solution.train**4
    return int(np.clip(_WORK / (16 * each), 1 << 9, 1 << 14))


class _Third:
    """O₃ of single neurons on a sample of preactivations: a T₁ + a³ T₃, moments of a exact."""

    def __init__(self, net: MLP, x: np.ndarray, z: np.ndarray, train: int):
        law, self.z, self.m = net.weight_law[1], z, train
        self.moments = [law.moment(r) for r in (2, 4, 6)]
        self.std, self.ratio = float(net.weight_std[1]), net.ratios[0]
        bias = float(net.bias_std[0]) ** 2 if net.has_bias(0) else 0.0
        self.k = float(net.weight_std[0]) ** 2 * (x @ x.T) / x.shape[1] + bias
        first = net.activation.derivative()
        self.functions = [net.activation, first, net.activation.derivative(2)]

    def parts(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """T₁ and T₃ (neurons, points, train, train)."""
        m, k = self.m, self.k
        f, g, h = (np.asarray(function(jnp.asarray(z))) for function in self.functions)
        kx, kb = k[:, :m], k[:m, :m]

        def product(u, v, w):
            """u_x v_β w_γ."""
            return u[:, :, None, None] * v[:, None, :m, None] * w[:, None, None, :m]

        pair, first, other = kx[None, :, :, None], kx[None, :, None, :], kb[None, None]
        one = 2 * product(g, g, f) * pair + product(g, f, g) * first + product(f, g, g) * other
        three = pair * (product(h, g, g) * first + product(g, h, g) * other)
        return self.std**3 * one, self.std**3 * three

    def gram(self, contract) -> np.ndarray:
        """S contracted on both sides: the mean over neurons of Σ_a v_a v_aᵀ, v = contract(T).

        Args:
            contract: linear, (neurons, points, train, train) → (neurons, ..., k) with one axis of
                columns k first among those behind the neurons.
        """
        total, size = 0.0, max(1, int(_CHUNK / (len(self.k) * self.m**3)))
        second, fourth, sixth = self.moments
        for start in range(0, len(self.z), size):
            one, three = (contract(T) for T in self.parts(self.z[start : start + size]))
            one, three = (np.moveaxis(v, 1, 0).reshape(v.shape[1], -1) for v in (one, three))
            mixed = one @ three.T
            total = total + second * one @ one.T + fourth * (mixed + mixed.T)
            total = total + sixth * three @ three.T
        return np.asarray(total) / (len(self.z) * self.ratio**2)


class _Given:
    """What the averages over F take, with F = V ξ on the train rows and ξ standard normal."""

    def __init__(self, blocks: Blocks, solution: SolutionMap, dynamics: GradientFlow):
        self.solution, m = solution, solution.train
        values, vectors = np.linalg.eigh(blocks.nngp[:m, :m])
        kept = values > 1e-12 * values[-1]
        self.V = vectors[:, kept] * np.sqrt(values[kept])
        whitened = vectors[:, kept] / np.sqrt(values[kept])
        C, U = blocks.get("TF", 2), blocks.get("U", 2)
        rows = len(solution.ntk)
        C = np.zeros((rows, m, m, rows)) if C is None else C
        U = np.zeros((rows, m, m, m)) if U is None else U
        self.C, self.U = C[..., :m] @ whitened, U
        lam = solution.eigenvalues
        self.pull = dynamics.divided_differences(np.stack([0 * lam, lam], -1))
        k, l = np.meshgrid(lam, lam, indexing="ij")
        self.pair = dynamics.divided_differences(np.stack([0 * k, k, k + l], -1))
        self.weights_third = solution.weights(_TERM["T"], dynamics)
        weights_fourth = solution.weights(_TERM["U"], dynamics)
        forced = solution.modes(self.C, "rtt")[solution.forced]
        B = solution.channels
        self.third = np.einsum("xc,tcjl,cjla->txjla", B, self.weights_third, forced, optimize=True)
        forced = solution.modes(U, "rttt")[solution.forced]
        self.fourth = np.einsum("xc,tcjkl,cjkl->txjkl", B, weights_fourth, forced, optimize=True)

    def responses(self, weights: np.ndarray):
        """T ↦ w T: (neurons, modes², rows)."""

        def contract(T: np.ndarray) -> np.ndarray:
            forced = self.solution.modes(T, "rtt", first=1)[:, self.solution.forced]
            found = np.einsum(
                "xc,ncjl->njlx", self.solution.channels, weights * forced, optimize=True
            )
            return found.reshape(len(T), -1, found.shape[-1])

        return contract

    def average(
        self, kernel: np.ndarray, rows: np.ndarray, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The two mean squares over initial outputs, at every time."""
        engine = qmc.Sobol(self.V.shape[1], rng=np.random.default_rng(seed))
        xi = ndtri(np.clip(engine.random_base2(_FIELDS), 1e-12, 1 - 1e-12))
        Q = self.solution.eigenvectors
        r = (xi @ self.V.T - self.solution.y) @ Q
        drift, outputs = [], []
        for t in range(len(self.pull)):
            P = (self.pull[t] * r) @ Q.T
            W = np.einsum("nk,nl,kl,ak,bl->nab", r, r, self.pair[t], Q, Q, optimize=True)
            G = np.einsum("ijla,nl->nija", self.C, P, optimize=True)
            mean = np.einsum("nija,na->nij", G, xi) + np.einsum("ijkl,nkl->nij", self.U, W)
            spread = np.einsum("nk,kl,nl->n", P, kernel, P) - (G**2).sum((1, 2, 3))
            drift.append(np.mean((mean**2).sum((1, 2)) + spread))
            rr = (r[:, :, None] * r[:, None, :]).reshape(len(r), -1)
            G = np.einsum("xjla,nj,nl->nxa", self.third[t], r, r, optimize=True)
            mean = np.einsum("nxa,na->nx", G, xi)
            mean = mean + np.einsum("xjkl,nj,nk,nl->nx", self.fourth[t], r, r, r, optimize=True)
            spread = np.einsum("na,ab,nb->n", rr, rows[t], rr, optimize=True) - (G**2).sum((1, 2))
            outputs.append(np.mean((mean**2).sum(1) + spread))
        return np.array(drift), np.array(outputs)
