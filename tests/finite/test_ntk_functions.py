"""The empirical NTK of any function against its Jacobian written out; products without a kernel."""

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

import widthwise as ww
from widthwise.finite.ntk.analysis import Analysis, analyse
from widthwise.finite.ntk.cost import plan
from widthwise.finite.ntk.function import subject

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((6, 3))
IMAGES = RANDOM.standard_normal((5, 2, 6, 6))
COMPONENTS = ("mean", "diagonal", "full")


def written_out(apply, parameters, x, x2):
    """Θ (points, points2, outputs, outputs) from the derivative by one flat vector."""
    flat, unravel = jax.flatten_util.ravel_pytree(parameters)

    def jacobian(x):
        J = jax.jit(jax.jacobian(lambda p: apply(unravel(p), jnp.asarray(x))))(flat)
        return J if J.ndim == 3 else J[:, None]

    return np.einsum("aki,bji->abkj", jacobian(x), jacobian(x2))


def entries(theta, components):
    diagonal = np.einsum("abkk->abk", theta)
    return {"mean": diagonal.mean(2), "diagonal": diagonal, "full": theta}[components]


def close(ours, theirs, tolerance=1e-12):
    return np.abs(np.asarray(ours) - theirs).max() <= tolerance * np.abs(theirs).max()


def dense(tree, x):
    """A function of a nested dictionary, with normalization over features."""
    h = jnp.tanh(x @ tree["params"]["hidden"]["kernel"] + tree["params"]["hidden"]["bias"])
    h = (h - h.mean(-1, keepdims=True)) / jnp.sqrt(h.var(-1, keepdims=True) + 1e-3)
    return (h @ tree["params"]["readout"]) * tree["scale"]


TREE = {
    "params": {
        "hidden": {"kernel": RANDOM.standard_normal((3, 8)), "bias": jnp.linspace(-1, 1, 8)},
        "readout": RANDOM.standard_normal((8, 4)),
    },
    "scale": jnp.asarray(0.5),
}


class Convolutional(eqx.Module):
    """Two convolutions, a pooling, a readout: single precision, as Equinox makes it."""

    layers: list
    readout: eqx.nn.Linear

    def __init__(self, key):
        keys = jax.random.split(key, 3)
        self.layers = [
            eqx.nn.Conv2d(2, 4, 3, key=keys[0], dtype=jnp.float32),
            jax.nn.gelu,
            eqx.nn.Conv2d(4, 3, 2, stride=2, key=keys[1], dtype=jnp.float32),
            jax.nn.relu,
        ]
        self.readout = eqx.nn.Linear(3, 2, key=keys[2], dtype=jnp.float32)

    def __call__(self, image):
        for layer in self.layers:
            image = layer(image)
        return self.readout(image.mean((1, 2)))


MODEL = Convolutional(jax.random.key(0))
ARRAYS, STATIC = eqx.partition(MODEL, eqx.is_inexact_array)


def convolutional(arrays, images):
    return jax.vmap(eqx.combine(arrays, STATIC))(images)


CASES = {
    "dictionary": (dense, TREE, X),
    "convolutional": (convolutional, ARRAYS, IMAGES),
    "one output": (lambda tree, x: dense(tree, x)[:, 0], TREE, X),
    "one point": (dense, TREE, X[:1]),
}


@pytest.mark.parametrize("method", ["jacobian", "products"])
@pytest.mark.parametrize("name", CASES)
def test_functions_of_any_tree_have_the_kernel_of_their_jacobian(name, method):
    apply, parameters, x = CASES[name]
    double = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), parameters)
    for x2 in (None, x[:1] + 0.5) if name == "dictionary" else (x[:1] + 0.5,):
        full = written_out(apply, double, x, x if x2 is None else x2)
        for components in COMPONENTS if name == "dictionary" else ("full",):
            ours = ww.empirical_ntk(apply, parameters, x, x2, components=components, method=method)
            assert close(ours, entries(full, components))


def test_equinox_modules_need_no_partition_by_hand():
    theta = ww.empirical_ntk(lambda model, x: jax.vmap(model)(x), MODEL, IMAGES)
    assert close(theta, np.asarray(ww.empirical_ntk(convolutional, ARRAYS, IMAGES)), 1e-14)


def test_leaves_that_are_not_floating_point_stay_fixed():
    def apply(tree, x):
        return x[:, tree["columns"]] @ tree["w"]

    tree = {"columns": np.array([0, 2]), "w": np.ones((2, 1)), "unused": jnp.zeros((0, 3))}
    assert close(ww.empirical_ntk(apply, tree, X), X[:, [0, 2]] @ X[:, [0, 2]].T)


