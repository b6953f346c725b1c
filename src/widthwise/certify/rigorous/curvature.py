r"""Verified norms of weighted Hessians and of Hessians along a direction, one hidden layer.

Σ u_i H_i is block diagonal over neurons. Where LAPACK's Cholesky factorizations of sI - B and
sI + B run to their end for a block B, |B| ≤ s + γ_{k+1}/(1 - γ_{k+1}) tr(sI ± B) plus the rounding
of the diagonal (Rump, see :mod:`.eigenvalues`); blocks of Frobenius norm below s need no
factorization. How far the float64 blocks are from those of the exact network is bounded in
:mod:`widthwise.certify.constants.shallow`.

More inputs than points are replaced by as many coordinates as points, Ŷ instead of X̃. With
F = ŶŶᵀ - X̃X̃ᵀ there is U with orthonormal rows and |X̃ - ŶU| ≤ η = √|F| (the root is operator
monotone), which changes Ŷᵀ diag(w) Ŷ by |w|_∞(2|Ŷ|η + η²) at most, the corner by M1|u|η.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from widthwise.certify.constants.shallow import (
    along_gram,
    block_error,
    extended_inputs,
    hessian_blocks,
)
from widthwise.certify.evaluation import SAFE, Block, Evaluation
from widthwise.certify.rigorous.eigenvalues import UNIT, largest_eigenvalue
from widthwise.certify.rigorous.intervals import Interval, ceiling, exact, gamma, most, norm, root
from widthwise.certify.rigorous.network import Verified

_TINY = 1e-290  # far above what underflow can add
_CHUNK = 128
_TRIALS = 60  # of ever larger shifts, until no bound is given


class Extremes(NamedTuple):
    """Upper bounds of -λ_min (or 0) and of |λ|."""

    negative: Interval
    largest: Interval


def weighted_hessian(network: Verified, u: Float[np.ndarray, " rows"]) -> Extremes | None:
    """The extreme eigenvalues of Σ u_i H_i; none where no trial succeeds."""
    at = network.at
    inputs, eta = _coordinates(extended_inputs(at.problem))
    blocks, force = hessian_blocks(at, u, inputs)
    found = extremes_of(blocks)
    if found is None:
        return None
    p, sizes = at.problem, norm(force)
    bent = exact(p.bounds.curvature) * network.column * sizes
    reduced = bent * (2 * norm(inputs) * eta + eta**2) + exact(p.bounds.slope) * sizes * eta
    error = exact(block_error(at, force, inputs))
    scale = exact(p.scales[-1])
    return Extremes(*(ceiling(scale * (value + error + reduced)) for value in found))


def hessian_along(at: Evaluation, direction: tuple[Block, ...]) -> Interval:
    """|D²f[·, v]| from above for a direction v in the parameters."""
    gram, error = along_gram(at, direction)
    p = at.problem
    terms = at.blocks[-1].weight.shape[1] + p.x.shape[1] + p.y.shape[1] + 16
    rounded = gamma(terms) * exact(float(np.trace(gram)) * SAFE)
    largest = root(exact(largest_eigenvalue(gram)) + rounded)
    return ceiling(exact(p.scales[-1]) * (largest + exact(error)))


def extremes_of(blocks: Float[np.ndarray, "blocks size size"]) -> Extremes | None:
    """Those of symmetric float64 matrices; none where no trial succeeds."""
    sizes = np.sqrt((blocks**2).sum((1, 2))) * SAFE + _TINY
    if not np.isfinite(sizes).all():
        return None
    lowest = highest = 0.0
    order = np.argsort(-sizes)
    for start in range(0, len(blocks), _CHUNK):
        chosen = order[start : start + _CHUNK]
        if sizes[chosen[0]] <= min(lowest, highest):
            break
        values = np.linalg.eigvalsh(blocks[chosen])
        lowest, highest = max(lowest, -values.min()), max(highest, values.max())
    negative, positive = _below(blocks, sizes, lowest), _below(-blocks, sizes, highest)
    if negative is None or positive is None:
        return None
    return Extremes(negative, most(negative, positive))


def _below(blocks: np.ndarray, sizes: np.ndarray, candidate: float) -> Interval | None:
    """An upper bound of every -λ_min, from one as computed."""
    size, largest = blocks.shape[1], float(sizes.max())
    step = (size + 4) * UNIT * largest
    for _ in range(_TRIALS):
        shift = float(candidate + step)
        if _factors(blocks[sizes > shift], shift):
            break
        step *= 2
    else:
        return None
    part = gamma(size + 1) / (1 - gamma(size + 1))
    trace = size * (exact(shift) + exact(largest))
    return exact(shift) + part * trace + exact(UNIT) * trace + exact(_TINY)


def _factors(blocks: np.ndarray, shift: float) -> bool:
    """Whether float64 Cholesky factorizations of all sI + B run to their end."""
    shifted = blocks + shift * np.eye(blocks.shape[1])
    try:
        np.linalg.cholesky(shifted)
    except np.linalg.LinAlgError:
        return False
    return True


def _coordinates(inputs: np.ndarray) -> tuple[np.ndarray, Interval]:
    """Inputs of the same Gram matrix with no more coordinates than points, and η."""
    points, count = inputs.shape
    if count <= points:
        return inputs, exact(0.0)
    reduced = np.linalg.qr(inputs.T)[1].T
    gap = reduced @ reduced.T - inputs @ inputs.T
    traces = norm(reduced) ** 2 + norm(inputs) ** 2
    return reduced, root(norm(gap) + (gamma(count + 8) + exact(4 * UNIT)) * traces)
