"""What a law is: the distribution of one weight or bias, standardized to mean 0 and variance 1.

A weight enters a wide network as σ_w W/√n with E W = 0 and E W² = 1, so a law enters every
formula only through its **cumulants** κ_r(W), the coefficients of log E e^{sW} = Σ_r κ_r s^r / r!.
They come from the moments μ_r = E W^r (Leonov–Shiryaev, solved for its last term):

    κ_r = μ_r − Σ_{j=1}^{r−1} C(r−1, j−1) κ_j μ_{r−j},        κ_1 = 0,  κ_2 = 1.        (1)

(1) subtracts numbers far larger than its result and loses digits with every order, so it runs in
rational arithmetic. A law gives the rational central moments of an *unscaled* variable X (a gamma
variable, or atoms as the user typed them) and its rational variance v; then W = (X − E X)/√v,
κ_r(W) = κ_r(X) v^{−r/2}, and rounding happens once, at the end. Gaussian, uniform, Rademacher,
Laplace, exponential, gamma, Student t and discrete laws are exact in this sense; the truncated
Gaussian carries its moments to 100 digits; laws taken from scipy start from moments in floats.

Besides moments a law has a characteristic function E e^{itW}, a quadrature rule for E g(W), a
density where it has one, and samples.
"""

import abc
import functools
import math
import operator
from fractions import Fraction
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Complex, Float, PRNGKeyArray

from widthwise import _checks
from widthwise._vocabulary import ArrayLike


