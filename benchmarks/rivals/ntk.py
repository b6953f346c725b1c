"""Measured in the rivals' environment: neural-tangents' structured derivatives of the same network.

Called with the npz file of the network; answers every line, an activation's name, with the
processor seconds of some calls (compiled before) and the kernel.
"""

import json
import sys
import time

import jax
import jax.numpy as jnp
import neural_tangents as nt
import numpy as np
from neural_tangents import stax

jax.config.update("jax_enable_x64", True)
CALLS = 5
ACTIVATIONS = {
    "relu": stax.Relu(),
    "tanh": stax.Elementwise(jnp.tanh),
    "erf": stax.Erf(),
}


def prepare(name, data):
    layers = []
    for l in range(3):
        width = data[f"weight{l}"].shape[0]
        layers.append(stax.Dense(width, float(data["weight_std"]), float(data["bias_std"])))
        if l < 2:
            layers.append(ACTIVATIONS[name])
    init, apply, _ = stax.serial(*layers)
    x = jnp.asarray(data["x"])
    _, shapes = init(jax.random.PRNGKey(0), x.shape)
    parameters = [
        tuple(jnp.asarray(a.reshape(s.shape)) for a, s in zip((W.T, b), shape, strict=True))
        if shape
        else ()
        for shape, (W, b) in zip(shapes, alternating(data), strict=True)
    ]
    kernel = jax.jit(
        nt.empirical_ntk_fn(
            apply,
            trace_axes=(-1,),
            vmap_axes=0,
            implementation=nt.NtkImplementation.STRUCTURED_DERIVATIVES,
        )
    )
    return lambda: kernel(x, None, parameters).block_until_ready()


def alternating(data):
    for l in range(3):
        yield data[f"weight{l}"], data[f"bias{l}"]
        if l < 2:
            yield None, None


def main():
    data, ready = np.load(sys.argv[1]), {}
    for line in sys.stdin:
        name = line.strip()
        if name not in ready:
            ready[name] = prepare(name, data)
            ready[name]()
        seconds = []
        for _ in range(CALLS):
            start = time.process_time()
            theta = ready[name]()
            seconds.append(time.process_time() - start)
        print(json.dumps({"seconds": seconds, "theta": np.asarray(theta).tolist()}), flush=True)


if __name__ == "__main__":
    main()
