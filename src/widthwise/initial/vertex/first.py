r"""⟨φ_a^{r−i} φ_b^i⟩ over the exact law of a first layer whose weights are not Gaussian.

The first layer's law does not fluctuate, so no derivative is asked of it. For a few pairs each
expectation comes by the best route of :mod:`widthwise.limit.first_layer`; for many, the products of
two features do, and those of three and four come from one set of neurons shared by all pairs
(:mod:`widthwise.initial.vertex.neurons`).
"""

from math import comb

import numpy as np
from jaxtyping import Float, Int

from widthwise.algebra.gaussian import Estimate
from widthwise.initial.vertex.kinked import next_basis
from widthwise.initial.vertex.neurons import Neurons, Sampling
from widthwise.initial.vertex.tables import Basis, Expectations, Link
from widthwise.limit import first_layer
from widthwise.limit.first_layer.projection import evaluate, project
from widthwise.model.architecture import MLP

_FEW_PAIRS = 21
_NOISE = 30.0


def moments(
    net: MLP,
    x: Float[np.ndarray, "points inputs"],
    pairs: Int[np.ndarray, "pairs 2"],
    sizes: tuple[int, ...],
    tolerance: float | None,
    sampling: Sampling,
) -> dict[int, Estimate]:
    """⟨φ_a^{r−i} φ_b^i⟩ as (pairs, r + 1) for r in ``sizes``, with errors."""
    if len(pairs) <= _FEW_PAIRS:
        return _pair_by_pair(net, x, pairs, sizes, tolerance)
    found = _by_shared_neurons(net, x, pairs, sizes, sampling)
    a, b = pairs.T
    three = np.concatenate([np.stack([a, a], 1), pairs, np.stack([b, b], 1)])
    exact = first_layer.pair_moments(net, x, three, tolerance)
    found[2] = Estimate(exact.value.reshape(3, -1).T, exact.value_error.reshape(3, -1).T)
    return found


def _pair_by_pair(net: MLP, x, pairs, sizes, tolerance) -> dict[int, Estimate]:
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
        r: Estimate(value[:, low:high], error[:, low:high])
        for r, low, high in zip(sizes, ends[:-1], ends[1:], strict=True)
    }


def _by_shared_neurons(net: MLP, x, pairs, sizes, sampling: Sampling) -> dict[int, Estimate]:
    halves = [(r - i, i) for r in sizes if r > 2 for i in range(1, r // 2 + 1)]
    m = len(x)

    def total(weights: np.ndarray, h: np.ndarray) -> np.ndarray:
        return np.stack([(h**p * weights[:, None]).T @ h**q for p, q in halves])

    grams = Neurons(net.activation, project(net, x)).mean(total, len(halves) * m**2, sampling)
    a, b = pairs.T

    def entry(gram: np.ndarray, r: int, i: int) -> np.ndarray:
        if i in (0, r):
            return np.diag(gram[halves.index((r - 1, 1))])[b if i else a]
        rows, columns = (a, b) if i <= r // 2 else (b, a)
        return gram[halves.index((max(i, r - i), min(i, r - i)))][rows, columns]

    return {
        r: Estimate(*(np.stack([entry(g, r, i) for i in range(r + 1)], 1) for g in grams))
        for r in sizes
        if r > 2
    }


def expectations(
    found: dict[int, Estimate], signs: np.random.Generator | None, smooth: bool, link: Link
) -> tuple[np.ndarray, Basis, Expectations]:
    """As the other laws have them: ⟨φφ⟩, the next layer's basis, and ⟨ψ^r⟩.

    Args:
        found: of :func:`moments`.
        signs: moves every moment by its error, up or down; ``None`` for not at all.
        smooth: whether the next layer is smooth and takes plain coordinates.
        link: the weights that read the layer.
    """
    value = {r: estimate.value for r, estimate in found.items()}
    if signs is not None:
        value = {
            r: v + signs.choice([-1.0, 1.0], v.shape) * found[r].error for r, v in value.items()
        }
    product = value[2]
    noise = _NOISE * link.weight_std**2 * found[2].error.max(1)
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
