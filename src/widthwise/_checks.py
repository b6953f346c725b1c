"""Checks of what a user passes: every message says what was received and what to do."""

import math
from collections.abc import Callable, Iterable
from numbers import Integral, Real

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from widthwise._vocabulary import Array, ArrayLike


def require_x64() -> None:
    """Raise ``RuntimeError`` unless JAX computes in float64, with the line that switches it on."""
    if jax.dtypes.canonicalize_dtype(float) != jnp.float64:
        raise RuntimeError(
            "widthwise computes in float64, but JAX is in float32 mode. Add this line before "
            "any array is made:\n    import jax; jax.config.update('jax_enable_x64', True)"
        )


def points(x: ArrayLike, name: str = "x") -> np.ndarray:
    """``x`` as a finite float64 array of shape (points, inputs)."""
    array = numbers(x, name)
    if array.ndim != 2:
        remedy = (
            f"; one input dimension: {name}.reshape(-1, 1); one point: {name}.reshape(1, -1)"
            if array.ndim == 1
            else ""
        )
        raise ValueError(
            f"{name} must have shape (points, inputs), got shape {array.shape}{remedy}"
        )
    if 0 in array.shape:
        raise ValueError(f"{name} is empty: it has shape {array.shape}; give at least one point")
    return array


def unless_traced(x: ArrayLike, name: str, check: Callable[..., np.ndarray]) -> Array:
    """``check(x, name)``; of points that a JAX transformation traces, the shape alone."""
    if not isinstance(x, Tracer):
        return check(x, name)
    if x.ndim < 2 or 0 in x.shape:
        raise ValueError(f"{name} must have shape (points, inputs), got shape {x.shape}")
    return x


def targets(y: ArrayLike, count: int, outputs: int, name: str = "y") -> np.ndarray:
    """``y`` as a finite float64 array of shape (points, outputs); (points,) is one output."""
    array = numbers(y, name)
    if array.ndim == 1 and outputs == 1:
        array = array[:, None]
    if array.shape != (count, outputs):
        raise ValueError(
            f"{name} must have shape ({count}, {outputs}), one row per train point and one column "
            f"per output of the network, got shape {np.shape(y)}"
        )
    return array


def numbers(x: ArrayLike, name: str) -> np.ndarray:
    """``x`` as a finite float64 array of any shape."""
    try:
        array = np.asarray(x)
        if array.dtype.kind != "c":
            array = np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be an array of real numbers, got {type(x).__name__}"
        ) from error
    if array.dtype.kind == "c":
        raise ValueError(f"{name} must be an array of real numbers, got complex ones")
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(
            f"{name} holds {array[where]} at index {where}; remove or impute non-finite values"
        )
    return array


def same_inputs(x: Array, x2: Array, name: str = "x", name2: str = "x2") -> None:
    """Raise unless both data sets have the same input dimension."""
    if x.shape[1] != x2.shape[1]:
        raise ValueError(
            f"{name} has {x.shape[1]} inputs per point but {name2} has {x2.shape[1]}; "
            "both must describe the same features"
        )


def positive_integer(value: object, name: str) -> int:
    """``value`` as an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")
    return int(value)


def order(value: object, name: str = "order") -> int:
    """``value`` as an order in powers of n^{-1/2}: an integer of at least 0."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise ValueError(
            f"{name} counts powers of n^(-1/2) and must be an integer of at least 0, got {value!r}"
        )
    return int(value)


def indices(values: object, name: str) -> tuple[int, ...]:
    """``values`` as a tuple of integers, such as rows of the data."""
    given = tuple(values) if isinstance(values, Iterable) else (values,)
    if not all(isinstance(v, Integral) and not isinstance(v, bool) for v in given):
        raise ValueError(f"{name} must be integers, such as (0, 0, 1), got {values!r}")
    return tuple(int(v) for v in given)  # pyright: ignore[reportArgumentType]


def _number(value: object) -> float:
    """``value`` as a float, an array of no dimensions included; NaN for anything else."""
    if isinstance(value, np.ndarray | jax.Array) and value.ndim == 0:
        value = value.item()
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan


def positive(value: object, name: str) -> float:
    """``value`` as a finite number above 0."""
    number = _number(value)
    if not 0 < number < math.inf:
        raise ValueError(f"{name} must be a finite number above 0, got {value!r}")
    return number


def nonnegative(value: object, name: str) -> float:
    """``value`` as a finite number of at least 0."""
    number = _number(value)
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} must be a finite number of at least 0, got {value!r}")
    return number


def key(value: object, name: str = "key") -> None:
    """Refuse anything but one JAX random key, of the new or the old kind."""
    is_array = isinstance(value, jax.Array)
    new = is_array and jnp.issubdtype(value.dtype, jax.dtypes.prng_key) and value.ndim == 0
    old = is_array and value.dtype == jnp.uint32 and value.ndim == 1
    if not new and not old:
        what = f"an array of shape {value.shape}" if is_array else repr(value)
        raise ValueError(
            f"{name} must be one JAX random key, such as jax.random.key(0), got {what}"
        )


def width(value: object, name: str = "width") -> int:
    """A layer width: an integer of at least 1 (a float such as 1e14 is taken if it is whole)."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return positive_integer(value, name)


def times(t: ArrayLike, name: str = "times") -> np.ndarray:
    """Gradient-flow times: numbers of at least 0, infinity allowed; NaN and negative refused."""
    array = np.asarray(t, dtype=np.float64)
    if array.ndim > 1 or np.isnan(array).any() or (array < 0).any():
        raise ValueError(
            f"{name} must be a number of at least 0 or a list of them (inf is allowed), got {t!r}"
        )
    return array


def some_times(t: ArrayLike, name: str = "times") -> np.ndarray:
    """One or more times as a list, checked like :func:`times`."""
    array = np.atleast_1d(times(t, name))
    if not array.size:
        raise ValueError(f"{name} must hold at least one time, got {t!r}")
    return array
