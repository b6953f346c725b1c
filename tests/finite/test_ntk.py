"""The layerwise empirical NTK against the Jacobian written out, and its infinite-width limit."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import widthwise as ww

X = np.random.default_rng(0).standard_normal((5, 3))
FULL = {"mean": "aki,bki->ab", "diagonal": "aki,bki->abk", "full": "aki,bji->abkj"}


@eqx.filter_jit
def from_jacobian(net, parameters, x, x2, components, width):
    """Σ_p r_p ∂f_k(x)/∂θ_p ∂f_k'(x')/∂θ_p, every derivative written out."""
    rates = net.learning_rates(width, np.shape(x)[1])
    J, J2 = (jax.jacrev(lambda p, x=x: net.apply(p, x))(parameters) for x in (x, x2))
    total = 0.0
    for rate, layer, layer2 in zip(rates, J, J2, strict=True):
        for r, D, D2 in zip(rate, layer, layer2, strict=True):
            if D is not None:
                flat = (jnp.reshape(d, (*d.shape[:2], -1)) for d in (D, D2))
                total = total + r * jnp.einsum(FULL[components], *flat)
    return total / net.outputs if components == "mean" else total


def drawn(net, width, inputs, seed):
    """Standardized parameters, drawn without compiling anything."""
    random = np.random.default_rng(seed)
    fan = (inputs, *net.widths(width), net.outputs)
    return tuple(
        ww.Layer(
            jnp.asarray(random.standard_normal((fan[l + 1], fan[l]))),
            jnp.asarray(random.standard_normal(fan[l + 1])) if net.has_bias(l) else None,
        )
        for l in range(net.depth + 1)
    )


def close(ours, theirs, tolerance=1e-12):
    theirs = np.asarray(theirs)
    return np.abs(np.asarray(ours) - theirs).max() <= tolerance * max(np.abs(theirs).max(), 1e-3)


KINKED = ww.activations.get(lambda z: jnp.log1p(z**2) + jnp.maximum(z, 0.5), kinks=(0.5,))
QUICK = ("relu", "tanh", "erf", "gelu", "step", "polynomial(0.3, 0.5, -0.2)", KINKED)
SLOW = {*ww.activations.names(), "leaky_relu(0.2)"} - {*QUICK, "polynomial"}
ACTIVATIONS = (*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in sorted(SLOW)))


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_every_activation_has_the_kernel_of_its_jacobian(activation):
    net = ww.MLP(2, activation, 1.3, 0.4, outputs=2)
    parameters = drawn(net, 9, 3, seed=1)
    ours = ww.empirical_ntk(net, parameters, X)
    assert close(ours, from_jacobian(net, parameters, X, X, "mean", 9))


SCALES = st.floats(0.3, 2.0).map(lambda scale: round(scale, 2))


@st.composite
def networks(draw):
    depth = draw(st.integers(1, 4))

    def per_layer(strategy, layers=depth + 1):
        return st.lists(strategy, min_size=layers, max_size=layers)

    return {
        "depth": depth,
        "activation": draw(st.sampled_from(("tanh", "relu", "gelu", "erf", "abs", "sin", "step"))),
        "weight_std": draw(per_layer(SCALES)),
        "bias_std": draw(per_layer(st.one_of(st.just(0.0), SCALES))),
        "ratios": draw(per_layer(st.sampled_from((0.5, 1.0, 1.6)), depth)),
        "outputs": draw(st.integers(1, 4)),
        "parametrization": draw(st.sampled_from(("ntk", "standard"))),
        "bias_scaling": draw(st.sampled_from(("constant", "fan_in"))),
    }


CASES = {
    "fields": networks(),
    "sizes": st.tuples(*(st.integers(*range_) for range_ in ((1, 6), (0, 4), (1, 3), (1, 12)))),
    "seed": st.integers(0, 2**31),
    "components": st.sampled_from(tuple(FULL)),
}


@settings(max_examples=5)
@given(**CASES)
def test_any_network_has_the_kernel_of_its_jacobian(fields, sizes, seed, components):
    net = ww.MLP(**fields)
    points, points2, inputs, width = sizes
    random = np.random.default_rng(seed)
    x, x2 = (random.standard_normal((count, inputs)) for count in (points, points2))
    parameters = drawn(net, width, inputs, seed)
    other = x2 if points2 else None
    ours = ww.empirical_ntk(net, parameters, x, other, components=components, width=width)
    theirs = from_jacobian(net, parameters, x, x if other is None else x2, components, width)
    assert ours.shape == theirs.shape
    assert close(ours, theirs)


@pytest.mark.slow
def test_any_of_many_networks_has_the_kernel_of_its_jacobian():
    inner = test_any_network_has_the_kernel_of_its_jacobian.hypothesis.inner_test
    settings(max_examples=60)(given(**CASES)(inner))()


NET = ww.MLP(2, "tanh", (1.3, 1.1, 0.9), 0.4, ratios=(1.0, 0.5), outputs=3)
PARAMETERS = drawn(NET, 12, 3, seed=2)
MANY = np.random.default_rng(1).standard_normal((11, 3))


@pytest.mark.parametrize(
    ("method", "components"),
    [("layerwise", "mean"), ("layerwise", "full"), ("jacobian", "full"), ("products", "full")],
)
@pytest.mark.parametrize("symmetric", [True, False])
def test_blocks_of_points_change_nothing(method, components, symmetric):
    x2 = None if symmetric else MANY[:5] + 0.1
    theirs = from_jacobian(NET, PARAMETERS, MANY, MANY if symmetric else x2, components, 12)
    ours = ww.empirical_ntk(
        NET, PARAMETERS, MANY, x2, components=components, method=method, memory=2.5e4
    )
    assert close(ours, theirs)


def test_a_large_gram_matrix_is_made_of_tiles():
    x = np.random.default_rng(2).standard_normal((300, 3))
    theta = np.asarray(ww.empirical_ntk(NET, PARAMETERS, x, components="full"))
    assert close(theta, from_jacobian(NET, PARAMETERS, x, x, "full", 12))
    assert np.abs(theta - theta.transpose(1, 0, 3, 2)).max() < 1e-13


@pytest.mark.parametrize("memory", [5e8, 1e4])
def test_a_stack_of_networks_has_a_stack_of_kernels(memory):
    networks = [drawn(NET, 12, 3, seed) for seed in range(7)]
    stack = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *networks)
    kernels = ww.empirical_ntk(NET, stack, X, X[:2], components="full", memory=memory)
    assert len(kernels) == 7
    one = ww.empirical_ntk(NET, networks[4], X, X[:2], components="full")
    assert close(kernels[4], np.asarray(one), 1e-14)


@pytest.mark.parametrize("law", ["gaussian", "uniform", "rademacher"])
def test_wide_networks_approach_the_limit_kernel(law):
    net = ww.MLP(2, "erf", weight_std=1.5, bias_std=0.3, weight_law=("gaussian", law, law))
    limit = ww.limit_kernels(net, X).ntk
    keys = jax.random.split(jax.random.key(2), 30)
    stack = jax.jit(jax.vmap(lambda key: net.init(key, 1024, 3)))(keys)
    kernels = np.asarray(ww.empirical_ntk(net, stack, X))
    error = kernels.std(0) / np.sqrt(len(keys))
    assert (np.abs(kernels.mean(0) - limit) < 4 * error + 5 * limit.max() / 1024).all()


def test_the_kernel_can_be_differentiated_and_mapped_over_parameters():
    def trace(parameters):
        return jnp.trace(ww.empirical_ntk(NET, parameters, X))

    step = drawn(NET, 12, 3, seed=3)
    up, down = (jax.tree.map(lambda p, s, h=h: p + h * s, PARAMETERS, step) for h in (1e-5, -1e-5))
    slope = jax.jvp(jax.jit(trace), (PARAMETERS,), (step,))[1]
    assert float(slope) == pytest.approx(float(trace(up) - trace(down)) / 2e-5, rel=1e-7)
    stack = jax.tree.map(lambda *leaves: jnp.stack(leaves), up, down)
    mapped = jax.vmap(lambda p: ww.empirical_ntk(NET, p, X))(stack)
    assert close(mapped[1], np.asarray(ww.empirical_ntk(NET, down, X)), 1e-14)


def test_gradients_through_a_kernel_whose_activation_is_computed_its_own_way():
    net = ww.MLP(2, "erf", 1.3, 0.4)
    parameters = drawn(net, 9, 3, seed=4)
    weights = np.random.default_rng(5).standard_normal((5, 5))

    def ours(p):
        return (weights * ww.empirical_ntk(net, p, X)).sum()

    def theirs(p):
        return (weights * from_jacobian(net, p, X, X, "mean", 9)).sum()

    found, wanted = (jax.jit(jax.grad(f))(parameters) for f in (ours, theirs))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12), found, wanted
    )


def test_points_may_be_traced():
    theta = np.asarray(ww.empirical_ntk(NET, PARAMETERS, X, X[:2]))

    def entry(x, x2):
        return ww.empirical_ntk(NET, PARAMETERS, x, x2)[3, 1]

    compiled = jax.jit(lambda p, x, x2: ww.empirical_ntk(NET, p, x, x2))(PARAMETERS, X, X[:2])
    assert close(compiled, theta)
    value, slope = jax.value_and_grad(entry)(jnp.asarray(X), X[:2])
    assert float(value) == pytest.approx(theta[3, 1], rel=1e-12)
    move = 1e-5 * np.eye(5)[:, 3:4] * np.eye(3)[:1]
    gap = entry(X + move, X[:2]) - entry(X - move, X[:2])
    assert slope[3, 0] == pytest.approx(float(gap) / 2e-5, rel=1e-7)
    assert np.abs(np.delete(slope, 3, 0)).max() == 0.0
    with pytest.raises(ValueError, match=r"x must have shape \(points, inputs\), got shape \(3,\)"):
        jax.vmap(lambda x: ww.empirical_ntk(NET, PARAMETERS, x))(X)


def test_parameters_of_another_network_are_refused():
    with pytest.raises(ValueError, match=r"hidden widths \(12, 6\)"):
        ww.empirical_ntk(ww.MLP(2, "tanh", 1.0, 0.4, outputs=3), PARAMETERS, X)
    with pytest.raises(ValueError, match=r"layer 0 has weights and biases of shapes \(12, 3\)"):
        ww.empirical_ntk(NET, PARAMETERS, X[:, :2])
    with pytest.raises(ValueError, match=r"depth \+ 1 = 3 layers, but parameters has 2"):
        ww.empirical_ntk(NET, PARAMETERS[:2], X)
    with pytest.raises(ValueError, match=r"tuple of widthwise\.Layer"):
        ww.empirical_ntk(NET, [layer.weight for layer in PARAMETERS], X)
    with pytest.raises(ValueError, match="x2 has 2"):
        ww.empirical_ntk(NET, PARAMETERS, X, X[:, :2])


@pytest.mark.usefixtures("unchecked")
def test_unknown_choices_are_refused():
    with pytest.raises(ValueError, match=r"components must be 'mean'.*got 'trace'"):
        ww.empirical_ntk(NET, PARAMETERS, X, components="trace")
    with pytest.raises(ValueError, match=r"method must be one of auto, layerwise.*got 'fast'"):
        ww.empirical_ntk(NET, PARAMETERS, X, method="fast")
    with pytest.raises(ValueError, match="dtype must be 'float64' or 'float32', got 'half'"):
        ww.empirical_ntk(NET, PARAMETERS, X, dtype="half")


def test_float32_reports_what_it_loses():
    net = ww.MLP(2, "erf", 1.5, 0.3)
    parameters = net.init(jax.random.key(0), 256, 3)
    with pytest.warns(ww.PrecisionWarning, match="float32 differs from float64 by .* 16 sampled"):
        single = ww.empirical_ntk(net, parameters, X, X, dtype="float32")
    double = np.asarray(ww.empirical_ntk(net, parameters, X, X))
    assert single.dtype == jnp.float32
    loss = ww.ntk_discrepancy(net, parameters, X)
    true = np.abs(np.asarray(single, float) - double).max()
    assert true / 20 < loss.largest <= 2 * true
    assert 1e-9 < loss.relative < 1e-5
    stack = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), parameters)
    with pytest.warns(ww.PrecisionWarning):
        assert ww.empirical_ntk(net, stack, X, dtype="float32").shape == (2, 5, 5)
    with pytest.raises(ValueError, match="transformation"):
        jax.jit(lambda p: ww.empirical_ntk(net, p, X, dtype="float32"))(parameters)
