"""What the estimators at initialization gain over raw samples, against exact laws.

    python benchmarks/measures.py --section estimators

Root mean square error of the curve F_n − Φ on [−8, 8], averaged over keys, of N = 10 000 networks.
"""

import time

import jax
import numpy as np
from scipy.special import ndtr

import widthwise as ww
from measure_sections._problem import X, network
from widthwise.measure.estimators import measured_distance
from widthwise.measure.estimators.curve import GRID

jax.config.update("jax_enable_x64", True)
MEMBERS, KEYS, V = 10_000, 4, np.ones(3) / np.sqrt(3)
CASES = [
    ("tanh", "gaussian", 128),
    ("tanh", "gaussian", 1024),
    ("softplus", "gaussian", 128),
    ("tanh", "exponential", 128),
    ("softplus", "exponential", 128),
]


def report():
    print(f"curve error of {MEMBERS} networks at initialization, mean of {KEYS} keys")
    print(
        "network, n, method: W1 of the last key, exact W1, rms error of the curve, gain, s per key"
    )
    for activation, readout, n in CASES:
        net = network(activation, readout)
        exact = ww.exact_distance(net, X, V, n).value
        law = ww.exact_law(net, X, n, (0, 1, 2), V)
        std = float(np.sqrt(V @ np.asarray(ww.limit_kernels(net, X).nngp) @ V))
        D = law.cdf(std * GRID) - ndtr(GRID)
        raw = np.nan
        for method in ("raw", "stein", "rao_blackwell"):
            if method == "rao_blackwell" and readout != "gaussian":
                continue
            squares, start = [], time.perf_counter()
            for k in range(KEYS):
                d = measured_distance(
                    net, X, None, None, V, n, 0.0, MEMBERS, jax.random.key(k), method=method
                )
                squares.append(((d.difference[0] - D) ** 2).mean())
            taken, rms = (time.perf_counter() - start) / KEYS, np.sqrt(np.mean(squares))
            raw = rms if method == "raw" else raw
            print(
                f"{activation + ' × ' + readout:24s} {n:6d}  {method:14s}  "
                f"{d.value:.4e} ± {d.error:.1e}  {exact:.4e}  {rms:.2e}  "
                f"{raw / rms:6.0f}  {taken:.1f}",
                flush=True,
            )
