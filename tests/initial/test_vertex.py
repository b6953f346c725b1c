"""All inputs through 1/n, against the general recursion, closed forms, mpmath and simulation."""

import dataclasses
import itertools

import jax
import mpmath
import numpy as np
import pytest

import widthwise as ww
from widthwise.algebra.gaussian import QuadratureError
from widthwise.finite.initialization import sample_initial

TWO = 2**0.5
EXPONENTIAL = ("gaussian", "exponential", "exponential")
X2 = np.array([[1.0, 0.2, -0.4], [0.3, -0.8, 0.9]])
X3 = np.array([[0.7, -0.3, 0.4, 0.1], [0.2, 1.1, -0.6, 0.5], [-0.9, 0.4, 0.8, -0.2]])
X4 = 0.7 * np.array(
    [[0.3, -0.5, 1.1, 0.2, 0.4], [1.0, 0.1, -0.3, 0.8, -0.6], [-0.4, 0.9, 0.5, -1.2, 0.3],
     [0.6, 0.7, -0.8, 0.1, 1.3]]
)  # fmt: skip


def hard_tanh(z):
    return jax.numpy.clip(z, -1, 1)


def net(activation, *, depth=2, ratios=(1.5, 0.8, 1.2), weight_std=1.3, bias_std=0.25, **laws):
    if activation == "hard_tanh":
        activation = ww.activations.get(hard_tanh, kinks=(-1.0, 1.0))
    return ww.MLP(depth, activation, weight_std, bias_std, ratios=ratios[:depth], **laws)


def shrinking(activation, *, bias_std=0.6, **fields):
    return net(activation, bias_std=bias_std, bias_scaling="fan_in", **fields)


# ------------------------------------------------------------------ the general recursion, P = 2

RECURSION = {
    "tanh": (net("tanh"), X3),
    "tanh, exponential": (net("tanh", weight_law=EXPONENTIAL), X3),
    "relu": (net("relu"), X3),
    "relu, exponential": (net("relu", weight_law=EXPONENTIAL), X2),
    "abs, exponential": (net("abs", weight_law=EXPONENTIAL), X2),
    "step, exponential": (net("step", weight_law=EXPONENTIAL), X2),
    "hard tanh": (net("hard_tanh"), X2),
    "tanh, uniform biases": (net("tanh", bias_law="uniform"), X2),
    "relu, uniform hidden biases": (
        net("relu", depth=2, bias_law=("gaussian", "rademacher", "uniform")), X2),
    "tanh, everything uniform": (net("tanh", weight_law="uniform", bias_law="uniform"), X2[:, :2]),
    "relu, first layer uniform": (net("relu", bias_std=0.0, weight_law="uniform"), X2[:, :2]),
    "tanh, first layer rademacher": (
        net("tanh", weight_law=("rademacher", "exponential", "exponential")), X2),
    "one hidden layer": (net("tanh", depth=1, weight_law=("gaussian", "exponential")), X2),
    "one point": (net("relu", depth=3), X3[:1]),
    "equal inputs, tanh": (net("tanh", weight_law=EXPONENTIAL), X3[[0, 0, 1]]),
    "equal inputs, relu": (net("relu", weight_law=EXPONENTIAL), X3[[0, 0, 1]]),
    "parallel inputs, relu": (
        net("relu", bias_std=0.0, weight_law=EXPONENTIAL), X3[[0, 0, 0]] * [[1.0], [2.0], [-1.0]]),
    "parallel inputs, tanh": (net("tanh", bias_std=0.0), X3[[0, 0, 0]] * [[1.0], [2.0], [-1.0]]),
    "biases over √fan_in, tanh": (shrinking("tanh"), X3),
    "biases over √fan_in, relu, three layers": (
        shrinking("relu", depth=3, weight_law=(*EXPONENTIAL, "exponential")), X2),
    "biases over √fan_in, exponential": (shrinking("tanh", bias_law=EXPONENTIAL), X3),
    "biases over √fan_in, exponential, relu, three layers": (
        shrinking("relu", depth=3, bias_law=(*EXPONENTIAL, "exponential")), X2),
    "biases over √fan_in, equal inputs": (
        shrinking("relu", bias_std=(0.0, 0.5, 0.5)), X3[[0, 0, 1]]),
    "biases over √fan_in, parallel inputs": (
        shrinking("tanh", bias_std=(0.0, 0.5, 0.5)), X3[[0, 0, 0]] * [[1.0], [2.0], [-0.5]]),
    "torch": (ww.MLP.like_torch(2, "tanh", ratios=(1.5, 0.8)), X2[:, :2]),
    "a zero input, relu": (net("relu", bias_std=0.0), X3[:2] * [[0.0], [1.0]]),
    "a zero input, tanh": (net("tanh", bias_std=0.0), X3[:2] * [[0.0], [1.0]]),
    "a zero input, sigmoid": (net("sigmoid", bias_std=0.0), X3[:2] * [[0.0], [1.0]]),
}  # fmt: skip


