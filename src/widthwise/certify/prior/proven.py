r"""Theorem 5: a width that suffices with probability 1 - δ, one hidden layer.

φ, φ', φ'' bounded by M0, M1, M2, a Gaussian readout, k outputs, m points (multiplicities counted),
readout scales σ (weight) and s (bias), K the Gram matrix of the extended inputs, λ ≤ λ_min(Θ_∞).
With

    ν = (m(σ²M0² + s²) + (k + 2) σ²M1² λ_max(K))/λ,   ε = √(2ν log(3mk/δ)/n) < 1,
    A = the (1 - δ/(3n)) quantile of χ_k,
    ϱ = |y| + √(m(σ²M0² + s²)) (√k + √(2 log(3/δ))),

with probability at least 1 - δ: Θ_0 ⪰ (1 - ε)Θ_∞ (matrix Chernoff bound for the lower tail of a sum
of positive matrices over neurons, Tropp 2012, with E|a|⁴-weighted second moment), every readout
column is at most A, and |r_0| ≤ ϱ. If Theorem 1 holds with α = √((1 - ε)λ), |r_0| = ϱ and
L(S) = σ C(A + S)/√n, gradient flow converges to zero loss with probability at least 1 - δ.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from widthwise.certify.constants.shallow import gram_powers
from widthwise.certify.constants.smoothness import smoothness
from widthwise.certify.evaluation import SAFE, Problem
from widthwise.certify.posterior.path import Path, shortest_path
from widthwise.certify.prior.value import CertifiedWidth, TestedWidth
from widthwise.limit.kernels import limit_kernels
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian

_LARGEST = 2**200


@dataclass(frozen=True, eq=False)
class Ingredients:
    """What of Theorem 5 does not depend on the width.

    Args:
        smallest: λ.
        points: m, multiplicities counted.
        outputs: k.
        labels: |y|.
        scale: σ of the readout.
        shift: s of the readout.
        bounds: M0, M1, M2.
        gram: √λ_max of K, K∘K.
        ratio: neurons per n.
    """

    smallest: float
    points: float
    outputs: int
    labels: float
    scale: float
    shift: float
    bounds: tuple[float, float, float]
    gram: tuple[float, float]
    ratio: float

    def constants(self, width: int, delta: float) -> dict[str, float]:
        """The numbers of the theorem at one width."""
        n, k, m = self._neurons(width), self.outputs, self.points
        value, slope, _ = self.bounds
        size = m * (self.scale**2 * value**2 + self.shift**2)
        nu = (size + (k + 2) * self.scale**2 * slope**2 * self.gram[0] ** 2) / self.smallest
        epsilon = math.sqrt(2 * nu * math.log(3 * m * k / delta) / n)
        residual = self.labels + math.sqrt(size) * (
            math.sqrt(k) + math.sqrt(2 * math.log(3 / delta))
        )
        readout = math.sqrt(float(stats.chi2.isf(delta / (3 * n), k)))
        return {
            "lambda": self.smallest,
            "nu": nu * SAFE,
            "epsilon": epsilon * SAFE,
            "readout": readout * SAFE,
            "residual": residual * SAFE,
        }

    def path(self, width: int, delta: float) -> Path:
        """Theorem 1 with these constants; its length is infinite where it does not hold."""
        made = self.constants(width, delta)
        if made["epsilon"] >= 1:
            return Path(np.inf, np.inf, 0.0)
        scale = self.scale / math.sqrt(self._neurons(width))
        b = self.bounds[1] * self.gram[0]

        def lipschitz(radius: float) -> float:
            a = (made["readout"] + radius) * self.bounds[2] * self.gram[1]
            return scale * (a + math.sqrt(a * a + 4 * b * b)) / 2 * SAFE

        alpha = math.sqrt((1 - made["epsilon"]) * self.smallest) / SAFE
        return shortest_path(alpha, made["residual"], lipschitz)

    def _neurons(self, width: int) -> int:
        return max(1, round(self.ratio * width))


def unavailable(net: MLP) -> str | None:
    """Why Theorem 5 does not cover a network, if it does not."""
    if net.depth != 1:
        return f"Theorem 5 is about one hidden layer, this network has {net.depth}"
    if net.parametrization != "ntk" or net.bias_scaling != "constant":
        return "Theorem 5 is about the NTK parametrization with constant bias_std"
    gaussian = isinstance(net.weight_law[1], Gaussian)
    if not gaussian or (net.has_bias(1) and not isinstance(net.bias_law[1], Gaussian)):
        return f"Theorem 5 needs a Gaussian readout, this one is {net.weight_law[1].name}"
    if not math.isfinite(smoothness(net.activation).value):
        return f"Theorem 5 needs a bounded activation, {net.activation.name!r} is not"
    return None


def ingredients(
    net: MLP,
    x: Float[np.ndarray, "points inputs"],
    y: Float[np.ndarray, "points outputs"],
    root: Float[np.ndarray, " points"],
) -> Ingredients:
    """What Theorem 5 needs of a network and its data."""
    kernels = limit_kernels(net, x)
    theta = root[:, None] * np.asarray(kernels.ntk) * root
    error = np.linalg.norm(root[:, None] * np.asarray(kernels.error) * root)
    solver = (40 * len(x) + 100) * 2.0**-53 * np.trace(theta)
    smallest = float(np.linalg.eigvalsh((theta + theta.T) / 2)[0] - error - solver)
    bounds = smoothness(net.activation)
    scales = (float(net.weight_std[0]) / x.shape[1] ** 0.5, float(net.weight_std[1]))
    shifts = (float(net.bias_std[0]), float(net.bias_std[1]))
    powers = gram_powers(Problem(net.activation, bounds, x, y, root, scales, shifts))
    return Ingredients(
        smallest,
        float(root @ root),
        net.outputs,
        float(np.linalg.norm(root[:, None] * y)),
        scales[1],
        shifts[1],
        (bounds.value, bounds.slope, bounds.curvature),
        (powers.first, powers.second),
        net.ratios[0],
    )


def proven_width(given: Ingredients, probability: float) -> CertifiedWidth:
    """The smallest width, within half a percent, at which Theorem 5 holds."""
    if given.smallest <= 0:
        return _none(probability, (), "the limit kernel is not certified positive on these points")
    delta, tested = 1 - probability, []

    def holds(width: int) -> bool:
        passed = bool(np.isfinite(given.path(width, delta).length))
        tested.append(TestedWidth(width, None, None, probability if passed else 0.0, passed))
        return passed

    high = 1
    while not holds(high):
        high *= 2
        if high > _LARGEST:
            return _none(probability, tuple(tested), f"no width up to {_LARGEST:.1e} suffices")
    low = high // 2
    while high - low > max(1, high // 200):
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    path = given.path(high, delta)
    constants = given.constants(high, delta) | {"movement": path.length, "rate": path.slack**2}
    statement = (
        f"With probability at least {probability:g} over the initialization, gradient flow of a "
        f"network of width {high:,} converges to zero loss, at rate {path.slack**2:.3g} at least, "
        f"and its parameters move by {path.length:.4g} at most (Theorem 5; λ_min(Θ_∞) ≥ "
        f"{given.smallest:.4g}, ε = {constants['epsilon']:.3g}). Proven for this width."
    )
    return CertifiedWidth(high, "proven", probability, 1.0, tuple(tested), constants, statement)


def _none(probability: float, tested: tuple, why: str) -> CertifiedWidth:
    return CertifiedWidth(
        math.inf, "proven", probability, 1.0, tested, {}, f"No width is proven: {why}."
    )
