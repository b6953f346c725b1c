"""The rate of the distance on real data: n^{-1/2} (log n)^{1+δ} against what the law does.

    python benchmarks/measures.py --section mission     (FIGURE=folder draws, PREDICTED=1 is quick)

Six train and two test points of the diabetes data (10 inputs, scaled to variance 1; labels too).
For every time up to convergence: √n W₁ of the outputs at the two test points (the larger one) from
the time-dependent Gaussian process, by the training law for n = 32 … 4096, with measurements on
trained networks at small n; tests of stated laws n^{-p} (log n)^q; the largest value of
√n (log n)^{-1.1} W₁ with the errors added; and the constant of the joint W₂ of all outputs.
"""

import os

import jax
import numpy as np
from sklearn.datasets import load_diabetes

import widthwise as ww
from widthwise.measure.estimators import measured_distances

jax.config.update("jax_enable_x64", True)
WIDTHS = np.array([32, 64, 128, 256, 512, 1024, 2048, 4096])
TIMES = [0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, np.inf]
MEASURED, MOMENTS, MEMBERS = (32, 128), [0.3, 10.0], 2048
RESOLVED = 0.01  # two laws closer than this are not told apart


def data():
    found = load_diabetes()
    x = found.data * np.sqrt(len(found.data))
    y = (found.target - found.target.mean()) / found.target.std()
    pick = np.random.default_rng(0).permutation(len(x))[:8]
    return x[pick[:6]], y[pick[:6]], x[pick[6:]]


def network(activation, readout):
    laws = ("gaussian", readout)
    return ww.MLP(1, activation, weight_std=(1.5, 1.0), bias_std=(0.5, 0.0), weight_law=laws)


def predictions(law, order):
    """W₁ at the worse test point and its error (times, widths); joint W₂ constant (times)."""
    value, error = np.zeros((2, len(TIMES), len(WIDTHS)))
    joint = []
    for i, t in enumerate(TIMES):
        for j, n in enumerate(WIDTHS):
            both = [ww.predicted_distance(law, np.eye(8)[k], n, t) for k in (6, 7)]
            worse = max(both, key=lambda d: d.value)
            value[i, j], error[i, j] = worse.value, worse.error
        joint.append(ww.predicted_distance(law, None, 4096, t, "wasserstein2", order))
    return value, error, joint


def measurements(net, x, y, xs):
    """W₁ at the worse test point, of networks; both points are seen on the same ones."""
    value, error = np.full((2, len(TIMES), len(WIDTHS)), np.nan)
    for n in MEASURED:
        key = jax.random.fold_in(jax.random.key(5), n)
        found = measured_distances(
            net, x, y, xs, np.eye(8)[6:], n, MOMENTS, MEMBERS, key, metric="sliced_wasserstein1"
        )
        for t, d in zip(MOMENTS, found, strict=True):
            worse = max((d.curve[k].read("wasserstein1") for k in (0, 1)), key=lambda r: r.value)
            i, j = TIMES.index(t), int(np.flatnonzero(n == WIDTHS)[0])
            value[i, j], error[i, j] = worse.value, np.hypot(worse.error, worse.numerical)
    return value, error


def report():
    x, y, xs = data()
    root, scaled = np.sqrt(WIDTHS), np.sqrt(WIDTHS) / np.log(WIDTHS) ** 1.1
    for activation, readout, order in (("softplus", "exponential", 1), ("tanh", "gaussian", 2)):
        net = network(activation, readout)
        flow = ww.linear_flow(net, x, y, xs)
        print(
            f"diabetes, 6 train and 2 test points, {activation} × {readout}; eigenvalues of Θ "
            f"{np.round(flow.eigenvalues, 3)}"
        )
        law = ww.training_law(net, x, y, xs, TIMES)
        value, error, joint = predictions(law, order)
        for i, t in enumerate(TIMES):
            sigma = np.hypot(error[i], RESOLVED * value[i])
            fit = ww.fit_rate(WIDTHS, value[i], sigma, delta=0.1)
            tests = ", ".join(
                f"({h.power:g},{h.log_power:g}) {'no' if h.rejected else 'yes'}"
                for h in fit.hypotheses
            )
            print(
                f"  t = {t:<4g} √n W₁ = {root[0] * value[i, 0]:.4f} ± {root[0] * error[i, 0]:.4f} "
                f"(n = 32), {root[-1] * value[i, -1]:.4f} ± {root[-1] * error[i, -1]:.4f} (4096); "
                f"p = {fit.power:.3f} ± {fit.error:.3f}; (p,q) kept: {tests}; scaled ≤ "
                f"{(scaled * (value[i] + error[i])).max():.4f}, slope {fit.bounded.slope:+.3f}; "
                f"joint W₂ {joint[i].constant:.3f} n^-{joint[i].rate:g}",
                flush=True,
            )
        print(
            f"  all t, all n: √n (log n)^-1.1 W₁ ≤ {(scaled * (value + error)).max():.4f}; "
            f"√n W₁ ≤ {(root * (value + error)).max():.4f}",
            flush=True,
        )
        if os.environ.get("PREDICTED"):
            continue
        measured, spread = measurements(net, x, y, xs)
        for i, j in np.argwhere(np.isfinite(measured)):
            gap, own = measured[i, j] - value[i, j], spread[i, j]
            print(
                f"      t = {TIMES[i]:g}, n = {WIDTHS[j]:4d}: measured {measured[i, j]:.4e} ± "
                f"{own:.1e}, predicted {value[i, j]:.4e} ± {error[i, j]:.1e}, z {gap / own:+.1f}, "
                f"z* {gap / np.hypot(own, error[i, j]):+.1f}",
                flush=True,
            )
        if folder := os.environ.get("FIGURE"):
            draw(folder, activation, value, measured, spread)


def draw(folder, name, value, measured, spread):
    from widthwise.show import figures

    shown = [TIMES.index(t) for t in (0.0, 0.3, 10.0, np.inf)]
    at = [int(np.flatnonzero(n == WIDTHS)[0]) for n in (*MEASURED, 512)]
    times = np.array(TIMES)
    one = figures.distance_in_width(
        WIDTHS, times[shown], value[shown], measured[shown], spread[shown]
    )
    two = figures.distance_in_time(times, WIDTHS[at], value.T[at], measured.T[at], spread.T[at])
    one.write_html(f"{folder}/{name}_width.html", include_plotlyjs=True)
    two.write_html(f"{folder}/{name}_time.html", include_plotlyjs=True)
