"""The neuron-by-neuron engine fed with all atoms of a law of neurons: no sampling error."""

from dataclasses import dataclass
from functools import reduce

import numpy as np
import pytest

import widthwise as ww
from training.oracles.particles import Particles, cubature
from widthwise.limit.first_layer.projection import project
from widthwise.limit.flow import LinearFlow
from widthwise.training.neurons import programs
from widthwise.training.neurons.engine import Draw, Engine, Maps, Terms
from widthwise.training.neurons.odd_tensors import odd_tensors
from widthwise.training.neurons.problem import Problem
from widthwise.training.neurons.sampling import readout_atoms
from widthwise.training.neurons.skewed import Skewed

X, Y = np.array([[-1.0], [0.3], [1.2]]), np.array([1.0, -1.0, 0.5])
POINTS = np.concatenate([X, [[-0.4], [2.0]]])
FEATURES = np.concatenate([1.5 * POINTS, np.full((5, 1), 0.5)], 1)
U, W = np.array([[1.1, -0.3], [-0.6, 0.9], [0.2, 1.4]]), np.array([0.3, 0.5, 0.2])
SKEWED = ww.laws.Discrete([2, -0.5], [0.2, 0.8])
TIMES = np.array([0.4, 1.0])


@dataclass
class Atoms:
    """Atoms u of weights w, with the sums over all of them; a has the law of the network."""

    u: np.ndarray
    w: np.ndarray

    @property
    def z(self):
        return self.u @ FEATURES.T

    def problem(self, net):
        """The problem whose kernels are the averages over the atoms."""
        phi, slope = (np.asarray(f(self.z)) for f in (net.activation, net.activation.derivative()))
        k = FEATURES @ FEATURES.T
        scale = net.weight_std[1] ** 2
        nngp = scale * (self.w * phi.T) @ phi + net.bias_std[1] ** 2
        ntk = nngp + scale * (self.w * slope.T) @ slope * k
        flow = LinearFlow(nngp, ntk[:, : len(X)], Y[:, None])
        return Problem(net, flow, project(net, POINTS))

    def even(self, of, times, cubic=programs.cubic, grid=(8, 2.0), kind="float64"):
        values, vectors = np.linalg.eigh(of.flow.nngp)
        kept = values > 1e-9 * values[-1]
        fields = vectors[:, kept] * np.sqrt(values[kept])
        # −ξ goes with ξ: one of the two, with the weight of both
        xi, weights = cubature(fields.shape[1])
        half = [i for i, x in enumerate(xi) if not any(np.allclose(x, -xi[j]) for j in range(1, i))]
        weights = np.where(np.abs(xi).max(1) > 0, 2.0, 1.0)[half] * weights[half]
        maps = Maps(np.eye(5), fields)
        engine = Engine(of, times, of.panels(times, *grid), maps, np.dtype(kind))
        draw = Draw(
            np.tile(self.z, (len(half), 1)),
            np.repeat(xi[half], len(self.w), 0),
            np.outer(weights, self.w).ravel(),
        )
        parts = [
            engine.total(program, a, [draw]).scaled(probability)
            for program in (programs.pairs, cubic)
            for a, probability in readout_atoms(of.fourth_moment)
        ]
        return reduce(Terms.__add__, parts)

    def odd(self, of, times, kind="float64"):
        skewed = Skewed(of, times, of.panels(times, 8, 2.0), np.dtype(kind))
        tensors = odd_tensors(of, np.eye(5), [(self.z, self.w)], skewed.dtype)
        return skewed.half_order(skewed.fields(tensors)), skewed.products(tensors, tensors)


