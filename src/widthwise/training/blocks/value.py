"""Blocks: what the law of training needs to know about networks at initialization.

With ε = n^{−1/2}, F = f₀ on all rows, D = Θ_n(0) − Θ, T = O₃(0) and U = O₄(0) (the derivatives of
the tangent kernel along training, newest index last), every joint cumulant at initialization is a
series in ε, and through ε² only ten of them occur:

    cum(F, F) = K + ε FF₁ + ε² FF₂,     E D = ε D₁ + ε² D₂,     E T = ε T₁ + ε² T₂,
    cum(F, F, F) = ε FFF₁ + …,   cum(D, F) = ε DF₁ + …,   and at ε² FFFF, DFF, DD, TF and E U.

For one hidden layer of independent neurons FF and D have no correction and each of the others is
a cumulant of one neuron. Where the mean of O₃ vanishes, of the odd orders only FF₁ and D₁ can
occur, if weights between hidden layers are skewed. Labels, times and widths do not enter: one value
serves them all.

Gradient descent needs five more, of the derivatives S, W, R and Q along steps that are held fixed
(:mod:`widthwise.training.terms`): E S = ε S₁ + …, and at ε² SF, E W, E R and E Q.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

Name: TypeAlias = tuple[str, int]
AXES = {"F": 1, "D": 2, "T": 3, "U": 4, "S": 3, "W": 4, "R": 4, "Q": 4}
"""How many axes each letter of a name stands for."""
NAMES = ("FF", "D", "FFF", "DF", "T", "FFFF", "DFF", "DD", "TF", "U")
DESCENT_NAMES = ("S", "SF", "W", "R", "Q")
LETTERS = "DTSUWRQF"
"""The order of the letters in a name."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """Coefficients of the joint cumulants of F, D, T and U at initialization.

    Rows are points × outputs flattened point by point, train rows first.

    Args:
        nngp: K (rows, rows), the covariance of F at infinite width.
        ntk: Θ (rows, rows).
        values: (name, order) → coefficient of ε^order, order 1 or 2. The name lists the variables
            in the order of :data:`NAMES`, and the axes follow its letters: one for F, two for D,
            three for T and S, four for U, W, R and Q. What is absent vanishes.
        errors: (name, order) → estimated absolute error of the entries, an array or one number.
        engine: in words, how the numbers were obtained.
        outputs: components of the network's output.
        train: where given, the axes of D, T, U, … after the first run over this many train rows;
            otherwise over all rows.
        kernel_error: estimated absolute error of the entries of K and Θ.
        replicates: independent estimates of the same blocks whose average this is, or one coarser
            computation of them: errors of what is computed from the blocks come from these.
        ratio: the narrowest hidden layer has ratio · n neurons.
    """

    nngp: Float[np.ndarray, "rows rows"]
    ntk: Float[np.ndarray, "rows rows"]
    values: Mapping[Name, Float[np.ndarray, "..."]]
    errors: Mapping[Name, Float[np.ndarray, "..."] | float] = field(default_factory=dict)
    engine: str = ""
    outputs: int = 1
    train: int | None = None
    kernel_error: float = 0.0
    replicates: tuple["Blocks", ...] = ()
    ratio: float = 1.0

    def __post_init__(self) -> None:
        for name, order in self.values:
            if name not in (*NAMES, *DESCENT_NAMES) or order not in (1, 2):
                raise ValueError(
                    f"a block is named by one of {', '.join((*NAMES, *DESCENT_NAMES))} and an "
                    "order of 1 or 2, got "
                    f"{(name, order)!r}"
                )
            expected = self._shape(name)
            if self.values[name, order].shape != expected:
                raise ValueError(
                    f"block {name} must have shape {expected}, got {self.values[name, order].shape}"
                )
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))
        object.__setattr__(self, "errors", MappingProxyType(dict(self.errors)))

    def _shape(self, name: str) -> tuple[int, ...]:
        rows = len(self.nngp)
        columns = rows if self.train is None else self.train
        return tuple(n for letter in name for n in (rows, *(columns,) * (AXES[letter] - 1)))

    @property
    def symmetric(self) -> bool:
        """Whether E O₃ vanishes at order ε, so that the products of T do not occur.

        It does for symmetric readout laws, and for odd activations of symmetric preactivations. A
        skewed law of hidden layers may still bring ("FF", 1) and ("D", 1).
        """
        return ("T", 1) not in self.values

    def get(self, name: str, order: int) -> Float[np.ndarray, "..."] | None:
        """The coefficient of ε^order, ``None`` where it vanishes; ("FF", 0) is K."""
        return self.nngp if (name, order) == ("FF", 0) else self.values.get((name, order))
