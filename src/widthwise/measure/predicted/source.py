"""Joint cumulants of all outputs as one table, at initialization or at a time of training.

Rows are multi-indices |α| ≤ P + 2 over the points, columns powers of n^{-1/2}. The mean of the
Gaussian process is taken out, so that the limit is N(0, K).
"""

from dataclasses import dataclass, replace
from functools import cached_property
from math import comb

import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise.algebra.hermite import multi_indices
from widthwise.initial.cumulants import OutputCumulants
from widthwise.initial.edgeworth.expansion import projected
from widthwise.initial.edgeworth.readout import Readout, require_no_lattice
from widthwise.model.laws import Gaussian
from widthwise.training.law import TrainingLaw

_MOST_ENTRIES = 30_000


@dataclass(frozen=True, eq=False)
class Table:
    """Cumulants of some points.

    Args:
        values: (indices, orders), with mean 0 at order 0.
        errors: of the values.
        points: how many variables there are.
        kept: the highest order that was asked for; columns beyond it estimate the remainder.
    """

    values: Float[np.ndarray, "indices orders"]
    errors: Float[np.ndarray, "indices orders"]
    points: int
    kept: int

    @property
    def order(self) -> int:
        """P."""
        return self.values.shape[1] - 1

    def along(self, matrix: Float[np.ndarray, "k points"]) -> tuple[np.ndarray, np.ndarray]:
        """The joint cumulants of matrix · outputs, and their errors."""
        if matrix.shape == (1, 1):
            powers = matrix[0, 0] ** np.arange(len(self.values))[:, None]
            return self.values * powers, self.errors * np.abs(powers)
        return projected(self.values, matrix), projected(self.errors, np.abs(matrix))

    @cached_property
    def covariance(self) -> Float[np.ndarray, "points points"]:
        """K."""
        K = np.zeros((self.points, self.points))
        for alpha, row in zip(multi_indices(self.points, 2), self.values, strict=False):
            if alpha.sum() == 2:
                a, b = np.repeat(np.arange(self.points), alpha)
                K[a, b] = K[b, a] = row[0]
        return K


def at_initialization(
    c: OutputCumulants, rows: tuple[int, ...], component: int, order: int
) -> Table:
    """The table of a network at initialization.

    For one hidden layer two more orders are computed, otherwise those that c has: they say what the
    series leaves out.

    Raises:
        ValueError: where the limit is not Gaussian, or the outputs lie on a lattice.
    """
    net = c.net
    if net.has_bias(net.depth) and not isinstance(net.bias_law[net.depth], Gaussian):
        raise ValueError(
            f"the output bias has the law {net.bias_law[net.depth].name}, so the limit is not "
            "Gaussian and the series is not about one; use a Gaussian output bias or none"
        )
    if order > c.order:
        raise ValueError(
            f"order {order} was asked of cumulants computed to order {c.order}; give a lower order "
            "or output_cumulants(net, x, order=...)"
        )
    parts, eye = (component,) * len(rows), np.eye(len(rows))
    highest = c.order
    if net.depth == 1 and len(rows) <= 4:
        highest = max(highest, order + 2)
    _require_few(len(rows), order)
    for P in (highest, order):
        if order < P and _entries(len(rows), P) > _MOST_ENTRIES:
            continue
        readout = Readout(replace(c, order=P), net, rows, parts, eye)
        require_no_lattice(readout, "distances of distribution functions")
        try:
            values, errors = readout.table()
        except ValueError:  # a law without the moments of the orders beyond
            if order == P:
                raise
            continue
        return Table(values, errors, len(rows), order)
    raise AssertionError


def in_training(
    law: TrainingLaw, rows: tuple[int, ...], component: int, time: float | None, order: int
) -> Table:
    """The table of the law of training at one time.

    Raises:
        ValueError: for a time at which the law is not known, an order it does not have, or a law
            without third and fourth cumulants.
    """
    if order > law.order:
        raise ValueError(
            f"order {order} was asked of a law of order {law.order}; give a lower order or "
            "training_law(..., order=2)"
        )
    place = _place(law, time)
    P = order
    _require_few(len(rows), P)
    indices = multi_indices(len(rows), P + 2)
    values, errors = np.zeros((2, len(indices), P + 1))
    for i, alpha in enumerate(indices):
        chosen = [row for row, count in zip(rows, alpha, strict=True) for _ in range(count)]
        if not chosen:
            continue
        found = law.coefficients(chosen, (component,) * len(chosen))[:, place]
        values[i] = found[: P + 1]
        if len(chosen) == 1:
            errors[i] = law.errors.mean[: P + 1, place, chosen[0], component]
            values[i, 0] = 0.0
        elif len(chosen) == 2:
            a, b = chosen
            index = (a, b) if law.outputs == 1 else (a, component, b, component)
            errors[i] = law.errors.covariance[(slice(P + 1), place, *index)]
        else:
            values[i, 0] = 0.0  # the limit is Gaussian
    return Table(values, errors, len(rows), order)


def _place(law: TrainingLaw, time: float | None) -> int:
    if time is None:
        if len(law.times) > 1:
            raise ValueError(f"time must be one of {law.times.tolist()}, the times of this law")
        return 0
    found = np.flatnonzero(law.times == time)
    if not len(found):
        raise ValueError(
            f"time must be one of {law.times.tolist()}, got {time!r}; give the times to "
            "training_law"
        )
    return int(found[0])


def _entries(points: int, order: int) -> int:
    return comb(points + order + 2, points)


def _require_few(points: int, order: int) -> None:
    entries = _entries(points, order)
    if entries > _MOST_ENTRIES:
        raise ValueError(
            f"{points} points have {entries} joint cumulants to order {order}, more than "
            f"{_MOST_ENTRIES}; take a direction that is 0 at most points, or compute the cumulants "
            "of fewer points"
        )


def table_of(
    given: OutputCumulants | TrainingLaw,
    rows: tuple[int, ...],
    component: int,
    time: float | None,
    order: int,
) -> Table:
    """The table of either."""
    if isinstance(given, OutputCumulants):
        if time is not None:
            raise ValueError(
                f"time must be None for cumulants at initialization, got {time!r}; give a "
                "training_law, or a direction A_tᵀ v for the linear flow"
            )
        _require_component(component, given.net.outputs)
        return at_initialization(given, rows, component, order)
    _require_component(component, given.outputs)
    return in_training(given, rows, component, time, order)


def _require_component(component: int, outputs: int) -> None:
    (output,) = checks.indices((component,), "component")
    if not 0 <= output < outputs:
        raise ValueError(
            f"component must be one of the {outputs} outputs, 0 to {outputs - 1}, got {component!r}"
        )