class Law(abc.ABC):
    """A law with mean 0 and variance 1 of one weight or bias: an immutable, hashable value.

    Example:
        ```python
        from widthwise.model import laws

        law = laws.Exponential()
        law.cumulant(3), law.cumulant(4)  # 2.0, 6.0
        nodes, weights = law.quadrature(32)
        sum(weights * nodes**4)  # 9.0, the fourth moment
        ```
    """

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The law in one word, with its parameter: "gaussian", "student_t(5)"."""

    @property
    @abc.abstractmethod
    def symmetric(self) -> bool:
        """Whether W and −W have the same law; then every odd cumulant is exactly 0."""

    @property
    @abc.abstractmethod
    def support(self) -> tuple[float, float]:
        """The smallest interval that holds W."""

    @property
    def discrete(self) -> bool:
        """Whether the law consists of atoms."""
        return False

    @property
    def highest_moment(self) -> float:
        """The highest order of a moment that exists; ``math.inf`` if all do."""
        return math.inf

    def moment(self, order: SupportsIndex) -> float:
        """The moment μ_r = E W^r.

        Args:
            order: r, at least 0.

        Raises:
            ValueError: the order is negative, or the moment does not exist.
            OverflowError: the moment exists and is larger than the largest float.
        """
        return _standardized(self, _existing(self, order), _central_moment)

    def cumulant(self, order: SupportsIndex) -> float:
        """The cumulant κ_r(W), by equation (1) of this module; κ_0 = 0, κ_1 = 0, κ_2 = 1.

        Args:
            order: r, at least 0.

        Raises:
            ValueError: the order is negative, or the moment of that order does not exist.
            OverflowError: the cumulant exists and is larger than the largest float.
        """
        return _standardized(self, _existing(self, order), _central_cumulant)

    def characteristic(self, t: ArrayLike) -> Complex[np.ndarray, "..."]:
        """The characteristic function E e^{itW} at every entry of the real array ``t``."""
        t = np.asarray(t, dtype=np.float64)
        return self._characteristic(t.ravel()).reshape(t.shape).astype(np.complex128)

    def density(self, z: ArrayLike) -> Float[np.ndarray, "..."]:
        """The probability density at every entry of ``z``.

        Raises:
            ValueError: the law consists of atoms.
        """
        z = np.asarray(z, dtype=np.float64)
        return self._density(z.ravel()).reshape(z.shape)

    def quadrature(
        self, count: SupportsIndex
    ) -> tuple[Float[np.ndarray, "nodes"], Float[np.ndarray, "nodes"]]:
        """Nodes z_i and weights w_i with E g(W) ≈ Σ_i w_i g(z_i) for smooth g, and Σ_i w_i = 1.

        Args:
            count: how many nodes to use. A law of atoms returns its atoms whatever ``count``;
                nodes of weight below 1e-50 are left out; two-sided rules round up to even.

        Raises:
            ValueError: ``count`` is below 1.
        """
        nodes, weights = self._quadrature(_checks.positive_integer(operator.index(count), "count"))
        kept = weights > 1e-50
        return nodes[kept], weights[kept] / weights[kept].sum()

    def sample(
        self, key: PRNGKeyArray, shape: tuple[int, ...] = (), *, dtype: Any = None
    ) -> jax.Array:
        """Independent draws of W; works under ``jax.jit`` and ``jax.vmap``.

        Args:
            key: a JAX random key.
            shape: the shape of the result.
            dtype: a floating type; JAX's default one if not given.
        """
        # Drawn flat: XLA compiles random bits of a multi-dimensional shape several times slower.
        kind = jnp.result_type(float if dtype is None else dtype)
        return self._sample(key, (math.prod(shape),), kind).reshape(shape)

    # What a law supplies; t and z come as flat arrays. ----------------------------------------

    @abc.abstractmethod
    def _moment(self, order: int) -> Fraction:
        """E (X − E X)^r of the unscaled variable X; called only if the moment exists."""

    @property
    def _variance(self) -> Fraction:
        """Var X."""
        return Fraction(1)

    @abc.abstractmethod
    def _characteristic(self, t: np.ndarray) -> np.ndarray: ...

    def _density(self, z: np.ndarray) -> np.ndarray:
        """Of a law that has one; laws of atoms leave this as it is."""
        raise ValueError(
            f"{self!r} has atoms and therefore no density; "
            "quadrature(1) gives its atoms and their probabilities"
        )

    @abc.abstractmethod
    def _quadrature(self, count: int) -> tuple[np.ndarray, np.ndarray]: ...

    @abc.abstractmethod
    def _sample(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> jax.Array: ...

    def _no_moment(self, order: int) -> str:
        return (
            f"{self.name} has no moment of order {order}: they exist up to order "
            f"{self.highest_moment:g}; take a law with lighter tails or a lower order"
        )


def _existing(law: Law, order: SupportsIndex) -> int:
    order = operator.index(order)
    if order < 0:
        raise ValueError(f"a moment or cumulant has an order of at least 0, got {order}")
    if order > law.highest_moment:
        raise ValueError(law._no_moment(order))
    return order


@functools.lru_cache(maxsize=4096)
def _central_moment(law: Law, order: int) -> Fraction:
    return law._moment(order)


@functools.lru_cache(maxsize=4096)
def _central_cumulant(law: Law, order: int) -> Fraction:
    mu = [_central_moment(law, j) for j in range(order + 1)]
    kappa = [Fraction(0)] * (order + 1)
    for r in range(1, order + 1):
        lower = (math.comb(r - 1, j - 1) * kappa[j] * mu[r - j] for j in range(1, r))
        kappa[r] = mu[r] - sum(lower, Fraction(0))
    return kappa[order]


@functools.lru_cache(maxsize=4096)
def _standardized(law: Law, order: int, quantity: Any) -> float:
    """The moment or cumulant of (X − E X)/√v from the one of X: divide by v^{r/2}, round once."""
    if order == 1 or (order % 2 and law.symmetric):
        return 0.0
    half, odd = divmod(order, 2)
    try:
        value = float(quantity(law, order) / law._variance**half)
    except OverflowError as error:
        raise OverflowError(
            f"order {order} of {law!r} is larger than the largest float, 1.8e308; "
            "take a lower order"
        ) from error
    return value / math.sqrt(law._variance) if odd else value


def plain(number: float) -> str:
    """A parameter as a person writes it: 5.0 is 5."""
    return str(int(number)) if float(number).is_integer() and abs(number) < 1e15 else repr(number)
