r"""⟨φ^{(i)}(z_a) φ^{(j)}(z_b)⟩ for all pairs of inputs and orders, by Mehler's series.

    E[f(z_a) g(z_b)] = Σ_k f_k(a) g_k(b) ρ_ab^k,

with the Hermite coefficients of every derivative at every *input* (see
:mod:`widthwise.limit.hermite_series`, whose bound |ρ|^n τ_n(a) τ_n(b) of the terms left out is the
error here). These means multiply n in the 1/n-corrections of training, so they are taken to
rounding. A bias that is not Gaussian is averaged over with the Gauss rule of its law, whose nodes
of no weight are left out.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise.algebra.gaussian import QuadratureError
from widthwise.limit.hermite_series import CHUNK, ORDERS, single
from widthwise.model.activations import Activation
from widthwise.training.blocks.deep.nodes import derivatives

_AIM = 1e-12
_LOWEST_USEFUL = 1e-4
_ROUNDING = 4e-16
_UNSEEN = 1e-17  # a probability that changes a mean by less than its rounding

Bias = tuple[Float[np.ndarray, " values"], Float[np.ndarray, " values"]]
"""Values that may be added to every z, and their probabilities."""


def pair_moments(
    activation: Activation, covariance: Float[np.ndarray, "p p"], degree: int, bias: Bias
) -> tuple[Float[np.ndarray, "i j p p"], Float[np.ndarray, "i j p p"]]:
    """⟨φ^{(i)}(z_a) φ^{(j)}(z_b)⟩ for i, j ≤ degree, z ~ N(0, covariance) + bias, and the errors.

    Raises:
        QuadratureError: where φ grows too fast or is too steep for the series.
    """
    variance = np.diag(covariance)
    scale = np.sqrt(np.outer(variance, variance))
    correlation = np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0)
    correlation = np.clip(correlation, -1.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    value = error = np.zeros(())
    worst = np.inf
    seen = bias[1] > _UNSEEN  # the others lie so far out that rules in z fail on flat derivatives
    shifts, probabilities = bias[0][seen], bias[1][seen]
    for orders in ORDERS[1:]:
        made = [
            _centred(_Derivatives(activation, degree, shift), variance, correlation, orders)
            for shift in shifts
        ]
        value, error, size = (
            np.tensordot(probabilities, part, 1) for part in zip(*made, strict=True)
        )
        worst = (error / (size + 1e-300)).max()
        if worst <= _AIM:
            break
    if not worst <= _LOWEST_USEFUL:
        raise QuadratureError(
            f"means of derivatives of {activation.name} reached a relative error of {worst:.1e}: "
            f"at a standard deviation of {np.sqrt(variance.max()):.3g} it is too steep or grows "
            "too fast; take smaller inputs, weight_std or bias_std"
        )
    return value, error


class _Derivatives:
    """All derivatives of φ(· + shift) at the nodes of one rule, computed together and once."""

    def __init__(self, activation: Activation, degree: int, shift: float):
        self.activation, self.degree, self.shift = activation, degree, float(shift)
        self.table: np.ndarray | None = None

    def order(self, i: int) -> Callable[..., jax.Array]:
        def derivative(z):
            if self.table is None:
                flat = np.asarray(z).ravel() + self.shift
                self.table = derivatives(self.activation, flat, self.degree)
            return jnp.asarray(self.table[i].reshape(z.shape))

        return derivative


def _centred(table: _Derivatives, variance: np.ndarray, correlation: np.ndarray, orders: int):
    """Means for one shift, their errors, and their sizes √(E f² E g²)."""
    found = [
        tuple(map(np.asarray, single(table.order(i), orders, jnp.asarray(variance))))
        for i in range(table.degree + 1)
    ]
    terms = np.stack([f for f, _, _ in found])
    size = np.sqrt((terms**2).sum(1))
    tails = np.stack([tail[orders // CHUNK] for _, tail, _ in found]) * size
    lost = np.stack([quadrature for _, _, quadrature in found]) * size
    error = _product(np.abs(correlation) ** orders, _outer(tails)) + _ROUNDING * _outer(size)
    error += _outer(size, lost) + _outer(lost, size)
    return _mehler(terms, correlation), error, _outer(size)


def _outer(left: np.ndarray, right: np.ndarray | None = None) -> Float[np.ndarray, "i j p p"]:
    right = left if right is None else right
    return _product(left[:, None, :, None], right[None, :, None, :])


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Of errors, with 0 · ∞ = 0: a function that vanishes leaves no error, however little is known.

    Known is little of the other one far out, where it is below the rounding of its rule.
    """
    with np.errstate(invalid="ignore"):
        product = left * right
    return np.where((left == 0) | (right == 0), 0.0, product)


def _mehler(terms: Float[np.ndarray, "i k p"], correlation: Float[np.ndarray, "p p"]):
    total = np.zeros((len(terms), len(terms), *correlation.shape))
    for k in range(terms.shape[1] - 1, -1, -1):
        total *= correlation
        total += _outer(terms[:, k])
    return total
