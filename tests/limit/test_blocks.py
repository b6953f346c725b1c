"""Block-wise limit kernels against pairwise quadrature, finite differences, and themselves."""

import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import widthwise as ww
from widthwise.algebra.arctangent import arctan2
from widthwise.limit import grid, hermite_series, mehler

X = np.random.default_rng(7).standard_normal((6, 3))


def test_arctangent_equals_long_double():
    random = np.random.default_rng(0)
    y = random.standard_normal(20000) * 10.0 ** random.uniform(-8, 8, 20000)
    x = np.abs(random.standard_normal(20000))
    exact = np.arctan2(y.astype(np.longdouble), x.astype(np.longdouble))
    made = np.asarray(arctan2(jnp.asarray(y), jnp.asarray(x)))
    assert np.max(np.abs(made - exact) / np.abs(exact)) < 6e-16
    edges = arctan2(jnp.array([0.0, 1.0, -1.0, 2.0]), jnp.array([0.0, 0.0, 0.0, 2.0]))
    assert edges == pytest.approx([0.0, np.pi / 2, -np.pi / 2, np.pi / 4], abs=3e-16)


def softsine(z):
    return jnp.sin(2 * z) + 0.1 * z**2


@pytest.mark.parametrize(
    "activation",
    ["tanh", *(pytest.param(f, marks=pytest.mark.slow) for f in ("sigmoid", "silu")), softsine],
)
def test_hermite_series_equals_quadrature(activation):
    x = np.concatenate([X, X[:1] * (1 + 1e-9), 2 * X[:1], np.zeros((1, 3)), X[:1]])
    net = ww.MLP(2, activation, weight_std=1.4, bias_std=0.3)
    series, exact = (ww.limit_kernels(net, x, method=m) for m in ("auto", "quadrature"))
    assert np.abs(series.nngp - exact.nngp).max() < 1e-13
    assert np.abs(series.ntk - exact.ntk).max() < 5e-13
    assert (np.abs(series.ntk - exact.ntk) <= series.error + exact.error).all()
    assert series.error.max() < 2e-11


def test_a_steep_activation_keeps_its_accuracy_at_nearly_parallel_inputs():
    steep = ww.activations.get(lambda z: jnp.tanh(3 * z))
    x = np.array([[1.0, 0.5], [1.0, 0.5001], [1.0, 0.51], [-0.4, 1.0]])
    net = ww.MLP(1, steep, weight_std=1.2)
    series = ww.limit_kernels(net, x)
    exact = ww.limit_kernels(net, x, method="quadrature", tolerance=1e-9)
    assert np.abs(series.ntk - exact.ntk).max() < 1e-11
    assert (np.abs(series.ntk - exact.ntk) <= series.error + exact.error).all()


def test_coefficients_interpolated_over_many_points_equal_those_of_each():
    variance = jnp.linspace(0.3, 4.0, 150)
    activation = ww.activations.get("tanh")
    many, squares = hermite_series.tabulate(activation, 256, variance)
    few, squares_few = hermite_series.tabulate(activation, 256, variance[::10])
    assert np.abs(many.value[:, ::10] - few.value).max() < 1e-14
    assert np.abs(many.slope[:, ::10] - few.slope).max() < 1e-14
    assert squares.value[::10] == pytest.approx(np.asarray(squares_few.value), abs=1e-14)


def test_a_cut_series_is_as_accurate_as_it_says_and_refuses_what_it_cannot_do():
    activation, variance = ww.activations.get("tanh"), jnp.array([1.1, 2.0, 3.0])
    whole, _ = hermite_series.tabulate(activation, 256, variance)
    short = hermite_series.cut(activation, whole, 64)
    assert short is not None
    assert short.value.shape == (32, 3)
    assert hermite_series.cut(activation, whole, 1024) is None
    rho = jnp.array([[0.5, 0.9, 0.97], [0.99, -0.999, 1.0], [0.1, -0.7, 0.0]])
    full = mehler.pair_sums("odd", whole, whole, rho, 0.0)
    some = mehler.pair_sums("odd", short, short, rho, 0.0)
    scale = jnp.sqrt(jnp.sum(whole.value**2, 0))
    gap = jnp.abs(some.value - full.value) / (scale[:, None] * scale)
    assert (gap <= some.error + full.error + 1e-15).all()
    assert gap.max() > 1e-9  # both kinds of pairs are here
    assert some.error.min() < 1e-13


