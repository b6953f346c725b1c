"""Lipschitz constants of the Jacobian on balls of parameters, over the largest |D²f| found there.

What is found is a lower bound: power iteration over directions from several starts, and steps of
the parameters inside the ball that increase it. m = 5 points in 5 dimensions, biases of scale 0.3.
Each cell is bound / found = ratio.
"""

import jax
import numpy as np

from certificate_sections._tests import add_tests

add_tests()

import widthwise as ww
from certify.steepest import climbed, second_derivative
from certify.trained_networks import Trained
from widthwise.certify.constants.ball import bounds_at
from widthwise.certify.evaluation import evaluate

RADII = (0.0, 0.01, 0.1)


def _cells(depth, kind, n):
    rng = np.random.default_rng(0)
    net = ww.MLP(depth, kind, bias_std=0.3)
    x, y = rng.normal(size=(5, 5)), rng.normal(size=(5, 1))
    parameters = net.init(jax.random.key(0), n, 5)
    trained, at = Trained(net, parameters, x, y), evaluate(net, parameters, x, y)
    maps, bounds = second_derivative(trained.function), bounds_at(at)
    found = 0.0
    for radius in RADII:
        found = max(found, climbed(trained.start, maps, radius))
        yield bounds.jacobian(radius), found


def report(_):
    print(f"| depth | activation | n |{' |'.join(f' R = {radius:g}' for radius in RADII)} |")
    print("|---|---|---|---|---|---|")
    worst = {}
    for depth in (1, 2, 3):
        for kind in ("erf", "tanh", "softplus"):
            for n in (64, 512):
                cells = list(_cells(depth, kind, n))
                worst[depth] = max(worst.get(depth, 0.0), *(b / f for b, f in cells))
                said = (f"{b:.3g} / {f:.3g} = {b / f:.1f}" for b, f in cells)
                print(f"| {depth} | {kind} | {n} | {' | '.join(said)} |", flush=True)
    print(f"\nlargest ratio by depth: {', '.join(f'{d}: {r:.1f}' for d, r in worst.items())}")
