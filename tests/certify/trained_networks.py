"""Networks that are really trained, by other code than the library's, and the data they see."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from scipy.integrate import solve_ivp

import widthwise as ww
from widthwise.certify.evaluation import evaluate
from widthwise.certify.posterior.descent import iterates
from widthwise.model.architecture import Layer


def sphere(m, d):
    g = np.random.default_rng(1000)
    x = g.standard_normal((m, d))
    x *= np.sqrt(d) / np.linalg.norm(x, axis=1)[:, None]
    return x, g.choice([-1.0, 1.0], m)


def reference_parameters(n, d, seed=0):
    """One hidden layer without biases, drawn as the published reference numbers were."""
    g = np.random.default_rng(seed)
    weight, _, readout = g.standard_normal((n, d)), g.standard_normal(n), g.standard_normal(n)
    return Layer(weight, None), Layer(readout[None], None)


class Trained:
    """A network as a function of one flat vector, with its residual and Jacobian by autodiff."""

    def __init__(self, net, parameters, x, y):
        self.start, self._unravel = ravel_pytree(jax.tree.map(jnp.asarray, parameters))
        self.start = np.asarray(self.start)
        y = jnp.asarray(y).reshape(len(x), -1)
        x = jnp.asarray(x)
        self.function = lambda theta: (net.apply(self._unravel(theta), x) - y).ravel()
        self.residual = jax.jit(self.function)
        self.jacobian = jax.jit(jax.jacrev(self.function))
        loss = lambda theta: 0.5 * jnp.sum(self.function(theta) ** 2)  # noqa: E731
        self.gradient = jax.jit(jax.grad(loss))

    def kernel(self, theta):
        J = np.asarray(self.jacobian(theta))
        return J @ J.T

    def flow(self, end, count=15):
        """θ at ``count`` times up to ``end``, by DOP853 at tight tolerance."""
        times = np.concatenate([[0], np.geomspace(end / 1e3, end, count)])
        made = solve_ivp(
            lambda t, theta: -np.asarray(self.gradient(theta)),
            (0, end),
            self.start,
            method="DOP853",
            t_eval=times,
            rtol=1e-10,
            atol=1e-12,
        )
        return times, made.y.T

    def descent(self, step, count, way=()):
        """The iterates of gradient descent, those in ``way`` given and not computed again."""
        thetas = list(way) or [self.start]
        count -= len(thetas) - 1
        for _ in range(count):
            thetas.append(thetas[-1] - step * np.asarray(self.gradient(thetas[-1])))
        return np.arange(len(thetas)), np.array(thetas)

    def against(self, certificate, times, thetas, decay):
        """Measured movement, kernel change, deviation, and the worst |r|/(bound by the rate)."""
        theta0 = self.kernel(self.start)
        r = np.array([self.residual(theta) for theta in thetas])
        values, vectors = np.linalg.eigh(theta0)
        linear = (decay(values, times) * (vectors.T @ r[0])) @ vectors.T
        kernels = [np.linalg.norm(self.kernel(theta) - theta0, 2) for theta in thetas]
        late = times >= certificate.ntk_since
        self.initial, self.outputs = r[0], r
        return {
            "movement": max(np.linalg.norm(theta - self.start) for theta in thetas),
            "ntk_change": max(np.array(kernels)[late], default=0.0),
            "output_deviation": np.linalg.norm(r - linear, axis=1).max(),
            "residuals": np.linalg.norm(r, axis=1),
        }


def computed(net, parameters, x, y, certificate):
    """The iterates as the certificate computed them, up to the one it starts from."""
    at = evaluate(net, parameters, np.asarray(x), np.asarray(y).reshape(len(x), -1))
    way = itertools.islice(iterates(at, certificate.step), int(certificate.since) + 1)
    return [
        np.concatenate([part.ravel() for b in one.blocks for part in b if part is not None])
        for one in way
    ]


def assert_sound(net, parameters, x, y, certificate, end_factor=8.0):
    """Train, and hold every number of a certificate against what happened."""
    assert certificate.holds
    trained = Trained(net, parameters, x, y)
    smallest = np.linalg.eigvalsh(trained.kernel(trained.start))[0]
    if certificate.dynamics == "flow":
        end = max(end_factor / smallest, 1.5 * certificate.since)
        times, thetas = trained.flow(min(end, 400.0))
        decay = lambda values, t: np.exp(-values * t[:, None])  # noqa: E731
    else:
        count = int(min(max(certificate.since * 1.5, 100), 3000))
        way = () if certificate.from_start else computed(net, parameters, x, y, certificate)
        times, thetas = trained.descent(certificate.step, count, way)
        decay = lambda values, t: (1 - certificate.step * values) ** t[:, None]  # noqa: E731
    seen = trained.against(certificate, times, thetas, decay)
    slack = 1 + 1e-7
    assert seen["movement"] <= certificate.movement * slack
    assert seen["ntk_change"] <= certificate.ntk_change * slack
    if certificate.output_deviation is not None:
        assert seen["output_deviation"] <= certificate.output_deviation * slack + 1e-9
    if certificate.limit_deviation is not None:
        limit = np.kron(np.asarray(ww.limit_kernels(net, x).ntk), np.eye(net.outputs))
        values, vectors = np.linalg.eigh(limit)
        wide = (decay(values, times) * (vectors.T @ trained.initial)) @ vectors.T
        seen["limit_deviation"] = np.linalg.norm(trained.outputs - wide, axis=1).max()
        assert seen["limit_deviation"] <= certificate.limit_deviation * slack + 1e-9
    late = times >= certificate.since
    if late.sum() > 1:
        r, t = seen["residuals"][late], times[late] - times[late][0]
        fall = (
            np.exp(-certificate.rate * t)
            if certificate.dynamics == "flow"
            else (1 - certificate.rate) ** t
        )
        # what DOP853 leaves of a residual that has decayed, at its relative tolerance of 1e-10
        floor = 1e-8 + 1e-10 * seen["residuals"][0] * np.linalg.norm(trained.start)
        assert (r <= r[0] * fall * slack + floor).all()
    return seen


def network(kind="tanh", depth=1, outputs=1, bias=0.0, parametrization="ntk"):
    return ww.MLP(depth, kind, bias_std=bias, outputs=outputs, parametrization=parametrization)
