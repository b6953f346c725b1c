"""Estimators from samples of networks: moments, cumulants, and laws, each with a standard error.

The conditional estimators use that, given the hidden layers, the outputs of a network are sums of
independent terms with known cumulants Y_r = σ_w^r κ_r(W) n^{1−r/2} M_r (+ σ_b² for r = 2), M_r the
empirical r-th moment of the last hidden layer at a point. By the law of total cumulance

    κ₄(f) = E Y₄ + 3 Var Y₂ (+ σ_b⁴ κ₄(b)),

whose noise is proportional to the signal, O(1/n), at every depth and for every law; the fourth
k-statistic of the outputs themselves has noise O(1).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from widthwise.algebra.gaussian import Estimate
from widthwise.finite.estimators.power_sums import PowerSums
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian

_BATCHES = 20
_RESAMPLES = 200


class ConditionalMoments(NamedTuple):
    """Of every sampled network at one point: M₂ and M₄ of its last hidden layer, and its output."""

    second: Float[np.ndarray, " members"]
    fourth: Float[np.ndarray, " members"]
    outputs: Float[np.ndarray, " members"]


def mean(samples: Float[np.ndarray, "members *rest"]) -> Estimate:
    """The mean over members and its standard error."""
    samples = np.asarray(samples)
    return Estimate(samples.mean(0), samples.std(0, ddof=1) / np.sqrt(len(samples)))


def root_mean_square(samples: Float[np.ndarray, "members *rest"]) -> Estimate:
    """The root mean square over members and its standard error."""
    square = mean(np.asarray(samples) ** 2)
    root = np.sqrt(square.value)
    return Estimate(root, square.error / np.maximum(2 * root, 1e-300))


def variance(samples: Float[np.ndarray, " members"]) -> Estimate:
    """The unbiased variance and its standard error √((μ₄ − σ⁴)/N)."""
    samples = np.asarray(samples)
    centred = samples - samples.mean()
    value = samples.var(ddof=1)
    spread = max(float((centred**4).mean() - value**2), 0.0)
    return Estimate(np.asarray(value), np.asarray(np.sqrt(spread / len(samples))))


def fourth_k_statistic(samples: Float[np.ndarray, " members"]) -> Estimate:
    """The unbiased fourth cumulant k₄, with a jackknife standard error."""
    if len(samples) < 4 * _BATCHES:
        raise ValueError(
            f"k₄ needs at least {4 * _BATCHES} samples for its error, got {len(samples)}"
        )
    x = np.asarray(samples, dtype=float)[:, None]
    return PowerSums.empty(pivot=x.mean(0)).update(x).cumulant((0, 0, 0, 0))


def fourth_cumulant(net: MLP, width: int, moments: ConditionalMoments) -> Estimate:
    """κ₄ of one output at one point, by the conditional cumulants of the last layer."""
    scale, bias = float(net.weight_std[-1]), float(net.bias_std[-1])
    readout, n = net.weight_law[-1], net.widths(width)[-1]
    spread = variance(scale**2 * moments.second)
    direct = mean(scale**4 * readout.cumulant(4) / n * moments.fourth)
    constant = bias**4 * net.bias_law[-1].cumulant(4) if bias else 0.0
    return Estimate(
        3 * spread.value + direct.value + constant, np.hypot(3 * spread.error, direct.error)
    )


def has_conditional_law(net: MLP) -> bool:
    """Whether the outputs are Gaussian given the hidden layers."""
    last = net.depth
    return isinstance(net.weight_law[last], Gaussian) and (
        isinstance(net.bias_law[last], Gaussian) or not net.has_bias(last)
    )


class Curve(NamedTuple):
    """A function on a grid, estimated from all networks and from each of equal batches of them."""

    whole: Float[np.ndarray, " grid"]
    parts: Float[np.ndarray, "batches grid"]

    @property
    def error(self) -> Float[np.ndarray, " grid"]:
        """Pointwise standard error."""
        return self.parts.std(0, ddof=1) / np.sqrt(len(self.parts))


def distribution(
    net: MLP,
    moments: ConditionalMoments,
    z: Float[np.ndarray, " grid"],
    variance: float | None = None,
) -> Curve:
    """P(f ≤ z) on a grid.

    Given the hidden layers a Gaussian readout makes f Gaussian with variance s², and the
    conditional probabilities Φ(z/s) are averaged; if E s² is known to be ``variance`` =: v, the
    control variate ½ u φ(u) (s²/v − 1), u = z/√v, of mean 0, is added and leaves noise of order
    1/n. For other readout laws the outputs are counted.
    """
    if not has_conditional_law(net):
        return _batched(
            moments.outputs,
            lambda f: np.searchsorted(np.sort(f), z, side="right") / len(f),
        )

    def conditional(square: np.ndarray) -> np.ndarray:
        cdf = norm.cdf(z / np.sqrt(square)[:, None]).mean(0)
        if variance is None:
            return cdf
        u = z / np.sqrt(variance)
        return cdf + u * norm.pdf(u) / 2 * (square.mean() / variance - 1)

    return _batched(_conditional_variance(net, moments), conditional)


def density(
    net: MLP,
    moments: ConditionalMoments,
    z: Float[np.ndarray, " grid"],
    variance: float | None = None,
) -> Curve | None:
    """The density of f on a grid, as :func:`distribution`; ``None`` without a conditional law."""
    if not has_conditional_law(net):
        return None

    def conditional(square: np.ndarray) -> np.ndarray:
        s = np.sqrt(square)[:, None]
        pdf = (norm.pdf(z / s) / s).mean(0)
        if variance is None:
            return pdf
        u = z / np.sqrt(variance)
        slope = (1 - u**2) * norm.pdf(u) / (2 * np.sqrt(variance))
        return pdf + slope * (square.mean() / variance - 1)

    return _batched(_conditional_variance(net, moments), conditional)


def _conditional_variance(net: MLP, moments: ConditionalMoments) -> np.ndarray:
    return float(net.bias_std[-1]) ** 2 + float(net.weight_std[-1]) ** 2 * moments.second


def _batched(samples: np.ndarray, estimate: Callable[[np.ndarray], np.ndarray]) -> Curve:
    batches = np.array_split(samples, min(_BATCHES, max(2, len(samples) // 2)))
    parts = np.array([estimate(batch) for batch in batches])
    return Curve(np.average(parts, axis=0, weights=[len(batch) for batch in batches]), parts)


def wasserstein(
    law: Curve, cdf: Float[np.ndarray, " grid"], z: Float[np.ndarray, " grid"]
) -> Estimate:
    """The Wasserstein-1 distance ∫ abs(P(f ≤ z) − cdf(z)) dz, with a batch-bootstrap error.

    The distance of a noisy curve is biased upwards; twice the estimate minus the bootstrap mean
    removes most of that, and the standard error is the bootstrap's.

    Args:
        law: P(f ≤ z) from :func:`distribution`.
        cdf: the distribution function to compare with.
        z: the grid of both.
    """
    plain = np.trapezoid(np.abs(law.whole - cdf), z)
    rng = np.random.default_rng(0)
    chosen = rng.integers(len(law.parts), size=(_RESAMPLES, len(law.parts)))
    again = np.trapezoid(np.abs(law.parts[chosen].mean(1) - cdf), z, axis=1)
    return Estimate(np.asarray(max(2 * plain - again.mean(), 0.0)), np.asarray(again.std(ddof=1)))
