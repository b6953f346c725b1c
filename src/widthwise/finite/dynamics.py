"""Ways to follow the parameters of one finite network through its training.

What moves is any tree of arrays, and its velocity any function of it; mini-batches alone need the
:class:`~widthwise.finite.gradient.NegativeGradient`, which knows its points.

A plan is a value that says at which moments the network is observed and how to get from one to the
next. Step counts and sizes are arrays, so that all plans of one kind share one compilation.
"""

from collections.abc import Callable
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, PyTree

from widthwise._vocabulary import Array
from widthwise.finite.gradient import NegativeGradient, Task, negative_gradient
from widthwise.finite.runge_kutta import Scheme, advance

__all__ = ["Adaptive", "Descent", "FixedSteps", "Plan", "Task", "negative_gradient"]

Velocity: TypeAlias = Callable[[PyTree], PyTree]
Observe: TypeAlias = Callable[[PyTree], PyTree]
_SHUFFLES = 2**31 - 1  # folded into a member's key; its parameters use small numbers


class FixedSteps(eqx.Module):
    """Runge–Kutta steps of gradient flow."""

    times: Float[Array, " times"]
    counts: Int[Array, " times"]
    sizes: Float[Array, " times"]
    step: Float[Array, ""]
    scheme: Scheme = eqx.field(static=True)

    @classmethod
    def flow(
        cls, times: np.ndarray, step: float | np.ndarray, scheme: Scheme = "dormand_prince_8"
    ) -> "FixedSteps":
        """Between recorded times, the fewest equal steps not longer than ``step``.

        ``step`` is one number or, for every recorded time, one for the interval that ends there.
        """
        gaps = np.diff(times, prepend=0.0)
        counts = np.ceil(gaps / step - 1e-9).astype(int)
        sizes = gaps / np.maximum(counts, 1)
        longest = jnp.asarray(np.max(step))
        return cls(jnp.asarray(times), jnp.asarray(counts), jnp.asarray(sizes), longest, scheme)

    def integrate(self, velocity: Velocity, observe: Observe, start: PyTree, key=None):
        """Observations at the recorded times, (times, ...)."""

        def to_next_time(parameters, interval):
            count, size = interval
            size = size.astype(jax.tree.leaves(start)[0].dtype)
            parameters = jax.lax.fori_loop(
                0, count, lambda _, p: advance(self.scheme, velocity, p, size), parameters
            )
            return parameters, observe(parameters)

        return jax.lax.scan(to_next_time, start, (self.counts, self.sizes))[1]


class Descent(eqx.Module):
    """Gradient descent, with momentum and on mini-batches if asked.

    v ← μ v − r ∇L(θ),  θ ← θ + η v. A mini-batch of b of the m train points replaces ∇L by m/b
    times the gradient of its own loss; every epoch of ⌊m/b⌋ batches goes through a new shuffle.
    """

    times: Float[Array, " times"]
    counts: Int[Array, " times"]
    step: Float[Array, ""]
    momentum: Float[Array, ""]
    heavy: bool = eqx.field(static=True)
    batch: int | None = eqx.field(static=True)

    @classmethod
    def steps(
        cls, steps: np.ndarray, rate: float, momentum: float = 0.0, batch: int | None = None
    ) -> "Descent":
        """The recorded numbers of steps with learning rate η."""
        counts = np.diff(steps, prepend=0.0).astype(int)
        numbers = (jnp.asarray(steps), jnp.asarray(counts), jnp.asarray(rate))
        return cls(*numbers, jnp.asarray(momentum), momentum != 0.0, batch)

    def integrate(self, velocity: Velocity, observe: Observe, start: PyTree, key=None):
        """Observations after the recorded numbers of steps, (times, ...)."""
        dtype = jax.tree.leaves(start)[0].dtype
        step, momentum = self.step.astype(dtype), self.momentum.astype(dtype)
        shuffles = None if key is None else jax.random.fold_in(key, _SHUFFLES)

        def move(k, state):
            parameters, speed = state
            slope = self._slope(velocity, parameters, k, shuffles)
            if self.heavy:
                slope = speed = jax.tree.map(lambda v, g: momentum * v + g, speed, slope)
            return jax.tree.map(lambda p, g: p + step * g, parameters, slope), speed

        def to_next_time(state, count):
            done, moving = state
            moving = jax.lax.fori_loop(done, done + count, move, moving)
            return (done + count, moving), observe(moving[0])

        still = jax.tree.map(jnp.zeros_like, start) if self.heavy else ()
        return jax.lax.scan(to_next_time, (jnp.asarray(0), (start, still)), self.counts)[1]

    def _slope(self, velocity: Velocity, parameters: PyTree, k, shuffles) -> PyTree:
        if self.batch is None:
            return velocity(parameters)
        assert isinstance(velocity, NegativeGradient)
        m, batch = len(velocity.x), self.batch
        epoch, place = jnp.divmod(k, m // batch)
        order = jax.random.permutation(jax.random.fold_in(shuffles, epoch), m)
        chosen = jax.lax.dynamic_slice_in_dim(order, place * batch, batch)
        few = velocity.on(jnp.asarray(velocity.x)[chosen], jnp.asarray(velocity.y)[chosen])
        return jax.tree.map(lambda g: m / batch * g, few(parameters))


class Adaptive(eqx.Module):
    """Gradient flow by Tsitouras' 5(4) method with step control (diffrax)."""

    times: Float[Array, " times"]
    tolerance: Float[Array, ""]
    step: float = float("nan")

    def integrate(self, velocity: Velocity, observe: Observe, start: PyTree, key=None):
        """Observations at the recorded times, (times, ...)."""
        import diffrax  # half a second that only this solver needs

        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, p, args: velocity(p)),
            diffrax.Tsit5(),
            t0=0.0,
            t1=self.times[-1],
            dt0=None,
            y0=start,
            saveat=diffrax.SaveAt(ts=jnp.asarray(self.times)),
            stepsize_controller=diffrax.PIDController(rtol=self.tolerance, atol=self.tolerance),
            max_steps=100_000,
        )
        assert solution.ys is not None
        return jax.vmap(observe)(solution.ys)


Plan: TypeAlias = FixedSteps | Descent | Adaptive
