"""Networks without seeds: a fixed law of neurons, perturbed by a fixed signed measure.

Instead of n random neurons take μ_n = μ + ν/√n, μ uniform on a few fixed u times a rule in a, ν of
either sign. The flow of the weighted neurons, θ̇_i = −n^{−1/2} Σ_β ∇h(θ_i, x_β) r_β, is that of
f = √n Σ_i w_i h(θ_i, x) in the parameters θ_i √(n w_i). Every deviation is then a smooth function
of n^{−1/2}, and its slope in n is a number without scatter.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

X = np.array([[-1.0], [0.3], [1.2]])
X_TEST = np.array([[-0.4], [2.0]])
Y = np.array([1.0, -1.0, 0.5])
ALL = np.concatenate([X, X_TEST])
RULES = {
    "symmetric": (np.sqrt([3.0, 0.0, 3.0]) * [-1, 0, 1], np.array([1.0, 4.0, 1.0]) / 6),
    "skewed": (np.array([2.0, -0.5]), np.array([0.2, 0.8])),  # E a³ = 1.5
}


class MeanField(eqx.Module):
    """n neurons distributed as μ + ν/√n; ``parameters`` are those at initialization."""

    phi: object = eqx.field(static=True)
    n: jax.Array
    weights: jax.Array

    def __call__(self, parameters, x):
        a, u = (p / s for p, s in zip(parameters, self.roots, strict=True))
        features = jnp.concatenate([1.5 * x, jnp.full((len(x), 1), 0.5)], 1)
        return jnp.sqrt(self.n) * self.phi(features @ u.T) @ (self.weights * a)

    @property
    def roots(self):
        root = jnp.sqrt(self.n * self.weights)
        return root, root[:, None]


def mean_field(phi, law, n, *, neurons=40, seed=0, size=3.0):
    """The function and its parameters at initialization; of size 0, μ itself.

    ν has density q in μ, drawn from the seed and then standardized: μ(q) = 0, so that the perturbed
    measure is a probability, and μ(q²) = size². Much smaller, what does not depend on ν takes over
    in high orders: there the coefficient of n^{−3/2} is proportional to ν, that of n^{−2} is not.
    """
    u = np.random.default_rng(6).standard_normal((neurons, 2))
    values, probabilities = RULES[law]
    a, u = np.repeat(values, neurons), np.tile(u, (len(values), 1))
    mu = np.repeat(probabilities, neurons) / neurons
    nu = np.random.default_rng(seed).standard_normal(len(mu))
    nu -= mu @ nu
    nu *= size / np.sqrt(mu @ nu**2)
    net = MeanField(phi, jnp.asarray(float(n)), jnp.asarray(mu * (1 + nu / np.sqrt(n))))
    return net, (jnp.asarray(a) * net.roots[0], jnp.asarray(u) * net.roots[1])


def limit_ntk(phi, law):
    """Θ_∞ = μ(κ) between all points and the train points."""
    net, parameters = mean_field(phi, law, 1, size=0.0)
    rows = jax.jit(jax.jacrev(lambda p: net(p, jnp.asarray(ALL))))(parameters)
    J = np.concatenate([np.asarray(leaf).reshape(len(ALL), -1) for leaf in rows], 1)
    return J @ J[: len(X)].T


def slopes(widths, errors):
    """Between consecutive widths."""
    return np.diff(np.log(errors)) / np.diff(np.log(widths))


def limiting_slope(widths, errors):
    """As n → ∞: local slopes are s + c n^{−1/2} + O(1/n), and widths a factor 4 apart halve c's."""
    local = slopes(widths, errors)
    return 2 * local[-1] - local[-2]


@eqx.filter_jit
def trained(net, parameters, plan, *, single=True):
    """Outputs on all points, (times, points), and parameters, after really training."""
    y = jnp.asarray(Y if single else Y[:, None])

    def velocity(parameters):
        f, back = jax.vjp(lambda p: net(p, jnp.asarray(X)), parameters)
        return jax.tree.map(jnp.negative, back(f - y)[0])

    return plan.integrate(velocity, lambda p: (net(p, jnp.asarray(ALL)), p), parameters)
