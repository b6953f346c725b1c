r"""The even part of the coefficients of 1/n, averaged over neurons until its error is small enough.

The average is a sum of parts, one per program of :mod:`.programs` and atom of a. Each part has its
own replicates of randomized points. All start with the same few neurons; then, again and again,
the part that lowers the variance of m₁ most for its cost gets twice as many, until at every
requested time the standard error over replicates (root mean square over points) is at most
``tolerance`` times the size of m₁, or the allowed number of neurons is spent.

The cubic part starts in both its forms. Their difference, in standard errors, checks the engine;
the one of the smaller variance goes on, the other stays with its inverse-variance weight.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float

from widthwise.training.neurons import programs
from widthwise.training.neurons.engine import Draw, Engine, Terms
from widthwise.training.neurons.sampling import Sampler, Stream, readout_atoms

Cubic: TypeAlias = Literal["auto", "plain", "by_parts"]
Progress: TypeAlias = Callable[[int, int], object]

_FIRST = 128  # neurons of a part in every replicate, at the start
_COST: dict[Callable, float] = {
    programs.pairs: 2.5,
    programs.cubic: 1.1,
    programs.cubic_by_parts: 1.0,
}
_BATCH = 1 << 16  # numbers of one field of a batch
_BLOCK = 1 << 10  # neurons drawn at once
_FIELDS = 40
_TINY = 1e-200


class Estimate(NamedTuple):
    """An average and its standard error."""

    value: Terms
    error: Terms


@dataclass
class Part:
    """One program at one atom of a: sums over the neurons of every replicate so far."""

    program: programs.Program
    a: float
    probability: float
    streams: list[Stream]
    count: int = 0
    sums: list[Terms] = field(default_factory=list)

    def estimates(self) -> list[Terms]:
        return [terms.scaled(self.probability / self.count) for terms in self.sums]

    @property
    def variance(self) -> Float[np.ndarray, " times"]:
        """Mean over points of the squared standard error of m₁."""
        means = np.array([terms.mean for terms in self.estimates()])
        return means.var(0, ddof=1).mean(-1) / len(means)

    @property
    def cost(self) -> float:
        return _COST[self.program] * self.count


class Even(NamedTuple):
    """What the average found.

    Args:
        estimate: the even part.
        disagreement: root mean square of the difference of the two cubic forms of m₁ in its
            standard errors, over times and points; ``None`` where only one form exists.
        form: the cubic form that went on.
        neurons: how many neurons were followed.
    """

    estimate: Estimate
    disagreement: float | None
    form: str
    neurons: int


@dataclass(frozen=True, eq=False)
class Average:
    """How the average is made.

    Args:
        engine: the sums over neurons.
        sampler: the neurons.
        replicates: independent copies.
        most: neurons to follow at most, over all parts and replicates.
        memory: bytes to work in.
        progress: called as progress(neurons done, neurons expected).
    """

    engine: Engine
    sampler: Sampler
    replicates: int
    most: int
    memory: float
    progress: Progress | None

    def even(self, seed: np.random.SeedSequence, tolerance: float, cubic: Cubic) -> Even:
        """The even part of the 1/n terms."""
        forms = {"plain": programs.cubic, "by_parts": programs.cubic_by_parts}
        if not self.engine.of.gaussian:
            forms.pop("by_parts")
        elif cubic != "auto":
            forms = {cubic: forms[cubic]}
        pairs = self._parts(programs.pairs, seed)
        cubics = {name: self._parts(program, seed) for name, program in forms.items()}
        everything = [*pairs, *(part for parts in cubics.values() for part in parts)]
        with ThreadPoolExecutor(self._workers) as workers:
            for part in everything:
                self._extend(part, _FIRST, workers)
            weights, disagreement = _compared(cubics)
            form = max(weights, key=weights.__getitem__)
            self._refine([*pairs, *cubics[form]], everything, tolerance, workers)
        weights = {
            name: weight * sum(part.count for part in cubics[name])
            for name, weight in weights.items()
        }
        whole = sum(weights.values())
        estimate = _combined(
            [
                *((part, 1.0) for part in pairs),
                *((part, weights[name] / whole) for name in forms for part in cubics[name]),
            ]
        )
        neurons = sum(part.count for part in everything) * self.replicates
        return Even(estimate, disagreement, form, neurons)

    def _parts(self, program: programs.Program, seed: np.random.SeedSequence) -> list[Part]:
        parts = []
        for a, probability in readout_atoms(self.engine.of.fourth_moment):
            if program is programs.cubic_by_parts and a == 0:
                continue  # the weight of the integration by parts is proportional to a
            seeds = seed.spawn(1)[0].spawn(self.replicates)
            parts.append(Part(program, a, probability, [self.sampler.stream(s) for s in seeds]))
        return parts

    def _refine(self, parts: list[Part], everything: list[Part], tolerance: float, workers) -> None:
        while True:
            value = sum(np.mean([t.mean for t in part.estimates()], 0) for part in parts)
            aim = np.maximum(tolerance**2 * (np.asarray(value) ** 2).mean(-1), _TINY)
            excess = np.array([part.variance for part in parts]) / aim
            worst = int(np.argmax(excess.sum(0)))
            done = sum(part.count for part in everything) * self.replicates
            if self.progress is not None:
                expected = min(self.most, int(done * max(1.0, excess[:, worst].sum())))
                self.progress(done, expected)
            if excess[:, worst].sum() <= 1:
                return
            gains = [e / part.cost for e, part in zip(excess[:, worst], parts, strict=True)]
            chosen = parts[int(np.argmax(gains))]
            if done + chosen.count * self.replicates > self.most:
                return
            self._extend(chosen, chosen.count, workers)

    def _extend(self, part: Part, count: int, workers: ThreadPoolExecutor) -> None:
        def more(stream: Stream) -> Terms:
            return self.engine.total(part.program, part.a, self._draws(stream, count))

        found = list(workers.map(more, part.streams))
        part.sums = [s + f for s, f in zip(part.sums, found, strict=True)] if part.sums else found
        part.count += count

    def _draws(self, stream: Stream, count: int) -> Iterator[Draw]:
        size = min(self._batch, count)
        block = min(_BLOCK, count)
        for _ in range(count // block):
            s, xi = stream.draw(block)
            for low in range(0, block, size):
                part = slice(low, low + size)
                yield Draw(s[part], xi[part], np.ones(size))

    @property
    def _row(self) -> int:
        return 2 * self.engine.grid.decay.shape[1] * self.engine.of.points

    @property
    def _batch(self) -> int:
        """Neurons at once: a power of two, a field of which stays in cache."""
        return 1 << int(np.clip(np.round(np.log2(_BATCH / self._row)), 3, np.log2(_FIRST)))

    @property
    def _workers(self) -> int:
        """Replicates at once, as many as cores and memory allow."""
        kind = self.engine.dtype.itemsize
        p, nodes = self.engine.of.points, self.engine.grid.nodes.size
        results = nodes * p**2 * (4 * kind + 5 * 8)
        needed = results + self._batch * self._row * kind * _FIELDS
        fit = int(self.memory / needed)
        if not fit:
            raise ValueError(
                f"the law of {p} points at {nodes} nodes of time needs {needed / 1e9:.1f} GB, more "
                f"than memory={self.memory:.2g} bytes; allow more or take fewer points or times"
            )
        return min(fit, os.cpu_count() or 1, self.replicates)


def _compared(cubics: dict[str, list[Part]]) -> tuple[dict[str, float], float | None]:
    """Inverse variance per neuron of every cubic form, and how far the two are apart."""
    ends = {name: _combined([(part, 1.0) for part in parts]) for name, parts in cubics.items()}
    sizes = {name: sum(part.count for part in parts) for name, parts in cubics.items()}
    scale = np.mean([(e.value.mean**2).mean(-1) for e in ends.values()], 0) + _TINY
    inverse = {
        name: 1 / (sizes[name] * ((e.error.mean**2).mean(-1) / scale).mean() + _TINY)
        for name, e in ends.items()
    }
    if len(ends) == 1:
        return inverse, None
    one, other = ends.values()
    error = np.hypot(one.error.mean, other.error.mean)
    z = (one.value.mean - other.value.mean) / np.maximum(error, _TINY)
    return inverse, float(np.sqrt((z**2).mean()))


def _combined(parts: list[tuple[Part, float]]) -> Estimate:
    """The weighted sum of the independent parts."""
    estimates = [of_copies(part.estimates()) for part, _ in parts]
    weights = [weight for _, weight in parts]
    values, errors = zip(*estimates, strict=True)
    columns = [
        sum(weight * v for weight, v in zip(weights, column, strict=True))
        for column in zip(*values, strict=True)
    ]
    squares = [
        sum((weight * e) ** 2 for weight, e in zip(weights, column, strict=True))
        for column in zip(*errors, strict=True)
    ]
    return Estimate(Terms(*map(np.asarray, columns)), Terms(*map(np.sqrt, squares)))


def of_copies(copies: list[Terms]) -> Estimate:
    """The mean of independent copies, and its standard error."""
    columns = [np.array(column) for column in zip(*copies, strict=True)]
    value = Terms(*(c.mean(0) for c in columns))
    return Estimate(value, Terms(*(c.std(0, ddof=1) / len(copies) ** 0.5 for c in columns)))
