"""What the laws of one projection and of several coordinates have in common."""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from widthwise import _checks as checks
from widthwise.initial.edgeworth import expectations
from widthwise.initial.edgeworth.bias import OutputBias, Shifts
from widthwise.initial.edgeworth.expansion import Expansion, last_order
from widthwise.initial.edgeworth.expectations import Expectation
from widthwise.initial.edgeworth.readout import Readout, require_no_lattice

Kind = TypeVar("Kind", bound="EdgeworthLaw")


@dataclass(frozen=True, eq=False)
class EdgeworthLaw(abc.ABC):
    """A law as an Edgeworth series, and what is added to it exactly.

    Args:
        cumulants: of the part that is expanded, by power of n^{-1/2}.
        errors: of the cumulants; all 0 by default.
        readout: the outputs this is the law of; without it no verdict on Cramér's condition.
        bias: an output bias whose law is not Gaussian; it is not in the cumulants.
        sized: where biases shrink with the width, the law with the biases of width n, whose series
            is the one that is summed there; then the cumulants here are those about the limit.
    """

    cumulants: np.ndarray
    errors: np.ndarray | None = None
    readout: Readout | None = None
    bias: OutputBias | None = None
    sized: Callable[[int], Any] | None = None

    @property
    def order(self) -> int:
        """P, the highest power of n^{-1/2} kept."""
        return self.cumulants.shape[1] - 1

    @property
    def lattice(self) -> str:
        """Why there is no density, where the output plainly lies on a lattice; else empty."""
        return "" if self.readout is None else self.readout.lattice

    def at_width(self: Kind, width: float) -> Kind:
        """The law whose series is summed at width n: this one, unless biases shrink with n.

        With ``bias_scaling="fan_in"`` it is that of the network with the constant biases it has at
        width n (:meth:`MLP.at_width`): its series begins with the variance that they make there,
        and is one more recursion for every width asked.
        """
        n = checks.width(width)
        return self if self.sized is None else self.sized(n)

    def expectation(
        self,
        fn: Callable[[np.ndarray], np.ndarray],
        width: float,
        order: int | None = None,
        kinks: tuple[float, ...] = (),
        *,
        tolerance: float | None = None,
    ) -> Expectation:
        """E fn(Z) at width n, with its error and the contribution of every order.

        Args:
            fn: maps values z (nodes,) of one projection, or points z (nodes, k) of a joint law, to
                values (nodes,).
            width: n.
            order: the last order of the series; all by default.
            kinks: values of z, or of any coordinate, at which fn is not smooth.
            tolerance: numerical error allowed, relative to E|fn|; by default 1e-10, and what is
                feasible in three dimensions and more.

        Returns:
            :class:`Expectation`: value, error, series.

        Raises:
            QuadratureError: when the tolerance is not reached, mostly for undeclared kinks.
            ValueError: for a function of the wrong shape, or a kinked one of a lattice law.

        Example:
            >>> import numpy as np, widthwise as ww
            >>> kappa = np.zeros((5, 3))
            >>> kappa[2, 0], kappa[4, 2] = 1.0, 6.0  # variance 1, fourth cumulant 6/n
            >>> law = ww.Edgeworth(kappa)
            >>> float(round(law.expectation(lambda z: z**4, width=10).value, 9))
            3.6
        """
        if kinks:
            require_no_lattice(self.readout, "expectations of functions with kinks")
        law, last = self.at_width(width), self._last(order)
        series, scale = expectations.contributions(
            self._of_points(fn), law._factor, law._expansion, law._shifts, kinks, tolerance
        )
        return expectations.summed(series, float(width), last, scale)

    def _last(self, order: int | None) -> int:
        return last_order(order, self.order)

    @cached_property
    def _shifts(self) -> Shifts:
        """The output bias as a rule for averages over it."""
        if self.bias is None:
            return Shifts(np.zeros((1, len(self._factor))), np.ones(1))
        return self.bias.shifts(self._factor)

    @abc.abstractmethod
    def _of_points(self, fn: Callable[[np.ndarray], np.ndarray]) -> Callable:
        """The function fn, of nodes (nodes, k)."""

    @cached_property
    @abc.abstractmethod
    def _factor(self) -> np.ndarray:
        """L, with LLᵀ the covariance of the Gaussian limit of the part that is expanded."""

    @cached_property
    @abc.abstractmethod
    def _expansion(self) -> Expansion:
        """The law of u = L⁻¹X."""
