r"""The empirical Bernstein bound: a finite-sample upper limit of a mean of bounded numbers.

For N independent numbers in [0, R], with probability at least 1 − δ,

    E x ≤ x̄ + √(2 v̂ log(2/δ)/N) + 7 R log(2/δ)/(3 (N − 1)),

v̂ the unbiased sample variance. Source: Maurer and Pontil, COLT 2009, Theorem 4.
"""

import math

import numpy as np
from jaxtyping import Float


def upper_limit(values: Float[np.ndarray, "members *rest"], reach: float, delta: float):
    """The upper limit of the mean along the first axis, an entry each at level δ.

    Args:
        values: numbers in [0, reach], independent along the first axis, at least 2 of them.
        reach: R.
        delta: δ.
    """
    N, log = len(values), math.log(2 / delta)
    spread = np.sqrt(2 * values.var(0, ddof=1) * log / N)
    return values.mean(0) + spread + 7 * reach * log / (3 * (N - 1))
