r"""The linear flow of Θ_0, enclosed: no eigenvector has to be exact.

V and Λ are the eigenvectors and eigenvalues as LAPACK computes them, c = Vᵀr̂_0. The curve

    r̃(t) = V e^{-Λt} c,     ṽ(t) = ∫_0^t r̃ = V Λ^{-1}(1 - e^{-Λt}) c

is evaluated in intervals. It solves the equation of the linear flow r_lin' = -Θ_0 r_lin up to the
defect (Θ_0V - VΛ)e^{-Λt}c. With κ ≥ |Θ_0V - VΛ|, d ≥ |r_0 - Vc| and a λ that is below λ_min(Θ_0)
and all of Λ, the variation of constants gives

    |r_lin - r̃|(t) ≤ e^{-λt}(d + κ|c|t),     ∫_0^∞ |r_lin - r̃| ≤ d/λ + κ|c|/λ²,

and Δ_lin(t) = -J_0ᵀ ∫_0^t r_lin follows. Norms are taken in the coordinates of V: with
|VᵀV - I| ≤ ε and |VᵀΘ_0V - Λ| ≤ φ,

    |Vs|² ≤ (1 + ε)|s|²,     |J_0ᵀVs|² ≤ Σ λ_i s_i² + φ|s|².

|r_lin|, |J_0ᵀr_lin| fall, and |r_lin(t) - r_lin(s)| and its like grow with s - t, because every
coordinate in the exact eigenvectors moves in one direction: ends of an interval bound its inside.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise.certify.rigorous.intervals import (
    Interval,
    ceiling,
    context,
    exact,
    floor,
    least,
    length,
    root,
    times,
    upper,
)
from widthwise.certify.rigorous.network import Verified


@dataclass(frozen=True, eq=False)
class Moment:
    """The linear flow at one time.

    Args:
        time: t.
        residual: a float64 vector near r_lin(t).
        error: how far it can be from r_lin(t).
        preimage: a float64 vector near ∫_0^t r_lin.
        preimage_error: how far it can be from that.
        size: |r_lin(t)| from above.
        gradient: |J_0ᵀr_lin(t)| from above.
        coordinates: e^{-Λt}c.
        integrals: Λ^{-1}(1 - e^{-Λt})c.
        defect: |r_lin(t) - r̃(t)| from above.
    """

    time: float
    residual: Float[np.ndarray, " rows"]
    error: Interval
    preimage: Float[np.ndarray, " rows"]
    preimage_error: Interval
    size: Interval
    gradient: Interval
    coordinates: list[Interval]
    integrals: list[Interval]
    defect: Interval


class LinearFlow:
    """r_lin and Δ_lin of one network whose kernel is verified to be positive."""

    def __init__(self, network: Verified):
        at = network.at
        self._values, self._vectors = np.linalg.eigh(at.kernel)
        c = self._vectors.T @ at.residual
        self._c = [exact(value) for value in c]
        self._beta, self._initial = network.beta, network.residual
        self._lowest = floor(network.smallest)
        self._slowest = exact(min(float(self._values[0]), float(self._lowest.a)))
        products = [times(self._vectors.T, column) for column in _columns(self._vectors)]
        self._stretch = root(1 + _distance(products, np.ones(len(c))))
        images = [times(at.kernel, column) for column in _columns(self._vectors)]
        coupled = [times(self._vectors.T, image) for image in images]
        radius = network.kernel_radius
        self._coupling = _distance(coupled, self._values) + radius * self._stretch**2
        scaled = [
            [exact(value) * entry for entry in column]
            for value, column in zip(self._values, _columns(self._vectors), strict=True)
        ]
        kappa = _apart(images, scaled) + radius * self._stretch
        start = times(self._vectors, self._c)
        gap = [a - exact(b) for a, b in zip(start, at.residual, strict=True)]
        self._gap = ceiling(length(gap) + exact(at.rounding[0]))
        self._push = ceiling(kappa * length(self._c))

    @property
    def settles(self) -> bool:
        """Whether all decay rates are positive, without which nothing is bounded."""
        return bool(self._slowest.a > 0)

    def at(self, t: float) -> Moment:
        """The flow at a finite time."""
        iv, tau = context(), exact(t)
        decays = [iv.exp(-exact(value) * tau) for value in self._values]
        coordinates = [d * c for d, c in zip(decays, self._c, strict=True)]
        integrals = [
            (1 - d) * c / exact(value)
            for d, c, value in zip(decays, self._c, self._values, strict=True)
        ]
        defect = ceiling(iv.exp(-self._slowest * tau) * (self._gap + self._push * tau))
        residual, apart = self._rounded(coordinates)
        preimage, lost = self._rounded(integrals)
        size = self._norm(coordinates) + defect
        return Moment(
            t,
            residual,
            ceiling(apart + defect),
            preimage,
            ceiling(lost + self._whole_defect),
            least(size, self._initial * iv.exp(-self._lowest * tau)),
            ceiling(self._pulled(coordinates) + self._beta * defect),
            coordinates,
            integrals,
            defect,
        )

    def turn(self, one: Moment, other: Moment) -> tuple[Interval, Interval]:
        """|r_lin - r_lin'| and |J_0ᵀ(r_lin - r_lin')| from above, at two times."""
        change = _difference(one.coordinates, other.coordinates)
        defect = one.defect + other.defect
        return ceiling(self._norm(change) + defect), ceiling(
            self._pulled(change) + self._beta * defect
        )

    def way(self, one: Moment, other: Moment) -> Interval:
        """|Δ_lin - Δ_lin'| from above, at two times."""
        return self._moved(_difference(one.integrals, other.integrals))

    def displacement(self, moment: Moment | None = None) -> Interval:
        """|Δ_lin(t)| from above; without a moment that of t = ∞."""
        if moment is not None:
            return self._moved(moment.integrals)
        return self._moved([c / exact(v) for c, v in zip(self._c, self._values, strict=True)])

    @property
    def _whole_defect(self) -> Interval:
        return self._gap / self._slowest + self._push / self._slowest**2

    def _moved(self, integrals: list[Interval]) -> Interval:
        return ceiling(self._pulled(integrals) + self._beta * self._whole_defect)

    def _norm(self, coordinates: list[Interval]) -> Interval:
        return self._stretch * length(coordinates)

    def _pulled(self, coordinates: list[Interval]) -> Interval:
        squares = [s**2 for s in coordinates]
        weighted = sum(
            (exact(v) * s for v, s in zip(self._values, squares, strict=True)), exact(0.0)
        )
        return root(weighted + self._coupling * sum(squares, exact(0.0)))

    def _rounded(self, coordinates: list[Interval]) -> tuple[np.ndarray, Interval]:
        """V s as float64 numbers, and how far they can be from it."""
        product = times(self._vectors, coordinates)
        rounded = np.array([upper(entry) for entry in product])
        return rounded, length([a - exact(b) for a, b in zip(product, rounded, strict=True)])


def _columns(matrix: np.ndarray) -> list[list[Interval]]:
    return [[exact(value) for value in column] for column in matrix.T]


def _difference(one: list[Interval], other: list[Interval]) -> list[Interval]:
    return [a - b for a, b in zip(one, other, strict=True)]


def _apart(one: list[list[Interval]], other: list[list[Interval]]) -> Interval:
    """The Frobenius norm of a difference."""
    pairs = zip(one, other, strict=True)
    return ceiling(length([entry for a, b in pairs for entry in _difference(a, b)]))


def _distance(matrix: list[list[Interval]], diagonal: np.ndarray) -> Interval:
    """The Frobenius norm of a matrix less a diagonal one."""
    return _apart(matrix, [[exact(value) for value in row] for row in np.diag(diagonal)])
