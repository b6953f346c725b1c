r"""The raw estimator: the distribution function of the members minus Φ.

    F̂(u) − Φ(u) = N^{-1} Σ_i 1{W_i ≤ u} − Φ(u)

Its noise, √(F(1−F)/N), does not know how close the law is to its limit: for W₁ it comes to 1.288
σ/√N, which is above the signal unless N ≫ n (skewed laws) or N ≫ n² (symmetric ones).
"""

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from widthwise.measure.estimators.curve import GRID
from widthwise.measure.estimators.drawn import Projections
from widthwise.measure.estimators.sums import Sums

CONTROLS = 0


def below(
    outputs: Float[np.ndarray, "directions members"], weights: np.ndarray | None = None
) -> Float[np.ndarray, "directions grid"]:
    """Σ_i weight_i 1{W_i ≤ u} on the grid."""
    total = []
    for d, w in enumerate(outputs):
        place = np.searchsorted(GRID, w)
        own = None if weights is None else weights[d]
        total.append(np.bincount(place, own, len(GRID) + 1)[:-1].cumsum())
    return np.array(total, float)


def add(sums: Sums, batch: int, block: Projections) -> None:
    """Add a block of members."""
    directions, members = block.outputs.shape
    y = below(block.outputs) - members * ndtr(GRID)
    none = np.zeros((directions, 0, members))
    sums.add(batch, members, y, np.zeros((directions, 0, len(GRID))), none)
