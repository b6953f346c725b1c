"""Bounded smooth φ, Gaussian hidden weights and biases, one input: exact at finite width.

The conditional variance of a neuron is a Markov chain K' = σ_b² + σ_w² S_n, S_n the mean of n
independent φ(√K u)², u standard normal, so E F(K) in the last hidden layer is the transfer operator

    (T F)(K) = E F(σ_b² + σ_w² S_n)

applied once per layer. With |φ| ≤ 1, S_n lies in [0, 1]: F is expanded there in a Fourier series of
period 2.2 (least squares on Chebyshev points), and E e^{iωS_n} = χ_K(ω/n)^n with χ_K the
characteristic function of φ(√K u)². Given K and the layers below, the output has the cumulants
Y_r = σ_w^r κ_r(W) n^{1−r/2} M_r (+ σ_b² for r = 2), M_r the mean of n powers φ(√K u)^r: the last
weights may have any law. Cumulants are differences of moments: κ₄ keeps about 1e-12 of the squared
variance, κ₆ of its cube.
"""

import numpy as np

_U = np.linspace(-12, 12, 801)
_W = np.exp(-_U * _U / 2) / np.exp(-_U * _U / 2).sum()
_S = (1 - np.cos(np.linspace(0, np.pi, 160))) / 2
_FREQUENCIES = 2 * np.pi * np.arange(37) / 2.2
_BASIS = np.concatenate([np.cos(_S[:, None] * _FREQUENCIES), np.sin(_S[:, None] * _FREQUENCIES)], 1)


class ExactBounded:
    """Exact cumulants of one output.

    Args:
        net: |φ| ≤ 1, smooth; Gaussian laws but for the last weights.
        x: the input.
        width: n.
    """

    def __init__(self, net, x, width):
        self.net, self.widths = net, net.widths(width)
        self.sw = [float(s) ** 2 for s in net.weight_std]
        self.sb = [float(s) ** 2 for s in net.bias_std]
        self.first = self.sb[0] + self.sw[0] * np.dot(x, x) / len(x)
        M1, M1M1, M1M1M1, M3, M4 = self._means()
        n, law, s = self.widths[-1], net.weight_law[-1], self.sw[-1]
        self._cumulants = {
            2: s * M1 + self.sb[-1],
            3: s**1.5 * law.cumulant(3) * n**-0.5 * M3,
            4: 3 * s**2 * (M1M1 - M1**2) + s**2 * law.cumulant(4) / n * M4,
        }
        if law.name == "gaussian":
            self._cumulants[6] = 15 * s**3 * (M1M1M1 - 3 * M1M1 * M1 + 2 * M1**3)

    def cumulant(self, r):
        """κ_r of the output: r = 2, 3, 4; 6 for Gaussian last weights."""
        return self._cumulants[r]

    def expectation(self, function):
        """E F(S), S = σ_b² + σ_w² M₂ the conditional variance of the outputs (Gaussian readout).

        Args:
            function: F, smooth; maps variances (k,) to values (k,).
        """
        values = function(self.sb[-1] + self.sw[-1] * _S)[:, None]
        return float(self._pulled_back(values, self.net.depth)[0, 0])

    def _pulled_back(self, functions, layers):
        """E F_k over the given number of layers, F_k tabled on the values of the last variance."""
        for l in range(layers, 0, -1):
            fitted = np.linalg.lstsq(_BASIS, functions, None)[0]
            functions = np.array([self._waves(k, self.widths[l - 1]) for k in self._grid(l - 1)])
            functions = functions @ fitted
        return functions

    def _grid(self, l):
        """The values that the variance in hidden layer l can take."""
        return self.sb[l] + self.sw[l] * _S if l else np.array([self.first])

    def _means(self):
        """E M₂, E M₂², E M₂³, E M₃, E M₄ over the networks."""
        depth = self.net.depth
        g = {
            p: self._phi(np.sqrt(self._grid(depth - 1))[:, None] * _U) ** p @ _W
            for p in (2, 3, 4, 6)
        }
        n = self.widths[-1]
        square = (g[4] + (n - 1) * g[2] ** 2) / n
        cube = (g[6] + 3 * (n - 1) * g[4] * g[2] + (n - 1) * (n - 2) * g[2] ** 3) / n**2
        functions = np.stack([g[2], square, cube, g[3], g[4]], 1)
        return self._pulled_back(functions, depth - 1)[0]

    def _waves(self, K, n):
        """E cos(ωS_n), E sin(ωS_n) at all frequencies, given K."""
        squares = self._phi(np.sqrt(K) * _U) ** 2
        mean = (np.exp(1j * _FREQUENCIES[:, None] / n * squares) @ _W) ** n
        return np.concatenate([mean.real, mean.imag])

    def _phi(self, z):
        return np.asarray(self.net.activation(z))
