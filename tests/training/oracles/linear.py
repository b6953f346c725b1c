r"""Training of a linear network with one hidden layer on one number, in closed coordinates.

With f_c = q (A_c·w)/√n, q the product of the scales and the input, gradient flow of ½ Σ_c (f_c −
y_c)² closes on g = A w/√n, S = |w|²/n and M = A Aᵀ/n, of which S and M start near 1:

    ġ = −q (S + M) r,     Ṡ = −(2q/n) g·r,     Ṁ = −(q/n) (r gᵀ + g rᵀ),      r = q g − y.
"""

import numpy as np
from scipy.integrate import solve_ivp
from scipy.stats import chi2, norm


def flow(g, S, M, q, y, n, time, steps):
    """Outputs (…, components) at one time, by Runge–Kutta steps."""

    def speed(state):
        g, S, M = state
        r = q * g - y
        force = S[..., None] * r + np.einsum("...ij,...j->...i", M, r)
        outer = r[..., :, None] * g[..., None, :]
        return (
            -q * force,
            -2 * q / n * (g * r).sum(-1),
            -q / n * (outer + np.swapaxes(outer, -1, -2)),
        )

    def moved(state, slope, h):
        return tuple(a + h * b for a, b in zip(state, slope, strict=True))

    state, h = (g, S, M), time / steps
    for _ in range(steps):
        k1 = speed(state)
        k2 = speed(moved(state, k1, h / 2))
        k3 = speed(moved(state, k2, h / 2))
        k4 = speed(moved(state, k3, h))
        for weight, k in ((1, k1), (2, k2), (2, k3), (1, k4)):
            state = moved(state, k, weight * h / 6)
    return q * state[0]


def cumulants(n, q, y, time):
    """The first four cumulants of one output, Gaussian weights, by quadrature over the law.

    2√n g = P − R and n (S + M) = P + R with P, R independent chi-squared of n degrees of freedom.
    """
    u = np.linspace(-8.5, 8.5, 121)
    weights = np.exp(-u * u / 2)
    weights /= weights.sum()
    chi = np.where(u < 0, chi2.ppf(norm.cdf(u), n), chi2.isf(norm.sf(u), n))
    P, R = (a.ravel() for a in np.meshgrid(chi, chi, indexing="ij"))
    weights = np.outer(weights, weights).ravel()

    def speed(_, state):
        g, both = np.split(state, 2)
        r = q * g - y
        return np.concatenate([-q * both * r, -4 * q / n * g * r])

    start = np.concatenate([(P - R) / (2 * np.sqrt(n)), (P + R) / n])
    end = solve_ivp(speed, (0, time), start, "DOP853", rtol=1e-11, atol=1e-13).y[:, -1]
    f = q * np.split(end, 2)[0]
    mean = weights @ f
    d = f - mean
    second = weights @ d**2
    return np.array([mean, second, weights @ d**3, weights @ d**4 - 3 * second**2])
