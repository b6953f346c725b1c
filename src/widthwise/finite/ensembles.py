"""Ensembles of real finite networks, trained by gradient flow or gradient descent.

Every member trains on ½ Σ (f(x_a) − y_a)² by

    θ̇ = −r ∇L(θ)  (gradient flow)      or      θ ← θ − η r ∇L(θ)  (gradient descent),

with the per-layer rates r of the parametrization. Member i draws its parameters from
fold_in(key, i) and trains in a packet fixed by i, so its numbers are the same, bit for bit,
whatever the memory allowed and however many members there are: an ensemble can be extended.

Gradient flow is integrated by Runge–Kutta steps of order 8 (order 4 for activations with kinks),
halved until a first packet of members agrees with half the step to the tolerance, or by an adaptive
solver. Momentum and mini-batches belong to gradient descent; no theory here describes them, and
:attr:`Runs.outside_theory` says so.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Integral
from typing import Literal, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike, Trajectories
from widthwise.finite.dynamics import Adaptive, Descent, FixedSteps, Plan
from widthwise.finite.gradient import Task
from widthwise.finite.ntk import mlp_ntk
from widthwise.finite.packets import Training, in_packets, packet_size, start, train, trained
from widthwise.finite.recording import quantities
from widthwise.finite.runge_kutta import first_step, scheme_for
from widthwise.limit.kernels import limit_kernels
from widthwise.model.architecture import MLP, Layer, Parameters

Method: TypeAlias = Literal["flow", "descent"]
Solver: TypeAlias = Literal["runge_kutta", "adaptive"]
Precision: TypeAlias = Literal["float64", "float32"]
Progress: TypeAlias = Callable[[int, int], None]
_MOST_HALVINGS = 12


@dataclass(frozen=True, eq=False)
class Runs:
    """Trained networks.

    Args:
        net, width, key: what they were drawn from; member 0 here is number ``first`` of the key.
        times: gradient-flow times, or numbers of gradient-descent steps.
        outputs: (members, times, points, outputs), train points first.
        initial: outputs before training, (members, points, outputs).
        integration_error: largest difference, over a first packet of members, all times and
            points, from integration with half the step (adaptive: a tenth of the tolerance;
            gradient descent: 0).
        step: time step of the integration, or η (adaptive: nan).
        task: the data.
        recorded: name → what else was recorded, (members, times, ...).
        rounding_error: of float32, the largest difference of its outputs from float64's over a
            first packet of members; float64: 0.
        outside_theory: why no theory of this library describes these runs, or ``None``.
        first: number of the first member.
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
    recorded: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    rounding_error: float = 0.0
    outside_theory: str | None = None
    first: int = 0
    _training: Training | None = field(default=None, repr=False)

    @property
    def members(self) -> int:
        """The number of networks."""
        return len(self.outputs)

    def parameters(self, member: int) -> Parameters:
        """The parameters of one member, numbered from 0 in these runs, before training."""
        number = self._number(member)
        block = _draw(self.net, self.width, self.task.x.shape[1], self.key, jnp.array([number]))
        return jax.tree.map(lambda leaf: leaf[0], block)

    def trained_parameters(self, member: int) -> Parameters:
        """The parameters of one member at the last recorded time; it is trained once more."""
        if self._training is None:
            raise ValueError("these runs do not know how they were trained; make them by simulate")
        size = packet_size(self.net, self.width, self._training.task)
        number = self._number(member)
        packet = trained(self._training, np.arange(size) + number // size * size)
        last = jax.tree.map(lambda leaf: leaf[number % size], packet)
        basis = self._training.basis
        if basis is None:
            return last
        before = self.parameters(member)[0]
        change = last[0].weight - before.weight @ basis  # what is orthogonal to the data stays
        return (Layer(before.weight + change @ basis.T, last[0].bias), *last[1:])

    def _number(self, member: int) -> int:
        """Its number under the key."""
        if not isinstance(member, Integral) or not 0 <= member < self.members:
            raise ValueError(f"member must be an integer below {self.members}, got {member!r}")
        return self.first + int(member)

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
    momentum: float = 0.0,
    batch: int | None = None,
    solver: Solver = "runge_kutta",
    tolerance: float | None = None,
    record: str | Iterable[str] = "outputs",
    precision: Precision = "float64",
    first: int = 0,
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
        key: JAX random key; the same key gives the same networks, bit for bit, whatever ``memory``.
        method: ``"flow"`` or ``"descent"``.
        step: η of gradient descent; for gradient flow the first time step tried.
        momentum: μ of gradient descent with momentum, v ← μ v − r ∇L, θ ← θ + η v.
        batch: train points in a mini-batch of gradient descent, from a new shuffle every epoch;
            their gradient is multiplied by m/batch. ``None`` means all points.
        solver: ``"runge_kutta"`` (fixed step) or ``"adaptive"`` (Tsitouras 5(4) of diffrax).
        tolerance: absolute error allowed in the outputs by the integration of the flow; by default
            1e-6, and 1e-4 for activations with kinks, where the flow is not smooth.
        record: what else to record at ``times``, one name or several: ``"ntk"``,
            ``"ntk_diagonal"``, ``"ntk_eigenvalues"``, ``"ntk_change"``, ``"ntk_limit_distance"``,
            ``"movement"``; see :attr:`Runs.recorded`.
        precision: ``"float32"`` trains faster; how far its outputs are from float64's is measured
            on a first packet of members and reported as ``rounding_error``.
        first: number of the first member, to extend an ensemble or to share it among workers.
        memory: bytes the members under way at once may take; at least one packet is.
        progress: called as progress(members done, members) after every packet.

    Returns:
        :class:`Runs`.

    Raises:
        ValueError: for bad shapes or ranges, a gradient descent without a step, a training that
            diverges, or a flow too stiff for the tolerance.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net = ww.MLP(depth=1, activation="tanh")
        >>> key = jax.random.key(0)
        >>> ww.simulate(net, 32, [[1.0]], [0.5], [[2.0]], [0.0, 1.0], 10, key).outputs.shape
        (10, 2, 2, 1)
    """
    checks.require_x64()
    checks.key(key)
    n = checks.width(width)
    task = _task(net, x_train, y_train, x_test)
    moments = np.atleast_1d(checks.times(times))
    if not moments.size or not np.isfinite(moments).all() or (np.diff(moments) < 0).any():
        raise ValueError(
            f"times must be at least one finite number, increasing, to be simulated, got {times!r}"
        )
    count, begin = checks.positive_integer(members, "members"), _first(first)
    budget = checks.positive(memory, "memory")
    standard = 1e-4 if net.activation.kinks else 1e-6
    allowed = checks.positive(standard if tolerance is None else tolerance, "tolerance")
    if precision not in ("float64", "float32"):
        raise ValueError(f"precision must be 'float64' or 'float32', got {precision!r}")
    names = quantities(record)
    if method == "descent":
        if solver != "runge_kutta":
            raise ValueError(
                f"solver belongs to method='flow', got solver={solver!r} with method='descent'"
            )
        plan = _descent(moments, times, step, momentum, batch, len(task.x_train))
    elif method != "flow":
        raise ValueError(f"method must be 'flow' or 'descent', got {method!r}")
    elif momentum or batch is not None:
        raise ValueError(
            f"momentum and batch belong to method='descent', got momentum={momentum!r} and "
            f"batch={batch!r} with method='flow'"
        )
    elif solver not in ("runge_kutta", "adaptive"):
        raise ValueError(f"solver must be 'runge_kutta' or 'adaptive', got {solver!r}")
    elif solver == "adaptive":
        if step is not None:
            raise ValueError(
                f"solver='adaptive' chooses its steps: leave step out, got step={step!r}"
            )
        plan = Adaptive(moments, jnp.asarray(allowed))
    else:
        plan = FixedSteps.flow(moments, 1.0, scheme_for(net, n, len(task.x_train)))
    training = _training(net, n, task, key, plan, names)
    size = packet_size(net, n, training.task)
    pilot = np.arange(size)
    error = 0.0
    if isinstance(plan, FixedSteps):
        training, error = _resolved(training, pilot, allowed, step)
    elif isinstance(plan, Adaptive):
        error = _adaptive_error(training, pilot)
    rounding = 0.0
    if precision == "float32":
        exact = train(_outputs_only(training), pilot)["outputs"]
        training = replace(training, single=True)
        rounding = float(np.abs(train(_outputs_only(training), pilot)["outputs"] - exact).max())
    found = _collect(training, begin, count, size, budget, progress)
    return Runs(
        net=net,
        width=n,
        key=key,
        times=moments,
        outputs=found.pop("outputs"),
        initial=found.pop("initial"),
        integration_error=error,
        step=float(training.plan.step),
        task=task,
        recorded=found,
        rounding_error=rounding,
        outside_theory=_outside_theory(momentum, batch),
        first=begin,
        _training=training,
    )


def simulate_widths(
    net: MLP,
    widths: Sequence[int],
    x_train: ArrayLike,
    y_train: ArrayLike,
    x_test: ArrayLike | None,
    times: ArrayLike,
    members: int,
    key: jax.Array,
    **options,
) -> dict[int, Runs]:
    """An ensemble at each of several widths, with independent networks.

    Args:
        net: the architecture.
        widths: n, one or more, each once.
        x_train: as in :func:`simulate`, like the next four.
        y_train: labels.
        x_test: test points, or ``None``.
        times: recorded moments.
        members: how many networks of each width.
        key: JAX random key; width n draws from fold_in(key, n).
        options: the keyword arguments of :func:`simulate`, the same for all widths.

    Returns:
        width → :class:`Runs`, in the order of ``widths``.

    Raises:
        ValueError: as :func:`simulate`, and for widths that are none or repeated.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net, key = ww.MLP(depth=1, activation="tanh"), jax.random.key(0)
        >>> runs = ww.simulate_widths(net, [8, 32], [[1.0]], [0.5], None, [1.0], 10, key)
        >>> {n: r.outputs.shape for n, r in runs.items()}
        {8: (10, 1, 1, 1), 32: (10, 1, 1, 1)}
    """
    if not isinstance(widths, Iterable):
        raise ValueError(f"widths must be a list of widths, such as [64, 256], got {widths!r}")
    each = [checks.width(n, "widths") for n in widths]
    if not each or len(set(each)) < len(each):
        raise ValueError(f"widths must be one or more different widths, got {widths!r}")
    data = (x_train, y_train, x_test, times, members)
    return {n: simulate(net, n, *data, jax.random.fold_in(key, n), **options) for n in each}


def _first(first: int) -> int:
    if isinstance(first, bool) or not isinstance(first, Integral) or first < 0:
        raise ValueError(f"first is the number of a member, at least 0, got {first!r}")
    return int(first)


def _task(net: MLP, x_train: ArrayLike, y_train: ArrayLike, x_test: ArrayLike | None) -> Task:
    x = np.asarray(checks.points(x_train, "x_train"))
    y = checks.targets(y_train, len(x), net.outputs, "y_train")
    everything = x
    if x_test is not None:
        x_test = np.asarray(checks.points(x_test, "x_test"))
        checks.same_inputs(x, x_test, "x_train", "x_test")
        everything = np.concatenate([x, x_test])
    return Task(jnp.asarray(x), jnp.asarray(y), jnp.asarray(everything))


def _coordinates(net: MLP, task: Task) -> tuple[Task, np.ndarray | None]:
    """The data in an orthonormal basis of their span, where that has fewer dimensions.

    Outputs depend on the first layer's weights through their products with the data alone, and
    training moves them within the span. The coordinates are scaled so that σ_w/√(their number)
    takes the place of σ_w/√d; learning rates that depend on d would not survive that.
    """
    points, inputs = task.x.shape
    if inputs <= points or net.parametrization != "ntk":
        return task, None
    basis = np.linalg.qr(np.asarray(task.x).T)[0]
    scale = (points / inputs) ** 0.5
    x_train, x = (jnp.asarray(scale * np.asarray(x) @ basis) for x in (task.x_train, task.x))
    return Task(x_train, task.y_train, x), basis


def _training(net: MLP, n: int, task: Task, key, plan: Plan, names: tuple[str, ...]) -> Training:
    limit = None
    if "ntk_limit_distance" in names:
        limit = np.asarray(limit_kernels(net, task.x).ntk)[:, : len(task.x_train)]
    seen, basis = _coordinates(net, task)
    return Training(net, n, seen, basis, task.x.shape[1], key, plan, names, limit, False)


def _descent(moments: np.ndarray, times, step, momentum, batch, train_points: int) -> Descent:
    if step is None:
        raise ValueError("gradient descent needs step=, its learning rate η")
    if (moments != np.round(moments)).any():
        raise ValueError(f"times counts gradient-descent steps, got {times!r}")
    if checks.nonnegative(momentum, "momentum") >= 1:
        raise ValueError(f"momentum must be at least 0 and below 1, got {momentum!r}")
    if batch is not None and checks.positive_integer(batch, "batch") > train_points:
        raise ValueError(
            f"batch must be at most the number of train points, {train_points}, got {batch!r}"
        )
    return Descent.steps(moments, checks.positive(step, "step"), float(momentum), batch)


def _outside_theory(momentum: float, batch: int | None) -> str | None:
    parts = [
        *(["mini-batches"] if batch is not None else []),
        *(["momentum"] if momentum else []),
    ]
    if not parts:
        return None
    return (
        f"trained with {' and '.join(parts)}: linear_flow and the finite-width corrections "
        "describe full-batch gradient flow and gradient descent without momentum"
    )


def _outputs_only(training: Training) -> Training:
    return replace(training, names=(), limit=None)


def _adaptive_error(training: Training, pilot: np.ndarray) -> float:
    """The pilot's change when the tolerance is a tenth."""
    plan = training.plan
    assert isinstance(plan, Adaptive)
    finer = replace(training, plan=Adaptive(plan.times, plan.tolerance / 10))
    outputs = [train(_outputs_only(t), pilot)["outputs"] for t in (training, finer)]
    return float(jnp.max(jnp.abs(outputs[0] - outputs[1])))


def _resolved(
    training: Training, pilot: np.ndarray, tolerance: float, step
) -> tuple[Training, float]:
    """Halve the Runge–Kutta step until the pilot agrees with half the step."""
    plan = training.plan
    assert isinstance(plan, FixedSteps)
    scheme = plan.scheme
    if step is None:
        step = first_step(scheme) / max(_largest_eigenvalue(training, pilot), 1e-12)
    moments = np.asarray(plan.times)

    def at(size: float) -> tuple[Training, np.ndarray]:
        there = replace(training, plan=FixedSteps.flow(moments, size, scheme))
        return there, np.asarray(train(_outputs_only(there), pilot)["outputs"])

    coarse, outputs = at(checks.positive(step, "step"))
    error = np.inf
    for _ in range(_MOST_HALVINGS):
        fine, finer = at(float(coarse.plan.step) / 2)
        with np.errstate(invalid="ignore"):
            error = float(np.max(np.abs(finer - outputs)))
        if error <= tolerance:
            return coarse, error
        coarse, outputs = fine, finer
    raise ValueError(
        f"gradient flow at width {training.width} is too stiff: with time step "
        f"{float(coarse.plan.step):.1e} its outputs still change by {error:.1e}, above "
        f"tolerance={tolerance:g}; use solver='adaptive', a larger tolerance, or rescale the data"
    )


def _largest_eigenvalue(training: Training, pilot: np.ndarray) -> float:
    """Of Θ on the train points, for the first member."""
    net = training.net.at_width(training.width, training.inputs)
    x = training.task.x_train
    parameters = jax.tree.map(lambda leaf: leaf[0], start(training, pilot))
    theta = mlp_ntk(net, parameters, x, x, training.width)
    return float(jnp.linalg.eigvalsh(theta)[-1])


@eqx.filter_jit
def _draw(net: MLP, width: int, inputs: int, key: jax.Array, members: jax.Array) -> Parameters:
    """Parameters of a block of members, stacked."""
    return jax.vmap(lambda i: net.init(jax.random.fold_in(key, i), width, inputs))(members)


def _collect(
    training: Training, first: int, count: int, size: int, memory: float, progress
) -> dict[str, np.ndarray]:
    """What is recorded of members first … first + count − 1, gathered from their packets."""
    found: dict[str, np.ndarray] = {}
    for number, packet in in_packets(training, first, first + count, size, memory):
        if not np.isfinite(packet["outputs"]).all():
            raise ValueError(
                f"training diverged at width {training.width}: step "
                f"{float(training.plan.step):g} is too large for this network and these data; use "
                "a smaller step"
            )
        inside = slice(max(number, first) - number, min(number + size, first + count) - number)
        place = slice(number + inside.start - first, number + inside.stop - first)
        for name, values in packet.items():
            if name not in found:
                found[name] = np.empty((count, *values.shape[1:]))
            found[name][place] = values[inside]
        if progress is not None:
            progress(place.stop, count)
    return found
