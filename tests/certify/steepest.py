"""Lower bounds of |D²f| = sup |D²f[v, v]| over unit v, at one network or over a ball of them.

Power iteration alternates v with the direction u of D²f[v, v]: the next v is Σ u_i H_i v. It finds
a local maximum, so that it starts several times; over a ball θ climbs along the gradient of
|D²f[v, v]|² as well, and v goes on from the best one found.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Maps(NamedTuple):
    """D²f[v, v], Σ u_i H_i v, and the gradient of |D²f[v, v]|² in θ."""

    along: Callable
    weighted: Callable
    steeper: Callable


def second_derivative(function):
    """The maps of a function of one flat vector θ."""

    def along(theta, v):
        slope = lambda at: jax.jvp(function, (at,), (v,))[1]  # noqa: E731
        return jax.jvp(slope, (theta,), (v,))[1]

    def weighted(theta, u, v):
        return jax.jvp(jax.grad(lambda at: u @ function(at)), (theta,), (v,))[1]

    steeper = jax.grad(lambda theta, v: jnp.sum(along(theta, v) ** 2))
    return Maps(jax.jit(along), jax.jit(weighted), jax.jit(steeper))


def power_iteration(maps, theta, tries=3, rounds=40, seed=0, start=None):
    """A lower bound of |D²f| at θ, and the direction that reaches it."""
    rng, best, steepest = np.random.default_rng(seed), 0.0, np.zeros(len(theta))
    starts = [rng.normal(size=len(theta)) for _ in range(tries)]
    for v in starts if start is None else [start, *starts]:
        for _ in range(rounds):
            v = v / np.linalg.norm(v)
            q = np.asarray(maps.along(theta, v))
            if not q.any():
                break
            if np.linalg.norm(q) > best:
                best, steepest = float(np.linalg.norm(q)), v
            w = np.asarray(maps.weighted(theta, q / np.linalg.norm(q), v))
            if not w.any():
                break
            v = w / np.linalg.norm(w) + 0.3 * v
    return best, steepest


def climbed(start, maps, radius, rounds=6, seed=0, tries=2):
    """The largest |D²f| found in a ball: power iteration, then steps of θ that increase it."""
    theta = start
    best, v = power_iteration(maps, theta, tries + 2, 15, seed)
    for k in range(rounds if radius else 0):
        g = np.asarray(maps.steeper(theta, v))
        if not g.any():
            break
        move = theta - start + radius * g / np.linalg.norm(g)
        theta = start + move * min(1.0, radius / np.linalg.norm(move))
        found, v = power_iteration(maps, theta, tries, 15, seed + k, v)
        best = max(best, found)
    return best
