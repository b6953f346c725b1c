"""The training law of one hidden layer: seconds, and seconds of sampled networks as accurate.

    python benchmarks/engine_sections/training_law.py

Dense engine: 10 train and 10 test points of 5 inputs, 3 times, mean and covariance, warm; tanh with
Gaussian readouts, softplus with skewed ones (all nine terms), and the standard error of the 1/n
coefficient of the mean relative to its root mean square.

Against sampling: 3 train and 2 test points, width 512, t = 0.5. Networks are trained until the
standard error of their mean is a tenth of the 1/n correction, root mean square over points; how
many that takes follows from the law's variance, their seconds from the rate of ``simulate``.
"""

import time

import jax
import numpy as np

import widthwise as ww
from widthwise.training.law import training_law

jax.config.update("jax_enable_x64", True)
SKEWED = ww.laws.Discrete([2.0, -0.5], [0.2, 0.8])
WIDTH, SAMPLE = 512, 256


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
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 5))
    y = np.sin(x[:10, 0])
    nets = {
        "tanh, Gaussian": ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.0)),
        "softplus, skewed": ww.MLP(
            1, "softplus", (1.5, 1.0), (0.5, 0.0), weight_law=("gaussian", SKEWED)
        ),
    }
    print("training law, 10 + 10 points, 3 times, mean and covariance")
    for name, net in nets.items():
        taken, law = seconds(lambda net=net: law_of(net, x[:10], y, x[10:], [0.1, 0.5, 2.0]))
        size = np.sqrt((law.mean_coefficients[2] ** 2).mean((1, 2)))
        error = np.sqrt((law.errors.mean[2] ** 2).mean((1, 2))) / size
        print(f"  {name:18s} {taken:6.2f} s   error of the mean's 1/n {error.max():.1%}")


def against_sampling():
    x, y, test = [[-1.0], [0.3], [1.2]], [1.0, -1.0, 0.5], [[-0.4], [2.0]]
    net = ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.0))
    taken, law = seconds(lambda: law_of(net, x, y, test, 0.5))
    correction = np.sqrt((law.mean_coefficients[2] ** 2).mean()) / WIDTH
    variance = np.diagonal(law.covariance(WIDTH)[0]).mean()
    networks = variance / (correction / 10) ** 2
    rate, _ = seconds(
        lambda: ww.simulate(net, WIDTH, x, y, test, [0.5], SAMPLE, jax.random.key(0)).outputs
    )
    sampled = rate / SAMPLE * networks
    print("training law against sampled networks, 3 + 2 points, width 512, mean to a tenth of 1/n")
    print(f"  law {taken:.2f} s; {networks:.1e} networks, {sampled:.1e} s: {sampled / taken:.0f} x")


def report(rival=None):
    dense()
    against_sampling()


if __name__ == "__main__":
    report()
