r"""The statistical certificate: a bound along training from simulated networks, valid at finite N.

With the linear flow f^∞_t = A_t f₀ + c_t of the limit kernel from each network's own f₀, and
R_t = f_t − f^∞_t,

    d_BL(f_t, N(c_t, A_t K A_tᵀ)) ≤ d_BL(A_t f₀, N(0, A_t K A_tᵀ)) + E min(|R_t|, 2).

The first term is a certified bound at initialization pushed forward (:mod:`.initial`, with features
A_t h and no inverse of A_t K A_tᵀ), or, for Gaussian readouts where that is large, a mean over the
drawn networks (:mod:`.mixture`). The second is a mean over the trained networks. Means are bounded
by the empirical Bernstein inequality (:mod:`.bernstein`), each at its share of 1 − confidence, so
that all statements hold together. The error of the integration, estimated on the first packet of
networks, is added to |R_t|. Where there is no bound at initialization nothing is trained.

**All times of [0, T] at once** (``grid``): the largest of |R_t| over recorded times and, network by
network, of what it can add between them (:mod:`.between`); the first term by
min(2, sup_t ‖A_t‖ W₁(f₀, N(0, K))) (of a direction: of all projections; or its mean over networks,
with Bures for W₁), as W₁ carries a factor and d_BL does not. On train outputs
|R_t| ≤ |r_T| + |r^∞_T| from T on, which gives all t ≥ 0.

What is certified is about independent draws; the simulation's random numbers are taken as such.
"""

import math
from dataclasses import dataclass, field

import jax
import numpy as np
from jaxtyping import Float

from widthwise.finite.ensembles import simulate
from widthwise.finite.runs import Runs
from widthwise.limit.flow import LinearFlow, linear_flow
from widthwise.measure.bounds import between
from widthwise.measure.bounds.bernstein import upper_limit
from widthwise.measure.bounds.initial import InitialBounds
from widthwise.measure.bounds.mixture import bures, conditional_kernels
from widthwise.measure.bounds.value import DistanceBound, Hypothesis, unavailable
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian

METRIC = "bounded_lipschitz"
_REACH = 2.0
_INTEGRATION = 1e-4
_FIRST_STEP = 4.0  # over λ_max; it is adapted
_LARGE = 0.1  # pushed-forward bounds above this are measured instead, where they can be


@dataclass(frozen=True, eq=False)
class Question:
    """What a certificate is about.

    Args:
        net: the architecture.
        width: n.
        x_train: train points.
        y_train: labels (train, outputs).
        x_test: test points, or ``None``.
        times: increasing, at which bounds are given.
        members: N.
        key: JAX random key of the ensemble.
        confidence: of all statements about the networks together.
        v: a direction (1, points), or ``None`` for the joint law.
        grid: how many more times are recorded for a bound over [0, T]; 0 for none.
    """

    net: MLP
    width: int
    x_train: Float[np.ndarray, "train inputs"]
    y_train: Float[np.ndarray, "train outputs"]
    x_test: Float[np.ndarray, "test inputs"] | None
    times: Float[np.ndarray, " times"]
    members: int
    key: jax.Array = field(repr=False)
    confidence: float
    v: Float[np.ndarray, "1 points"] | None
    grid: int

    @property
    def x(self) -> Float[np.ndarray, "points inputs"]:
        """All points, train first."""
        parts = [self.x_train] + ([] if self.x_test is None else [self.x_test])
        return np.concatenate(parts)

    @property
    def components(self) -> int:
        """Outputs that are looked at jointly."""
        return 1 if self.v is not None else self.net.outputs

    @property
    def recorded_times(self) -> Float[np.ndarray, " recorded"]:
        """Recorded times: denser where training is fast."""
        if not self.grid:
            return self.times
        finer = self.times.max() * (np.arange(self.grid + 1) / self.grid) ** 2
        return np.unique(np.concatenate([finer, self.times]))

    def seen(self, A: np.ndarray) -> np.ndarray:
        """Outputs that are looked at: v A, or A."""
        return A if self.v is None else self.v @ A


