"""Ensembles of real finite networks, trained by full-batch gradient flow or gradient descent.

Every member trains on ½ Σ (f(x_a) − y_a)² by

    θ̇ = −r ∇L(θ)  (gradient flow)      or      θ ← θ − η r ∇L(θ)  (gradient descent),

with the per-layer rates r of the parametrization. Members are vmapped in blocks that fit in memory;
member i draws its parameters from fold_in(key, i), so an ensemble does not depend on its blocks and
can be extended.

Gradient flow is integrated by the classical fourth-order Runge–Kutta method with a step halved
until a first block of members agrees with half the step to the tolerance, or by an adaptive solver.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Literal, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike, Trajectories
from widthwise.finite.dynamics import Adaptive, FixedSteps, Plan, Task, negative_gradient
from widthwise.finite.ntk import mlp_ntk
from widthwise.model.architecture import MLP, Parameters

Method: TypeAlias = Literal["flow", "descent"]
Solver: TypeAlias = Literal["runge_kutta", "adaptive"]
Progress: TypeAlias = Callable[[int, int], None]
_MOST_HALVINGS = 12
_CACHE = 150_000  # numbers per array of activations that stay in cache
_FEWEST = 8  # members a block is not cut below for the sake of the cache


@dataclass(frozen=True, eq=False)
class Runs:
    """Trained networks.

    Args:
        net, width, key: what they were drawn from.
        times: gradient-flow times, or numbers of gradient-descent steps.
        outputs: (members, times, points, outputs), train points first.
        initial: outputs before training, (members, points, outputs).
        integration_error: largest difference, over a first block of members, all times and
            points, from integration with half the step (adaptive: a tenth of the tolerance;
            gradient descent: 0).
        step: time step of the integration, or η (adaptive: nan).
    """

    net: MLP
    width: int
    key: jax.Array = field(repr=False)
    times: Float[np.ndarray, " times"]
    outputs: Trajectories = field(repr=False)
    initial: Float[np.ndarray, "members points outputs"] = field(repr=False)
    integration_error: float
    step: float
    task: Task = field(repr=False)

    @property
    def members(self) -> int:
        """The number of networks."""
        return len(self.outputs)

    def parameters(self, member: int) -> Parameters:
        """The parameters of one member before training."""
        block = _draw(self.net, self.width, self.task.x.shape[1], self.key, jnp.array([member]))
        return jax.tree.map(lambda leaf: leaf[0], block)

    @cached_property
    def ntk(self) -> Float[np.ndarray, "members points train"]:
        """The empirical NTK of every member before training, computed when first asked for."""
        task = self.task
        kernels = (
            mlp_ntk(self.net, self.parameters(i), task.x, task.x_train, self.width)
            for i in range(self.members)
        )
        return np.stack([np.asarray(kernel) for kernel in kernels])

    @property
    def residuals(self) -> Float[np.ndarray, "members times train outputs"]:
        """f_t(x_a) − y_a on the train points."""
        y = np.asarray(self.task.y_train)
        return np.asarray(self.outputs)[:, :, : len(y)] - y

    @property
    def losses(self) -> Float[np.ndarray, "members times"]:
        """½ Σ (f_t(x_a) − y_a)²."""
        return 0.5 * (self.residuals**2).sum((2, 3))


def simulate(
    net: MLP,
    width: int,
    x_train: ArrayLike,
    y_train: ArrayLike,
    x_test: ArrayLike | None,
    times: ArrayLike,
    members: int,
    key: jax.Array,
    *,
    method: Method = "flow",
    step: float | None = None,
    solver: Solver = "runge_kutta",
    tolerance: float | None = None,
    memory: float = 5e8,
    progress: Progress | None = None,
) -> Runs:
    """Train an ensemble of networks of width n from independent initializations.

    Args:
        net: the architecture.
        width: n.
        x_train: train points (train, inputs).
        y_train: labels (train, outputs), or (train,) for one output.
        x_test: test points (test, inputs), or ``None``.
        times: increasing moments at which outputs are recorded: gradient-flow times, or numbers of
            steps for gradient descent.
        members: how many networks.
        key: JAX random key; the same key gives the same networks whatever ``memory``.
        method: ``"flow"`` or ``"descent"``.
        step: η of gradient descent; for gradient flow the first time step tried.
        solver: ``"runge_kutta"`` (fixed step) or ``"adaptive"`` (Tsitouras 5(4) of diffrax).
        tolerance: absolute error allowed in the outputs by the integration of the flow; by default
            1e-6, and 1e-4 for activations with kinks, where the flow is not smooth.
        memory: bytes a block of members may take.
        progress: called as progress(members done, members) after every block.

    Returns:
        :class:`Runs`.

    Raises:
        ValueError: for bad shapes or ranges, a gradient descent without a step, or a flow too stiff
            for the tolerance.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net = ww.MLP(depth=1, activation="tanh")
        >>> key = jax.random.key(0)
        >>> ww.simulate(net, 32, [[1.0]], [0.5], [[2.0]], [0.0, 1.0], 10, key).outputs.shape
        (10, 2, 2, 1)
    """
    checks.require_x64()
    n = checks.width(width)
    task = _task(net, x_train, y_train, x_test)
    moments = np.atleast_1d(checks.times(times))
    if not moments.size or not np.isfinite(moments).all() or (np.diff(moments) < 0).any():
        raise ValueError(
            f"times must be at least one finite number, increasing, to be simulated, got {times!r}"
        )
    count = checks.positive_integer(members, "members")
    size = _block_size(net, n, task, count, len(moments), checks.positive(memory, "memory"))
    standard = 1e-4 if net.activation.kinks else 1e-6
    allowed = checks.positive(standard if tolerance is None else tolerance, "tolerance")
    if method == "descent":
        plan, error = _descent_plan(moments, times, step), 0.0
    elif method != "flow":
        raise ValueError(f"method must be 'flow' or 'descent', got {method!r}")
    elif solver not in ("runge_kutta", "adaptive"):
        raise ValueError(f"solver must be 'runge_kutta' or 'adaptive', got {solver!r}")
    else:
        pilot = _draw(net, n, task.x.shape[1], key, jnp.arange(size))
        if solver == "adaptive":
            plan, error = _adaptive_plan(net, n, task, pilot, moments, allowed)
        else:
            plan, error = _resolved_plan(net, n, task, pilot, moments, allowed, step)
    outputs, initial = _in_blocks(net, n, task, key, count, size, plan, progress)
    return Runs(net, n, key, moments, outputs, initial, error, float(plan.step), task)


def _task(net: MLP, x_train: ArrayLike, y_train: ArrayLike, x_test: ArrayLike | None) -> Task:
    x = np.asarray(checks.points(x_train, "x_train"))
    y = checks.targets(y_train, len(x), net.outputs, "y_train")
    everything = x
    if x_test is not None:
        x_test = np.asarray(checks.points(x_test, "x_test"))
        checks.same_inputs(x, x_test, "x_train", "x_test")
        everything = np.concatenate([x, x_test])
    return Task(jnp.asarray(x), jnp.asarray(y), jnp.asarray(everything))


def _descent_plan(moments: np.ndarray, times: ArrayLike, step: float | None) -> FixedSteps:
    if step is None:
        raise ValueError("gradient descent needs step=, its learning rate η")
    if (moments != np.round(moments)).any():
        raise ValueError(f"times counts gradient-descent steps, got {times!r}")
    return FixedSteps.descent(moments, checks.positive(step, "step"))


def _adaptive_plan(
    net: MLP, n: int, task: Task, pilot: Parameters, moments: np.ndarray, tolerance: float
) -> tuple[Adaptive, float]:
    """Step control at the tolerance, and the first members' change at a tenth of it."""
    plan = Adaptive(moments, tolerance)
    outputs = [_train(net, n, task, pilot, p)[0] for p in (plan, Adaptive(moments, tolerance / 10))]
    return plan, float(jnp.max(jnp.abs(outputs[0] - outputs[1])))


