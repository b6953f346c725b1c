"""Activations: a scalar function together with what the theory must know about it.

An :class:`Activation` carries the function φ, its kinks (points where φ or a derivative jumps;
every quadrature puts a panel edge there), parity, degree of homogeneity and sup-norms. Derivatives
come from JAX; at a kink they take JAX's one-sided value, a set of measure zero.

A function that jumps (``step``, ``sign``) has derivative zero almost everywhere, and that is the
derivative gradient descent uses: only the layers above a jump train.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf
from jax.scipy.stats import norm

from widthwise.algebra.error_function import erf_slope, rational_erf

Function = Callable[..., jax.Array]
INF = math.inf


@dataclass(frozen=True)
class Activation:
    """A scalar activation φ with its kinks and known bounds.

    Args:
        name: what reports call it; closed-form kernels are looked up by it.
        function: φ, elementwise on arrays of any shape, differentiable by JAX off the kinks.
        kinks: increasing points where φ or one of its derivatives jumps.
        parity: ``"odd"``, ``"even"`` or ``None`` if neither or unknown.
        homogeneity: p with φ(cz) = c^p φ(z) for all c > 0, or ``None``.
        sup_norms: sup-norms of φ, φ' and φ''; ``inf`` where unbounded, ``None`` if unknown.
        parameters: numbers a closed form needs (a slope, the coefficients of a polynomial).

    Example:
        >>> import widthwise as ww
        >>> hard_tanh = ww.activations.get(lambda z: jax.numpy.clip(z, -1, 1), kinks=(-1.0, 1.0))
        >>> hard_tanh.kinks
        (-1.0, 1.0)
    """

    name: str
    function: Function
    kinks: tuple[float, ...] = ()
    parity: Literal["odd", "even"] | None = None
    homogeneity: int | None = None
    sup_norms: tuple[float, float, float] | None = None
    parameters: tuple[float, ...] = ()

    def __call__(self, z: jax.Array | np.ndarray) -> jax.Array:
        return self.function(z)

    def derivative(self, order: int = 1) -> Function:
        """The function z ↦ φ^(order)(z), elementwise, by forward differentiation."""
        return _derivative(self.function, order)

    def value_and_slope(self, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        """φ(z) and φ'(z), in the dtype of z.

        Where a way is known that is several times as fast it is taken; its numbers are those of
        ``function`` and of its derivative to 1e-15.
        """
        if self.function is erf and z.dtype == jnp.float64:
            return rational_erf(z), erf_slope(z)
        value, slope = jax.jvp(self.function, (z,), (jnp.ones_like(z),))
        return value.astype(z.dtype), slope.astype(z.dtype)

    @cached_property
    def growth(self) -> float:
        """P with φ(z) growing like |z|^p at most, infinite if faster than a power; measured."""
        z = jnp.array([-1e6, -1e3, 1e3, 1e6])
        with np.errstate(all="ignore"):
            far, near, near2, far2 = np.abs(np.asarray(self.function(z), dtype=float)) + 1e-300
            rates = np.log([far / near, far2 / near2]) / np.log(1e3)
        if not np.isfinite(rates).all():
            return INF
        return float(np.round(max(0.0, rates.max()), 1))

    @property
    def smooth(self) -> bool:
        """Whether φ has no kink."""
        return not self.kinks

    def __repr__(self) -> str:
        return f"Activation({self.name!r})"


@lru_cache(maxsize=256)
def _derivative(function: Function, order: int) -> Function:
    """One object per derivative, so that what is compiled for it is compiled once."""
    return partial(_tangent, _derivative(function, order - 1)) if order else function


def _tangent(function: Function, z: jax.Array | np.ndarray) -> jax.Array:
    z = jnp.asarray(z, dtype=float)
    return jax.jvp(function, (z,), (jnp.ones_like(z),))[1]


@lru_cache(maxsize=256)
def leaky_relu(slope: float = 0.01) -> Activation:
    """max(z, 0) + slope · min(z, 0)."""
    return Activation(
        "leaky_relu",
        partial(jax.nn.leaky_relu, negative_slope=slope),
        kinks=(0.0,),
        homogeneity=1,
        sup_norms=(INF, max(1.0, abs(slope)), INF),
        parameters=(float(slope),),
    )


def polynomial(coefficients: Sequence[float]) -> Activation:
    """Σ_k coefficients[k] z^k, lowest degree first."""
    return _polynomial(tuple(float(value) for value in coefficients))


@lru_cache(maxsize=256)
def _polynomial(c: tuple[float, ...]) -> Activation:
    if not c or not all(map(math.isfinite, c)):
        raise ValueError(
            "coefficients of a polynomial activation must be at least one finite number, lowest "
            f"degree first, got {c!r}"
        )
    even = not any(c[1::2])
    odd = not any(c[0::2])
    degrees = [k for k, value in enumerate(c) if value]
    return Activation(
        "polynomial",
        lambda z: jnp.polyval(jnp.asarray(c[::-1]), z),
        parity="odd" if odd else "even" if even else None,
        homogeneity=degrees[0] if len(degrees) == 1 else None,
        parameters=c,
    )


def _gelu(z: jax.Array | np.ndarray) -> jax.Array:
    return jnp.asarray(z) * norm.cdf(z)


def _heaviside(z: jax.Array | np.ndarray) -> jax.Array:
    return jnp.where(jnp.asarray(z) > 0, 1.0, 0.0)


_SIGMOID_CURVATURE = 1 / (6 * math.sqrt(3))
_CATALOGUE = {
    activation.name: activation
    for activation in (
        Activation("identity", jnp.positive, (), "odd", 1, (INF, 1.0, 0.0)),
        Activation("relu", jax.nn.relu, (0.0,), None, 1, (INF, 1.0, INF)),
        leaky_relu(),
        Activation("abs", jnp.abs, (0.0,), "even", 1, (INF, 1.0, INF)),
        Activation("step", _heaviside, (0.0,), None, 0, (1.0, INF, INF)),
        Activation("sign", jnp.sign, (0.0,), "odd", 0, (1.0, INF, INF)),
        Activation("tanh", jnp.tanh, (), "odd", None, (1.0, 1.0, 4 / (3 * math.sqrt(3)))),
        Activation(
            "erf",
            erf,
            (),
            "odd",
            None,
            (1.0, 2 / math.sqrt(math.pi), math.sqrt(8 / (math.pi * math.e))),
        ),
        Activation("sigmoid", jax.nn.sigmoid, (), None, None, (1.0, 0.25, _SIGMOID_CURVATURE)),
        Activation("softplus", jax.nn.softplus, (), None, None, (INF, 1.0, 0.25)),
        Activation("gelu", _gelu, (), None, None, (INF, 1.1289042, 2 / math.sqrt(2 * math.pi))),
        Activation("silu", jax.nn.silu, (), None, None, (INF, 1.0998394, 0.5)),
        Activation("sin", jnp.sin, (), "odd", None, (1.0, 1.0, 1.0)),
        Activation("cos", jnp.cos, (), "even", None, (1.0, 1.0, 1.0)),
        Activation("exp", jnp.exp, (), None, None, (INF, INF, INF)),
    )
}
_ALIASES = {"linear": "identity", "swish": "silu", "heaviside": "step", "logistic": "sigmoid"}


def names() -> tuple[str, ...]:
    """The names :func:`get` knows."""
    return (*_CATALOGUE, "polynomial")


def get(
    activation: str | Function | Activation, kinks: Sequence[float] | None = None
) -> Activation:
    """The activation of a name, or of any scalar function with its kinks declared.

    Args:
        activation: a name of :func:`names`; ``"polynomial(c0, c1, ...)"`` or
            ``"leaky_relu(slope)"``; an :class:`Activation`; or a function that acts elementwise on
            JAX arrays and is differentiable off ``kinks``.
        kinks: for a function, the points where it or a derivative jumps. Leaving one out makes
            quadratures refuse or lose digits.

    Returns:
        The :class:`Activation`.

    Raises:
        ValueError: for an unknown name, kinks given with a name, or a function that is not
            elementwise.

    Example:
        >>> import widthwise as ww
        >>> ww.activations.get("relu").kinks
        (0.0,)
    """
    if isinstance(activation, Activation | str) and kinks is not None:
        raise ValueError(
            f"kinks belong to a function, not to {activation!r}, which declares its own"
        )
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, str):
        return _by_name(activation)
    if not callable(activation):
        raise ValueError(
            f"activation must be one of {', '.join(names())}, or a function, got {activation!r}"
        )
    known = next((a for a in _CATALOGUE.values() if a.function is activation), None)
    if known is not None and kinks is None:
        return known
    return _custom(activation, () if kinks is None else tuple(np.atleast_1d(kinks).tolist()))


def catalogued(activation: Activation) -> bool:
    """Whether an activation is the one of its name here, not another under the same name."""
    if activation.name == "polynomial":
        return activation == _polynomial(activation.parameters)
    if activation.name == "leaky_relu":
        return activation == leaky_relu(*activation.parameters)
    return activation == _CATALOGUE.get(activation.name)


def _by_name(text: str) -> Activation:
    name, _, rest = text.strip().lower().partition("(")
    name = name.strip().replace("-", "_")
    name = _ALIASES.get(name, name)
    parametric = {"polynomial": polynomial, "leaky_relu": lambda c: leaky_relu(*c)}
    if name in parametric and rest:
        try:
            return parametric[name]([float(value) for value in rest.rstrip(") ").split(",")])
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"cannot read the numbers of activation {text!r}; write for example "
                "'leaky_relu(0.2)' or 'polynomial(0, 1, -0.5)'"
            ) from error
    if name == "polynomial":
        raise ValueError("activation 'polynomial' needs coefficients: 'polynomial(0, 1, -0.5)'")
    if name not in _CATALOGUE or rest:
        raise ValueError(
            f"unknown activation {text!r}; known are {', '.join(names())}, or pass any function "
            "to widthwise.activations.get(function, kinks=(...))"
        )
    return _CATALOGUE[name]


def _custom(function: Function, kinks: Sequence[float]) -> Activation:
    places = tuple(sorted(float(kink) for kink in kinks))
    if not all(map(math.isfinite, places)):
        raise ValueError(f"kinks must be finite numbers, got {tuple(kinks)!r}")
    name = getattr(function, "__name__", type(function).__name__)
    probe = jnp.linspace(-2.9, 3.1, 7)
    try:
        whole = jax.jit(function)(probe)
        single = jax.jit(function)(probe[1])
        jax.jit(partial(_tangent, function))(probe)
    except Exception as error:
        raise ValueError(
            f"activation {name!r} failed on a JAX array: {error}; write it with jax.numpy, "
            "elementwise"
        ) from error
    if whole.shape != probe.shape or not np.allclose(whole[1], single, equal_nan=True):
        raise ValueError(
            f"activation {name!r} must act elementwise: on shape (7,) it returned {whole.shape}"
        )
    if not jnp.issubdtype(whole.dtype, jnp.floating):
        raise ValueError(
            f"activation {name!r} returned {whole.dtype} values; return floating-point numbers, "
            "for example jax.numpy.where(z > 0, 1.0, 0.0)"
        )
    if not np.isfinite(whole).all():
        raise ValueError(f"activation {name!r} is not finite on [-3, 3]: it returned {whole}")
    return Activation(f"custom:{name}", function, places)
