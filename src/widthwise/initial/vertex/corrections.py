"""The public face: :func:`kernel_corrections` and the value it returns."""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike, Gram, Points
from widthwise.algebra.gaussian import Estimate
from widthwise.initial.vertex import forms
from widthwise.initial.vertex.layers import Passes
from widthwise.initial.vertex.neurons import Sampling
from widthwise.model.architecture import MLP, require_network

MOST_POINTS = 40
_FEW = 4
_ROUNDING = 4e-15


class KernelErrors(NamedTuple):
    """Estimated absolute errors of the three kernels, entry by entry."""

    kernel: Gram
    first: Gram
    second: Gram


@dataclass(frozen=True, eq=False)
class KernelCorrections:
    r"""The random kernel of a finite network at initialization, through 1/n, for all inputs.

    The outputs, given the hidden layers, are independent with the covariance
    K = σ_b² + σ_w² M, M the empirical moments of the last hidden layer. Its mean is
    ``kernel`` + n^{−1/2} ``first`` + n^{−1} ``second`` + …; its covariance is V/n + …

    Args:
        net: the architecture.
        x: data (points, inputs).
        kernel: K at n = ∞, the output bias in it.
        first: coefficient of n^{−1/2}, 0 unless weights between hidden layers are skewed.
        second: coefficient of 1/n.
        error: the errors of these three.
    """

    net: MLP
    x: Points
    kernel: Gram
    first: Gram
    second: Gram
    error: KernelErrors
    _passes: Passes = field(repr=False)

    def vertex_form(self, A: ArrayLike, B: ArrayLike) -> Estimate:
        r"""The coefficient of 1/n in Cov(⟨A, K⟩, ⟨B, K⟩), ⟨A, K⟩ = Σ_ab A_ab K_ab.

        Nothing of four indices is formed: A is pulled down through the layers and meets the
        neurons of each (:mod:`widthwise.initial.vertex.forms`).

        Args:
            A: matrix (points, points); only its symmetric part matters.
            B: another.

        Returns:
            Value and error. If at most four distinct inputs are involved, or all inputs span at
            most four dimensions, the error is that of a quadrature; otherwise it is the standard
            error over random points, smaller with more ``samples``.

        Raises:
            ValueError: for matrices of another shape.

        Example:
            >>> import jax; jax.config.update("jax_enable_x64", True)
            >>> import numpy as np, widthwise as ww
            >>> net = ww.MLP(depth=2, activation="relu", weight_std=2**0.5)
            >>> q = ww.kernel_corrections(net, [[1.0]])
            >>> float(q.vertex_form(np.ones((1, 1)), np.ones((1, 1))).value.round(9))  # 10 K²
            40.0
        """
        A, B = self._matrix(A, "A"), self._matrix(B, "B")
        rows = np.flatnonzero((A != 0).any(0) | (B != 0).any(0))
        part = self._of(rows)
        if part is not self:
            block = np.ix_(rows, rows)
            return part.vertex_form(A[block], B[block])
        return forms.covariance(self._passes, A, B)

    def vertex(self) -> Estimate:
        """The dense four-index vertex V[a, b, c, d]: Cov(K_ab, K_cd) = V/n + …

        A covariance matrix of the K_ab: positive semi-definite over (ab), (cd). Its diagonal
        V[a, b, a, b] has the accuracy of a quadrature; where random points serve, the error of the
        rest is a standard error.

        Returns:
            Value and error, each (points, points, points, points).

        Raises:
            ValueError: for more than 40 points.
        """
        m = len(self.x)
        if m > MOST_POINTS:
            raise ValueError(
                f"the dense vertex of {m} points has {m}^4 entries, "
                f"{2 * 8 * m**4 / 1e9:.3g} GB with its error; take at most {MOST_POINTS} points, "
                "or ask vertex_form(A, B) for what you need of it"
            )
        return self._dense

    def fourth_cumulant(self, direction: ArrayLike) -> Estimate:
        r"""The coefficient of 1/n in κ₄(u·f), f = (f(x_a))_a one output component.

        3 Var(uᵀKu) + κ₄(W) σ_w⁴ E[(u·h)⁴]/ρ over the last hidden layer; a bias of the outputs that
        is not Gaussian adds σ_b⁴ κ₄(b) (Σ_a u_a)⁴, which does not shrink and is not in it.

        Args:
            direction: u (points,).

        Returns:
            Value and error, as for :meth:`vertex_form`.

        Raises:
            ValueError: for a vector of another length.
        """
        u = self._vector(direction)
        rows = np.flatnonzero(u)
        part = self._of(rows)
        if part is not self:
            return part.fourth_cumulant(u[rows])
        return forms.fourth(self._passes, u)

    def third_cumulant(self, direction: ArrayLike) -> Estimate:
        r"""The coefficient of n^{−1/2} in κ₃(u·f): κ₃(W) σ_w³ E[(u·h)³]/√ρ.

        A bias of the outputs that is not Gaussian adds σ_b³ κ₃(b) (Σ_a u_a)³, which does not
        shrink and is not in it.

        Args:
            direction: u (points,).

        Returns:
            Value and error, as for :meth:`vertex_form`.

        Raises:
            ValueError: for a vector of another length.
        """
        u = self._vector(direction)
        rows = np.flatnonzero(u)
        part = self._of(rows)
        if part is not self:
            return part.third_cumulant(u[rows])
        return forms.third(self._passes, u)

    @cached_property
    def _dense(self) -> Estimate:
        return forms.dense(self._passes)

    def _of(self, rows: np.ndarray) -> "KernelCorrections":
        """The same of a few inputs alone, which do not depend on the others; else this."""
        if not 0 < len(rows) <= _FEW or len(rows) == len(self.x):
            return self
        return self._parts(tuple(rows.tolist()))

    @cached_property
    def _parts(self):
        passes = self._passes
        return lru_cache(maxsize=256)(
            lambda rows: _computed(
                self.net, np.asarray(self.x)[list(rows)], passes.tolerance, passes.sampling
            )
        )

    def _matrix(self, matrix: ArrayLike, name: str) -> Float[np.ndarray, "points points"]:
        array = np.asarray(matrix, dtype=float)
        m = len(self.x)
        if array.shape != (m, m) or not np.isfinite(array).all():
            raise ValueError(
                f"{name} must be a finite matrix of shape ({m}, {m}), one row and column per "
                f"point, got shape {array.shape}"
            )
        return (array + array.T) / 2

    def _vector(self, direction: ArrayLike) -> Float[np.ndarray, " points"]:
        array = np.asarray(direction, dtype=float)
        if array.shape != (len(self.x),) or not np.isfinite(array).all():
            raise ValueError(
                f"direction must hold {len(self.x)} finite numbers, one per point, got shape "
                f"{array.shape}"
            )
        return array


