r"""Numbers for the contributions: joint cumulants of the outputs at every time, as series.

Outputs of order 0 are linear in F, with the map A_t applied last; outputs beyond it are channels of
the solution map, with a fixed matrix applied last. What stands between is free of output rows and
is contracted pair by pair, all times of a batch at once, by paths that are found once per shape.
"""

from functools import cached_property
from itertools import combinations

import numpy as np
from jaxtyping import Float

from widthwise.training.blocks.value import Blocks, Name
from widthwise.training.dynamics import Dynamics, GradientDescent
from widthwise.training.law.contributions import Block, Contribution, contributions
from widthwise.training.solution_map import SolutionMap
from widthwise.training.terms import Term

_NUMBERS_AT_ONCE = 2e7
_MOST_NUMBERS = 2e8


class Engine:
    """Joint cumulants of f_t from the solution map and the blocks.

    Args:
        solution: the solution map about Θ_∞.
        blocks: the statistics at initialization.
        dynamics: the times.
        order: the highest power of n^{−1/2}, at most 2.
    """

    def __init__(self, solution: SolutionMap, blocks: Blocks, dynamics: Dynamics, order: int):
        self.solution, self.blocks, self.dynamics = solution, blocks, dynamics
        self.order = order
        self._labels = solution.modes(solution.y, "t")
        self._turned: dict[tuple[str, int, str], np.ndarray] = {}
        self._weights: dict[str, np.ndarray] = {}
        self._paths: dict[tuple, list] = {}
        self._slots: dict[int, list[np.ndarray]] = {}

    def with_blocks(self, blocks: Blocks) -> "Engine":
        """The same engine for other statistics at initialization; what they share is kept."""
        other = Engine(self.solution, blocks, self.dynamics, self.order)
        other._weights, other._paths = self._weights, self._paths
        return other

    @cached_property
    def available(self) -> frozenset[Name]:
        """The blocks that do not vanish."""
        live = {name for name, value in self.blocks.values.items() if np.any(value)}
        return frozenset({("FF", 0)} | live)

    @cached_property
    def propagator(self) -> Float[np.ndarray, "times rows rows"]:
        """A_t."""
        return self.solution.propagator(self.dynamics)

    def cumulants(self, degree: int) -> Float[np.ndarray, "orders times ..."]:
        """The coefficients of all joint cumulants of some degree: one axis of rows per output."""
        rows = len(self.solution.ntk)
        total = np.zeros((self.order + 1, *self.dynamics.shape, *(rows,) * degree))
        for beyond, array in enumerate(self._in_slots(degree)):
            for place in range(degree):
                matrix = self.propagator if place < degree - beyond else self.solution.channels
                array = self._carried(array, matrix)
            total += _placed(array, degree, beyond)
        if degree == 1:
            total[0] += self.solution.mean(self.dynamics)
        return total

    def cumulant(self, rows: tuple[int, ...]) -> Float[np.ndarray, "orders times"]:
        """The coefficients of one joint cumulant."""
        total = np.zeros((self.order + 1, *self.dynamics.shape))
        degree = len(rows)
        for beyond, array in enumerate(self._in_slots(degree)):
            for late in combinations(range(degree), beyond):
                some = array
                early = (i for i in range(degree) if i not in late)
                for row in (rows[i] for i in early):
                    some = np.einsum("ota...,ta->ot...", some, self.propagator[:, row])
                for row in (rows[i] for i in late):
                    some = np.einsum("ota...,a->ot...", some, self.solution.channels[row])
                total += some
        if degree == 1:
            total[0] += self.solution.mean(self.dynamics)[:, rows[0]]
        return total

    def first_order_variance(self) -> Float[np.ndarray, "times rows"]:
        """Variance of √n f^{(1)}, the terms of order 1, at leading order; of an order 2 engine."""
        array = self._sum(2, 2, self._contributions(2, 2)[2])[2]
        B = self.solution.channels
        return np.einsum("tab,xa,xb->tx", array, B, B, optimize=True)

    def _contributions(self, degree: int, order: int) -> tuple[tuple[Contribution, ...], ...]:
        descent = isinstance(self.dynamics, GradientDescent)
        return contributions(degree, order, self.available, descent=descent)

    def _carried(self, array: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """Apply a matrix to the first axis behind orders and times, and move it to the end."""
        moved = np.moveaxis(array, 2, -1)
        if matrix.ndim == 2:
            return moved @ matrix.T
        shape = moved.shape
        flat = moved.reshape(*shape[:2], -1, shape[-1]) @ np.swapaxes(matrix, 1, 2)
        return flat.reshape(*shape[:-1], -1)

    def _in_slots(self, degree: int) -> list[np.ndarray]:
        """Per number of outputs beyond order 0: (orders, times, rows of F …, channels …)."""
        if degree not in self._slots:
            found = self._contributions(degree, self.order)
            self._slots[degree] = [
                self._sum(degree, beyond, some) for beyond, some in enumerate(found)
            ]
        return self._slots[degree]

    def _sum(self, degree: int, beyond: int, some: tuple[Contribution, ...]) -> np.ndarray:
        rows, channels = self.solution.channels.shape
        shape = (rows,) * (degree - beyond) + (channels,) * beyond
        total = np.zeros((self.order + 1, *self.dynamics.shape, *shape))
        for contribution in some:
            total[contribution.order] += self._value(contribution)
        return total

    def _value(self, contribution: Contribution) -> np.ndarray:
        weights = [self._weight(term) for term, _ in contribution.terms]
        tensors = [self._tensor(block) for block in contribution.blocks]
        tensors += [self._labels] * len(contribution.labels)
        names = [block.indices for block in contribution.blocks] + list(contribution.labels)
        timed = ["t" + indices for _, indices in contribution.terms]
        target = ("t" if timed else "") + contribution.outputs
        subscripts = ",".join([*timed, *names]) + "->" + target
        batch = max(1, int(_NUMBERS_AT_ONCE // max([w[0].size for w in weights], default=1)))
        times = self.dynamics.shape[0] if weights else 1
        parts = []
        for start in range(0, times, batch):
            operands = [w[start : start + batch] for w in weights] + tensors
            key = (subscripts, *(operand.shape for operand in operands))
            if key not in self._paths:
                self._paths[key] = np.einsum_path(subscripts, *operands, optimize="greedy")[0]
            parts.append(np.einsum(subscripts, *operands, optimize=self._paths[key]))
        value = np.concatenate(parts) if weights else parts[0]
        return contribution.sign * value

    def _weight(self, term: Term) -> np.ndarray:
        if term.name not in self._weights:
            modes, times = len(self.solution.eigenvalues), self.dynamics.shape[0]
            size = times * len(self.solution.forced) * modes ** len(term.indices)
            if size > _MOST_NUMBERS:
                raise ValueError(
                    f"the {term.name} term of {modes} train modes at {times} times holds "
                    f"{size:.1e} numbers, at most {_MOST_NUMBERS:.0e} are allowed; give fewer "
                    "points or times, or order=1"
                )
            self._weights[term.name] = self.solution.weights(term, self.dynamics)
        return self._weights[term.name]

    def _tensor(self, block: Block) -> np.ndarray:
        """A block with its axes turned: "f" rows as they are, "t" train modes, "c" channels."""
        key = (block.name, block.order, block.kinds)
        if key not in self._turned:
            tensor = self.blocks.get(block.name, block.order)
            assert tensor is not None
            for axis, kind in enumerate(block.kinds):
                if kind != "f":
                    letter = "t" if kind == "t" else "r"
                    tensor = self.solution.modes(tensor, letter, first=axis)
                if kind == "c":
                    tensor = np.take(tensor, self.solution.forced, axis)
            self._turned[key] = tensor
        return self._turned[key]


def _placed(array: np.ndarray, degree: int, beyond: int) -> np.ndarray:
    """The sum over which of the outputs are beyond order 0; they stand last in the array."""
    total = np.zeros_like(array)
    for late in combinations(range(degree), beyond):
        order = [i for i in range(degree) if i not in late] + list(late)
        total += np.transpose(array, (0, 1, *(2 + np.argsort(order))))
    return total
