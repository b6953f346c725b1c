r"""The paired Hermite estimator of F_n − Φ for trained networks, with first-order controls.

Let z₁ = v · (f_t − c_t)/s be the trained output and z₀ = v · (f⁽⁰⁾_t − c_t)/s that of the linear
flow of the same network, in units of the deviation s of the time-dependent Gaussian process. Then

    F_n − Φ = [F⁰_n − Φ] − φ Σ_{k=1}^{6} d_k/k! He_{k−1},    d_k = E[He_k(z₁) − He_k(z₀)],

where the law F⁰_n of the linear flow is known (:mod:`.linear`) and the d_k are measured: both
networks are the same, and the noise of d_k is of order n^{-1/2} instead of 1. The controls

    k He_{k−1}(z₀) ρ,  k = 1 … 6,     ρ = v · f⁽¹⁾_t/s,

the first-order response to the kernel's fluctuation, and He_j(z₀), j = 1 … 4, take it to order 1/n
for symmetric laws; their means are known (:mod:`.directed`, :mod:`.higher`, :mod:`.means`), those
of k = 5, 6 for symmetric laws alone. The series is cut at
k = 6, which holds all that is of order 1/n; the size of k = 5, 6 says what a cut leaves out.

Source: Hermite (Gram–Charlier) projection of a difference of laws; controls of
:mod:`widthwise.training.ensembles.controls`. The estimator is of this library.
"""

import math

import numpy as np
from jaxtyping import Float
from numpy.polynomial import hermite_e

from widthwise.measure.estimators.curve import GRID, absolute_integral
from widthwise.measure.estimators.sums import Sums

DEGREE = 6
FORCED = 6
CONTROLS = FORCED + 4
_DENSITY = np.exp(-(GRID**2) / 2) / np.sqrt(2 * np.pi)
BASIS = np.stack(
    [
        -_DENSITY * hermite_e.hermeval(GRID, np.eye(DEGREE)[k - 1]) / math.factorial(k)
        for k in range(1, DEGREE + 1)
    ]
)
"""−φ He_{k−1}/k! on the grid, k = 1 … 6."""


def hermite(z: np.ndarray, degree: int) -> np.ndarray:
    """He_1 … He_degree, stacked in front."""
    values = [np.ones_like(z), z]
    for k in range(1, degree):
        values.append(z * values[k] - k * values[k - 1])
    return np.stack(values[1:])


def add(
    sums: Sums,
    batch: int,
    trained: Float[np.ndarray, "directions members"],
    linear: Float[np.ndarray, "directions members"],
    forced: Float[np.ndarray, "directions members"],
) -> None:
    """Add a block of members at one time: z₁, z₀ and ρ."""
    before = hermite(linear, DEGREE)
    change = np.moveaxis(hermite(trained, DEGREE) - before, 0, 1)
    lower = np.concatenate([np.ones_like(linear)[None], before[: FORCED - 1]])
    factors = np.arange(1, FORCED + 1)[:, None, None] * lower * forced
    controls = np.moveaxis(np.concatenate([factors, before[:4]]), 0, 1)
    cy = np.einsum("djm,dkm->djk", controls, change, optimize=True)
    sums.add(batch, trained.shape[1], change.sum(-1), cy, controls)


def cut(coefficients: Float[np.ndarray, "directions degrees"]) -> Float[np.ndarray, " directions"]:
    """∫ of what the last two degrees add to the curve, in units of σ."""
    return absolute_integral(coefficients[:, -2:] @ BASIS[-2:])