@pytest.mark.parametrize(
    ("activation", "law", "bias"),
    [("softplus", SKEWED, 0.4), ("tanh", ww.laws.Rademacher(), 0.0)],
)
def test_all_orders_against_weighted_particles(activation, law, bias):
    net = ww.MLP(1, activation, (1.5, 1.2), (0.5, bias), weight_law=("gaussian", law))
    atoms = Atoms(U, W)
    of = atoms.problem(net)
    a, probability = law.quadrature(1)
    particles = Particles(
        phi=net.activation.function,
        scale=1.2,
        bias_std=bias,
        a=np.repeat(a, 3),
        u=np.tile(U, (len(a), 1)),
        w=np.repeat(probability, 3) * np.tile(W, len(a)),
        features=FEATURES,
        y=Y,
    )
    mean, covariance, variance = particles.law(TIMES)
    assert of.flow.mean(TIMES)[..., 0] == pytest.approx(mean[0], abs=1e-8)
    assert of.flow.covariance(TIMES) == pytest.approx(covariance[0], abs=1e-8)
    even, (half, products) = atoms.even(of, TIMES), atoms.odd(of, TIMES)
    assert half.mean == pytest.approx(mean[1], abs=1e-7)
    assert half.covariance == pytest.approx(covariance[1], abs=1e-7)
    assert even.mean + products.mean == pytest.approx(mean[2], abs=1e-6)
    assert even.covariance + products.covariance == pytest.approx(covariance[2], abs=1e-6)
    assert even.first_order + products.first_order == pytest.approx(variance, abs=1e-6)
    odd = min(np.abs(products.mean).max(), np.abs(products.covariance).max())
    assert odd > 0.05 if law is SKEWED else odd < 1e-12


@pytest.fixture(scope="module")
def reference():
    """Config R: tanh and Gaussian laws at t = 0.5, by a fine trapezoid rule."""
    net = ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.0))
    w, b = np.meshgrid(np.arange(-46, 47) * 0.14, np.arange(-14, 15) * 0.46, indexing="ij")
    u = np.stack([w.ravel(), b.ravel()], 1)
    weights = np.exp(-(u**2).sum(1) / 2)
    kept = weights > 1e-9
    atoms = Atoms(u[kept], weights[kept] / weights[kept].sum())
    of = atoms.problem(net)
    return of, atoms, atoms.even(of, np.array([0.5]), grid=(6, 2.0))


def test_reference_coefficients(reference):
    """Numbers of the dense expansion by tensors, printed to six digits."""
    found = reference[2]
    mean = [-0.227932, 0.052483, -0.042153, -0.086565, -0.09644]
    diagonal = [0.179284, -0.005508, 0.214466, -0.040704, 0.31007]
    assert found.mean[0] == pytest.approx(np.array(mean), abs=2e-6)
    assert np.diag(found.covariance[0]) == pytest.approx(np.array(diagonal), abs=2e-6)
    assert found.covariance[0, 0, 4] == pytest.approx(-0.248645, abs=2e-6)


def test_integration_by_parts_has_the_same_mean(reference):
    of, atoms, plain = reference
    parts = atoms.even(of, np.array([0.5]), programs.cubic_by_parts, grid=(6, 2.0))
    assert parts.mean == pytest.approx(plain.mean, abs=2e-6)
    assert parts.covariance == pytest.approx(plain.covariance, abs=2e-6)


def test_single_precision():
    net = ww.MLP(1, "softplus", (1.5, 1.2), (0.5, 0.4), weight_law=("gaussian", SKEWED))
    atoms = Atoms(U, W)
    of = atoms.problem(net)
    exact, single = atoms.even(of, TIMES), atoms.even(of, TIMES, kind="float32")
    scale = np.abs(exact.mean).max()
    assert single.mean == pytest.approx(exact.mean, abs=1e-5 * scale)
    assert single.covariance == pytest.approx(exact.covariance, abs=1e-5 * scale)
    for one, other in zip(atoms.odd(of, TIMES, "float32"), atoms.odd(of, TIMES), strict=True):
        assert one.mean == pytest.approx(other.mean, abs=1e-5)
        assert one.covariance == pytest.approx(other.covariance, abs=1e-5)


def test_without_test_points_the_train_points_are_the_same():
    net = ww.MLP(1, "softplus", (1.5, 1.2), (0.5, 0.4), weight_law=("gaussian", SKEWED))
    of = Atoms(U, W).problem(net)
    flow = LinearFlow(of.flow.nngp[:3, :3], of.flow.ntk[:3], of.flow.y)
    alone = Problem(net, flow, project(net, X))
    _, products = Atoms(U, W).odd(of, TIMES)
    skewed = Skewed(alone, TIMES, alone.panels(TIMES, 8, 2.0), np.dtype("float64"))
    tensors = odd_tensors(alone, np.eye(3), [(U @ FEATURES[:3].T, W)], skewed.dtype)
    found = skewed.products(tensors, tensors)
    assert found.mean == pytest.approx(products.mean[:, :3], abs=1e-10)
    assert found.covariance == pytest.approx(products.covariance[:, :3, :3], abs=1e-10)
