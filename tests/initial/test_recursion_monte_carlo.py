"""The cumulant recursion against simulated networks, with error bars.

Given its hidden layers a sampled network has outputs with known cumulants Y_k = σ_w^r κ_r(W)
n^{1−r/2} M_k, M_k the mean over the last hidden layer of ∏_{a ∈ k} φ(z_a). By total cumulance

    κ(f_a f_b) = E Y_ab + σ_b²,    κ(f_a f_b f_c) = E Y_abc,
    κ(f_a f_b f_c f_d) = E Y_abcd + Cov(Y_ab, Y_cd) + Cov(Y_ac, Y_bd) + Cov(Y_ad, Y_bc),

where a Y of different output components is 0. Their noise is proportional to the cumulant itself,
for every law of the weights.
"""

from itertools import product
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import widthwise as ww
from widthwise.finite.estimators import fourth_cumulant
from widthwise.finite.initialization import sample_initial

POINTS = np.array([[1.0, 0.4], [-0.3, 0.9], [0.5, -0.8]])
ACTIVATIONS = ("tanh", "relu", "gelu", "erf")
LAWS = ("gaussian", "uniform", "truncated_gaussian", "exponential")  # truncated at 2 std
SKEWED = ("exponential",)
PAIRINGS = (((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2)))
ASKED = {  # number of inputs: (points, components), the third cumulant last
    1: (((0, 0), (0, 0)), ((0,) * 4, (0,) * 4), ((0,) * 4, (0, 0, 1, 1)), ((0,) * 3, (0,) * 3)),
    2: (((0, 1), (0, 0)), ((0, 0, 1, 1), (0,) * 4), ((0, 1, 1, 1), (0,) * 4),
        ((0, 0, 1, 1), (0, 0, 1, 1)), ((0, 0, 1), (0,) * 3)),
    3: (((0, 2), (0, 0)), ((0, 0, 1, 2), (0,) * 4), ((0, 1, 2, 2), (0,) * 4),
        ((0, 1, 2, 2), (0, 0, 1, 1)), ((0, 1, 2), (0,) * 3)),
}  # fmt: skip


class Setting(NamedTuple):
    """One network of the matrix: every activation and every law sees one, two and three inputs."""

    activation: str
    law: str
    depth: int

    @property
    def inputs(self):
        return 1 + (ACTIVATIONS.index(self.activation) + LAWS.index(self.law) + self.depth) % 3

    @property
    def net(self):
        bias = (0.0, *(0.2,) * self.depth)
        return ww.MLP(self.depth, self.activation, 1.3, bias, self.law, outputs=2)

    @property
    def odd(self):
        return self.activation in ("tanh", "erf")

    def order(self, inputs):
        """P for a cumulant of this many inputs; the recursion runs on those alone."""
        return 4 if inputs == 3 else 5 if inputs == 2 and self.law in SKEWED else 6

    @property
    def width_and_members(self):
        """Wide enough for the terms left out to drown in the noise."""
        if self.law in SKEWED and not self.odd:
            return (1024, 500) if self.inputs == 3 else (512, 3000)
        return 128, 5000

    def __str__(self):
        return f"{self.activation}-{self.depth}-{self.law}-{self.inputs}"


class Row(NamedTuple):
    """Series and simulation side by side."""

    points: tuple[int, ...]
    components: tuple[int, ...]
    series: float
    left_out: float
    measured: float
    error: float

    @property
    def z(self):
        return (self.series - self.measured) / self.error


@eqx.filter_jit
def conditional_moments(net, width, x, keys, key, members):
    """M_k of the last hidden layer for every member and every k in ``keys``."""

    def one(member):
        parameters = net.init(jax.random.fold_in(key, member), width, x.shape[1])
        h = net.activation(net.apply(parameters[:-1], x))
        return jnp.stack([h[jnp.array(k)].prod(0).mean() for k in keys])

    return jax.lax.map(one, jnp.arange(members), batch_size=50)