@pytest.mark.parametrize("points2", [None, 4])
def test_products_are_those_of_the_kernel(points2):
    x2 = None if points2 is None else X[:points2] - 0.3
    full = np.asarray(ww.empirical_ntk(dense, TREE, X, x2, components="full"))
    v = np.random.default_rng(1).standard_normal((2, 3, points2 or 6, 4))
    wanted = np.einsum("abkj,stbj->stak", full, v)
    for memory in (5e8, 3e3):
        ours = ww.ntk_vector_product(dense, TREE, X, v, x2, memory=memory)
        assert close(ours, wanted)
        assert close(ww.ntk_vector_product(dense, TREE, X, v[0, 1], x2), wanted[0, 1])


@pytest.mark.parametrize("parametrization", ["ntk", "standard"])
def test_products_of_a_perceptron_know_its_learning_rates(parametrization):
    net = ww.MLP(2, "gelu", 1.3, 0.4, ratios=(1.0, 2.0), outputs=2, parametrization=parametrization)
    parameters = net.init(jax.random.key(0), 8, 3)
    v = np.random.default_rng(1).standard_normal((6, 2))
    full = ww.empirical_ntk(net, parameters, X, components="full")
    wanted = np.einsum("abkj,bj->ak", full, v)
    assert close(ww.ntk_vector_product(net, parameters, X, v), wanted)
    single = ww.MLP(1)
    parameters = single.init(jax.random.key(0), 8, 3)
    theta = np.asarray(ww.empirical_ntk(single, parameters, X))
    ours = ww.ntk_vector_product(single, parameters, X, v[:, 0])
    assert close(ours, (theta @ v[:, 0])[:, None])


def test_functions_can_be_mapped_over_parameters():
    stack = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf), 2.0 * leaf]), TREE)
    theta = jax.vmap(lambda tree: ww.empirical_ntk(dense, tree, X))(stack)
    double = jax.tree.map(lambda leaf: 2.0 * leaf, TREE)
    assert close(theta[1], np.asarray(ww.empirical_ntk(dense, double, X)), 1e-13)


def test_functions_may_take_traced_points():
    theta = np.asarray(ww.empirical_ntk(dense, TREE, X, method="jacobian"))
    v = np.ones((6, 4))

    @jax.jit
    def traced(x):
        product = ww.ntk_vector_product(dense, TREE, x, v)
        return ww.empirical_ntk(dense, TREE, x, method="jacobian"), product

    kernel, product = traced(X)
    assert close(kernel, theta)
    assert close(product, np.asarray(ww.ntk_vector_product(dense, TREE, X, v)))
    with pytest.raises(ValueError, match=r"x must have shape .* got shape \(3,\)"):
        jax.vmap(lambda x: ww.empirical_ntk(dense, TREE, x))(X)


# Refusals. ----------------------------------------------------------------------------------------


def batch_norm(tree, x):
    h = x @ tree["w"]
    return jnp.tanh((h - h.mean(0)) / jnp.sqrt(h.var(0) + 1e-5))


@pytest.mark.parametrize("points", [1, 2, 6])
def test_a_batch_norm_is_refused(points):
    tree, x = {"w": jnp.eye(3)}, np.tile(X[:1], (points, 1))
    with pytest.raises(ValueError, match="couples the points of a batch"):
        ww.empirical_ntk(batch_norm, tree, x)
    with pytest.raises(ValueError, match="couples the points of a batch"):
        ww.ntk_vector_product(batch_norm, tree, x, np.ones((points, 3)))


def test_rounding_of_outputs_that_cancel_is_no_coupling():
    net = ww.MLP(2, "tanh", 1.5, 0.3)
    parameters = net.init(jax.random.key(0), 64, 3)

    def moved(p, x):
        return net.apply(p, x) - net.apply(parameters, x)

    assert np.abs(moved(parameters, X)).max() < 1e-14
    wanted = np.asarray(ww.empirical_ntk(net, parameters, X))
    for method in ("jacobian", "products"):
        ours = ww.empirical_ntk(moved, parameters, X, method=method)
        assert close(ours, wanted)
    ours = eqx.filter_jit(lambda p: ww.empirical_ntk(moved, p, X))(parameters)
    assert close(ours, wanted)


@pytest.mark.parametrize("scale", [1e-17, 1e-200])
def test_a_small_batch_norm_is_refused(scale):
    with pytest.raises(ValueError, match="couples the points of a batch"):
        ww.empirical_ntk(lambda tree, x: scale * batch_norm(tree, x), {"w": jnp.eye(3)}, X)


def test_a_batch_norm_is_refused_inside_a_transformation():
    with pytest.raises(Exception, match="couples the points of a batch"):
        eqx.filter_jit(lambda tree: ww.empirical_ntk(batch_norm, tree, X))({"w": jnp.eye(3)})


