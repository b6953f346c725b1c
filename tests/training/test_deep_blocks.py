"""Blocks of deep networks against published digits and independent computations."""

import numpy as np
import pytest

import widthwise as ww
from widthwise.training.blocks.deep import deep_blocks

X = np.array([[1.0, 0.2], [-0.3, 1.0], [-0.8, -0.6], [0.5, 0.9]])


def network(depth: int, activation: str, law: str = "gaussian", **fields) -> ww.MLP:
    return ww.MLP(
        depth,
        activation,
        weight_std=(1.3,) * depth + (1.0,),
        bias_std=(0.4,) + (0.3,) * (depth - 1) + (0.0,),
        weight_law=("gaussian",) + (law,) * depth,
        **fields,
    )


def test_reference_numbers_at_depth_two():
    blocks = deep_blocks(network(2, "tanh"), X)
    printed = [
        (blocks.nngp[0, 1], 0.0575181881, 10),
        (blocks.ntk[0, 1], 0.1345128688, 10),
        (blocks.ntk[3, 0], 0.7198984089, 10),
        (blocks.values["FF", 2][0, 1], 0.0061499, 7),
        (blocks.values["D", 2][0, 1], 0.0232463, 7),
        (blocks.values["D", 2][3, 0], -0.0505177, 7),
        (blocks.values["FFFF", 2][0, 0, 1, 1], 0.410716, 6),
        (blocks.values["DFF", 2][0, 1, 2, 2], 0.062786, 6),
        (blocks.values["DD", 2][0, 1, 3, 2], -0.1034163, 7),
        (blocks.values["TF", 2][3, 0, 1, 2], 0.2797815, 7),
        (blocks.values["U", 2][3, 0, 1, 2], 0.9084141, 7),
        (blocks.values["U", 2][0, 0, 0, 0], -7.2632036, 7),
    ]
    for value, expected, digits in printed:
        assert value == pytest.approx(expected, abs=0.51 * 10.0**-digits), (value, expected)
