"""Certified distances over widths and seeds, and the powers of n in them.

Θ_t - Θ_0 and f_t - f_lin,t are O(1/n) where the third moments of the readout vanish and O(n^{-1/2})
where they do not and φ has no parity. A certificate is only as good as the way its bounds fall.
"""

import jax
import numpy as np

import widthwise as ww
from widthwise.certify.constants.ball import bounds_at
from widthwise.certify.evaluation import evaluate
from widthwise.certify.posterior.linear import certify_linear_reference
from widthwise.certify.posterior.spectrum import Spectrum

WIDTHS = 2 ** np.arange(11, 16)
SEEDS = 10
X = np.array([[1.0, 0.2], [-0.3, 1.1]])
RESIDUAL = np.array([0.04, -0.03])
COLUMNS = np.stack([WIDTHS**-0.5, 1.0 / WIDTHS], axis=1)
QUANTITIES = ("sup |Θ - Θ_0|", "sup |f - f_lin|")
NETS = {
    "symmetric": ww.MLP(1, "tanh", bias_std=[0.5, 0.0]),
    "skewed": ww.MLP(1, "softplus", bias_std=[0.5, 0.0], weight_law=["gaussian", "exponential"]),
}


def certified(net):
    """|Θ_t - Θ_0| and |f_t - f_lin| by the linear reference, (widths, seeds, 2).

    The labels are the network's own outputs less a residual that is the same for every network.
    What is certified is about A|r| n^{-1/2} + B|r|²/n, the first measured along the linear flow
    (A = 0 for symmetric laws), the second that of the distance from it times the Lipschitz constant
    of J. A random residual of size 1 mixes the two, and its square scatters.
    """
    found = np.empty((len(WIDTHS), SEEDS, 2))
    for i, n in enumerate(WIDTHS):
        for seed in range(SEEDS):
            parameters = net.init(jax.random.key(1000 * i + seed), int(n), 2)
            labels = np.asarray(net.apply(parameters, X)) - RESIDUAL[:, None]
            at = evaluate(net, parameters, X, labels)
            made = certify_linear_reference(at, bounds_at(at), Spectrum.of(at))
            assert made.holds, f"width {n}, seed {seed}: {made.reason}"
            found[i, seed] = made.ntk_change, made.output_deviation
    return found


def fitted(values, columns):
    """Coefficients and their errors of the mean over seeds, by weighted least squares."""
    mean, error = values.mean(1), values.std(1, ddof=1) / SEEDS**0.5
    weighted = columns / error[:, None]
    covariance = np.linalg.inv(weighted.T @ weighted)
    return covariance @ weighted.T @ (mean / error), np.sqrt(np.diag(covariance))


def slope(values):
    """The power of n in the mean over seeds, and its error."""
    logs = np.log(values.mean(1)), values.std(1, ddof=1) / SEEDS**0.5 / values.mean(1)
    n, weight = np.log(WIDTHS), logs[1] ** -2
    centre = (weight * n).sum() / weight.sum()
    spread = (weight * (n - centre) ** 2).sum()
    return (weight * (n - centre) * logs[0]).sum() / spread, spread**-0.5
