"""When to believe a law: negative mass, optimal order, distances of orders, Cramér's condition."""

import numpy as np
import pytest
from scipy.stats import binom, norm

import widthwise as ww
from widthwise.initial.edgeworth.lattice import OneNeuron

X = np.array([[1.0, 0.5], [0.2, -1.0]])


def law_of(activation, readout, order=4, bias=0.0, depth=2, points=(0,)):
    net = ww.MLP(
        depth, activation, weight_law=["gaussian"] * depth + [readout],
        bias_std=[0.0] * depth + [bias],
    )  # fmt: skip
    return ww.edgeworth(ww.output_cumulants(net, X, order), points)


def test_negative_mass_and_where_it_is():
    law = law_of("gelu", "exponential", 3, depth=1)
    said = law.diagnose(16)
    z = np.linspace(-12, 12, 200_001) * law.std
    density = law.pdf(z, 16)
    assert said.negative_mass == pytest.approx(-np.trapezoid(np.minimum(density, 0), z), abs=1e-8)
    assert said.negative_mass > 1e-4
    for a, b in said.negative_where:
        inside = (z > a) & (z < b)
        assert (density[inside] <= 0).all()
    outside = np.all([(z <= a) | (z >= b) for a, b in said.negative_where], axis=0)
    assert (density[outside] >= 0).all()
    assert "the density is negative" in str(said)


def test_a_negative_fourth_cumulant_makes_both_tails_negative():
    law = law_of("identity", "uniform", 2, depth=1)
    table = law.cumulants.copy()
    table[4, 2] = -1.2 * law.std**4  # a sum of uniform variables
    said = ww.Edgeworth(table).diagnose(8)
    (a, b), (c, d) = said.negative_where
    assert (a, d) == (-np.inf, np.inf)
    assert b == pytest.approx(-c)
    # 1 = 1.2/(24·8) (u⁴ − 6u² + 3)
    assert c / law.std == pytest.approx(np.sqrt(3 + np.sqrt(6 + 160)), rel=1e-12)


def test_distances_of_successive_orders():
    law = law_of("tanh", "laplace", 4)
    said, z = law.diagnose(20), np.linspace(-10, 10, 20_001) * law.std
    for k in range(1, 5):
        gap = law.pdf(z, 20, k) - law.pdf(z, 20, k - 1)
        l1 = np.trapezoid(np.abs(gap), z)
        assert said.density_distances[k - 1] == pytest.approx(l1, rel=1e-4, abs=1e-14)
        sup = np.abs(law.cdf(z, 20, k) - law.cdf(z, 20, k - 1)).max()
        assert said.distribution_distances[k - 1] == pytest.approx(sup, rel=1e-4, abs=1e-14)
    assert said.remainder == pytest.approx(said.density_distances[3])
    assert said.optimal_order == law.optimal_order(20) == 4


def test_the_optimal_order_of_a_diverging_series_is_said():
    law = law_of("gelu", "exponential", 8, depth=1)
    said = law.diagnose(16)
    assert said.optimal_order < 8
    assert f"use order={said.optimal_order}" in str(said)
    sizes = said.density_distances
    assert said.remainder == pytest.approx(sizes.min())
    assert said.optimal_order == int(np.argmin(sizes))
    fine = law.diagnose(10**8, said.optimal_order)
    assert fine.negative_mass < 1e-6


def test_a_joint_law_is_diagnosed_by_integrals_of_its_density():
    net = ww.MLP(1, "gelu", 1.0, 0.0, ["gaussian", "exponential"])
    joint = ww.edgeworth(ww.output_cumulants(net, X, 3), (0, 1))
    said = joint.diagnose(16)
    a, b = (np.linspace(-9, 9, 301) * np.sqrt(v) for v in np.diag(joint.covariance))
    z = np.stack(np.meshgrid(a, b, indexing="ij"), -1)
    cell = (a[1] - a[0]) * (b[1] - b[0])
    density = joint.pdf(z, 16)
    assert said.negative_mass == pytest.approx(-np.minimum(density, 0).sum() * cell, rel=1e-3)
    assert joint.pdf(said.negative_where[0], 16) == pytest.approx(density.min(), rel=0.01)
    l1 = np.abs(density - joint.pdf(z, 16, 2)).sum() * cell
    assert said.density_distances[2] == pytest.approx(l1, rel=1e-3)
    alone = [joint.projection(v).diagnose(16).distribution_distances for v in np.eye(2)]
    assert said.distribution_distances == pytest.approx(np.max(alone, axis=0))


# Cramér's condition. ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "largest"), [("relu", 0.506), ("tanh", 0.318), ("sign", 1.0), ("step", 1.0)]
)
def test_rademacher_readout_weights(activation, largest):
    """One neuron with z standard normal: |E cos(tφ(z))| for t ≥ 2.1 standard deviations."""
    net = ww.MLP(1, activation, weight_law=["gaussian", "rademacher"])
    law = ww.edgeworth(ww.output_cumulants(net, [[1.0]], order=2))
    scan = law.diagnose(64).cramer
    assert scan.largest == pytest.approx(largest, abs=6e-4)
    assert scan.holds == (largest < 1)
    assert scan.verdict == ("holds" if largest < 1 else "fails")
    if largest == 1:
        assert "lattice" in str(scan)
        assert scan.at == pytest.approx(np.pi if activation == "sign" else np.pi * 2**0.5, abs=1e-2)


