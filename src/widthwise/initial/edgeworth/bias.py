r"""An output bias whose law is not Gaussian: independent of the rest, and added exactly.

With X the outputs without it, b_c independent with one law, one for every output component c,

    Z = X + B,    B = Σ_c β_c b_c,    p_Z(z) = E p_X(z − B),    E f(Z) = E f(X + B).

X has a Gaussian limit and an Edgeworth series, B has neither: averages over it are taken by the
quadrature rule of its law, as fine as the Gaussian density of X asks for.
"""

from dataclasses import dataclass
from math import comb
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from widthwise.algebra.gaussian import QuadratureError
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian, Law

_COUNTS = (8, 16, 32, 64, 128, 256, 512)
_TOLERANCE = 1e-12
_MOST_SHIFTS = 20_000
_REACH = 9.0


class Shifts(NamedTuple):
    """Values of B and their shares."""

    values: Float[np.ndarray, "shifts k"]
    shares: Float[np.ndarray, " shifts"]


@dataclass(frozen=True, eq=False)
class OutputBias:
    """B = Σ_c β_c b_c.

    Args:
        law: of every b_c.
        coefficients: β_c, a vector over the coordinates of the law for every component.
    """

    law: Law
    coefficients: Float[np.ndarray, "components k"]

    def projected(self, matrix: Float[np.ndarray, "rows k"]) -> "OutputBias":
        """The bias of matrix · Z."""
        return OutputBias(self.law, self.coefficients @ matrix.T)

    def cumulant(self, coordinates: tuple[int, ...]) -> float:
        """The joint cumulant of coordinates of B."""
        together = self.coefficients[:, list(coordinates)].prod(1).sum()
        return float(together) * self.law.cumulant(len(coordinates)) if together else 0.0

    def moments(self, count: int) -> Float[np.ndarray, " count"]:
        """E B^r, r = 0 … count − 1, on the line."""
        found = [1.0]
        kappa = [0.0] + [self.cumulant((0,) * r) for r in range(1, count)]
        for r in range(1, count):
            found.append(sum(comb(r - 1, j - 1) * kappa[j] * found[r - j] for j in range(1, r + 1)))
        return np.array(found)

    def sample(self, key: PRNGKeyArray, count: int) -> Float[np.ndarray, "count k"]:
        """Draws of B."""
        b = self.law.sample(key, (count, len(self.coefficients)))
        return np.asarray(b, dtype=float) @ self.coefficients

    def shifts(self, factor: Float[np.ndarray, "k k"]) -> Shifts:
        """A rule for averages over B of functions as smooth as the density of N(0, LLᵀ).

        Args:
            factor: L.

        Raises:
            QuadratureError: where the rules known do not reach 1e-12.
        """
        values, shares = np.zeros((1, self.coefficients.shape[1])), np.ones(1)
        for beta in self.coefficients:
            size = float(np.linalg.norm(np.linalg.solve(factor, beta)))
            b, w = self._rule(size)
            values = (values[:, None] + b[:, None] * beta).reshape(-1, len(beta))
            shares = np.outer(shares, w).ravel()
            if len(shares) > _MOST_SHIFTS:
                raise QuadratureError(
                    f"averaging over the output biases of {len(self.coefficients)} components at "
                    f"once takes more than {_MOST_SHIFTS} nodes; ask for fewer components, or for "
                    "projections of them"
                )
        return Shifts(values, shares)

    def _rule(self, size: float) -> tuple[np.ndarray, np.ndarray]:
        """Nodes and weights of b that average N(0, 1), moved by size · b, to 1e-12."""
        low, high = (np.clip(edge, -_REACH, _REACH) for edge in self.law.support)
        y = np.linspace(size * low - _REACH, size * high + _REACH, 201)
        before, gap = None, np.inf
        for count in _COUNTS:
            b, w = self.law.quadrature(count)
            now = np.exp(-np.square(y[:, None] - size * b) / 2) @ w
            gap = np.inf if before is None else np.abs(now - before).max()
            if gap < _TOLERANCE or self.law.discrete:
                return b, w
            before = now
        raise QuadratureError(
            f"the output bias has the law {self.law.name} and {size:.3g} times the standard "
            "deviation of the rest of the output: averages over it are known to "
            f"{gap:.0e} only; use a bias law of bounded support, or a smaller bias_std"
        )


def output_bias(
    net: MLP, components: tuple[int, ...], matrix: Float[np.ndarray, "k variables"]
) -> OutputBias | None:
    """The output bias of matrix · outputs where its law is not Gaussian, else ``None``.

    Args:
        net: with biases of constant scale.
        components: output component of every variable.
        matrix: the law is that of matrix · variables.
    """
    last = net.depth
    if not net.has_bias(last) or isinstance(net.bias_law[last], Gaussian):
        return None
    of = np.unique(components)[:, None] == np.array(components)
    coefficients = float(net.bias_std[last]) * (of @ matrix.T)
    coefficients = coefficients[coefficients.any(1)]
    return OutputBias(net.bias_law[last], coefficients) if len(coefficients) else None
