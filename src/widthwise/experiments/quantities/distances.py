r"""Measured distances of trained outputs from the Gaussian process, time by time, streamed.

Every output is standardized by the process, u = (f − m_t)/s_t, and counted in bins of width 0.02
from −8 to 8; counts add, so that no network is kept. With F the counted distribution function,

    W₁ = s_t ∫ |F − Φ| du,      Kolmogorov = sup |F − Φ|.

W₁ is freed of most of its upward bias, and has its error, by resampling 16 batches of networks
(:func:`widthwise.finite.estimators.wasserstein`); ``sampling_noise`` is what as many Gaussian
numbers would show: s_t ∫ √(2 Φ(1 − Φ)/(π N)) du.

The Kolmogorov distance, read at the edges of the bins, keeps its upward bias. It is off by at most
sup |F_N − F|, and P(√N sup |F_N − F| > x) ≤ 2 e^{−2x²} (Massart, Ann. Probab. 18, 1990, Corollary
1), so its root mean square error, bias and noise together, is at most √((1 + log 2)/(2N)): that is
given as its error.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from widthwise.experiments.quantities.coverage import NotCovered
from widthwise.experiments.quantities.moments import diverged
from widthwise.experiments.quantities.quantity import (
    DATA,
    FOLLOWED,
    NETWORK,
    SAMPLED,
    TRAINING,
    WIDTH,
    Arrays,
    Members,
    Result,
    followed_of,
)
from widthwise.experiments.quantities.setting import Setting
from widthwise.experiments.quantities.trained import (
    memory_of_training,
    trained,
    work_of_training,
)
from widthwise.finite.estimators import Curve, wasserstein

_UPWARD = (
    "biased upward: as many draws of the process itself show about 0.87/sqrt(members); the error "
    "bounds bias and noise together"
)
EDGES = np.linspace(-8.0, 8.0, 801)
_BATCHES = 16


@dataclass(frozen=True)
class _Distances:
    name: str = "distances"
    reads: tuple[str, ...] = (*DATA, *NETWORK, *WIDTH, *TRAINING, *FOLLOWED, *SAMPLED)
    sampled: bool = True

    def compute(self, setting: Setting, members: Members) -> Arrays:
        """Counts (batches, times, points, outputs, bins)."""
        runs = trained(setting, members)
        outputs, lost = np.asarray(runs.outputs)[:, :, list(setting.followed)], runs.diverged
        mean, spread = _process(setting)
        u = (outputs - mean) / spread[..., None]
        return {
            "counts": counted(u, members.first, lost),
            "spread": spread,
            "diverged": np.asarray(lost.sum()),
        }

    def merge(self, setting: Setting, blocks: Sequence[Arrays]) -> Result:
        """Distances with standard errors."""
        counts = np.zeros(blocks[0]["counts"].shape, dtype=np.int64)
        for block in blocks:
            counts += block["counts"]
        shape = counts.shape[1:-1]
        groups = counts[:, 0, 0, 0].sum(axis=-1)
        members = int(groups.sum())
        if (groups > 0).sum() < 2:
            raise NotCovered(f"distances and their errors need more networks than {members}")
        gaussian, spread = norm.cdf(EDGES), blocks[0]["spread"]
        value, error, largest = np.empty(shape), np.empty(shape), np.empty(shape)
        for place in np.ndindex(shape):
            law = curve(counts[(slice(None), *place)])
            scale = spread[place[:2]]
            found = wasserstein(law, gaussian, EDGES)
            value[place], error[place] = scale * found.value, scale * found.error
            largest[place] = np.abs(law.whole - gaussian).max()
        off = np.sqrt((1 + np.log(2)) / (2 * members))
        floor = np.trapezoid(np.sqrt(gaussian * (1 - gaussian)), EDGES) * np.sqrt(2 / np.pi)
        axes = ("time", "point", "output")
        return Result(
            {
                "members": ((), members),
                "diverged": diverged(blocks),
                "wasserstein1": (axes, value),
                "wasserstein1_error": (axes, error),
                "kolmogorov": (axes, largest),
                "kolmogorov_error": (
                    axes,
                    np.full(shape, off),
                ),
                "sampling_noise": (axes[:2], spread * floor / np.sqrt(members)),
                "process_std": (axes[:2], spread),
            },
            {
                **followed_of(setting),
                "time": setting.times,
                "output": np.arange(setting.net.outputs),
            },
            {"kolmogorov": _UPWARD},
        )

    def work(self, setting: Setting, members: int) -> float:
        """That of training."""
        return work_of_training(setting, members)

    def memory(self, setting: Setting, members: int) -> float:
        """That of training."""
        return memory_of_training(setting, members)


def counted(u: np.ndarray, first: int, lost: np.ndarray | None = None) -> np.ndarray:
    """How many u (members, ...) lie in every bin, by the batch of the member's number.

    Args:
        u: of the members.
        first: number of the first one.
        lost: which members are left out; none by default.
    """
    kept = np.arange(len(u)) if lost is None else np.flatnonzero(~lost)
    u = u[kept]
    bins = np.searchsorted(EDGES, u, side="left")
    counts = np.zeros((_BATCHES, *u.shape[1:], len(EDGES) + 1), dtype=np.int32)
    batch = (first + kept) % _BATCHES
    places = np.meshgrid(batch, *map(np.arange, u.shape[1:]), indexing="ij")
    np.add.at(counts, (*places, bins), 1)
    return counts


def curve(counts: np.ndarray) -> Curve:
    """The distribution function at the edges, of all and of every batch that is not empty."""
    counts = counts[counts.sum(axis=1) > 0]
    parts = np.cumsum(counts, axis=1)[:, :-1]
    whole = parts.sum(axis=0) / counts.sum()
    return Curve(whole, parts / counts.sum(axis=1, keepdims=True))


def _process(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Means (times, points, outputs) and standard deviations (times, points) of the process."""
    rows = list(setting.followed)
    mean = setting.flow.mean(**setting.clock)[:, rows]
    covariance = setting.flow.covariance(**setting.clock)
    variance = np.diagonal(covariance, axis1=1, axis2=2)[:, rows]
    if not (variance > 0).all():
        raise NotCovered(
            "the Gaussian process does not vary at a followed point, so its law cannot be compared "
            "with; follow another point in [compute] points"
        )
    return mean, np.sqrt(variance)


QUANTITY = _Distances()
