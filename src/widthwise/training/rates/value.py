"""The table of measured rates."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise.algebra.power_law import Slope


@dataclass(frozen=True, eq=False)
class Rate:
    """One quantity against the width.

    Args:
        name: what was measured, as in "‖Θ_n(t) − Θ_∞‖".
        values: its mean over networks of the largest value over times (widths,).
        errors: standard errors (widths,).
        theory: the exponent of n that theory gives, or ``None`` where there is none.
        slope: the fitted exponent with its error, and the test of theory's if there is one;
            ``None`` where the values do not determine it.
    """

    name: str
    values: Float[np.ndarray, " widths"]
    errors: Float[np.ndarray, " widths"]
    theory: float | None
    slope: Slope | None


@dataclass(frozen=True, eq=False)
class NTKRates:
    """Measured rates of the tangent kernel and of the outputs during training.

    Args:
        widths: n (widths,).
        times: the moments over which the largest value was taken.
        members: networks of each width.
        rates: one :class:`Rate` per quantity.
        symmetric: whether the mean of O₃ vanishes.
        note: what limits the statement, or empty.
    """

    widths: Float[np.ndarray, " widths"]
    times: Float[np.ndarray, " times"]
    members: int
    rates: tuple[Rate, ...]
    symmetric: bool
    note: str = ""

    def __getitem__(self, name: str) -> Rate:
        found = {rate.name: rate for rate in self.rates}
        if name not in found:
            raise KeyError(f"{name!r}; measured are {', '.join(map(repr, found))}")
        return found[name]

    @property
    def agrees(self) -> bool:
        """Whether every exponent that theory gives was determined, and agrees with it."""
        tested = [rate.slope for rate in self.rates if rate.theory is not None]
        return all(slope is not None and slope.agrees for slope in tested)

    def __str__(self) -> str:
        names = [rate.name for rate in self.rates]
        wide = max(map(len, names))
        head = " ".join(f"n = {n:<9.0f}" for n in self.widths)
        lines = [f"{'':{wide}}  {head} exponent         theory"]
        for rate in self.rates:
            cells = " ".join(f"{v:<13.3g}" for v in rate.values)
            fit = "—"
            if rate.slope is not None:
                fit = f"{rate.slope.value:+.3f} ± {rate.slope.error:.3f}"
            theory = "—" if rate.theory is None else f"{rate.theory:+.2f}"
            lines.append(f"{rate.name:{wide}}  {cells} {fit:<16} {theory}")
        lines.append(
            f"largest of {len(self.times)} times up to {self.times[-1]:.3g}, "
            f"mean of {self.members} networks"
        )
        return "\n".join([*lines, *([self.note] if self.note else [])])
