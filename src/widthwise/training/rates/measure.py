"""Train networks of several widths and measure how far they are from the limit."""

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.algebra.power_law import Slope, fit_slope
from widthwise.finite.ensembles import Runs, simulate_widths
from widthwise.finite.ntk import empirical_ntk
from widthwise.limit.flow import LinearFlow, linear_flow
from widthwise.model.architecture import MLP
from widthwise.training.dynamics import GradientFlow
from widthwise.training.rates.constants import constants
from widthwise.training.rates.value import NTKRates, Rate
from widthwise.training.solution_map import SolutionMap
from widthwise.training.symmetry import integer_powers, third_is_of_order_one_over_n

_NAMES = ("‖Θ_n(t) − Θ_∞‖", "‖Θ_n(t) − Θ_n(0)‖", "‖f_t − f_lin‖, Θ_∞", "‖f_t − f_lin‖, Θ_n(0)")
_TIMES = 12
_LONGEST = 200.0  # of 1/λ_max; the cost of training grows with it
_MOST = 1e5  # of 1/λ_max, where times are given


def ntk_rates(
    net: MLP,
    x: ArrayLike,
    y: ArrayLike,
    widths: Sequence[int],
    members: int,
    *,
    key: jax.Array,
    x_test: ArrayLike | None = None,
    times: ArrayLike | None = None,
    tolerance: float | None = None,
) -> NTKRates:
    """Measure the largest deviations of kernel and outputs during training against the width.

    Beside each stands the constant that theory predicts for its root mean square over networks, to
    leading order in the width (:mod:`widthwise.training.rates.constants`), or why there is none.

    Args:
        net: the architecture.
        x: train points (train, inputs).
        y: labels (train, outputs), or (train,) for one output.
        widths: n, two or more; the next order of the expansion is fitted too from four on.
        members: networks of each width.
        key: JAX random key.
        x_test: test points, or ``None``.
        times: increasing gradient-flow times over which the largest value is taken; by default
            twelve from 0.1/λ_max to 5/λ_min of Θ_∞, but not beyond 200/λ_max.
        tolerance: of the integration, as in :func:`widthwise.simulate`; by default 1e-8, and 1e-5
            for activations with kinks.

    Returns:
        :class:`NTKRates`; printed, it is the table.

    Raises:
        ValueError: for fewer than two widths or members, times that take too many steps, and as
            :func:`widthwise.simulate`.

    Source: Jacot, Gabriel & Hongler, NeurIPS 2018; Lee et al., NeurIPS 2019, Theorem 2.1.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net, key = ww.MLP(depth=1, activation="tanh"), jax.random.key(0)
        >>> ww.ntk_rates(net, [[1.0]], [0.5], [16, 64], 8, key=key, times=[1.0]).rates[1].theory
        -1.0
    """
    if len(widths) < 2 or checks.positive_integer(members, "members") < 2:
        raise ValueError(
            "a rate needs at least two widths and two networks of each, got "
            f"widths={list(widths)} and members={members}"
        )
    flow = linear_flow(net, x, y, x_test)
    moments = _moments(flow) if times is None else checks.some_times(times)
    largest = flow.eigenvalues[-1]
    if moments.size and _MOST < moments.max() * largest < np.inf:
        raise ValueError(
            f"networks are trained step by step, and t = {moments.max():g} takes more than "
            f"{_MOST:g} steps of 1/λ_max, the limit kernel having an eigenvalue {largest:.3g}; ask "
            f"for times below {_MOST / largest:.2g}, or leave times out"
        )
    allowed = (1e-5 if net.activation.kinks else 1e-8) if tolerance is None else tolerance
    runs = simulate_widths(
        net,
        widths,
        x,
        y,
        x_test,
        moments,
        members,
        key,
        record=("ntk_change", "ntk_limit_distance"),
        tolerance=allowed,
    )
    norms = np.array([_norms(run, flow, moments) for run in runs.values()])
    measured = norms.max(3)
    means = measured.mean(2)
    errors = measured.std(2, ddof=1) / np.sqrt(members)
    squares = norms**2
    rms = np.sqrt(squares.mean(2))
    spread = squares.std(2, ddof=1) / np.sqrt(members)
    rms_errors = spread / np.where(rms > 0, 2 * rms, 1.0)
    symmetric = third_is_of_order_one_over_n(net)
    note = _note(net)
    drift = None if note else -1.0 if symmetric else -0.5
    theory = (-0.5, drift, -0.5, drift)
    task = next(iter(runs.values())).task
    predicted = constants(net, flow, np.asarray(task.x), moments, jax.random.fold_in(key, 0))
    next_order = 1.0 if integer_powers(net) else 0.5
    n = np.asarray(widths, dtype=float)
    rates = tuple(
        Rate(
            name,
            means[:, k],
            errors[:, k],
            theory[k],
            _slope(n, means[:, k], errors[:, k], theory[k], next_order),
            rms[:, k],
            rms_errors[:, k],
            predicted[k],
        )
        for k, name in enumerate(_NAMES)
    )
    return NTKRates(n, moments, members, rates, symmetric, note)


def _moments(flow: LinearFlow) -> Float[np.ndarray, " times"]:
    values = flow.eigenvalues
    live = values[values > 0]
    if not live.size:
        raise ValueError(
            "the limit kernel vanishes on the train points: nothing trains; give times"
        )
    longest = min(5 / live[0], _LONGEST / live[-1])
    return np.geomspace(0.1 / live[-1], longest, _TIMES)


def _norms(run: Runs, flow: LinearFlow, times: np.ndarray) -> Float[np.ndarray, "4 members times"]:
    """Of one width: the four deviations of every network at every time."""
    about_limit = np.asarray(run.outputs) - flow.outputs(run.initial, times)
    own = [_linearization(run, i, times) for i in range(run.members)]
    about_own = np.asarray(run.outputs) - np.stack(own)
    norms = [np.sqrt((d**2).sum((2, 3))) for d in (about_limit, about_own)]
    recorded = [run.recorded[name] for name in ("ntk_limit_distance", "ntk_change")]
    return np.stack([*recorded, *norms])


def _linearization(run: Runs, member: int, times: np.ndarray) -> np.ndarray:
    """Outputs of the network linearized at its own initialization, (times, points, outputs)."""
    task, initial = run.task, run.initial[member]
    parameters = run.parameters(member)
    theta = empirical_ntk(
        run.net, parameters, task.x, task.x_train, components="full", width=run.width
    )
    rows, train = initial.size, np.size(task.y_train)
    theta = np.asarray(theta).transpose(0, 2, 1, 3).reshape(rows, train)
    solution = SolutionMap(theta, np.asarray(task.y_train).ravel())
    dynamics = GradientFlow(times)
    outputs = solution.propagator(dynamics) @ initial.ravel() + solution.mean(dynamics)
    return outputs.reshape(len(times), *initial.shape)


def _note(net: MLP) -> str:
    if not net.activation.kinks:
        return ""
    return (
        f"activation {net.activation.name!r} has kinks: O3 does not describe how its kernel "
        "drifts, and no exponent is stated for that"
    )


def _slope(n, values, errors, theory: float | None, next_order: float) -> Slope | None:
    return fit_slope(n, values, errors, np.nan if theory is None else theory, next_order)
