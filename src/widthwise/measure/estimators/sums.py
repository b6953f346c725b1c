r"""Means of curves with control variates, from sums over batches of members.

Every member brings a curve Y(u) and controls C_j whose means μ_j are known. With S the sample
covariances, the estimate is

    Ȳ(u) − Σ_j β_j(u) (C̄_j − μ_j),    β(u) = S_CC^{-1} S_CY(u),

whose bias by the fit is of order (controls/members) of its noise. Only Σ Y and Σ C of every batch
and Σ C Cᵀ, Σ C Y of all members are kept. The noise comes from the spread of the batches. A control
is left out where its mean is not known to within the error of its sample mean.

Source: Glasserman, *Monte Carlo Methods in Financial Engineering* (2003), 4.1.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

BATCHES = 32
_SINGULAR = 1e-10


@dataclass(frozen=True, eq=False)
class Means:
    """What is known of the controls: their means, nan where not, and the errors of these."""

    value: Float[np.ndarray, "directions controls"]
    error: Float[np.ndarray, "directions controls"]


class Sums:
    """Sums over members, batch by batch."""

    def __init__(self, directions: int, controls: int, columns: int):
        shape = (BATCHES, directions)
        self.count = np.zeros(BATCHES)
        self.y = np.zeros((*shape, columns))
        self.c = np.zeros((*shape, controls))
        self.cc = np.zeros((directions, controls, controls))
        self.cy = np.zeros((directions, controls, columns))

    def add(
        self,
        batch: int,
        members: int,
        y: Float[np.ndarray, "directions columns"],
        cy: Float[np.ndarray, "directions controls columns"],
        controls: Float[np.ndarray, "directions controls members"],
    ) -> None:
        """Add members to a batch: Σ Y, Σ C Y and the controls of each."""
        self.count[batch] += members
        self.y[batch] += y
        self.cy += cy
        self.c[batch] += controls.sum(-1)
        self.cc += np.einsum("dim,djm->dij", controls, controls, optimize=True)

    def estimate(
        self, means: Means
    ) -> tuple[
        Float[np.ndarray, "directions columns"], Float[np.ndarray, "rows directions columns"]
    ]:
        """The mean of Y and rows of independent noise."""
        total = self.count.sum()
        used = self.count > 0
        share = self.count[used] / total
        y, c = self.y.sum(0) / total, self.c.sum(0) / total
        cc = self.cc / total - c[:, :, None] * c[:, None, :]
        cy = self.cy / total - c[:, :, None] * y[:, None, :]
        std = np.sqrt(np.maximum(np.einsum("dii->di", cc), 0.0))
        known = np.isfinite(means.value) & (std > 0)
        known &= means.error <= std / np.sqrt(total)
        scale = np.where(known, 1 / np.where(std > 0, std, 1.0), 0.0)
        scaled = cc * scale[:, :, None] * scale[:, None, :]
        inverse = np.stack([np.linalg.pinv(s, rcond=_SINGULAR, hermitian=True) for s in scaled])
        beta = scale[..., None] * np.einsum("dij,djg->dig", inverse, scale[..., None] * cy)
        mu = np.where(known, np.nan_to_num(means.value), c)
        value = y - np.einsum("dig,di->dg", beta, c - mu)
        batches = self.y[used] / self.count[used, None, None]
        off = self.c[used] / self.count[used, None, None] - mu
        each = batches - np.einsum("dig,bdi->bdg", beta, off)
        rows = (each - value) * share[:, None, None]
        rows *= np.sqrt(len(share) / (len(share) - 1))
        spread = np.where(known, means.error, 0.0).T[..., None] * np.swapaxes(beta, 0, 1)
        one = np.zeros((len(spread), *value.shape))
        one[...] = spread
        return value, np.concatenate([rows, one[np.any(one != 0, axis=(1, 2))]])
