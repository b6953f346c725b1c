"""Limit kernels: published numbers, closed form against quadrature, structure, bad input."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import widthwise as ww

X = np.array([[1.0, 0.2, -0.4], [0.3, -0.8, 0.9]])


def test_gaussian_pair_moments_of_the_reference_covariance():
    from widthwise.limit.layer import pair_moments

    triple = np.array([[1.3, 0.4, 0.9]])
    for name, exact in (
        ("erf", 0.16216101353235),
        ("relu", 0.28406350643848),
        ("gelu", 0.2025280747157),
    ):
        assert pair_moments(ww.activations.get(name), triple, 1e-12).value[0] == pytest.approx(
            exact, abs=2e-14
        )


def test_relu_depth_two_reference():
    net = ww.MLP(2, "relu", weight_std=2**0.5)
    kernels = ww.limit_kernels(net, X)
    assert kernels.nngp == pytest.approx(
        np.array([[0.8, 0.40639932054], [0.40639932054, 1.02666666667]]), abs=5e-12
    )


def test_configuration_r_reference():
    net = ww.MLP(1, "tanh", weight_std=(1.5, 1.0), bias_std=(0.5, 0.0))
    kernels = ww.limit_kernels(net, [[-1.0], [0.3], [1.2], [-0.4], [2.0]])
    assert kernels.nngp[[0, 4, 0], [0, 4, 4]] == pytest.approx(
        [0.55882143, 0.74836084, -0.53357318], abs=6e-9
    )
    assert kernels.ntk[[0, 2, 4], [0, 2, 0]] == pytest.approx(
        [1.35109144, 1.56518796, -1.25056126], abs=6e-9
    )
    assert np.linalg.eigvalsh(kernels.ntk[:3, :3]) == pytest.approx(
        [0.14023923, 0.60847301, 2.70176952], abs=6e-9
    )


def test_deep_tanh_reference():
    net = ww.MLP(2, "tanh", weight_std=(1.3, 1.3, 1.0), bias_std=(0.4, 0.3, 0.0))
    x = [[1.0, 0.2], [-0.3, 1.0], [-0.8, -0.6], [0.5, 0.9]]
    kernels = ww.limit_kernels(net, x)
    assert kernels.nngp[0, 1] == pytest.approx(0.0575181881, abs=6e-11)
    assert kernels.ntk[0, 1] == pytest.approx(0.1345128688, abs=6e-11)
    assert kernels.ntk[3, 0] == pytest.approx(0.7198984089, abs=6e-11)


@pytest.mark.parametrize("name", ["erf", "relu", "gelu", "sin", "abs"])
@pytest.mark.parametrize("depth", [1, 3])
def test_quadrature_path_equals_closed_form(name, depth):
    x = np.random.default_rng(2).standard_normal((6, 3))
    x[5] = x[4] * (1 + 1e-3)
    net = ww.MLP(depth, name, weight_std=1.4, bias_std=0.2)
    closed = ww.limit_kernels(net, x, method="closed_form")
    numerical = ww.limit_kernels(net, x, method="quadrature")
    assert np.abs(closed.nngp - numerical.nngp).max() < 1e-10
    assert np.abs(closed.ntk - numerical.ntk).max() < 1e-10
    assert (np.abs(closed.ntk - numerical.ntk) <= numerical.error + closed.error + 1e-13).all()


def test_rectangle_is_a_block_of_the_square():
    x = np.random.default_rng(3).standard_normal((7, 2))
    net = ww.MLP(2, "tanh", weight_std=1.2, bias_std=0.4)
    square, block = ww.limit_kernels(net, x), ww.limit_kernels(net, x[:3], x[3:])
    assert np.abs(square.ntk[:3, 3:] - block.ntk).max() < 1e-13
    assert np.abs(square.nngp[:3, 3:] - block.nngp).max() < 1e-13
    assert np.abs(square.ntk - square.ntk.T).max() == 0.0


def test_one_point_and_a_zero_point():
    net = ww.MLP(2, "relu", weight_std=2**0.5)
    assert ww.limit_kernels(net, [[1.0]]).ntk.shape == (1, 1)
    kernels = ww.limit_kernels(net, [[0.0, 0.0], [1.0, 2.0]])
    assert np.isfinite(kernels.ntk).all()
    assert kernels.nngp[0, 0] == 0.0


def test_scales_per_layer_equal_a_hand_computation():
    net = ww.MLP(1, "identity", weight_std=(2.0, 3.0), bias_std=(0.5, 0.7))
    kernels = ww.limit_kernels(net, [[1.0, -1.0]])
    first = 0.25 + 4.0
    assert kernels.nngp[0, 0] == pytest.approx(0.49 + 9 * first)
    assert kernels.ntk[0, 0] == pytest.approx(0.49 + 9 * first + 9 * first)


def test_non_gaussian_bias_enters_the_limit():
    """E over a Rademacher bias is the average over its two values."""
    x = np.array([[0.7], [-0.4]])
    net = ww.MLP(1, "tanh", weight_std=1.2, bias_std=(0.9, 0.0), bias_law="rademacher")
    kernels = ww.limit_kernels(net, x)
    u = np.linspace(-10, 10, 20001)
    w = np.exp(-u * u / 2)
    w /= w.sum()
    h = [np.tanh(1.2 * x[:, :1] * u + sign * 0.9) for sign in (1, -1)]
    exact = 1.44 * np.mean([(v * w) @ v.T for v in h], 0)
    assert np.abs(kernels.nngp - exact).max() < 1e-12


def test_digits_lost_between_nearly_parallel_inputs_are_in_the_error():
    x = np.array([[1.0, 0.5], [1.0, 0.5 + 1e-7], [0.3, -1.0]])
    net = ww.MLP(3, "abs", weight_std=1.4, bias_std=0.2)
    closed, numerical = (ww.limit_kernels(net, x, method=m) for m in ("closed_form", "quadrature"))
    assert np.abs(closed.ntk - numerical.ntk).max() > 1e-12
    assert (np.abs(closed.ntk - numerical.ntk) <= numerical.error + closed.error).all()


@pytest.mark.parametrize(
    "law",
    ["uniform", *(pytest.param(law, marks=pytest.mark.slow) for law in ("laplace", "exponential"))],
)
def test_deep_kernels_with_non_gaussian_biases_against_wide_networks(law):
    """Monte Carlo over neurons of an effectively infinite second layer."""
    net = ww.MLP(2, "tanh", weight_std=1.3, bias_std=0.8, bias_law=law)
    x = np.array([[0.5, -1.0], [1.0, 0.3]])
    keys = jax.random.split(jax.random.key(5), 400)
    one = jax.jit(lambda k: net.apply(net.init(k, 512, 2), x)[:, 0])
    outputs = np.array([one(k) for k in keys])
    products = np.asarray(outputs[:, 0] * outputs[:, 1])
    exact = ww.limit_kernels(net, x).nngp[0, 1]
    assert abs(products.mean() - exact) < 4 * products.std() / 20 + 0.01


def test_standard_parametrization_freezes_first_layer_and_biases():
    net = ww.MLP(1, "erf", weight_std=(1.5, 2.0), bias_std=0.3, parametrization="standard")
    ntk_net = ww.MLP(1, "erf", weight_std=(1.5, 2.0), bias_std=0.3)
    x = np.random.default_rng(0).standard_normal((4, 2))
    kernels, native = ww.limit_kernels(net, x), ww.limit_kernels(ntk_net, x)
    assert np.abs(kernels.nngp - native.nngp).max() == 0.0
    assert kernels.ntk == pytest.approx((native.nngp - 0.09) / 4.0)


def test_standard_parametrization_is_the_limit_of_real_networks():
    net = ww.MLP(2, "tanh", weight_std=1.5, bias_std=0.3, parametrization="standard")
    x = np.random.default_rng(0).standard_normal((3, 2))
    limit = ww.limit_kernels(net, x).ntk
    keys = jax.random.split(jax.random.key(1), 40)
    wide = np.mean([ww.empirical_ntk(net, net.init(k, 1024, 2), x) for k in keys], 0)
    assert np.abs(wide - limit).max() < 0.02 * limit.max()


def test_bad_input_says_what_to_do():
    net = ww.MLP(1, "tanh")
    with pytest.raises(ValueError, match=r"reshape\(-1, 1\)"):
        ww.limit_kernels(net, np.zeros(3))
    with pytest.raises(ValueError, match="nan at index"):
        ww.limit_kernels(net, np.array([[np.nan]]))
    with pytest.raises(ValueError, match="inputs per point"):
        ww.limit_kernels(net, np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="no closed-form kernel"):
        ww.limit_kernels(net, np.ones((2, 3)), method="closed_form")
    with pytest.raises(ValueError, match="is empty"):
        ww.limit_kernels(net, np.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"tolerance must be a finite number above 0, got -1\.0"):
        ww.limit_kernels(net, np.ones((2, 3)), tolerance=-1.0)
    with pytest.raises(ValueError, match="one or more JAX devices"):
        ww.limit_kernels(net, np.ones((2, 3)), devices=[])
    with pytest.raises(ValueError, match="got complex ones"):
        ww.limit_kernels(net, np.ones((2, 3)) * 1j)
    undeclared = ww.MLP(1, lambda z: jnp.where(z > 0.1, 1.0, 0.0))
    with pytest.raises(ValueError, match="declare the activation's kinks"):
        ww.limit_kernels(undeclared, np.ones((1, 3)), method="quadrature")


@pytest.mark.slow
def test_an_undeclared_kink_is_found_after_the_hermite_series_gave_up():
    undeclared = ww.MLP(1, lambda z: jnp.where(z > 0.1, 1.0, 0.0))
    with pytest.raises(ValueError, match="declare the activation's kinks"):
        ww.limit_kernels(undeclared, np.ones((2, 3)))


def test_scales_whose_squares_overflow_are_refused():
    """The determinant of two variances would be 0 or infinite: all inputs would look parallel."""
    net = ww.MLP(1, "relu")
    assert ww.limit_kernels(net, X * 1e60).ntk == pytest.approx(
        1e120 * ww.limit_kernels(net, X).ntk
    )
    for scale, options in ((1e80, {}), (1e200, {}), (1e-11, {"precision": "float32"})):
        with pytest.raises(ValueError, match="whose square is outside the range of float"):
            ww.limit_kernels(net, X * scale, **options)


def test_kernels_of_concrete_numbers_are_constants_inside_jit():
    net = ww.MLP(1, "relu", weight_law=("uniform", "gaussian"))
    inside = jax.jit(lambda s: s * ww.limit_kernels(net, X[:, :2]).ntk)(2.0)
    assert inside == pytest.approx(2 * ww.limit_kernels(net, X[:, :2]).ntk, rel=1e-14)


def test_float32_mode_is_refused_with_the_line_to_add():
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(RuntimeError, match="jax_enable_x64"):
            ww.limit_kernels(ww.MLP(1, "erf"), np.ones((1, 1)))
    finally:
        jax.config.update("jax_enable_x64", True)


def _exact_kernels(name, x, depth, weight_std, bias_std):
    """The recursion of relu or erf in 50 digits, for every pair of points."""
    mp = mpmath.mp.clone()
    mp.dps = 50
    w, b = mp.mpf(weight_std) ** 2, mp.mpf(bias_std) ** 2

    def moments(p, c, q):
        if name == "erf":
            root = mp.sqrt((1 + 2 * p) * (1 + 2 * q) - 4 * c * c)
            return 2 / mp.pi * mp.atan2(2 * c, root), 4 / mp.pi / root
        root = mp.sqrt(max(p * q - c * c, mp.mpf(0)))
        angle = mp.atan2(root, c)
        return (root + c * (mp.pi - angle)) / (2 * mp.pi), (mp.pi - angle) / (2 * mp.pi)

    rows = [[mp.mpf(float(v)) for v in row] for row in x]
    gram = [[mp.fdot(r, s) / len(r) for s in rows] for r in rows]
    m = len(rows)
    K = [[b + w * gram[i][j] for j in range(m)] for i in range(m)]
    T = [row[:] for row in K]
    for _ in range(depth):
        made = [[moments(K[i][i], K[i][j], K[j][j]) for j in range(m)] for i in range(m)]
        T = [
            [b + w * (made[i][j][0] + made[i][j][1] * T[i][j]) for j in range(m)] for i in range(m)
        ]
        K = [[b + w * made[i][j][0] for j in range(m)] for i in range(m)]
    return (np.array([[float(v) for v in row] for row in values]) for values in (K, T))


@pytest.mark.parametrize("name", ["relu", "erf"])
@pytest.mark.parametrize(("weight_std", "bias_std"), [(1.4, 0.2), (3e-4, 0.0), (30.0, 1.0)])
def test_closed_forms_equal_fifty_digits_within_their_errors(name, weight_std, bias_std):
    """Nearly parallel, opposite, orthogonal, long and short inputs, in one block."""
    x = np.random.default_rng(4).standard_normal((9, 4))
    x[1], x[2], x[3] = x[0] * (1 + 1e-9), -x[0], x[0] + 1e-5 * x[4]
    x[5], x[6], x[7] = [1.0, 0, 0, 0], [0, 1.0, 0, 0], 1e3 * x[8]
    net = ww.MLP(3, name, weight_std, bias_std)
    made = ww.limit_kernels(net, x)
    scale = np.sqrt(np.outer(np.diag(made.ntk), np.diag(made.ntk)))
    for values, exact in zip(
        (made.nngp, made.ntk), _exact_kernels(name, x, 3, weight_std, bias_std), strict=True
    ):
        assert (np.abs(values - exact) <= made.error).all()
    assert (made.error <= 1e-6 * scale).all()
    if weight_std < 2:
        plain = np.array([0, 4, 5, 6, 8])
        assert (made.error <= 1e-13 * scale)[np.ix_(plain, plain)].all()
