"""Training dynamics of one finite network: the gradient, and ways to follow it through time.

A plan is a value that says at which moments outputs are recorded and how to get from one to the
next. Step counts and sizes are arrays, so that all plans of one kind share one compilation.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from widthwise._vocabulary import Array
from widthwise.model.architecture import MLP, Layer, Parameters

Velocity: TypeAlias = Callable[[Parameters], Parameters]
Observe: TypeAlias = Callable[[Parameters], jax.Array]


class Task(NamedTuple):
    """Train points, their labels, and all points (train first) at which outputs are recorded."""

    x_train: Float[Array, "train inputs"]
    y_train: Float[Array, "train outputs"]
    x: Float[Array, "points inputs"]


def negative_gradient(net: MLP, width: int, task: Task) -> Velocity:
    """θ ↦ −r ∇ ½ Σ (f(x_a) − y_a)², with the per-layer rates r of the parametrization."""
    rates = net.learning_rates(width, task.x.shape[1])

    def velocity(parameters: Parameters) -> Parameters:
        outputs, pullback = jax.vjp(lambda p: net.apply(p, task.x_train), parameters)
        (gradient,) = pullback(task.y_train - outputs)
        return tuple(
            Layer(rate.weight * g.weight, None if g.bias is None else rate.bias * g.bias)
            for rate, g in zip(rates, gradient, strict=True)
        )

    return velocity


class FixedSteps(eqx.Module):
    """Runge–Kutta steps of gradient flow, or the steps of gradient descent."""

    times: Float[Array, " times"]
    counts: Int[Array, " times"]
    sizes: Float[Array, " times"]
    step: Float[Array, ""]
    descent_steps: bool = eqx.field(static=True)

    @classmethod
    def flow(cls, times: np.ndarray, step: float) -> "FixedSteps":
        """Between recorded times, the fewest equal steps not longer than ``step``."""
        gaps = np.diff(times, prepend=0.0)
        counts = np.ceil(gaps / step - 1e-9).astype(int)
        sizes = gaps / np.maximum(counts, 1)
        return cls(
            jnp.asarray(times), jnp.asarray(counts), jnp.asarray(sizes), jnp.asarray(step), False
        )

    @classmethod
    def descent(cls, steps: np.ndarray, rate: float) -> "FixedSteps":
        """The recorded numbers of steps of gradient descent with learning rate η."""
        counts = np.diff(steps, prepend=0.0).astype(int)
        sizes = np.full(len(steps), rate)
        return cls(
            jnp.asarray(steps), jnp.asarray(counts), jnp.asarray(sizes), jnp.asarray(rate), True
        )

    def integrate(self, velocity: Velocity, observe: Observe, start: Parameters) -> jax.Array:
        """Observations at the recorded times, (times, ...)."""
        advance = _euler if self.descent_steps else _runge_kutta

        def to_next_time(parameters, interval):
            count, size = interval
            parameters = jax.lax.fori_loop(
                0, count, lambda _, p: advance(velocity, p, size), parameters
            )
            return parameters, observe(parameters)

        return jax.lax.scan(to_next_time, start, (self.counts, self.sizes))[1]


def _plus(parameters: Parameters, scale, change: Parameters) -> Parameters:
    return jax.tree.map(lambda p, c: p + scale * c, parameters, change)


def _euler(velocity: Velocity, parameters: Parameters, size) -> Parameters:
    return _plus(parameters, size, velocity(parameters))


def _runge_kutta(velocity: Velocity, parameters: Parameters, size) -> Parameters:
    """The classical fourth-order step, its stages in a loop so that the gradient compiles once."""

    def stage(state, coefficients):
        position, total = state
        reach, weight = coefficients
        k = velocity(position)
        return (_plus(parameters, size * reach, k), _plus(total, size * weight, k)), None

    reaches = jnp.array([0.5, 0.5, 1.0, 0.0])
    weights = jnp.array([1 / 6, 1 / 3, 1 / 3, 1 / 6])
    return jax.lax.scan(stage, (parameters, parameters), (reaches, weights))[0][1]


class Adaptive(eqx.Module):
    """Gradient flow by Tsitouras' 5(4) method with step control (diffrax)."""

    times: Float[Array, " times"]
    tolerance: float
    step: float = float("nan")

    def integrate(self, velocity: Velocity, observe: Observe, start: Parameters) -> jax.Array:
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


Plan: TypeAlias = FixedSteps | Adaptive
