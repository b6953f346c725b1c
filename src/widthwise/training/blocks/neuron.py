r"""Cumulants of one neuron: its output, its tangent kernel, and two derivatives along training.

A network of N = ρn independent neurons has F_c = N^{−1/2} Σ A_c φ(z) (+ output bias) for component
c, with A = σ_w a of the readout weights a, and gradient flow moves a neuron along

    D_{γe}:   δA_c = σ_w² φ_γ δ_ce,      δz_x = A_e φ'_γ k_xγ,      k = σ_w² x·x'/d + σ_b².

Its tangent kernel and the two further derivatives along training are polynomials in A,

    κ = δ_cd P + A_c A_d S,     P = σ_w² φ_x φ_β,     S = φ'_x φ'_β k_xβ,
    T = D_{γe} κ = δ_cd A_e T₁ + (δ_ce A_d + δ_de A_c) T₂ + A_c A_d A_e T₃,     U = D_{δg} T,
    T₁ = σ_w² φ'_γ (φ'_x φ_β k_xγ + φ_x φ'_β k_βγ),   T₂ = σ_w² φ_γ φ'_x φ'_β k_xβ,
    T₃ = φ'_γ k_xβ (φ''_x φ'_β k_xγ + φ'_x φ''_β k_βγ).

So every joint cumulant is a sum of moments of φ and its derivatives
(:mod:`widthwise.training.blocks.moments`) times moments of a up to the fourth, exactly, for any
laws that have them. Each moment is centred by the mean of its own rule.
"""

import numpy as np

from widthwise.model.architecture import MLP
from widthwise.model.laws import Law
from widthwise.training.blocks.moments import Moments
from widthwise.training.blocks.value import Name


