"""A member's bits: the same whatever the memory, the number of members, the start, the devices."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import widthwise as ww

X, Y = np.array([[-1.0, 0.2], [0.3, -0.4], [1.2, 0.7]]), np.array([1.0, -1.0, 0.5])
X_TEST = np.array([[-0.4, 0.1], [2.0, 0.0]])
KEY = jax.random.key(5)
RECORD = ("ntk_eigenvalues", "movement")


def run(net, members, n=16, **options):
    return ww.simulate(net, n, X, Y, X_TEST, [0.5, 1.0], members, KEY, record=RECORD, **options)


@pytest.mark.parametrize(
    "net",
    [ww.MLP(1, "tanh", 1.5, 0.3), pytest.param(ww.MLP(2, "relu", 1.4), marks=pytest.mark.slow)],
    ids=["shallow", "deep"],
)
def test_same_bits_whatever_the_memory_the_number_and_the_first_member(net):
    whole = run(net, 75)
    for other in (run(net, 75, memory=1.0), run(net, 75, memory=1e12), run(net, 75)):
        assert (other.outputs == whole.outputs).all()
        assert all((other.recorded[name] == whole.recorded[name]).all() for name in RECORD)
    assert (run(net, 5).outputs == whole.outputs[:5]).all()
    later = run(net, 40, first=35)
    assert (later.outputs == whole.outputs[35:]).all()
    assert (later.initial == whole.initial[35:]).all()
    for mine, same in zip(later.parameters(2), whole.parameters(37), strict=True):
        assert (np.asarray(mine.weight) == same.weight).all()


_PROGRAM = """
import json, sys, jax, numpy as np
jax.config.update("jax_enable_x64", True)
import widthwise as ww
x, y = np.array([[-1.0], [0.3], [1.2]]), np.array([1.0, -1.0, 0.5])
bits = []
for net in (ww.MLP(1, "tanh", 1.5, 0.3), ww.MLP(2, "erf", 1.4)):
    runs = ww.simulate(net, 16, x, y, [[2.0]], [1.0], 137, jax.random.key(5), record="movement")
    bits.append([runs.outputs.tobytes().hex(), runs.recorded["movement"].tobytes().hex()])
print(json.dumps([len(jax.devices()), bits]))
"""


@pytest.mark.slow
def test_same_bits_on_one_and_on_four_devices():
    results = {}
    for devices in (1, 4):
        flags = f"--xla_force_host_platform_device_count={devices}"
        source = str(Path(ww.__file__).parents[1])
        environment = {"XLA_FLAGS": flags, "PYTHONPATH": source, "JAX_PLATFORMS": "cpu"}
        printed = subprocess.run(
            [sys.executable, "-c", _PROGRAM], env=environment, capture_output=True, text=True
        )
        assert printed.returncode == 0, printed.stderr
        count, results[devices] = json.loads(printed.stdout)
        assert count == devices
    assert results[1] == results[4]
