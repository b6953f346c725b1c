"""Every test runs in float64 on the CPU; compiled programs are kept in .cache/ between runs.

Tests marked slow run under ``make test-all``, and so do the longest of the others, which
longest.txt names by their measured time: ``make test`` has to end within minutes.

Every compiled program maps memory, and Linux gives a process 65,530 mappings: one that has compiled
for thousands of tests would die of a segmentation fault. Programs are dropped before.
"""

import gc
import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jaxtyping
import pytest
from hypothesis import settings

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parents[1] / ".cache" / "jax"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
# workers share the cache, and JAX locks it only where its size is bounded
jax.config.update("jax_compilation_cache_max_size", 2**31)

_MANY_MAPPINGS = 20_000

settings.register_profile("widthwise", derandomize=True, deadline=None, database=None)
settings.load_profile("widthwise")


@pytest.fixture
def unchecked():
    """Switch the runtime type checker off, to see what a user without one is told."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True, scope="module")
def _few_mappings():
    """Drop compiled programs at the end of a module after which they are many."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and len(maps.read_bytes().splitlines()) > _MANY_MAPPINGS:
        jax.clear_caches()
        gc.collect()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the longest tests slow."""
    longest = set((Path(__file__).parent / "longest.txt").read_text().splitlines())
    for item in items:
        if item.nodeid in longest:
            item.add_marker(pytest.mark.slow)
