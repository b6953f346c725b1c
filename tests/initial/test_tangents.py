"""The finite-width NTK at initialization: published numbers, exact shallow formulas, simulation."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import widthwise as ww
from widthwise.algebra import gaussian

TWO = 2**0.5
X2 = np.array([[1.0, 0.2, -0.4], [0.3, -0.8, 0.9]])
SKEWED = ("gaussian", "exponential", "exponential")


# ------------------------------------------------------------------- published, closed forms

RELU = {  # depth: E Θ, Var Θ_11, E Θ_12², Cov(z_1², Θ_11), powers 0, 2, 4 of n^{-1/2}
    1: ((4, 0, 0), (0, 48, 0), (0, 8, 0), (0, 40, 0)),
    2: ((6, 0, 0), (0, 232, 452), (0, 40, 88), (0, 120, 300)),
    3: ((8, 0, 0), (0, 640, 2560), (0, 112, 512), (0, 240, 1200)),
}


@pytest.mark.parametrize("depth", RELU)
def test_published_relu(depth):
    net = ww.MLP(depth, "relu", weight_std=TWO, outputs=2)
    h = ww.ntk_statistics(net, [[1.0]], order=4)
    found = (
        h.mean(0, 0),
        h.covariance((0, 0), (0, 0)),
        h.covariance((0, 0), (0, 0), (0, 1, 0, 1)),
        h.output_covariance((0, 0), (0, 0)),
    )
    for series, expected in zip(found, RELU[depth], strict=True):
        assert series.coefficients[::2] == pytest.approx(expected, abs=2e-12 * max(expected))
        assert (series.coefficients[1::2] == 0).all()
        assert (series.error <= 5e-9).all()  # of numbers as large as 2560
        assert series.exact == (depth == 1)


@pytest.mark.parametrize("law", ["gaussian", "exponential"])
def test_published_shallow_tanh(law):
    """The published digits (E Θ 2.546990462, and others) are good to 5e-8: a dense rule decides."""
    net = ww.MLP(1, "tanh", 1.3, 0.3, weight_law=("gaussian", law), outputs=2)
    h = ww.ntk_statistics(net, [[1.3]], order=2)
    published = {"gaussian": 11.65022288, "exponential": 42.52499353}[law]
    kappa = {"gaussian": 3.0, "exponential": 9.0}[law]
    K = 0.3**2 + (1.3 * 1.3) ** 2
    u = np.linspace(-14, 14, 20001)
    weight = np.exp(-u * u / 2) / np.exp(-u * u / 2).sum()
    A = np.tanh(np.sqrt(K) * u) ** 2
    B = (1 - A) ** 2 * K
    mean = weight @ (A + B)
    variance = 1.3**4 * (weight @ (A * A + 2 * A * B + kappa * B * B) - mean**2)
    found = h.covariance((0, 0), (0, 0)).coefficients
    assert found == pytest.approx([0, 0, variance], abs=1e-12)
    assert found[2] == pytest.approx(published, rel=1e-7)
    assert h.mean(0, 0).coefficients == pytest.approx([0.09 + 1.69 * mean, 0, 0], abs=1e-13)
    assert h.mean(0, 0).coefficients[0] == pytest.approx(2.546990462, rel=1e-9)
    off = h.covariance((0, 0), (0, 0), (0, 1, 0, 1)).coefficients
    assert off == pytest.approx([0, 0, 1.3**4 * (weight @ (B * B))], abs=1e-12)
    assert off[2] == pytest.approx(5.145795108, rel=1e-7)


class ShallowNeuron:
    """The iid average over neurons of one hidden layer: Θ = σ_b² + σ_w²/(ρn) Σ (A + W W B)."""

    def __init__(self, net, x):
        self.net, self.x = net, np.asarray(x)
        sw, sb = net.weight_std[0], net.bias_std[0]
        self.first = sw**2 * self.x @ self.x.T / self.x.shape[1] + sb**2

    def expectation(self, function):
        def observable(z):
            h, slope = np.asarray(self.net.activation(z)), self.net.activation.derivative()(z)
            return function(h, np.asarray(slope))

        kinks = self.net.activation.kinks
        return float(gaussian.expectation(observable, self.first, kinks, 1e-9).value)

    def A(self, pair, h):
        return h[:, pair[0]] * h[:, pair[1]]

    def B(self, pair, slope):
        return slope[:, pair[0]] * slope[:, pair[1]] * self.first[pair]

    def covariance(self, p, q, same):
        """n Cov(Θ_11(p), Θ_11(q)) where ``same``; else n E Θ_12(p) Θ_12(q)."""
        net, E = self.net, self.expectation
        scale = net.weight_std[1] ** 4 / net.ratios[0]
        BB = E(lambda h, s: self.B(p, s) * self.B(q, s))
        if not same:
            return scale * BB
        AA = E(lambda h, s: self.A(p, h) * self.A(q, h))
        AB = E(lambda h, s: self.A(p, h) * self.B(q, s) + self.B(p, s) * self.A(q, h))
        means = [E(lambda h, s, k=k: self.A(k, h) + self.B(k, s)) for k in (p, q)]
        fourth = net.weight_law[1].moment(4)
        return scale * (AA + AB + fourth * BB - means[0] * means[1])


@pytest.mark.parametrize(
    ("activation", "law"), [("tanh", "exponential"), ("relu", "uniform"), ("gelu", "gaussian")]
)
def test_one_hidden_layer_is_exact(activation, law):
    net = ww.MLP(1, activation, 1.2, 0.4, ("gaussian", law), ratios=(1.5,), outputs=2)
    h, neuron = ww.ntk_statistics(net, X2, order=2), ShallowNeuron(net, X2)
    pairs = [(0, 0), (0, 1), (1, 1)]
    for p, q in itertools.combinations_with_replacement(pairs, 2):
        for components in ((0, 0, 0, 0), (0, 1, 0, 1)):
            series = h.covariance(p, q, components)
            expected = neuron.covariance(p, q, same=components == (0, 0, 0, 0))
            assert series.coefficients[2] == pytest.approx(expected, rel=3e-8)
            assert series.exact


def test_third_cumulant_of_one_hidden_relu_layer():
    """κ₃ of an average of n copies of σ_w²(h² + W²φ'²Θ¹), with A = B·u² and K = 2."""
    net = ww.MLP(1, "relu", weight_std=TWO)
    series = ww.ntk_statistics(net, [[1.0]], order=4).cumulant([(0, 0)] * 3)
    # T = 4·1[u > 0](u² + w²): u² + w² ~ χ²₂, moments of χ²₂ are 2^k k!
    m1, m2, m3 = (4**k * 2**k * f / 2 for k, f in ((1, 1), (2, 2), (3, 6)))
    assert series.coefficients[4] == pytest.approx(m3 - 3 * m1 * m2 + 2 * m1**3, rel=1e-12)
    assert series.exact


@pytest.mark.parametrize("parametrization", ["ntk", "standard"])
@pytest.mark.parametrize("weight_law", ["gaussian", "uniform"])
def test_the_leading_term_is_the_limit_kernel(parametrization, weight_law):
    net = ww.MLP(
        3, "erf", 1.4, 0.3, weight_law, ratios=(1, 2, 0.5), parametrization=parametrization
    )
    x = [[1.0, 0.2], [0.3, -0.8], [-0.5, 0.4]]
    limit, h = ww.limit_kernels(net, x), ww.ntk_statistics(net, x, order=1)
    for a, b in itertools.combinations_with_replacement(range(3), 2):
        assert h.mean(a, b).coefficients == pytest.approx([limit.ntk[a, b], 0], abs=1e-10)


# ------------------------------------------------------------------------------- simulation


def sampled_kernels(net, x, width, members, key, block=100):
    """Θ (members, outputs, outputs, points, points) and outputs f (members, points, outputs)."""
    x = jnp.asarray(x)
    rates = net.learning_rates(width, x.shape[1])
    slope = jax.grad(lambda z: net.activation(z).sum())

    @jax.jit
    @jax.vmap
    def one(key):
        parameters = net.init(key, width, x.shape[1])
        h, below, slopes = x, [], []
        for l, layer in enumerate(parameters):
            below.append(h)
            z = net.weight_std[l] / h.shape[1] ** 0.5 * h @ layer.weight.T
            z = z + net.bias_std[l] * layer.bias
            h, slopes = net.activation(z), [*slopes, slope(z)]
        theta, g = 0.0, jnp.broadcast_to(jnp.eye(net.outputs)[:, None], (net.outputs, *z.shape))
        for l in reversed(range(len(parameters))):  # g_i = ∂f_i/∂z
            n = below[l].shape[1]
            gram = rates[l].weight * net.weight_std[l] ** 2 / n * below[l] @ below[l].T
            gram = gram + rates[l].bias * net.bias_std[l] ** 2
            theta = theta + gram * jnp.einsum("iak,jbk->ijab", g, g)
            if l:
                g = net.weight_std[l] / n**0.5 * g @ parameters[l].weight * slopes[l - 1]
        return theta, z

    parts = [one(k) for k in jax.random.split(key, members).reshape(-1, block)]
    return tuple(np.concatenate([np.asarray(part[i]) for part in parts]) for i in range(2))


def z_scores(pairs, width):
    """Of products, member by member, against their series at one width.

    The next term is taken to be to the last what the last ones are to those before, all together.
    """
    terms = np.abs([series.terms(width)[::2] for series, _ in pairs])
    errors = [products.std(0, ddof=1) / np.sqrt(len(products)) for _, products in pairs]
    following = terms[:, -1] * terms[:, -1].sum() / terms[:, -2].sum()
    assert (following < errors).all(), "the next term must lie below the error bar"
    return [
        (products.mean(0) - series.at(width)) / error
        for (series, products), error in zip(pairs, errors, strict=True)
    ]


QUICK = {
    "tanh, Gaussian": (ww.MLP(2, "tanh", 1.3, 0.3, outputs=2), 96),
    "relu, uniform": (
        ww.MLP(2, "relu", 1.2, 0.2, ("gaussian", "uniform", "uniform"), outputs=2),
        96,
    ),
    "erf, ratios, standard parametrization": (
        ww.MLP(2, "erf", 1.3, 0.3, ratios=(1.5, 0.75), outputs=2, parametrization="standard"),
        128,
    ),
}


@pytest.mark.parametrize(
    "setting",
    [s if "tanh" in s else pytest.param(s, marks=pytest.mark.slow) for s in QUICK],
)
def test_two_inputs_and_two_outputs_against_simulation(setting):
    net, width = QUICK[setting]
    compare(net, X2, width, order=4, members=4000)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "width", "order"),
    [
        (ww.MLP(2, "relu", 1.2, 0.2, SKEWED, outputs=2), 256, 4),
        (ww.MLP(3, "gelu", 1.5, 0.2, "uniform", outputs=2), 128, 4),
        (ww.MLP(3, "tanh", 1.4, 0.3, ("uniform", *("exponential",) * 3), outputs=2), 256, 4),
        (ww.MLP(2, "relu", TWO, 0.1, outputs=2, parametrization="standard"), 64, 4),
    ],
)
def test_deeper_networks_against_simulation(net, width, order):
    compare(net, X2, width, order, members=4000)