def _resolved_plan(
    net: MLP, n: int, task: Task, pilot: Parameters, moments: np.ndarray, tolerance: float, step
) -> tuple[FixedSteps, float]:
    """Halve the Runge–Kutta step until the first block of members agrees with half the step."""
    if step is None:
        first = jax.tree.map(lambda leaf: leaf[0], pilot)
        theta = mlp_ntk(net, first, task.x_train, task.x_train, n)
        step = 1 / max(float(jnp.linalg.eigvalsh(theta)[-1]), 1e-12)
    plan = FixedSteps.flow(moments, checks.positive(step, "step"))
    coarse, error = _train(net, n, task, pilot, plan)[0], np.inf
    for _ in range(_MOST_HALVINGS):
        finer = FixedSteps.flow(moments, float(plan.step) / 2)
        fine, _ = _train(net, n, task, pilot, finer)
        error = float(jnp.max(jnp.abs(fine - coarse)))
        if error <= tolerance:
            return plan, error
        plan, coarse = finer, fine
    raise ValueError(
        f"gradient flow at width {n} is too stiff: with time step {float(plan.step):.1e} its "
        f"outputs still change by {error:.1e}, above tolerance={tolerance:g}; use "
        "solver='adaptive', a larger tolerance, or rescale the data"
    )


