"""Ensembles of real finite networks, trained by gradient flow or gradient descent.

Every member trains on ½ Σ (f(x_a) − y_a)² by

    θ̇ = −r ∇L(θ)  (gradient flow)      or      θ ← θ − η r ∇L(θ)  (gradient descent),

with the per-layer rates r of the parametrization. Member i draws its parameters from
fold_in(key, i) and trains in a packet fixed by i, so its numbers are the same, bit for bit,
whatever the memory allowed and however many members there are: an ensemble can be extended.

Gradient flow is integrated by Runge–Kutta steps of order 8 (order 4 for activations with kinks, and
for layers too large for the cache) as long as a first packet of members allows (:mod:`.pilot`), or
by an adaptive solver. Momentum and mini-batches belong to gradient descent; no theory here
describes them, and :attr:`Runs.outside_theory` says so.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.finite.dynamics import Adaptive, Descent, FixedSteps, Plan
from widthwise.finite.gradient import Task
from widthwise.finite.packets import Training, in_packets, packet_size
from widthwise.finite.pilot import in_float32, resolved
from widthwise.finite.recording import quantities
from widthwise.finite.runge_kutta import scheme_for
from widthwise.finite.runs import Runs
from widthwise.limit.kernels import limit_kernels
from widthwise.model.architecture import MLP

Method: TypeAlias = Literal["flow", "descent"]
Solver: TypeAlias = Literal["runge_kutta", "adaptive"]
Precision: TypeAlias = Literal["float64", "float32"]
Diverged: TypeAlias = Literal["raise", "nan"]
Progress: TypeAlias = Callable[[int, int], None]

_LARGEST = 1e50  # of outputs: their sixth powers are still numbers


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
    diverged: Diverged = "raise",
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
        diverged: what becomes of networks whose training diverges (outputs that are no numbers, or
            beyond 1e50): ``"raise"``, or ``"nan"``: everything recorded of them along training is
            not a number, and :attr:`Runs.diverged` tells which they are.
        progress: called as progress(members done, members) after every packet.

    Returns:
        :class:`Runs`.

    Raises:
        ValueError: for bad shapes or ranges, a gradient descent without a step, a training that
            diverges (unless ``diverged="nan"``), or a flow too stiff for the tolerance.

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
    _known(diverged)
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
    training, error = resolved(training, pilot, allowed, step)
    rounding = 0.0
    if precision == "float32":
        training, rounding = in_float32(training, pilot)
    found = _collect(training, begin, count, size, budget, diverged, progress)
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


def more_members(
    runs: Runs, members: int, first: int, *, memory: float = 5e8, diverged: Diverged = "raise"
) -> Runs:
    """Other members of an ensemble, trained as those in ``runs`` without looking for a step again.

    Args:
        runs: made by :func:`simulate`.
        members: how many networks.
        first: number of the first one under the key of ``runs``.
        memory: bytes the members under way at once may take.
        diverged: as in :func:`simulate`.

    Returns:
        :class:`Runs`, the same bits as ``simulate`` with this ``first`` and ``members``.

    Raises:
        ValueError: for runs that :func:`simulate` did not make, numbers out of range, or a training
            that diverges (unless ``diverged="nan"``).

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> from widthwise.finite.ensembles import more_members
        >>> net, key = ww.MLP(depth=1, activation="tanh"), jax.random.key(0)
        >>> runs = ww.simulate(net, 32, [[1.0]], [0.5], None, [1.0], 4, key)
        >>> more_members(runs, 2, first=1).outputs.ravel() == runs.outputs[1:3].ravel()
        array([ True,  True])
    """
    training = runs._training
    if training is None:
        raise ValueError(
            f"runs must come from simulate, which knows how they were trained, got {runs!r}"
        )
    count, begin = checks.positive_integer(members, "members"), _first(first)
    budget = checks.positive(memory, "memory")
    _known(diverged)
    size = packet_size(training.net, training.width, training.task)
    found = _collect(training, begin, count, size, budget, diverged, None)
    outputs, initial = found.pop("outputs"), found.pop("initial")
    return replace(runs, outputs=outputs, initial=initial, recorded=found, first=begin)


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


def _known(diverged: str) -> None:
    if diverged not in ("raise", "nan"):
        raise ValueError(f"diverged must be 'raise' or 'nan', got {diverged!r}")


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


def _collect(
    training: Training,
    first: int,
    count: int,
    size: int,
    memory: float,
    diverged: Diverged,
    progress: Progress | None,
) -> dict[str, np.ndarray]:
    """What is recorded of members first … first + count − 1, gathered from their packets."""
    found: dict[str, np.ndarray] = {}
    for number, packet in in_packets(training, first, first + count, size, memory):
        inside = slice(max(number, first) - number, min(number + size, first + count) - number)
        kept = np.abs(packet["outputs"][inside]).max((1, 2, 3)).astype(float) < _LARGEST
        if diverged == "raise" and not kept.all():
            raise ValueError(
                f"training diverged at width {training.width}: step "
                f"{float(training.plan.step):g} is too large for this network and these data; use "
                "a smaller step, or diverged='nan' to leave such networks out"
            )
        place = slice(number + inside.start - first, number + inside.stop - first)
        for name, values in packet.items():
            if name not in found:
                found[name] = np.empty((count, *values.shape[1:]))
            found[name][place] = values[inside]
            if name != "initial":
                found[name][place][~kept] = np.nan
        if progress is not None:
            progress(place.stop, count)
    return found