def compare(net, x, width, order, members):
    theta, f = sampled_kernels(net, x, width, members, jax.random.key(11))
    h = ww.ntk_statistics(net, x, order)
    means, covariances = [], []
    for a, b in [(0, 0), (0, 1), (1, 1)]:
        means.append((h.mean(a, b), theta[:, 0, 0, a, b]))
    centred = theta - theta.mean(0)
    for (a, b), (c, d) in [((0, 0), (0, 0)), ((0, 1), (0, 1)), ((0, 0), (1, 1)), ((0, 1), (1, 1))]:
        for i, j, k, l in [(0, 0, 0, 0), (0, 0, 1, 1), (0, 1, 0, 1), (0, 1, 1, 0), (0, 0, 0, 1)]:
            products = centred[:, i, j, a, b] * centred[:, k, l, c, d]
            covariances.append((h.covariance((a, b), (c, d), (i, j, k, l)), products))
    for (a, b), (c, d) in [((0, 0), (0, 0)), ((0, 1), (0, 1)), ((1, 1), (0, 0))]:
        for i, j, k, l in [(0, 0, 0, 0), (0, 0, 1, 1), (0, 1, 0, 1)]:
            products = f[:, a, i] * f[:, b, j] * centred[:, k, l, c, d]
            covariances.append((h.output_covariance((a, b), (c, d), (i, j, k, l)), products))
    scores = z_scores(means, width) + z_scores(covariances, width)
    zero = theta[:, 0, 1, 0, 1]
    scores.append(zero.mean() / zero.std() * members**0.5)
    assert not h.mean(0, 1, (0, 1)).coefficients.any()
    assert np.abs(scores).max() <= 3.0, np.round(scores, 1)
    assert 0.3 < np.sqrt(np.mean(np.square(scores))) < 1.5


