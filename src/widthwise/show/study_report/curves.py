"""What is drawn of a quantity: for every combination of the study's axes one curve."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from widthwise.algebra.power_law import Slope, fit_slope

if TYPE_CHECKING:
    import xarray as xr

MOST = 16
"""Curves in one figure."""


@dataclass(frozen=True)
class Drawn:
    """One variable of a quantity, and how it is shown.

    Args:
        variable: its name in the data set; ``<variable>_error`` is its standard error, if there.
        title: what it is, in words.
        along: the axis of the figure, best one first.
        at: inner axis → place: all others at 0 ("last": at their end, that of "point" being the
            last test point).
        logarithmic: whether its size is what matters.
        theory: (quantity, variable) that predicts it, or ``None``.
    """

    variable: str
    title: str
    along: tuple[str, ...] = ("width", "time")
    at: Mapping[str, Any] = field(default_factory=dict)
    logarithmic: bool = True
    theory: tuple[str, str] | None = None


_LAST = {"time": "last"}
DRAWN: dict[str, tuple[Drawn, ...]] = {
    "limit_kernels": (Drawn("eigenvalue", "eigenvalues of Θ on the train points", ("mode",)),),
    "initial_series": (
        Drawn("value", "cumulant κ of an output at initialization, by the series",
              ("width", "cumulant"), {"cumulant": 4}),
    ),
    "edgeworth": (
        Drawn("density", "density of u = z/σ at initialization", ("u",), logarithmic=False),
    ),
    "ntk_statistics": (Drawn("variance", "variance of Θ(x, x), by the series", ("width",)),),
    "training_law": (
        Drawn("mean", "mean of an output", ("time",), {"point": "last"}, logarithmic=False),
    ),
    "predicted_distances": (
        Drawn("wasserstein1", "predicted Wasserstein-1 distance from the Gaussian process",
              ("width", "time"), _LAST),
    ),
    "initial_ensemble": (
        Drawn("fourth_cumulant", "fourth cumulant κ₄ of an output at initialization", ("width",),
              theory=("initial_series", "value")),
    ),
    "ntk_ensemble": (
        Drawn("largest_deviation", "RMS of the largest ‖Θ_t − Θ_∞‖/‖Θ_∞‖ over times", ("width",)),
        Drawn("largest_drift", "RMS of the largest ‖Θ_t − Θ_0‖/‖Θ_∞‖ over times", ("width",)),
    ),
    "ensemble": (
        Drawn("deviation", "RMS deviation of an output from the linear flow", ("width", "time"),
              {"time": "last", "point": "last"}),
    ),
    "predictions": (
        Drawn("prediction_error", "RMS error of the prediction of single networks, order 2",
              ("width", "time"), {"time": "last", "prediction_order": -1}),
    ),
    "distances": (
        Drawn("wasserstein1", "Wasserstein-1 distance of an output from the Gaussian process",
              ("time", "width"), theory=("predicted_distances", "wasserstein1")),
        Drawn("wasserstein1", "the same distance at the last time", ("width",), _LAST,
              theory=("predicted_distances", "wasserstein1")),
    ),
    "certificates": (
        Drawn("converged_probability", "share of networks whose training converged", ("width",),
              logarithmic=False),
        Drawn("certified_probability", "share of networks with a certificate", ("width",),
              logarithmic=False),
    ),
}  # fmt: skip
"""Quantity → what is drawn of it."""


@dataclass(frozen=True, eq=False)
class Curve:
    """One curve: its name, places, values, errors and theory (nan where there is none)."""

    name: str
    x: np.ndarray
    y: Float[np.ndarray, " places"]
    error: Float[np.ndarray, " places"]
    theory: Float[np.ndarray, " places"]

    @property
    def slope(self) -> Slope | None:
        """The fitted power of x of |y|, where errors are known."""
        if not np.issubdtype(self.x.dtype, np.number) or not (self.error > 0).any():
            return None
        sign = np.sign(self.y[np.nanargmax(np.abs(self.y))]) if np.isfinite(self.y).any() else 1.0
        good = np.isfinite(self.y) & np.isfinite(self.error) & (self.x > 0)
        if good.sum() < 2:
            return None
        x, y, error = self.x[good].astype(float), sign * self.y[good], self.error[good]
        return fit_slope(x, y, error, float("nan"))


def curves(
    results: "xr.DataTree", quantity: str, drawn: Drawn, axes: tuple[str, ...]
) -> tuple[str, list[Curve], int] | None:
    """The axis, the curves (at most so many) and how many there are in all; ``None`` if nothing.

    Args:
        results: of a study.
        quantity: its name.
        drawn: which variable.
        axes: dimensions of the study.
    """
    found = results[quantity].to_dataset()
    if drawn.variable not in found:
        return None
    values = found[drawn.variable]
    along = next((name for name in drawn.along if name in values.dims), None)
    if along is None or values.sizes[along] < 2:
        along = next((name for name in drawn.along if name in values.dims), None)
        if along is None:
            return None
    value = _reduced(values, drawn, along, axes)
    error = f"{drawn.variable}_error"
    errors = _reduced(found[error], drawn, along, axes) if error in found else value * np.nan
    theory = _theory(results, drawn, along, axes, value)
    others = [d for d in value.dims if d != along]
    made = []
    combinations = list(itertools.product(*(range(value.sizes[d]) for d in others)))
    for places in combinations:
        at = dict(zip(others, places, strict=True))
        y = np.asarray(value.isel(at), float)
        if np.isfinite(y).any():
            name = ", ".join(_said(value, d, i) for d, i in at.items()) or "this study"
            sigma = np.asarray(errors.isel(at), float)
            predicted = np.asarray(theory.isel(at), float)
            made.append(Curve(name, np.asarray(value[along]), y, sigma, predicted))
    return (along, made[:MOST], len(made)) if made else None


def _reduced(values: "xr.DataArray", drawn: Drawn, along: str, axes: tuple[str, ...]):
    """Inner axes at one place, so that the figure's axis and the study's axes are left."""
    for dim in tuple(values.dims):
        if dim == along or dim in axes:
            continue
        place = drawn.at.get(str(dim), 0)
        if dim == "point" and place == "last":
            values = values.isel({dim: _last_point(values)})
        elif dim == "cumulant" and place in values[dim].values:
            values = values.sel({dim: place})
        else:
            values = values.isel({dim: -1 if place == "last" else place})
    others = [d for d in values.dims if d != along]
    return values.transpose(*others, along)


def _last_point(values: "xr.DataArray") -> int:
    """The place of the last test point, or of the last one that as many grid points have."""
    known = np.isfinite(values.transpose("point", ...).values)
    known = known.reshape(len(known), -1).sum(1)
    test = [i for i, name in enumerate(values["point"].values) if str(name).startswith("test")]
    most = max((known[i] for i in test), default=0)
    return next((i for i in reversed(test) if known[i] == most), -1)


def _theory(results, drawn: Drawn, along: str, axes: tuple[str, ...], like):
    """The prediction on the same axes, or nan."""
    blank = like * np.nan
    if drawn.theory is None or drawn.theory[0] not in results.children:
        return blank
    found = results[drawn.theory[0]].to_dataset()
    if drawn.theory[1] not in found:
        return blank
    at = {"cumulant": 4, **drawn.at}
    wanted = Drawn(drawn.theory[1], "", drawn.along, at)
    values = found[drawn.theory[1]]
    if along not in values.dims:
        return blank
    known = _reduced(values, wanted, along, axes)
    if set(known.dims) - set(like.dims):
        return blank
    return known.broadcast_like(like).transpose(*like.dims)


def _said(values: "xr.DataArray", dim: Any, place: int) -> str:
    named = values[dim].values[place] if dim in values.coords else place
    return f"{dim} {named:g}" if isinstance(named, int | float | np.number) else f"{named}"