@pytest.mark.parametrize("setting", RECURSION)
def test_the_general_recursion(setting):
    agrees_with_the_recursion(*RECURSION[setting])


@pytest.mark.slow
@pytest.mark.parametrize("laws", [{}, {"weight_law": EXPONENTIAL}])
def test_the_general_recursion_with_four_inputs(laws):
    agrees_with_the_recursion(net("tanh", weight_std=1.0, **laws), X4)


def agrees_with_the_recursion(network, x):
    """To 1e-10, and every difference within the reported errors."""
    m = len(x)
    q = ww.kernel_corrections(network, x)
    fields = {field.name: getattr(network, field.name) for field in dataclasses.fields(network)}
    two = ww.MLP(**fields | {"outputs": 2})
    c = ww.output_cumulants(two, x, order=2)

    def close(value, error, series, power):
        difference = abs(float(value) - series.coefficients[power])
        assert difference <= 1e-10
        assert difference <= error + series.error[power] + 3e-15

    pairs = list(itertools.combinations_with_replacement(range(m), 2))
    for a, b in pairs:
        series = c.cumulant((a, b))
        for power, (value, error) in enumerate(
            zip((q.kernel, q.first, q.second), q.error, strict=True)
        ):
            close(value[a, b], error[a, b], series, power)
    V = q.vertex()
    rng = np.random.default_rng(3)
    A, B = rng.normal(size=(2, m, m))
    u = rng.normal(size=m)
    for p, r in itertools.combinations_with_replacement(pairs, 2):
        close(V.value[p + r], V.error[p + r], c.cumulant(p + r, (0, 0, 1, 1)), 2)
    form = q.vertex_form(A, B)
    contracted = np.einsum("ab,abcd,cd", A, V.value, B)
    assert form.value == pytest.approx(contracted, abs=1e-10, rel=1e-10)
    for r, found, power in ((4, q.fourth_cumulant(u), 2), (3, q.third_cumulant(u), 1)):
        total = sum(
            np.prod(u[list(points)]) * c.cumulant(points).coefficients[power]
            for points in itertools.product(range(m), repeat=r)
        )
        assert found.value == pytest.approx(total, abs=1e-10 + 5 * found.error)


def test_vanishing_biases_at_opposite_inputs():
    """z and −z of one variance: the limit has one direction, the bias moves along another."""
    n, x = 1e6, X2[[0, 0]] * [[1.0], [-1.0]]
    network = shrinking("tanh", bias_std=(0.0, 0.5, 0.5))
    q = ww.kernel_corrections(network, x)
    one = ww.kernel_corrections(network.at_width(n, 3), x)
    assert q.second == pytest.approx(n * (one.kernel - q.kernel) + one.second, abs=1e-5)


# ------------------------------------------------------------------------- published numbers


def test_published_relu():
    q = ww.kernel_corrections(ww.MLP(2, "relu", weight_std=TWO), X2)
    assert q.kernel == pytest.approx(
        np.array([[0.8, 0.40639932054], [0.40639932054, 1.02666666667]]), abs=6e-12
    )
    assert (q.first == 0).all()
    assert q.second == pytest.approx(-0.311677466538 * (1 - np.eye(2)), abs=6e-13)
    V = q.vertex().value
    published = {(0, 0, 0, 0): 6.4, (0, 0, 0, 1): 1.9728724557, (0, 0, 1, 1): 0.309098009096,
                 (0, 1, 0, 1): 1.77765174942, (0, 1, 1, 1): 2.53185298482}  # fmt: skip
    for points, value in published.items():
        assert V[points] == pytest.approx(value, abs=6e-11)


