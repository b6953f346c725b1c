r"""The two controls of a trained network: what it would do if its kernel were, or stayed, simple.

From the outputs F and the kernel Θ_n of a network at initialization alone, with Δ = Θ_n − Θ_∞ and
r = F_X − y,

    f⁽⁰⁾_t = A_t F + c_t                             the linear flow of the limit kernel,
    f⁽¹⁾_{t,x} = Σ_{ij} w_{xij}(t) Δ_{ij} r_j        the first-order response to Δ.

f_t − f⁽⁰⁾ is of order n^{−1/2}; f_t − f⁽⁰⁾ − f⁽¹⁾ is of order 1/n, or of order n^{−1/2} where the
mean of O₃ does not vanish. Then its leading part is Σ T̄_{xjl}(t) r_j r_l, a polynomial in F, and is
fitted by least squares (:func:`quadratic`).

Source: the solution map, :mod:`widthwise.training.solution_map`.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from widthwise.training.dynamics import GradientFlow
from widthwise.training.solution_map import SolutionMap
from widthwise.training.terms import TERMS


@dataclass(frozen=True, eq=False)
class Controls:
    """The controls about one limit kernel, for rows = points × outputs, train rows first.

    Args:
        solution: the solution map about Θ_∞, with the labels.
        dynamics: gradient flow and its times.
    """

    solution: SolutionMap
    dynamics: GradientFlow

    @cached_property
    def propagator(self) -> Float[np.ndarray, "times rows rows"]:
        """A_t."""
        return self.solution.propagator(self.dynamics)

    @cached_property
    def labels(self) -> Float[np.ndarray, " modes"]:
        """The labels y in the train modes."""
        return self.solution.modes(self.solution.y, "t")

    @cached_property
    def weights(self) -> Float[np.ndarray, "times channels modes"]:
        """The time factors w of Δ_{ij} r_j, channel by channel."""
        return self.solution.weights(TERMS[0], self.dynamics)

    @cached_property
    def channels(self) -> Float[np.ndarray, "rows channels"]:
        """From the channels of the time factors to the rows."""
        return self.solution.channels

    def at(self, time: int) -> "Controls":
        """The controls at one of the times."""
        return Controls(self.solution, GradientFlow(self.dynamics.times[time : time + 1]))

    def carried(self, outputs: Float[np.ndarray, "*members rows"]) -> np.ndarray:
        """A_t F, (*members, times, rows)."""
        return np.einsum("txa,...a->...tx", self.propagator, outputs)

    def linear(self, outputs: Float[np.ndarray, "*members rows"]) -> np.ndarray:
        """f⁽⁰⁾_t, (*members, times, rows)."""
        return self.carried(outputs) + self.solution.mean(self.dynamics)

    def modes(self, outputs: Float[np.ndarray, "*members rows"]) -> np.ndarray:
        """F in the train modes, (*members, modes)."""
        return self.solution.modes(outputs, "t", first=np.ndim(outputs) - 1)

    def forced(self, change: Float[np.ndarray, "*members rows train"]) -> np.ndarray:
        """Σ_i w_{xij}(t) Δ_{ij}, whose product with r_j is f⁽¹⁾: (*members, times, rows, modes)."""
        turned = self.solution.modes(change, "rt", first=np.ndim(change) - 2)
        turned = turned[..., self.solution.forced, :]
        weighted = self.weights * turned[..., None, :, :]
        return np.einsum("xc,...tcj->...txj", self.channels, weighted, optimize=True)

    def first_order(
        self, outputs: Float[np.ndarray, "members rows"], change: Float[np.ndarray, "..."]
    ) -> Float[np.ndarray, "members times rows"]:
        """f⁽¹⁾_t of every member, from F and Δ."""
        residual = self.modes(outputs) - self.labels
        return np.einsum("mtxj,mj->mtx", self.forced(change), residual, optimize=True)


class Quadratic(NamedTuple):
    """Σ_j b_j F_j + Σ_{jl} b_{jl} (F_j F_l − C_{jl}) in the train modes, C a constant.

    Args:
        linear: b_j (times, rows, modes).
        square: b_{jl}, symmetric (times, rows, modes, modes).
        constant: C.
    """

    linear: Float[np.ndarray, "times rows modes"]
    square: Float[np.ndarray, "times rows modes modes"]
    constant: Float[np.ndarray, "modes modes"]

    def __call__(self, modes: Float[np.ndarray, "members modes"]) -> np.ndarray:
        """Its value for every member, (members, times, rows)."""
        pairs = modes[:, :, None] * modes[:, None, :] - self.constant
        return np.einsum("txj,mj->mtx", self.linear, modes) + np.einsum(
            "txjl,mjl->mtx", self.square, pairs
        )

    def at(self, modes: Float[np.ndarray, "members modes"], memory: float) -> np.ndarray:
        """The same, some members at a time."""
        size = _members_at_once(2 * modes.shape[1] ** 2 + 2 * self.linear[..., 0].size, memory)
        parts = [self(modes[start : start + size]) for start in range(0, len(modes), size)]
        return np.concatenate(parts)


def _members_at_once(numbers: int, memory: float) -> int:
    return max(1, int(memory // (8 * numbers)))


def quadratic(
    modes: Float[np.ndarray, "members modes"],
    rest: Float[np.ndarray, "members times rows"],
    constant: Float[np.ndarray, "modes modes"],
    memory: float = 5e8,
) -> Quadratic:
    """Least squares of what the two controls leave over on the polynomials of degree 2 in F.

    The triangular factor of the design is brought up to date some members at a time.
    """
    count, m = modes.shape
    rows, columns = np.triu_indices(m)
    flat, terms = rest.reshape(count, -1), 1 + m + len(rows)
    triangle, projected = np.zeros((0, terms)), np.zeros((0, flat.shape[1]))
    size = max(terms, _members_at_once(4 * (terms + flat.shape[1]), memory))
    for start in range(0, count, size):
        some = modes[start : start + size]
        pairs = some[:, rows] * some[:, columns] - constant[rows, columns]
        design = np.concatenate([np.ones((len(some), 1)), some, pairs], 1)
        Q, triangle = np.linalg.qr(np.concatenate([triangle, design]))
        projected = Q.T @ np.concatenate([projected, flat[start : start + size]])
    smallest = count * np.finfo(float).eps
    found = np.linalg.lstsq(triangle, projected, rcond=smallest)[0]
    found = np.moveaxis(found.reshape(-1, *rest.shape[1:]), 0, -1)
    square = np.zeros((*rest.shape[1:], m, m))
    square[..., rows, columns] = found[..., 1 + m :] / 2
    square = square + np.swapaxes(square, -1, -2)
    return Quadratic(found[..., 1 : 1 + m], square, constant)
