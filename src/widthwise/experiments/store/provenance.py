"""Where numbers come from: software, host arithmetic, and the state of the user's project.

``arithmetic`` is a digest of the bits of a few fixed float64 computations (elementary functions, a
matrix product, an eigenvalue problem). Hosts or libraries that round differently have another one:
then a resumed study is right, but not bit for bit what one host would have computed.
"""

import hashlib
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from widthwise._version import __version__

_PACKAGES = ("jax", "jaxlib", "numpy", "scipy", "equinox", "distributed", "xarray", "zarr")


def provenance(project: str | Path | None = None) -> dict[str, str]:
    """What computed here would be computed with.

    Args:
        project: a directory of the user's project, whose git commit is recorded; by default the
            working directory.

    Returns:
        name → text: versions, ``host``, ``machine``, ``processor``, ``byte_order``,
        ``arithmetic``, and ``git_commit`` (with ``+ changes`` if files differ from it) where the
        project is under git.

    Example:
        >>> from widthwise.experiments.store import provenance
        >>> provenance()["byte_order"] in ("little", "big")
        True
    """
    found = versions() | {
        "host": platform.node(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "processor": _processor(),
        "byte_order": sys.byteorder,
        "arithmetic": arithmetic(),
    }
    commit = _git_commit(Path.cwd() if project is None else Path(project))
    return found | ({"git_commit": commit} if commit else {})


def versions() -> dict[str, str]:
    """Name → version of the software that computes here."""
    found = {"widthwise": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def arithmetic() -> str:
    """Digest of the bits of fixed float64 computations on this host, 16 hexadecimal digits."""
    grid = np.linspace(-3.0, 3.0, 999)
    matrix = np.cos(np.outer(grid[:64], grid[-64:]))
    parts = (
        *(np.exp(grid), np.tanh(grid), np.sin(40 * grid), np.log1p(grid**2)),
        *(matrix @ matrix.T, np.linalg.eigvalsh(matrix @ matrix.T), grid.sum()),
    )
    return hashlib.sha256(b"".join(np.asarray(p).tobytes() for p in parts)).hexdigest()[:16]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _git_commit(directory: Path) -> str:
    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(directory), *words],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return ""
    return commit + (" + changes" if changed else "")
