"""Standard errors of any statistic of a sample, by leaving out or by drawing again.

Delete-one-group jackknife over G groups: error² = (G − 1)/G Σ_g (T_{(g)} − mean)²; bootstrap: the
standard deviation of T over samples drawn with replacement (Efron and Tibshirani, *An Introduction
to the Bootstrap*, 1993, chapters 6 and 11).
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise.algebra.gaussian import Estimate

Statistic = Callable[[np.ndarray], np.ndarray | float]


def jackknife(
    statistic: Statistic,
    samples: Float[np.ndarray, "members *rest"],
    groups: int | None = None,
) -> Estimate:
    """A statistic of all samples, with its jackknife standard error.

    Args:
        statistic: samples ↦ a number or an array; smooth (not a median).
        samples: (members, ...).
        groups: how many groups are left out in turn; ``None`` leaves out single samples.

    Example:
        >>> import numpy as np, widthwise as ww
        >>> ww.estimators.jackknife(np.mean, np.array([1.0, 2.0, 3.0, 6.0])).error.round(4)
        np.float64(1.0801)
    """
    x = np.asarray(samples)
    G = len(x) if groups is None else checks.positive_integer(groups, "groups")
    if not 2 <= G <= len(x):
        raise ValueError(f"a jackknife needs 2 to {len(x)} groups of {len(x)} samples, got {G}")
    parts = np.array([statistic(np.delete(x, np.arange(g, len(x), G), axis=0)) for g in range(G)])
    error = np.sqrt(((parts - parts.mean(0)) ** 2).sum(0) * (G - 1) / G)
    return Estimate(np.asarray(statistic(x)), error)


def bootstrap(
    statistic: Statistic,
    samples: Float[np.ndarray, "members *rest"],
    *,
    seed: int = 0,
    resamples: int = 200,
) -> Estimate:
    """A statistic of all samples, with its bootstrap standard error.

    Args:
        statistic: samples ↦ a number or an array.
        samples: (members, ...).
        seed: of the draws; the same seed gives the same error.
        resamples: how often a sample of the same size is drawn.
    """
    x = np.asarray(samples)
    if len(x) < 2 or checks.positive_integer(resamples, "resamples") < 2:
        raise ValueError(f"a bootstrap needs two samples and two resamples, got {len(x)} samples")
    rng = np.random.default_rng(seed)
    parts = np.array([statistic(x[rng.integers(len(x), size=len(x))]) for _ in range(resamples)])
    return Estimate(np.asarray(statistic(x)), parts.std(0, ddof=1))
