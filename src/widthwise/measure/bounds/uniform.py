r"""Theorem T: along training, for all times at once, with explicit constants and no logarithm.

One hidden layer, one output, train outputs, gradient flow of ½|f − y|². Let f^∞_t = A_t f₀ + c_t be
the linear flow of Θ_∞ from the network's own f₀, R_t = f_t − f^∞_t, λ = λ_min(Θ_∞) > 0, and φ be
scaled by the readout's σ_w, with |φ| ≤ M₀, |φ'| ≤ M₁, |φ''| ≤ M₂. B = ‖X̃‖_op of the extended inputs
x̃ = (σ_w x/√d, σ_b), b = max |x̃_i|, M_φ = √m M₀, β₀² = M_φ² + m σ_b² with the output bias,

    q_ι(a) = M₁⁴B⁴(|a| + ι)² + M₁²B²(M_φ + M₂ b B |a| (|a| + ι))²,
    v_Θ = n E‖Θ_n(0) − Θ_∞‖_F²,     ν = ‖E (Θ_∞^{-1/2} Y Θ_∞^{-1/2})²‖,  Y the kernel of one neuron.

For any ε, η in (0, 1), c_I = (1 − η)^{-2}/(1 − ε), s₀ = η√((1 − ε)λ), ι = s₀/(M₁B), q_*² > E q_ι,

    E sup_t min(|R_t|, 2) ≤ n^{-1/2} { √(v_Θ E|r₀|²)/λ
           + c_I λ^{-2} √(E|r₀|⁴) ((E q_ι)² + Var q_ι/n)^{1/4}
             × (2 [(β₀² + M₁²B²)² + M₁⁴B⁴ Var(a²)/n]^{1/4} + s₀) } + 2 P_bad,
    P_bad ≤ m e^{-nε²/2ν} + Var q_ι/(n (q_*² − E q_ι)²) + E|r₀|⁴ (c_I q_*/(s₀ λ √n))⁴.

The residual never grows, so that the fluctuation of Θ_n(0) needs no event; the drift of the kernel
is an average over neurons, not a maximum, which is why there is no logarithm. Then

    sup_t d_BL(f_t, N(c_t, A_t K A_tᵀ)) ≤ W₁(f₀, N(0, K)) + E sup_t min(|R_t|, 2),

as ‖A_t‖ ≤ 1 on train outputs. In W₁ the last term 2 P_bad becomes 2 (E|r₀|⁴)^{1/4} P_bad^{3/4}.
The constants are a-priori and huge; see :mod:`.statistical` for numbers at real widths.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from jaxtyping import Float
from numpy.polynomial import Polynomial

from widthwise.limit.first_layer.projection import evaluate, project
from widthwise.limit.kernels import limit_kernels
from widthwise.measure.bounds.expectation import MARGIN, expectation
from widthwise.measure.bounds.law_moment import absolute_moment
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian, Law

_EPSILONS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5)
_ETAS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.4)
_EVENTS = np.geomspace(1.02, 8.0, 60)


def not_covered(net: MLP) -> str:
    """Why Theorem T does not cover a network; empty if it does."""
    if net.depth != 1 or net.outputs != 1:
        return (
            "Theorem T is about one hidden layer and one output, this network has "
            f"{net.depth} and {net.outputs}"
        )
    if net.parametrization != "ntk":
        return "Theorem T is about the NTK parametrization"
    phi = net.activation
    if not phi.smooth:
        return f"Theorem T needs a smooth activation; {phi.name} has kinks"
    if phi.sup_norms is None or not all(map(math.isfinite, phi.sup_norms)):
        return (
            f"Theorem T needs finite bounds of |φ|, |φ'|, |φ''|; {phi.name} declares "
            f"{phi.sup_norms}"
        )
    law = net.weight_law[1]
    if law.highest_moment < 8:
        return (
            f"Theorem T needs 8 moments of the readout law; {law.name} has {law.highest_moment:g}"
        )
    if not all(math.isfinite(absolute_moment(law, k)) for k in range(9)):
        return f"Theorem T needs E|a|^8, and the tails of {law.name} are too heavy to sum it"
    if net.has_bias(1) and not isinstance(net.bias_law[1], Gaussian):
        return f"the output bias has the law {net.bias_law[1].name}: the limit is not Gaussian"
    return ""


def extended_inputs(net: MLP, x: np.ndarray) -> Float[np.ndarray, "points extended"]:
    """x̃, with z = u·x̃."""
    scaled = float(net.weight_std[0]) / math.sqrt(x.shape[1]) * x
    if not net.has_bias(0):
        return scaled
    return np.concatenate([scaled, np.full((len(x), 1), float(net.bias_std[0]))], 1)


@dataclass(frozen=True, eq=False)
class Training:
    """What Theorem T needs of a network and its train points, whatever the width.

    Args:
        law: of the readout.
        bounds: M₀, M₁, M₂, scaled.
        points: m.
        operator: B.
        longest: b.
        bias: σ_b of the output.
        smallest: λ, less what the kernels may be off by.
        fluctuation: v_Θ.
        relative: ν.
        moments: E|h|⁴, rounded up; E|h|² h·y, and what it may be off by.
        random: whether expectations are by random points.
        K: covariance of the outputs.
        y: labels.
    """

    law: Law
    bounds: tuple[float, float, float]
    points: int
    operator: float
    longest: float
    bias: float
    smallest: float
    fluctuation: float
    relative: float
    moments: tuple[float, float, float]
    random: bool
    K: Float[np.ndarray, "points points"]
    y: Float[np.ndarray, " points"]

    def residual(self, n: int) -> tuple[float, float]:
        """E|r₀|² and E|r₀|⁴ from the cumulants of the outputs, rounded up."""
        K, y = self.K, self.y
        M = K - self.bias**2
        trace, labels = float(np.trace(K)), float(y @ y)
        fourth, third, off = self.moments
        excess = self.law.moment(4) * fourth - np.trace(M) ** 2 - 2 * (M * M).sum()
        r4 = trace**2 + 2 * (K * K).sum() + excess / n
        r4 += 2 * trace * labels + 4 * y @ K @ y + labels**2
        skew = self.law.moment(3)
        r4 += 4 * (abs(skew) * off - skew * third) / math.sqrt(n)
        return trace + labels, float(r4)

    def spread(self, iota: float) -> tuple[float, float]:
        """E q_ι and Var q_ι."""
        m0, m1, m2 = self.bounds
        B, feature = self.operator, math.sqrt(self.points) * m0
        size = Polynomial([0.0, 1.0])  # |a|
        inner = feature + m2 * self.longest * B * size * (size + iota)
        q = (m1 * B) ** 4 * (size + iota) ** 2 + (m1 * B * inner) ** 2
        first = float(self.powers[: len(q.coef)] @ q.coef)
        square = (q * q).coef
        second = float(self.powers[: len(square)] @ square)
        return first, max(second - first**2, 0.0)

    @cached_property
    def powers(self) -> Float[np.ndarray, "9"]:
        """E|a|^k for k = 0 … 8."""
        return np.array([absolute_moment(self.law, k) for k in range(9)])

    def coupling(self, n: int, metric: str) -> dict[str, float]:
        """The theorem at one width, with its terms by name; ε, η, q_* are chosen on a grid."""
        r2, r4 = self.residual(n)
        m0, m1, _ = self.bounds
        root = math.sqrt(n)
        kernel = math.sqrt(self.fluctuation * r2) / self.smallest
        slopes = (m1 * self.operator) ** 2
        variance = self.law.moment(4) - 1
        size = (self.points * (m0**2 + self.bias**2) + slopes) ** 2 + slopes**2 * variance / n
        best: dict[str, float] = {"coupling": math.inf}
        for eta, epsilon in product(_ETAS, _EPSILONS):
            c = 1 / ((1 - eta) ** 2 * (1 - epsilon))
            s0 = eta * math.sqrt((1 - epsilon) * self.smallest)
            q, var = self.spread(s0 / (m1 * self.operator))
            drift = c / self.smallest**2 * math.sqrt(r4) * (q**2 + var / n) ** 0.25
            drift *= 2 * size**0.25 + s0
            event = _EVENTS * math.sqrt(q)
            bad = (
                var / (n * (event**2 - q) ** 2)
                + r4 * (c * event / (s0 * self.smallest * root)) ** 4
            )
            eigenvalue = self.points * math.exp(-n * epsilon**2 / (2 * self.relative))
            P = min(1.0, eigenvalue + float(bad.min()))
            lost = 2 * P if metric == "bounded_lipschitz" else 2 * r4**0.25 * P**0.75
            total = (kernel + drift) / root + lost
            if total < best["coupling"]:
                best = {
                    "coupling": total,
                    "kernel_term": kernel,
                    "drift_term": drift,
                    "P_bad": P,
                    "epsilon": epsilon,
                    "eta": eta,
                }
        return best


def training_constants(
    net: MLP, x: Float[np.ndarray, "points inputs"], y: Float[np.ndarray, " points"]
) -> Training:
    """The constants of Theorem T.

    Args:
        net: a network it covers (:func:`not_covered`).
        x: train points.
        y: labels.
    """
    scale = float(net.weight_std[1])
    bias = float(net.bias_std[1]) if net.has_bias(1) else 0.0
    X = extended_inputs(net, x)
    gram = X @ X.T
    kernels = limit_kernels(net, x)
    K, theta = np.asarray(kernels.nngp), np.asarray(kernels.ntk)
    error = float(np.linalg.norm(kernels.error)) + 1e-14 * float(np.trace(theta))
    values, Q = np.linalg.eigh((theta + theta.T) / 2)
    smallest = float(values[0]) - error
    root = Q @ np.diag(np.maximum(values, 1e-12 * values[-1]) ** -0.5) @ Q.T
    mu4, m = net.weight_law[1].moment(4), len(x)
    slope = net.activation.derivative()

    def observable(z: np.ndarray) -> np.ndarray:
        h, d = scale * evaluate(net.activation, z), scale * evaluate(slope, z)
        A, D = h[:, :, None] * h[:, None, :], d[:, :, None] * d[:, None, :] * gram
        square = (A * A + 2 * A * D + mu4 * D * D).sum((1, 2))
        a, e = root @ A @ root, root @ D @ root
        cross = a @ e
        relative = a @ a + cross + np.swapaxes(cross, 1, 2) + mu4 * (e @ e)
        length = (h * h).sum(1)
        parts = [square, length**2, length * (h @ y)]
        return np.concatenate([np.stack(parts, 1), relative.reshape(len(z), -1)], 1)

    found = expectation(project(net, x), observable, net.activation.kinks)
    value, off = found.value, MARGIN * found.error
    neuron = theta - bias**2
    fluctuation = float(value[0] + off[0] - (neuron**2).sum() + 2 * error * np.abs(neuron).sum())
    matrix = value[3:].reshape(m, m)
    nu = float(np.linalg.eigvalsh((matrix + matrix.T) / 2)[-1] + np.linalg.norm(off[3:]))
    declared = net.activation.sup_norms
    assert declared is not None
    M0, M1, M2 = (scale * float(bound) for bound in declared)
    lengths = np.sqrt(np.diag(gram))
    operator = float(np.sqrt(np.linalg.eigvalsh(gram)[-1]))
    sizes = (operator, float(lengths.max()), bias)
    moments = float(value[1] + off[1]), float(value[2]), float(off[2])
    law = net.weight_law[1]
    numbers = (smallest, fluctuation, nu, moments, found.random)
    return Training(law, (M0, M1, M2), m, *sizes, *numbers, K, y)
