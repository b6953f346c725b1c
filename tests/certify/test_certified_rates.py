"""How certified distances fall with the width: 1/n for symmetric laws, n^{-1/2} for skewed ones.

Θ_t - Θ_0 and f_t - f_lin,t are O(1/n) where the third moments of the readout vanish and O(n^{-1/2})
where they do not and φ has no parity. A certificate is only as good as the way its bounds fall.
"""

import jax
import numpy as np
import pytest

import widthwise as ww
from widthwise.certify import certify

WIDTHS = 2 ** np.arange(11, 16)
SEEDS = 10
X = np.array([[1.0, 0.2]])
RESIDUAL = np.array([0.05])


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
            labels = np.asarray(net.apply(parameters, X))[:, 0] - RESIDUAL
            made = certify(net, parameters, X, labels, method="linear_reference")
            assert made.holds, f"width {n}, seed {seed}: {made.reason}"
            found[i, seed] = made.ntk_change, made.output_deviation
    return found


def slope(values):
    """The power of n in the mean over seeds, by weighted least squares, and its error."""
    mean = values.mean(1)
    error = values.std(1, ddof=1) / SEEDS**0.5 / mean
    n = np.log(WIDTHS)
    weight = error**-2
    centre = (weight * n).sum() / weight.sum()
    spread = (weight * (n - centre) ** 2).sum()
    return (weight * (n - centre) * np.log(mean)).sum() / spread, spread**-0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "power"),
    [
        (ww.MLP(1, "tanh", bias_std=[0.5, 0.0]), -1.0),
        (ww.MLP(1, "softplus", bias_std=[0.5, 0.0], weight_law=["gaussian", "exponential"]), -0.5),
    ],
    ids=["symmetric", "skewed"],
)
def test_certified_distances_fall_like_their_power_of_the_width(net, power):
    """Within three errors of its power, and more than three from the other one."""
    found = certified(net)
    for quantity in (0, 1):
        fitted, error = slope(found[:, :, quantity])
        assert abs(fitted - power) < 3 * error
        assert abs(fitted - (-1.5 - power)) > 3 * error