def compared(setting):
    """All rows of one setting."""
    net, x, (n, members) = setting.net, POINTS[: setting.inputs], setting.width_and_members
    asked = ASKED[setting.inputs]
    if setting.law not in SKEWED:
        asked = asked[:-1]
    elif setting.odd and setting.inputs == 3:  # κ₃ has odd powers from n^{-3/2}: take order 5
        asked = (*asked[:-1], ((0, 0, 2), (0,) * 3))
    subsets = [
        tuple(points[i] for i in chosen)
        for points, _ in asked
        for chosen in [tuple(range(len(points))), *(p for pair in PAIRINGS for p in pair)]
        if max(chosen) < len(points)
    ]
    keys = tuple(sorted({tuple(sorted(s)) for s in subsets}))
    seed = jax.random.key(MATRIX.index(setting))
    moments = np.asarray(conditional_moments(net, n, jnp.asarray(x), keys, seed, members))
    law, scale, last = net.weight_law[-1], float(net.weight_std[-1]), net.widths(n)[-1]
    Y = {
        k: scale ** len(k) * law.cumulant(len(k)) * last ** (1 - len(k) / 2) * moments[:, i]
        for i, k in enumerate(keys)
    }
    for points, components in asked:
        samples = contributions(Y, points, components)
        bias = float(net.bias_std[-1]) ** 2 if len(points) == 2 else 0.0
        error = samples.std(ddof=1) / members**0.5
        theory = ww.output_cumulants(net, x, setting.order(len(set(points))))
        series = theory.cumulant(points, components)
        left_out = last_term(series, n)
        yield Row(points, components, series.at(n), left_out, samples.mean() + bias, error)


def last_term(series, n):
    """The last term that occurs: more than the first one left out, as long as the terms fall.

    Where every second power is absent it is the one before the last.
    """
    last, before = np.abs(series.terms(n))[[-1, -2]]
    numerical = float(series.error @ np.abs(n ** (-np.arange(series.order + 1) / 2)))
    noise = 3 * series.error[-1] + 1e-7 * np.abs(series.coefficients).max()
    return (last if abs(series.coefficients[-1]) > noise else before) + numerical


def contributions(Y, points, components):
    """What every network adds to the cumulant; the mean is the estimate."""

    def of(chosen):
        return Y[tuple(sorted(points[i] for i in chosen))]

    everything = tuple(range(len(points)))
    total = of(everything) if len(set(components)) == 1 else 0.0
    for pairs in PAIRINGS if len(points) == 4 else ():
        if all(components[i] == components[j] for i, j in pairs):
            first, second = (of(pair) for pair in pairs)
            members = len(first)
            product = (first - first.mean()) * (second - second.mean())
            total = total + product * members / (members - 1)
    return total


MATRIX = [Setting(*s) for s in product(ACTIVATIONS, LAWS, (2, 3))]
QUICK = {
    Setting("tanh", "uniform", 2),
    Setting("relu", "gaussian", 3),
    Setting("gelu", "truncated_gaussian", 2),
}


@pytest.mark.parametrize(
    "setting",
    [s if s in QUICK else pytest.param(s, marks=pytest.mark.slow) for s in MATRIX],
    ids=str,
)
def test_cumulants_of_simulated_networks(setting):
    """|z| ≤ 3 for every cumulant; what the series leaves out is below the error bar."""
    for row in compared(setting):
        assert row.left_out < row.error, row
        assert abs(row.z) <= 3, row


def test_the_matrix_shows_every_activation_and_every_law_one_two_and_three_inputs():
    for field, values in (("activation", ACTIVATIONS), ("law", LAWS)):
        for value in values:
            assert {s.inputs for s in MATRIX if getattr(s, field) == value} == {1, 2, 3}


def test_simulated_uniform_networks():
    """PyTorch's law in all layers; κ₄ by the conditional cumulants of real networks."""
    laws = {"weight_law": "uniform", "bias_law": "uniform"}
    net = ww.MLP(2, "tanh", weight_std=1.4, bias_std=0.2, **laws)
    point, n = np.array([0.8, -0.5, 1.1]), 12
    measured = fourth_cumulant(net, n, sample_initial(net, n, point, 5_000, jax.random.key(5)))
    theory = ww.output_cumulants(net, [point], 6).cumulant((0,) * 4).optimal(n)
    assert theory.error < 0.01 * measured.error
    assert abs(theory.value - measured.value) < 3 * measured.error
    gaussian = ww.MLP(2, "tanh", weight_std=1.4, bias_std=0.2)
    other = ww.output_cumulants(gaussian, [point], 6).cumulant((0,) * 4).optimal(n)
    assert abs(other.value - measured.value) > 20 * measured.error  # the law matters
