"""Cumulants of really trained networks against those of the linear flow from the same start.

The outputs of one hidden layer at initialization have covariance K at every width, and the linear
flow of the limit carries it exactly, so that only the difference of the two is left to sample.
"""

import jax
import numpy as np

import widthwise as ww


def deviations(net, data, times, width, members, seed):
    """f_t of trained networks, and the linear flow from their initial outputs."""
    x, y, test = data
    key = jax.random.key(seed)
    runs = ww.simulate(net, width, x, y, test, times, members, key, tolerance=1e-7)
    flow = ww.linear_flow(net, x, y, test)
    linear = flow.outputs(np.asarray(runs.initial), np.asarray(times))
    return np.asarray(runs.outputs)[..., 0], linear[..., 0]


def mean_shift(trained, linear):
    """E f_t − m(t) and its standard error, (times, points)."""
    d = trained - linear
    return d.mean(0), d.std(0) / np.sqrt(len(d))


def covariance_shift(trained, linear):
    """Cov f_t − K(t) and its standard error, (times, points, points)."""
    a, b = trained - trained.mean(0), linear - linear.mean(0)
    d = a[..., :, None] * a[..., None, :] - b[..., :, None] * b[..., None, :]
    return d.mean(0), d.std(0) / np.sqrt(len(d))


def third_shift(trained, linear):
    """κ₃(f_t) − κ₃ of the linear flow at every point, and its standard error."""
    a, b = trained - trained.mean(0), linear - linear.mean(0)
    d = a**3 - b**3 - 3 * (a * (a**2).mean(0) - b * (b**2).mean(0))
    return d.mean(0), d.std(0) / np.sqrt(len(d))


def extrapolated(widths, shifts, leading, powers):
    """Coefficient of n^{−leading} from shifts at several widths, and its standard error.

    Least squares of n^leading · shift in 1 and the given powers of n.
    """
    n = np.array(widths, float)
    design = np.stack([np.ones_like(n), *(n**p for p in powers)], 1)
    values = np.stack([n_**leading * value for n_, (value, _) in zip(n, shifts, strict=True)])
    errors = np.stack([n_**leading * error for n_, (_, error) in zip(n, shifts, strict=True)])
    scaled = design.reshape(len(n), -1, *(1,) * (values.ndim - 1)) / errors[:, None]
    flat = np.moveaxis(scaled, (0, 1), (-2, -1))
    inverse = np.linalg.pinv(flat)
    target = np.moveaxis(values / errors, 0, -1)[..., None]
    return (inverse @ target)[..., 0, 0], np.sqrt((inverse[..., 0, :] ** 2).sum(-1))
