"""Networks that are really trained, by other code than the library's, and the data they see."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import widthwise as ww
from certify.held_against import hold, hold_against_limit
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
        x, self.labels = jnp.asarray(x), np.asarray(y)
        self.function = lambda theta: (net.apply(self._unravel(theta), x) - y).ravel()
        self.residual = jax.jit(self.function)
        self.jacobian = jax.jit(jax.jacrev(self.function))
        loss = lambda theta: 0.5 * jnp.sum(self.function(theta) ** 2)  # noqa: E731
        self.gradient = jax.jit(jax.grad(loss))

    def kernel(self, theta):
        J = np.asarray(self.jacobian(theta))
        return J @ J.T


def computed(net, parameters, x, y, certificate):
    """The iterates as the certificate computed them, up to the one it starts from."""
    at = evaluate(net, parameters, np.asarray(x), np.asarray(y).reshape(len(x), -1))
    way = itertools.islice(iterates(at, certificate.step), int(certificate.since) + 1)
    return [
        np.concatenate([part.ravel() for b in one.blocks for part in b if part is not None])
        for one in way
    ]


def assert_sound(net, parameters, x, y, certificate):
    """Train, and hold every number of a certificate against what happened."""
    way = () if certificate.from_start else computed(net, parameters, x, y, certificate)
    seen = hold(certificate, Trained(net, parameters, x, y), way=way)
    if certificate.limit_deviation is not None:
        seen["limit_deviation"] = hold_against_limit(certificate, net, x, seen)
    return seen


def network(kind="tanh", depth=1, outputs=1, bias=0.0, parametrization="ntk"):
    return ww.MLP(depth, kind, bias_std=bias, outputs=outputs, parametrization=parametrization)
