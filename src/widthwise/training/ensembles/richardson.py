r"""Coefficients of n^{−1/2}, 1/n, … from ensembles of several widths, with standard errors.

A cumulant c(n) whose value c_∞ at infinite width is known exactly is fitted by

    c(n) − c_∞ = Σ_p c_p n^{−p/2} + O(n^{−q/2})

over a few powers p, by least squares weighted with the errors of the ensembles; q is the first
power left out. Where only integer powers of 1/n can occur
(:func:`~widthwise.training.symmetry.integer_powers`) p = 2, 4 and q = 6, otherwise p = 1, 2, 3 and
q = 4.

For activations with kinks this is the only way: O₃ and O₄ are then no functions but hold δ at the
kinks, and :func:`widthwise.training_law` refuses them. A preactivation moves by n^{−1/2} and
crosses a kink with a probability of that order, which suggests that 1/n is followed by n^{−3/2}
even for symmetric laws: p = 2, 3. That is not proven, and χ² has to decide.

χ² of the fit says whether these powers describe the widths given. If not, the smallest width is too
small for them, or the time too late.

Source: Richardson (1911); the weights, Aitken, *On least squares* (1936).
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float
from scipy.stats import chi2 as chi_squared

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.algebra.gaussian import Estimate
from widthwise.model.architecture import MLP
from widthwise.training.ensembles.value import ControlledEnsemble

_UNLIKELY = 1e-3
_DATA = ("train points", "labels", "test points")
_NAMES = ("mean", "covariance", "third", "fourth")


@dataclass(frozen=True, eq=False)
class PowerFit:
    """Coefficients of powers of n^{−1/2}, entry by entry.

    Args:
        powers: p, the powers of n^{−1/2} fitted.
        remainder: q, the first power left out.
        coefficients: c_p (powers, ...).
        errors: standard errors (powers, ...).
        chi2: χ² of every entry (...).
        degrees: widths less powers, the degrees of freedom of χ².
    """

    powers: tuple[int, ...]
    remainder: int
    coefficients: Float[np.ndarray, "powers ..."]
    errors: Float[np.ndarray, "powers ..."]
    chi2: Float[np.ndarray, "..."]
    degrees: int

    def coefficient(self, power: int) -> Estimate:
        """The coefficient of n^{−power/2} and its standard error.

        Raises:
            ValueError: for a power that was not fitted.
        """
        if power not in self.powers:
            raise ValueError(f"power must be one of {self.powers}, got {power!r}")
        place = self.powers.index(power)
        return Estimate(self.coefficients[place], self.errors[place])

    @property
    def probability(self) -> float:
        """How probable a χ² like the worst of all entries is (Bonferroni); nan if not testable."""
        if not self.degrees:
            return float("nan")
        worst = float(chi_squared.sf(self.chi2, self.degrees).min())
        return min(1.0, worst * self.chi2.size)

    @property
    def fits(self) -> bool:
        """Whether the widths are consistent with the powers; ``False`` if that is not testable."""
        return bool(self.probability >= _UNLIKELY)

    @property
    def reason(self) -> str:
        """Why the coefficients are not to be trusted; empty where they fit."""
        terms = ", ".join(f"n^({-p / 2:g})" for p in self.powers)
        if not self.degrees:
            return (
                f"as many powers as widths ({len(self.powers)}): nothing is left to test whether "
                f"{terms} describe them; add a width"
            )
        if self.fits:
            return ""
        return (
            f"the powers {terms} do not describe these widths: chi2 up to {self.chi2.max():.3g} "
            f"for {self.degrees} degrees of freedom, probability {self.probability:.1g}; leave out "
            "the smallest width, fit one more power, or take earlier times"
        )


def fit_powers(
    widths: ArrayLike,
    excess: ArrayLike,
    errors: ArrayLike,
    powers: Sequence[int],
    remainder: int | None = None,
) -> PowerFit:
    """Weighted least squares of c(n) − c_∞ on powers of n^{−1/2}.

    Args:
        widths: n, at least as many as powers.
        excess: c(n) − c_∞ (widths, ...).
        errors: their standard errors, independent between widths (widths, ...); above 0.
        powers: p, increasing.
        remainder: q, the first power left out; by default the last one fitted plus 1.

    Returns:
        :class:`PowerFit`.

    Raises:
        ValueError: for shapes that do not match, errors that are not above 0, powers that are not
            increasing positive integers, or fewer widths than powers.

    Example:
        >>> import numpy as np
        >>> from widthwise.training.ensembles import fit_powers
        >>> n = np.array([64, 128, 256])
        >>> fit_powers(n, 2 / n + 5 / n**2, 1e-6 + 0 * n, (2, 4)).coefficients.round(6)
        array([2., 5.])
    """
    n = np.array([checks.width(float(w), "widths") for w in np.ravel(widths)], dtype=float)
    fitted = tuple(checks.positive_integer(p, "powers") for p in powers)
    values, sigma = checks.numbers(excess, "excess"), checks.numbers(errors, "errors")
    if values.shape != sigma.shape or len(values) != len(n):
        raise ValueError(
            f"excess and errors must have shape ({len(n)}, ...), one entry per width, got "
            f"{values.shape} and {sigma.shape}"
        )
    if not (sigma > 0).all():
        raise ValueError(f"errors must be above 0, got {sigma.min()}")
    if not fitted or list(fitted) != sorted(set(fitted)):
        raise ValueError(f"powers must be increasing, such as (1, 2, 3), got {powers!r}")
    if len(set(n)) < len(fitted):
        raise ValueError(
            f"{len(fitted)} powers need at least {len(fitted)} different widths, got {n.tolist()}"
        )
    scale = n.min()  # columns of order 1
    design = (n[:, None] / scale) ** (-0.5 * np.array(fitted))
    flat, weight = values.reshape(len(n), -1), 1 / sigma.reshape(len(n), -1)
    weighted = design[:, :, None] * weight[:, None]
    inverse = np.linalg.pinv(np.moveaxis(weighted, 2, 0))
    found = np.einsum("epw,we->pe", inverse, flat * weight)
    residual = np.einsum("wpe,pe->we", weighted, found) - flat * weight
    back = scale ** (0.5 * np.array(fitted))[:, None]
    shape = (len(fitted), *values.shape[1:])
    return PowerFit(
        fitted,
        fitted[-1] + 1 if remainder is None else checks.positive_integer(remainder, "remainder"),
        (back * found).reshape(shape),
        (back * np.sqrt((inverse**2).sum(2)).T).reshape(shape),
        (residual**2).sum(0).reshape(values.shape[1:]),
        len(n) - len(fitted),
    )


@dataclass(frozen=True, eq=False)
class Extrapolation:
    """The series in n^{−1/2} of cumulants of trained networks, measured.

    Args:
        widths: n.
        mean: of E f_t (times, points, outputs).
        covariance: of Cov f_t, with the shape of :attr:`ControlledEnsemble.covariance`.
        third: of κ₃ of single outputs (times, points, outputs).
        fourth: of κ₄ of single outputs, likewise.
    """

    widths: tuple[int, ...]
    mean: PowerFit
    covariance: PowerFit
    third: PowerFit
    fourth: PowerFit

    @property
    def fits(self) -> bool:
        """Whether all four are consistent with their powers."""
        return all(getattr(self, name).fits for name in _NAMES)

    @property
    def reason(self) -> str:
        """Which of them are not to be trusted, and why; empty if all fit."""
        each = [(name, getattr(self, name).reason) for name in _NAMES]
        return "; ".join(f"{name}: {reason}" for name, reason in each if reason)


def richardson(
    ensembles: Mapping[int, ControlledEnsemble] | Sequence[ControlledEnsemble],
    *,
    powers: Sequence[int] | None = None,
) -> Extrapolation:
    """Extrapolate ensembles of several widths to the coefficients of n^{−1/2}, 1/n, ….

    c(n) − c_∞ = Σ_p c_p n^{−p/2} by weighted least squares, for mean, covariance, third and fourth
    cumulants; the value c_∞ at infinite width is exact. See the module's text.

    Args:
        ensembles: of one network on one task, independent, as
            :func:`controlled_ensembles` makes them.
        powers: p, the powers of n^{−1/2} fitted; by default those that can occur: 2, 4 for laws and
            activations that bring only integer powers of 1/n, 2, 3 for these with kinks, and
            1, 2, 3 else.

    Returns:
        :class:`Extrapolation`.

    Raises:
        ValueError: for ensembles of different networks, data or times, or fewer widths than
            powers.

    Warns:
        RuntimeWarning: where χ² says that the powers do not describe the widths.

    Source: Richardson (1911).

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> from widthwise.training.ensembles import controlled_ensembles, richardson
        >>> net, data = ww.MLP(1, "tanh"), ([[1.0]], [0.5], None, [1.0])
        >>> runs = controlled_ensembles(net, [16, 32, 64], *data, 200, jax.random.key(0))
        >>> richardson(runs).mean.powers
        (2, 4)
    """
    each = [*ensembles.values()] if isinstance(ensembles, Mapping) else [*ensembles]
    if not each or not all(isinstance(e, ControlledEnsemble) for e in each):
        raise ValueError(
            "ensembles must be those of controlled_ensembles, at least one, got "
            f"{[type(e).__name__ for e in each]}"
        )
    first = each[0]
    if any(not np.array_equal(e.times, first.times) for e in each):
        raise ValueError(
            f"ensembles must share their times, got {[e.times.tolist() for e in each]}"
        )
    for e in each:
        if e.net != first.net:
            raise ValueError(
                f"ensembles must be of one network, got {_differences(first.net, e.net)}; "
                "extrapolate those of each network by themselves"
            )
        for name, ours, theirs in zip(_DATA, first.data, e.data, strict=True):
            if not np.array_equal(ours, theirs):
                raise ValueError(
                    f"ensembles must share their {name}, got {np.asarray(ours).tolist()} and "
                    f"{np.asarray(theirs).tolist()}; extrapolate those of each task by themselves"
                )
    chosen, remainder = _default(first) if powers is None else (tuple(powers), None)
    widths = tuple(e.width for e in each)
    fits = {}
    for name in _NAMES:
        parts = [getattr(e, name) for e in each]
        excess = np.stack([part.value - part.limit for part in parts])
        errors = [
            np.hypot(p.error, max(e.bias, _ROUNDING)) for p, e in zip(parts, each, strict=True)
        ]
        fits[name] = fit_powers(widths, excess, np.stack(errors), chosen, remainder)
    found = Extrapolation(widths, **fits)
    failed = [n for n in _NAMES if fits[n].degrees and not fits[n].fits]
    if failed:
        reasons = "; ".join(f"{name}: {fits[name].reason}" for name in failed)
        warnings.warn(f"extrapolation in the width: {reasons}", RuntimeWarning, stacklevel=2)
    return found


def _differences(ours: MLP, theirs: MLP) -> str:
    """The arguments in which two networks differ, in words."""
    pairs = ((f.name, getattr(ours, f.name), getattr(theirs, f.name)) for f in fields(ours))
    return "; ".join(
        f"{name} {getattr(a, 'name', a)} and {getattr(b, 'name', b)}"
        for name, a, b in pairs
        if a != b
    )


_ROUNDING = 1e-10


def _default(ensemble: ControlledEnsemble) -> tuple[tuple[int, ...], int]:
    if not ensemble.integer_powers:
        return (1, 2, 3), 4
    return ((2, 3), 4) if ensemble.net.activation.kinks else ((2, 4), 6)
