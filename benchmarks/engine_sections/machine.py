"""The machine and the versions a table of measurements belongs to."""

import os
import platform
from importlib.metadata import version
from pathlib import Path


def machine():
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = models[0].partition(":")[2].strip() if models else cpu
    return (
        f"{cpu}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"JAX {version('jax')}, NumPy {version('numpy')}"
    )
