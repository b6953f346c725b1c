"""Blocks measured on small networks, against the recursion; what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import widthwise as ww
from widthwise.training.blocks.deep import deep_blocks
from widthwise.training.blocks.measured import Means, _of_width, measured_blocks
from widthwise.training.blocks.measured_skew import require_even_in_hidden_weights

X = np.array([[1.0, 0.2], [-0.3, 1.0]])
NET = ww.MLP(2, "tanh", (1.3, 1.3, 1.0), (0.4, 0.3, 0.0))


def start(key, width):
    return NET.init(key, width, inputs=2)


def test_a_perceptron_has_the_blocks_of_the_recursion():
    exact = deep_blocks(NET, X, 1)
    kernels = exact.nngp, exact.ntk
    blocks = measured_blocks(NET.apply, start, X, 1, kernels=kernels, widths=(6, 12), members=1600)
    assert set(blocks.values) == set(exact.values)
    for name, value in exact.values.items():
        z = (blocks.values[name] - value) / blocks.errors[name]
        assert np.sqrt(np.mean(z**2)) < 2, name
    assert len(blocks.replicates) == 8
    unknown = measured_blocks(NET.apply, start, X, 1, widths=(6, 12), members=1600)
    noise = np.std([part.ntk[:, :1] for part in unknown.replicates], 0) / np.sqrt(8)
    assert (np.abs(unknown.ntk - exact.ntk)[:, :1] < 5 * noise).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": (16,)}, "two different widths"),
        ({"members": 5}, "members must be at least 16"),
        ({"train": 3}, "at most the number of points 2"),
        ({"kernels": (np.eye(3), np.eye(3))}, r"shape \(2, 2\)"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(ValueError, match=message):
        measured_blocks(NET.apply, start, X, **change)


def test_outputs_that_do_not_average_to_zero_are_refused():
    def shifted(parameters, x):
        return NET.apply(parameters, x) + 1.0

    with pytest.raises(ValueError, match="mean output of networks of width 4"):
        measured_blocks(shifted, start, X[:1], widths=(4, 8), members=160)


def test_products_of_means_are_unbiased():
    """E A E B is the mean of A_i B_j over pairs of different networks."""
    rng, count = np.random.default_rng(0), 5
    f, D = rng.normal(size=(count, 2)), rng.normal(size=(count, 2, 1))
    ff = np.einsum("ni,nj->nij", f, f)

    def mean(a, b):
        return np.stack([np.multiply.outer(u, v) for u, v in zip(a, b, strict=True)]).mean(0)

    def apart(a, b):
        pairs = [
            np.multiply.outer(a[i], b[j]) for i in range(count) for j in range(count) if i != j
        ]
        return np.mean(pairs, 0)

    nothing = np.zeros(1)
    means = Means(
        f.mean(0),
        ff.mean(0),
        D.mean(0),
        nothing,
        mean(ff, ff),
        mean(D, ff),
        mean(D, D),
        nothing,
        nothing,
        nothing,
    )
    found = _of_width(3, means, np.zeros((2, 2)), np.zeros((2, 2)), 1, count)
    pair = apart(ff, ff)
    pairings = pair + pair.transpose(0, 2, 1, 3) + pair.transpose(0, 2, 3, 1)
    assert found["FFFF", 2] == pytest.approx(3 * (mean(ff, ff) - pairings), abs=1e-12)
    assert found["DFF", 2] == pytest.approx(3 * (mean(D, ff) - apart(D, ff)), abs=1e-12)
    assert found["DD", 2] == pytest.approx(3 * (mean(D, D) - apart(D, D)), abs=1e-12)


@pytest.mark.parametrize(
    ("activation", "laws", "noticed"),
    [
        ("softplus", ("gaussian", "exponential", "gaussian"), True),
        ("softplus", ("exponential", "gaussian", "gaussian"), False),  # the limit has it
        ("tanh", ("gaussian", "exponential", "gaussian"), False),  # odd: κ₃ meets E φφφ = 0
    ],
)
def test_skewed_weights_between_hidden_layers_are_noticed_where_they_count(
    activation, laws, noticed
):
    net = ww.MLP(2, activation, weight_law=laws)
    given = (
        net.apply,
        lambda k, n: net.init(k, n, 2),
        (4, 8),
        jnp.asarray(X),
        4000,
        jax.random.key(0),
    )
    if noticed:
        with pytest.raises(ValueError, match="weights between hidden layers are skewed"):
            require_even_in_hidden_weights(*given)
    else:
        require_even_in_hidden_weights(*given)


@pytest.mark.slow
def test_skewed_networks_are_noticed():
    net = ww.MLP(1, "softplus", weight_law=("gaussian", "exponential"))
    with pytest.raises(ValueError, match="mean of O_3"):
        measured_blocks(
            net.apply, lambda k, n: net.init(k, n, 2), X[:1], widths=(4, 8), members=2400
        )