def test_many_blocks_of_a_series_equal_quadrature_of_a_few_pairs():
    x = np.random.default_rng(1).standard_normal((150, 3))
    x[140] = x[3]
    net = ww.MLP(2, "tanh", weight_std=1.4, bias_std=0.2)
    whole, some = ww.limit_kernels(net, x), [3, 140, 7, 149]
    exact = ww.limit_kernels(net, x[some], method="quadrature")
    assert np.abs(whole.ntk[np.ix_(some, some)] - exact.ntk).max() < 2e-12
    assert abs(whole.ntk[3, 140] - whole.ntk[3, 3]) < 2e-15
    assert np.abs(whole.ntk - whole.ntk.T).max() == 0.0


@pytest.mark.parametrize("activation", ["relu", pytest.param("tanh", marks=pytest.mark.slow)])
def test_many_blocks_equal_single_points(activation):
    x = np.random.default_rng(1).standard_normal((150, 3))
    x[140] = x[3]
    net = ww.MLP(2, activation, weight_std=1.4, bias_std=0.2)
    whole = ww.limit_kernels(net, x)
    some = [3, 140, 7, 149]
    part = ww.limit_kernels(net, x[some])
    assert np.abs(whole.ntk[np.ix_(some, some)] - part.ntk).max() < 2e-12
    assert abs(whole.ntk[3, 140] - whole.ntk[3, 3]) < 2e-15
    assert whole.error[3, 140] < 1e-13
    assert np.abs(whole.ntk - whole.ntk.T).max() == 0.0
    block = ww.limit_kernels(net, x[:5], x)
    assert np.abs(block.ntk - whole.ntk[:5]).max() < 2e-12
    diagonal = ww.limit_kernels(net, x, diagonal=True)
    assert np.abs(diagonal.ntk - np.diag(whole.ntk)).max() < 1e-13
    assert np.abs(diagonal.nngp - np.diag(whole.nngp)).max() < 1e-13


def test_the_diagonal_of_a_layer_that_is_not_gaussian():
    net = ww.MLP(1, "tanh", weight_law=("uniform", "gaussian"), weight_std=1.3)
    whole = ww.limit_kernels(net, X[:3, :2])
    diagonal = ww.limit_kernels(net, X[:3, :2], diagonal=True)
    assert diagonal.ntk == pytest.approx(np.diag(whole.ntk), abs=1e-12)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_float32_is_within_its_own_error(activation):
    net = ww.MLP(2, activation, weight_std=1.4, bias_std=0.2)
    short = ww.limit_kernels(net, X, precision="float32")
    exact = ww.limit_kernels(net, X)
    assert short.ntk.dtype == short.error.dtype == np.float32
    assert (np.abs(short.ntk - exact.ntk) <= short.error).all()
    assert short.error.max() < 2e-4


@pytest.mark.parametrize(
    ("activation", "depth"),
    [("erf", 2), ("relu", 2), ("tanh", 1), pytest.param("tanh", 2, marks=pytest.mark.slow)],
)
def test_derivatives_equal_finite_differences(activation, depth):
    weights = np.random.default_rng(3).standard_normal((4, 4))

    def loss(weight_std, bias_std, x):
        k = ww.limit_kernels(ww.MLP(depth, activation, weight_std, bias_std), x)
        return ((k.nngp + k.ntk) * weights).sum()

    slopes = jax.grad(loss, argnums=(0, 1, 2))(1.4, 0.3, jnp.asarray(X[:4]))
    e, shift = 1e-5, np.zeros((4, 3))
    shift[1, 2] = e
    for slope, up, down in (
        (slopes[0], (1.4 + e, 0.3, X[:4]), (1.4 - e, 0.3, X[:4])),
        (slopes[1], (1.4, 0.3 + e, X[:4]), (1.4, 0.3 - e, X[:4])),
        (slopes[2][1, 2], (1.4, 0.3, X[:4] + shift), (1.4, 0.3, X[:4] - shift)),
    ):
        assert slope == pytest.approx((loss(*up) - loss(*down)) / (2 * e), rel=1e-7, abs=1e-7)