# ----------------------------------------------------------------------------------- use


def test_order_of_arguments_and_copies_change_nothing():
    net = ww.MLP(2, "tanh", 1.3, 0.3, outputs=2)
    h = ww.ntk_statistics(net, [X2[0], X2[1], X2[0]], order=2)
    one = h.covariance((0, 1), (1, 1), (0, 1, 1, 0)).coefficients
    copied = h.covariance((1, 1), (1, 2), (0, 1, 1, 0)).coefficients
    assert copied == pytest.approx(one, rel=1e-12)
    swapped = h.covariance((1, 0), (1, 1), (1, 0, 0, 1)).coefficients
    assert swapped == pytest.approx(one, rel=1e-12)


def test_parallel_inputs_of_a_homogeneous_network():
    net = ww.MLP(2, "relu", weight_std=TWO)
    h = ww.ntk_statistics(net, [[1.0], [3.0]], order=4)
    assert h.covariance((0, 1), (1, 1)).coefficients == pytest.approx(
        27 * h.covariance((0, 0), (0, 0)).coefficients, rel=1e-11
    )


def test_a_layer_that_does_not_train_through_a_jump():
    net = ww.MLP(2, "sign", 1.2, 0.5)
    h = ww.ntk_statistics(net, X2, order=2)
    assert h.mean(0, 1).coefficients[0] == pytest.approx(
        ww.limit_kernels(net, X2).ntk[0, 1], rel=1e-11
    )


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda h: h.mean(0, 2), "rows of x go from 0 to 1"),
        (lambda h: h.covariance((0,), (0, 1)), "at least one pair"),
        (lambda h: h.cumulant([]), "at least one pair"),
        (lambda h: h.mean(0, 0, (0, 2)), r"components must give 2 output components \(0 to 1\)"),
        (lambda h: h.covariance((0, 0), (0, 0), (0, 0)), "components must give 4"),
        (lambda h: h.output_covariance((0,), (0, 1)), "outputs must name two rows"),
    ],
)
def test_bad_questions(ask, message):
    net = ww.MLP(2, "tanh", outputs=2)
    with pytest.raises(ValueError, match=message):
        ask(ww.ntk_statistics(net, X2, order=2))


