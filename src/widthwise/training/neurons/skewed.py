r"""What a skewed readout law adds: the order n^{-1/2}, and its products at order 1/n.

Let the law of the n initial neurons be μ + εν, ε = n^{-1/2}. The residuals are r₀ + ε r₁ + ε² r₂,
and with F = ν(h)

    f₁ = Resp[ν(h¹[r₀])] + C[r₀, r₀],      C[u, v] = Resp ½∫ T̄ (u·∫v + v·∫u),
    f₂ = Resp[ν(h¹[r₁]) + ν(h²[r₀]) + E h³[r₀]] + 2C[r₀, r₁].

f₁ is quadratic in ν, f₁ = c + ν(ℓ₁) + ½ν²(ℓ₂): with g_q[v] = Resp[h¹_q[v] − E h¹[v]], the field
r_Y = −e^{−Θs}y, and neurons standing for the fields e^{−Θs}h they start,

    ℓ₁(q) = g_q[r_Y] + 2C[r_Y, q],      ℓ₂(p, q) = g_p[q] + g_q[p] + 2C[p, q],
    M = E f₁ = C[r_Y, r_Y] + E_q{C[q, q] + g_q[q]}.

So the mean and covariance have at order n^{-1/2} the coefficients M and sym E(A_t h) ⊗ ℓ₁, and at
order 1/n, beyond what is even in a (:mod:`.programs`),

    m₁ += E g_q[2C[r_Y, q]] + 2E C[q, ℓ₁(q)] + 2C[r_Y, M],
    K₁ += odd part of E ℓ₁ℓ₁ᵀ + ½E ℓ₂ℓ₂ᵀ
        + sym E (A_t h_p) ⊗ { g_q[ℓ₂(p, q)] + 2C[q, ℓ₂(p, q)] + 2C[r_Y, ℓ₁(p)] + g_p[M] + 2C[p, M]
                              + C[p, p] },

each a product of two of the averages of :mod:`.odd_tensors`, the last with the third cumulant of h.
F and q have the same second moments, K, so q may stand for F, output bias included. Sums are taken
at the nodes of :mod:`.panels` in the eigenbasis of Θ. One factor of a product comes from other
neurons than the other, so the estimate is unbiased.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from widthwise.training.neurons.engine import Terms
from widthwise.training.neurons.odd_tensors import OddTensors
from widthwise.training.neurons.panels import Panels
from widthwise.training.neurons.problem import Problem

BLOCK = 1 << 24  # numbers of an array of the fields of a block


class Fields(NamedTuple):
    """f₁ averaged against nothing, against h_y, and as a map of h; at all nodes.

    Args:
        mean: M.
        outputs: E h_y ℓ₁, indices (y, rows).
        forced: E h_y g[r_Y], the part of it without C.
        linear: 2C[r_Y, ·] of every train direction, indices (train, rows).
    """

    mean: Float[np.ndarray, "panels stages points"]
    outputs: Float[np.ndarray, "panels stages points points"]
    forced: Float[np.ndarray, "panels stages points points"]
    linear: Float[np.ndarray, "panels stages train points"]


@dataclass(frozen=True, eq=False)
class Skewed:
    """The odd part of the law for one problem, on one grid of time."""

    of: Problem
    times: Float[np.ndarray, " times"]
    grid: Panels
    dtype: np.dtype

    @cached_property
    def _nngp(self) -> np.ndarray:
        K = self.of.rotate(self.of.flow.nngp)
        return self.of.rotate(K.T).T.astype(self.dtype)

    @cached_property
    def _labels(self) -> np.ndarray:
        return (self.of.vectors.T @ self.of.labels).astype(self.dtype)

    @cached_property
    def _decay(self) -> np.ndarray:
        return self.grid.decay.astype(self.dtype)

    @cached_property
    def _primitive(self) -> np.ndarray:
        return self.grid.primitive.astype(self.dtype)

    def _solve(self, rates: np.ndarray) -> np.ndarray:
        return self.grid.respond(self.grid.integrate(rates))

    def fields(self, tensors: OddTensors) -> Fields:
        """Everything linear in the tensors."""
        T, N, _ = tensors
        m = self.of.train
        e, E, y = self._decay, self._primitive, self._labels
        K = self._nngp[:m, :m]
        second = np.outer(y, y) + K
        mean = np.einsum("kcj,ijl,jl,kcl->kci", e, T, second, E, optimize=True)
        mean -= np.einsum("jij,kcj->kci", N[:m], e)
        # T̄ with one slot closed by y, the other a train direction d with its field
        early = np.einsum("idl,kcl->kcdi", T, -E * y, optimize=True) * e[..., None]
        late = np.einsum("ijd,kcj->kcdi", T, -e * y, optimize=True) * E[..., None]
        linear = self._solve(early + late)
        forced = self._solve(np.einsum("yij,kcj->kcyi", N, e * y, optimize=True))
        outputs = forced + np.einsum("dy,kcdi->kcyi", self._nngp[:m], linear, optimize=True)
        return Fields(self._solve(mean), outputs, forced, linear)

    def half_order(self, fields: Fields) -> Terms:
        """The coefficients of n^{-1/2}."""
        at = self.grid.ends
        mean = self.of.back(np.asarray(fields.mean[at, -1], float))
        return Terms(mean, self._with_outputs(fields.outputs[at, -1]), np.zeros_like(mean))

    def products(self, outer: OddTensors, inner: OddTensors) -> Terms:
        """The odd part of the coefficients of 1/n, from tensors of independent neurons."""
        first, second = self.fields(outer), self.fields(inner)
        mean = self.grid.respond(self.grid.integrate(self._mean_rate(outer, second)))
        at = self.grid.ends
        crossed = [
            self._crossed(outer, inner, second, slice(low, low + step))
            for low, step in self._blocks()
        ]
        covariance = self._with_outputs(np.concatenate(crossed, 1))
        squares = self._back(self._linear_square(first, second) + self._pair_square(outer, inner))
        return Terms(
            self.of.back(np.asarray(mean[at, -1], float)),
            covariance + squares,
            np.diagonal(squares, axis1=1, axis2=2),
        )

    def _mean_rate(self, outer: OddTensors, inner: Fields) -> np.ndarray:
        T, N, _ = outer
        m = self.of.train
        e, E, y = self._decay, self._primitive, self._labels
        moved, M = inner.outputs[..., :m, :m], inner.mean[..., :m]
        whole = self.grid.integrate(moved)
        Y = e[..., None] * whole + np.swapaxes(moved, -1, -2) * E[..., None, :]
        Y -= (e * y)[..., None] * self.grid.integrate(M)[..., None, :]
        Y -= M[..., None] * (E * y)[..., None, :]
        rate = _contract(Y, T)
        return rate - np.einsum("jil,kcjl->kci", N[:m], inner.linear[..., :m], optimize=True)

    def _blocks(self) -> Iterator[tuple[int, int]]:
        m, p = self.of.train, self.of.points
        step = max(1, BLOCK // (self.grid.nodes.size * m * m))
        for low in range(0, p, step):
            yield low, min(step, p - low)

    def _crossed(
        self, outer: OddTensors, inner: OddTensors, fields: Fields, rows: slice
    ) -> np.ndarray:
        """E h_y ⊗ {…} for a block of y, before A_t: (times, y, points)."""
        m = self.of.train
        e, E, y = self._decay, self._primitive, self._labels
        K, started = self._nngp[:m, :m], self._nngp[rows, :m]
        T, N, _ = outer
        moved, M = fields.outputs[..., rows, :m], fields.mean[..., :m]
        late = self.grid.integrate(M)
        # ℓ₂(y, q) as a map of h_q, and its covariance with h_q: indices (y, h_q, rows)
        linear = self._pair_map(inner, rows)
        joint = np.einsum("kcydl,dj->kcyjl", linear, K, optimize=True)
        joint += self._solve(
            -np.einsum("jid,kcd,yd->kcyji", inner.kernel[:m, :m], e, started, optimize=True)
        )
        Y = e[..., None, :, None] * self.grid.integrate(joint)
        Y += np.swapaxes(joint, -1, -2) * E[..., None, None, :]
        Y -= moved[..., None] * (E * y)[..., None, None, :]
        Y -= (e * y)[..., None, :, None] * self.grid.integrate(moved)[..., None, :]
        Y += (e[..., None, :] * started)[..., None] * late[..., None, None, :]
        Y += M[..., None, :, None] * (E[..., None, :] * started)[..., None, :]
        Y += e[..., None, :, None] * E[..., None, None, :] * inner.outputs[rows]
        rate = _contract(Y, T)
        rate -= np.einsum("jil,kcyjl->kcyi", N[:m], linear, optimize=True)
        rate -= np.einsum("yij,kcj->kcyi", N[rows], M, optimize=True)
        return self._solve(rate)[self.grid.ends, -1]

    def _pair_map(self, tensors: OddTensors, rows: slice) -> np.ndarray:
        """E h_y ℓ₂(y, ·) without the part of κ of the second neuron, on train rows."""
        T, N, _ = tensors
        m = self.of.train
        e, E, started = self._decay, self._primitive, self._nngp[rows, :m]
        early = e[..., None, :] * started
        late = E[..., None, :] * started
        rate = np.einsum("idl,kcyl->kcydi", T[:m], late, optimize=True) * e[..., None, :, None]
        rate += np.einsum("ijd,kcyj->kcydi", T[:m], early, optimize=True) * E[..., None, :, None]
        rate -= np.swapaxes(N[rows, :m], 1, 2) * e[..., None, :, None]
        return self._solve(rate)

    def _linear_square(self, first: Fields, second: Fields) -> np.ndarray:
        """The odd part of E ℓ₁ℓ₁ᵀ."""
        at, m = self.grid.ends, self.of.train
        K = self._nngp[:m, :m]
        one, two = first.linear[at, -1], second.linear[at, -1]
        crossed = np.swapaxes(first.forced[at, -1][:, :m], 1, 2) @ two
        crossed += 0.5 * np.swapaxes(one, 1, 2) @ K @ two
        return crossed + np.swapaxes(crossed, 1, 2)

    def _pair_square(self, first: OddTensors, second: OddTensors) -> np.ndarray:
        """The odd part of ½E ℓ₂ℓ₂ᵀ."""
        m, p = self.of.train, self.of.points
        K = self._nngp[:m, :m]
        g, C = self._pair_ends(first)
        g2, C2 = self._pair_ends(second)
        turned = np.swapaxes(g2, 1, 2)
        twice = np.einsum("ab,tbcx->tacx", K, C2, optimize=True)
        crossed = 0.5 * _product(g, turned, m, p)
        crossed += _product(g, np.swapaxes(twice, 1, 2), m, p)
        through = np.einsum("tabx,bc->tacx", C, K, optimize=True)
        crossed += 0.25 * _product(through, twice, m, p)
        return crossed + np.swapaxes(crossed, 1, 2)

    def _pair_ends(self, tensors: OddTensors) -> tuple[np.ndarray, np.ndarray]:
        """E h_b g[d] and 2C[b, d] at the requested times: (times, b, d, points)."""
        T, N, _ = tensors
        m = self.of.train
        e, E = self._decay, self._primitive
        g, C = [], []
        for b in range(m):
            forced = -e[..., None] * N[b].T
            drift = e[..., None] * E[..., b, None, None] * T[:, :, b].T
            drift += E[..., None] * e[..., b, None, None] * T[:, b].T
            both = self._solve(np.stack([forced, drift], 2))[self.grid.ends, -1]
            g.append(both[:, 0])
            C.append(both[:, 1])
        return np.stack(g, 1), np.stack(C, 1)

    def _with_outputs(self, crossed: np.ndarray) -> np.ndarray:
        """Sym (A_t h) ⊗ X for X against rotated h, rows rotated."""
        back = self.of.back(np.asarray(crossed, float))
        back = np.swapaxes(self.of.back(np.swapaxes(back, 1, 2)), 1, 2)
        product = self.of.flow.propagator(self.times) @ back
        return product + np.swapaxes(product, 1, 2)

    def _back(self, crossed: np.ndarray) -> np.ndarray:
        back = self.of.back(np.asarray(crossed, float))
        return np.swapaxes(self.of.back(np.swapaxes(back, 1, 2)), 1, 2)


def _contract(Y: np.ndarray, T: np.ndarray) -> np.ndarray:
    """Σ_jl T̄_ijl Y_jl."""
    flat = Y.reshape(*Y.shape[:-2], -1)
    return flat @ T.reshape(len(T), -1).T


def _product(left: np.ndarray, right: np.ndarray, m: int, p: int) -> np.ndarray:
    """Σ_bd left[b, d, x] right[b, d, x']."""
    times = len(left)
    return np.swapaxes(left.reshape(times, m * m, p), 1, 2) @ right.reshape(times, m * m, p)