def test_the_characteristic_function_of_a_neuron_in_closed_form():
    z = np.linspace(-9, 9, 4096, endpoint=False) + 9 / 4096
    w = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()
    t = np.linspace(2.1, 8, 50)
    linear = OneNeuron(ww.laws.Rademacher(), z[:, None], w)
    assert linear.std == pytest.approx(1.0)
    assert linear(t) == pytest.approx(np.exp(-t * t / 2), abs=1e-4)
    skewed = OneNeuron(ww.laws.Exponential(), np.where(z > 0, 1.0, 0.0)[:, None], w)
    exact = 0.5 + 0.5 * np.exp(-1j * t * 2**0.5) / (1 - 1j * t * 2**0.5)
    assert skewed(t) == pytest.approx(exact, abs=1e-12)


def test_an_output_bias_repairs_a_lattice():
    scan = law_of("sign", "rademacher", 2, bias=0.5).diagnose(64).cramer
    assert not scan.holds
    assert scan.verdict == "repaired"
    t = np.linspace(2.1, 4, 10_001)  # what is neglected: |cos t|^n e^{−σ_b² t² n / 2}
    largest = 64 * (np.log(np.abs(np.cos(t))) - 0.25 * t**2 / 2).max()
    assert np.log(scan.neglected) == pytest.approx(largest, rel=1e-3)
    assert law_of("sign", "rademacher", 2, bias=0.01).diagnose(64).cramer.verdict == "fails"


def test_what_is_neglected_on_a_lattice_is_a_step_of_the_distribution_function():
    """With a narrow output bias the exact law is a binomial mixture; the scan sees its steps."""
    n, errors, told = 16, [], []
    for bias in (0.05, 0.12, 0.3):
        law = law_of("sign", "rademacher", 8, bias)
        z = np.linspace(-2, 2, 2001)
        steps, p = (2 * np.arange(n + 1) - n) / np.sqrt(n), binom.pmf(np.arange(n + 1), n, 0.5)
        exact = norm.cdf((z[:, None] - steps) / bias) @ p
        errors.append(np.abs(law.cdf(z, n) - exact).max())
        told.append(law.diagnose(n).cramer.neglected)
    print(errors, told)
    for error, neglected in zip(errors, told, strict=True):
        assert neglected / 20 < error < neglected + 1e-6


def test_joint_laws_are_scanned_over_directions():
    net = ww.MLP(1, "tanh", weight_law=["gaussian", "rademacher"], outputs=2)
    c = ww.output_cumulants(net, X, order=2)
    scan = ww.edgeworth(c, (0, 1), components=(0, 1)).diagnose(32).cramer
    alone = ww.edgeworth(c, (1,)).diagnose(32).cramer
    assert alone.largest - 1e-3 <= scan.largest < 0.9
    assert len(scan.direction) == 2


@pytest.mark.parametrize(
    "law",
    [
        "uniform",
        "laplace",
        "gamma",
        "truncated",
        "student_t",
        "discrete",
        pytest.param("scipy", marks=pytest.mark.slow),
    ],
)
def test_other_readout_laws(law):
    from scipy import stats

    laws = {
        "gamma": ww.laws.Gamma(2.0),
        "truncated": ww.laws.TruncatedGaussian(2.0),
        "student_t": ww.laws.StudentT(9.0),
        "discrete": ww.laws.Discrete([-1.0, 0.0, 2.0], [0.3, 0.5, 0.2]),
        "scipy": ww.laws.from_scipy(stats.gumbel_r()),
    }
    net = ww.MLP(1, "relu", weight_law=["gaussian", laws.get(law, law)])
    said = ww.edgeworth(ww.output_cumulants(net, [[1.0]], order=2)).diagnose(64)
    assert said.cramer.verdict == "holds"
    assert 0.4999 < said.cramer.largest < 0.8  # half of the neurons are off


def test_first_layers_and_hidden_biases_that_are_not_gaussian():
    """A ±1 first layer of one input makes every neuron discrete; a hidden bias repairs that."""
    net = ww.MLP(1, "tanh", weight_law="rademacher")
    law = ww.edgeworth(ww.output_cumulants(net, [[1.0]], order=2))
    assert law.diagnose(32).cramer.verdict == "fails"
    net = ww.MLP(2, "tanh", bias_std=(0.5, 0.5, 0), bias_law="uniform", weight_law="rademacher")
    law = ww.edgeworth(ww.output_cumulants(net, [[1.0]], order=2))
    assert law.diagnose(32).cramer.verdict == "holds"


def test_a_law_without_a_network_says_so():
    law = law_of("tanh", "gaussian", 2)
    said = ww.Edgeworth(law.cumulants).diagnose(32)
    assert said.cramer is None
    assert "no network to examine" in str(said)