def test_a_missing_moment_and_too_much():
    net = ww.MLP(2, "tanh", weight_law=("gaussian", {"name": "student_t", "df": 5}, "gaussian"))
    with pytest.raises(ValueError, match="moment of order 5"):
        ww.ntk_statistics(net, X2, order=4).mean(0, 0)
    with pytest.raises(ValueError, match="take a lower order"):
        ww.ntk_statistics(ww.MLP(2, "tanh"), np.eye(4), order=8).covariance((0, 1), (2, 3))


@pytest.mark.parametrize(("law", "excess"), [("uniform", -1.2), ("exponential", 6.0)])
def test_tangents_of_a_first_layer_expanded_in_its_own_width(law, excess):
    """φ = z, one hidden layer, d = n: Θ = (1/n) Σ (z_j² + W_j² q), and only z¹ knows W¹."""
    net, x = ww.MLP(1, "identity", weight_law=(law, "gaussian")), np.array([[1.0, -0.5, 2.0]])
    h = ww.ntk_statistics(net, x, order=4, input_ratio=1.0)
    q, spread = (x**2).mean(), excess * (x**4).mean()
    variance = h.covariance((0, 0), (0, 0)).coefficients
    assert variance == pytest.approx([0, 0, 4 * q**2, 0, spread], abs=1e-11)
    with_outputs = h.output_covariance((0, 0), (0, 0)).coefficients
    assert with_outputs == pytest.approx([0, 0, 4 * q**2, 0, spread], abs=1e-11)


def test_what_vanishes_is_exact_and_what_was_cut_off_is_not_zero():
    h = ww.ntk_statistics(ww.MLP(2, "relu", outputs=2), [[1.0]], order=1)
    assert h.mean(0, 0, (0, 1)).exact
    cut = h.covariance((0, 0), (0, 0)).optimal(10)
    assert cut.error == np.inf


@pytest.mark.parametrize("angle", [1e-3, 1e-5, 3e-7, 9e-8, 5e-8])
def test_kernel_of_close_inputs(angle):
    """The ReLU kernel has a cusp at parallel inputs, so an angle that is lost shows at once."""
    net, x = ww.MLP(1, "relu", weight_std=TWO), [[1.0, 0.0], [np.cos(angle), np.sin(angle)]]
    series = ww.ntk_statistics(net, x, order=2).mean(0, 1)
    cosine = (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / np.pi
    expected = cosine + np.cos(angle) * (np.pi - angle) / np.pi
    slack = 4e-16 / angle  # rounding of the kernel, as an angle
    assert abs(series.coefficients[0] - expected) <= series.error[0] + slack


@pytest.mark.parametrize("tolerance", [0.0, -1.0, np.nan])
def test_a_tolerance_that_is_none(tolerance):
    with pytest.raises(ValueError, match="tolerance"):
        ww.ntk_statistics(ww.MLP(1, "tanh"), X2, tolerance=tolerance)
