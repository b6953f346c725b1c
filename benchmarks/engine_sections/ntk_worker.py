"""Measured in this environment: the library, or the same layerwise formula in plain NumPy.

Called with "library" or "numpy" and the npz file of the network; answers every line, an
activation's name or "product", with the processor seconds of some calls (compiled before) and the
kernel.
"""

import json
import sys
import time

import numpy as np
from scipy.special import erf

CALLS = 5
FUNCTIONS = {
    "relu": (lambda z: np.maximum(z, 0.0), lambda z, h: (z > 0).astype(float)),
    "tanh": (np.tanh, lambda z, h: 1 - h * h),
    "erf": (erf, lambda z, h: 2 / np.sqrt(np.pi) * np.exp(-z * z)),
}


def in_numpy(name, data):
    """Forward, backward, and a sum over layers of products of two Gram matrices."""
    phi, slope = FUNCTIONS[name]
    W, b = ([data[f"{part}{l}"] for l in range(3)] for part in ("weight", "bias"))
    x, weight_std, bias_std = data["x"], float(data["weight_std"]), float(data["bias_std"])

    def kernel():
        h, activations, slopes = x, [x], []
        for l in range(2):
            z = weight_std / np.sqrt(h.shape[1]) * (h @ W[l].T) + bias_std * b[l]
            h = phi(z)
            activations.append(h)
            slopes.append(slope(z, h))
        theta = weight_std**2 / h.shape[1] * (h @ h.T) + bias_std**2
        g = np.ones((len(x), 1))
        for l in (2, 1):
            g = weight_std / np.sqrt(W[l].shape[1]) * (g @ W[l]) * slopes[l - 1]
            h = activations[l - 1]
            theta += (weight_std**2 / h.shape[1] * (h @ h.T) + bias_std**2) * (g @ g.T)
        return theta

    return kernel


def product(data):
    """One of the matrix products that no route can do without: the machine's rate at them."""
    W = data["weight1"]
    h = np.random.default_rng(0).standard_normal((len(data["x"]), len(W)))
    return lambda: h @ W


def in_the_library(name, data):
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    import widthwise as ww

    net = ww.MLP(2, name, float(data["weight_std"]), float(data["bias_std"]))
    parameters = tuple(
        ww.Layer(jnp.asarray(data[f"weight{l}"]), jnp.asarray(data[f"bias{l}"])) for l in range(3)
    )
    return lambda: ww.empirical_ntk(net, parameters, data["x"]).block_until_ready()


def main():
    prepare = {"numpy": in_numpy, "library": in_the_library}[sys.argv[1]]
    data, ready = dict(np.load(sys.argv[2])), {}
    for line in sys.stdin:
        name = line.strip()
        if name not in ready:
            ready[name] = product(data) if name == "product" else prepare(name, data)
            ready[name]()
        seconds = []
        for _ in range(CALLS):
            start = time.process_time()
            theta = ready[name]()
            seconds.append(time.process_time() - start)
        print(json.dumps({"seconds": seconds, "theta": np.asarray(theta).tolist()}), flush=True)


if __name__ == "__main__":
    main()
