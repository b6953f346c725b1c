"""Curves of trained networks: an ensemble trained in blocks, each added up and let go."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from widthwise.finite.ensembles import simulate
from widthwise.limit.flow import LinearFlow
from widthwise.measure.estimators import directed, higher, means, paired, raw
from widthwise.measure.estimators.curve import GRID, Curve
from widthwise.measure.estimators.drawn import Projections
from widthwise.measure.estimators.initial import batch_ends
from widthwise.measure.estimators.linear import linear_curve
from widthwise.measure.estimators.means import Cumulants
from widthwise.measure.estimators.sums import BATCHES, Means, Sums
from widthwise.model.architecture import MLP
from widthwise.training.dynamics import GradientFlow
from widthwise.training.ensembles.draws import drawn
from widthwise.training.ensembles.expectations import Expectations
from widthwise.training.ensembles.neurons import independent_neurons
from widthwise.training.solution_map import SolutionMap

_BLOCK = 8192
_UNTRAINED = 2
_OTHER = 2**31 - 2  # members use small numbers
_NEURONS = 2**31 - 3


@dataclass(frozen=True, eq=False)
class Trained:
    """What an ensemble is trained on, and along which directions it is seen."""

    net: MLP
    width: int
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray | None
    times: Float[np.ndarray, " times"]
    directions: Float[np.ndarray, "directions points"]
    component: int
    members: int
    key: jax.Array
    flow: LinearFlow
    options: dict[str, Any]

    @property
    def x(self) -> np.ndarray:
        """All points, train points first."""
        if self.x_test is None:
            return self.x_train
        return np.concatenate([self.x_train, self.x_test])

    @property
    def rows(self) -> Float[np.ndarray, "directions rows"]:
        """The directions over points × outputs, point by point."""
        return np.kron(self.directions, np.eye(self.net.outputs)[self.component])

    def controls(self) -> directed.Directed:
        """The controls along the directions."""
        same = np.eye(self.net.outputs)
        ntk = np.kron(self.flow.ntk, same)
        solution = SolutionMap(ntk, np.asarray(self.flow.y).ravel())
        return directed.Directed(solution, GradientFlow(self.times), self.rows)

    def limit(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """V · c_t, s and A_tᵀ v: (times, directions) twice, (times, directions, points)."""
        w = self.directions @ self.flow.propagator(self.times)
        variance = np.einsum("tda,ab,tdb->td", w, self.flow.nngp, w)
        mean = self.flow.mean(self.times)[..., self.component] @ self.directions.T
        return mean, np.sqrt(variance), w

    def blocks(self) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
        """Batch, first member, F (members, rows) and f_t (members, times, rows) of every block."""
        ends = batch_ends(self.members)
        allowed = 1e-5 if self.net.activation.kinks else 1e-7
        options: dict[str, Any] = {"tolerance": allowed, **self.options}
        for begin in range(0, self.members, _BLOCK):
            end = min(begin + _BLOCK, self.members)
            runs = simulate(
                self.net,
                self.width,
                self.x_train,
                self.y_train,
                self.x_test,
                self.times,
                end - begin,
                self.key,
                first=begin,
                **options,
            )
            F = np.asarray(runs.initial, float).reshape(end - begin, -1)
            f = np.asarray(runs.outputs, float).reshape(end - begin, len(self.times), -1)
            cuts = np.unique(np.clip(ends, begin, end))
            for a, b in pairwise(cuts.tolist()):
                batch = min(int(np.searchsorted(ends, a, side="right")) - 1, BATCHES - 1)
                part = slice(a - begin, b - begin)
                yield batch, a, F[part], f[part]


def raw_curves(data: Trained) -> list[Curve]:
    """F̂_n − Φ of the trained members, one curve per time."""
    mean, std, _ = data.limit()
    sums = [Sums(len(data.directions), 0, len(GRID)) for _ in data.times]
    for batch, _, _, f in data.blocks():
        z = (f @ data.rows.T - mean) / std
        for t, total in enumerate(sums):
            raw.add(total, batch, Projections(z[:, t].T, z[:, t].T, z[:, t].T))
    none = np.zeros((len(data.directions), 0))
    curves = []
    for total, s in zip(sums, std, strict=True):
        value, noise = total.estimate(Means(none, none))
        curves.append(Curve(s, value, noise, np.zeros(len(s))))
    return curves


def _forced_moments(
    data: Trained, controls: directed.Directed, found: Expectations, std: np.ndarray, key: jax.Array
) -> tuple[np.ndarray, np.ndarray]:
    """E He_k(z₀)ρ, k = 0 … 5, and errors, (times, directions, 6); nan where not known."""
    net = data.net
    value, error = directed.hermite_moments(found, controls, std)
    if not directed.changes_sign(net):
        beyond = np.full((*std.shape, 2), np.nan), np.full((*std.shape, 2), np.inf)
    elif independent_neurons(net):
        own = jax.random.fold_in(key, len(data.times))
        beyond = higher.sampled_moments(controls, net, data.width, data.x, std, own)
    else:
        beyond = higher.sizes(value, found.linear_cumulants[4].value / std**4)
    return np.concatenate([value, beyond[0]], -1), np.concatenate([error, beyond[1]], -1)


def paired_curves(data: Trained, method: str) -> list[tuple[Curve, str, np.ndarray]]:
    """The paired Hermite estimator: per time the curve, where the linear part is from, the cut.

    Args:
        data: the ensemble.
        method: the estimator of the linear flow's law, where it is not known.
    """
    net, n, x, controls = data.net, data.width, data.x, data.controls()
    mean, std, w = data.limit()
    count = len(data.directions)
    sums = [Sums(count, paired.CONTROLS, paired.DEGREE) for _ in data.times]
    train = len(data.x_train)
    for batch, first, F, f in data.blocks():
        drawings = drawn(net, n, x, train, data.key, len(F), first=first)
        ntk = np.concatenate([block.ntk[:, 0] for block in drawings])
        rho = controls.first_order(F, ntk - controls.solution.ntk) / std
        z0 = controls.carried(F) / std
        z1 = (f @ data.rows.T - mean) / std
        for t, total in enumerate(sums):
            paired.add(total, batch, z1[:, t].T, z0[:, t].T, rho[:, t].T)
    other = jax.random.fold_in(data.key, _OTHER)
    nngp = np.kron(data.flow.nngp, np.eye(net.outputs))
    untrained = _UNTRAINED * data.members
    found = directed.expectations(controls, net, n, x, nngp, other, untrained)
    moments, errors = _forced_moments(data, controls, found, std, other)
    cumulants = Cumulants(net, x, data.component, jax.random.fold_in(other, _NEURONS))
    degrees = np.arange(1, paired.FORCED + 1)
    results = []
    for t, total in enumerate(sums):
        polynomial = means.hermite_means(*cumulants.standardized(w[t], std[t], n))
        known = Means(
            np.concatenate([degrees * moments[t], polynomial[0]], 1),
            np.concatenate([degrees * errors[t], polynomial[1]], 1),
        )
        d, noise = total.estimate(known)
        own = Curve(std[t], d @ paired.BASIS, noise @ paired.BASIS, np.zeros(count))
        key = jax.random.fold_in(other, t)
        linear, source = linear_curve(
            net, n, x, w[t], std[t], data.component, key, untrained, method, cumulants
        )
        results.append((own.plus(linear), source, paired.cut(d)))
    return results
