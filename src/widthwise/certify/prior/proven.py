r"""Theorem 5: a width that suffices with probability 1 - δ, one hidden layer.

φ' and φ'' bounded by M1, M2, a Gaussian readout, k outputs, m points (multiplicities counted),
readout scales σ (weight) and s (bias), K the Gram matrix of the extended inputs, κ = λ_max(K),
λ ≤ λ_min(Θ_∞). Let T bound the features of the points, stacked, |φ(z_k)| ≤ T, up to what is lost,
Θ_∞ - τ below, F bound the root mean square over neurons of |φ(z_k)|. With

    ν = (σ²T² + m s² + (k + 2) σ²M1²κ)/(λ - τ),   ε = √(2ν log(Emk/δ)/n) < 1,
    A = the (1 - δ/(En)) quantile of χ_k,
    ϱ = |y| + √(σ²F² + m s²) (√k + √(2 log(E/δ))),

with probability at least 1 - δ: Θ_0 ⪰ (1 - ε)(λ - τ) (matrix Chernoff bound for the lower tail of
a sum of positive matrices over neurons, Tropp 2012, with E|a|⁴-weighted second moment), every
readout column is at most A, and |r_0| ≤ ϱ. If Theorem 1 holds with α = √((1 - ε)(λ - τ)),
|r_0| = ϱ and L(S) = σ C(A + S)/√n, gradient flow converges to zero loss with probability ≥ 1 - δ.

Bounded φ (|φ| ≤ M0): T = F = √m M0, τ = 0, E = 3 events.

Unbounded φ (softplus, GELU), Gaussian first layer, E = 4: |φ(z)| ≤ B := √m |φ(0)| + M1|z|, and |z|
is a √κ-Lipschitz function of Gaussian weights with E|z| ≤ √tr K, so that with b = √m |φ(0)| +
M1 √tr K and v = M1 √κ, P(B ≥ b + u) ≤ e^{-u²/2v²} (Borell; Tsirelson, Ibragimov and Sudakov).
Leaving the features of neurons with B > T = b + u out makes Θ_0 smaller and its mean by at most

    τ = σ² E[B² 1{B > T}] ≤ σ² ((T² + 2v²) e^{-u²/2v²} + 2 b v √(2π) Φ(-u/v)),

and √(Σ_k|φ(z_k)|²/n), a v/√n-Lipschitz function of the weights of mean at most b, is below
F = b + v √(2 log(4/δ)/n) with probability 1 - δ/4. u is chosen to make ν small.

λ is the computed λ_min(Θ_∞) less the error estimate of the limit kernels and the rounding of the
eigenvalue: "proven" is meant given that estimate.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy import special, stats

from widthwise.certify.constants.shallow import extended_inputs, gram_powers
from widthwise.certify.constants.smoothness import smoothness
from widthwise.certify.evaluation import SAFE, Problem
from widthwise.certify.outward import down, up
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
        origin: |φ(0)|; used where φ is unbounded.
        trace: tr K.
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
    origin: float = 0.0
    trace: float = 0.0

    def constants(self, width: int, delta: float) -> dict[str, float]:
        """The numbers of the theorem at one width."""
        n, k, m = self._neurons(width), self.outputs, self.points
        bounded = math.isfinite(self.bounds[0])
        events = 3 if bounded else 4
        feature, lost = self._truncation
        size = feature if bounded else self.mean_square_root(width, delta)
        left = self.smallest - lost
        nu = (self._squared(feature) + self._slope_part) / left
        epsilon = math.sqrt(2 * nu * math.log(events * m * k / delta) / n)
        residual = self.labels + math.sqrt(self._squared(size)) * (
            math.sqrt(k) + math.sqrt(2 * math.log(events / delta))
        )
        readout = math.sqrt(float(stats.chi2.isf(delta / (events * n), k)))
        made = {
            "lambda": left / SAFE,
            "nu": nu * SAFE,
            "epsilon": epsilon * SAFE,
            "readout": readout * SAFE,
            "residual": residual * SAFE,
        }
        return made if bounded else made | {"feature": feature, "lost": lost}

    def mean_square_root(self, width: int, delta: float) -> float:
        """F for an unbounded φ: √(Σ_k|φ(z_k)|²/n) is above it with probability δ/4 at most."""
        late = math.sqrt(2 * math.log(4 / delta) / self._neurons(width))
        return (self._mean_feature + self._spread * late) * SAFE

    def truncated(self, q: float) -> tuple[float, float]:
        """T = b + qv and the τ that leaving out the features beyond it costs at most."""
        b, v, tail = self._mean_feature, self._spread, math.exp(-q * q / 2)
        feature = b + q * v
        lost = (feature**2 + 2 * v * v) * tail
        lost += 2 * b * v * math.sqrt(2 * math.pi) * float(special.ndtr(-q))
        return feature * SAFE, self.scale**2 * lost * SAFE

    @property
    def _mean_feature(self) -> float:
        """The bound b of E B."""
        return math.sqrt(self.points) * self.origin + self.bounds[1] * math.sqrt(self.trace)

    @property
    def _spread(self) -> float:
        """The Lipschitz constant v of B."""
        return self.bounds[1] * self.gram[0]

    @property
    def _slope_part(self) -> float:
        return (self.outputs + 2) * (self.scale * self.bounds[1] * self.gram[0]) ** 2

    def _squared(self, feature: float) -> float:
        return (self.scale * feature) ** 2 + self.points * self.shift**2

    @cached_property
    def _truncation(self) -> tuple[float, float]:
        """T and τ, with u/v on a grid where ν is smallest."""
        if math.isfinite(self.bounds[0]):
            return math.sqrt(self.points) * self.bounds[0], 0.0
        tried = [self.truncated(float(q)) for q in np.arange(0.0, 38.0, 0.05)]
        allowed = [pair for pair in tried if pair[1] < self.smallest / 2]
        if not allowed:  # λ below e^{-700} of the kernel's size
            return math.inf, 0.0
        nu = lambda pair: (  # noqa: E731
            (self._squared(pair[0]) + self._slope_part) / (self.smallest - pair[1])
        )
        return min(allowed, key=nu)

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

        alpha = math.sqrt((1 - made["epsilon"]) * made["lambda"]) / SAFE
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
    if math.isfinite(smoothness(net.activation).value):
        return None
    first = [net.weight_law[0]] + ([net.bias_law[0]] if net.has_bias(0) else [])
    other = next((law for law in first if not isinstance(law, Gaussian)), None)
    if other is not None:
        return (
            f"activation {net.activation.name!r} is unbounded, and then Theorem 5 needs a Gaussian "
            f"first layer, this one is {other.name}"
        )
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
    problem = Problem(net.activation, bounds, x, y, root, scales, shifts)
    powers = gram_powers(problem)
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
        float(abs(np.asarray(net.activation(np.zeros(()))))) * SAFE,
        float((root**2 * (extended_inputs(problem) ** 2).sum(1)).sum()) * SAFE,
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
    rate = path.slack**2 / SAFE
    constants = given.constants(high, delta) | {"movement": path.length, "rate": rate}
    statement = (
        f"With probability at least {probability:g} over the initialization, gradient flow of a "
        f"network of width {high:,} converges to zero loss, at rate {down(rate, 3)} at least, "
        f"and its parameters move by {up(path.length, 4)} at most (Theorem 5; λ_min(Θ_∞) ≥ "
        f"{down(given.smallest, 4)}, ε = {up(constants['epsilon'], 3)}). "
        "Proven for this width, given the error estimate of Θ_∞."
    )
    return CertifiedWidth(high, "proven", probability, 1.0, tuple(tested), constants, statement)


def _none(probability: float, tested: tuple, why: str) -> CertifiedWidth:
    return CertifiedWidth(
        math.inf, "proven", probability, 1.0, tested, {}, f"No width is proven: {why}."
    )
