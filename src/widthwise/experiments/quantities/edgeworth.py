"""The law of one output at initialization by its Edgeworth series, on a grid of u = z/σ."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from widthwise.experiments.quantities.coverage import NotCovered
from widthwise.experiments.quantities.quantity import (
    DATA,
    FOLLOWED,
    NETWORK,
    WIDTH,
    Arrays,
    Members,
    Result,
    followed_of,
    memory_of_kernels,
)
from widthwise.experiments.quantities.setting import Setting
from widthwise.initial.cumulants import output_cumulants
from widthwise.initial.edgeworth import Edgeworth, edgeworth

_GRID = np.linspace(-5.0, 5.0, 201)
_NOTHING = 1e-13
_ERROR = (
    "the error is the size of the first contribution that the sum leaves out, or of the last one "
    "if all are summed; it is not a number where none is known"
)


@dataclass(frozen=True)
class _EdgeworthLaw:
    name: str = "edgeworth"
    reads: tuple[str, ...] = (*DATA, *NETWORK, *WIDTH, *FOLLOWED, "compute.order")
    sampled: bool = False

    def compute(self, setting: Setting, members: Members) -> Arrays:
        """Densities and distribution functions (points, grid) and the standard deviations."""
        densities, distributions, spreads, orders = [], [], [], []
        density_errors, distribution_errors = [], []
        order = setting.point.compute.order
        for row in setting.followed:
            law = edgeworth(output_cumulants(setting.net, setting.x[[row]], order))
            if not isinstance(law, Edgeworth):
                raise NotCovered(f"the law of one output is asked for, got {type(law).__name__}")
            spread = float(np.sqrt(setting.flow.nngp[row, row]))
            best = law.optimal_order(setting.width)
            z = spread * _GRID
            densities.append(spread * np.asarray(law.pdf(z, setting.width, best)))
            distributions.append(np.asarray(law.cdf(z, setting.width, best)))
            density_errors.append(spread * _left_out(law.pdf, z, setting.width, best, order))
            distribution_errors.append(_left_out(law.cdf, z, setting.width, best, order))
            spreads.append(spread)
            orders.append(best)
        return {
            "density": np.array(densities),
            "density_error": np.array(density_errors),
            "distribution": np.array(distributions),
            "distribution_error": np.array(distribution_errors),
            "std": np.array(spreads),
            "order_used": np.array(orders),
        }

    def merge(self, setting: Setting, blocks: Sequence[Arrays]) -> Result:
        """The one block, with the Gaussian limit beside it and how far the two are apart."""
        (block,) = blocks
        line = ("point", "u")
        gap = block["distribution"] - norm.cdf(_GRID)
        distance = block["std"] * np.trapezoid(np.abs(gap), _GRID, axis=1)
        off = block["std"] * np.trapezoid(block["distribution_error"], _GRID, axis=1)
        return Result(
            {
                "density": (line, block["density"]),
                "density_error": (line, block["density_error"]),
                "distribution": (line, block["distribution"]),
                "distribution_error": (line, block["distribution_error"]),
                "gaussian_density": (("u",), norm.pdf(_GRID)),
                "std": (("point",), block["std"]),
                "order_used": (("point",), block["order_used"]),
                "wasserstein1": (("point",), distance),
                "wasserstein1_error": (("point",), off),
                "smallest_density": (("point",), block["density"].min(axis=1)),
            },
            {**followed_of(setting), "u": _GRID},
            dict.fromkeys(("density", "distribution", "wasserstein1"), _ERROR),
        )

    def work(self, setting: Setting, members: int) -> float:
        """Points, and a cost that grows with depth and order."""
        order = setting.point.compute.order
        return len(setting.followed) * (1.0 + (setting.net.depth - 1) * 4.0**order)

    def memory(self, setting: Setting, members: int) -> float:
        """That of kernels."""
        return memory_of_kernels(setting)


def _left_out(
    function: Callable[..., np.ndarray], z: np.ndarray, width: int, last: int, order: int
) -> np.ndarray:
    """The size at z of the first contribution after order ``last``, or else of the last one summed.

    Not a number where no order contributes.
    """
    kept = np.asarray(function(z, width, last))
    for more in range(last + 1, order + 1):
        change = np.abs(np.asarray(function(z, width, more)) - kept)
        if change.max() > _NOTHING * np.abs(kept).max():
            return change
    for below in range(last - 1, -1, -1):
        change = np.abs(np.asarray(function(z, width, below)) - kept)
        if change.max() > _NOTHING * np.abs(kept).max():
            return change
    return np.full(z.shape, np.nan)


QUANTITY = _EdgeworthLaw()
