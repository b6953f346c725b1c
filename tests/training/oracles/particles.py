"""An oracle: the law through 1/n of networks whose neurons come from finitely many atoms.

The empirical measure of n neurons is μ + εν, ε = n^{-1/2}, with ν Gaussian at leading order,
Cov ν = diag w − wwᵀ. The weighted gradient flow of the atoms is integrated for given ν and ε and
fitted by a polynomial in ε, f₀ + ε f₁ + ε² f₂, whose coefficients are polynomials in ν of degree at
most 3; a cubature of degree 5 averages them exactly, and the third cumulant of ν adds
E (f₀ linear) ⊗ (f₁ quadratic) over single atoms.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

_EPSILON = 0.004 * np.array([-4, -3, -2, -1, 1, 2, 3, 4])


def cubature(d):
    """Nodes and weights for the standard normal law in d dimensions, of degree 5 (Stroud)."""
    nodes, weights = [np.zeros(d)], [2 / (d + 2)]
    for i in range(d):
        for sign in (1, -1):
            nodes.append(sign * np.sqrt(d + 2) * np.eye(d)[i])
            weights.append((4 - d) / (2 * (d + 2) ** 2))
            for j in range(i):
                for other in (1, -1):
                    nodes.append(
                        np.sqrt((d + 2) / 2) * (sign * np.eye(d)[i] + other * np.eye(d)[j])
                    )
                    weights.append(1 / (d + 2) ** 2)
    return np.array(nodes), np.array(weights)


@dataclass
class Particles:
    """Atoms (a, u) of weight w; features x̃ of all points, train first."""

    phi: object
    scale: float
    bias_std: float
    a: np.ndarray
    u: np.ndarray
    w: np.ndarray
    features: np.ndarray
    y: np.ndarray

    def outputs(self, times, nu, bias, epsilon, steps=80):
        """f at the times for one ν, output bias and ε."""
        x, m = jnp.asarray(self.features), len(self.y)

        def h(a, u):
            return a[:, None] * self.scale * self.phi(u @ x.T)

        start = h(self.a, self.u)
        bias = self.bias_std * bias

        def value(state):
            a, u, b = state
            now = h(a, u)
            return self.w @ (now - start) / epsilon + nu @ now + b

        def rate(state):
            a, u, _ = state
            r = value(state)[:m] - self.y
            slope = jax.grad(lambda s: (h(*s)[:, :m] @ r).sum())((a, u))
            return -epsilon * slope[0], -epsilon * slope[1], -(self.bias_std**2) * r.sum()

        def step(state, dt):
            def moved(by, k):
                return jax.tree.map(lambda s, v: s + by * v, state, k)

            k1 = rate(state)
            k2 = rate(moved(dt / 2, k1))
            k3 = rate(moved(dt / 2, k2))
            k4 = rate(moved(dt, k3))
            k = jax.tree.map(lambda p, q, r, s: (p + 2 * q + 2 * r + s) / 6, k1, k2, k3, k4)
            return moved(dt, k), None

        state, found, before = (jnp.asarray(self.a), jnp.asarray(self.u), bias), [], 0.0
        for t in times:
            dts = jnp.full(steps, (t - before) / steps)
            state, _ = jax.lax.scan(step, state, dts)
            found.append(value(state))
            before = t
        return jnp.stack(found)

    def law(self, times):
        """Coefficients of the mean (order, times, points), of the covariance, and Var f₁."""
        covariance = np.diag(self.w) - np.outer(self.w, self.w)
        values, vectors = np.linalg.eigh(covariance)
        root = (vectors * np.sqrt(np.maximum(values, 0)))[:, 1:]
        d = root.shape[1]
        nodes, weights = cubature(d + 1)
        single = np.eye(len(self.w)) - self.w
        zero = np.zeros((1, len(self.w)))
        nus = np.concatenate([nodes[:, :d] @ root.T, zero, single, -single])
        biases = np.concatenate([nodes[:, d], np.zeros(1 + 2 * len(single))])
        run = jax.jit(
            jax.vmap(
                jax.vmap(lambda nu, b, e: self.outputs(times, nu, b, e), (None, None, 0)),
                (0, 0, None),
            )
        )
        f = np.asarray(run(nus, biases, _EPSILON))
        powers = np.linalg.inv(np.vander(_EPSILON, increasing=True))[:3]
        f = np.einsum("oe,netx->ontx", powers, f)
        cloud, (origin, plus, minus) = (
            f[:, : len(nodes)],
            (
                f[:, len(nodes)],
                f[:, len(nodes) + 1 : len(nodes) + 1 + len(single)],
                f[:, len(nodes) + 1 + len(single) :],
            ),
        )
        mean = np.einsum("n,ontx->otx", weights, cloud)
        centred = cloud - mean[:, None]

        def cov(i, j):
            return np.einsum("n,ntx,nty->txy", weights, centred[i], centred[j])

        linear = plus[0] - origin[0]
        quadratic = (plus[1] + minus[1]) / 2 - origin[1]
        third = np.einsum("q,qtx,qty->txy", self.w, linear, quadratic)
        second = cov(0, 2) + third
        first = cov(1, 1)
        orders = (
            cov(0, 0),
            cov(0, 1) + cov(1, 0),
            first + second + np.swapaxes(second, 1, 2),
        )
        return mean, np.stack(orders), np.diagonal(first, axis1=1, axis2=2)
