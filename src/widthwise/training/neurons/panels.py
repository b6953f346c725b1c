r"""Volterra equations of the linear flow on geometric panels of time, by Radau IIA collocation.

A deviation g(t) that is forced by H(t) and damped by the tangent kernel solves

    g(t) + ∫_0^t Θ g_X(s) ds = H(t),        H(0) = 0,

test rows being driven by the train rows. Everything here is a sum of e^{−λs} times polynomials of
s, resolved by few nodes on the panels [0, 1], [1, ρ], [ρ, ρ²], … in units of 1/λ_max, with a panel
edge at every requested time. With C_kl = ∫_0^{s_k} ℓ_l the integrals of the Lagrange polynomials of
the c Radau nodes of a panel, integrals are C times values, and in the eigenbasis of Θ_XX a panel
costs one c × c solve per eigenvalue,

    (1 + λ C) g = H − H(start) + g(start).

The method is L-stable: no stiff eigenvalue restricts it, and an eigenvalue 0 is no special case.
Its stage order is c; the error is that of interpolation on a panel (Hairer and Wanner, *Solving
Ordinary Differential Equations II*, §IV.5).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import roots_jacobi

_MERGED = 1.15  # no panel shorter than 15 % of the time it starts at precedes a requested time


@dataclass(frozen=True, eq=False)
class Panels:
    """Nodes of all panels up to the last requested time, and what is tabulated at them.

    Args:
        nodes: s, the last node of a panel being its end.
        integrals: C of every panel, in units of time.
        decay: e^{−λs}.
        primitive: (1 − e^{−λs})/λ, the integral of the decay.
        solve: (1 + λC)^{-1} for every eigenvalue λ.
        response: Θ_{*X} Q, rows of test points in the eigenbasis of the train points.
        ends: the panel that ends at each of the requested times.
    """

    nodes: Float[np.ndarray, "panels stages"]
    integrals: Float[np.ndarray, "panels stages stages"]
    decay: Float[np.ndarray, "panels stages train"]
    primitive: Float[np.ndarray, "panels stages train"]
    solve: Float[np.ndarray, "panels train stages stages"]
    response: Float[np.ndarray, "test train"]
    ends: Int[np.ndarray, " times"]

    def integrate(
        self, rates: Float[np.ndarray, "panels stages *rest"]
    ) -> Float[np.ndarray, "panels stages *rest"]:
        """∫_0^s of a function given at all nodes, at all nodes."""
        out = np.empty_like(rates)
        start = np.zeros(rates.shape[2:], rates.dtype)
        for k, C in enumerate(self.integrals.astype(rates.dtype)):
            out[k] = start + np.tensordot(C, rates[k], 1)
            start = out[k, -1]
        return out

    def respond(
        self, forcing: Float[np.ndarray, "panels stages *rest rows"]
    ) -> Float[np.ndarray, "panels stages *rest rows"]:
        """The solution g of the Volterra equation for an integrated forcing H.

        Args:
            forcing: H at all nodes. The last axis holds the train rows in the eigenbasis, then
                (all or none of) the test rows.
        """
        m, kind = self.decay.shape[-1], forcing.dtype
        tested = forcing.shape[-1] > m
        out = np.empty_like(forcing)
        start = np.zeros(forcing.shape[2:], kind)
        for k, C in enumerate(self.integrals.astype(kind)):
            right = forcing[k] + start
            solve = self.solve[k].astype(kind)
            out[k, ..., :m] = np.einsum("ikl,l...i->k...i", solve, right[..., :m])
            if tested:
                driven = out[k, ..., :m] @ self.response.astype(kind).T
                out[k, ..., m:] = right[..., m:] - np.tensordot(C, driven, 1)
            start = out[k, -1] - forcing[k, -1]
        return out


def panels(
    eigenvalues: Float[np.ndarray, " train"],
    response: Float[np.ndarray, "test train"],
    times: Float[np.ndarray, " times"],
    *,
    stages: int = 4,
    growth: float = 3.0,
) -> Panels:
    """Panels up to the largest of the positive ``times``.

    Args:
        eigenvalues: of Θ on the train points.
        response: Θ_{*X} Q.
        times: requested times, finite and positive.
        stages: c, nodes of a panel.
        growth: ρ, ratio of successive panel ends.
    """
    edges = _edges(float(eigenvalues.max(initial=0.0)), times, growth)
    x, C = radau(stages)
    length = np.diff(edges)
    nodes = edges[:-1, None] + length[:, None] * x
    integrals = length[:, None, None] * C
    rate = eigenvalues * nodes[..., None]
    live = rate > 1e-12
    primitive = np.where(
        live, -np.expm1(-rate) / np.where(live, eigenvalues, 1.0), nodes[..., None]
    )
    solve = np.linalg.inv(np.eye(stages) + eigenvalues[:, None, None] * integrals[:, None])
    ends = np.searchsorted(edges[1:], times * (1 - 1e-12))
    return Panels(nodes, integrals, np.exp(-rate), primitive, solve, response, ends)


def radau(
    stages: int,
) -> tuple[Float[np.ndarray, " stages"], Float[np.ndarray, "stages stages"]]:
    """Radau IIA nodes in (0, 1], the last being 1, and C_kl = ∫_0^{x_k} ℓ_l."""
    inner = roots_jacobi(stages - 1, 1.0, 0.0)[0] if stages > 1 else np.zeros(0)
    x = np.append(np.sort(inner), 1.0)
    legendre = np.polynomial.legendre
    integrals = np.stack(
        [legendre.legval(x, legendre.legint(row, lbnd=-1)) for row in np.eye(stages)], 1
    )
    return (x + 1) / 2, integrals @ np.linalg.inv(legendre.legvander(x, stages - 1)) / 2


def _edges(largest: float, times: np.ndarray, growth: float) -> np.ndarray:
    edges = [0.0]
    step = 1 / largest if largest > 0 else np.inf
    for t in np.unique(times).tolist():
        while step < t / _MERGED:
            edges.append(step)
            step *= growth
        edges.append(t)
        step = max(step, t * growth) if np.isfinite(step) else step
    return np.array(edges)