def trained(question: Question) -> Runs:
    """The ensemble a certificate is about."""
    q = question
    data = (q.x_train, q.y_train, q.x_test, q.recorded_times, q.members, q.key)
    record = "ntk" if q.grid else ()
    fastest = linear_flow(q.net, q.x_train, q.y_train).eigenvalues[-1]
    step = _FIRST_STEP / fastest if fastest > 0 else None
    return simulate(q.net, q.width, *data, record=record, tolerance=_INTEGRATION, step=step)


def certificate(question: Question, runs: Runs | None = None) -> DistanceBound:
    """The statistical certificate of a question.

    Args:
        question: what it is about.
        runs: its ensemble, if that was trained already (:func:`trained`).
    """
    q = question
    reason = between.not_covered(q.net) if q.grid else ""
    if reason:
        raise ValueError(f"grid must be 0 here: {reason}")
    flow = linear_flow(q.net, q.x_train, q.y_train, q.x_test)
    A = flow.propagator(q.times)
    initial = InitialBounds(q.net, q.x, q.width)
    pushed = [
        initial.bound(q.seen(a), METRIC, q.components) if q.seen(a).any() else None for a in A
    ]
    if initial.obstacle:
        return unavailable(METRIC, q.width, initial.obstacle)
    start = None
    if q.grid:
        metric = "wasserstein1" if q.v is None else "max_sliced_wasserstein1"
        start = initial.bound(np.eye(len(q.x)), metric, q.components)
    needed = [b for b in (*pushed, start) if b is not None]
    gaussian = isinstance(q.net.weight_law[q.net.depth], Gaussian)
    missing = next((b for b in needed if not b.available), None)
    if missing is not None and not gaussian:
        return unavailable(METRIC, q.width, missing.reason)
    # outputs that do not vary, None, are those of the process
    first = np.array([0.0 if b is None else min(b.value, _REACH) for b in pushed])
    measured = gaussian and bool(first.max() > _LARGE)
    moved = q.times > 0  # at time 0 the network is on the linear flow
    statements = moved.sum() + (len(q.times) if measured else 0)
    statements = max(int(statements) + (3 if q.grid else 0), 1)
    delta = (1 - q.confidence) / statements
    confidence = max(q.confidence - sum(1 - b.confidence for b in needed), 0.0)
    methods = sorted({b.method for b in needed if b.available})
    hypotheses = [Hypothesis(f"at initialization: {method}") for method in methods]
    if confidence < q.confidence:
        hypotheses.append(
            Hypothesis("expectations at initialization by random points, 3 standard errors (added)")
        )
    if measured:
        kernels = conditional_kernels(initial.net, q.width, q.x, q.members, q.key)
        found = _by_mixture(q, A, flow, kernels, delta)
        hypotheses.append(Hypothesis("readout law is Gaussian: mean conditional distance measured"))
        first = np.minimum(first, found)
    runs = trained(q) if runs is None else runs
    deviation = _deviation(q, flow, runs)
    at = np.searchsorted(q.recorded_times, q.times)
    small = np.minimum(deviation[:, at], _REACH)
    second = np.where(moved, upper_limit(small, _REACH, delta), 0.0)
    values = np.minimum(first + second, _REACH)
    constants = {"members": float(q.members), "delta": delta, "integration": runs.integration_error}
    worst = int(values.argmax())
    constants |= {"initial": float(first[worst]), "coupling": float(second[worst])}
    constants |= {"coupling_mean": float(small[:, worst].mean())}
    value, scope = float(values.max()), "at the times listed, together"
    if start is not None:
        more = _over_interval(q, flow, runs, initial.net, start.value, deviation, delta, measured)
        value = more["interval"]
        constants |= more
        scope = f"at all times of [0, {q.times.max():g}] together"
    hypotheses += [
        Hypothesis(scope),
        Hypothesis(f"{q.members} independent networks drawn and trained, empirical Bernstein"),
        Hypothesis(
            f"integration error {runs.integration_error:.1e}, estimated on the first packet of "
            "networks alone, holds for all of them (added)"
        ),
    ]
    return DistanceBound(
        value,
        METRIC,
        q.width,
        "the statistical certificate",
        constants,
        tuple(hypotheses),
        confidence,
        (),
        q.times,
        values,
    )


