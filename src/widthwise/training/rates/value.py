"""The table of measured rates."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise.algebra.power_law import Slope

_ROUNDING = 1e-12  # of a number: a smaller error is not shown


@dataclass(frozen=True, eq=False)
class Constant:
    """A predicted root mean square over networks, c(t) n^power to leading order.

    Args:
        power: of n.
        curve: c at every time (times,).
        errors: estimated errors of ``curve``, standard errors where neurons are sampled (times,).
    """

    power: float
    curve: Float[np.ndarray, " times"]
    errors: Float[np.ndarray, " times"]

    @property
    def value(self) -> float:
        """The largest c over times."""
        return float(self.curve.max())

    @property
    def error(self) -> float:
        """Its estimated error."""
        return float(self.errors[self.curve.argmax()])


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
        rms: root mean square over networks at every time (widths, times).
        rms_errors: standard errors of ``rms``.
        constant: what ``rms`` times a power of n tends to; in words, why there is none.
    """

    name: str
    values: Float[np.ndarray, " widths"]
    errors: Float[np.ndarray, " widths"]
    theory: float | None
    slope: Slope | None
    rms: Float[np.ndarray, "widths times"]
    rms_errors: Float[np.ndarray, "widths times"]
    constant: Constant | str

    @property
    def largest_rms(self) -> Float[np.ndarray, " widths"]:
        """The largest root mean square over times, which the constant predicts."""
        return self.rms.max(1)

    def deviations(self, widths: Float[np.ndarray, " widths"]) -> Float[np.ndarray, "widths times"]:
        """Measured minus predicted root mean square in standard errors of both; next order apart.

        Raises:
            ValueError: if no constant is predicted.
        """
        if isinstance(self.constant, str):
            raise ValueError(f"no constant is predicted for {self.name}: {self.constant}")
        scale = widths[:, None] ** self.constant.power
        error = np.hypot(self.rms_errors, scale * self.constant.errors)
        difference = self.rms - scale * self.constant.curve
        return difference / np.maximum(error, 1e-12 * np.abs(self.rms).max() + 1e-300)


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
        lines += ["", *self._constants(wide)]
        return "\n".join([*lines, *([self.note] if self.note else [])])

    def _constants(self, wide: int) -> list[str]:
        """The largest root mean square times its power of n, measured and predicted."""
        head = " ".join(f"n = {n:<9.0f}" for n in self.widths)
        lines = [f"{'constants':{wide}}  {head} predicted"]
        reasons: dict[str, list[str]] = {}
        for rate in self.rates:
            if isinstance(rate.constant, str):
                reasons.setdefault(rate.constant, []).append(rate.name)
                continue
            scaled = rate.largest_rms * self.widths**-rate.constant.power
            cells = " ".join(f"{v:<13.3g}" for v in scaled)
            power = "n^(1/2)" if rate.constant.power == -0.5 else "n"
            said, error = f"{rate.constant.value:.3g}", rate.constant.error
            if error > _ROUNDING * rate.constant.value:
                said += f" ± {error:.1g}"
            lines.append(f"{rate.name:{wide}}  {cells} {said}, × {power}")
        if len(lines) > 1:
            lines.append(
                "largest over times of the root mean square over networks, times the power of n: "
                "what theory predicts for n → ∞"
            )
        else:
            lines = []
        return lines + [
            f"no constant for {' and '.join(names)}: {why}" for why, names in reasons.items()
        ]