@pytest.mark.parametrize(
    ("apply", "parameters", "x", "message"),
    [
        (lambda p, x: x @ p, np.ones((2, 1)), X, "apply.* failed on float64 points"),
        (lambda p, x: (x @ p).sum(), np.ones((3, 1)), X, r"\(points, outputs\).*shape \(\)"),
        (lambda p, x: (x @ p)[:, :, None], np.ones((3, 1)), X, r"shape \(2, 1, 1\)"),
        (lambda p, x: x @ p > 0, np.ones((3, 1)), X, "returned bool"),
        (lambda p, x: x * p["s"], {"s": 0.5}, X, r"parameters\['s'\] is 0\.5"),
        (lambda p, x: (x @ p).real, np.ones((3, 1)) * 1j, X, "sum over real arrays"),
        (lambda p, x: x, {"n": np.array(3)}, X, "holds no floating-point array"),
        (lambda p, x: jnp.sqrt(x @ p - x @ p), np.ones((3, 1)), X, r"kernel is (nan|inf) at"),
        (lambda p, x: x @ p / 0, np.ones((3, 1)), X, "is not finite"),
        (lambda p, x: x @ p, np.ones((3, 1)), X[0], r"x\.reshape"),
        (lambda p, x: x @ p, np.ones((3, 1)), X * np.nan, "x holds nan"),
    ],
)
def test_what_has_no_kernel_is_refused(apply, parameters, x, message):
    with pytest.raises(ValueError, match=message):
        ww.empirical_ntk(apply, parameters, x)


def test_other_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"formula of a widthwise\.MLP"):
        ww.empirical_ntk(dense, TREE, X, method="layerwise")
    with pytest.raises(ValueError, match=r"shape \(2, 6, 6\) but one of x2 \(2, 6, 5\)"):
        ww.empirical_ntk(convolutional, ARRAYS, IMAGES, IMAGES[..., 1:])
    with pytest.raises(ValueError, match=r"v must have shape \(6, 4\).*got shape \(6,\)"):
        ww.ntk_vector_product(dense, TREE, X, np.ones(6))
    net = ww.MLP(1)
    stack = jax.vmap(lambda k: net.init(k, 4, 3))(jax.random.split(jax.random.key(0)))
    with pytest.raises(ValueError, match="a stack of networks"):
        ww.empirical_ntk(net, stack, X, method="jacobian")


# Precision. ---------------------------------------------------------------------------------------


def test_float32_of_a_function_reports_what_it_loses():
    with pytest.warns(ww.PrecisionWarning, match="float32 differs from float64 by"):
        single = ww.empirical_ntk(dense, TREE, X, dtype="float32")
    double = np.asarray(ww.empirical_ntk(dense, TREE, X))
    assert single.dtype == jnp.float32
    loss = ww.ntk_discrepancy(dense, TREE, X)
    assert 0 < np.abs(np.asarray(single, float) - double).max() < 20 * loss.largest
    assert 1e-9 < loss.relative < 1e-4


def test_a_function_that_casts_down_inside_is_reported():
    def apply(tree, x):
        return dense(jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), tree), x)

    with pytest.warns(ww.PrecisionWarning, match="apply computes in bfloat16 inside"):
        ww.empirical_ntk(apply, TREE, X)
    loss = ww.ntk_discrepancy(apply, TREE, X, dtype="float64")
    assert loss.lower == ("bfloat16",)


# The choice of the way. ---------------------------------------------------------------------------


def test_the_cost_of_a_function_is_counted():
    case = subject(convolutional, ARRAYS, IMAGES, None, "float64")
    found = analyse(case)
    assert found.convolution
    assert found.outputs == 2
    assert found.parameters == 2 * 4 * 9 + 4 + 4 * 3 * 4 + 3 + 3 * 2 + 2
    multiply_adds = 4 * 4 * 4 * 2 * 9 + 3 * 2 * 2 * 4 * 4 + 3 * 2
    assert multiply_adds * 2 < found.flops < multiply_adds * 2 + 2000
    assert found.lower == ()


def test_the_cheaper_way_is_chosen():
    def of(outputs, parameters, flops):
        return Analysis(outputs, parameters, flops, 1e4, False, ())

    few, many = of(1, 10**6, 2e6), of(200, 10**6, 2e6)
    shared = of(200, 10**4, 2e6)
    assert plan(few, 100, None, "mean", "auto", 5e9).method == "jacobian"
    assert plan(many, 100, None, "mean", "auto", 1e12).method == "jacobian"
    assert plan(many, 100, None, "full", "auto", 1e12).method == "products"
    assert plan(shared, 100, None, "full", "auto", 1e12).method == "jacobian"
    assert plan(few, 100, 50, "mean", "products", 5e9).method == "products"
    assert plan(of(1, 10**10, 2e10), 3, None, "mean", "auto", 1e9).method == "products"
    small = plan(few, 100, None, "mean", "jacobian", 2 * 8e6 * 7)
    assert small.block == 7
