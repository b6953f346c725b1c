r"""Train an ensemble and estimate its cumulants through the controls.

With f the trained outputs, g = f⁽⁰⁾ and h = f⁽¹⁾ (:mod:`.controls`) of the same members, ⟨·⟩ sample
cumulants of the members, and E[·] the expectations of :mod:`.expectations`,

    E f      = ⟨f − g − h⟩ + m(t) + E h,
    Cov f    = ⟨f, f⟩ − ⟨g, g⟩ − ⟨g, h⟩ − ⟨h, g⟩ + A_t K_n A_tᵀ + κ(g, h) + κ(h, g),
    κ_k(f)   = ⟨f, …, f⟩ − ⟨g, …, g⟩ − k ⟨g, …, g, h⟩ + κ_k(g) + k κ(g, …, g, h),      k = 3, 4.

All is exact at finite n: the controls decide only how noisy it is. The noise of a member is O(1)
without them, n^{−1/2} with f⁽⁰⁾ and 1/n with both, so that a correction of order 1/n needs as many
networks at any width. A polynomial of degree two in F, fitted to f − g − h, is part of h in mean
and covariance, and for one hidden layer in κ₃ and κ₄; without it their noise is n^{−1/2} where the
mean of O₃ does not vanish. The fit biases an estimate of M members by a part of order M^{−1/2} of
its error. It takes 50 members for each of its coefficients; with fewer it is left out, which the
result says.

Kernels, time factors and products of members are taken some at a time, within ``memory``.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.finite.ensembles import simulate
from widthwise.model.architecture import MLP
from widthwise.training.ensembles.controls import Quadratic, quadratic
from widthwise.training.ensembles.draws import drawn
from widthwise.training.ensembles.estimates import estimates
from widthwise.training.ensembles.expectations import Expectations
from widthwise.training.ensembles.neurons import independent_neurons, neuron_expectations
from widthwise.training.ensembles.problem import Problem, problem
from widthwise.training.ensembles.untrained import untrained_expectations
from widthwise.training.ensembles.value import ControlledEnsemble

_FEWEST = 50  # members; and so many for each coefficient of the polynomial
_UNTRAINED = 2  # untrained networks for every trained one
_FEW_KNOWN = 0.25  # the same where only third and fourth cumulants need them
_MEMORY = 5e8


def controlled_ensemble(
    net: MLP,
    width: int,
    x_train: ArrayLike,
    y_train: ArrayLike,
    x_test: ArrayLike | None,
    times: ArrayLike,
    members: int,
    key: jax.Array,
    *,
    untrained: int | None = None,
    tolerance: float | None = None,
    **options: Any,
) -> ControlledEnsemble:
    """Cumulants of trained networks of width n, with the noise of their linear parts removed.

    From every trained network its linear flow A_t f₀ + c_t and its first-order deviation
    Σ w Δ r are subtracted, whose cumulants are known without training; see the module's text.

    Args:
        net: the architecture: any depth, activation and laws that :func:`widthwise.simulate` takes.
        width: n.
        x_train: train points (train, inputs).
        y_train: labels (train, outputs), or (train,) for one output.
        x_test: test points (test, inputs), or ``None``.
        times: increasing, finite times of gradient flow.
        members: networks to train, at least 50.
        key: JAX random key; the trained networks are those of ``simulate`` with this key.
        untrained: networks drawn besides where the expectations of the controls need them (all but
            one hidden layer); by default twice the members, or a quarter where only third and
            fourth cumulants need them.
        tolerance: of the integration, in outputs; by default 1e-7, and 1e-5 for kinks.
        options: ``precision``, ``solver``, ``memory`` or ``progress`` of ``simulate``.

    Returns:
        :class:`ControlledEnsemble`.

    Raises:
        ValueError: as ``simulate``; for fewer than 50 members, or gradient descent.

    Source:
        Control variates: Glasserman, *Monte Carlo Methods in Financial Engineering* (2003), 4.1.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> from widthwise.training.ensembles import controlled_ensemble
        >>> net, key = ww.MLP(depth=1, activation="tanh"), jax.random.key(0)
        >>> e = controlled_ensemble(net, 64, [[1.0]], [0.5], [[2.0]], [1.0], 100, key)
        >>> bool((e.mean.reduction > 20).all())
        True
    """
    checks.width(width)
    _require(members, untrained, options)
    task = problem(net, x_train, y_train, x_test, times)
    return _ensemble(task, width, members, key, untrained, tolerance, options)


def controlled_ensembles(
    net: MLP,
    widths: Sequence[int],
    x_train: ArrayLike,
    y_train: ArrayLike,
    x_test: ArrayLike | None,
    times: ArrayLike,
    members: int | Sequence[int],
    key: jax.Array,
    *,
    untrained: int | None = None,
    tolerance: float | None = None,
    **options: Any,
) -> dict[int, ControlledEnsemble]:
    """:func:`controlled_ensemble` at several widths, independent of one another.

    Args:
        net: as there, like all that is not listed here.
        widths: n, each once.
        x_train: train points.
        y_train: labels.
        x_test: test points, or ``None``.
        times: times of gradient flow.
        members: networks of each width, one number or one per width.
        key: JAX random key; width n draws from fold_in(key, n).
        untrained: as in :func:`controlled_ensemble`.
        tolerance: likewise.
        options: likewise.

    Returns:
        width → :class:`ControlledEnsemble`; :func:`richardson` extrapolates them.

    Raises:
        ValueError: as :func:`controlled_ensemble`; for repeated widths, or counts of
            members that are not one per width.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> from widthwise.training.ensembles import controlled_ensembles
        >>> net, key = ww.MLP(depth=1, activation="tanh"), jax.random.key(0)
        >>> both = controlled_ensembles(net, [16, 64], [[1.0]], [0.5], None, [1.0], 60, key)
        >>> sorted(both)
        [16, 64]
    """
    each = [checks.width(n, "widths") for n in widths]
    if not each or len(set(each)) < len(each):
        raise ValueError(f"widths must be one or more different widths, got {widths!r}")
    counts = list(members) if isinstance(members, Sequence) else [members] * len(each)
    if len(counts) != len(each):
        raise ValueError(
            f"members must be one number or one per width ({len(each)}), got {members!r}"
        )
    checks.key(key)
    for count in counts:
        _require(count, untrained, options)
    task = problem(net, x_train, y_train, x_test, times)
    return {
        n: _ensemble(task, n, count, jax.random.fold_in(key, n), untrained, tolerance, options)
        for n, count in zip(each, counts, strict=True)
    }


def _require(members: int, untrained: int | None, options: dict[str, Any]) -> None:
    """Refuse what can be seen before anything is computed."""
    if checks.positive_integer(members, "members") < _FEWEST:
        raise ValueError(
            f"members must be at least {_FEWEST} for standard errors of cumulants, got {members}"
        )
    if untrained is not None and checks.positive_integer(untrained, "untrained") < _FEWEST:
        raise ValueError(f"untrained must be at least {_FEWEST}, got {untrained!r}")
    unknown = set(options) - {"precision", "solver", "memory", "progress"}
    if unknown:
        raise ValueError(
            "options may be precision, solver, memory and progress of simulate (the controls "
            f"describe gradient flow), got {sorted(unknown)}"
        )


def _ensemble(
    problem: Problem, width: int, members: int, key: jax.Array, untrained, tolerance, options
) -> ControlledEnsemble:
    net, controls = problem.net, problem.controls
    n = checks.width(width)
    memory = checks.positive(options.get("memory", _MEMORY), "memory")
    allowed = (1e-5 if net.activation.kinks else 1e-7) if tolerance is None else tolerance
    runs = simulate(net, n, *problem.data, members, key, tolerance=allowed, **options)
    expected = _expectations(problem, n, members, key, untrained, memory)
    F = np.asarray(runs.initial, float).reshape(members, -1)
    f = np.asarray(runs.outputs, float).reshape(members, len(runs.times), -1)
    g = controls.linear(F)
    h = _first_order(problem, n, key, F, memory)
    q, note = _polynomial(problem, F, f - g - h, memory)
    values = q.at(controls.modes(F), memory)
    return estimates(problem, runs, expected, f, g, h, q, values, note, memory)


def _expectations(
    problem: Problem, n: int, members: int, key, untrained, memory: float
) -> Expectations:
    net, other = problem.net, jax.random.fold_in(key, 2**31 - 2)  # members use small numbers
    common = (net, n, problem.x, problem.nngp, problem.controls, other)
    if independent_neurons(net):
        return neuron_expectations(*common, even=problem.even, known=problem.known)
    exact = np.allclose(net.widths(n), n * np.array(net.ratios), rtol=1e-9)
    known = problem.known if exact else None  # a series in n is not one at rounded widths
    share = _UNTRAINED if known is None else _FEW_KNOWN
    count = max(_FEWEST, int(share * members)) if untrained is None else untrained
    return untrained_expectations(*common, count, even=problem.even, known=known, memory=memory)


def _first_order(
    problem: Problem, n: int, key: jax.Array, F: np.ndarray, memory: float
) -> Float[np.ndarray, "members times rows"]:
    """The h of every member, whose kernels are drawn again some at a time."""
    controls, train, members = problem.controls, len(problem.data[0]), len(F)
    each = 4 * controls.weights.size + 4 * controls.solution.ntk.size
    found, begin = [], 0
    for block in drawn(problem.net, n, problem.x, train, key, members, memory=memory, each=each):
        change = block.ntk[:, 0] - controls.solution.ntk
        found.append(controls.first_order(F[begin : begin + len(change)], change))
        begin += len(change)
    return np.concatenate(found)


def _polynomial(
    problem: Problem, F: np.ndarray, rest: np.ndarray, memory: float
) -> tuple[Quadratic, str]:
    """The polynomial in F fitted to what the controls leave of f − g, where members suffice."""
    controls = problem.controls
    modes = controls.modes(F)
    (members, m), K = modes.shape, controls.solution.modes(problem.nngp, "tt")
    needed = _FEWEST * (m + 1) * (m + 2) // 2
    if needed <= members:
        return quadratic(modes, rest, K, memory), "fitted"
    zero = np.zeros((*rest.shape[1:], m))
    left_out = f"left out, {m} train modes need {needed} members"
    return Quadratic(zero, np.zeros((*zero.shape, m)), K), left_out
