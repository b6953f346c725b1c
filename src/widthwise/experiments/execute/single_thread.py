"""One thread per job: several jobs share the cores, and sums keep one order.

Linear algebra libraries split a product over as many threads as there are cores, and the last bits
of the result depend on how many (measured: OpenBLAS, 1000 × 1000 products and eigenvectors). Every
job therefore computes with one thread: the same bits by every executor, and workers that do not
fight over the cores. XLA takes the number of its threads from the variable NPROC when JAX first
computes, and splits its loops among them.
"""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

_ONE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_XLA_THREADS = "NPROC"
_XLA = "--xla_cpu_multi_thread_eigen=false"
_CACHE = {
    "jax_compilation_cache_dir": "JAX_COMPILATION_CACHE_DIR",
    "jax_compilation_cache_max_size": "JAX_COMPILATION_CACHE_MAX_SIZE",
    "jax_persistent_cache_min_compile_time_secs": "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
    "jax_persistent_cache_min_entry_size_bytes": "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES",
}


def environment() -> dict[str, str]:
    """Variables a worker process needs before it imports numpy or JAX.

    One thread, float64, and this process's platform and cache of compiled programs.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    variables = dict.fromkeys(_ONE, "1") | {
        "XLA_FLAGS": flags if _XLA in flags else f"{flags} {_XLA}".strip(),
        _XLA_THREADS: "1",
        "JAX_ENABLE_X64": "1",
    }
    if "JAX_PLATFORMS" in os.environ:
        variables["JAX_PLATFORMS"] = os.environ["JAX_PLATFORMS"]
    if "jax" in sys.modules:
        config = sys.modules["jax"].config
        cache = {name: getattr(config, key, None) for key, name in _CACHE.items()}
        if cache["JAX_COMPILATION_CACHE_DIR"]:
            variables |= {name: str(value) for name, value in cache.items() if value is not None}
    return variables


def settle() -> None:
    """One thread and float64 in a worker process, whoever started it; cheap to repeat."""
    for name, value in environment().items():
        os.environ.setdefault(name, value)
    _limits()
    # an entry that another worker is just writing is compiled here too
    warnings.filterwarnings(
        "ignore", "Error (reading|writing) persistent compilation cache entry", UserWarning
    )
    if "jax" in sys.modules:
        sys.modules["jax"].config.update("jax_enable_x64", True)


@contextlib.contextmanager
def one_thread(jobs: int = 1) -> Iterator[None]:
    """One thread for each of so many jobs of this process while the block runs.

    XLA reads its settings once, when JAX computes first: they are for a process that has not
    computed with JAX yet. In one that has, XLA's loops keep their threads; in the networks tried,
    their bits did not depend on how many.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if _XLA not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_XLA}".strip()
    unset = _XLA_THREADS not in os.environ
    os.environ.setdefault(_XLA_THREADS, str(jobs))
    try:
        with _limits():
            yield
    finally:
        if unset:
            os.environ.pop(_XLA_THREADS, None)


def _limits() -> Any:
    """One thread for linear algebra from now on; as a context manager, until its end."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise ImportError("studies need threadpoolctl: pip install 'widthwise[cluster]'") from error
    return threadpool_limits(limits=1)
