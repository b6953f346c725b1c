r"""The Stein estimator of F_n − Φ: any readout law with a Stein kernel, any depth.

With g_u the solution of g' − w g = 1_{w ≤ u} − Φ(u), and τ the Stein kernel of W = v · f/σ given
the hidden layers (:mod:`.drawn`), E[W g(W)] = E[τ g'(W)] gives

    F_n(u) − Φ(u) = E[g_u'(W) (1 − τ)].

1 − τ is of order n^{-1/2}, so that the relative error is independent of n for skewed laws and grows
only like √(n/N) for symmetric ones. 1 − τ, (1 − τ)W and (1 − τ)He₂(W), whose means are known
(:mod:`.means`), take away most of the noise. The derivative parts,

    g_u'(w) = (1 − Φ(u)) m(w)  for w ≤ u,    −Φ(u) m(−w)  for w > u,
    m(w) = 1 + w √(2π) e^{w²/2} Φ(w),

so that sums over members are cumulative sums over the grid.

Source: Chen, Goldstein and Shao, *Normal Approximation by Stein's Method* (2011), 2.2; the
estimator is of this library.
"""

import numpy as np
from jaxtyping import Float
from scipy.special import erfcx, ndtr

from widthwise.measure.estimators.curve import GRID
from widthwise.measure.estimators.drawn import Projections
from widthwise.measure.estimators.raw import below
from widthwise.measure.estimators.sums import Sums

CONTROLS = 3
_FAR = GRID[-1] + 0.5


def ratio(w: np.ndarray) -> np.ndarray:
    """m(w) = 1 + w √(2π) e^{w²/2} Φ(w), for w not far above the grid."""
    w = np.minimum(w, _FAR)
    return 1 + w * np.sqrt(np.pi / 2) * erfcx(-w / np.sqrt(2))


def weighted(
    outputs: Float[np.ndarray, "directions members"],
    weights: Float[np.ndarray, "directions members"],
) -> Float[np.ndarray, "directions grid"]:
    """Σ_i weight_i g_u'(W_i) on the grid."""
    left = below(outputs, weights * ratio(outputs))
    above = _above(outputs, weights * ratio(-outputs))
    return ndtr(-GRID) * left - ndtr(GRID) * above


def _above(outputs: np.ndarray, weights: np.ndarray) -> Float[np.ndarray, "directions grid"]:
    """Σ_i weight_i 1{W_i > u} on the grid, summed from the right.

    m(−w) is of order 1e16 in the left tail; a difference of two sums would lose the rest in it.
    """
    places = (np.searchsorted(GRID, w) for w in outputs)
    counts = [np.bincount(p, own, len(GRID) + 1) for p, own in zip(places, weights, strict=True)]
    return np.array(counts)[:, :0:-1].cumsum(1)[:, ::-1]


def add(sums: Sums, batch: int, block: Projections) -> None:
    """Add a block of members."""
    w, q = block.outputs, 1 - block.kernel
    controls = np.stack([q, q * w, q * (w**2 - 1)], 1)
    cy = np.stack([weighted(w, controls[:, j] * q) for j in range(CONTROLS)], 1)
    sums.add(batch, w.shape[1], weighted(w, q), cy, controls)