def test_the_numbers_of_the_first_program():
    """Made once with an independent program: Hermite weights on an 81 × 81 trapezoid rule."""
    network = ww.MLP(
        3, "gelu", 1.3, 0.25, weight_law=(*EXPONENTIAL, "exponential"), ratios=(1.5, 0.8, 1.2)
    )
    q = ww.kernel_corrections(network, [[0.7, -0.3], [0.2, 1.1]])
    expected = (
        (q.kernel, [0.25509001771154793, 0.18409136106005777, 0.5242225411133126]),
        (q.first, [0.5498653883575635, 0.21821860037577595, 1.48440917194511]),
        (q.second, [1.3038372513427339, 0.16405425035084684, 2.5884455565099573]),
    )
    for values, numbers in expected:
        assert values[[0, 0, 1], [0, 1, 1]] == pytest.approx(numbers, abs=1e-10)
    V = q.vertex().value
    places = ([0, 0, 0, 0, 0, 1], [0, 0, 0, 1, 1, 1], [0, 0, 1, 0, 1, 1], [0, 1, 1, 1, 1, 1])
    assert V[places] == pytest.approx(
        [0.6189219645914676, 0.27667937372525586, 0.15065597853601798, 0.3347273591432109,
         0.6794110714327716, 4.160576152173609], abs=1e-10,
    )  # fmt: skip
    assert q.fourth_cumulant([1, -0.5]).value == pytest.approx(2.113667033883943, abs=1e-10)
    assert q.third_cumulant([1, -0.5]).value == pytest.approx(0.10243269191294471, abs=1e-10)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_relu_at_one_input(depth):
    """E K^k multiplies by 1 and 1 + 5/n_l per layer, so Var K = 5K² Σ 1/ρ_l and κ₄ = 3 Var K."""
    ratios = (1.0, 0.5, 2.0, 1.0, 4.0)[:depth]
    q = ww.kernel_corrections(ww.MLP(depth, "relu", weight_std=TWO, ratios=ratios), [[1.5]])
    K, expected = 4.5, 5 * 4.5**2 * sum(1 / r for r in ratios)
    assert q.kernel == pytest.approx(K, rel=1e-13)
    assert abs(q.second[0, 0]) <= q.error.second[0, 0] <= 1e-11
    assert q.vertex_form([[1.0]], [[1.0]]).value == pytest.approx(expected, rel=1e-12)
    assert q.fourth_cumulant([2.0]).value == pytest.approx(3 * 16 * expected, rel=1e-12)


# ---------------------------------------------------------------------- deep linear networks


