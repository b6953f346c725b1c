"""The joint law of several outputs, or of several projections of them.

    p(z) = N(z; 0, K) Σ_α c_α He_α(z; K),        He_α(z; K) = (−∂)^α N(z; 0, K) / N(z; 0, K).

It is computed in u = L⁻¹z, K = LLᵀ: there the limit is standard normal, He_α a product of Hermite
polynomials of one variable each, and the cumulants are contracted with L⁻¹ once. Over an output
bias whose law is not Gaussian it is averaged (:mod:`.bias`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.algebra.hermite import multi_indices
from widthwise.algebra.partitions import set_partitions
from widthwise.algebra.series import Series
from widthwise.initial.edgeworth import diagnosis, draws
from widthwise.initial.edgeworth.diagnosis import LawDiagnosis
from widthwise.initial.edgeworth.draws import Draws, Method
from widthwise.initial.edgeworth.expansion import Expansion, expansion, hermite_sum, projected
from widthwise.initial.edgeworth.law import EdgeworthLaw
from widthwise.initial.edgeworth.projection import Edgeworth
from widthwise.initial.edgeworth.readout import require_no_lattice

_SINGULAR = 1e-10
_FAR = 39.0  # beyond it the Gaussian density is 0 in float64


@dataclass(frozen=True, eq=False)
class JointEdgeworth(EdgeworthLaw):
    """The joint law of several outputs or projections, corrected for finite width.

    Args:
        cumulants: coefficients of κ_α in powers of n^{-1/2}: a row for every multi-index
            |α| ≤ P + 2 of the k coordinates in the order of
            :func:`~widthwise.algebra.hermite.multi_indices`, a column for every power.
        errors: of the coefficients; all 0 by default.
        readout: the outputs this is the law of; without it no verdict on Cramér's condition.
        bias: an output bias whose law is not Gaussian, which the cumulants do not hold.
        sized: where biases shrink with the width, the law with the biases of width n
            (:meth:`at_width`).

    Raises:
        ValueError: when the limiting covariance is singular, naming the combination that does not
            vary, or the limit is not Gaussian.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net = ww.MLP(depth=2, activation="tanh", weight_std=1.5)
        >>> c = ww.output_cumulants(net, [[1.0, 0.0], [0.0, 1.0]], order=2)
        >>> ww.edgeworth(c, points=(0, 1)).pdf([[0.0, 0.0], [1.0, 1.0]], width=32).round(4)
        array([0.1946, 0.0569])
    """

    cumulants: Float[np.ndarray, "indices orders_plus_1"]
    errors: Float[np.ndarray, "indices orders_plus_1"] | None = None

    def __post_init__(self) -> None:
        higher = multi_indices(self.dimension, self.order + 2).sum(1) > 2
        if np.any(self.cumulants[higher, 0]):
            raise ValueError(
                "a joint cumulant beyond the covariance does not vanish as n → ∞, so the limit is "
                "not Gaussian and has no Edgeworth series about one"
            )
        self._require_regular()

    @cached_property
    def dimension(self) -> int:
        """k, the number of coordinates."""
        rows, degree, k = len(self.cumulants), self.order + 2, 1
        while comb(k + degree, k) < rows:
            k += 1
        if comb(k + degree, k) != rows:
            raise ValueError(
                f"cumulants must have one row for every multi-index up to degree {degree}, "
                f"{comb(k - 1 + degree, k - 1)} for {k - 1} coordinates or {comb(k + degree, k)} "
                f"for {k}; got {rows}"
            )
        return k

    @cached_property
    def covariance(self) -> Float[np.ndarray, "k k"]:
        """K, of the limiting Gaussian; an output bias that is not Gaussian comes on top."""
        K = np.zeros((self.dimension, self.dimension))
        indices = multi_indices(self.dimension, 2)
        for alpha, value in zip(indices, self.cumulants[: len(indices), 0], strict=True):
            if alpha.sum() == 2:
                a, b = np.repeat(np.arange(self.dimension), alpha)
                K[a, b] = K[b, a] = value
        return K

    def cumulant(self, coordinates: Sequence[int]) -> Series:
        """Joint cumulant of the coordinates, repeated as needed, as a series in n^{-1/2}."""
        chosen, place = self._coordinates(coordinates), self._place(coordinates)
        values, errors = np.zeros((2, self.order + 1))
        if place is not None:
            values = self.cumulants[place].copy()
            errors = errors if self.errors is None else self.errors[place]
        if self.bias is not None and len(chosen) > 1:
            values[0] += self.bias.cumulant(chosen)
        return Series(values, errors)

    def moment(self, coordinates: Sequence[int]) -> Series:
        """E ∏ Z_c over the coordinates, as a series in n^{-1/2} truncated like the density.

        Moments come from cumulants by set partitions.
        """
        total = Series(np.zeros(self.order + 1))
        for partition in set_partitions(len(self._coordinates(coordinates))):
            if all(len(block) > 1 for block in partition):
                term = Series(np.eye(1, self.order + 1)[0])
                for block in partition:
                    term = term * self.cumulant([coordinates[i] for i in block])
                total = total + term
        return total

    def moments(
        self, width: float, order: int | None = None
    ) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k k"]]:
        """The mean (k,) and covariance (k, k) of the truncated density at width n."""
        law, k, last = self.at_width(width), self.dimension, self._last(order)
        pairs = [[law.cumulant((a, b)).at(width, last) for b in range(k)] for a in range(k)]
        return np.zeros(k), np.array(pairs)

    def pdf(self, z: ArrayLike, width: float, order: int | None = None) -> np.ndarray:
        """The density at points z (…, k) for width n, with terms up to ``order``.

        Returns:
            An array of shape (…); it can be negative where the series fails: ask :meth:`diagnose`.

        Raises:
            ValueError: for points of another dimension, when the outputs lie on a lattice, or for
                an order beyond P.
        """
        require_no_lattice(self.readout, "density")
        points = np.asarray(z, dtype=float)
        if points.ndim == 0 or points.shape[-1] != self.dimension:
            raise ValueError(
                f"z must have shape (…, {self.dimension}), one number per coordinate, got shape "
                f"{points.shape}"
            )
        law = self.at_width(width)
        L, coefficients = law._factor, law._expansion.at(float(width), self._last(order))
        flat, total = points.reshape(-1, self.dimension), 0.0
        for shift, share in zip(*law._shifts, strict=True):
            u = np.clip(np.linalg.solve(L, (flat - shift).T).T, -_FAR, _FAR)
            ratio = hermite_sum(u, law._expansion.indices, coefficients[:, None])[:, 0]
            total = total + share * np.exp(-(u * u).sum(1) / 2) * ratio
        scale = np.prod(np.diag(L) * np.sqrt(2 * np.pi))
        return np.asarray(total / scale).reshape(points.shape[:-1])

    def sample(
        self,
        key: PRNGKeyArray,
        width: float,
        count: int,
        order: int | None = None,
        *,
        method: Method = "signed",
    ) -> Draws:
        """Random draws with weights.

        ``method="signed"``: draws of N(0, K) with the weights Σ_α c_α He_α, which may be negative;
        weighted means have the expectation of the truncated series, exactly.
        ``method="mixture"``, for Gaussian readout weights: Gaussian draws given random kernels over
        the points, which match the mean and covariance of the true kernel (for outputs at one point
        the third cumulant too where possible). Weights are 1, and the law is a probability.

        Args:
            key: a JAX random key.
            width: n.
            count: how many.
            order: the last order of the series; all by default.
            method: ``"signed"`` or ``"mixture"``.

        Returns:
            :class:`Draws`: samples (count, k), weights, what is matched.

        Raises:
            ValueError: for a mixture where the readout is not Gaussian, or the truncated series
                gives the kernel no covariance that a law could have.
        """
        law, last = self.at_width(width), self._last(order)
        n, count = float(width), checks.positive_integer(count, "count")
        if draws.method(method) == "signed":
            drawn = draws.signed(key, law._factor, law._expansion, n, last, count)
            return draws.moved(drawn, key, law.bias)
        readout = draws.require_gaussian(law.readout)
        point = readout.cumulants.order + 3
        one = (readout.rows[0],)
        kappa = [
            0.0 if r < 2 else readout.cumulants.cumulant(one * r).at(n, last) for r in range(point)
        ]
        drawn = draws.kernel_mixture(key, readout, np.array(kappa), n, last, count)
        return draws.moved(drawn, key, law.bias)

    def diagnose(self, width: float, order: int | None = None) -> LawDiagnosis:
        """What speaks against this law at width n; ``str()`` says it in sentences.

        Negative mass and distances are integrals over the limiting Gaussian: exact rules up to two
        coordinates, 2¹⁵ Sobol points (about 1 %) beyond. An output bias that is not Gaussian is
        left out of them: it can only lessen both.
        """
        law, last = self.at_width(width), self._last(order)
        marginals = [law.projection(axis)._line(width) for axis in np.eye(self.dimension)]
        return diagnosis.of_joint(
            law._expansion, law._factor, float(width), last, marginals, law.readout
        )

    def optimal_order(self, width: float) -> int:
        """The order before the one whose contribution to the density is smallest, in L¹."""
        expanded = self.at_width(width)._expansion
        return diagnosis.optimal_order(diagnosis.sizes_of_joint(expanded, float(width)))

    def projection(self, direction: ArrayLike) -> Edgeworth:
        """The law of direction · Z, direction (k,)."""
        v = np.asarray(direction, dtype=float)
        if v.shape != (self.dimension,):
            raise ValueError(
                f"direction must hold one number per coordinate ({self.dimension}), got shape "
                f"{v.shape}"
            )
        sized = self.sized
        return Edgeworth(
            *self._seen_through(v[None]),
            None if sized is None else lambda n: sized(n).projection(v),
        )

    def linear(self, matrix: ArrayLike) -> "JointEdgeworth":
        """The joint law of matrix · Z, matrix (projections, k)."""
        A = np.asarray(matrix, dtype=float)
        if A.ndim != 2 or A.shape[1] != self.dimension or not len(A):
            raise ValueError(
                f"matrix must have shape (projections, {self.dimension}), got shape {A.shape}"
            )
        sized = self.sized
        return JointEdgeworth(
            *self._seen_through(A), None if sized is None else lambda n: sized(n).linear(A)
        )

    def marginal(self, coordinates: Sequence[int]) -> "JointEdgeworth":
        """The joint law of some of the coordinates; of one alone: :meth:`projection`."""
        return self.linear(np.eye(self.dimension)[list(self._coordinates(coordinates))])

    def _seen_through(self, A: np.ndarray):
        errors = None if self.errors is None else projected(self.errors, np.abs(A))
        readout = None if self.readout is None else self.readout.projected(A)
        bias = None if self.bias is None else self.bias.projected(A)
        return projected(self.cumulants, A), errors, readout, bias

    @cached_property
    def _factor(self) -> np.ndarray:
        return np.linalg.cholesky(self.covariance)

    @cached_property
    def _expansion(self) -> Expansion:
        """The law of u = L⁻¹Z."""
        inverse = np.linalg.inv(self._factor)
        errors = np.zeros_like(self.cumulants) if self.errors is None else self.errors
        whitened = projected(self.cumulants, inverse)
        return expansion(whitened, projected(errors, np.abs(inverse)), self.dimension)

    def _of_points(self, fn: Callable[[np.ndarray], np.ndarray]) -> Callable:
        return fn

    def _coordinates(self, coordinates: Sequence[int]) -> tuple[int, ...]:
        chosen = checks.indices(coordinates, "coordinates")
        if not chosen or not all(0 <= c < self.dimension for c in chosen):
            raise ValueError(
                f"coordinates must be at least one of 0 to {self.dimension - 1}, got "
                f"{coordinates!r}"
            )
        return chosen

    def _place(self, coordinates: Sequence[int]) -> int | None:
        counts = np.bincount(self._coordinates(coordinates), minlength=self.dimension)
        indices = multi_indices(self.dimension, self.order + 2)
        found = np.flatnonzero((indices == counts).all(1))
        return int(found[0]) if len(found) else None

    def _require_regular(self) -> None:
        K = self.covariance
        variance = np.diag(K)
        if np.any(variance <= 0):
            a = int(np.argmin(variance))
            raise ValueError(
                f"the limiting variance of coordinate {a} is {variance[a]:g}: there is no joint "
                "density; leave that output or projection out"
            )
        std = np.sqrt(variance)
        value, vector = np.linalg.eigh(K / np.outer(std, std))
        if value[0] < _SINGULAR:
            v = vector[:, 0] / std
            v = v / v[np.argmax(np.abs(v) > 1e-6)]
            combination = " ".join(f"{c:+.4g}·z{a}" for a, c in enumerate(v) if abs(c) > 1e-6)
            raise ValueError(
                f"the limiting covariance of the {self.dimension} coordinates is singular: "
                f"{combination} does not vary as n → ∞, so there is no joint density; leave out "
                "one of these outputs, or give a direction matrix with independent projections"
            )
