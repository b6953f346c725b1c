r"""⟨φ_a^{r−i} φ_b^i⟩ over the exact law of a first layer whose weights are not Gaussian.

The first layer's law does not fluctuate, so no derivative is asked of it. For a few pairs each
expectation comes by the best route of :mod:`widthwise.limit.first_layer`; for many, the products of
two features do, and those of three and four come from one set of neurons shared by all pairs
(:mod:`widthwise.initial.vertex.neurons`).
"""

from math import comb
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from widthwise.initial.vertex.kinked import next_basis
from widthwise.initial.vertex.neurons import Neurons, Sampling
from widthwise.initial.vertex.tables import Basis, Expectations, Link
from widthwise.limit import first_layer
from widthwise.limit.first_layer.projection import evaluate, project
from widthwise.model.architecture import MLP

_FEW_PAIRS = 21
_NOISE = 30.0
MOVES = 4


class Moments(NamedTuple):
    """⟨φ_a^{r−i} φ_b^i⟩ as (pairs, r + 1), and a few ways in which its error may have moved it.

    A move of random neurons is a contrast of their copies, the same for all entries, so that what
    cancels between entries of one sample cancels in its error.
    """

    value: np.ndarray
    moves: np.ndarray


def moments(
    net: MLP,
    x: Float[np.ndarray, "points inputs"],
    pairs: Int[np.ndarray, "pairs 2"],
    sizes: tuple[int, ...],
    tolerance: float | None,
    sampling: Sampling,
) -> dict[int, Moments]:
    """⟨φ_a^{r−i} φ_b^i⟩ for r in ``sizes``."""
    if len(pairs) <= _FEW_PAIRS:
        return _pair_by_pair(net, x, pairs, sizes, tolerance)
    found = _by_shared_neurons(net, x, pairs, sizes, sampling)
    a, b = pairs.T
    three = np.concatenate([np.stack([a, a], 1), pairs, np.stack([b, b], 1)])
    exact = first_layer.pair_moments(net, x, three, tolerance)
    found[2] = _moved(exact.value.reshape(3, -1).T, exact.value_error.reshape(3, -1).T)
    return found


def _moved(value: np.ndarray, error: np.ndarray) -> Moments:
    """Every entry moved by its error, up or down."""
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (MOVES, *value.shape))
    return Moments(value, signs * error)


def _pair_by_pair(net: MLP, x, pairs, sizes, tolerance) -> dict[int, Moments]:
    exponents = [(r - i, i) for r in sizes for i in range(r + 1)]

    def products(z: np.ndarray) -> np.ndarray:
        f, g = evaluate(net.activation, z).T[[0, -1]]
        return np.stack([f**p * g**q for p, q in exponents], 1)

    rows = [
        first_layer.expectation(net, x[[a, b] if a != b else [a]], products, tolerance)
        for a, b in pairs.tolist()
    ]
    value = np.array([row.value for row in rows])
    error = np.array([np.broadcast_to(row.error, row.value.shape) for row in rows])
    ends = np.cumsum([0, *(r + 1 for r in sizes)])
    return {
        r: _moved(value[:, low:high], error[:, low:high])
        for r, low, high in zip(sizes, ends[:-1], ends[1:], strict=True)
    }


def _by_shared_neurons(net: MLP, x, pairs, sizes, sampling: Sampling) -> dict[int, Moments]:
    halves = [(r - i, i) for r in sizes if r > 2 for i in range(1, r // 2 + 1)]
    m = len(x)

    def total(weights: np.ndarray, h: np.ndarray) -> np.ndarray:
        return np.stack([(h**p * weights[:, None]).T @ h**q for p, q in halves])

    neurons = Neurons(net.activation, project(net, x))
    copies, spread = neurons.copies(total, len(halves) * m**2, sampling)
    rng = np.random.default_rng(1)
    balanced = np.array([rng.permutation(np.arange(len(copies)) % 2) for _ in range(MOVES)])
    contrasts = np.tensordot((2.0 * balanced - 1) / len(copies), copies, 1)
    if len(copies) == 1:
        contrasts = rng.choice([-1.0, 1.0], (MOVES, *spread.shape)) * spread
    grams = (copies.mean(0), *contrasts)
    a, b = pairs.T

    def entry(gram: np.ndarray, r: int, i: int) -> np.ndarray:
        if i in (0, r):
            return np.diag(gram[halves.index((r - 1, 1))])[b if i else a]
        rows, columns = (a, b) if i <= r // 2 else (b, a)
        return gram[halves.index((max(i, r - i), min(i, r - i)))][rows, columns]

    def of_size(gram: np.ndarray, r: int) -> np.ndarray:
        return np.stack([entry(gram, r, i) for i in range(r + 1)], 1)

    return {
        r: Moments(of_size(grams[0], r), np.stack([of_size(gram, r) for gram in grams[1:]]))
        for r in sizes
        if r > 2
    }


def expectations(
    found: dict[int, Moments], move: int | None, smooth: bool, link: Link
) -> tuple[np.ndarray, Basis, Expectations]:
    """As the other laws have them: ⟨φφ⟩, the next layer's basis, and ⟨ψ^r⟩.

    Args:
        found: of :func:`moments`.
        move: which of the moves to make; ``None`` for none.
        smooth: whether the next layer is smooth and takes plain coordinates.
        link: the weights that read the layer.
    """
    value = {r: v if move is None else v + moves[move] for r, (v, moves) in found.items()}
    product = value[2]
    noise = _NOISE * link.weight_std**2 * np.abs(found[2].moves).max((0, 2))
    basis = next_basis(found[2].value, None, link, noise)
    if smooth and not link.last:
        scales = np.sqrt(link.bias_std**2 + link.weight_std**2 * product[:, [0, 2]])
        basis = Basis(scales[:, 0], np.zeros(len(product)), scales[:, 1])
    left, right = basis.inverses()
    means: Expectations = {}
    for r, v in value.items():
        means[r, 0] = np.zeros((len(v), r + 1, 1))
        for i in range(r + 1):
            shifted = sum(comb(i, j) * (-basis.slope) ** (i - j) * v[:, j] for j in range(i + 1))
            means[r, 0][:, i, 0] = left ** (r - i) * right**i * shifted
    return product, basis, means