def test_traced_kernels_equal_concrete_ones():
    net = ww.MLP(2, "tanh", 1.4, 0.3)
    traced = jax.jit(lambda x, x2: ww.limit_kernels(net, x, x2))(X[:4], X)
    concrete = ww.limit_kernels(net, X[:4], X)
    assert np.abs(traced.ntk - concrete.ntk).max() < 1e-13


def test_bad_points_are_refused_where_scales_are_traced():
    def slope(x, x2=None):
        return jax.grad(lambda w: ww.limit_kernels(ww.MLP(1, "erf", w), x, x2).ntk.sum())(1.0)

    with pytest.raises(ValueError, match=r"x holds nan at index \(0, 1\)"):
        slope([[1.0, np.nan]])
    with pytest.raises(ValueError, match="x2 has 2"):
        slope(X, X[:, :2])
    with pytest.raises(ValueError, match=r"x must have shape \(points, inputs\).*reshape"):
        slope([1.0, 2.0])


FOUR_DEVICES = """
import jax; jax.config.update("jax_enable_x64", True)
import numpy as np, widthwise as ww
assert len(jax.devices()) == 4
x = np.random.default_rng(0).standard_normal((400, 3))
for name in ("relu", "tanh"):
    net = ww.MLP(2, name, 1.4, 0.2)
    four, one = (ww.limit_kernels(net, x, devices=jax.devices()[:n]) for n in (4, 1))
    assert (four.ntk == one.ntk).all() and (four.error == one.error).all()
    some = ww.limit_kernels(net, x[:5], x, devices=jax.devices()[1:4])
    assert np.abs(some.nngp - one.nngp[:5]).max() < 1e-13
print("equal")
"""


@pytest.mark.slow
def test_four_devices_give_the_numbers_of_one(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
    run = subprocess.run([sys.executable, "-c", FOUR_DEVICES], capture_output=True, text=True)
    assert run.stdout.strip() == "equal", run.stderr


KILLED = """
import os, sys
import jax; jax.config.update("jax_enable_x64", True)
import numpy as np, widthwise as ww
x = np.random.default_rng(0).standard_normal((500, 3))
def progress(done, total):
    if done == 4:
        os.kill(os.getpid(), 9)
ww.store_limit_kernels(ww.MLP(2, "relu", 1.4, 0.2), x, sys.argv[1], block=128, progress=progress)
"""


def test_a_killed_run_resumes_and_ends_bit_for_bit(tmp_path):
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), tmp_path / "a"])
    assert killed.returncode == -9
    x = np.random.default_rng(0).standard_normal((500, 3))
    net = ww.MLP(2, "relu", 1.4, 0.2)
    steps = []
    resumed = ww.store_limit_kernels(
        net, x, tmp_path / "a", block=128, progress=lambda *done: steps.append(done)
    )
    assert steps == [(n, 10) for n in range(5, 11)]
    straight = ww.store_limit_kernels(net, x, tmp_path / "b", block=128)
    kernels = ww.limit_kernels(net, x)
    for name in ("nngp", "ntk", "error"):
        values = getattr(resumed, name)[:]
        assert (values == getattr(straight, name)[:]).all()
        assert np.abs(values - getattr(kernels, name)).max() < 1e-12
    with pytest.raises(ValueError, match="holds something else"):
        ww.store_limit_kernels(net, x + 1, tmp_path / "a", block=128)


def test_stored_rectangles_and_slow_routes(tmp_path):
    net = ww.MLP(1, "tanh", 1.4, bias_std=0.3, bias_law="rademacher")
    stored = ww.store_limit_kernels(net, X, tmp_path / "a", X[:2], precision="float32")
    assert stored.ntk.dtype == np.float32
    assert stored.ntk[:] == pytest.approx(ww.limit_kernels(net, X, X[:2]).ntk, rel=1e-6)


def test_bad_requests_say_what_to_do(tmp_path):
    net = ww.MLP(1, "relu")
    with pytest.raises(ValueError, match="belongs to one data set"):
        ww.limit_kernels(net, X, X, diagonal=True)
    with pytest.raises(ValueError, match="multiple of 128, got 100"):
        ww.store_limit_kernels(net, X, tmp_path / "a", block=100)
    uniform = ww.MLP(1, "relu", weight_law=("uniform", "gaussian"))
    with pytest.raises(ValueError, match="first weights uniform"):
        jax.jit(lambda x: ww.limit_kernels(uniform, x).ntk)(X)
    assert not grid.applies(uniform)
