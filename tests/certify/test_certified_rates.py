"""How certified distances fall with the width: 1/n for symmetric laws, n^{-1/2} for skewed ones.

Θ_t - Θ_0 and f_t - f_lin,t are O(1/n) where the third moments of the readout vanish and O(n^{-1/2})
where they do not and φ has no parity. A certificate is only as good as the way its bounds fall.
"""

import jax
import numpy as np

from widthwise.algebra.power_law import fit_slope
from widthwise.certify import certify

WIDTHS = 2 ** np.arange(11, 16)
X = np.array([[1.0, 0.2], [-0.3, 1.1]])
Y = np.array([0.4, -0.3])


def certified(net, seeds):
    """|Θ_t - Θ_0| and |f_t - f_lin| by the linear reference, (widths, seeds, 2)."""
    found = np.empty((len(WIDTHS), seeds, 2))
    for i, n in enumerate(WIDTHS):
        for seed in range(seeds):
            parameters = net.init(jax.random.key(1000 * i + seed), int(n), 2)
            made = certify(net, parameters, X, Y, method="linear_reference")
            assert made.holds, f"width {n}, seed {seed}: {made.reason}"
            found[i, seed] = made.ntk_change, made.output_deviation
    return found


def slopes(found, theory):
    """The fitted powers of n of both means over seeds, with their errors."""
    means, errors = found.mean(1), found.std(1, ddof=1) / found.shape[1] ** 0.5
    return [fit_slope(WIDTHS.astype(float), means[:, q], errors[:, q], theory) for q in (0, 1)]
