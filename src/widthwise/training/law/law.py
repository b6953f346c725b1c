r"""The law of the outputs of networks of width n during training, as series in n^{−1/2}.

Mean, covariance and higher joint cumulants of f_t at train and test points over initializations,

    κ(f_t(x₁), …, f_t(x_k)) = c₀ + c₁ n^{−1/2} + c₂ n^{−1} + O(n^{−3/2}),

complete through 1/n. c₀ is the linear flow of the limit, Gaussian. If every weight law behind the
first layer is symmetric, c₁ is 0 and the next term is O(1/n²). A skewed readout law moves mean,
covariance and third cumulant at n^{−1/2}; skewed weights between hidden layers move mean and
covariance, through the means of the kernels. At 1/n all cumulants up to the fourth change, those
above do not.
"""

import abc
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise.training.law.reliability import Reliability


@dataclass(frozen=True, eq=False)
class LawErrors:
    """Estimated absolute errors of coefficients, shaped like them."""

    mean: Float[np.ndarray, "orders times points outputs"]
    covariance: Float[np.ndarray, "..."]


class TrainingLaw(abc.ABC):
    """The law of the outputs of all networks during gradient flow; see :func:`training_law`."""

    order: int
    """Highest power of n^{−1/2}."""

    @property
    @abc.abstractmethod
    def times(self) -> Float[np.ndarray, " times"]:
        """The times at which the law is known."""

    @property
    @abc.abstractmethod
    def outputs(self) -> int:
        """Components of the network's output."""

    @property
    @abc.abstractmethod
    def points(self) -> int:
        """Train and test points together."""

    @property
    @abc.abstractmethod
    def engine(self) -> str:
        """Which engine computed the law, and how."""

    @functools.cached_property
    @abc.abstractmethod
    def mean_coefficients(self) -> Float[np.ndarray, "orders times points outputs"]:
        """Coefficients of n^{−j/2}, j = 0 … order, of the mean."""

    @functools.cached_property
    @abc.abstractmethod
    def covariance_coefficients(self) -> Float[np.ndarray, "..."]:
        """Coefficients of n^{−j/2} of the covariance, with the shape of :meth:`covariance`."""

    @functools.cached_property
    @abc.abstractmethod
    def errors(self) -> LawErrors:
        """Errors of the coefficients of mean and covariance.

        What the series leaves out is not in them: see :meth:`reliability`.
        """

    @abc.abstractmethod
    def coefficients(
        self, points: Sequence[int], components: Sequence[int] | None = None
    ) -> Float[np.ndarray, "orders times"]:
        """Coefficients of n^{−j/2} of one joint cumulant at every time.

        Args:
            points: rows, train points first, one per variable and repeated as needed: (0, 0, 3).
            components: an output component for each; all 0 by default.

        Raises:
            ValueError: for rows or components that do not exist, more than four variables, whose
                cumulants are smaller than 1/n, or more than the engine has.
        """

    @abc.abstractmethod
    def reliability(self, width: int) -> Reliability:
        """How far the law can be trusted at width n: see :class:`Reliability`."""

    def _numbered(
        self, points: Sequence[int], components: Sequence[int] | None
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Checked rows and components of the variables of a cumulant."""
        rows = checks.indices(points, "points")
        parts = (0,) * len(rows) if components is None else checks.indices(components, "components")
        if not rows or not all(0 <= row < self.points for row in rows):
            raise ValueError(
                f"points must name at least one point, 0 to {self.points - 1} (train points "
                f"first), got {points!r}"
            )
        if len(parts) != len(rows) or not all(0 <= part < self.outputs for part in parts):
            raise ValueError(
                f"components must give one output component (0 to {self.outputs - 1}) per entry "
                f"of points ({len(rows)}), got {components!r}"
            )
        if len(rows) > 4:
            raise ValueError(
                f"cumulants of more than four outputs are smaller than 1/n, got {len(rows)} points"
            )
        return rows, parts

    # at a width ---------------------------------------------------------------------------------

    def mean(
        self, width: float, order: int | None = None
    ) -> Float[np.ndarray, "times points outputs"]:
        """E f_t at width n.

        Args:
            width: n.
            order: highest power of n^{−1/2} kept; by default all.
        """
        return self._summed(self.mean_coefficients, width, order)

    def covariance(self, width: float, order: int | None = None) -> Float[np.ndarray, "..."]:
        """Cov f_t at width n.

        Args:
            width: n.
            order: highest power of n^{−1/2} kept; by default all.

        Returns:
            (times, points, points) for one output; (times, points, outputs, points, outputs) for
            several, which are correlated at 1/n.
        """
        return self._summed(self.covariance_coefficients, width, order)

    def cumulant(
        self,
        points: Sequence[int],
        time: float,
        width: float,
        order: int | None = None,
        *,
        components: Sequence[int] | None = None,
    ) -> float:
        """One joint cumulant of up to four outputs at one of the times.

        Args:
            points: rows, train points first, one per variable: (0, 0, 3).
            time: one of ``times``.
            width: n.
            order: highest power of n^{−1/2} kept; by default all.
            components: an output component for each variable; all 0 by default.

        Raises:
            ValueError: for a time the law was not computed at, or wrong points or components.
        """
        found = np.flatnonzero(self.times == time)
        if not len(found):
            raise ValueError(
                f"time must be one of {self.times.tolist()}, got {time!r}; give the times to "
                "training_law"
            )
        coefficients = self.coefficients(points, components)[:, found[0]]
        return float(self._summed(coefficients, width, order))

    def _summed(self, coefficients: np.ndarray, width: float, order: int | None) -> np.ndarray:
        n, kept = checks.width(width), self.order if order is None else checks.order(order)
        if kept > self.order:
            raise ValueError(
                f"order must be at most {self.order}, the order of this law, got {order!r}"
            )
        powers = float(n) ** (-0.5 * np.arange(kept + 1))
        return np.tensordot(powers, coefficients[: kept + 1], 1)
