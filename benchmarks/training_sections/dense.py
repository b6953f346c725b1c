"""The dense engines of the training law: seconds and errors.

    python benchmarks/training.py --section dense

10 train and 10 test points, 3 times, mean and covariance, warm: one hidden layer with 5 inputs,
tanh with Gaussian readouts and softplus with skewed ones (all nine terms); two hidden layers with
2 inputs; and 11 + 11 points at depth two. The error is the standard or estimated error of the 1/n
coefficient of the mean relative to its root mean square.
"""

import time

import jax
import numpy as np

import widthwise as ww
from widthwise.training.law import training_law

jax.config.update("jax_enable_x64", True)
SKEWED = ww.laws.Discrete([2.0, -0.5], [0.2, 0.8])
WIDTH = 512


def seconds(work):
    work()
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def law_of(net, x, y, test, times):
    law = training_law(net, x, y, test, times)
    law.mean(WIDTH), law.covariance(WIDTH)
    return law


def dense():
    skewed = ww.MLP(1, "softplus", (1.5, 1.0), (0.5, 0.0), weight_law=("gaussian", SKEWED))
    deep = ww.MLP(2, "tanh", (1.3, 1.3, 1.0), (0.4, 0.3, 0.0))
    rows = (
        ("depth 1, tanh", ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.0)), 10, 5, 3),
        ("depth 1, softplus, skewed", skewed, 10, 5, 3),
        ("depth 2, tanh", deep, 10, 2, 15),
        ("depth 2, tanh", deep, 11, 2, 30),
    )
    print("training law, m train and m test points, 3 times, mean and covariance")
    for name, net, m, inputs, goal in rows:
        x = np.random.default_rng(0).normal(size=(2 * m, inputs))
        y = np.sin(x[:m, 0])
        taken, law = seconds(
            lambda net=net, x=x, y=y, m=m: law_of(net, x[:m], y, x[m:], [0.1, 0.5, 2.0])
        )
        size = np.sqrt((law.mean_coefficients[2] ** 2).mean((1, 2)))
        error = np.sqrt((law.errors.mean[2] ** 2).mean((1, 2))) / size
        print(
            f"  {name:26s} m = {m}: {taken:6.2f} s (goal {goal})   error of the mean's 1/n "
            f"{error.max():.1%}",
            flush=True,
        )


def report():
    dense()
