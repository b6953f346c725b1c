r"""From W₁ and W₂ of k outputs to the other distances between them.

    SW₂ ≤ W₂/√k,     SW₁ ≤ c_k W₁,     max_v W₁(v·X, v·Y) ≤ W₁,     d_BL ≤ min(2, W₁),     W₁ ≤ W₂,

averages over the whole sphere: avg_v (v·x)² = |x|²/k and avg_v |v·x| = c_k |x| with
c_k = Γ(k/2)/(√π Γ((k + 1)/2)), which need a coupling of all k outputs. Of a bound of the
projections alone, max_v W₁(v·X, v·Y) ≤ G, only SW₁ ≤ G follows.
"""

import math
from typing import Literal, TypeAlias, get_args

from scipy.special import gammaln

BoundMetric: TypeAlias = Literal[
    "wasserstein2",
    "wasserstein1",
    "bounded_lipschitz",
    "sliced_wasserstein1",
    "sliced_wasserstein2",
    "max_sliced_wasserstein1",
]
METRICS: tuple[str, ...] = get_args(BoundMetric)
PROJECTED = ("sliced_wasserstein1", "max_sliced_wasserstein1")


def require_metric(metric: str, known: tuple[str, ...] = METRICS) -> None:
    """Refuse a metric that no theorem bounds.

    Raises:
        ValueError: with the metrics there are.
    """
    if metric not in known:
        raise ValueError(
            f"metric must be one of {', '.join(known)}, which the theorems bound, got {metric!r}"
        )


def converted(
    metric: str, first: float, second: float, outputs: int, *, projections: bool = False
) -> float:
    """The bound of a metric from bounds of W₁ and W₂ of so many outputs.

    Args:
        metric: which distance.
        first: of W₁.
        second: of W₂.
        outputs: k.
        projections: ``first`` bounds W₁ of every projection, not of all outputs jointly.
    """
    first = min(first, second)
    if projections and metric in PROJECTED:
        return first
    match metric:
        case "wasserstein2":
            return second
        case "sliced_wasserstein2":
            return second / math.sqrt(outputs)
        case "sliced_wasserstein1":
            size = gammaln(outputs / 2) - gammaln((outputs + 1) / 2)
            return first * math.exp(size) / math.sqrt(math.pi)
        case "bounded_lipschitz":
            return min(2.0, first)
    return first
