"""Networks as PyTorch and Flax initialize them by default, drawn by NumPy alone.

* ``torch.nn.Linear``: kaiming_uniform with a = √5, that is weights uniform on ±1/√fan_in; biases
  uniform on the same interval.
* ``flax.linen.Dense``: lecun_normal, a normal law truncated at two standard deviations, divided by
  the standard deviation 0.87962566103423978 that the truncation leaves and by √fan_in; biases 0.

Nothing here knows the library: neither its parametrization nor its laws.
"""

import numpy as np
from scipy.special import erf

ACTIVATIONS = {
    "relu": lambda z: np.maximum(z, np.float32(0)),
    "tanh": np.tanh,
    "gelu": lambda z: z * (1 + erf(z * np.float32(0.5**0.5))) / 2,
}
_BLOCK = 2_000


def _torch(rng, shape):
    """Weights (…, out, in) and biases (…, out)."""
    bound = np.float32(shape[-1] ** -0.5)
    weight = rng.random(shape, dtype=np.float32)
    bias = rng.random(shape[:-1], dtype=np.float32)
    return bound * (2 * weight - 1), bound * (2 * bias - 1)


def _flax(rng, shape):
    weight = rng.standard_normal(shape, dtype=np.float32)
    while (far := np.abs(weight) > 2).any():
        weight[far] = rng.standard_normal(int(far.sum()), dtype=np.float32)
    weight *= np.float32(shape[-1] ** -0.5 / 0.87962566103423978)
    return weight, np.zeros(shape[:-1], dtype=np.float32)


_DRAW = {"torch": _torch, "flax": _flax}


def outputs(framework, depth, x, width, members, seed):
    """Outputs {activation: (members, points)} and second moments of the last hidden layer.

    The activations share their weights. The moments are M_ab = mean of h_a h_b over its neurons,
    (members, points, points).
    """
    rng, x = np.random.default_rng(seed), np.asarray(x, dtype=np.float32)
    found = {name: ([], []) for name in ACTIVATIONS}
    for start in range(0, members, _BLOCK):
        count = min(_BLOCK, members - start)
        h = {name: np.broadcast_to(x.T, (count, *x.T.shape)) for name in ACTIVATIONS}
        fan = [x.shape[1], *(width,) * depth, 1]
        for l in range(depth + 1):
            weight, bias = _DRAW[framework](rng, (count, fan[l + 1], fan[l]))
            for name, phi in ACTIVATIONS.items():
                z = weight @ h[name] + bias[:, :, None]
                if l == depth:
                    moments = np.swapaxes(h[name], 1, 2) @ h[name] / width
                    found[name][0].append(z[:, 0])
                    found[name][1].append(moments)
                else:
                    h[name] = phi(z)
    return {
        name: tuple(np.concatenate(parts).astype(float) for parts in both)
        for name, both in found.items()
    }
