"""The small problem of the theory's tables: three train and two test points on a line."""

import numpy as np

import widthwise as ww

X, XS = np.array([[-1.0], [0.3], [1.2]]), np.array([[-0.4], [2.0]])
Y = np.array([1.0, -1.0, 0.5])


def network(activation, readout="gaussian", depth=1):
    return ww.MLP(
        depth,
        activation,
        weight_std=(1.5,) * depth + (1.0,),
        bias_std=(0.5,) * depth + (0.0,),
        weight_law=("gaussian",) * depth + (readout,),
    )
