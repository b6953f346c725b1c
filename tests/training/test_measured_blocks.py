"""Blocks measured on small networks, against the recursion; what is refused."""

import numpy as np
import pytest

import widthwise as ww
from widthwise.training.blocks.deep import deep_blocks
from widthwise.training.blocks.measured import measured_blocks

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


@pytest.mark.slow
def test_skewed_networks_are_noticed():
    net = ww.MLP(1, "softplus", weight_law=("gaussian", "exponential"))
    with pytest.raises(ValueError, match="mean of O_3"):
        measured_blocks(
            net.apply, lambda k, n: net.init(k, n, 2), X[:1], widths=(4, 8), members=2400
        )
