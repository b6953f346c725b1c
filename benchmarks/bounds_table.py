"""Certified ≥ measured ≥ lower: how loose the bounds of the distance to the Gaussian process are.

    python benchmarks/bounds_table.py                              the whole table
    python benchmarks/bounds_table.py --activation tanh --depth 1  a part of it

Three activations, three laws of the weights above the first layer, two depths, four widths, three
times. The distance is the bounded-Lipschitz one of v · f_t, v the mean direction of three train
points, from the time-dependent Gaussian process. Per row:

    certified   a theorem at t = 0, the statistical certificate (99%) later
    measured    exact at t = 0 with one hidden layer, otherwise from the trained networks, to which
                the floor of their number belongs
    lower       the lower end of its 95% interval (exact: less its numerical error)
    looseness   certified over measured

The networks of a row are drawn from a fixed key. "ok" is certified ≥ measured ≥ lower.
"""

import argparse
import time
from itertools import product
from typing import NamedTuple

import jax
import numpy as np

import widthwise as ww
from widthwise.measure.bounds.statistical import Question, certificate, trained

ACTIVATIONS = ("tanh", "softplus", "relu")
LAWS = ("gaussian", "uniform", "exponential")
DEPTHS = (1, 2)
WIDTHS = (32, 64, 128, 256)
TIMES = (0.0, 0.5, 2.0)
MEMBERS = 1000
X, Y = np.array([[-1.0], [0.3], [1.2]]), np.array([[1.0], [-1.0], [0.5]])
V = np.ones((1, 3)) / np.sqrt(3)


class Row(NamedTuple):
    """One line of the table."""

    activation: str
    law: str
    depth: int
    width: int
    time: float
    certified: float
    measured: float
    lower: float
    exact: bool

    @property
    def ok(self) -> bool:
        """Whether certified ≥ measured ≥ lower."""
        return self.certified >= self.measured >= self.lower

    def __str__(self) -> str:
        loose = self.certified / self.measured
        names = f"| {self.activation} | {self.law} | {self.depth} | {self.width} | {self.time:g} "
        numbers = f"| {self.certified:.3g} | {self.measured:.3g} | {self.lower:.3g} | {loose:.3g} |"
        return names + numbers + f" {'exact' if self.exact else 'sampled'} |"


def network(activation: str, law: str, depth: int) -> ww.MLP:
    """One of the networks of the table."""
    laws = ("gaussian", *(law,) * depth)
    return ww.MLP(depth, activation, (1.5,) * depth + (1.0,), (0.5,) * depth + (0.0,), laws)


def rows(activation: str, law: str, depth: int, width: int, members: int = MEMBERS) -> list[Row]:
    """The rows of one network at one width."""
    net, times = network(activation, law, depth), np.array(TIMES)
    key = jax.random.fold_in(jax.random.key(8), width)
    question = Question(net, width, X, Y, None, times, members, key, 0.99, V, 0)
    runs = trained(question)
    bound = certificate(question, runs)
    flow = ww.linear_flow(net, X, Y)
    made = []
    assert bound.values is not None
    for i, t in enumerate(times):
        exact = t == 0 and depth == 1
        if exact:
            d = ww.exact_distance(net, X, V[0], width, "bounded_lipschitz")
        else:
            samples = runs.outputs[:, i, :, 0] @ V[0]
            mean, variance = V[0] @ flow.mean(t)[:, 0], V[0] @ flow.covariance(t) @ V[0]
            normal = ww.distances.Normal(float(mean), float(variance))
            d = ww.distances.bounded_lipschitz(samples, normal)
        numbers = float(bound.values[i]), d.value, d.interval[0]
        made.append(Row(activation, law, depth, width, float(t), *numbers, exact))
    return made


HEAD = (
    "| activation | law | depth | n | t | certified | measured | lower | looseness | measured |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Print the table, row by row, and count the rows that are in order."""
    jax.config.update("jax_enable_x64", True)
    parser = argparse.ArgumentParser(
        description="Certified, measured and lower numbers, row by row."
    )
    parser.add_argument("--activation", choices=ACTIVATIONS, action="append")
    parser.add_argument("--law", choices=LAWS, action="append")
    parser.add_argument("--depth", type=int, choices=DEPTHS, action="append")
    parser.add_argument("--width", type=int, choices=WIDTHS, action="append")
    o = parser.parse_args()
    chosen = (o.activation or ACTIVATIONS, o.law or LAWS, o.depth or DEPTHS, o.width or WIDTHS)
    print(HEAD, flush=True)
    start, every = time.process_time(), []
    for case in product(*chosen):
        for row in rows(*case):
            every.append(row)
            print(row, flush=True)
    good = sum(row.ok for row in every)
    print(f"\n{good} of {len(every)} rows have certified ≥ measured ≥ lower")
    print(f"{time.process_time() - start:.0f} CPU seconds")


if __name__ == "__main__":
    main()