class Neuron:
    """The cumulants of one neuron from its moments; row axes first all, then train points."""

    def __init__(self, net: MLP, limit: MLP, k: np.ndarray, train: int, skewed: bool):
        self.k, self.train, self.skewed = k, train, skewed
        self.std, self.ratio = float(net.weight_std[1]), net.ratios[0]
        self.bias = float(net.bias_std[1]) if net.bias_scaling == "fan_in" else 0.0
        self.readout: Law = net.weight_law[1]
        self.outputs = net.outputs

    def blocks(self, moment: Moments) -> dict[Name, np.ndarray]:
        """All of them, with the powers of the width ratio."""
        made: dict[Name, np.ndarray] = {("FFFF", 2): self._output_fourth(moment)}
        made["DFF", 2], made["DD", 2] = self._kernel_outputs(moment), self._kernels(moment)
        third = self._third(moment)
        made["TF", 2], made["U", 2] = self._third_output(third), self._fourth(moment, third)
        if self.skewed:
            made["FFF", 1], made["DF", 1], made["T", 1] = self._odd(moment)
        made = {
            (name, order): value / self.ratio ** (order / 2)
            for (name, order), value in made.items()
        }
        if self.bias:
            shared = np.ones((len(self.k), len(self.k))) * self.bias**2 / self.ratio
            made["FF", 2] = np.kron(shared, np.eye(self.outputs))
            made["D", 2] = np.kron(shared[:, : self.train], np.eye(self.outputs))
        return made

    # components of the output: products of Kronecker deltas -----------------------------------

    def _same(self, pattern: str) -> np.ndarray:
        """δ of the first two letters times δ of the last two, axes in the order c, d, e, g."""
        one = np.eye(self.outputs)
        return np.einsum(f"{pattern[:2]},{pattern[2:]}->cdeg", one, one)

    def _all_same(self, count: int) -> np.ndarray:
        value = np.zeros((self.outputs,) * count)
        value[(np.arange(self.outputs),) * count] = 1.0
        return value

    @property
    def _readout_fourth(self) -> np.ndarray:
        """E A_c A_d A_e A_g."""
        pairs = self._same("cdeg") + self._same("cedg") + self._same("cgde")
        return self.std**4 * (pairs + self.readout.cumulant(4) * self._all_same(4))

    def readouts(self, count: int) -> np.ndarray:
        """E of a product of one to four readout weights A, one axis of components for each."""
        if count == 1:
            return np.zeros(self.outputs)
        if count == 2:
            return self.std**2 * np.eye(self.outputs)
        if count == 3:
            return self.std**3 * self.readout.moment(3) * self._all_same(3)
        return self._readout_fourth

    def rows(self, *parts: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Σ (points) ⊗ (components), flattened point by point."""
        total: np.ndarray | float = 0.0
        for points, components in parts:
            count = points.ndim
            spatial, component = "abxy"[:count], "cdeg"[:count]
            mixed = "".join(s + c for s, c in zip(spatial, component, strict=True))
            total = total + np.einsum(f"{spatial},{component}->{mixed}", points, components)
        shape = [n * self.outputs for n in parts[0][0].shape]
        return np.asarray(total).reshape(shape)

    # cumulants --------------------------------------------------------------------------------

    def _output_fourth(self, moment: Moments) -> np.ndarray:
        """κ(A_cφ, A_dφ, A_eφ, A_gφ)."""
        pair = moment["00"]
        gaussian = [
            (-(self.std**4) * np.einsum(f"{a},{b}->abxy", pair, pair), self._same(c))
            for a, b, c in (("ab", "xy", "cdeg"), ("ax", "by", "cedg"), ("ay", "bx", "cgde"))
        ]
        return self.rows((moment["0000"], self._readout_fourth), *gaussian)

    def _kernel_outputs(self, moment: Moments) -> np.ndarray:
        """κ(κ_{ac,bd}, A_eφ_x, A_gφ_y), b a train point."""
        m, k, s2 = self.train, self.k[:, : self.train], self.std**2
        zeros, ones = moment["00"], moment["11"]
        P = s2 * (moment["0000"] - np.multiply.outer(zeros, zeros))[:, :m]
        S = np.moveaxis(moment["0011"], (2, 3), (0, 1))[:, :m] * k[:, :, None, None]
        mean = np.multiply.outer(ones[:, :m] * k, zeros)
        pairs = self._same("cdeg")
        return self.rows((s2 * P, pairs), (S, self._readout_fourth), (-(s2**2) * mean, pairs))

    def _kernels(self, moment: Moments) -> np.ndarray:
        """Cov(κ_{ac,bd}, κ_{xe,yg}), b and y train points."""
        m, k, s2 = self.train, self.k[:, : self.train], self.std**2
        zeros, ones = moment["00"][:, :m], moment["11"][:, :m]
        left, right = k[:, :, None, None], k[None, None]
        cut = (slice(None), slice(m), slice(None), slice(m))
        PP = s2**2 * (moment["0000"][cut] - np.multiply.outer(zeros, zeros))
        PS = s2 * (moment["0011"][cut] - np.multiply.outer(zeros, ones)) * right
        SS, means = moment["1111"][cut] * left * right, np.multiply.outer(ones * k, ones * k)
        pairs = self._same("cdeg")
        mixed = s2 * (PS + np.moveaxis(PS, (2, 3), (0, 1)))
        return self.rows(
            (PP + mixed - s2**2 * means, pairs),
            (SS, self._readout_fourth),
        )

    def _third(self, moment: Moments) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """E φ_y times T₁, T₂ and T₃ at (a, b, x), b and x train points, y any."""
        m, k, s2 = self.train, self.k, self.std**2
        q, r = moment["0011"], moment["0112"]
        K = {"ab": k[:, :m], "ax": k[:, :m], "bx": k[:m, :m]}

        def times(array: np.ndarray, stored: str, *inner: str) -> np.ndarray:
            """A moment stored with these points, times k's, with axes a, b, x, y."""
            full = array[tuple(slice(m) if c in "bx" else slice(None) for c in stored)]
            names = ",".join((stored, *inner))
            return np.einsum(f"{names}->abxy", full, *(K[c] for c in inner), optimize=True)

        T1 = s2 * (times(q, "byax", "ax") + times(q, "aybx", "bx"))
        T2 = s2 * times(q, "xyab", "ab")
        T3 = times(r, "yxba", "ab", "ax") + times(r, "yxab", "ab", "bx")
        return T1, T2, T3

    def _third_output(self, third: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
        """E T_{ac,bd,xe} A_gφ_y."""
        T1, T2, T3 = third
        s2 = self.std**2
        return self.rows(
            (s2 * T1, self._same("cdeg")),
            (s2 * T2, self._same("cedg") + self._same("cgde")),
            (T3, self._readout_fourth),
        )

    def _fourth(
        self, moment: Moments, third: tuple[np.ndarray, np.ndarray, np.ndarray]
    ) -> np.ndarray:
        """E U at (ac, bd, xe, yg), all but a train points."""
        m, s2 = self.train, self.std**2
        T1, T2, T3 = (s2 * T[..., :m] for T in third)
        L1, L2, L3 = self._moved(moment)
        pairs = {name: self._same(name) for name in ("cdeg", "cedg", "cgde")}
        every = sum(pairs.values())
        return self.rows(
            (T1 + s2 * L1, pairs["cdeg"]),
            (T2 + s2 * L2, pairs["cedg"] + pairs["cgde"]),
            (s2 * T3, np.asarray(every)),
            (L3, self._readout_fourth),
        )

    def _moved(self, moment: Moments) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """E φ'_y Σ_v k_vy ∂T_i/∂z_v: T₁, T₂, T₃ as the preactivations move along y."""
        m, s2 = self.train, self.std**2
        K = {a + b: self.k[:, :m] if a == "a" else self.k[:m, :m] for a in "abx" for b in "abxy"}
        tables = {name: moment[name] for name in ("1111", "0112", "1113", "1122")}

        def times(orders: str, stored: str, *inner: str) -> np.ndarray:
            cut = tuple(slice(None) if c == "a" else slice(m) for c in stored)
            names = ",".join((stored, *inner))
            factors = [K[c] for c in inner]
            return np.einsum(f"{names}->abxy", tables[orders][cut], *factors, optimize=True)

        L1 = (
            times("0112", "byax", "ax", "xy")
            + times("0112", "byxa", "ax", "ay")
            + times("1111", "abxy", "ax", "by")
            + times("0112", "aybx", "bx", "xy")
            + times("1111", "abxy", "bx", "ay")
            + times("0112", "ayxb", "bx", "by")
        )
        L2 = (
            times("1111", "abxy", "ab", "xy")
            + times("0112", "xyba", "ab", "ay")
            + times("0112", "xyab", "ab", "by")
        )
        L3 = (
            times("1122", "ybxa", "ab", "ax", "xy")
            + times("1113", "yxba", "ab", "ax", "ay")
            + times("1122", "yxab", "ab", "ax", "by")
            + times("1122", "yaxb", "ab", "bx", "xy")
            + times("1122", "yxab", "ab", "bx", "ay")
            + times("1113", "yxab", "ab", "bx", "by")
        )
        return s2 * L1, s2 * L2, L3

    def _odd(self, moment: Moments) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """κ(A_cφ, A_dφ, A_eφ), Cov(κ_{ac,bd}, A_eφ_x), E T_{ac,bd,xe}: the skewness of a."""
        m, k = self.train, self.k
        together = self.readouts(3)
        S = moment["110"][:, :m] * k[:, :m, None]
        r = moment["112"]
        first = np.einsum("xba,ab,ax->abx", r[:m, :m], k[:, :m], k[:, :m])
        second = np.einsum("xab,ab,bx->abx", r[:m, :, :m], k[:, :m], k[:m, :m])
        parts = (moment["000"], S, first + second)
        outputs, kernel, third = (self.rows((part, together)) for part in parts)
        return outputs, kernel, third
