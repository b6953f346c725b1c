"""What simulate records, momentum, mini-batches, float32, widths: against plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import widthwise as ww

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(4, 2)), RNG.normal(size=4)
X_TEST = RNG.normal(size=(2, 2))
KEY = jax.random.key(3)
NET = ww.MLP(2, "tanh", 1.5, 0.3, weight_law="uniform")
EVERY = ("ntk", "ntk_diagonal", "ntk_eigenvalues", "ntk_change", "ntk_limit_distance", "movement")


def run(times=(0.0, 1.0), net=NET, width=12, members=3, x=X, x_test=X_TEST, **options):
    return ww.simulate(net, width, x, Y, x_test, times, members, KEY, **options)


def norms(now, before):
    changes = jax.tree.map(lambda a, b: float(jnp.sum((a - b) ** 2)), now, before)
    return [np.sqrt(sum(jax.tree.leaves(layer))) for layer in changes]


def test_every_record_against_the_trained_parameters():
    runs = run(times=(0, 6), method="descent", step=0.05, record=EVERY)
    every = np.concatenate([X, X_TEST])
    limit = np.asarray(ww.limit_kernels(NET, every).ntk)[:, :4]
    start, end = runs.parameters(1), runs.trained_parameters(1)
    before, after = (np.asarray(ww.empirical_ntk(NET, p, every)) for p in (start, end))
    seen = {name: values[1, 1] for name, values in runs.recorded.items()}
    assert np.abs(NET.apply(end, every) - runs.outputs[1, 1]).max() < 1e-12
    assert seen["ntk"] == pytest.approx(after[:, :4], abs=1e-11)
    assert seen["ntk_diagonal"] == pytest.approx(np.diag(after), abs=1e-11)
    assert seen["ntk_eigenvalues"] == pytest.approx(np.linalg.eigvalsh(after[:4, :4]), abs=1e-11)
    assert seen["ntk_change"] == pytest.approx(np.linalg.norm((after - before)[:, :4]), abs=1e-11)
    assert seen["ntk_limit_distance"] == pytest.approx(np.linalg.norm(after[:, :4] - limit))
    assert seen["movement"] == pytest.approx(norms(end, start), abs=1e-11)
    assert runs.recorded["ntk_change"][:, 0] == pytest.approx(np.zeros(3), abs=1e-12)
    assert runs.outside_theory is None


def test_more_inputs_than_points_are_the_same_network_in_fewer_coordinates():
    x, x_test = RNG.normal(size=(4, 30)), RNG.normal(size=(2, 30))
    runs = run(x=x, x_test=x_test, record=("ntk", "movement"), net=ww.MLP(1, "erf", 1.2, 0.2))
    every, end = np.concatenate([x, x_test]), runs.trained_parameters(2)
    assert np.abs(runs.net.apply(end, every) - runs.outputs[2, 1]).max() < 1e-12
    assert np.abs(runs.net.apply(runs.parameters(2), every) - runs.initial[2]).max() < 1e-12
    theta = ww.empirical_ntk(runs.net, end, every, x)
    assert runs.recorded["ntk"][2, 1] == pytest.approx(np.asarray(theta), abs=1e-11)
    assert runs.recorded["movement"][2, 1] == pytest.approx(
        norms(end, runs.parameters(2)), abs=1e-11
    )


def test_momentum_and_a_full_mini_batch_equal_a_loop():
    runs = run(times=(1, 7), method="descent", step=0.1, momentum=0.8, batch=4)
    assert "mini-batches and momentum" in runs.outside_theory
    parameters = runs.parameters(1)
    gradient = jax.jit(jax.grad(lambda p: 0.5 * jnp.sum((NET.apply(p, X)[:, 0] - Y) ** 2)))
    speed = jax.tree.map(jnp.zeros_like, parameters)
    for _ in range(7):
        speed = jax.tree.map(lambda v, g: 0.8 * v - g, speed, gradient(parameters))
        parameters = jax.tree.map(lambda p, v: p + 0.1 * v, parameters, speed)
    assert np.abs(runs.outputs[1, 1, :4] - NET.apply(parameters, X)).max() < 1e-12


def test_mini_batches_visit_every_point_once_an_epoch():
    """With a tiny step an epoch of batches is one full-batch step of m/batch the size."""
    size = 1e-6
    batches = run(times=(4,), method="descent", step=size, batch=1, members=2)
    full = run(times=(4,), method="descent", step=size, members=2)
    moved, expected = (r.outputs[:, 0] - r.initial for r in (batches, full))
    assert moved == pytest.approx(expected, rel=1e-3)
    assert (moved != expected).all()
    assert "mini-batches" in batches.outside_theory


def test_float32_reports_its_distance_from_float64():
    exact, fast = run(), run(precision="float32")
    difference = np.abs(exact.outputs - fast.outputs).max()
    assert 0 < difference <= fast.rounding_error < 1e-4
    assert exact.rounding_error == 0.0


@pytest.mark.parametrize(
    "law",
    ["student", *(pytest.param(law, marks=pytest.mark.slow) for law in ("discrete", "truncated"))],
)
def test_layers_written_as_products_agree_with_steps_of_order_eight(law, monkeypatch):
    laws = {
        "student": ww.laws.StudentT(7),
        "discrete": ww.laws.Discrete([-1.0, 0.0, 2.0], [0.4, 0.4, 0.2]),
        "truncated": ww.laws.TruncatedGaussian(2.0),
    }
    net = ww.MLP(2, "softplus", 1.3, 0.2, weight_law=laws[law])
    plain = run(net=net, width=64, members=2, tolerance=1e-9)
    assert plain._training.plan.scheme == "dormand_prince_8_products"
    monkeypatch.setattr("widthwise.finite.runge_kutta._OUT_OF_CACHE", 100)
    runs = run(net=net, width=64, members=2, tolerance=1e-8)
    assert runs._training.plan.scheme == "kutta_4_products"
    assert np.abs(runs.outputs - plain.outputs).max() < 1e-7


def test_widths_are_independent_ensembles():
    runs = ww.simulate_widths(NET, [8, 16], X, Y, None, [1.0], 2, KEY)
    alone = ww.simulate(NET, 16, X, Y, None, [1.0], 2, jax.random.fold_in(KEY, 16))
    assert list(runs) == [8, 16]
    assert (runs[16].outputs == alone.outputs).all()
    with pytest.raises(ValueError, match="different widths"):
        ww.simulate_widths(NET, [8, 8], X, Y, None, [1.0], 2, KEY)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"record": "loss"}, r"record may name .*got \['loss'\]"),
        ({"momentum": 0.5}, "belong to method='descent'"),
        ({"method": "descent", "step": 0.1, "times": (1,), "momentum": 1.0}, "below 1, got 1.0"),
        ({"method": "descent", "step": 0.1, "times": (1,), "batch": 5}, "at most the number"),
        ({"first": -1}, "number of a member"),
    ],
)
def test_bad_input_says_what_to_do(options, message):
    with pytest.raises(ValueError, match=message):
        run(**options)
