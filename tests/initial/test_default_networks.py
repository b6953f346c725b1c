"""``like_torch`` and ``like_flax`` against networks drawn as those frameworks draw them.

The predicted law of every output at width 64: κ₂ and κ₄, joint ones too, the distribution function
by the Kolmogorov–Smirnov test, and probabilities of intervals (the density); all |z| ≤ 3.

At this width PyTorch's shrinking biases are no small correction (with gelu and two hidden layers
they treble the variance of the output), and its output bias is uniform.
"""

from functools import lru_cache

import numpy as np
import pytest
from scipy import stats

import widthwise as ww
from initial.oracles import default_networks

X = np.array([[0.9, -0.4, 0.7], [-1.2, 0.5, 0.1], [0.3, 1.1, -0.8]])
WIDTH, MEMBERS = 64, 100_000
NETS = {"torch": ww.MLP.like_torch, "flax": ww.MLP.like_flax}
slow = pytest.mark.slow
CASES = [
    pytest.param(framework, depth, activation, members, marks=marks)
    for framework in NETS
    for depth, members, marks in [(2, 20_000, ()), (1, MEMBERS, slow), (2, MEMBERS, slow),
                                  (3, MEMBERS, slow)]
    for activation in default_networks.ACTIVATIONS
    if members == MEMBERS or (framework, activation) in (("torch", "gelu"), ("flax", "relu"))
]  # fmt: skip


@lru_cache(maxsize=1)
def sampled(framework, depth, members):
    return default_networks.outputs(framework, depth, X, WIDTH, members, seed=depth)


@lru_cache(maxsize=2)
def predicted(framework, depth, activation):
    return ww.output_cumulants(NETS[framework](depth, activation), X, 4)


@lru_cache(maxsize=2)
def distribution(framework, depth, activation):
    """The distribution function of the output at every point, (values) → probabilities."""
    c = predicted(framework, depth, activation)
    laws = [ww.edgeworth(c, (a,)) for a in range(len(X))]
    return [lambda z, law=law: law.cdf(z, WIDTH) for law in laws]


def z_score(values, expected):
    """Of the mean of ``values`` over networks."""
    return (values.mean() - expected) / (values.std(ddof=1) / len(values) ** 0.5)


@pytest.mark.parametrize(("framework", "depth", "activation", "members"), CASES)
def test_the_law_of_the_outputs(framework, depth, activation, members):
    f, _ = sampled(framework, depth, members)[activation]
    c = predicted(framework, depth, activation)
    for a in range(len(X)):
        cdf = distribution(framework, depth, activation)[a]
        variance, fourth = (c.cumulant((a,) * r).at(WIDTH) for r in (2, 4))
        square = f[:, a] ** 2
        assert abs(z_score(f[:, a], 0.0)) <= 3
        assert abs(z_score(square, variance)) <= 3
        assert abs(z_score(square**2, fourth + 3 * variance**2)) <= 3
        # 3 σ² f² is a control variate: E (f⁴ − 6σ²f²) = κ₄ − 3σ⁴, with less noise
        assert abs(z_score(square**2 - 6 * variance * square, fourth - 3 * variance**2)) <= 3
        ks = stats.kstest(f[:, a], cdf)
        assert ks.pvalue > 0.003, ks
        edges = variance**0.5 * np.array([-2.5, -1.5, -0.7, 0.0, 0.7, 1.5, 2.5])
        share = np.diff(cdf(edges))
        counts = np.histogram(f[:, a], edges)[0]
        z = (counts - members * share) / np.sqrt(members * share * (1 - share))
        assert np.abs(z).max() <= 3, z


@pytest.mark.parametrize(("framework", "depth", "activation", "members"), CASES)
def test_joint_cumulants(framework, depth, activation, members):
    f, _ = sampled(framework, depth, members)[activation]
    c = predicted(framework, depth, activation)
    for a, b in [(0, 1), (1, 2)]:
        saa, sab, sbb = (c.cumulant(p).at(WIDTH) for p in [(a, a), (a, b), (b, b)])
        joint = c.cumulant((a, a, b, b)).at(WIDTH) + saa * sbb + 2 * sab**2
        assert abs(z_score(f[:, a] * f[:, b], sab)) <= 3
        assert abs(z_score((f[:, a] * f[:, b]) ** 2, joint)) <= 3


@pytest.mark.parametrize(("framework", "depth", "activation", "members"), CASES)
def test_cumulants_given_the_hidden_layers(framework, depth, activation, members):
    """The same with the noise of the readout integrated out: the width-n corrections are seen.

    Given the hidden layers an output has the variance σ_w² M + σ_b²/n and a fourth cumulant that
    follows from the readout law.
    """
    _, moments = sampled(framework, depth, members)[activation]
    net, c = NETS[framework](depth, activation), predicted(framework, depth, activation)
    for a in range(len(X)):
        variance = c.cumulant((a, a))
        given = net.weight_std[-1] ** 2 * moments[:, a, a] + net.bias_std[-1] ** 2 / WIDTH
        assert abs(z_score(given, variance.at(WIDTH))) <= 3
        if framework == "torch":  # the shrinking biases alone are seen
            assert abs(z_score(given, variance.at(WIDTH, order=0))) > 3


@pytest.mark.parametrize("framework", NETS)
def test_the_test_can_fail(framework):
    """The Gaussian process, and the other framework, are told apart from the sampled networks."""
    f, _ = sampled(framework, 2, 20_000)["relu"]
    variance = predicted(framework, 2, "relu").cumulant((0, 0))
    assert stats.kstest(f[:, 0] / variance.coefficients[0] ** 0.5, "norm").pvalue < 0.01
    other = distribution("flax" if framework == "torch" else "torch", 2, "relu")[0]
    assert stats.kstest(f[:, 0], other).pvalue < 1e-6
    if framework == "flax":  # the excess kurtosis of PyTorch's outputs is too small to see here
        fourth = (f[:, 0] ** 2 - variance.at(WIDTH)) ** 2
        assert z_score(fourth, 2 * variance.at(WIDTH) ** 2) > 3