@pytest.mark.parametrize(("inputs", "allowed"), [(3, 1e-12), (20, 0.05)])
def test_deep_linear_networks_of_fifty_inputs(inputs, allowed):
    """V_abcd = Σ_l (K_ac K_bd + K_ad K_bc)/ρ_l, K = x xᵀ/d, at every pair of forms."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(50, inputs))
    K, layers = x @ x.T / inputs, 1 / 1.5 + 1 / 0.8 + 1
    network = ww.MLP(3, "identity", ratios=(1.5, 0.8, 1.0))
    q = ww.kernel_corrections(network, x)
    assert q.kernel == pytest.approx(K, abs=1e-13)
    assert np.abs(q.second).max() <= 1e-13
    A, B = rng.normal(size=(2, 50, 50)) + 3 * np.eye(50)
    A, B = A + A.T, B + B.T
    form = q.vertex_form(A, B)
    expected = 2 * layers * np.trace(A @ K @ B @ K)
    size = 2 * layers * np.sqrt(np.trace(A @ K @ A @ K) * np.trace(B @ K @ B @ K))
    assert abs(form.value - expected) <= 4 * form.error + 1e-12 * size
    assert form.error <= allowed * size
    u = rng.normal(size=50)
    found, variance = q.fourth_cumulant(u), u @ K @ u
    assert abs(found.value - 6 * layers * variance**2) <= 4 * found.error + 1e-12 * variance**2
    assert found.error <= allowed * found.value


def test_few_of_many_inputs_are_as_exact_as_alone():
    """A form that touches at most four inputs is computed from them."""
    x = np.random.default_rng(5).normal(size=(30, 12))
    network = net("tanh", weight_law=EXPONENTIAL)
    q, alone = ww.kernel_corrections(network, x), ww.kernel_corrections(network, x[[3, 17]])
    A, B = np.zeros((2, 30, 30))
    A[3, 17], B[17, 17] = 1.0, 1.0
    form = q.vertex_form(A, B)
    assert form.value == pytest.approx(alone.vertex().value[0, 1, 1, 1], rel=1e-11)
    assert form.error <= 1e-10
    u = np.zeros(30)
    u[[3, 17]] = 1.0, -0.5
    assert q.fourth_cumulant(u).value == pytest.approx(
        alone.fourth_cumulant([1.0, -0.5]).value, rel=1e-11
    )
    assert q.second[[3, 3, 17], [3, 17, 17]] == pytest.approx(
        alone.second[[0, 0, 1], [0, 1, 1]], rel=1e-10
    )


# ------------------------------------------------------------------------- dense and matrix-free


def test_forms_are_contractions_of_the_dense_vertex_for_thirty_inputs():
    """By rules (one hidden layer, two dimensions), then by random points (the second layer)."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(30, 2))
    A, B = rng.normal(size=(2, 30, 30))
    q = ww.kernel_corrections(net("tanh", bias_std=0.0, depth=1), x)
    V, form = q.vertex(), q.vertex_form(A, B)
    contracted = np.einsum("ab,abcd,cd", A, V.value, B)
    assert form.value == pytest.approx(contracted, rel=1e-10)
    assert form.error + V.error.max() <= 1e-9
    q = ww.kernel_corrections(net("tanh", bias_std=0.0), x, samples=1 << 12)
    V, form = q.vertex(), q.vertex_form(A, B)
    contracted = np.einsum("ab,abcd,cd", A, V.value, B)
    assert abs(form.value - contracted) <= 5 * form.error
    assert form.error <= 0.1 * abs(form.value)


def test_dense_and_matrix_free_by_random_points():
    rng = np.random.default_rng(7)
    x = rng.normal(size=(12, 8))
    q = ww.kernel_corrections(net("relu", depth=3), x)
    V = q.vertex()
    known = ww.kernel_corrections(net("relu", depth=3), x[:2]).vertex().value
    block = V.value[:2, :2, :2, :2]
    assert block[0, 1, 0, 1] == pytest.approx(known[0, 1, 0, 1], rel=1e-9)  # known of every pair
    assert (np.abs(block - known) <= 5 * V.error[:2, :2, :2, :2] + 1e-10).all()
    matrix = V.value.reshape(144, 144)
    assert np.linalg.eigvalsh(matrix)[0] >= -1e-12 * np.linalg.norm(matrix)
    assert (V.value == V.value.transpose(1, 0, 2, 3)).all()
    assert V.value == pytest.approx(V.value.transpose(2, 3, 0, 1), abs=1e-12)
    for A, B in rng.normal(size=(4, 2, 12, 12)):
        form = q.vertex_form(A, B)
        contracted = np.einsum("ab,abcd,cd", A, V.value, B)
        assert abs(form.value - contracted) <= 6 * form.error
        other = ww.kernel_corrections(net("relu", depth=3), x, key=jax.random.key(9))
        again = other.vertex_form(A, B)
        assert again.value != form.value
        assert abs(form.value - again.value) <= 5 * np.hypot(form.error, again.error)


def test_the_vertex_is_a_covariance_where_rules_serve():
    x = np.random.default_rng(8).normal(size=(6, 2))
    for activation in ("tanh", "relu"):
        matrix = ww.kernel_corrections(net(activation, bias_std=0.0, depth=1), x).vertex().value
        eigenvalues = np.linalg.eigvalsh(matrix.reshape(36, 36))
        assert eigenvalues[0] >= -1e-13 * eigenvalues[-1]


