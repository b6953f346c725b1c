"""Golden numbers of neural-tangents 0.6.5 in float64, made by neural_tangents/make_golden.py."""

from pathlib import Path

import numpy as np
import pytest

import widthwise as ww

GOLDEN = np.load(Path(__file__).parent / "neural_tangents" / "golden.npz", allow_pickle=False)
NAMES = sorted({key.split("/")[0] for key in GOLDEN if key.endswith("/nngp")})
CALLED = {"polynomial": "polynomial(0.3, 0.5, -0.2, 0.1)", "tanh_numerical": "tanh"}
# Its ReLU family rounds the angle of a point with itself to about 1e-8 instead of 0, and its tanh
# comes from Gauss–Hermite quadrature: there the golden numbers, not ours, are the inexact ones.
DIAGONAL = {"relu": 1e-7, "leaky_relu": 1e-7, "abs": 1e-7, "tanh_numerical": 1e-6}
OFF_DIAGONAL = {"tanh_numerical": 1e-8}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("depth", range(1, 6))
def test_kernels_equal_golden_numbers(name, depth):
    if f"{name}/{depth}/nngp" not in GOLDEN:
        assert name == "exp"  # its kernel overflows beyond depth 3 at these scales
        return
    scales = (float(GOLDEN[f"{name}/{part}_std"]) for part in ("weight", "bias"))
    kernels = ww.limit_kernels(ww.MLP(depth, CALLED.get(name, name), *scales), GOLDEN["x"])
    diagonal = np.eye(len(GOLDEN["x"]), dtype=bool)
    for ours, part in ((kernels.nngp, "nngp"), (kernels.ntk, "ntk")):
        theirs = GOLDEN[f"{name}/{depth}/{part}"]
        scale = np.abs(theirs[~diagonal]).max()
        gap = np.abs(ours - theirs) / np.maximum(np.abs(theirs), scale)
        assert gap[~diagonal].max() < OFF_DIAGONAL.get(name, 1e-10)
        if name != "step":  # neural-tangents divides 0 by 0 on the diagonal of step
            assert gap[diagonal].max() < DIAGONAL.get(name, 1e-10)
