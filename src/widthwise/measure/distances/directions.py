"""Directions in which several dimensions are looked at: orthonormal frames, turned at random.

Frames make averages over directions exact for quadratic functions, avg_v (v·x)² = |x|²/k, and less
noisy for others; independent frames tell how noisy.
"""

import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike

Directions = Float[np.ndarray, "directions k"]


def frames(dimension: int, count: int, seed: int = 0) -> Directions:
    """Unit vectors: as many whole frames as reach ``count``, uniformly turned.

    Example:
        >>> import widthwise as ww
        >>> v = ww.distances.frames(3, 24)
        >>> v.shape, (3 * v.T @ v / 24).round(12).diagonal().tolist()
        ((24, 3), [1.0, 1.0, 1.0])
    """
    k, number = checks.positive_integer(dimension, "dimension"), checks.positive_integer(count, "n")
    if k == 1:
        return np.ones((1, 1))
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(-(-number // k)):
        q, r = np.linalg.qr(rng.normal(size=(k, k)))
        parts.append((q * np.sign(np.diag(r))).T)
    return np.concatenate(parts)


def chosen(directions: int | ArrayLike, dimension: int, seed: int) -> tuple[Directions, bool]:
    """Unit directions (directions, k), and whether they were drawn here.

    Raises:
        ValueError: for directions of the wrong shape or 0.
    """
    if isinstance(directions, int | np.integer):
        return frames(dimension, int(directions), seed), dimension > 1
    v = np.atleast_2d(checks.numbers(directions, "directions"))
    lengths = np.linalg.norm(v, axis=-1)
    if v.ndim != 2 or v.shape[1] != dimension or not lengths.all():
        raise ValueError(
            f"directions must be a number of directions, or vectors (directions, {dimension}) "
            f"other than 0, got shape {v.shape}"
        )
    return v / lengths[:, None], False


def between(values: np.ndarray, dimension: int, drawn: bool) -> float:
    """The standard error of an average over directions that were drawn in frames."""
    if not drawn or len(values) < 2 * dimension:
        return 0.0
    means = values.reshape(-1, dimension).mean(1)
    return float(means.std(ddof=1) / np.sqrt(len(means)))