@eqx.filter_jit
def _draw(net: MLP, width: int, inputs: int, key: jax.Array, members: jax.Array) -> Parameters:
    """Parameters of a block of members, stacked."""
    return jax.vmap(lambda i: net.init(jax.random.fold_in(key, i), width, inputs))(members)


@eqx.filter_jit
def _train(net: MLP, width: int, task: Task, parameters: Parameters, plan: Plan):
    """Trajectories (members, times, points, outputs) and initial outputs of a block of members."""
    velocity = negative_gradient(net, width, task)

    def observe(parameters: Parameters) -> jax.Array:
        return net.apply(parameters, task.x)

    def one(parameters: Parameters):
        return plan.integrate(velocity, observe, parameters), observe(parameters)

    return jax.vmap(one)(parameters)


def _in_blocks(net, n, task: Task, key, members: int, size: int, plan: Plan, progress):
    """Train all members block by block; the last block is filled up and cut."""
    outputs = np.empty((members, len(plan.times), len(task.x), net.outputs))
    initial = np.empty((members, len(task.x), net.outputs))
    for start in range(0, members, size):
        kept = slice(start, min(start + size, members))
        parameters = _draw(net, n, task.x.shape[1], key, jnp.arange(start, start + size))
        block = _train(net, n, task, parameters, plan)
        outputs[kept], initial[kept] = (np.asarray(part)[: kept.stop - start] for part in block)
        if not np.isfinite(outputs[kept]).all():
            raise ValueError(
                f"training diverged at width {n}: step {float(plan.step):g} is too large for this "
                "network and these data; use a smaller step"
            )
        if progress is not None:
            progress(kept.stop, members)
    return outputs, initial


def _block_size(net: MLP, n: int, task: Task, members: int, times: int, memory: float) -> int:
    """Members at once: few enough for the memory, and for their activations to stay in cache."""
    widths = net.widths(n)
    fan = (task.x.shape[1], *widths, net.outputs)
    parameters = sum(a * b + b for a, b in pairwise(fan))
    activations = len(task.x) * sum(widths)
    numbers = 8 * parameters + 6 * activations + times * len(task.x) * net.outputs
    size = min(memory / (8 * numbers), max(_CACHE / activations, _FEWEST))
    return int(np.clip(size, 1, members))