def test_more_samples_are_more_accurate_and_a_key_decides():
    x = np.random.default_rng(9).normal(size=(8, 8))
    few, many = (ww.kernel_corrections(net("tanh"), x, samples=n) for n in (1 << 12, 1 << 17))
    A = np.eye(8)
    assert many.vertex_form(A, A).error < few.vertex_form(A, A).error / 3
    again = ww.kernel_corrections(net("tanh"), x, samples=1 << 12)
    assert few.vertex_form(A, A) == again.vertex_form(A, A)


# --------------------------------------------------------------------------- honesty of errors


def relu_second(K1, weight_variance):
    """K⁽²⁾_ab of a relu network of depth 2 without biases at 40 digits.

    Var of the layer's kernel from arc-cosine moments, and half the second derivatives of the
    arc-cosine kernel with respect to K; nothing in common with Hermite weights.
    """
    with mpmath.workdps(40):
        root, pi = mpmath.sqrt, mpmath.pi

        def kernel(aa, ab, bb):
            angle = mpmath.acos(ab / root(aa * bb))
            return root(aa * bb) * (mpmath.sin(angle) + (pi - angle) * mpmath.cos(angle)) / 2 / pi

        aa, ab, bb = map(mpmath.mpf, K1)
        angle = mpmath.acos(ab / root(aa * bb))
        sin, cos = mpmath.sin(angle), mpmath.cos(angle)
        scale = [root(aa), root(bb)]

        def fourth(j):
            """E r_a^{4−j} r_b^j: ρ³ integrates to 8, the angle over where both are positive."""
            if j in (0, 4):
                return mpmath.mpf(3) / 2 * scale[j // 4] ** 4
            value = mpmath.quad(
                lambda t: mpmath.cos(t) ** (4 - j) * mpmath.cos(t - angle) ** j,
                [angle - pi / 2, pi / 2],
            )
            return scale[0] ** (4 - j) * scale[1] ** j * 8 * value / (2 * pi)

        assert mpmath.almosteq(
            fourth(2), aa * bb / 2 / pi * (3 * sin * cos + (pi - angle) * (1 + 2 * cos**2))
        )
        mean = [aa / 2, kernel(aa, ab, bb), bb / 2]
        V = [
            [weight_variance**2 * (fourth(i + j) - mean[i] * mean[j]) for j in range(3)]
            for i in range(3)
        ]
        K2 = [weight_variance * k for k in mean]
        total = mpmath.mpf(0)
        for i, j in itertools.product(range(3), repeat=2):
            orders = tuple((i == k) + (j == k) for k in range(3))
            total += V[i][j] * mpmath.diff(kernel, tuple(K2), orders, h=mpmath.mpf(10) ** -14)
        return float(weight_variance * total / 2)


@pytest.mark.parametrize(("angle", "digits"), [(1.2, 2e-14), (1e-2, 4e-14), (1e-4, 4e-14)])
def test_errors_are_honest_for_relu_at_any_angle(angle, digits):
    x = np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)]])
    q = ww.kernel_corrections(ww.MLP(2, "relu", weight_std=TWO), x)
    K1 = (x @ x.T)[[0, 0, 1], [0, 1, 1]]
    with mpmath.workdps(40):
        exact = [mpmath.mpf(1), mpmath.cos(mpmath.mpf(angle)), mpmath.mpf(1)]
    assert exact == pytest.approx([float(k) for k in K1], abs=1e-15)
    expected = relu_second(exact, 2)
    assert abs(q.second[0, 1] - expected) <= q.error.second[0, 1]
    assert q.error.second[0, 1] <= digits


