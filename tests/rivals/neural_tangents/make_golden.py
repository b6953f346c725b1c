"""Makes golden.npz: infinite-width NNGP and NTK matrices from neural-tangents 0.6.5, in float64.

Made once, in an environment of its own, from this folder:

    python3.10 -m venv nt-env
    nt-env/bin/pip install -r requirements.txt
    nt-env/bin/python make_golden.py

with Python 3.10.13, neural-tangents 0.6.5, jax = jaxlib 0.4.25, numpy 1.26.4, scipy 1.13.1,
tf2jax 0.3.6 and tensorflow 2.21.0; requirements.txt pins the rest.

The network has `depth` hidden layers [Dense, activation] and one Dense readout, every Dense with
weight standard deviation w and bias standard deviation b in the 'ntk' parameterization, so its
first kernel is w^2 x.x'/d + b^2. Keys:

    x                            (20, 5) inputs
    {activation}/weight_std      w
    {activation}/bias_std        b
    {activation}/{depth}/nngp    (20, 20), depth = 1..5
    {activation}/{depth}/ntk     (20, 20)
    tanh_numerical/degree        points per axis of the Gauss-Hermite rule

The numbers are neural-tangents' own, rounding of its formulas included: for relu, leaky_relu and
abs that costs a diagonal entry of the NTK half its digits. Two gaps: "exp" stops at depth 3, as
deeper kernels overflow float64, and "step" has NaN on its diagonal, where neural-tangents' formula
divides zero by zero.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from neural_tangents import stax

jax.config.update("jax_enable_x64", True)

DEPTHS = range(1, 6)
TANH_DEGREE = 300

HE = (float(np.sqrt(2.0)), 0.1)
WIDE = (1.5, 0.3)
SMALL = (0.6, 0.2)

STEP = stax.RectifiedMonomial(0)  # 1[z >= 0]

ACTIVATIONS = {
    "relu": (stax.Relu(), *HE),
    "leaky_relu": (stax.LeakyRelu(0.01), *HE),  # max(z, 0.01 z)
    "abs": (stax.Abs(), *HE),
    "gelu": (stax.Gelu(approximate=False), *HE),  # z Phi(z)
    "erf": (stax.Erf(), *WIDE),
    "sin": (stax.Sin(), *WIDE),
    "cos": (stax.Cos(), *WIDE),
    "sign": (stax.Sign(), *WIDE),
    "step": (STEP, *WIDE),
    "exp": (stax.Exp(), *SMALL),
    "polynomial": (stax.Polynomial([0.3, 0.5, -0.2, 0.1]), *SMALL),
    "tanh_numerical": (stax.ElementwiseNumerical(jnp.tanh, deg=TANH_DEGREE), *WIDE),
}


def kernels(activation, w, b, depth, x):
    """NNGP and NTK matrices of x."""
    hidden = [stax.Dense(1, W_std=w, b_std=b, parameterization="ntk"), activation] * depth
    readout = stax.Dense(1, W_std=w, b_std=b, parameterization="ntk")
    _, _, kernel_fn = stax.serial(*hidden, readout)
    if activation is not STEP:
        k = kernel_fn(x, None)
        return np.array(k.nngp), np.array(k.ntk)
    # By default its variances, and with them all deeper entries, are NaN as well. Even so the
    # diagonal stays NaN, but for what rounding makes finite and wrong: blank it whole.
    k = kernel_fn(x, None, diagonal_spatial=True)
    off_diagonal = np.where(np.eye(len(x)), np.nan, 1.0)
    return np.array(k.nngp) * off_diagonal, np.array(k.ntk) * off_diagonal


def main():
    x = np.random.default_rng(0).standard_normal((20, 5))
    arrays = {"x": x, "tanh_numerical/degree": np.array(TANH_DEGREE)}
    for name, (activation, w, b) in ACTIVATIONS.items():
        arrays[f"{name}/weight_std"] = np.array(w)
        arrays[f"{name}/bias_std"] = np.array(b)
        for depth in DEPTHS:
            nngp, ntk = kernels(activation, w, b, depth, x)
            if np.isinf(nngp).any() or np.isinf(ntk).any():
                break
            arrays[f"{name}/{depth}/nngp"] = nngp
            arrays[f"{name}/{depth}/ntk"] = ntk
    np.savez_compressed(Path(__file__).with_name("golden.npz"), **arrays)


if __name__ == "__main__":
    main()
