"""Trained laws: predicted against measured Wasserstein-1 distances.

    python benchmarks/measures.py --section trained

One test point; z is the gap in standard errors of the measurement, z* with the prediction's own
error added. The gap of the skewed network is that of the orders left out, which fall like n^{-3/2},
those of the symmetric one like n^{-2}: both are fitted, with the error of the leading constant,

    measured − predicted = δ n^{-p/2} + C n^{-q/2},    p, q = 1, 3 (skewed) or 2, 4 (symmetric),

and the prediction holds if δ vanishes. The widest networks are trained in single precision.
"""

import jax
import numpy as np

import widthwise as ww
from measure_sections._problem import XS, X, Y, network
from widthwise.measure.estimators import measured_distances
from widthwise.training.ensembles import fit_powers

jax.config.update("jax_enable_x64", True)
SINGLE = 512  # wider networks are trained in single precision
CASES = [
    ("tanh", "gaussian", 1, 8192, (64, 128, 256, 512)),
    ("softplus", "exponential", 1, 4096, (64, 128, 256, 512, 2048)),
    ("tanh", "gaussian", 2, 2048, (64, 128, 256, 512)),
]


def report():
    print("Wasserstein-1 distance of the trained output at the test point −0.4 from the GP")
    for case in CASES:
        compare(*case)


def compare(activation, readout, depth, members, widths):
    net, times = network(activation, readout, depth), [0.0, 0.5, 2.0] if depth == 1 else [0.5]
    x, y, xs = (X, Y, XS) if depth == 1 else (X[:2], Y[:2], XS[:1])
    v = np.eye(len(x) + len(xs))[len(x)]
    law = ww.training_law(net, x, y, xs, times)
    values, errors, expected = np.zeros((3, len(widths), len(times)))
    powers = (1, 3) if readout == "exponential" else (2, 4)
    for i, n in enumerate(widths):
        key = jax.random.fold_in(jax.random.key(8), n)
        options = {"precision": "float32"} if n > SINGLE else {}
        found = measured_distances(net, x, y, xs, v, n, times, members, key, **options)
        for j, d in enumerate(found):
            p = ww.predicted_distance(law, v, n, times[j])
            values[i, j], errors[i, j], expected[i, j] = d.value, d.error, p.value
            gap, both = d.value - p.value, np.hypot(d.error, p.error)
            print(
                f"depth {depth} {activation:8s} × {readout:11s} t = {times[j]:<4g} n = {n:4d}: "
                f"measured {d.value:.4e} ± {d.error:.1e}, predicted {p.value:.4e} ± "
                f"{p.error:.1e}, z {gap / d.error:+.1f}, z* {gap / both:+.1f}",
                flush=True,
            )
    fit = fit_powers(widths, values - expected, errors, powers)
    for j, t in enumerate(times):
        constant = ww.predicted_distance(law, v, 1, t).constant
        (delta, C), (off, spread) = fit.coefficients[:, j], fit.errors[:, j]
        print(
            f"   t = {t:g}: leading constant {constant + delta:.5f} ± {off:.1g}, predicted "
            f"{constant:.5f} (z {delta / off:+.1f}); next order {C:.2f} ± {spread:.1g} n^(-"
            f"{powers[1]}/2); χ² {fit.chi2[j]:.1f} on {fit.degrees}",
            flush=True,
        )
