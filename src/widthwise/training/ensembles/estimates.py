r"""Estimates of cumulants of the trained outputs from members and the expectations of the controls.

The equations are those of :mod:`.build`. Every entry of a cumulant is an estimate of its own, from
one number per member and factor, so the entries are taken some at a time: what is held beyond the
outputs themselves stays within a budget of memory, and the result does not depend on it.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from widthwise.algebra.gaussian import Estimate
from widthwise.finite.ensembles import Runs
from widthwise.training.ensembles.controls import Quadratic
from widthwise.training.ensembles.expectations import Expectations
from widthwise.training.ensembles.problem import Problem
from widthwise.training.ensembles.samples import Influence, cumulant
from widthwise.training.ensembles.value import ControlledEnsemble, estimate, rows_to_points

_ARRAYS = 32  # arrays over the members that one entry of a cumulant takes while it is estimated


def estimates(
    problem: Problem,
    runs: Runs,
    expected: Expectations,
    f: Float[np.ndarray, "members times rows"],
    g: Float[np.ndarray, "members times rows"],
    h: Float[np.ndarray, "members times rows"],
    q: Quadratic,
    polynomial: Float[np.ndarray, "members times rows"],
    note: str,
    memory: float,
) -> ControlledEnsemble:
    """Mean, covariance, third and fourth cumulants of the members.

    Args:
        problem: the task.
        runs: the trained networks.
        expected: of the controls.
        f: trained outputs.
        g: f⁽⁰⁾ of the members.
        h: f⁽¹⁾ of the members.
        q: the polynomial in F that is part of h, in third and fourth cumulants of one hidden layer
            only.
        polynomial: its values.
        note: in words, whether there is one.
        memory: bytes to work in.
    """
    controls, A, outputs = problem.controls, problem.controls.propagator, problem.net.outputs
    mean_limit = controls.solution.mean(controls.dynamics)
    all_h = h + polynomial
    mean = cumulant([f - g - all_h]).estimate
    plain = f.std(0, ddof=1) / np.sqrt(len(f))
    first = _with_polynomial_mean(problem, expected, q, mean_limit)
    made = {
        "mean": estimate(mean, first, mean_limit, plain, lambda v: rows_to_points(v, outputs, 1))
    }
    covariance, plain = _covariance(f, g, all_h, memory)
    made["covariance"] = estimate(
        covariance,
        _with_polynomial_covariance(problem, expected, q),
        A @ problem.nngp @ np.swapaxes(A, 1, 2),
        plain,
        lambda v: rows_to_points(v, outputs, 2),
    )
    for k, name in ((3, "third"), (4, "fourth")):
        left, plain = _single(f, g, all_h if k in expected.polynomials else h, k, memory)
        made[name] = estimate(
            left,
            expected.cumulant(k, q),
            _bias_cumulant(problem, k),
            plain,
            lambda v: rows_to_points(v, outputs, 1),
        )
    x_train, y, x_test, _ = problem.data
    return ControlledEnsemble(
        net=problem.net,
        width=runs.width,
        times=runs.times,
        members=runs.members,
        bias=runs.integration_error + runs.rounding_error,
        integer_powers=problem.integer,
        expectations=expected.source,
        polynomial=note,
        data=(x_train, y, x_train[:0] if x_test is None else x_test),
        **made,
    )


def _covariance(
    f: np.ndarray, g: np.ndarray, h: np.ndarray, memory: float
) -> tuple[Estimate, np.ndarray]:
    """⟨f, f⟩ − ⟨g, g⟩ − ⟨g, h⟩ − ⟨h, g⟩, and the error of ⟨f, f⟩ alone."""
    members, times, rows = f.shape
    time, left, right = (
        index.ravel()
        for index in np.broadcast_arrays(
            np.arange(times)[:, None], *(i[None] for i in np.triu_indices(rows))
        )
    )

    def entries(some: slice) -> tuple[Influence, Influence]:
        t, a, b = time[some], left[some], right[some]
        whole = cumulant([f[:, t, a], f[:, t, b]])
        rest = whole.plus(cumulant([g[:, t, a], g[:, t, b]]), -1.0)
        rest = rest.plus(cumulant([g[:, t, a], h[:, t, b]]), -1.0)
        return rest.plus(cumulant([h[:, t, a], g[:, t, b]]), -1.0), whole

    found = _by_entries(entries, len(time), members, memory)
    value, error, plain = np.zeros((3, times, rows, rows))
    for array, flat in zip((value, error, plain), found, strict=True):
        array[time, left, right] = array[time, right, left] = flat
    return Estimate(value, error), plain


def _single(
    f: np.ndarray, g: np.ndarray, h: np.ndarray, k: int, memory: float
) -> tuple[Estimate, np.ndarray]:
    """⟨f, …, f⟩ − ⟨g, …, g⟩ − k ⟨g, …, g, h⟩ of single outputs, and the error of the first."""
    members, shape = len(f), f.shape[1:]
    F, G, H = (v.reshape(members, -1) for v in (f, g, h))

    def entries(some: slice) -> tuple[Influence, Influence]:
        whole, linear = cumulant([F[:, some]] * k), [G[:, some]] * (k - 1)
        rest = whole.plus(cumulant([*linear, G[:, some]]), -1.0)
        return rest.plus(cumulant([*linear, H[:, some]]), -k), whole

    found = _by_entries(entries, F.shape[1], members, memory)
    value, error, plain = (flat.reshape(shape) for flat in found)
    return Estimate(value, error), plain


def _by_entries(
    entries: Callable[[slice], tuple[Influence, Influence]],
    count: int,
    members: int,
    memory: float,
) -> list[np.ndarray]:
    """Values and errors of the controlled entries, and errors of the plain ones, in pieces."""
    size = max(1, int(memory // (8 * _ARRAYS * members)))
    parts = []
    for start in range(0, count, size):
        controlled, plain = entries(slice(start, start + size))
        parts.append((*controlled.estimate, plain.estimate.error))
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def _with_polynomial_mean(
    problem: Problem, expected: Expectations, q: Quadratic, limit: np.ndarray
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


def _with_polynomial_covariance(problem: Problem, expected: Expectations, q: Quadratic) -> Estimate:
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


def _bias_cumulant(problem: Problem, k: int) -> np.ndarray:
    """κ_k(g) at infinite width: that of the output bias, 0 for Gaussian ones and none."""
    net, A = problem.net, problem.controls.propagator
    l, outputs = net.depth, problem.net.outputs
    if net.bias_scaling != "constant" or not net.has_bias(l):
        return np.zeros(A.shape[:2])
    shared = A @ np.kron(np.ones((A.shape[1] // outputs, 1)), np.eye(outputs))
    return float(net.bias_std[l]) ** k * net.bias_law[l].cumulant(k) * (shared**k).sum(-1)
