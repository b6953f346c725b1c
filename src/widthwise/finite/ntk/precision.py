"""How far a kernel in less than float64 is from float64, measured on a sample of its entries."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import PyTree

from widthwise import _checks as checks
from widthwise._vocabulary import Array, ArrayLike
from widthwise.finite.ntk.compute import DType, Request, Result, compute
from widthwise.finite.ntk.layerwise import MEMORY
from widthwise.model.architecture import MLP

_SIDE = 4  # rows, and columns, of the sample


class PrecisionWarning(UserWarning):
    """A kernel was computed in less than float64; the message says what that changed."""


@dataclass(frozen=True)
class NTKDiscrepancy:
    """The largest difference of sampled entries from the same entries in float64.

    Args:
        largest: absolute.
        relative: to the largest sampled entry.
        entries: how many were compared.
        dtype: the precision that was asked for.
        lower: precisions below it in which ``apply`` computes inside whatever its arguments; then
            the comparison is of two ways of computing, both through these.
    """

    largest: float
    relative: float
    entries: int
    dtype: str
    lower: tuple[str, ...]

    def __str__(self) -> str:
        measured = (
            f"{self.largest:.1e}, {self.relative:.1e} of the largest entry, on {self.entries} "
            "sampled entries"
        )
        if self.lower:
            return (
                f"apply computes in {' and '.join(self.lower)} inside, even on float64 arguments; "
                f"two ways to the kernel differ by {measured}"
            )
        return f"the kernel in {self.dtype} differs from float64 by {measured}"


def ntk_discrepancy(
    apply: MLP | Callable,
    parameters: PyTree,
    x: ArrayLike,
    x2: ArrayLike | None = None,
    *,
    dtype: DType = "float32",
    width: int | None = None,
) -> NTKDiscrepancy:
    """What an empirical NTK in float32 loses, measured on a sample of entries.

    The block of at most 4 rows and 4 columns, with all components, is computed in ``dtype`` and in
    float64, for a function of your own by another method.

    Args:
        apply: an :class:`MLP` or any function, as in :func:`empirical_ntk`.
        parameters: what ``apply`` takes.
        x: data (points, ...).
        x2: second data set; ``None`` means ``x``.
        dtype: the precision that is tested; ``"float64"`` finds what an ``apply`` that casts its
            arguments down loses.
        width: as in :func:`empirical_ntk`.

    Returns:
        :class:`NTKDiscrepancy`.

    Raises:
        ValueError: as :func:`empirical_ntk`.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net = ww.MLP(depth=1, activation="erf")
        >>> parameters = net.init(jax.random.key(0), width=8, inputs=1)
        >>> ww.ntk_discrepancy(net, parameters, [[1.0], [2.0]]).relative < 1e-6
        True
    """
    checks.require_x64()
    request = Request(apply, parameters, "full", "auto", width, MEMORY)
    rows, columns = sample(x, x2)
    block = np.asarray(x)[rows], np.asarray(x if x2 is None else x2)[columns]
    result = compute(request, *block, dtype)
    return compare(request, result, result.theta, *block, dtype)


def sample(x: ArrayLike, x2: ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the sample, the same for the same numbers of points."""
    random = np.random.default_rng(0)
    sizes = np.shape(x)[0], np.shape(x if x2 is None else x2)[0]
    rows, columns = (random.choice(size, min(size, _SIDE), replace=False) for size in sizes)
    return rows, columns


def compare(
    request: Request, result: Result, entries: Array, x: ArrayLike, x2: ArrayLike, dtype: DType
) -> NTKDiscrepancy:
    """Sampled entries of a result, at the rows x and the columns x2, against float64."""
    other = {"jacobian": "products", "products": "jacobian"}.get(result.method, "auto")
    double = compute(request._replace(method=other), x, x2, "float64")
    reference = np.asarray(double.theta)
    gap = float(np.abs(np.asarray(entries, float) - reference).max())
    scale = float(np.abs(reference).max())
    return NTKDiscrepancy(gap, gap / scale if scale else gap, reference.size, dtype, double.lower)