def _deviation(q: Question, flow: LinearFlow, runs: Runs) -> Float[np.ndarray, "members times"]:
    R = runs.outputs - flow.outputs(runs.initial, q.recorded_times)
    if q.v is not None:
        off = float(np.abs(q.v).sum()) * runs.integration_error
        return np.abs(R[..., 0] @ q.v[0]) + off
    off = math.sqrt(R[0, 0].size) * runs.integration_error
    return np.linalg.norm(R, axis=(2, 3)) + off


def _by_mixture(q: Question, A, flow: LinearFlow, kernels, delta: float) -> np.ndarray:
    """Upper limits of E min(2, Bures) at every time."""
    found = []
    for a in A:
        one = q.seen(a)
        distance = bures(one @ kernels @ one.T, one @ flow.nngp @ one.T)
        small = np.minimum(math.sqrt(q.components) * distance, _REACH)
        found.append(float(upper_limit(small, _REACH, delta)))
    return np.array(found)


def _over_interval(
    q: Question,
    flow: LinearFlow,
    runs: Runs,
    constant: MLP,
    start: float,
    deviation: Float[np.ndarray, "members times"],
    delta: float,
    measured: bool,
) -> dict[str, float]:
    """Bounds over [0, T] and, on train outputs, over all times; ``start``: of W₁ at time 0."""
    R = runs.outputs - flow.outputs(runs.initial, q.recorded_times)
    whole = np.linalg.norm(R, axis=(2, 3)) + math.sqrt(len(q.x)) * runs.integration_error
    top, added = between.largest_between(runs, flow, whole)
    if q.v is not None:
        ends = np.maximum(deviation[:, 1:], deviation[:, :-1])
        top = ends + float(np.linalg.norm(q.v)) * added
    largest = np.minimum(top.max(1), _REACH)
    A = flow.propagator(q.recorded_times)
    speed = float(np.linalg.norm(flow.ntk, 2))
    norm = max(np.linalg.norm(a, 2) for a in A) + speed * float(np.diff(q.recorded_times).max()) / 2
    if q.x_test is None:
        norm = 1.0
    if q.v is not None:
        norm *= float(np.linalg.norm(q.v))
    carried = min(norm * start, _REACH)
    if measured:
        kernels = conditional_kernels(constant, q.width, q.x, q.members, q.key)
        small = np.minimum(norm * bures(kernels, flow.nngp), _REACH)
        carried = min(carried, float(upper_limit(small, _REACH, delta)))
    interval = carried + float(upper_limit(largest, _REACH, delta))
    made = {
        "interval": min(interval, _REACH),
        "largest_recorded": float(np.minimum(deviation.max(1), _REACH).mean()),
        "largest_mean": float(largest.mean()),
        "norm_A": norm,
        "carried": carried,
    }
    if q.x_test is None:
        off = math.sqrt(len(q.x)) * runs.integration_error
        last = np.linalg.norm(runs.residuals[:, -1], axis=(1, 2)) + off
        still = flow.outputs(runs.initial, [float(q.recorded_times[-1])])[:, 0] - q.y_train
        tail = last + np.linalg.norm(still, axis=(1, 2))
        if q.v is not None:
            tail = tail * float(np.linalg.norm(q.v))
        ever = np.minimum(np.maximum(largest, tail), _REACH)
        made["all_times"] = min(carried + float(upper_limit(ever, _REACH, delta)), _REACH)
    return made