@pytest.mark.parametrize("angle", [1.2, 1e-2, 1e-5])
def test_errors_are_honest_for_tanh_at_any_angle(angle):
    """K⁽²⁾ = σ_w² ⅛ V·⟨∂⁴φφ⟩ with the derivatives of tanh, by a trapezoid rule in the plane."""
    x = 2 * np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)]])
    w = 1.2
    q = ww.kernel_corrections(ww.MLP(2, "tanh", weight_std=w), x)
    line = np.arange(-12, 12.05, 0.1)
    weights = np.exp(-(line**2) / 2)
    weights = np.outer(weights, weights) / weights.sum() ** 2

    def plane(first, second, covariance):
        s = covariance[0] ** 0.5
        a = s * line[:, None]
        c = covariance[1] / s
        b = c * line[:, None] + max(covariance[2] - c**2, 0.0) ** 0.5 * line
        return (weights * first(a) * second(b)).sum()

    def derivative(order):
        series = np.polynomial.Polynomial([0.0, 1.0])
        for _ in range(order):
            series = series.deriv() * np.polynomial.Polynomial([1.0, 0.0, -1.0])
        return lambda z: series(np.tanh(z))

    # the exact conditional variance is (σ_w |x| sin)²/d; the gram would lose it at 1e-5
    K1 = np.array([1.0, np.cos(angle), np.cos(angle) ** 2 + np.sin(angle) ** 2]) * w**2 * 2
    moments = [
        plane(lambda z, i=i: np.tanh(z) ** (4 - i), lambda z, i=i: np.tanh(z) ** i, K1)
        for i in range(5)
    ]
    mean = [
        plane(lambda z, i=i: np.tanh(z) ** (2 - i), lambda z, i=i: np.tanh(z) ** i, K1)
        for i in range(3)
    ]
    expected = 0.0
    for i, j in itertools.product(range(3), repeat=2):
        V = w**4 * (moments[i + j] - mean[i] * mean[j])
        count = (1, 2, 1)[i] * (1, 2, 1)[j]
        fourth = plane(derivative(4 - i - j), derivative(i + j), w**2 * np.array(mean))
        expected += w**2 / 8 * V * count * fourth
    rival = 2e-13  # what the trapezoid rule keeps
    assert abs(q.second[0, 1] - expected) <= q.error.second[0, 1] + rival
    assert q.error.second[0, 1] <= 1e-12


# -------------------------------------------------------------------------------- simulation


@pytest.mark.parametrize(
    ("network", "n"),
    [
        (ww.MLP(2, "tanh", 1.3, 0.25, ratios=(1.5, 1.0)), 16),
        (ww.MLP(2, "relu", TWO), 16),
        (ww.MLP(2, "sigmoid", 2.5, 0.25, weight_law=EXPONENTIAL), 32),
        (ww.MLP(2, "tanh", 1.3, 1.0, bias_law=EXPONENTIAL, bias_scaling="fan_in"), 16),
    ],
)
def test_real_networks(network, n):
    """Mean and covariance of the kernel of 40000 networks, with room for the next power of n.

    The kernel of infinite width is refuted by the same networks.
    """
    members = 40_000
    q = ww.kernel_corrections(network, X2)
    skewed = q.first.any()

    @jax.jit
    def kernels(keys):
        def one(key):
            h = network.activation(network.apply(network.init(key, n, 3)[:-1], X2))
            scale, bias = network.weight_std[2], network.at_width(n, 3).bias_std[2]
            return bias**2 + scale**2 / h.shape[1] * h @ h.T

        return jax.vmap(one)(keys)

    keys = jax.random.split(jax.random.key(11), members).reshape(20, -1)
    K = np.concatenate([kernels(block) for block in keys])[:, [0, 0, 1], [0, 1, 1]]
    terms = np.stack([q.kernel, q.first * n**-0.5, q.second / n], 0)[:, [0, 0, 1], [0, 1, 1]]
    se = K.std(0, ddof=1) / members**0.5
    assert np.abs((K.mean(0) - terms[0]) / se).max() > 4
    room = (1.2 * np.abs(terms[1]).max() if skewed else 4 * np.abs(terms[2]).max()) / n
    assert (np.abs(K.mean(0) - terms.sum(0)) <= 3.5 * se + room).all()
    V = q.vertex().value[[0, 0, 1], [0, 1, 1]][:, [0, 0, 1], [0, 1, 1]] / n
    centred = K - K.mean(0)
    products = centred[:, :, None] * centred[:, None, :]
    room = np.sqrt(np.outer(np.diag(V), np.diag(V))) * (2 * n**-0.5 if skewed else 4 / n)
    assert (np.abs(products.mean(0) - V) <= 4 * products.std(0) / members**0.5 + room).all()


