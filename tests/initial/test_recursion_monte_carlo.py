"""The cumulant recursion against simulated networks."""

import jax
import numpy as np

import widthwise as ww
from widthwise.finite.estimators import fourth_cumulant
from widthwise.finite.initialization import sample_initial


def test_simulated_uniform_networks():
    """PyTorch's law in all layers; κ₄ by the conditional cumulants of real networks."""
    laws = {"weight_law": "uniform", "bias_law": "uniform"}
    net = ww.MLP(2, "tanh", weight_std=1.4, bias_std=0.2, **laws)
    point, n = np.array([0.8, -0.5, 1.1]), 12
    measured = fourth_cumulant(net, n, sample_initial(net, n, point, 5_000, jax.random.key(5)))
    theory = ww.output_cumulants(net, [point], 6).cumulant((0,) * 4).optimal(n)
    assert theory.error < 0.01 * measured.error
    assert abs(theory.value - measured.value) < 3 * measured.error
    gaussian = ww.MLP(2, "tanh", weight_std=1.4, bias_std=0.2)
    other = ww.output_cumulants(gaussian, [point], 6).cumulant((0,) * 4).optimal(n)
    assert abs(other.value - measured.value) > 20 * measured.error  # the law matters
