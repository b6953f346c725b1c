r"""The Stein kernel of a law: τ with E[W g(W)] = E[τ(W) g'(W)] for all smooth g.

For a density p of mean 0 and variance 1, positive inside its support,

    τ(w) = p(w)^{-1} ∫_w^∞ y p(y) dy,      E τ = 1.

| law | τ(w) |
|---|---|
| Gaussian | 1 |
| uniform on ±√3 | (3 − w²)/2 |
| centred exponential | 1 + w |
| centred gamma(k) | 1 + w/√k |
| Laplace, b² = ½ | b abs(w) + b² |
| Student t(ν), ν > 2 | (ν − 2 + w²)/(ν − 1) |
| Gaussian truncated at ±b, of std s | (1 − e^{((s w)² − b²)/2})/s² |

Source: Stein, *Approximate Computation of Expectations* (1986), lecture VI; Ledoux, Nourdin and
Peccati (2015).
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from widthwise.model import laws
from widthwise.model.laws import Law

Kernel = Callable[[jax.Array], jax.Array]


def stein_kernel(law: Law) -> Kernel | None:
    """τ of a law, or ``None`` where it is not known in closed form or E τ² is infinite.

    Example:
        >>> from widthwise.measure.stein_kernel import stein_kernel
        >>> import widthwise as ww
        >>> tau = stein_kernel(ww.laws.Exponential())
        >>> float(tau(2.0))
        3.0
    """
    if isinstance(law, laws.Gaussian):
        return jnp.ones_like
    if isinstance(law, laws.Uniform):
        return lambda w: (3 - w**2) / 2
    if isinstance(law, laws.Exponential):
        return lambda w: 1 + w
    if isinstance(law, laws.Gamma):
        root = math.sqrt(law.shape)
        return lambda w: 1 + w / root
    if isinstance(law, laws.Laplace):
        return lambda w: math.sqrt(0.5) * jnp.abs(w) + 0.5
    if isinstance(law, laws.StudentT) and law.df > 4:
        df = float(law.df)
        return lambda w: (df - 2 + w**2) / (df - 1)
    if isinstance(law, laws.TruncatedGaussian):
        b = float(law.bound)
        s = b / law.support[1]
        return lambda w: -jnp.expm1(((s * w) ** 2 - b**2) / 2) / s**2
    return None
