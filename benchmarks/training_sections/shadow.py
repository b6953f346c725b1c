"""Shadow training: what one of its steps costs in steps of plain gradient descent.

Both run in one compiled loop over the same number of steps, with the same learning rate and no
observation but at the end; the better of several repetitions, alternating, counts for each.
"""

import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import widthwise as ww
from widthwise.finite.dynamics import Descent
from widthwise.training.shadow.hierarchy import Hierarchy
from widthwise.training.task import network_task

jax.config.update("jax_enable_x64", True)
GOAL = 6.0
CASES = (
    ("depth 1, n = 1024, m = 10", ww.MLP(1, "tanh", 1.5, 0.3), 1024, 10, 2, 400),
    ("depth 2, n = 256, m = 10", ww.MLP(2, "tanh", 1.5, 0.3), 256, 10, 3, 100),
    ("depth 2, n = 1024, m = 64", ww.MLP(2, "erf", 1.5, 0.3), 1024, 64, 8, 5),
    ("depth 3, n = 512, m = 16", ww.MLP(3, "softplus", 1.5, 0.3), 512, 16, 3, 20),
)


@eqx.filter_jit
def plain(hierarchy, plan):
    train = hierarchy.x[: len(hierarchy.y)]

    def velocity(parameters):
        outputs, back = jax.vjp(lambda p: hierarchy.function(p, train), parameters)
        return jax.tree.map(jnp.negative, back(outputs - hierarchy.y)[0])

    return plan.integrate(velocity, lambda p: jax.tree.leaves(p)[0][:1, :1], hierarchy.base)


@eqx.filter_jit
def shadow(hierarchy, plan):
    def seen(curve):
        return [jax.tree.leaves(part)[0][:1, :1] for part in curve]

    return plan.integrate(hierarchy.velocity(), seen, hierarchy.start)


def seconds(work, *arguments):
    start = time.perf_counter()
    jax.block_until_ready(work(*arguments))
    return time.perf_counter() - start


def ratio(net, n, train, inputs, steps, repeats=7):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(train, inputs)), rng.normal(size=(train, 1))
    task = network_task(net, net.init(jax.random.key(0), n, inputs), x, y, None)
    hierarchy = Hierarchy(task.function, task.trained, jnp.asarray(task.x), jnp.asarray(task.y))
    plan = Descent.steps(np.array([float(steps)]), 1e-3)
    best = dict.fromkeys((plain, shadow), np.inf)
    first = {work: seconds(work, hierarchy, plan) for work in best}
    for _ in range(repeats):
        for work in best:
            best[work] = min(best[work], seconds(work, hierarchy, plan))
    return best[plain] / steps, best[shadow] / steps, first[shadow]


def report() -> None:
    """Print the section."""
    for name, net, n, train, inputs, steps in CASES:
        one, three, compiled = ratio(net, n, train, inputs, steps)
        print(
            f"shadow training, {name}: {three * 1e6:9.0f} µs a step, plain gradient descent "
            f"{one * 1e6:8.0f} µs; ratio {three / one:.1f} (goal {GOAL:g}); first call "
            f"{compiled:.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    report()
