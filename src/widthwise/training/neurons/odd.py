r"""The part of the law that is odd in a readout weight, from sampled tensors.

Every replicate averages the tensors of :mod:`.odd_tensors` over its own neurons. The order n^{-1/2}
is linear in them; the products of order 1/n take the two factors from the two replicates of a pair.
The number of neurons follows from a first round: it is multiplied by what the errors are too large.
"""

from typing import NamedTuple

import numpy as np

from widthwise.training.neurons.average import Estimate, of_copies
from widthwise.training.neurons.engine import Terms
from widthwise.training.neurons.odd_tensors import OddTensors, odd_tensors
from widthwise.training.neurons.problem import Problem
from widthwise.training.neurons.sampling import Sampler
from widthwise.training.neurons.skewed import BLOCK, Skewed

_FIRST = 512  # neurons in every replicate, at the start
_NUMBERS = 1 << 22  # of the products of a batch


class Odd(NamedTuple):
    """Coefficients of n^{-1/2}, and what is odd in those of 1/n."""

    half: Estimate
    products: Estimate
    neurons: int


def vanishes(of: Problem) -> bool:
    """Whether the odd part is exactly zero: E a³ = 0, or φ odd and the first layer symmetric."""
    symmetric = all(law.symmetric for law in of.sources.laws)
    return of.third_moment == 0 or (of.net.activation.parity == "odd" and symmetric)


def memory_needed(of: Problem, times: int, precision: np.dtype) -> float:
    """Bytes of the tensors of two replicates, of their ends at all times, and of a block."""
    m, p = of.train, of.points
    numbers = 4 * (2 * p * m**2 + p**2 * m) + 5 * times * p * m**2 + 10 * BLOCK
    return float(numbers * precision.itemsize)


def odd(
    skewed: Skewed,
    sampler: Sampler,
    seed: np.random.SeedSequence,
    replicates: int,
    tolerance: float,
    size: np.ndarray,
    most: int,
) -> Odd:
    """The odd part.

    Args:
        skewed: the contractions.
        sampler: the neurons.
        seed: of the replicates.
        replicates: how many, an even number.
        tolerance: standard error aimed at, relative to the size of what it is part of.
        size: root mean square over points of the even part of m₁, at the times.
        most: neurons to average over at most, in all replicates.
    """
    count = min(_FIRST, max(1, most // replicates))
    found = _at(skewed, sampler, seed, replicates, count)
    larger = 0.0
    for estimate, known in ((found.half, 0.0 * size), (found.products, size)):
        scale = np.sqrt((estimate.value.mean**2).mean(-1) + known**2)
        error = np.sqrt((estimate.error.mean**2).mean(-1))
        larger = max(larger, float((error / np.maximum(scale, 1e-300)).max()) / tolerance)
    wanted = count * 1 << int(np.ceil(np.log2(max(1.0, larger**2))))
    while wanted > count and wanted * replicates > most:
        wanted //= 2
    return found if wanted <= count else _at(skewed, sampler, seed, replicates, wanted)


def _at(
    skewed: Skewed, sampler: Sampler, seed: np.random.SeedSequence, replicates: int, count: int
) -> Odd:
    of = skewed.of
    size = 1 << int(np.clip(np.log2(_NUMBERS / (of.points * of.train)), 0, np.log2(count)))
    halves: list[Terms] = []
    products: list[Terms] = []
    before: OddTensors | None = None
    children = np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key).spawn(replicates)
    for child in children:
        stream = sampler.stream(child)
        draws = ((stream.draw(size)[0], np.full(size, 1 / count)) for _ in range(count // size))
        tensors = odd_tensors(of, sampler.maps.sources, draws, skewed.dtype)
        halves.append(skewed.half_order(skewed.fields(tensors)))
        if before is None:
            before = tensors
        else:
            products.append(skewed.products(before, tensors))
            before = None
    return Odd(of_copies(halves), of_copies(products), replicates * count)
