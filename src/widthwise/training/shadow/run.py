"""Shadow training of a network that exists."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree
from scipy.sparse.linalg import LinearOperator, eigsh

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.finite.dynamics import Descent, FixedSteps
from widthwise.finite.runge_kutta import first_step
from widthwise.model.architecture import MLP
from widthwise.training.dynamics import Dynamics, GradientDescent, dynamics_of
from widthwise.training.shadow.hierarchy import Hierarchy, Seen
from widthwise.training.shadow.value import ShadowTraining
from widthwise.training.task import NetworkTask, network_task

_MOST_HALVINGS = 12
_MOST_STEPS = 10**5
_FEW = 32  # train rows whose kernel is formed to find λ_max; a Lanczos iteration beyond
_ACCURACY = 1e-6
_LARGE = 2**22  # parameters; twelve stages of three vectors of this size are a gigabyte


def shadow_training(
    net: MLP | Callable,
    parameters: PyTree,
    x_train: ArrayLike,
    y_train: ArrayLike,
    x_test: ArrayLike | None = None,
    times: ArrayLike | None = None,
    *,
    steps: ArrayLike | None = None,
    step: float | None = None,
    tolerance: float = 1e-8,
) -> ShadowTraining:
    """Predict the training of one network to third order in its deviation from linearization.

    f_t ≃ f₀ + c₁ + c₂ + c₃, the Taylor coefficients of the outputs along θ₀ + sδ₁ + s²δ₂ + s³δ₃.

    Args:
        net: an :class:`~widthwise.MLP`, or any ``apply(parameters, x) -> (points, outputs)`` that
            treats every point by itself and is three times differentiable by JAX.
        parameters: its parameters at initialization; floating-point arrays train.
        x_train: train points (train, ...).
        y_train: labels (train, outputs), or (train,) for one output.
        x_test: test points, or ``None``.
        times: gradient-flow times, finite, a number or a list.
        steps: instead of ``times``, numbers of steps of gradient descent.
        step: its learning rate η, below 2/λ_max of the network's tangent kernel.
        tolerance: how much an output may change, at most, when the time step is halved.

    Returns:
        :class:`ShadowTraining`.

    Raises:
        ValueError: for bad shapes or ranges, a network with kinks, an unstable η, times that take
            too many steps, or a flow too stiff for the tolerance.

    Source: expand gradient flow in the deviation from the linearized network of Lee et al.,
    NeurIPS 2019.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net = ww.MLP(depth=1, activation="tanh")
        >>> parameters = net.init(jax.random.key(0), width=32, inputs=1)
        >>> ww.shadow_training(net, parameters, [[1.0]], [0.5], times=[1.0]).outputs().shape
        (1, 1, 1)
    """
    checks.require_x64()
    allowed = checks.positive(tolerance, "tolerance")
    task = network_task(net, parameters, x_train, y_train, x_test)
    if task.kinks:
        raise ValueError(
            f"{task.kinks}: the second and third derivatives along which shadow training expands "
            "do not describe it; the linearization (widthwise.predict with order=1) does"
        )
    return follow(task, dynamics_of(times, steps, step), allowed)


def follow(task: NetworkTask, dynamics: Dynamics, tolerance: float) -> ShadowTraining:
    """Shadow training of a checked task at finite times."""
    moments, order = _moments(dynamics)
    hierarchy = Hierarchy(task.function, task.trained, jnp.asarray(task.x), jnp.asarray(task.y))
    largest = _largest_eigenvalue(hierarchy)
    if isinstance(dynamics, GradientDescent):
        size, error = dynamics.step, 0.0
        if size * largest >= 2:
            raise ValueError(
                f"gradient descent with step {size:g} is unstable: the tangent kernel of this "
                f"network has an eigenvalue {largest:g}, and the step must be below 2/λ_max = "
                f"{2 / largest:g}"
            )
        found, predicted = _follow(hierarchy, Descent.steps(moments, size))
    else:
        (found, predicted), error, size = _flow(hierarchy, moments, largest, tolerance)
    if not np.isfinite(found.coefficients).all():
        raise ValueError(
            "the expansion diverged: this network is too narrow for its data, or the step too large"
        )
    return ShadowTraining(
        times=moments[order],
        initial=np.asarray(task.function(task.trained, hierarchy.x)),
        coefficients=np.asarray(found.coefficients)[order].swapaxes(0, 1),
        movements=np.asarray(found.movement)[order].T,
        remainder=np.asarray(found.remainder)[order],
        integration_error=error,
        step=size,
        _task=task,
        _predicted=jax.tree.map(lambda leaf: leaf[order], predicted),
    )


def _moments(dynamics: Dynamics) -> tuple[np.ndarray, np.ndarray]:
    """The recorded moments, increasing, and the order that restores them as given."""
    descent = isinstance(dynamics, GradientDescent)
    moments = np.atleast_1d(dynamics.moments)
    if not moments.size or not np.isfinite(moments).all():
        raise ValueError(
            f"{'steps' if descent else 'times'} must be one or more finite numbers, since training "
            f"is followed step by step, got {moments.tolist()}"
        )
    if descent and (moments != np.round(moments)).any():
        raise ValueError(f"steps counts gradient-descent steps, got {moments.tolist()}")
    order = np.argsort(moments, kind="stable")
    return moments[order], np.argsort(order, kind="stable")


@eqx.filter_jit
def _follow(hierarchy: Hierarchy, plan: FixedSteps | Descent) -> tuple[Seen, PyTree]:
    """What is seen at the recorded moments, and the predicted parameters there."""
    observe = hierarchy.observer()

    def seen(curve):
        return observe(curve), hierarchy.after(curve)

    return plan.integrate(hierarchy.velocity(), seen, hierarchy.start)


def _flow(
    hierarchy: Hierarchy, moments: np.ndarray, largest: float, tolerance: float
) -> tuple[tuple[Seen, PyTree], float, float]:
    """Gradient flow with a step halved until the outputs agree with half of it."""
    size = sum(leaf.size for leaf in jax.tree.leaves(hierarchy.base))
    scheme = "dormand_prince_8" if size < _LARGE else "kutta_4"
    step = first_step(scheme) / max(largest, 1e-12)
    if moments[-1] > _MOST_STEPS * step:
        raise ValueError(
            f"shadow training to t = {moments[-1]:g} takes {moments[-1] / step:.1g} steps of "
            f"{step:.2g}, since the tangent kernel has an eigenvalue {largest:.3g}; ask for times "
            f"below {_MOST_STEPS * step:.2g}, or for few points predict(..., engine='tensors'), "
            "which knows all times in closed form"
        )
    coarse = _follow(hierarchy, FixedSteps.flow(moments, step, scheme))
    if not np.isfinite(coarse[0].coefficients).all():
        raise ValueError(
            "the expansion of this network is not finite: its second or third derivatives along "
            "training are not, or overflow; look at its parameters, at points where it is not "
            "three times differentiable, and at labels far from its outputs"
        )
    error = np.inf
    for _ in range(_MOST_HALVINGS):
        step /= 2
        fine = _follow(hierarchy, FixedSteps.flow(moments, step, scheme))
        change = np.asarray(fine[0].coefficients - coarse[0].coefficients).sum(1)
        error = float(np.abs(change).max())
        if error <= tolerance:
            return fine, error, step
        coarse = fine
    raise ValueError(
        f"the flow is too stiff: with time step {step:.1e} the predicted outputs still change by "
        f"{error:.1e}, above tolerance={tolerance:g}; use a larger tolerance, or rescale the data"
    )


def _largest_eigenvalue(hierarchy: Hierarchy) -> float:
    """The largest eigenvalue of the tangent kernel on the train points; beyond few rows Lanczos'
    estimate, enlarged by its tolerance 1e-6.

    Raises:
        ValueError: if the kernel is not finite.
    """
    shape, dtype = hierarchy.y.shape, hierarchy.y.dtype
    size = hierarchy.y.size

    def times_kernel(v: np.ndarray) -> np.ndarray:
        product = np.asarray(_times_kernel(hierarchy, jnp.asarray(v, dtype).reshape(shape))).ravel()
        if not np.isfinite(product).all():
            raise ValueError(
                "the tangent kernel of this network is not finite; look at its parameters, and at "
                "points where it is not differentiable"
            )
        return product

    if size <= _FEW:
        theta = np.stack([times_kernel(v) for v in np.eye(size)])
        return float(np.linalg.eigvalsh((theta + theta.T) / 2)[-1])
    operator = LinearOperator((size, size), matvec=times_kernel, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    start = np.random.default_rng(0).standard_normal(size)
    found = eigsh(
        operator,
        1,
        which="LA",
        v0=start,
        tol=_ACCURACY,  # pyright: ignore[reportArgumentType]
        return_eigenvectors=False,
    )
    return float(found[0]) * (1 + _ACCURACY)


@eqx.filter_jit
def _times_kernel(hierarchy: Hierarchy, v: jax.Array) -> jax.Array:
    """Θ_n(0) v on the train rows."""
    train = hierarchy.x[: len(hierarchy.y)]

    def outputs(p):
        return hierarchy.function(p, train)

    _, back = jax.vjp(outputs, hierarchy.base)
    return jax.jvp(outputs, (hierarchy.base,), back(v))[1]