def kernel_corrections(
    net: MLP,
    x: ArrayLike,
    *,
    tolerance: float | None = None,
    samples: int = 1 << 16,
    key: jax.Array | None = None,
) -> KernelCorrections:
    """The random kernel at initialization through 1/n: mean, covariance, and what follows of them.

    All inputs together, any laws of weights and biases, any depth and ratios; the cost does not
    depend on the width. The mathematics stands in :mod:`widthwise.initial.vertex`.

    Args:
        net: the architecture.
        x: data (points, inputs).
        tolerance: relative error allowed in the expectations of pairs of inputs; by default 1e-11
            is aimed at, and an error above 1e-6 is refused.
        samples: how many neurons per layer forms in more than four dimensions average over.
        key: a JAX random key for them; by default a fixed one.

    Returns:
        :class:`KernelCorrections`.

    Raises:
        ValueError: for bad shapes, weights without a fourth moment, or a quadrature that does not
            converge.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net = ww.MLP(depth=2, activation="relu", weight_std=2**0.5)
        >>> q = ww.kernel_corrections(net, [[1.0, 0.2, -0.4], [0.3, -0.8, 0.9]])
        >>> float(q.second[0, 1].round(6))
        -0.311677
    """
    checks.require_x64()
    require_network(net)
    x = np.asarray(checks.points(x))
    samples = checks.positive_integer(samples, "samples")
    if tolerance is not None:
        tolerance = checks.positive(tolerance, "tolerance")
    return _computed(
        net, x, tolerance, Sampling(samples, jax.random.key(0) if key is None else key)
    )


def _computed(
    net: MLP, x: np.ndarray, tolerance: float | None, sampling: Sampling
) -> KernelCorrections:
    passes = Passes(net, x, tolerance, sampling)
    fine, matrix = passes.fine, passes.matrix
    values, *others = (
        (run.kernel, run.tables.first, run.tables.second) for run in (fine, *passes.others)
    )
    differences = [
        np.sqrt(np.mean([np.square(values[k] - other[k]) for other in others], axis=0))
        for k in range(3)
    ]
    size = np.sqrt(fine.kernel[:, 0] * fine.kernel[:, 2])[:, None]
    moved = size if passes.skewed and net.depth > 1 else 0.0
    rounding = [_ROUNDING * part for part in (size, np.abs(values[1]) + moved, np.abs(fine.terms))]
    K, first, second = map(matrix, values)
    error = KernelErrors(
        *(matrix(3 * gap + lost) for gap, lost in zip(differences, rounding, strict=True))
    )
    return KernelCorrections(net, x, K, first, second, error, passes)
