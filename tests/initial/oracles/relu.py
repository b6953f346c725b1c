"""ReLU networks without bias, Gaussian hidden weights, one input: exact at every width.

φ(√K u) = √K φ(u), so the conditional variance multiplies, layer by layer and independently, by
σ_w² S with S the mean of n squares φ(u_j)². The number of active neurons is binomial(n, ½) and,
given B of them, n S is chi-squared with B degrees of freedom:

    E S^p = (2/n)^p Σ_{B ≥ 1} C(n, B) 2^{−n} Γ(B/2 + p) / Γ(B/2)        for every p > 0.

The last layer's weights may have any law: given the layers below, the output has the cumulants
Y_r = σ_w^r κ_r(W) n^{1−r/2} M_r, M_r = K^{r/2} · mean of φ(u_j)^r.
"""

import numpy as np
from scipy.special import gammaln
from scipy.stats import binom


def mean_power(n, p):
    """E S^p; for σ_w² = 2 that is E(2S)^p/2^p = 1/2, (1 + 5/n)/4, (1 + 15/n + 44/n²)/8, …"""
    active = np.arange(1, n + 1)
    logs = binom.logpmf(active, n, 0.5) + gammaln(active / 2 + p) - gammaln(active / 2)
    return float(np.exp(logs + p * np.log(2 / n)).sum())


def kernel_power(net, x, width, p):
    """E K^p, K the conditional variance of a neuron of the last hidden layer."""
    sw = [float(s) ** 2 for s in net.weight_std]
    result = (sw[0] * np.dot(x, x) / len(x)) ** p
    for l, n in enumerate(net.widths(width)[:-1]):
        result *= sw[l + 1] ** p * mean_power(n, p)
    return result


def cumulant(net, x, width, r):
    """κ_r of an output, r = 2, 3, 4; κ₆ for Gaussian last weights."""
    n, s, law = net.widths(width)[-1], float(net.weight_std[-1]), net.weight_law[-1]
    half = {k: _half_moment(k) for k in (2, 3, 4, 6)}
    if r in (2, 3):
        direct = s**r * law.cumulant(r) * n ** (1 - r / 2)
        return direct * half[r] * kernel_power(net, x, width, r / 2)
    K = [kernel_power(net, x, width, p) for p in range(4)]
    M = [mean_power(n, p) for p in range(4)]
    m = [s ** (2 * p) * K[p] * M[p] for p in range(4)]  # of the output's conditional variance
    if r == 4:
        return 3 * (m[2] - m[1] ** 2) + s**4 * law.cumulant(4) / n * half[4] * K[2]
    assert (r, law.name) == (6, "gaussian")
    return 15 * (m[3] - 3 * m[2] * m[1] + 2 * m[1] ** 3)


def _half_moment(k):
    """E φ(u)^k = ½ E |u|^k."""
    return float(2 ** (k / 2) * np.exp(gammaln((k + 1) / 2)) / np.sqrt(np.pi)) / 2
