"""The law of training against networks that are trained: seconds for the same error of the mean.

The law's error of E f_t at width n is taken to be

    δ = (error² + (5 ρ m₁)²)^{1/2} / n,

the error of its 1/n coefficient m₁ and what the series leaves out: corrections were seen to miss by
up to five times ρ, the mean square movement of a neuron (``law.reliability(n).displacement``). All
are root mean squares over points. Networks whose mean has the standard error δ:

* averaged as they are, (σ/δ)² with σ² the variance of an output;
* paired with the linear flow from the same f₀, whose mean is known, (s/δ)² with s² the variance of
  the difference: the best that needs no theory of finite width.

Both variances, and the seconds of a network, come from a few hundred networks trained in float32,
compilation left out. The law counts once as first called, compilation included, once warm.
"""

import time

import numpy as np

WIDTH, NETWORKS = 512, 256


def root_mean_square(v):
    return float(np.sqrt(np.mean(np.square(v))))


def compare(net, x, y, test, t, **options):
    """Seconds and errors of both, as a dictionary."""
    import jax

    import widthwise as ww

    def law_of():
        start = time.perf_counter()
        law = ww.training_law(net, x, y, test, [t], **options)
        law.mean(WIDTH), law.covariance(WIDTH)
        return time.perf_counter() - start, law

    def trained(key):
        start = time.perf_counter()
        data = x, y, test, [t], NETWORKS
        runs = ww.simulate(net, WIDTH, *data, key, tolerance=1e-5, precision="float32")
        return time.perf_counter() - start, runs

    cold, law = law_of()
    warm, _ = law_of()
    rho = law.reliability(WIDTH).displacement[0]
    coefficient = law.mean_coefficients[2]
    error = np.hypot(root_mean_square(law.errors.mean[2]), 5 * rho * root_mean_square(coefficient))
    trained(jax.random.key(0))
    seconds, runs = trained(jax.random.key(1))
    linear = ww.linear_flow(net, x, y, test).outputs(runs.initial, [t])
    deviation, paired = (
        root_mean_square(v.std(0, ddof=1)) for v in (runs.outputs, runs.outputs - linear)
    )
    return {
        "cold": cold,
        "warm": warm,
        "correction": root_mean_square(coefficient) / WIDTH,
        "error": float(error) / WIDTH,
        "each": seconds / NETWORKS,
        "networks": float((WIDTH * deviation / error) ** 2),
        "pairs": float((WIDTH * paired / error) ** 2),
    }


def line(name, row):
    """One comparison in words."""
    said = [
        f"{name}: law {row['warm']:.2f} s (first call {row['cold']:.1f} s), error "
        f"{row['error']:.1e} of the mean at n = {WIDTH}, its 1/n correction {row['correction']:.1e}"
    ]
    for kind, count in (("networks", row["networks"]), ("paired networks", row["pairs"])):
        seconds = count * row["each"]
        said.append(
            f"  {count:.1e} {kind} of the same error: {seconds:.1e} s, "
            f"{seconds / row['warm']:.3g} times the law's ({seconds / row['cold']:.3g} of its first"
            " call)"
        )
    return "\n".join(said)
