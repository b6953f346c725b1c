"""An exact law of networks: parameters ±1, so that a network is a count of its kinds of neurons."""

from itertools import product
from math import lgamma

import numpy as np

KINDS = np.array(list(product((-1.0, 1.0), repeat=3)))  # readout, weight, bias


def counts(width):
    """All ways to have so many neurons of eight kinds, and their probabilities."""
    found = np.array(list(_compositions(width, len(KINDS))))
    logs = lgamma(width + 1) - np.vectorize(lgamma)(found + 1.0).sum(1) - width * np.log(8.0)
    return found, np.exp(logs)


def _compositions(total, parts):
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in _compositions(total - first, parts - 1):
            yield (first, *rest)


def networks(x, train, width, weight_std, bias_std, fn, slope):
    """Outputs F (networks, points), Θ (networks, points, train) and probabilities."""
    a, w, b = KINDS.T
    z = weight_std[0] * w[:, None] * x[:, 0] + bias_std * b[:, None]
    k = weight_std[0] ** 2 * x[:, 0, None] * x[:train, 0] + bias_std**2
    eta = weight_std[1] * a[:, None] * fn(z)
    s = a[:, None] * slope(z)
    kernel = fn(z)[:, :, None] * fn(z)[:, None, :train]
    kernel = weight_std[1] ** 2 * (kernel + s[:, :, None] * s[:, None, :train] * k)
    found, p = counts(width)
    return found @ eta / np.sqrt(width), np.tensordot(found, kernel, 1) / width, p
