r"""Train an ensemble and estimate its cumulants through the controls.

With f the trained outputs, g = f⁽⁰⁾ and h = f⁽¹⁾ (:mod:`.controls`) of the same members, ⟨·⟩ sample
cumulants of the members, and E[·] the expectations of :mod:`.expectations`,

    E f      = ⟨f − g − h⟩ + m(t) + E h,
    Cov f    = ⟨f, f⟩ − ⟨g, g⟩ − ⟨g, h⟩ − ⟨h, g⟩ + A_t K_n A_tᵀ + κ(g, h) + κ(h, g),
    κ_k(f)   = ⟨f, …, f⟩ − ⟨g, …, g⟩ − k ⟨g, …, g, h⟩ + κ_k(g) + k κ(g, …, g, h),      k = 3, 4.

All is exact at finite n: the controls decide only how noisy it is. The noise of a member is O(1)
without them, n^{−1/2} with f⁽⁰⁾ and 1/n with both, so that a correction of order 1/n needs as many
networks at any width. In mean and covariance a polynomial of degree two in F, fitted to f − g − h,
is part of h; the fit biases an estimate of M members by a part of order M^{−1/2} of its error.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.algebra.gaussian import Estimate
from widthwise.finite.ensembles import Runs, simulate
from widthwise.limit.kernels import limit_kernels
from widthwise.model.architecture import MLP, require_network
from widthwise.training.dynamics import GradientFlow
from widthwise.training.ensembles.controls import Controls, Quadratic, quadratic
from widthwise.training.ensembles.draws import drawn
from widthwise.training.ensembles.expectations import Expectations
from widthwise.training.ensembles.neurons import independent_neurons, neuron_expectations
from widthwise.training.ensembles.samples import Influence, cumulant
from widthwise.training.ensembles.series import Known, known_neuron, known_series
from widthwise.training.ensembles.untrained import untrained_expectations
from widthwise.training.ensembles.value import ControlledEnsemble, estimate, rows_to_points
from widthwise.training.solution_map import SolutionMap
from widthwise.training.symmetry import integer_powers, third_vanishes_in_mean

_FEWEST = 50  # members; and so many for each coefficient of the polynomial
_UNTRAINED = 2  # untrained networks for every trained one
_FEW_KNOWN = 0.25  # the same where only third and fourth cumulants need them


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
    problem = _problem(net, x_train, y_train, x_test, times)
    return _ensemble(problem, width, members, key, untrained, tolerance, options)


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
    problem = _problem(net, x_train, y_train, x_test, times)
    return {
        n: _ensemble(problem, n, count, jax.random.fold_in(key, n), untrained, tolerance, options)
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


class _Problem(NamedTuple):
    """What all widths share."""

    net: MLP
    data: tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]
    x: np.ndarray
    nngp: np.ndarray
    controls: Controls
    known: Known | None
    even: bool
    integer: bool


def _problem(net: MLP, x_train, y_train, x_test, times) -> _Problem:
    checks.require_x64()
    require_network(net)
    x = np.asarray(checks.points(x_train, "x_train"))
    y = checks.targets(y_train, len(x), net.outputs, "y_train")
    test, everything = None, x
    if x_test is not None:
        test = np.asarray(checks.points(x_test, "x_test"))
        checks.same_inputs(x, test, "x_train", "x_test")
        everything = np.concatenate([x, test])
    moments = np.atleast_1d(checks.times(times))
    if not moments.size or not np.isfinite(moments).all() or (np.diff(moments) < 0).any():
        raise ValueError(
            f"times must be at least one finite number, increasing, to be simulated, got {times!r}"
        )
    kernels, same = limit_kernels(net, everything), np.eye(net.outputs)
    nngp, ntk = np.kron(np.asarray(kernels.nngp), same), np.kron(np.asarray(kernels.ntk), same)
    solution = SolutionMap(ntk[:, : y.size], y.ravel())
    last = net.depth
    balanced = not net.has_bias(last) or net.bias_law[last].symmetric
    even, integer = balanced and third_vanishes_in_mean(net), integer_powers(net)
    if independent_neurons(net):
        known = known_neuron(net, everything, len(x))
    else:
        known = known_series(net, everything, solution.ntk, integer=integer)
    controls = Controls(solution, GradientFlow(moments))
    data = (x, y, test, moments)
    return _Problem(net, data, everything, nngp, controls, known, even, integer)


def _ensemble(
    problem: _Problem, width: int, members: int, key: jax.Array, untrained, tolerance, options
) -> ControlledEnsemble:
    net, controls = problem.net, problem.controls
    n = checks.width(width)
    allowed = (1e-5 if net.activation.kinks else 1e-7) if tolerance is None else tolerance
    runs = simulate(net, n, *problem.data, members, key, tolerance=allowed, **options)
    expected = _expectations(problem, n, members, key, untrained)
    F = np.asarray(runs.initial, float).reshape(members, -1)
    f = np.asarray(runs.outputs, float).reshape(members, len(runs.times), -1)
    g = controls.linear(F)
    h, q = _deviation(problem, n, key, runs, f - g, F)
    return _estimates(problem, runs, expected, f, g, h, q, controls.modes(F))


def _expectations(problem: _Problem, n: int, members: int, key, untrained) -> Expectations:
    net, other = problem.net, jax.random.fold_in(key, 2**31 - 2)  # members use small numbers
    common = (net, n, problem.x, problem.nngp, problem.controls, other)
    if independent_neurons(net):
        return neuron_expectations(*common, even=problem.even, known=problem.known)
    share = _UNTRAINED if problem.known is None else _FEW_KNOWN
    count = max(_FEWEST, int(share * members)) if untrained is None else untrained
    return untrained_expectations(*common, count, even=problem.even, known=problem.known)


def _deviation(
    problem: _Problem, n: int, key: jax.Array, runs: Runs, rest: np.ndarray, F: np.ndarray
) -> tuple[np.ndarray, Quadratic]:
    """The h of every member, and the polynomial in F fitted to what it leaves of f − g."""
    controls, net = problem.controls, problem.net
    train = len(problem.data[0])
    blocks = drawn(net, n, problem.x, train, key, runs.members)
    ntk = np.concatenate([block.ntk[:, 0] for block in blocks])
    h = controls.first_order(F, ntk - controls.solution.ntk)
    modes = controls.modes(F)
    m = modes.shape[1]
    K = controls.solution.modes(problem.nngp, "tt")
    if _FEWEST * (m + 1) * (m + 2) // 2 > runs.members:
        zero = np.zeros((*rest.shape[1:], m))
        return h, Quadratic(zero, np.zeros((*zero.shape, m)), K)
    return h, quadratic(modes, rest - h, K)


def _estimates(
    problem: _Problem,
    runs: Runs,
    expected: Expectations,
    f: np.ndarray,
    g: np.ndarray,
    h: np.ndarray,
    q: Quadratic,
    modes: np.ndarray,
) -> ControlledEnsemble:
    controls, A, outputs = problem.controls, problem.controls.propagator, problem.net.outputs
    mean_limit = controls.solution.mean(controls.dynamics)
    covariance_limit = A @ problem.nngp @ np.swapaxes(A, 1, 2)
    all_h = h + q(modes)
    mean = cumulant([f - g - all_h]).estimate
    plain = cumulant([f]).estimate.error
    first = _with_polynomial_mean(problem, expected, q, mean_limit)
    made = {
        "mean": estimate(mean, first, mean_limit, plain, lambda v: rows_to_points(v, outputs, 1))
    }

    def pairs(a: np.ndarray, b: np.ndarray) -> Influence:
        return cumulant([a[..., :, None], b[..., None, :]])

    whole = pairs(f, f)
    cross = pairs(g, all_h)
    turned = Influence(np.swapaxes(cross.value, -1, -2), np.swapaxes(cross.members, -1, -2))
    left = whole.plus(pairs(g, g), -1.0).plus(cross, -1.0).plus(turned, -1.0)
    second = _with_polynomial_covariance(problem, expected, q)
    made["covariance"] = estimate(
        left.estimate,
        second,
        covariance_limit,
        whole.estimate.error,
        lambda v: rows_to_points(v, outputs, 2),
    )
    for k, name in ((3, "third"), (4, "fourth")):
        whole = cumulant([f] * k)
        left = whole.plus(cumulant([g] * k), -1.0).plus(cumulant([g] * (k - 1) + [h]), -k)
        linear, mixed = expected.linear_cumulants[k], expected.mixed_cumulants[k]
        known = Estimate(linear.value + k * mixed.value, np.hypot(linear.error, k * mixed.error))
        made[name] = estimate(
            left.estimate,
            known,
            _bias_cumulant(problem, k),
            whole.estimate.error,
            lambda v: rows_to_points(v, outputs, 1),
        )
    return ControlledEnsemble(
        net=problem.net,
        width=runs.width,
        times=runs.times,
        members=runs.members,
        bias=runs.integration_error + runs.rounding_error,
        integer_powers=problem.integer,
        expectations=expected.source,
        **made,
    )


def _with_polynomial_mean(
    problem: _Problem, expected: Expectations, q: Quadratic, limit: np.ndarray
) -> Estimate:
    """M(t) + E h, the polynomial included."""
    turn = problem.controls.solution.modes
    shift = turn(expected.second.value, "tt") - q.constant
    error = np.abs(problem.controls.solution.eigenvectors).T
    train = error.shape[1]
    error = error @ expected.second.error[:train, :train] @ error.T
    first = expected.first_order
    value = limit + first.value + np.einsum("txjl,jl->tx", q.square, shift)
    return Estimate(value, first.error + np.einsum("txjl,jl->tx", np.abs(q.square), error))


def _with_polynomial_covariance(
    problem: _Problem, expected: Expectations, q: Quadratic
) -> Estimate:
    """A K_n Aᵀ + κ(g, h) + κ(h, g), the polynomial included."""
    controls, A = problem.controls, problem.controls.propagator
    sizes = np.abs(A)
    K, error = expected.second
    own, own_error = A @ K @ np.swapaxes(A, 1, 2), sizes @ error @ np.swapaxes(sizes, 1, 2)
    gF = controls.modes(np.einsum("tab,bc->tac", A, K))
    cross = expected.mixed.value + np.einsum("taj,txj->tax", gF, q.linear)
    cross = cross + np.einsum("tab,bjl,txjl->tax", A, expected.third.value, q.square, optimize=True)
    cross_error = np.hypot(
        expected.mixed.error,
        np.einsum(
            "tab,bjl,txjl->tax", sizes, expected.third.error, np.abs(q.square), optimize=True
        ),
    )
    return Estimate(
        own + cross + np.swapaxes(cross, 1, 2),
        np.hypot(own_error, cross_error + np.swapaxes(cross_error, 1, 2)),
    )


def _bias_cumulant(problem: _Problem, k: int) -> np.ndarray:
    """κ_k(g) at infinite width: that of the output bias, 0 for Gaussian ones and none."""
    net, A = problem.net, problem.controls.propagator
    l, outputs = net.depth, problem.net.outputs
    if net.bias_scaling != "constant" or not net.has_bias(l):
        return np.zeros(A.shape[:2])
    shared = A @ np.kron(np.ones((A.shape[1] // outputs, 1)), np.eye(outputs))
    return float(net.bias_std[l]) ** k * net.bias_law[l].cumulant(k) * (shared**k).sum(-1)