def test_real_networks_at_one_input():
    n, members = 16, 40_000
    network = ww.MLP(3, "tanh", 1.5, 0.2)
    sampled = sample_initial(network, n, [[0.8, -0.4]], members, jax.random.key(12))
    q = ww.kernel_corrections(network, [[0.8, -0.4]])
    K = 0.2**2 + 1.5**2 * sampled.second
    se, correction = K.std(ddof=1) / members**0.5, q.second[0, 0] / n
    assert abs(K.mean() - q.kernel[0, 0]) > 5 * se
    assert abs(K.mean() - q.kernel[0, 0] - correction) <= 3.5 * se + 4 / n * abs(correction)
    V = q.vertex_form([[1.0]], [[1.0]]).value / n
    assert K.var(ddof=1) == pytest.approx(V, rel=4 * (2 / members) ** 0.5 + 4 / n)


# ----------------------------------------------------------------------------- what is refused


def test_kernel_agrees_with_limit_kernels():
    x = np.random.default_rng(10).normal(size=(20, 5))
    for activation in ("relu", "tanh", "gelu"):
        network = net(activation, depth=3)
        q, k = ww.kernel_corrections(network, x), ww.limit_kernels(network, x)
        assert (np.abs(q.kernel - k.nngp) <= q.error.kernel + k.error).all()
        assert q.error.kernel.max() <= 1e-13


def test_a_large_first_layer_that_is_not_gaussian():
    """Ten points share their random neurons; the pairs alone have quadratures."""
    x = np.random.default_rng(13).normal(size=(10, 3))
    network = net("tanh", bias_std=0.0, weight_law="uniform")
    q, k = ww.kernel_corrections(network, x), ww.limit_kernels(network, x)
    alone = ww.kernel_corrections(network, x[:2])
    assert (np.abs(q.kernel - k.nngp) <= q.error.kernel + k.error).all()
    difference = np.abs(q.second[:2, :2] - alone.second)
    assert (difference <= 2 * q.error.second[:2, :2] + alone.error.second).all()
    assert q.error.second.max() <= 1e-3 * np.abs(q.second).max()


def test_too_many_points_for_the_dense_vertex():
    q = ww.kernel_corrections(net("relu", depth=1), np.ones((41, 2)))
    with pytest.raises(ValueError, match=r"41 points has 41\^4 entries.*vertex_form"):
        q.vertex()


def test_wrong_arguments(unchecked):
    network = net("tanh")
    with pytest.raises(ValueError, match="points, inputs"):
        ww.kernel_corrections(network, [1.0, 2.0])
    with pytest.raises(ValueError, match="samples must be"):
        ww.kernel_corrections(network, X2, samples=0)
    with pytest.raises(ValueError, match="tolerance must be"):
        ww.kernel_corrections(network, X2, tolerance=-1.0)
    q = ww.kernel_corrections(network, X2)
    with pytest.raises(ValueError, match=r"A must be .*shape \(2, 2\).*got shape \(3, 3\)"):
        q.vertex_form(np.eye(3), np.eye(2))
    with pytest.raises(ValueError, match=r"B must be .*shape \(2, 2\)"):
        q.vertex_form(np.eye(2), [1.0, 2.0])
    with pytest.raises(ValueError, match=r"direction must hold 2 .*got shape \(3,\)"):
        q.fourth_cumulant(np.ones(3))
    with pytest.raises(ValueError, match="direction must hold 2"):
        q.third_cumulant([[1.0, 1.0]])


@pytest.mark.parametrize("factor", [0.0, 2.0])
def test_vanishing_biases_about_a_degenerate_limit(factor):
    network = shrinking("relu", bias_std=(0.0, 0.5, 0.5))
    with pytest.raises(ValueError, match=r"inputs \[0, 1\] are zero or parallel.*fan_in"):
        ww.kernel_corrections(network, X2[[0, 0]] * [[1.0], [factor]])


def test_laws_without_a_fourth_moment():
    law = ["gaussian", "gaussian", ww.laws.StudentT(3.5)]
    with pytest.raises(ValueError, match="moment of order 4 of the weights that read hidden"):
        ww.kernel_corrections(net("tanh", weight_law=law), X2)


def test_an_undeclared_kink_is_refused():
    network = ww.MLP(2, ww.activations.get(lambda z: jax.numpy.abs(z - 0.3)), 1.3)
    with pytest.raises(QuadratureError, match="kinks"):
        ww.kernel_corrections(network, X2)
